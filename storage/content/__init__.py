"""Content of files and objects: bytes as extents, chunks and packs."""
