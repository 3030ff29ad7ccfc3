"""Programs of this project that a benchmark measures, each in a process of its own."""
