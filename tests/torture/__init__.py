"""Faults from outside: real processes on an operating system that fails, lies or runs out."""
