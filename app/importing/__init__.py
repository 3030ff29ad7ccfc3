"""Models that other programs trained, as runs of this one."""
