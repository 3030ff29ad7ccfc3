"""Stops work on SIGTERM (a preempted machine), SIGINT (Ctrl-C) or SIGHUP (a closed terminal)."""

import os
import signal
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """The error raised if a signal stops the training.

    The message names the signal and the step of the last checkpoint, or says that there is no checkpoint yet.

    Attributes:
        exit_code: The exit code that shells use for a signal: 128 + the signal's number.
    """

    def __init__(self, received: signal.Signals, kept_step: int) -> None:
        resumable = f"at step {kept_step}; the same command resumes from there"
        lost = "before the first checkpoint; the same command starts over"
        super().__init__(f"stopped by {received.name} {resumable if kept_step else lost}")
        self.exit_code = 128 + received


class StopSignals:
    """A context in which a signal raises `Stopped`: immediately, or at the next `check` if signals are held back.

    A second signal ends the process immediately. A signal that the process ignored before, for example in a background
    job, stays ignored.

    Attributes:
        kept_step: The step from which the training would resume.
        received: The signal that was received, if any.
    """

    def __init__(self) -> None:
        self.kept_step = 0
        self.received: signal.Signals | None = None
        self._held_back = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():  # Python lets only the main thread set handlers
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
        """Holds back all signals from now on: a signal takes effect at the next call of `check`."""
        self._held_back = True

    def check(self) -> None:
        """Raises `Stopped` if a signal was received."""
        if self.received:
            raise Stopped(self.received, self.kept_step)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Makes signals stop the work inside the context immediately. Used for long work that can be repeated.

        Raises:
            Stopped: A signal was held back before the context, or is received inside it.
        """
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


@contextmanager
def exiting_at_signals() -> Iterator[None]:
    """Makes SIGTERM and SIGHUP raise `SystemExit` inside the context, so that temporary files are removed.

    By default, they end the process at once. A signal that the process ignores or handles in another way is left alone.
    """

    def leave(number: int, _: object) -> None:
        if number == signal.SIGHUP:
            leave_terminal()
        raise SystemExit(128 + number)

    is_main = threading.current_thread() is threading.main_thread()  # Python lets only the main thread set handlers
    ending = (signal.SIGTERM, signal.SIGHUP)
    changed = [number for number in ending if is_main and signal.getsignal(number) is signal.SIG_DFL]
    for number in changed:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)


def leave_terminal() -> None:
    """Redirects the standard streams of a closed terminal to the null device. Writing to the terminal would fail."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        if stat.S_ISCHR(os.fstat(stream).st_mode):  # `isatty` is False for a closed terminal
            os.dup2(nowhere, stream)
    os.close(nowhere)
