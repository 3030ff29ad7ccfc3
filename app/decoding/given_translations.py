"""Pairs of a line and its translation in, scores or alignments out, in order: the Python face of such signatures."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import tensorflow as tf

from app.decoding.signatures import ALIGN, SCORE, TOKENIZE, Signatures
from app.decoding.translator import BATCH_TOKENS, WINDOW_LINES, batches_of_like_length

Pairs = Iterable[tuple[str, str]]
Row = dict[str, Any]  # what a signature gives for one pair


@dataclass(frozen=True)
class Score:
    """What a model gives to one translation of a line.

    Attributes:
        score: log_probability over the length penalty, as `Translation.score` is.
        log_probability: Of the whole translation, its end included; the sum of its tokens'.
        tokens: Each token's piece and its log-probability after those before it; the last is the end, "</s>".
    """

    score: float
    log_probability: float
    tokens: tuple[tuple[str, float], ...]


class Scorer:
    """Scores given translations.

    Args:
        signatures: `TranslationGraph.signatures()`, or the `signatures` of a SavedModel made of them.
        length_penalty: the graph's own where left out, which a SavedModel must be told.
        batch_tokens: lines of a batch times tokens of its longest side.
        window_lines: so many lines are read before the first is scored, and sorted by length.
    """

    def __init__(
        self,
        signatures: Signatures,
        length_penalty: float | None = None,
        *,
        batch_tokens: int = BATCH_TOKENS,
        window_lines: int = WINDOW_LINES,
    ) -> None:
        settings = {} if length_penalty is None else {"length_penalty": tf.constant(length_penalty, tf.float32)}
        self.rows = _Rows(signatures, SCORE, settings, batch_tokens=batch_tokens, window_lines=window_lines)

    def score_lines(self, pairs: Pairs) -> Iterator[Score]:
        """Gives the score of each source and its translation, in order, a window of pairs after the other."""
        for row in self.rows.of(pairs):
            spelt = [piece.decode("utf-8", "replace") for piece in row["pieces"] if piece]
            tokens = tuple(zip(spelt, row["token_log_probabilities"].tolist(), strict=False))
            yield Score(float(row["scores"]), float(row["log_probabilities"]), tokens)


class Aligner:
    """Says which words of given translations come from which of their source; the arguments are those of `Scorer`."""

    def __init__(
        self, signatures: Signatures, *, batch_tokens: int = BATCH_TOKENS, window_lines: int = WINDOW_LINES
    ) -> None:
        self.rows = _Rows(signatures, ALIGN, {}, batch_tokens=batch_tokens, window_lines=window_lines)

    def align_lines(self, pairs: Pairs) -> Iterator[str]:
        """Gives the alignment of each source and its translation in Pharaoh's format, such as "0-0 2-1"."""
        return (row["alignments"].decode() for row in self.rows.of(pairs))


class _Rows:
    """What a signature of `texts` and `targets` gives, pair by pair, in batches of like length."""

    def __init__(
        self,
        signatures: Signatures,
        name: str,
        settings: Mapping[str, tf.Tensor],
        *,
        batch_tokens: int,
        window_lines: int,
    ) -> None:
        self.tokenize = signatures[TOKENIZE]
        self.run_graph = signatures[name]
        self.settings = settings
        self.batch_tokens = batch_tokens
        self.window_lines = window_lines

    def of(self, pairs: Pairs) -> Iterator[Row]:
        remaining = iter(pairs)
        while window := list(islice(remaining, self.window_lines)):
            sides = ([text.encode("utf-8", "replace") for text in side] for side in zip(*window, strict=True))
            yield from self._of_window(*sides)

    def _of_window(self, sources: list[bytes], targets: list[bytes]) -> list[Row]:
        lengths = [self.tokenize(texts=tf.constant(side))["lengths"].numpy() for side in (sources, targets)]
        rows: dict[int, Row] = {}
        for batch in batches_of_like_length(np.maximum(*lengths) + 1, self.batch_tokens):  # + 1 for EOS
            texts, of_texts = (tf.constant([side[i] for i in batch]) for side in (sources, targets))
            found = self.run_graph(texts=texts, targets=of_texts, **self.settings)
            values = {name: value.numpy() for name, value in found.items()}
            rows.update((i, {name: value[row] for name, value in values.items()}) for row, i in enumerate(batch))
        return [rows[i] for i in range(len(sources))]
