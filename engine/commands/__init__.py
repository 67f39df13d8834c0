"""Commands of the command line that have a module of their own, and how their errors look."""
