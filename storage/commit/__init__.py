"""How transactions become records of the log: alone, together, and beside those of others."""
