"""What the mount does for each request: names, attributes, extended attributes, bytes, listings."""
