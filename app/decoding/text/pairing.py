"""Aligns the sentences of a text with the sentences of its translation, by their lengths (Gale and Church 1993).

If the text and its translation have equally many sentences, the sentences are aligned one to one. Otherwise one
sentence may be aligned with up to four sentences of the other side. Dynamic programming finds the alignment in which
the lengths of aligned sentences differ least.
"""

from typing import NamedTuple

import tensorflow as tf

# The groups that are allowed: sentences of the text, sentences of the translation, and a cost for rare groups.
_BEADS = ((1, 1, 0.0), (1, 2, 3.0), (2, 1, 3.0), (1, 3, 5.0), (3, 1, 5.0), (1, 4, 7.0), (4, 1, 7.0))
_MOST = 4
_VARIANCE = 6.8  # variance of a length for each character of the other side (Gale and Church)
MOST_CELLS = 2**20  # sentences of the text times sentences of the translation; if there are more, a text is one group


class Groups(NamedTuple):
    """The group number of each sentence of all texts, int32 [S], and of all translations, int32 [T].

    The groups of all texts are numbered from 0 in the order of the texts, so the numbers ascend.
    """

    of_sources: tf.Tensor
    of_targets: tf.Tensor


def pair_up(sources: tf.RaggedTensor, targets: tf.RaggedTensor) -> Groups:
    """Groups sentences that are translations of each other. Each group has at least one sentence of each side.

    If a text and its translation have equally many sentences, each sentence is grouped with its counterpart. Otherwise,
    the whole text is one group if one side has more than four times as many sentences as the other, or if there are too
    many sentences for dynamic programming (`MOST_CELLS`).

    Args:
        sources: int32 [N, (S)], the number of characters of each sentence of N texts; S is at least 1.
        targets: int32 [N, (T)], the number of characters of each sentence of the N translations.
    """
    many, its_many = sources.row_lengths(), targets.row_lengths()  # int64 [N]
    is_like = (many <= _MOST * its_many) & (its_many <= _MOST * many) & (many * its_many <= MOST_CELLS)
    is_searched = (many != its_many) & is_like
    rows = tf.where(is_searched)[:, 0]
    counts = [tf.cast(tf.gather(each, rows), tf.int32) for each in (many, its_many)]
    begins = _path(*(tf.gather(side, rows).to_tensor() for side in (sources, targets)), *counts)
    found = []
    for side, of_rows, count in zip((sources, targets), begins, counts, strict=True):
        texts = side.value_rowids()
        is_first = tf.range(tf.size(texts, tf.int64)) == tf.gather(side.row_splits, texts)
        values = tf.boolean_mask(of_rows, tf.sequence_mask(count, tf.shape(of_rows)[1]))
        places = tf.where(tf.gather(is_searched, texts))
        is_begin = tf.tensor_scatter_nd_update(is_first | tf.gather(many == its_many, texts), places, values)
        found.append(tf.cumsum(tf.cast(is_begin, tf.int32)) - 1)
    return Groups(*found)


def _path(
    lengths: tf.Tensor, its_lengths: tf.Tensor, many: tf.Tensor, its_many: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Finds the cheapest alignment. Returns True for each sentence that begins a group: bool [R, S] and [R, T].

    Args:
        lengths: int32 [R, S], the number of characters of the sentences of the texts, padded with 0.
        its_lengths: int32 [R, T], the number of characters of the sentences of the translations, padded with 0.
        many: int32 [R], the number of sentences of each text.
        its_many: int32 [R], the number of sentences of each translation.
    """
    below, left = (tf.pad(tf.cumsum(tf.cast(x, tf.float32), axis=1), [[0, 0], [1, 0]]) for x in (lengths, its_lengths))
    ratio = left[:, -1:] / tf.maximum(below[:, -1:], 1.0)
    rows, steps, width = tf.shape(lengths)[0], tf.shape(lengths)[1], tf.shape(left)[1]
    nowhere = tf.fill([rows, width], float("inf"))
    start = tf.where(tf.range(width) == 0, 0.0, nowhere)
    choices = tf.TensorArray(tf.int32, size=steps, element_shape=[None, None])

    def extend(
        step: tf.Tensor, costs: tf.Tensor, choices: tf.TensorArray
    ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
        """Computes the costs of alignments that end with the next sentence of each text.

        `costs`, [4, R, 1 + T], has the costs of alignments that end with each of the last four sentences of a text, the
        latest sentence first.
        """
        tried = []
        for own, its, rare in _BEADS:
            before = tf.pad(costs[own - 1], [[0, 0], [its, 0]], constant_values=float("inf"))[:, :width]
            length = ratio * (below[:, step + 1] - below[:, tf.maximum(0, step + 1 - own)])[:, tf.newaxis]
            its_length = left - tf.pad(left, [[0, 0], [its, 0]])[:, :width]
            apart = tf.square(its_length - length) / (_VARIANCE * (its_length + length) + 1.0)
            tried.append(before + apart + rare)
        every = tf.stack(tried)
        choices = choices.write(step, tf.argmin(every, axis=0, output_type=tf.int32))
        return step + 1, tf.concat([tf.reduce_min(every, axis=0)[tf.newaxis], costs[:-1]], axis=0), choices

    costs = tf.stack([start, *[nowhere] * (_MOST - 1)])
    shapes = (tf.TensorShape([]), tf.TensorShape([_MOST, None, None]), None)
    *_, choices = tf.while_loop(
        lambda step, *_: step < steps, extend, (tf.constant(0), costs, choices), shape_invariants=shapes
    )
    return _backtrace(choices, many, its_many, steps=steps, width=width - 1)


def _backtrace(
    choices: tf.TensorArray, many: tf.Tensor, its_many: tf.Tensor, *, steps: tf.Tensor, width: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Follows the choices back from the ends of both sides. Returns the result of `_path`."""
    own, its = (tf.constant([bead[side] for bead in _BEADS]) for side in (0, 1))

    def back(step: tf.Tensor, at: tf.Tensor, its_at: tf.Tensor, *marks: tf.Tensor) -> tuple[tf.Tensor, ...]:
        choice = tf.gather(choices.read(step - 1), its_at, batch_dims=1)
        is_here = at == step
        at = tf.where(is_here, at - tf.gather(own, choice), at)
        its_at = tf.where(is_here, its_at - tf.gather(its, choice), its_at)
        places = zip(marks, (at, its_at), strict=True)
        found = (mark | (tf.range(tf.shape(mark)[1]) == place[:, tf.newaxis]) for mark, place in places)
        return step - 1, at, its_at, *found

    none = [tf.fill([tf.size(many), size], False) for size in (steps, width)]
    *_, begins, its_begins = tf.while_loop(lambda step, *_: step > 0, back, (steps, many, its_many, *none))
    return begins, its_begins
