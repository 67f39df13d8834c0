"""What programs see of a mounted store, against POSIX; skipped where nothing can be mounted."""
