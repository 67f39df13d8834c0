"""Scans of directory trees into catalogs: `pagelake scan` and `CALL catalog_scan`."""
