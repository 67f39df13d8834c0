"""Leaves: how a table at a snapshot is put together from parts that the kernel can read."""
