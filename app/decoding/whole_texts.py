"""Text processing for tasks that read a text as a whole, such as summarization: one piece for each text.

A translation of a long text is the translations of its sentences, one after another. A summary is not: what a model
cannot read at once is cut off.
"""

import tensorflow as tf

from keras_nmt.app.decoding.forced.given_pieces import GivenPieces
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.decoding.text.cutting import Cutter, at_least_one
from keras_nmt.app.decoding.text.output_checks import WARNINGS, find_warnings
from keras_nmt.app.decoding.text.texts import Pieces, TranslatedTexts
from keras_nmt.app.decoding.text_pipeline import TextPipeline
from keras_nmt.pipelines.sentences.graph_cutting import cut_at_sentence_in_graph
from keras_nmt.pipelines.vocabulary.loading import AnyVocabulary

CUT_OFF = "cut"  # the warning about an output for the beginning of a text alone
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
        """Encodes `texts` (string [N]), each cut at the end of a sentence to at most `limit` tokens: int32 [N, (L)]."""
        fitting, _ = cut_at_sentence_in_graph(texts, self.limit, self.lengths)
        return self.vocabulary.encode(fitting).with_row_splits_dtype(tf.int64)

    def is_too_long(self, texts: tf.Tensor) -> tf.Tensor:
        """Returns True for each of `texts` (string [N]) that is cut: bool [N]."""
        return self.lengths(texts) > self.limit

    def lengths(self, texts: tf.Tensor) -> tf.Tensor:
        """Returns the number of tokens of each of `texts` (string [N]): int64 [N]."""
        return self.vocabulary.encode(texts).row_lengths()


class WholeTextPipeline(TextPipeline):
    """The `TextPipeline` of tasks that read texts as a whole. If a text is cut, its output has the warning "cut"."""

    def __init__(self, vocabulary: AnyVocabulary, options: DecodingOptions) -> None:
        self.whole = WholeTextCutter(vocabulary, options.max_source_tokens)
        super().__init__(vocabulary, options, cutter=self.whole, pairing=whole_pairs, checks=meaningful_warnings)

    def finished(self, found: TranslatedTexts, texts: tf.Tensor) -> TranslatedTexts:
        """Adds the warning "cut" to the outputs for those of `texts` (string [N]) that were cut."""
        is_cut = self.whole.is_too_long(texts)[:, tf.newaxis]
        between = tf.where(found.warnings == "", "", ",")
        return found._replace(warnings=tf.where(is_cut, found.warnings + between + CUT_OFF, found.warnings))


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
