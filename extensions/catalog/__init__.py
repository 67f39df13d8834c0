"""Catalogs: a directory tree scanned into relations, one row a file."""
