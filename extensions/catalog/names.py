"""Names of files as text: the bijection of `storage.files.name`, and its inverse in SQL."""

from __future__ import annotations

from ...storage.files.name import bytes_array, bytes_of, text_array, text_of

__all__ = ["bytes_array", "bytes_of", "name_bytes_sql", "text_array", "text_of"]


def name_bytes_sql(name: str) -> str:
    """Return an SQL expression for the exact bytes of a name or path, as a BLOB.

    It works on hexadecimal digits with a space after each byte, so that matches begin at bytes.
    What it puts in is small letters, which are not matched again.

    Args:
        name: An SQL expression of type VARCHAR.
    """
    digits = f"regexp_replace(hex(encode({name})), '(..)', '\\1 ', 'g')"
    for high in range(16):
        third, fourth = f"{0xBC + (high >> 2):X}", f"{0x8 + (high & 3):X}"
        digits = f"replace({digits}, 'F4 8F {third} {fourth}', '{high:x}')"
    exact = f"unhex(replace({digits}, ' ', ''))"
    marked = f"regexp_matches({name}, '[\\x{{10FF00}}-\\x{{10FFFF}}]')"
    return f"CASE WHEN {marked} THEN {exact} ELSE encode({name}) END"
