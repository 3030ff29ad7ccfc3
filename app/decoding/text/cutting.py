"""Texts in the pieces that a model translates one by one: sentences, and parts of those that are too long for it."""

from collections.abc import Sequence

import tensorflow as tf

from app.decoding.text.leading_tags import is_language_code
from app.decoding.text.long_input import CutTables, cut_tables, split_long
from app.decoding.text.sentence_rules import tags_pattern
from app.decoding.text.sentences import cut_sentences, parted
from app.decoding.text.texts import Pieces
from pipelines.vocabulary.loading import AnyVocabulary
from pipelines.vocabulary.tags import is_tag

_ANY_BYTES = r"\C*$"  # malformed ones too


class Cutter:
    """Cuts the texts of one model.

    Args:
        vocabulary: of the model.
        max_source_tokens: the most tokens of a piece, without its tags.
    """

    def __init__(self, vocabulary: AnyVocabulary, max_source_tokens: int) -> None:
        spellings = vocabulary.pieces()
        self.vocabulary = vocabulary
        self.limit = max_source_tokens
        self.tables: CutTables = cut_tables(spellings)
        self.tags = tags_pattern(tags_among(spellings))

    def cut(self, texts: tf.Tensor) -> Pieces:
        """The pieces of `texts` (string [N]); one without a token where there is no text, for a model needs a row."""
        texts = at_least_one(texts)
        tags, texts = self.without_tags(texts)
        by_text = cut_sentences(texts).sentences
        text_of = tf.cast(by_text.value_rowids(), tf.int32)
        kept, said = parted(by_text.values)
        said = tf.where(said == "", "", tf.strings.join([tf.gather(tags, text_of), said]))
        tokens, sentence = split_long(self.vocabulary.encode(said), self.limit, self.tables)
        owner = tf.gather(text_of, sentence)
        return Pieces(
            tokens=tokens.with_row_splits_dtype(tf.int64),
            owner=owner,
            place=places(owner),
            kept=tf.where(places(sentence) == 0, tf.gather(kept, sentence), ""),
            sentence=sentence,
        )

    def prefixes(self, pieces: Pieces, prefixes: tf.Tensor) -> tf.RaggedTensor:
        """The tokens that each piece's translation begins with, int32 [M, (P)], where a text's does with `prefixes`.

        The k-th sentence of a prefix belongs to the k-th of its text, and what is left to the last one. What a piece
        keeps is no part of its translation.
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
        its_kept, its_said = parted(own)
        is_kept = (its_kept == pieces.kept) | (own == pieces.kept)
        return self.vocabulary.encode_target(tf.where(is_kept & (pieces.kept != ""), its_said, own))

    def without_tags(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The tags that each text begins with, with the spaces behind them, and what follows."""
        if not self.tags:
            return tf.fill(tf.shape(texts), ""), texts
        has_tags = tf.strings.regex_full_match(texts, self.tags + _ANY_BYTES)
        tags = tf.where(has_tags, tf.strings.regex_replace(texts, self.tags + _ANY_BYTES, r"\1"), "")
        return tags, tf.strings.regex_replace(texts, self.tags, "", replace_global=False)


def tags_among(spellings: Sequence[str]) -> list[str]:
    """The pieces that are tags, without SentencePiece's mark of a space before them."""
    texts = [spelling.removeprefix("▁") for spelling in spellings]
    return [text for text in texts if is_tag(text) or is_language_code(text)]


def at_least_one(texts: tf.Tensor) -> tf.Tensor:
    """The texts (string [N]), or an empty one where there is none."""
    return tf.concat([texts, tf.fill([tf.cast(tf.size(texts) == 0, tf.int32)], "")], axis=0)


def places(owners: tf.Tensor) -> tf.Tensor:
    """How many before each have the same owner: of [0, 0, 1, 1, 1] (rising) it is [0, 1, 0, 1, 2]."""
    numbers = tf.range(tf.size(owners))
    return numbers - tf.gather(tf.math.segment_min(numbers, owners), owners)
