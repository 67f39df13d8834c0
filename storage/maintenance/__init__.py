"""Looking after a store: sealing, compaction, checking, copying."""
