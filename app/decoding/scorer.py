"""Pairs of lines in, scores out, in order: the Python face of a graph's or an export's `score`."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np
import tensorflow as tf

from app.decoding.translation_graph import SCORE, TOKENIZE, Signatures
from app.decoding.translator import BATCH_TOKENS, WINDOW_LINES, batches_of_like_length


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
    """Scores given translations in batches of like length.

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
        self.tokenize = signatures[TOKENIZE]
        self.search = {} if length_penalty is None else {"length_penalty": tf.constant(length_penalty, tf.float32)}
        self.run_graph = signatures[SCORE]
        self.batch_tokens = batch_tokens
        self.window_lines = window_lines

    def score_lines(self, pairs: Iterable[tuple[str, str]]) -> Iterator[Score]:
        """Gives the score of each source and its translation, in order, a window of pairs after the other."""
        remaining = iter(pairs)
        while window := list(islice(remaining, self.window_lines)):
            yield from self._score_window(
                *([text.encode("utf-8", "replace") for text in side] for side in zip(*window, strict=True))
            )

    def _score_window(self, sources: list[bytes], targets: list[bytes]) -> list[Score]:
        lengths = [self.tokenize(texts=tf.constant(side))["lengths"].numpy() for side in (sources, targets)]
        by_line: dict[int, Score] = {}
        for batch in batches_of_like_length(np.maximum(*lengths) + 1, self.batch_tokens):  # + 1 for EOS
            texts, of_texts = (tf.constant([side[i] for i in batch]) for side in (sources, targets))
            found = self.run_graph(texts=texts, targets=of_texts, **self.search)
            by_line.update(zip(batch, _scores({name: value.numpy() for name, value in found.items()}), strict=True))
        return [by_line[i] for i in range(len(sources))]


def _scores(found: Mapping[str, np.ndarray]) -> Iterator[Score]:
    """From what the signature gives for N pairs."""
    names = ("scores", "log_probabilities", "pieces", "token_log_probabilities")
    for score, log_probability, pieces, values in zip(*(found[name] for name in names), strict=True):
        spelt = [piece.decode("utf-8", "replace") for piece in pieces if piece]
        yield Score(float(score), float(log_probability), tuple(zip(spelt, values.tolist(), strict=False)))
