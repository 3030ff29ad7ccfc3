"""The entry point of the program `nmt`, also started as `python -m keras_nmt`."""

import signal
import sys

ENDS_QUIETLY = signal.getsignal(signal.SIGINT) is signal.default_int_handler
if ENDS_QUIETLY:  # otherwise, Ctrl-C during an import would print a traceback
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def main() -> int:
    """Runs the program with the arguments of the command line and returns its exit code."""
    from keras_nmt.app import cli

    if ENDS_QUIETLY:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
