"""Continues prompts with language models, a few tokens at a time, in threads that all texts share."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass

from keras_nmt.app.decoding.generation.generator import Chunk, Part, Reason
from keras_nmt.app.server.engine.metrics import Metrics
from keras_nmt.app.server.engine.pools.threads import ThreadPool
from keras_nmt.app.server.engine.versions import Version
from keras_nmt.app.server.errors import BusyError

MAX_TEXTS = 64  # texts that are written at once
SEEDS = 2**31


@dataclass(frozen=True)
class Prompt:
    """A prompt, and how to continue it.

    Attributes:
        text: The text to continue.
        seed: Seed of the random numbers, from 0 to `SEEDS` - 1.
        settings: Values for fields of `GenerationSettings`.
        stop: Strings before which the text ends.
        alternatives: Number of most probable tokens to return for each place.
    """

    text: str
    seed: int
    settings: Mapping[str, float]
    stop: tuple[str, ...] = ()
    alternatives: int = 0


@dataclass(frozen=True)
class WrittenText:
    """A whole continuation, its seed, and the reason why it ends."""

    parts: tuple[Part, ...]
    seed: int
    reason: Reason

    @property
    def text(self) -> str:
        """The text of all parts."""
        return "".join(part.text for part in self.parts)


class Writer:
    """Continues prompts. After each chunk of a text, the other texts have their turn.

    Args:
        metrics: Metrics that count the tokens.
        max_texts: Maximum number of texts that are written at once. A request that would exceed it is refused.
    """

    def __init__(self, metrics: Metrics, max_texts: int = MAX_TEXTS) -> None:
        self.metrics = metrics
        self.max_texts = max_texts
        self._texts = 0
        # A cancelled call occupies its thread until it returns, so there can be more calls than texts.
        self._threads = ThreadPool(2 * max_texts)

    @contextmanager
    def admitted(self, texts: int) -> Iterator[None]:
        """Counts the texts of a request until the block is left.

        Raises:
            BusyError: Too many texts are being written.
        """
        self.check_room(texts)
        self._texts += texts
        try:
            yield
        finally:
            self._texts -= texts

    def check_room(self, texts: int) -> None:
        """Raises `BusyError` if there is no room for this number of further texts."""
        if self._texts + texts > self.max_texts:
            raise BusyError(f"{self._texts} texts are being written already; try again in a moment")

    async def chunks(self, version: Version, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        """Yields the chunks of one continuation.

        If the generator is closed early, no further token is drawn, and the model's cache for the text is freed.
        """
        generator = version.generator
        chunks = generator.chunks(
            prompt.text,
            seed=prompt.seed,
            settings=generator.steps.settings.changed(prompt.settings),
            stop=prompt.stop,
            alternatives=prompt.alternatives,
        )
        draws = _Draws(chunks)
        try:
            while True:
                chunk = await self._threads.run(draws.next)
                self.metrics.generated.labels(version.model).inc(chunk.tokens)
                yield chunk
                if chunk.reason:
                    return
        finally:
            draws.close()

    async def write(self, version: Version, prompts: list[Prompt]) -> list[WrittenText]:
        """Returns the whole continuations of prompts, which are written at the same time."""
        with self.admitted(len(prompts)):
            return list(await asyncio.gather(*(self._write(version, prompt) for prompt in prompts)))

    async def _write(self, version: Version, prompt: Prompt) -> WrittenText:
        parts: list[Part] = []
        reason: Reason | None = None
        async with aclosing(self.chunks(version, prompt)) as chunks:
            async for chunk in chunks:
                parts += chunk.parts
                reason = chunk.reason
        return WrittenText(tuple(parts), prompt.seed, reason or "end")


class _Draws:
    """A generator of chunks that one thread at a time draws from, and that can be closed while a thread does."""

    def __init__(self, chunks: Generator[Chunk, None, None]) -> None:
        self._chunks = chunks
        self._drawing = threading.Lock()
        self._is_closed = False

    def next(self) -> Chunk:
        """Draws the next chunk."""
        with self._drawing:
            chunk = next(self._chunks)
        self._close_if_asked()
        return chunk

    def close(self) -> None:
        """Closes the generator, at the latest when a thread has drawn the chunk that it is drawing."""
        self._is_closed = True
        self._close_if_asked()

    def _close_if_asked(self) -> None:
        if self._is_closed and self._drawing.acquire(blocking=False):
            self._chunks.close()
            self._drawing.release()
