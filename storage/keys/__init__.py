"""Keys: sorted runs of key codes with the places of their rows, and how they are searched."""
