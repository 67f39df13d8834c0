"""Statements that do more than read: each kind in a file of its own."""
