"""The commit log: records, their wire form, checkpoints."""
