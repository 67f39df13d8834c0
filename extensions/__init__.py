"""What plugs into the engine through one registry, one file or folder each."""
