"""Training: from prepared data and a configuration to a run with checkpoints."""
