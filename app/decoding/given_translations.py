"""Scores and aligns pairs of a line and its translation, or scores texts, in order, with an engine's signatures."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import tensorflow as tf

from keras_nmt.app.decoding.signatures import ALIGN, SCORE, TOKENIZE, Signatures, inputs_of
from keras_nmt.app.decoding.translator import BATCH_TOKENS, WINDOW_LINES, batches_of_like_length
from keras_nmt.app.errors import UserError

Pairs = Iterable[tuple[str, str]]
PairOutputs = dict[str, Any]  # the outputs of a signature for one pair: NumPy scalars and arrays


@dataclass(frozen=True)
class Score:
    """A model's score of one translation of a line, or of a text.

    Attributes:
        score: The log-probability divided by the length penalty, like `Translation.score`. A language model has no
            length penalty.
        log_probability: The summed log-probability of all tokens, "</s>" included.
        tokens: The piece of each token and its log-probability given the tokens before it. The last piece is "</s>".
    """

    score: float
    log_probability: float
    tokens: tuple[tuple[str, float], ...]


class Scorer:
    """Scores given translations, or with a language model, given texts.

    Args:
        signatures: The signatures of an engine, or the attribute `signatures` of a loaded SavedModel.
        length_penalty: The exponent of the length penalty; None for the engine's default. It must not be None if the
            signatures are those of a SavedModel.
        batch_tokens: The largest batch size in tokens, padding included: the number of pairs in the batch times the
            number of tokens in its longest text. A pair with more tokens forms a batch of one pair.
        window_lines: The number of pairs that are read and sorted by length before the first of them is scored.
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
        """Yields the score of each pair of a source and its translation, in the order of `pairs`."""
        return map(_score_of, self.rows.of(pairs))

    def score_texts(self, texts: Iterable[str]) -> Iterator[Score]:
        """Yields the score of each text by a language model, in the order of `texts`."""
        return map(_score_of, self.rows.of((text,) for text in texts))


class Aligner:
    """Aligns the words of given translations with the words of their sources. `Scorer` describes the arguments."""

    def __init__(
        self, signatures: Signatures, *, batch_tokens: int = BATCH_TOKENS, window_lines: int = WINDOW_LINES
    ) -> None:
        self.rows = _Rows(signatures, ALIGN, {}, batch_tokens=batch_tokens, window_lines=window_lines)

    def align_lines(self, pairs: Pairs) -> Iterator[str]:
        """Yields the alignment of each pair of a source and its translation, in the order of `pairs`.

        The format is Pharaoh's: "0-0 2-1" aligns source word 0 with target word 0, and source word 2 with target
        word 1.
        """
        return (row["alignments"].decode() for row in self.rows.of(pairs))


def _score_of(row: PairOutputs) -> Score:
    spelt = [piece.decode("utf-8", "replace") for piece in row["pieces"] if piece]
    tokens = tuple(zip(spelt, row["token_log_probabilities"].tolist(), strict=False))
    score = row["scores" if "scores" in row else "log_probabilities"]
    return Score(float(score), float(row["log_probabilities"]), tokens)


class _Rows:
    """The outputs of a signature for rows of texts, computed in batches of rows of similar length.

    The texts of a row are the inputs `texts` and, if the signature has it, `targets`.
    """

    def __init__(
        self,
        signatures: Signatures,
        name: str,
        settings: Mapping[str, tf.Tensor],
        *,
        batch_tokens: int,
        window_lines: int,
    ) -> None:
        if name not in signatures:
            raise UserError(f"this model does not {name} given output")
        self.tokenize = signatures[TOKENIZE]
        self.run_graph = signatures[name]
        inputs = inputs_of(self.run_graph)
        self.columns = [column for column in ("texts", "targets") if column in inputs]
        self.settings = {name: value for name, value in settings.items() if name in inputs}
        self.batch_tokens = batch_tokens
        self.window_lines = window_lines

    def of(self, rows: Iterable[tuple[str, ...]]) -> Iterator[PairOutputs]:
        remaining = iter(rows)
        while window := list(islice(remaining, self.window_lines)):
            sides = ([text.encode("utf-8", "replace") for text in side] for side in zip(*window, strict=True))
            yield from self._of_window(dict(zip(self.columns, sides, strict=True)))

    def _of_window(self, sides: Mapping[str, list[bytes]]) -> list[PairOutputs]:
        lengths = np.max([self.tokenize(texts=tf.constant(side))["lengths"].numpy() for side in sides.values()], axis=0)
        rows: dict[int, PairOutputs] = {}
        for batch in batches_of_like_length(lengths + 1, self.batch_tokens):  # + 1 for EOS
            inputs = {name: tf.constant([side[i] for i in batch]) for name, side in sides.items()}
            found = self.run_graph(**inputs, **self.settings)
            values = {name: value.numpy() for name, value in found.items()}
            rows.update((i, {name: value[row] for name, value in values.items()}) for row, i in enumerate(batch))
        return [rows[i] for i in range(len(lengths))]
