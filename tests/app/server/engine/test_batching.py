"""Batching of requests, which does not change their answers."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import tensorflow as tf

from keras_nmt.app.models.exports import ExportModel
from keras_nmt.app.server.engine.batching import Batcher, QueuedText, select_batch
from keras_nmt.app.server.engine.limits import Limits
from keras_nmt.app.server.engine.metrics import Metrics
from keras_nmt.app.server.errors import BusyError
from tests.app.server.serving import Running, serving

PAIR = {"source": "en", "target": "de"}


class Slow:
    """A fake version whose signature `echo` waits for `may_go` and returns its texts."""

    model = "slow"

    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []
        self.may_go = threading.Event()
        self.signatures: dict[str, Any] = {"echo": self.echo}
        self.echo.__func__.input_signature = [tf.TensorSpec([None], tf.string, name="texts")]  # type: ignore[attr-defined]

    def check_signature(self, signature: str) -> None:
        pass

    def token_counts(self, texts: list[bytes]) -> list[int]:
        return list(map(len, texts))

    def echo(self, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        self.batches.append(texts.numpy().tolist())
        assert self.may_go.wait(30)
        if b"bad" in texts.numpy():
            raise tf.errors.InvalidArgumentError(None, None, "bad")
        return {"translations": texts}

    def defaults_of(self, signature: str) -> dict[str, Any]:
        return {}

    def tensor(self, signature: str, name: str, value: Any) -> tf.Tensor:
        return tf.convert_to_tensor(value)


@pytest.fixture
def slow() -> Iterator[Any]:
    version = Slow()
    yield version
    version.may_go.set()


async def taken(slow: Slow) -> None:
    """Waits until a worker has taken the first batch."""
    async with asyncio.timeout(10):
        while not slow.batches:
            await asyncio.sleep(0.001)


def rows(*texts: str) -> list[dict[str, bytes]]:
    return [{"texts": text.encode()} for text in texts]


def test_texts_in_the_queue_form_one_batch(slow: Any) -> None:
    batcher = Batcher(Metrics(), workers=1)

    async def ask() -> list[Any]:
        first = asyncio.ensure_future(batcher.run(slow, "echo", rows("first"), {}))
        await taken(slow)
        others = [asyncio.ensure_future(batcher.run(slow, "echo", rows(text), {})) for text in ("a", "b", "c")]
        await asyncio.sleep(0.01)
        slow.may_go.set()
        return await asyncio.gather(first, *others)

    answers = asyncio.run(ask())
    assert [answer[0]["translations"] for answer in answers] == [b"first", b"a", b"b", b"c"]
    assert slow.batches == [[b"first"], [b"a", b"b", b"c"]]
    batcher.stop()


def test_texts_with_different_settings_form_different_batches(slow: Any) -> None:
    batcher = Batcher(Metrics(), workers=1)

    async def ask() -> None:
        asks = [batcher.run(slow, "echo", rows(text), {"beam_size": n}) for text, n in (("a", 1), ("b", 2), ("c", 1))]
        slow.may_go.set()
        await asyncio.gather(*asks)

    asyncio.run(ask())
    assert sorted(slow.batches) == [[b"a", b"c"], [b"b"]]
    batcher.stop()


def test_a_cancelled_text_is_not_computed(slow: Any) -> None:
    batcher = Batcher(Metrics(), workers=1)

    async def ask() -> None:
        first = asyncio.ensure_future(batcher.run(slow, "echo", rows("first"), {}))
        await taken(slow)
        gone = asyncio.ensure_future(batcher.run(slow, "echo", rows("gone"), {}))
        stays = asyncio.ensure_future(batcher.run(slow, "echo", rows("stays"), {}))
        await asyncio.sleep(0.01)
        gone.cancel()
        await asyncio.sleep(0)
        slow.may_go.set()
        await asyncio.gather(first, stays)

    asyncio.run(ask())
    assert slow.batches == [[b"first"], [b"stays"]]
    batcher.stop()


def test_an_error_reaches_all_texts_of_its_batch_and_no_others(slow: Any) -> None:
    batcher = Batcher(Metrics(), workers=1)
    slow.may_go.set()

    async def ask() -> None:
        with pytest.raises(tf.errors.InvalidArgumentError):
            await batcher.run(slow, "echo", rows("good", "bad"), {})
        (answer,) = await batcher.run(slow, "echo", rows("good"), {})
        assert answer["translations"] == b"good"

    asyncio.run(ask())
    batcher.stop()


def test_a_full_queue_refuses_texts(slow: Any) -> None:
    batcher = Batcher(Metrics(), workers=1, max_queued=2)
    batcher.max_per_request = 2

    async def ask() -> None:
        first = asyncio.ensure_future(batcher.run(slow, "echo", rows("first"), {}))
        await taken(slow)
        waiting = asyncio.ensure_future(batcher.run(slow, "echo", rows("a", "b"), {}))
        await asyncio.sleep(0.01)
        with pytest.raises(BusyError, match="2 texts are waiting already"):
            await batcher.run(slow, "echo", rows("c"), {})
        slow.may_go.set()
        await asyncio.gather(first, waiting)

    asyncio.run(ask())
    batcher.stop()


def test_cancelled_texts_leave_the_queue(slow: Any) -> None:
    batcher = Batcher(Metrics(), workers=1, max_queued=4)

    async def ask() -> None:
        first = asyncio.ensure_future(batcher.run(slow, "echo", rows("first"), {}))
        await taken(slow)
        for _ in range(5):  # as while a user types
            gone = asyncio.ensure_future(batcher.run(slow, "echo", rows("a", "b", "c"), {}))
            await asyncio.sleep(0.001)
            gone.cancel()
            await asyncio.sleep(0)
        slow.may_go.set()
        await first

    asyncio.run(ask())
    batcher.stop()


def test_a_request_may_have_more_texts_than_the_queue_holds(slow: Any) -> None:
    batcher = Batcher(Metrics(), workers=1, max_queued=4)
    slow.may_go.set()
    texts = [str(n) for n in range(9)]
    answers = asyncio.run(batcher.run(slow, "echo", rows(*texts), {}))
    assert [answer["translations"].decode() for answer in answers] == texts
    batcher.stop()


def test_the_queue_is_divided_among_the_workers(slow: Any) -> None:
    batcher = Batcher(Metrics(), workers=2)

    async def ask() -> None:
        work = asyncio.ensure_future(batcher.run(slow, "echo", rows(*(f"text {n}" for n in range(8))), {}))
        while len(slow.batches) < 2:
            await asyncio.sleep(0.001)
        slow.may_go.set()
        await work

    asyncio.run(ask())
    assert [len(batch) for batch in slow.batches] == [4, 4]
    batcher.stop()


def queued(tokens: int) -> QueuedText:
    return QueuedText(("version", "signature", ()), {}, tokens, None)  # type: ignore[arg-type]


def test_a_batch_has_texts_of_similar_length_within_its_budget() -> None:
    texts = [queued(n) for n in (10, 50, 9, 12, 11, 500)]
    assert [one.tokens for one in select_batch(texts, 40)] == [10, 9, 11]
    assert [one.tokens for one in select_batch(texts, 5)] == [10]
    assert [one.tokens for one in select_batch(texts, 10_000)] == [10, 9, 11, 12, 50, 500]


def test_large_batches_have_few_sizes() -> None:
    assert [len(select_batch([queued(10)] * count, 10_000)) for count in (7, 8, 9, 20, 32)] == [7, 8, 8, 16, 32]


def test_batching_does_not_change_translations(server: Running, export: Path) -> None:
    texts = [" ".join(["It rains here."] * (1 + n % 5)).replace(". I", ", i") for n in range(40)]
    expected = [one.text for one in ExportModel(export / "1", {}).translator().translate(texts)]
    before = server.metric("nmt_batch_texts_count")
    with ThreadPoolExecutor(20) as clients:
        found = list(clients.map(lambda text: server.ok("/translate", {"q": text, **PAIR})["translatedText"], texts))
    assert found == expected
    assert server.metric("nmt_batch_texts_count") - before < len(texts)


def test_a_request_has_a_deadline_and_a_limit_on_its_size(export: Path) -> None:
    limits = Limits(body_bytes=500, characters=100, texts=3, deadline=0.0005)
    with serving(export, limits=limits) as running:
        asked = {"q": "It rains.", **PAIR}
        assert running.post("/translate", asked).status_code == 504
        for fields, reason in (
            ({"q": "a" * 101, **PAIR}, "101 characters"),
            ({"q": ["a"] * 4, **PAIR}, "4 texts"),
            ({"q": "a" * 1000, **PAIR}, "500 bytes"),
        ):
            response = running.post("/translate", fields)
            assert response.status_code == 413
            assert reason in response.json()["error"]
        endless = httpx.post(f"{running.url}/translate", content=(b"a" * 100 for _ in range(100)), timeout=60)
        assert endless.status_code == 413
        assert running.ok("/health") == {"status": "ok"}


def test_the_work_of_a_disconnected_client_is_cancelled(export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(export) as running:
        begun = threading.Event()
        cancelled = threading.Event()

        async def run(*_: Any, **__: Any) -> list[Any]:
            begun.set()
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                cancelled.set()
                raise
            return []

        monkeypatch.setattr(running.service.batcher, "run", run)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{running.url}/translate", json={"q": "It rains.", **PAIR}, timeout=httpx.Timeout(10, read=0.2))
        assert begun.is_set()
        assert cancelled.wait(10)
        deadline = time.monotonic() + 10
        while not running.metric("nmt_requests_total"):
            assert time.monotonic() < deadline
        assert 'status="499"' in running.get("/metrics").text
