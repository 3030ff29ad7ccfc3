"""A run on disk: its directory, checkpoints, lock and logs, and which checkpoint is the best."""
