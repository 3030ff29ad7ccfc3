"""Subword regularisation: a new segmentation is drawn each time a sentence is read (Kudo 2018, section 3.2).

A segmentation of a text is drawn from all possible ones, with a probability proportional to P(segmentation)**alpha,
where P is the probability in the unigram model of the vocabulary. The algorithm is forward filtering and backward
sampling in a lattice.

SentencePiece's own `SampleEncode`, which tensorflow-text uses too, draws from the same distribution but is not
reproducible: from version 0.2.2 on, its random numbers differ between processes even with the same seed, so a resumed
training would read other batches. In this module, each row of a batch has a key that determines its draws. So the draws
of a row are the same on a machine that draws only some rows of the batch and on a machine that draws all rows. This
module is also several times faster than `SampleEncode`. No piece crosses a word boundary, so the lattices of all
distinct words of a window are built once, and the segmentations of all words of a batch are drawn at the same time.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sentencepiece import sentencepiece_model_pb2

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.shards.buckets import Lengths, Rows
from keras_nmt.pipelines.shards.reading import TokenizedPairs
from keras_nmt.pipelines.streaming.batching import EMPTY_ROW, BatchPlan, Ids, NumpyBatch, padded, with_decoder_input
from keras_nmt.pipelines.streaming.subwords.lattices import Floats, Lattices, RandomKeys, Trie, mixed_keys
from keras_nmt.pipelines.streaming.subwords.ragged import Integers, Ragged, positions
from keras_nmt.pipelines.vocabulary.tokenizer import PAD
from keras_nmt.pipelines.vocabulary.training import WORD_START

_ATOM = 0x110000  # above all Unicode characters; a piece that cannot be split is the single character _ATOM + id
# With 1.0 a quarter of a batch is padding. With 2.5 nearly all first draws would fit, but a third would be padding.
_ROOM_DEVIATIONS = 1.0
_ATTEMPTS = 4  # number of draws of a sentence; then at most one sentence in a hundred does not fit
_MEASURED_DRAWS = 100_000


def row_keys(rows: int, random: np.random.Generator) -> RandomKeys:
    """Returns the keys that determine the draws of a batch, uint64 [2, attempts, B]: for each side, attempt and row."""
    return random.integers(1 << 64, size=(2, _ATTEMPTS, rows), dtype=np.uint64)


class SubwordSampler:
    """Draws segmentations according to the probabilities in one vocabulary."""

    def __init__(self, model_proto: bytes, alpha: float) -> None:
        """Reads the pieces and their scores.

        Args:
            model_proto: A SentencePiece unigram model.
            alpha: The exponent of the probabilities: 1 samples from the model's distribution, 0 would be uniform.

        Raises:
            DataError: The model is not a unigram model. Only the scores of unigram models are log probabilities.
        """
        model = sentencepiece_model_pb2.ModelProto.FromString(model_proto)
        if model.trainer_spec.model_type != model.trainer_spec.UNIGRAM:
            raise DataError(
                "sampling segmentations needs a unigram vocabulary, but that of this data is of another kind; use "
                "sampling_alpha 0, or prepare the data with a unigram vocabulary"
            )
        pieces = model.pieces
        normal = np.array([piece.type == piece.NORMAL for piece in pieces])
        # Bytes, control symbols and user-defined pieces are neither split nor merged.
        spelling = [
            [ord(character) for character in piece.piece] if normal[i] else [_ATOM + i]
            for i, piece in enumerate(pieces)
        ]
        scores = np.where(normal, [piece.score for piece in pieces], 0.0)
        self._weights = alpha * scores
        self._begins_word = ~normal | np.array([piece.piece.startswith(WORD_START) for piece in pieces])
        self._trie = Trie.of(spelling)
        self._spelling = Ragged.of(spelling)
        self._growth, self._variance = self._measure(np.flatnonzero(normal), scores)

    def room(self, lengths: Lengths, max_length: int) -> Lengths:
        """Returns the lengths with which batches are planned, int32 [N, 2].

        Most drawn segmentations are not longer than the planned lengths. `lengths` has the lengths of the stored ones.

        A drawn segmentation is usually longer than the most probable one, by a factor that depends on the vocabulary.
        The planned length is the expected length plus one standard deviation, but at most `max_length`. The planned
        length is never below the length of the stored segmentation.
        """
        tokens = lengths - 1.0  # EOS stays one token
        room = 1 + np.ceil(tokens * self._growth + _ROOM_DEVIATIONS * np.sqrt(tokens * self._variance))
        return np.maximum(lengths, np.minimum(room, max_length)).astype(np.int32)

    def expected(self, lengths: Lengths, max_length: int) -> NDArray[np.float64]:
        """Returns the expected length of each drawn segmentation, but at most the planned length (`room`).

        The real mean is slightly lower, because a segmentation that does not fit is replaced by another draw.
        """
        return np.minimum(1 + (lengths - 1.0) * self._growth, self.room(lengths, max_length))

    def segmentations(self, tokens: TokenizedPairs) -> "Segmentations":
        """Builds the lattices of all words of the pairs; they take about 100 MB for 100,000 pairs of European news."""
        begins = [self._begins_word[values] for values in tokens.values]
        for side in (0, 1):
            begins[side][tokens.starts[:, side]] = True
        starts = np.flatnonzero(np.concatenate(begins))
        words = Ragged(np.concatenate(tokens.values), starts, np.diff(starts, append=sum(map(len, begins))))
        distinct, numbers = words.distinct()
        sides = np.split(numbers, [np.count_nonzero(begins[0])])
        first = [np.searchsorted(np.flatnonzero(begins[side]), tokens.starts[:, side]) for side in (0, 1)]
        rows = [Ragged(sides[s], first[s], np.diff(first[s], append=len(sides[s]))) for s in (0, 1)]
        return Segmentations(tokens, (rows[0], rows[1]), self._lattices(distinct))

    def _lattices(self, words: Ragged) -> Lattices:
        """Builds the lattices of words, each given as a row of piece ids."""
        words = words.take(np.arange(len(words.counts)))
        return Lattices.of(self._spelling.take(words.values).joined(words), self._trie, self._weights)

    def _measure(self, normal: Integers, scores: Floats) -> tuple[float, float]:
        """Returns the mean and the variance of the number of drawn tokens that replace one stored token."""
        probability = np.exp(scores[normal])
        lattices = self._lattices(Ragged(normal, np.arange(len(normal)), np.ones(len(normal), np.int64)))
        random = np.random.Generator(np.random.PCG64(0))
        words = random.choice(len(normal), _MEASURED_DRAWS, p=probability / probability.sum())
        drawn = lattices.draw(words, random.integers(1 << 64, size=_MEASURED_DRAWS, dtype=np.uint64)).counts
        return float(drawn.mean()), float(drawn.var())


class Segmentations(NamedTuple):
    """The pairs of a window with the lattices of their words.

    Attributes:
        tokens: The stored segmentations.
        words: The words of each source, and the words of each target, as indices of words in `lattices`.
        lattices: The lattices of all distinct words.
    """

    tokens: TokenizedPairs
    words: tuple[Ragged, Ragged]
    lattices: Lattices

    def draw_batch(self, plan: BatchPlan, keys: RandomKeys, room: Lengths) -> NumpyBatch:
        """Returns the batch of a plan, as `fill_batch` does, but with newly drawn segmentations.

        If a drawn segmentation does not fit, another one is drawn. So the mean length of the sentences is slightly
        below that of the distribution: by 2 to 5% at alpha 0.1, by 1 to 3% at alpha 0.2. If no draw of a sentence fits,
        the sentence keeps its stored segmentation.

        Args:
            plan: The plan, with one pair per row.
            keys: The keys of the rows (`row_keys`).
            room: int32 [B, 2], the maximum length of the source and the target of each row.
        """
        return with_decoder_input(
            self._draw_side(0, padded(self.tokens, 0, plan.rows, plan.source_length), plan.rows, keys[0], room[:, 0]),
            self._draw_side(1, padded(self.tokens, 1, plan.rows, plan.target_length), plan.rows, keys[1], room[:, 1]),
        )

    def _draw_side(self, side: int, batch: Ids, rows: Rows, keys: RandomKeys, room: Integers) -> Ids:
        """Replaces the stored segmentations in one side of a batch by drawn segmentations that fit in `room`."""
        left = np.flatnonzero(rows != EMPTY_ROW)
        for attempt_keys in keys:
            sentences = self.words[side].take(rows[left])
            word_keys = mixed_keys(np.repeat(attempt_keys[left], sentences.counts), positions(sentences.counts))
            drawn = self.lattices.draw(sentences.values, word_keys).joined(sentences)
            fits = drawn.counts <= room[left]
            fitting = drawn.take(np.flatnonzero(fits))
            batch[left[fits]] = PAD
            batch[np.repeat(left[fits], fitting.counts), positions(fitting.counts)] = fitting.values
            left = left[~fits]
        return batch
