"""Files, directories, links and objects as rows: their names, and what can be done with them."""
