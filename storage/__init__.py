"""Devices, pages, commit log, snapshots and row groups: what makes rows durable."""
