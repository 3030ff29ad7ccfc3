"""Processes for untrusted files can be killed, and their number and memory are limited."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from keras_nmt.app.server.documents.html.pages import read_html
from keras_nmt.app.server.engine.batching import Batcher
from keras_nmt.app.server.engine.limits import Limits, RateLimiter
from keras_nmt.app.server.engine.metrics import Metrics
from keras_nmt.app.server.engine.pools.processes import MAX_MEMORY_BYTES, ProcessPool
from keras_nmt.app.server.engine.service import ClientGoneError, Service
from keras_nmt.app.server.errors import BusyError, DeadlineError, RequestError, TooLargeError


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPool]:
    """A pool of one process, so that each call runs in the process of the call before."""
    made = ProcessPool(count=1, most=2)
    yield made
    made.stop()


def is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def is_gone_within(process: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while is_there(process) and time.monotonic() < end:
        time.sleep(0.01)
    return not is_there(process)


def test_one_process_runs_one_call_after_another(processes: ProcessPool) -> None:
    async def twice() -> list[int]:
        return [await processes.run(os.getpid) for _ in range(2)]

    first, second = asyncio.run(twice())
    assert first == second != os.getpid()


def test_a_process_is_killed_when_its_call_is_cancelled(processes: ProcessPool) -> None:
    async def given_up() -> int:
        process = await processes.run(os.getpid)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(processes.run(time.sleep, 60), 0.1)
        return process

    process = asyncio.run(given_up())
    assert is_gone_within(process, 5)
    assert asyncio.run(processes.run(len, "abc")) == 3


class Client:
    """A request whose client disconnects after some seconds."""

    def __init__(self, stays: float) -> None:
        self.stays = stays

    async def receive(self) -> dict[str, str]:
        await asyncio.sleep(self.stays)
        return {"type": "http.disconnect"}


@pytest.mark.parametrize(("deadline", "stays", "error"), [(0.1, 60, DeadlineError), (60, 0.1, ClientGoneError)])
def test_a_call_ends_at_its_deadline_and_when_its_client_disconnects(
    processes: ProcessPool, deadline: float, stays: float, error: type[Exception]
) -> None:
    none: Any = None
    limits = Limits(deadline=deadline)
    service = Service(none, none, Metrics(), limits, RateLimiter(0), pages=processes, files=processes)
    request: Any = Client(stays)

    async def asked() -> int:
        process = await processes.run(os.getpid)
        with pytest.raises(error):
            await service.answer(request, processes.run(time.sleep, 60))
        return process

    assert is_gone_within(asyncio.run(asked()), 5)


def test_the_memory_of_a_process_is_limited(processes: ProcessPool) -> None:
    with pytest.raises(TooLargeError, match="more memory than is allowed"):
        asyncio.run(processes.run(bytearray, MAX_MEMORY_BYTES))


def test_a_process_that_died_is_replaced(processes: ProcessPool) -> None:
    with pytest.raises(TooLargeError):
        asyncio.run(processes.run(os._exit, 1))
    assert asyncio.run(processes.run(len, "abc")) == 3


def test_errors_return_to_the_caller_without_the_text_of_the_user(processes: ProcessPool) -> None:
    with pytest.raises(RequestError, match="too deeply"):
        asyncio.run(processes.run(read_html, "<b>" * 1900 + "a", False))
    with pytest.raises(RuntimeError, match=r"ValueError in .*processes.py, line \d+$"):
        asyncio.run(processes.run(int, "secret"))


def test_calls_beyond_the_capacity_are_refused(processes: ProcessPool) -> None:
    async def ask() -> None:
        slow = [asyncio.ensure_future(processes.run(time.sleep, 60)) for _ in range(2)]
        await asyncio.sleep(0.05)
        with pytest.raises(BusyError, match="too many requests of this kind"):
            await processes.run(len, "abc")
        for one in slow:
            one.cancel()
        await asyncio.gather(*slow, return_exceptions=True)

    asyncio.run(ask())
    assert asyncio.run(processes.run(len, "abc")) == 3


def test_a_server_that_stops_cancels_its_documents() -> None:
    processes = ProcessPool(count=1)
    none: Any = None
    models: Any = type("Models", (), {"stop": lambda self: None})()
    service = Service(models, none, Metrics(), Limits(), RateLimiter(0), pages=ProcessPool(), files=processes)
    service.batcher = Batcher(service.metrics, workers=1)
    threading.Timer(0.3, service.stop).start()
    begun = time.monotonic()
    with pytest.raises(BusyError, match="shutting down"):
        asyncio.run(processes.run(time.sleep, 60))
    with pytest.raises(BusyError, match="shutting down"):
        asyncio.run(processes.run(time.sleep, 60))
    assert time.monotonic() - begun < 10


def test_the_processes_do_not_load_tensorflow() -> None:
    modules = ("documents.html.pages", "documents.word.files", "engine.pools.processes")
    code = f"import sys, {', '.join(f'keras_nmt.app.server.{name}' for name in modules)}; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "keras_nmt.app.server.documents.spans" in loaded
    assert not {"tensorflow", "fastapi", "keras"} & set(loaded)
