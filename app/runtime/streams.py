"""Standard streams: those that a shell has closed (`>&-`), as cron and daemons do, and their encoding."""

import io
import os
import sys


def prepare_streams() -> None:
    """Opens the null device in place of each closed standard stream; what is written is UTF-8 whatever the locale.

    A name of a file that is not UTF-8 leaves stdout as the bytes that it is, and is spelt on stderr.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115  # stays open
    for stream, errors in ((sys.stdout, "surrogateescape"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):  # none of a notebook's or a test's
            stream.reconfigure(encoding="utf-8", errors=errors)
