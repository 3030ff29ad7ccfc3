"""Text processing for tasks that read a text as a whole, such as summarization: one piece for each text.

A translation of a long text is the translations of its sentences, one after another. A summary is not: what a model
cannot read at once is cut off.
"""

import tensorflow as tf

from keras_nmt.app.decoding.forced.given_pieces import GivenPieces
from keras_nmt.app.decoding.text.cutting import Cutter, at_least_one, places
from keras_nmt.app.decoding.text.long_input import split_long
from keras_nmt.app.decoding.text.output_checks import WARNINGS, find_warnings
from keras_nmt.app.decoding.text.texts import Pieces

MEANINGFUL = ("repetition", "empty")  # the warnings that fit an output that is shorter than its source


class WholeTextCutter(Cutter):
    """A `Cutter` that makes one piece of each text. Drops the end of a text that is too long for the model."""

    def cut(self, texts: tf.Tensor) -> Pieces:
        """Makes one piece of each of `texts` (string [N]); one empty piece if N is 0."""
        texts = at_least_one(texts)
        rows = tf.range(tf.size(texts))
        return Pieces(
            tokens=self.tokens(texts),
            owner=rows,
            place=tf.zeros_like(rows),
            copied=tf.fill(tf.shape(texts), ""),
            sentence=rows,
        )

    def tokens(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Encodes `texts` (string [N]) to at most `limit` tokens each, cut where `split_long` cuts: int32 [N, (L)]."""
        parts, owner = split_long(self.vocabulary.encode(texts), self.limit, self.tables)
        return tf.ragged.boolean_mask(parts, places(owner) == 0).with_row_splits_dtype(tf.int64)


def whole_pairs(cutter: Cutter, texts: tf.Tensor, targets: tf.Tensor) -> GivenPieces:
    """Returns one pair of pieces for each text and its given output; one empty pair if there are no texts."""
    pieces = cutter.cut(texts)
    begins = tf.ones_like(pieces.owner, tf.bool)
    return GivenPieces(
        tokens=pieces.tokens,
        labels=cutter.vocabulary.encode_target(at_least_one(targets)),
        copied=pieces.copied,
        owner=pieces.owner,
        source=pieces.owner,
        source_begins_word=begins,
        target_begins_word=begins,
    )


def meaningful_warnings(
    sources: tf.Tensor, source_tokens: tf.Tensor, outputs: tf.Tensor, tokens: tf.Tensor
) -> tf.Tensor:
    """Returns the warnings of `find_warnings` that are in `MEANINGFUL`; the others are False."""
    means = tf.constant([name in MEANINGFUL for name in WARNINGS])
    return find_warnings(sources, source_tokens, outputs, tokens) & means
