"""Prepares the standard streams: opens streams that a shell, cron or a daemon has closed (`>&-`), and sets UTF-8."""

import io
import os
import sys


def prepare_streams() -> None:
    """Opens the null device for each closed standard stream, and makes stdout and stderr UTF-8 in any locale.

    A file name that is not UTF-8 is written byte for byte on stdout, and with backslash escapes on stderr.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # gets the lowest free descriptor
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115  # stays open
    for stream, errors in ((sys.stdout, "surrogateescape"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):  # a notebook or a test may have replaced the stream
            stream.reconfigure(encoding="utf-8", errors=errors)
