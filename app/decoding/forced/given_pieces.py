"""Cuts texts and their given translations into pairs of pieces, for scores and alignments."""

from typing import NamedTuple

import tensorflow as tf

from keras_nmt.app.decoding.text.cutting import Cutter, at_least_one, places
from keras_nmt.app.decoding.text.joining import join_pieces
from keras_nmt.app.decoding.text.leading_tags import without_tags
from keras_nmt.app.decoding.text.long_input import CutTables, split_long
from keras_nmt.app.decoding.text.pairing import pair_up
from keras_nmt.app.decoding.text.sentences import cut_sentences, split_copied
from keras_nmt.app.decoding.text.texts import row_lengths
from keras_nmt.pipelines.vocabulary.tokenizer import PAD

_ROOM = 64  # a target piece may have twice the largest number of source tokens, and this many more
_FAR = 8  # tokens; a word is cut if no word begins within this distance


class GivenPieces(NamedTuple):
    """N texts and their translations, cut into M pairs of pieces."""

    tokens: tf.RaggedTensor  # int32 [M, (L)], tokens of the text, with leading tags
    labels: tf.RaggedTensor  # int32 [M, (T)], tokens of the translation, without EOS
    copied: tf.Tensor  # string [M], copied text that precedes the piece on both sides
    owner: tf.Tensor  # int32 [M], the text of each pair, ascending
    source: tf.Tensor  # int32 [M], the index of the source piece, ascending; equal for pairs with the same source piece
    source_begins_word: tf.Tensor  # bool [M], False if the source piece continues the last word of the piece before
    target_begins_word: tf.Tensor  # bool [M], the same for the translation


class _Groups(NamedTuple):
    """G groups of sentences and their translations. Fields are string [G] unless stated otherwise."""

    copied: tf.Tensor
    source: tf.Tensor
    target: tf.Tensor
    owner: tf.Tensor  # int32 [G], the text of each group, ascending
    source_is_spaced: tf.Tensor  # bool [G], True if a space precedes the group in the text
    target_is_spaced: tf.Tensor  # bool [G], the same in the translation


def given_pieces(cutter: Cutter, texts: tf.Tensor, targets: tf.Tensor) -> GivenPieces:
    """Cuts `texts` and `targets` (string [N]) into pairs of pieces. Returns one empty pair if N is 0.

    If a translation has as many sentences as its text, the k-th sentence of the text and the k-th sentence of the
    translation are a pair. Otherwise `pair_up` groups the sentences, and each group is a pair. If the source side of a
    pair is too long for the model, `split_long` cuts it, and the target side is cut in proportion to the lengths of the
    parts.
    """
    groups = _grouped(cutter, at_least_one(texts), at_least_one(targets))
    tables, most = cutter.tables, 2 * cutter.limit + _ROOM
    tokens, group = split_long(cutter.vocabulary.encode(groups.source), cutter.limit, tables)
    labels = _in_proportion(cutter.vocabulary.encode_target(groups.target), tokens, group, tables)
    # A translation much longer than its text is cut into several pieces for each piece of the text.
    times = tf.maximum(1, -(-row_lengths(labels) // most))
    source = tf.repeat(tf.range(tf.size(group)), times)
    starts = tf.repeat(tf.cast(labels.row_splits[:-1], tf.int32), times) + most * places(source)
    ends = tf.concat([starts[1:], [tf.size(labels.values)]], axis=0)
    labels = tf.RaggedTensor.from_row_lengths(labels.values, tf.cast(ends - starts, tf.int64))
    tokens, group_of = tf.gather(tokens, source), tf.gather(group, source)
    begins = tf.gather(places(group) == 0, source)  # True for the first source piece of a group
    target_begins = begins & (places(source) == 0)  # True for the first target piece of a group
    words = _starts_word(without_tags(tokens, tables.tags), tables), _starts_word(labels, tables)
    return GivenPieces(
        tokens=tokens.with_row_splits_dtype(tf.int64),
        labels=labels,
        copied=tf.where(target_begins, tf.gather(groups.copied, group_of), ""),
        owner=tf.gather(groups.owner, group_of),
        source=source,
        source_begins_word=tf.where(begins, tf.gather(groups.source_is_spaced, group_of), words[0]),
        target_begins_word=tf.where(target_begins, tf.gather(groups.target_is_spaced, group_of), words[1]),
    )


def _grouped(cutter: Cutter, texts: tf.Tensor, targets: tf.Tensor) -> _Groups:
    tags, texts = cutter.without_tags(texts)
    cuts = cut_sentences(texts), cut_sentences(targets)
    groups = pair_up(*(cut.sentences.with_values(tf.strings.length(cut.sentences.values, "UTF8_CHAR")) for cut in cuts))
    firsts = [tf.math.segment_min(tf.range(tf.size(group)), group) for group in groups]
    source, target = (
        join_pieces(cut.sentences.values, group, tf.size(first))
        for cut, group, first in zip(cuts, groups, firsts, strict=True)
    )
    spaced, target_spaced = (tf.gather(cut.is_spaced, first) for cut, first in zip(cuts, firsts, strict=True))
    owner = tf.cast(tf.gather(cuts[0].sentences.value_rowids(), firsts[0]), tf.int32)
    (copied, rest), (target_copied, target_rest) = split_copied(source), split_copied(target)
    same_copied = copied == target_copied
    rest = tf.where(same_copied, rest, source)
    return _Groups(
        copied=tf.where(same_copied, copied, ""),
        source=tf.where(rest == "", "", tf.strings.join([tf.gather(tags, owner), rest])),
        target=tf.where(same_copied, target_rest, target),
        owner=owner,
        source_is_spaced=spaced,
        target_is_spaced=target_spaced,
    )


def _in_proportion(
    labels: tf.RaggedTensor, pieces: tf.RaggedTensor, group: tf.Tensor, tables: CutTables
) -> tf.RaggedTensor:
    """Cuts the target tokens of each group into one part for each source piece of the group.

    The lengths of the parts are in proportion to the lengths of the source pieces. Each cut moves forward to the next
    start of a word if that start is at most `_FAR` tokens away.

    Args:
        labels: The target tokens of each group, int32 [G, (T)].
        pieces: int32 [M, (L)], the source pieces of all groups.
        group: int32 [M], the group of each source piece, ascending.
        tables: The tables of the vocabulary.
    """
    lengths = tf.cast(pieces.row_lengths(), tf.float64)
    so_far = tf.cumsum(lengths)
    totals = tf.math.segment_sum(lengths, group)
    share = tf.math.divide_no_nan(
        so_far - tf.gather(tf.cumsum(totals, exclusive=True), group), tf.gather(totals, group)
    )
    first, last = (
        tf.gather(tf.cast(splits, tf.int32), group) for splits in (labels.row_splits[:-1], labels.row_splits[1:])
    )
    wanted = first + tf.cast(tf.round(share * tf.cast(last - first, tf.float64)), tf.int32)
    is_start = tf.concat([tf.gather(tables.starts_word, labels.values), [True]], axis=0)
    starts = tf.cast(tf.where(is_start)[:, 0], tf.int32)
    nearest = tf.minimum(tf.gather(starts, tf.searchsorted(starts, wanted)), last)
    ends = tf.where(nearest - wanted > _FAR, wanted, nearest)
    is_last = tf.concat([group[1:] != group[:-1], [True]], axis=0)
    ends = tf.where(is_last, last, ends)
    return tf.RaggedTensor.from_row_splits(labels.values, tf.cast(tf.concat([[0], ends], axis=0), tf.int64))


def _starts_word(rows: tf.RaggedTensor, tables: CutTables) -> tf.Tensor:
    """Returns True for each row, int32 [M, (L)], that is empty or whose first token starts a word: bool [M]."""
    first = rows[:, :1].to_tensor(PAD)
    return tf.reduce_any(tf.gather(tables.starts_word, first), axis=1) | (rows.row_lengths() == 0)
