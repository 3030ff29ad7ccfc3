"""Training: objective, optimizer, schedules, the step, checkpoints and what is shown of them."""
