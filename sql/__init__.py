"""Dialect, parser, binder, optimizer and planner: text to physical plan, without any I/O."""
