"""Measures parts of this program, each in a process of its own."""
