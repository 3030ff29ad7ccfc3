"""The memory of a training step: estimated, measured, and divided into parts that fit."""
