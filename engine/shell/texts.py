"""How the shell spells counts, sizes and durations."""

from __future__ import annotations

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def count_text(count: int, unit: str) -> str:
    """Return a count with its unit in the right number, such as `1 row` and `2,000 rows`."""
    return f"{count:,} {unit}{'' if count == 1 else 's'}"


def duration_text(seconds: float) -> str:
    """Return a duration with three digits or so, such as `12.3 ms` and `4.56 s`."""
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s"
    return f"{int(seconds // 60)} min {seconds % 60:.0f} s"


def bytes_text(count: int) -> str:
    """Return a number of bytes with three digits or so, such as `512 bytes` and `1.5 MiB`."""
    size = float(count)
    for unit in _UNITS:
        if size < 1000 or unit == _UNITS[-1]:
            break
        size /= 1024
    if unit == "bytes":
        return count_text(count, "byte")
    return f"{size:.0f} {unit}" if size >= 100 else f"{size:.1f} {unit}"


def rows_text(count: int) -> str:
    """Return a large number of rows in short, such as `950`, `12.3k` and `4.56M`."""
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            value = count / size
            return f"{value:.0f}{letter}" if value >= 100 else f"{value:.1f}{letter}"
    return str(count)
