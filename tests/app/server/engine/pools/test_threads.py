"""The thread pool for work outside of batches is bounded."""

import asyncio
import threading

import pytest

from keras_nmt.app.server.engine.pools.threads import ThreadPool
from keras_nmt.app.server.errors import BusyError


def test_calls_beyond_the_capacity_are_refused_until_one_ends() -> None:
    may_end = threading.Event()

    async def ask() -> list[int]:
        work = ThreadPool(most=2)
        first = [asyncio.ensure_future(work.run(lambda i=i: may_end.wait() and i)) for i in (1, 2)]
        await asyncio.sleep(0.01)
        with pytest.raises(BusyError, match="too many requests of this kind; try again in a moment"):
            await work.run(int)
        may_end.set()
        done = await asyncio.gather(*first)
        return [*done, await work.run(lambda: 3)]

    assert asyncio.run(ask()) == [1, 2, 3]


def test_a_failed_call_frees_its_place_and_a_cancelled_one_keeps_it_until_it_ends() -> None:
    may_end = threading.Event()

    async def ask() -> None:
        work = ThreadPool(most=1)
        with pytest.raises(ValueError, match="invalid literal"):
            await work.run(int, "x")
        given_up = asyncio.ensure_future(work.run(may_end.wait))
        await asyncio.sleep(0.01)
        given_up.cancel()
        with pytest.raises(BusyError):
            await work.run(int)
        may_end.set()
        await asyncio.sleep(0.05)
        assert await work.run(int) == 0

    asyncio.run(ask())


def test_a_call_cancelled_before_its_start_frees_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keras_nmt.app.server.engine.pools.threads.THREADS", 1)
    may_end = threading.Event()

    async def ask() -> None:
        work = ThreadPool(most=2)
        running = asyncio.ensure_future(work.run(may_end.wait))
        waiting = asyncio.ensure_future(work.run(int))
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.sleep(0.01)
        next_one = asyncio.ensure_future(work.run(int))
        await asyncio.sleep(0.01)
        may_end.set()
        assert await running
        assert await next_one == 0

    asyncio.run(ask())
