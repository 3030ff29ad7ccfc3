"""Lines in, translations out, in order: the Python face of a translation graph or of an export that holds one."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import tensorflow as tf

from app.decoding.options import DecodingOptions
from app.decoding.translation_graph import N_BEST, PREFIX, TOKENIZE, TRANSLATE, Search, Signatures
from app.errors import UserError

WINDOW_LINES = 4096  # enough to find lines of like length, and soon read
BATCH_TOKENS = 4096

Progress = Callable[[int], None]


def _silent(lines: int) -> None:
    """Shows no progress."""


@dataclass(frozen=True)
class Translation:
    """The best translation of a line, and the next best ones as (text, score), best first.

    A score is a log-probability over a length penalty; higher is better, and scores of different lines do not compare.
    """

    text: str
    score: float
    alternatives: tuple[tuple[str, float], ...] = ()


class Translator:
    """Translates lines in batches of like length.

    Args:
        signatures: `TranslationGraph.signatures()`, or the `signatures` of a SavedModel made of them.
        options: of the search; the graph's own where left out, which a SavedModel must be told.
        hypotheses: translations of a line, the best one and `hypotheses - 1` alternatives; at most the beam size.
        batch_tokens: lines of a batch times tokens of its longest; a longer line is a batch of its own.
        window_lines: so many lines are read before the first is translated, and sorted by length.
    """

    def __init__(
        self,
        signatures: Signatures,
        options: DecodingOptions | None = None,
        *,
        hypotheses: int = 1,
        batch_tokens: int = BATCH_TOKENS,
        window_lines: int = WINDOW_LINES,
    ) -> None:
        self.tokenize = signatures[TOKENIZE]
        self.run_graph = signatures[TRANSLATE if hypotheses == 1 else N_BEST]
        self.run_with_prefix = signatures.get(PREFIX)
        self.search = Search.of(options)._asdict() if options else {}
        self.hypotheses = hypotheses
        self.batch_tokens = batch_tokens
        self.window_lines = window_lines

    def translate(self, lines: Iterable[str], *, progress: Progress = _silent) -> list[Translation]:
        """Gives one translation for each line, in order; an empty one for an empty line."""
        return list(self.translate_lines(lines, progress=progress))

    def translate_lines(
        self, lines: Iterable[str], *, prefixes: Iterable[str] | None = None, progress: Progress = _silent
    ) -> Iterator[Translation]:
        """Gives one translation for each line, in order, a window of lines after the other.

        Args:
            lines: Text.
            prefixes: With what the translation of each line must begin.
            progress: Is called after each batch with the number of its lines.

        Raises:
            UserError: There are prefixes, and the engine takes none, or there are fewer or more than lines.
        """
        if prefixes is not None and self.run_with_prefix is None:
            raise UserError("this engine takes no prefixes; translate with the run, or export it as a SavedModel")
        remaining, begun = iter(lines), iter(prefixes) if prefixes is not None else None
        while window := [line.encode("utf-8", "replace") for line in islice(remaining, self.window_lines)]:
            beginnings = None
            if begun is not None:
                beginnings = [prefix.encode("utf-8", "replace") for prefix in islice(begun, len(window))]
                if len(beginnings) < len(window):
                    raise UserError("there are fewer prefixes than lines; a line needs one prefix, which may be empty")
            yield from self._translate_window(window, beginnings, progress)
        if begun is not None and next(begun, None) is not None:
            raise UserError("there are more prefixes than lines")

    def _translate_window(
        self, window: Sequence[bytes], prefixes: Sequence[bytes] | None, progress: Progress
    ) -> list[Translation]:
        tokens = self.tokenize(texts=tf.constant(window))["lengths"].numpy()
        by_line: dict[int, Translation] = {}
        for batch in batches_of_like_length(tokens + 1, self.batch_tokens):  # + 1 for EOS
            texts = tf.constant([window[i] for i in batch])
            if prefixes is None or self.run_with_prefix is None:
                found = self.run_graph(texts=texts, **self.search)
            else:
                beginnings = tf.constant([prefixes[i] for i in batch])
                found = self.run_with_prefix(texts=texts, prefixes=beginnings, **self.search)
            best = (self._best(found[name].numpy()) for name in ("translations", "scores"))
            by_line.update(zip(batch, map(_translation, *best), strict=True))
            progress(len(batch))
        return [by_line[i] for i in range(len(window))]

    def _best(self, values: np.ndarray) -> np.ndarray:
        """[N] of `serving_default` or [N, K] of `translate_nbest` -> [N, `hypotheses`]."""
        return values.reshape(len(values), -1)[:, : self.hypotheses]


def batches_of_like_length(lengths: np.ndarray, batch_tokens: int) -> list[list[int]]:
    """Divides lines into batches, each with rows times longest line within `batch_tokens`, or with a single line.

    Example: lengths [3, 9, 2, 3] and 8 tokens give [[1], [0, 3], [2]].

    Args:
        lengths: int [N], the tokens of each line.
        batch_tokens: the most tokens of a batch, padding included.

    Returns:
        The places of each batch's lines, longest first, so that too little memory shows at once.
    """
    batches: list[list[int]] = []
    longest = 0
    for line in np.argsort(-lengths, kind="stable").tolist():
        if not batches or (len(batches[-1]) + 1) * longest > batch_tokens:
            batches.append([])
            longest = int(lengths[line])
        batches[-1].append(line)
    return batches


def _translation(texts: np.ndarray, scores: np.ndarray) -> Translation:
    """From the texts, bytes [H], and scores, [H], of a line; those that do not exist are left out."""
    best, *others = [(text.decode("utf-8", "replace"), float(score)) for text, score in zip(texts, scores, strict=True)]
    return Translation(*best, alternatives=tuple(other for other in others if other[1] > -np.inf))
