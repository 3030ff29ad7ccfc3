"""Dynamic batching: queued texts of several requests are translated together.

Each worker is a thread. A worker takes the text that has waited longest and adds queued texts of similar length. The
number of tokens in a batch has two limits: `batch_tokens`, and the worker's share. The share is the number of tokens
that are queued or being computed, divided by the number of workers. If fewer tokens than the share are queued, the
worker waits some milliseconds for more texts, because clients that have just received an answer often send the next
request at once.
"""

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from keras_nmt.app.decoding.signatures import inputs_of
from keras_nmt.app.server.engine.metrics import Metrics
from keras_nmt.app.server.engine.pools.memory import Trimmer
from keras_nmt.app.server.engine.versions import Version
from keras_nmt.app.server.errors import BusyError

BATCH_TOKENS = 4096  # number of rows of a batch times number of tokens of its longest row
BYTES_PER_TOKEN = 3  # a low estimate for most languages; exact counts would need TensorFlow's threads, which are busy
MAX_QUEUED = 2048  # texts
PAUSE_SECONDS = 0.008  # if no new text arrives for this time, a batch does not wait longer
MAX_GATHER_SECONDS = 0.05  # the longest time that a text waits for other texts while a worker is idle
ROWS_MULTIPLE = 8
# Inputs with one value per row. Other inputs have one per batch.
ROW_INPUTS = ("texts", "prompts", "prefixes", "targets", "seeds")

SignatureRow = Mapping[str, Any]  # inputs or outputs of a signature for one text
Settings = tuple[tuple[str, Any], ...]  # names and values of the inputs that are not in `ROW_INPUTS`; hashable
BatchKey = tuple[Version, str, Settings]  # the texts of a batch have the same version, signature, settings


@dataclass
class QueuedText:
    """A text in the queue, or in a batch that is being computed.

    Attributes:
        key: Version, signature and settings. Only texts with equal keys go into the same batch.
        row: Inputs of the signature for this text.
        tokens: Estimated number of tokens, including the end-of-sentence token.
        answer: Future for the outputs of the signature for this text.
        queued_at: Value of `time.monotonic` when the text was queued.
    """

    key: BatchKey
    row: SignatureRow
    tokens: int
    answer: "asyncio.Future[SignatureRow]"
    queued_at: float = field(default_factory=time.monotonic)


class Batcher:
    """Queue of texts, and workers that run signatures on batches of these texts.

    Attributes:
        max_per_request: Maximum number of texts of one request in the queue, so that other requests have room.

    Args:
        metrics: Metrics that record the batches and the queue.
        workers: Number of batches that are computed at the same time.
        batch_tokens: Maximum number of tokens in a batch, with padding. A longer text is a batch of one row.
        max_queued: Maximum number of texts in the queue. A request that would exceed this number is refused.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        workers: int,
        batch_tokens: int = BATCH_TOKENS,
        max_queued: int = MAX_QUEUED,
    ) -> None:
        self.metrics = metrics
        self.batch_tokens = batch_tokens
        self.max_queued = max_queued
        self.max_per_request = max(1, max_queued // 4)
        self._queue: list[QueuedText] = []
        self._changed = threading.Condition()
        self._computing_tokens = 0
        self._trim = Trimmer()
        self._stopped = False
        self._threads = [threading.Thread(target=self._work, name=f"batch-{i}", daemon=True) for i in range(workers)]
        for thread in self._threads:
            thread.start()

    async def run(
        self, version: Version, signature: str, rows: Sequence[SignatureRow], settings: Mapping[str, Any]
    ) -> list[SignatureRow]:
        """Runs a signature on rows (one per text). If the call is cancelled, its rows in the queue are dropped.

        Args:
            version: Version of a model.
            signature: Name of the signature.
            rows: For each row, the inputs named in `ROW_INPUTS` that the signature has. Strings are bytes.
            settings: The other inputs, with one value for all rows: numbers, or tuples of bytes.

        Returns:
            The outputs of the signature for each row, in the order of `rows`.

        Raises:
            BusyError: The queue is full, or the server is shutting down.
            NotFoundError: The version has no such signature.
        """
        version.check_signature(signature)
        answers: list[SignatureRow] = []
        key = (version, signature, tuple(sorted(settings.items())))
        for begin in range(0, len(rows), self.max_per_request):
            answers += await self._run(key, rows[begin : begin + self.max_per_request])
        return answers

    async def _run(self, key: BatchKey, rows: Sequence[SignatureRow]) -> list[SignatureRow]:
        loop = asyncio.get_running_loop()
        texts = [QueuedText(key, row, estimated_tokens(row), loop.create_future()) for row in rows]
        with self._changed:
            self._drop_cancelled()
            if len(self._queue) + len(rows) > self.max_queued:
                self.metrics.refused.labels(key[0].model).inc()
                raise BusyError(f"{len(self._queue)} texts are waiting already; try again in a moment")
            if self._stopped:
                raise BusyError("the server is shutting down")
            self._queue += texts
            self.metrics.waiting.inc(len(texts))
            self._changed.notify_all()
        try:
            return list(await asyncio.gather(*(text.answer for text in texts)))
        finally:  # if one text fails or the client disconnects, nobody needs the other answers
            for text in texts:
                text.answer.cancel()

    def stop(self) -> None:
        """Refuses new texts, waits until all queued texts are translated, and stops the workers."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while batch := self._next_batch():
            tokens = total_tokens(batch)
            loop = batch[0].answer.get_loop()
            try:
                answers: Sequence[SignatureRow | Exception] = compute(batch)
                self._record(batch)
            except Exception as error:  # every request in the batch gets the error
                answers = [error] * len(batch)
            with self._changed:
                self._computing_tokens -= tokens
            loop.call_soon_threadsafe(deliver, batch, answers)
            self._trim()

    def _record(self, batch: Sequence[QueuedText]) -> None:
        version, signature, _ = batch[0].key
        texts = [text.row["prompts" if "prompts" in text.row else "texts"] for text in batch]
        lengths = [1 + length for length in version.token_counts(texts)]
        self.metrics.batch(version.model, signature, len(batch), sum(lengths), len(batch) * max(lengths))

    def _next_batch(self) -> list[QueuedText]:
        """Waits for texts and takes a batch from the queue. After `stop`, returns [] once the queue is empty."""
        with self._changed:
            while True:
                self._drop_cancelled()
                if self._queue:
                    seconds = self._gather_seconds()
                    if seconds <= 0:
                        return self._take_batch()
                    self._changed.wait(seconds)
                elif self._stopped:
                    return []
                else:
                    self._changed.wait()

    def _share(self, queued_tokens: int) -> int:
        """Returns a worker's share of the tokens that are queued or being computed, at most `batch_tokens`.

        The share is the number of these tokens divided by the number of workers.
        """
        return min(self.batch_tokens, -(-(queued_tokens + self._computing_tokens) // len(self._threads)))

    def _gather_seconds(self) -> float:
        """Returns the seconds to wait for further texts; 0 or negative if the next batch must not wait."""
        tokens = total_tokens(self._queue)
        if self._stopped or tokens >= self._share(tokens):
            return 0.0
        now = time.monotonic()
        return min(self._queue[-1].queued_at + PAUSE_SECONDS, self._queue[0].queued_at + MAX_GATHER_SECONDS) - now

    def _drop_cancelled(self) -> None:
        remaining = [text for text in self._queue if not text.answer.done()]
        self.metrics.waiting.dec(len(self._queue) - len(remaining))
        self._queue = remaining

    def _take_batch(self) -> list[QueuedText]:
        first = self._queue[0]
        same_key = [text for text in self._queue if text.key == first.key]
        batch = select_batch(same_key, self._share(total_tokens(same_key)))
        self._computing_tokens += total_tokens(batch)
        taken = set(map(id, batch))
        self._queue = [text for text in self._queue if id(text) not in taken]
        self.metrics.waiting.dec(len(batch))
        now = time.monotonic()
        for text in batch:
            self.metrics.wait_seconds.labels(text.key[0].model).observe(now - text.queued_at)
        return batch


def select_batch(texts: Sequence[QueuedText], batch_tokens: int) -> list[QueuedText]:
    """Selects the first text and the texts with the most similar numbers of tokens.

    The number of texts times the tokens of the longest text is at most `batch_tokens`, unless the first text has more
    tokens. A batch of more than `ROWS_MULTIPLE` texts is cut to a multiple of `ROWS_MULTIPLE`, because TensorFlow makes
    and keeps kernels for each shape.
    """
    first, *others = texts
    batch, longest = [first], first.tokens
    for text in sorted(others, key=lambda text: abs(text.tokens - first.tokens)):
        longest = max(longest, text.tokens)
        if (len(batch) + 1) * longest > batch_tokens:
            break
        batch.append(text)
    return batch[: len(batch) // ROWS_MULTIPLE * ROWS_MULTIPLE or None]


def estimated_tokens(row: SignatureRow) -> int:
    """Estimates the number of tokens of a row's longest text, including the end-of-sentence token."""
    return 1 + max(len(text) for text in row.values() if isinstance(text, bytes)) // BYTES_PER_TOKEN


def total_tokens(texts: Sequence[QueuedText]) -> int:
    """Returns the estimated number of tokens of all texts, without padding."""
    return sum(text.tokens for text in texts)


def compute(batch: Sequence[QueuedText]) -> list[SignatureRow]:
    """Runs the signature of a batch and returns the outputs for each text, in the order of the batch."""
    version, signature, settings = batch[0].key
    rows = {name: tf.constant([text.row[name] for text in batch]) for name in batch[0].row}
    found = call_signature(version, signature, {**rows, **dict(settings)})
    return [{name: values[i] for name, values in found.items()} for i in range(len(batch))]


def call_signature(version: Version, signature: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Runs a signature and returns its outputs. Inputs with a default value may be left out."""
    function = version.signatures[signature]
    given = {**version.defaults_of(signature), **inputs}
    found = function(**{name: version.tensor(signature, name, given[name]) for name in inputs_of(function)})
    return {name: values.numpy() for name, values in found.items()}


def deliver(batch: Sequence[QueuedText], answers: Sequence[SignatureRow | Exception]) -> None:
    """Sets each text's answer or error as the result of the text's future, unless the future was cancelled."""
    for text, answer in zip(batch, answers, strict=True):
        if text.answer.done():
            continue
        if isinstance(answer, Exception):
            text.answer.set_exception(answer)
        else:
            text.answer.set_result(answer)
