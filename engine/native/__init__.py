"""Native copies of the catalog: where the kernel runs a user's own statement on its own objects."""
