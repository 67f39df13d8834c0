"""Keys in statements: uniqueness of new rows, point lookups, CREATE and DROP INDEX."""
