"""`nmt demo`: one flow for all tasks, and one module for what differs between their demos."""
