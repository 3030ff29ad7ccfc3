"""Parts of this program that a benchmark measures, each in a process of its own."""
