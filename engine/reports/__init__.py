"""Reports over catalogs of files: in SQL, on the command line, as pictures."""
