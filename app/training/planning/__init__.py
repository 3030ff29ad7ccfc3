"""Plans a training before its first step: for `nmt train --plan`, and the number of steps for `--minutes`."""
