"""Scripts that measure the program beside what one would use instead; see README.md."""
