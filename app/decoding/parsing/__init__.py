"""Parsing: text processing and graph of the task that turns words into trees."""
