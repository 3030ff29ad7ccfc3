"""Cuts texts into the pieces that a model translates: sentences, and parts of sentences that are too long."""

from collections.abc import Sequence

import tensorflow as tf

from keras_nmt.app.decoding.text.leading_tags import is_language_code
from keras_nmt.app.decoding.text.long_input import CutTables, cut_tables, split_long
from keras_nmt.app.decoding.text.sentences import cut_sentences, split_copied
from keras_nmt.app.decoding.text.texts import Pieces
from keras_nmt.pipelines.sentences.rules import tags_pattern
from keras_nmt.pipelines.vocabulary.loading import AnyVocabulary
from keras_nmt.pipelines.vocabulary.tags import is_tag

_ANY_BYTES = r"\C*$"  # also malformed UTF-8


class Cutter:
    """Cuts texts for one model.

    Args:
        vocabulary: The vocabulary of the model.
        max_source_tokens: The largest number of tokens in a piece, not counting its tags.
    """

    def __init__(self, vocabulary: AnyVocabulary, max_source_tokens: int) -> None:
        spellings = vocabulary.pieces()
        self.vocabulary = vocabulary
        self.limit = max_source_tokens
        self.tables: CutTables = cut_tables(spellings)
        self.tags = tags_pattern(tags_among(spellings))

    def cut(self, texts: tf.Tensor) -> Pieces:
        """Cuts `texts` (string [N]) into sentences, and sentences that are too long into parts.

        If N is 0, returns one piece without tokens, since a model needs at least one row.
        """
        texts = at_least_one(texts)
        tags, texts = self.without_tags(texts)
        by_text = cut_sentences(texts).sentences
        text_of = tf.cast(by_text.value_rowids(), tf.int32)
        copied, rest = split_copied(by_text.values)
        rest = tf.where(rest == "", "", tf.strings.join([tf.gather(tags, text_of), rest]))
        tokens, sentence = split_long(self.vocabulary.encode(rest), self.limit, self.tables)
        owner = tf.gather(text_of, sentence)
        return Pieces(
            tokens=tokens.with_row_splits_dtype(tf.int64),
            owner=owner,
            place=places(owner),
            copied=tf.where(places(sentence) == 0, tf.gather(copied, sentence), ""),
            sentence=sentence,
        )

    def prefixes(self, pieces: Pieces, prefixes: tf.Tensor) -> tf.RaggedTensor:
        """Divides the prefixes of translations among the pieces of the source texts.

        The k-th sentence of a prefix belongs to the k-th sentence of its text. If a prefix has more sentences than its
        text, the extra sentences belong to the last sentence of the text. If a sentence has several pieces, the first
        piece gets the prefix of the sentence. If the prefix of a piece begins with the text that is copied before the
        translation of the piece, the copied text is removed from the prefix.

        Args:
            pieces: The M pieces of N texts.
            prefixes: string [N], the prefix of the translation of each text.

        Returns:
            int32 [M, (P)], the tokens of the prefix of each piece.
        """
        begun = cut_sentences(at_least_one(prefixes)).sentences
        first = tf.math.segment_min(pieces.sentence, pieces.owner)  # [N], the first sentence of each text
        last = tf.math.segment_max(pieces.sentence, pieces.owner)
        rows = tf.cast(begun.value_rowids(), tf.int32)
        number = tf.range(tf.size(rows)) - tf.gather(tf.cast(begun.row_splits, tf.int32), rows)
        sentence = tf.minimum(tf.gather(first, rows) + number, tf.gather(last, rows))
        of_sentence = tf.RaggedTensor.from_value_rowids(begun.values, sentence, tf.reduce_max(pieces.sentence) + 1)
        of_sentence = tf.strings.reduce_join(of_sentence, axis=1, separator=" ")
        own = tf.where(places(pieces.sentence) == 0, tf.gather(of_sentence, pieces.sentence), "")
        its_copied, its_rest = split_copied(own)
        same_copied = (its_copied == pieces.copied) | (own == pieces.copied)
        return self.vocabulary.encode_target(tf.where(same_copied & (pieces.copied != ""), its_rest, own))

    def without_tags(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Splits each text into its leading tags with the spaces after them, and the rest of the text."""
        if not self.tags:
            return tf.fill(tf.shape(texts), ""), texts
        has_tags = tf.strings.regex_full_match(texts, self.tags + _ANY_BYTES)
        tags = tf.where(has_tags, tf.strings.regex_replace(texts, self.tags + _ANY_BYTES, r"\1"), "")
        return tags, tf.strings.regex_replace(texts, self.tags, "", replace_global=False)


def tags_among(spellings: Sequence[str]) -> list[str]:
    """Returns the pieces that are tags. Removes SentencePiece's mark for a space before each tag."""
    texts = [spelling.removeprefix("▁") for spelling in spellings]
    return [text for text in texts if is_tag(text) or is_language_code(text)]


def at_least_one(texts: tf.Tensor) -> tf.Tensor:
    """Returns the texts (string [N]), or one empty text if N is 0."""
    return tf.concat([texts, tf.fill([tf.cast(tf.size(texts) == 0, tf.int32)], "")], axis=0)


def places(owners: tf.Tensor) -> tf.Tensor:
    """Numbers the entries of each owner from 0. The owners must ascend.

    Example: the owners [0, 0, 1, 1, 1] give [0, 1, 0, 1, 2].
    """
    numbers = tf.range(tf.size(owners))
    return numbers - tf.gather(tf.math.segment_min(numbers, owners), owners)


def ends_prefix(pieces: Pieces, begun: tf.RaggedTensor) -> tf.Tensor:
    """Returns True for the piece of each text in which the text's prefix ends: bool [M].

    If a text has no prefix, the result is True for its first piece that has tokens.

    Args:
        pieces: The M pieces of all texts.
        begun: int32 [M, (P)], the tokens of the prefix of each piece.
    """
    most = tf.size(pieces.owner)
    rank = tf.where(begun.row_lengths() > 0, most + pieces.place, most - 1 - pieces.place)
    rank = tf.where(pieces.tokens.row_lengths() > 0, rank, -1)
    return rank == tf.gather(tf.math.segment_max(rank, pieces.owner), pieces.owner)


def first_piece(pieces: Pieces) -> tf.RaggedTensor:
    """Returns the first piece that has tokens, or else the first piece, as token ids: int32 [1, (L)]."""
    first = tf.argmax(pieces.tokens.row_lengths() > 0)
    return pieces.tokens[first : first + 1]
