"""Signals stop work at once, or at the next check."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from keras_nmt.app.runtime.signals import Stopped, StopSignals, exiting_at_signals

ROOT = Path(__file__).resolve().parents[3]
EACH = pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


def stopped(work: Callable[[StopSignals], None]) -> Stopped:
    """Returns how work ends that a signal stops."""

    def entered() -> None:
        with StopSignals() as signals:
            work(signals)

    with pytest.raises(Stopped) as found:
        entered()
    return found.value


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_that_would_end_the_process_leave_the_context_first(number: signal.Signals) -> None:
    left: list[str] = []

    def entered() -> None:
        with exiting_at_signals():
            try:
                send(number)
            finally:
                left.append("cleaned up")

    with pytest.raises(SystemExit) as found:
        entered()
    assert (found.value.code, left) == (128 + number, ["cleaned up"])
    assert signal.getsignal(number) is signal.SIG_DFL


def test_an_ignored_signal_stays_ignored_while_the_process_exits_at_others() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with exiting_at_signals():
            send(signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@EACH
def test_a_signal_stops_at_once_before_signals_are_held_back(number, code):
    def work(signals: StopSignals) -> None:
        send(number)
        pytest.fail("went on")

    error = stopped(work)
    assert str(error) == f"stopped by {number.name} before the first checkpoint; the same command starts over"
    assert error.exit_code == code


@EACH
def test_a_signal_that_is_held_back_stops_at_the_next_check(number, code):
    def work(signals: StopSignals) -> None:
        signals.hold_back()
        signals.check()
        send(number)
        assert signals.received == number
        signals.kept_step = 7
        signals.check()
        pytest.fail("went on")

    error = stopped(work)
    assert str(error) == f"stopped by {number.name} at step 7; the same command resumes from there"
    assert error.exit_code == code


def test_long_work_is_interrupted():
    def work(signals: StopSignals) -> None:
        signals.hold_back()
        with signals.at_once():
            send(signal.SIGTERM)
            pytest.fail("went on")

    stopped(work)


def test_long_work_does_not_start_after_a_signal():
    def work(signals: StopSignals) -> None:
        signals.hold_back()
        send(signal.SIGTERM)
        with signals.at_once():
            pytest.fail("begun")

    stopped(work)


def test_after_long_work_signals_are_held_back_again_and_not_lost():
    seen = []

    def work(signals: StopSignals) -> None:
        signals.hold_back()
        with signals.at_once():
            pass
        send(signal.SIGTERM)
        seen.append(signals.received)

    stopped(work)
    assert seen == [signal.SIGTERM]


def test_after_long_work_before_the_first_step_a_signal_stops_at_once():
    def work(signals: StopSignals) -> None:
        with signals.at_once():
            pass
        send(signal.SIGTERM)
        pytest.fail("went on")

    stopped(work)


def test_an_error_is_not_hidden_by_a_signal():
    def fail() -> None:
        with StopSignals() as signals:
            signals.hold_back()
            send(signal.SIGTERM)
            raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        fail()


def test_earlier_signal_handlers_are_restored():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    stopped(lambda signals: send(signal.SIGTERM))
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


@pytest.mark.parametrize(
    ("code", "exit_code", "out"),
    [
        # the second signal does not wait for anything
        (
            "signals.hold_back(); os.kill(os.getpid(), 15); print('held', flush=True); os.kill(os.getpid(), 2)",
            -2,
            "held",
        ),
        # as of a job in the background
        ("os.kill(os.getpid(), 2); print('ignored')", 0, "ignored"),
    ],
)
def test_a_second_signal_ends_the_process_and_an_ignored_one_stays_ignored(code, exit_code, out):
    ignored = "signal.signal(signal.SIGINT, signal.SIG_IGN)" if exit_code == 0 else "pass"
    script = f"""
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
{ignored}
from keras_nmt.app.runtime.signals import StopSignals
with StopSignals() as signals:
    {code}
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (exit_code, out), done.stderr


HANGS_UP = """
import time
from keras_nmt.app.runtime.signals import StopSignals

with StopSignals() as signals:
    signals.hold_back()
    print("ready", flush=True)
    while not signals.received:
        time.sleep(0.01)
    time.sleep(0.2)
    print("an error on a terminal that is closed", flush=True)
    open("kept", "w").close()
    signals.check()
"""


def test_a_training_writes_its_checkpoint_after_its_terminal_was_closed(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", HANGS_UP],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    assert os.read(ours, 100).startswith(b"ready")
    os.close(ours)
    process.send_signal(signal.SIGHUP)
    process.wait(timeout=60)
    assert (tmp_path / "kept").exists()
