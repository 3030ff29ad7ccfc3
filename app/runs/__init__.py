"""A run on disk: its directory, checkpoints, lock and logs, and the ranking of its checkpoints."""
