"""SIGTERM (the machine is taken away), SIGINT (Ctrl-C), SIGHUP (the terminal is closed) in work that can be resumed."""

import os
import signal
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """A signal ended the training; the message says where.

    Attributes:
        exit_code: 128 + the signal's number, as a shell has it.
    """

    def __init__(self, received: signal.Signals, kept_step: int) -> None:
        where = f"at step {kept_step}; the same command resumes from there"
        nowhere = "before the first checkpoint; the same command starts over"
        super().__init__(f"stopped by {received.name} {where if kept_step else nowhere}")
        self.exit_code = 128 + received


class StopSignals:
    """While entered, a signal raises `Stopped`: at once, or, while it is held back, where `check` is called.

    A second signal ends the process at once. A signal that was ignored before, as in a background job, stays ignored.

    Attributes:
        kept_step: The step that would be gone on from.
        received: The signal that is held back, if there is one.
    """

    def __init__(self) -> None:
        self.kept_step = 0
        self.received: signal.Signals | None = None
        self._held_back = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():  # Python lets no other thread do this
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *error: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        if error == (None, None, None):
            self.check()

    def hold_back(self) -> None:
        """From now on a signal waits for `check`."""
        self._held_back = True

    def check(self) -> None:
        """Raises `Stopped` if a signal was held back."""
        if self.received:
            raise Stopped(self.received, self.kept_step)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Within it a signal need not wait; for long work that is made up for later."""
        before, self._held_back = self._held_back, False
        self.check()
        yield
        self._held_back = before

    def _receive(self, number: int, frame: object) -> None:
        self.received = signal.Signals(number)
        if number == signal.SIGHUP:
            leave_terminal()
        for each in self._before:
            signal.signal(each, signal.SIG_DFL)
        if not self._held_back:
            self.check()


def leave_terminal() -> None:
    """Writes no more to a terminal that is closed, which would be an error."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        if stat.S_ISCHR(os.fstat(stream).st_mode):  # of a terminal that is closed `isatty` says no
            os.dup2(nowhere, stream)
    os.close(nowhere)
