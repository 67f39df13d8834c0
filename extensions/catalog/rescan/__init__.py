"""What has changed in a tree since it was scanned: found without reading all of it again."""
