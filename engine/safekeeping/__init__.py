"""Check, repair and backup: what keeps a store safe, for Python and the command line."""
