"""Devices: where bytes live, and stand-ins that fail on purpose."""
