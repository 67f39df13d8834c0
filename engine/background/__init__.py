"""What background work needs: a pace that spares the foreground, and a log of what it did."""
