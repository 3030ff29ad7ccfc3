"""Scripts that measure parts of this program. Each script runs in its own process."""
