"""Dynamic batching: texts of requests that wait at the same time are translated together.

Each worker is a thread that takes the text that has waited longest, and with it waiting texts of like length, as many
as a budget of tokens allows, but no more than its share of all that is at work or waits. A worker that finds less than
its share waits a few milliseconds for more: clients who have just been answered often ask again.
"""

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from app.decoding.signatures import inputs_of
from app.server.engine.memory import Trimmer
from app.server.engine.metrics import Metrics
from app.server.engine.versions import Version
from app.server.errors import BusyError

BATCH_TOKENS = 4096  # rows of a batch times tokens of its longest
BYTES_A_TOKEN = 3  # or more, in most languages; to count them takes a turn of TensorFlow's threads, which are at work
MOST_WAITING = 2048  # texts
PAUSE_SECONDS = 0.008  # without a further text: no more come in for now
MOST_GATHER_SECONDS = 0.05  # for which a text waits at most for others while a worker has nothing to do
ROWS_MULTIPLE = 8
ROWS = ("texts", "prefixes", "targets", "seeds")  # inputs with an entry for each text; all others are for the batch

Row = Mapping[str, Any]  # what a signature takes or gives for one text
Settings = tuple[tuple[str, Any], ...]  # what it takes for all of them, hashable


@dataclass
class Job:
    """One text that waits.

    Attributes:
        alike: Its version, signature and settings; only jobs that are alike go into the same batch.
        row: What the signature takes for it.
        tokens: About so many of the source, its end included.
        since: When it came, on the clock of `time.monotonic`.
        answer: For what the signature gives.
    """

    alike: tuple[Version, str, Settings]
    row: Row
    tokens: int
    answer: "asyncio.Future[Row]"
    since: float = field(default_factory=time.monotonic)


class Batcher:
    """Runs signatures for texts of several requests at once.

    Args:
        metrics: Is told of batches and of what waits.
        workers: So many batches are computed at the same time.
        batch_tokens: The budget of a batch; a longer text is a batch of its own.
        most_waiting: So many texts may wait; a request that would make them more is refused.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        workers: int,
        batch_tokens: int = BATCH_TOKENS,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self.metrics = metrics
        self.batch_tokens = batch_tokens
        self.most_waiting = most_waiting
        self.most_at_once = max(1, most_waiting // 4)  # of one request, so that there is room for others
        self._waiting: list[Job] = []
        self._changed = threading.Condition()
        self._at_work = 0  # tokens
        self._trim = Trimmer()
        self._stopped = False
        self._threads = [threading.Thread(target=self._work, name=f"batch-{i}", daemon=True) for i in range(workers)]
        for thread in self._threads:
            thread.start()

    async def run(
        self, version: Version, signature: str, rows: Sequence[Row], settings: Mapping[str, Any]
    ) -> list[Row]:
        """What the signature gives for each row; cancelled, it drops those that no worker has taken.

        Args:
            version: Of a model.
            signature: Its name; its inputs with an entry for each text are some of `ROWS`.
            rows: Those inputs for each text; strings are bytes.
            settings: The other inputs, all of them: numbers, or tuples of bytes.

        Raises:
            BusyError: Too many texts wait already.
            NotFoundError: The version has no such signature.
        """
        version.check_knows(signature)
        answers: list[Row] = []
        alike = (version, signature, tuple(sorted(settings.items())))
        for begin in range(0, len(rows), self.most_at_once):
            answers += await self._run(alike, rows[begin : begin + self.most_at_once])
        return answers

    async def _run(self, alike: tuple[Version, str, Settings], rows: Sequence[Row]) -> list[Row]:
        loop = asyncio.get_running_loop()
        jobs = [Job(alike, row, tokens_of_row(row), loop.create_future()) for row in rows]
        with self._changed:
            self._drop_cancelled()
            if len(self._waiting) + len(rows) > self.most_waiting:
                self.metrics.refused.labels(alike[0].model).inc()
                raise BusyError(f"{len(self._waiting)} texts are waiting already; try again in a moment")
            if self._stopped:
                raise BusyError("the server is about to stop")
            self._waiting += jobs
            self.metrics.waiting.inc(len(jobs))
            self._changed.notify_all()
        try:
            return list(await asyncio.gather(*(job.answer for job in jobs)))
        finally:  # when one fails, or the client is gone, the others need no answer
            for job in jobs:
                job.answer.cancel()

    def stop(self) -> None:
        """Ends the workers once nothing waits."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while batch := self._next_batch():
            tokens = tokens_of(batch)
            loop = batch[0].answer.get_loop()
            try:
                answers: Sequence[Row | Exception] = compute(batch)
                self._count(batch)
            except Exception as error:  # whatever it is, those who wait are told
                answers = [error] * len(batch)
            with self._changed:
                self._at_work -= tokens
            loop.call_soon_threadsafe(hand_out, batch, answers)
            self._trim()

    def _count(self, batch: Sequence[Job]) -> None:
        version, signature, _ = batch[0].alike
        lengths = [1 + length for length in version.token_counts([job.row["texts"] for job in batch])]
        self.metrics.batch(version.model, signature, len(batch), sum(lengths), len(batch) * max(lengths))

    def _next_batch(self) -> list[Job]:
        """Waits for one; there is none any more when the batcher has stopped."""
        with self._changed:
            while True:
                self._drop_cancelled()
                if self._waiting:
                    patience = self._patience()
                    if patience <= 0:
                        return self._take()
                    self._changed.wait(patience)
                elif self._stopped:
                    return []
                else:
                    self._changed.wait()

    def _share(self, waiting: int) -> int:
        """A worker's, in tokens, of what waits and what is at work."""
        return min(self.batch_tokens, -(-(waiting + self._at_work) // len(self._threads)))

    def _patience(self) -> float:
        """For how many seconds more to wait for others, if none comes."""
        tokens = tokens_of(self._waiting)
        if self._stopped or tokens >= self._share(tokens):
            return 0.0
        now = time.monotonic()
        for_others = self._waiting[-1].since + PAUSE_SECONDS - now
        return min(for_others, self._waiting[0].since + MOST_GATHER_SECONDS - now)

    def _drop_cancelled(self) -> None:
        left = [job for job in self._waiting if not job.answer.done()]
        self.metrics.waiting.dec(len(self._waiting) - len(left))
        self._waiting = left

    def _take(self) -> list[Job]:
        first = self._waiting[0]
        alike = [job for job in self._waiting if job.alike == first.alike]
        batch = nearest(alike, self._share(tokens_of(alike)))
        self._at_work += tokens_of(batch)
        taken = set(map(id, batch))
        self._waiting = [job for job in self._waiting if id(job) not in taken]
        self.metrics.waiting.dec(len(batch))
        now = time.monotonic()
        for job in batch:
            self.metrics.wait_seconds.labels(job.alike[0].model).observe(now - job.since)
        return batch


def nearest(jobs: Sequence[Job], batch_tokens: int) -> list[Job]:
    """The first job and those nearest to it in length, with rows times longest row within `batch_tokens`.

    More than a few are a multiple of some, as kernels are made, and kept, for each shape.
    """
    first, *others = jobs
    batch, longest = [first], first.tokens
    for job in sorted(others, key=lambda job: abs(job.tokens - first.tokens)):
        longest = max(longest, job.tokens)
        if (len(batch) + 1) * longest > batch_tokens:
            break
        batch.append(job)
    return batch[: len(batch) // ROWS_MULTIPLE * ROWS_MULTIPLE or None]


def tokens_of_row(row: Row) -> int:
    """About so many tokens has the longest of its texts, the end included."""
    return 1 + max(len(text) for text in row.values() if isinstance(text, bytes)) // BYTES_A_TOKEN


def tokens_of(jobs: Sequence[Job]) -> int:
    """Of all of them, without padding."""
    return sum(job.tokens for job in jobs)


def compute(batch: Sequence[Job]) -> list[Row]:
    """What the signature gives for each job of a batch."""
    version, signature, settings = batch[0].alike
    rows = {name: tf.constant([job.row[name] for job in batch]) for name in batch[0].row}
    found = call(version, signature, {**rows, **dict(settings)})
    return [{name: values[i] for name, values in found.items()} for i in range(len(batch))]


def call(version: Version, signature: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Runs a signature; inputs that it has a default for may be left out."""
    function = version.signatures[signature]
    given = {**version.defaults_of(signature), **inputs}
    found = function(**{name: version.tensor(signature, name, given[name]) for name in inputs_of(function)})
    return {name: values.numpy() for name, values in found.items()}


def hand_out(batch: Sequence[Job], answers: Sequence[Row | Exception]) -> None:
    """Gives each job its answer, unless nobody waits for it any more."""
    for job, answer in zip(batch, answers, strict=True):
        if job.answer.done():
            continue
        if isinstance(answer, Exception):
            job.answer.set_exception(answer)
        else:
            job.answer.set_result(answer)
