"""The settings of a beam search."""

from typing import NamedTuple

import tensorflow as tf

from keras_nmt.app.decoding.search.penalties import NO_RULES, Repetition


class BeamSettings(NamedTuple):
    """Settings of a beam search."""

    beam_size: tf.Tensor  # K, int32 []
    length_penalty: float | tf.Tensor  # alpha of ((5 + length) / 6) ^ alpha; 0 compares plain log-probabilities
    hypotheses: tf.Tensor  # N, int32 [], from 1 to K: the search stops when the N best are known
    repetition: Repetition = NO_RULES
    min_tokens: int | tf.Tensor = 0  # EOS is not chosen before a hypothesis has so many tokens


def beam_settings(
    beam_size: int | tf.Tensor,
    length_penalty: float | tf.Tensor,
    hypotheses: int | tf.Tensor,
    repetition: Repetition = NO_RULES,
) -> BeamSettings:
    """Returns the settings of a search, which check the numbers when the search runs; see `beam_search`."""
    beam_size, hypotheses = tf.convert_to_tensor(beam_size), tf.convert_to_tensor(hypotheses)
    in_range = [
        tf.debugging.assert_positive(beam_size, "the beam size must be at least 1"),
        tf.debugging.assert_positive(hypotheses, "there must be at least 1 hypothesis"),
        tf.debugging.assert_less_equal(hypotheses, beam_size, "a beam holds no more hypotheses than its size"),
    ]
    with tf.control_dependencies([check for check in in_range if check is not None]):  # None outside a graph
        beam_size = tf.identity(beam_size)
    return BeamSettings(beam_size, length_penalty, hypotheses, repetition)
