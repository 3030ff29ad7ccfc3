"""How much memory a step needs, and how it is split to fit."""
