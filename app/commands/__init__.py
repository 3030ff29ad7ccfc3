"""The commands of the command line, one module each. `add_parser` adds the command's options, `run` runs it."""
