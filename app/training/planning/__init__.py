"""Computed before the first step: the plan of `nmt train --plan`, and the number of steps for `--minutes`."""
