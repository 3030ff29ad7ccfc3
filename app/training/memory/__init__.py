"""The memory of a training step: estimates, measurements, and the number of parts that makes a batch fit."""
