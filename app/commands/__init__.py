"""The commands of the command line, one module each. `add_parser` adds the options, `run` runs the command."""
