"""Measurements with a bar, each a program: ``python -m tests.bench.NAME``."""
