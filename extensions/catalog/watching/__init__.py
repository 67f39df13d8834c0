"""Which directories of a tree have just changed, as the kernel tells it."""
