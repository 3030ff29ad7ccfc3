"""Draws translations at random, as back-translation wants them; one pure TensorFlow function over an opaque step.

Each sentence draws from random numbers of its own, so what it gets depends on no other sentence of the batch.
"""

from typing import NamedTuple

import tensorflow as tf

from app.decoding.search.beam_search import (
    FREE_REPETITION,
    IMPOSSIBLE,
    NEVER_CHOSEN,
    Hypotheses,
    State,
    Step,
    length_penalties,
    only_choice,
)
from app.decoding.search.repetition import Repetition, penalized, without_repeats
from pipelines.vocabulary.tokenizer import BOS, EOS, PAD

NUMBERS_AT_ONCE = 64  # drawn for a sentence from one seed; enough for most sentences


class Sampling(NamedTuple):
    """From what the next token is drawn.

    Attributes:
        temperature: The logits are divided by it, above 0: below 1 likely tokens become likelier.
        top_k: Only the k most likely tokens may be drawn (Fan et al. 2018, section 5.1); 0 for all.
        top_p: Only the fewest tokens that together have at least this probability, above 0, may be drawn (Holtzman et
            al. 2020, section 3.1); 1 for all. Among those that `top_k` leaves, and after the temperature.
    """

    temperature: float | tf.Tensor = 1.0
    top_k: int | tf.Tensor = 0
    top_p: float | tf.Tensor = 1.0


class _State(NamedTuple):
    """What one step hands to the next."""

    position: tf.Tensor  # int32 [], tokens already drawn
    tokens: tf.Tensor  # int32 [B, 1 + T], BOS first
    log_probabilities: tf.Tensor  # float32 [B, T], of each token
    step_state: State


def sample(
    step: Step,
    initial_state: State,
    *,
    length_limits: tf.Tensor,
    seeds: tf.Tensor,
    sampling: Sampling,
    length_penalty: float | tf.Tensor = 0.0,
    repetition: Repetition = FREE_REPETITION,
) -> Hypotheses:
    """Draws a hypothesis for each of B sentences, token after token.

    Args:
        step: As that of `beam_search`, with B rows.
        initial_state: The state of the first step.
        length_limits: int32 [B], the most tokens of a hypothesis, EOS included; at least 1.
        seeds: int32 [B, 2]; the same seeds draw the same numbers.
        sampling: From what is drawn.
        length_penalty: Of the scores.
        repetition: What is done against it.

    Returns:
        One hypothesis of each sentence (K = 1). Its probabilities are the model's, whatever it was drawn from.

    Raises:
        tf.errors.InvalidArgumentError: if `temperature` or `top_p` is not above 0, or `top_k` is negative.
    """
    checks = [
        tf.debugging.assert_positive(sampling.temperature, "the temperature must be above 0"),
        tf.debugging.assert_positive(sampling.top_p, "top_p must be above 0"),
        tf.debugging.assert_non_negative(sampling.top_k, "top_k must be at least 0"),
    ]
    with tf.control_dependencies([check for check in checks if check is not None]):  # none outside a graph
        length_limits = tf.identity(tf.convert_to_tensor(length_limits, tf.int32))
    rows = tf.size(length_limits)
    longest = tf.maximum(tf.reduce_max(length_limits), 0)  # the maximum over no sentence is negative
    numbers = _uniform_numbers(seeds, longest)
    prefixes = tf.zeros([rows, 0], tf.int32)

    def goes_on(state: _State) -> tf.Tensor:
        unfinished = tf.reduce_all(state.tokens[:, 1:] != EOS, axis=1)
        return (state.position < longest) & tf.reduce_any(unfinished)

    def advance(state: _State) -> tuple[_State]:
        chosen = state.tokens[:, 1 : state.position + 1]
        logits, step_state = step(state.tokens[:, state.position], state.position, state.step_state)
        logits = penalized(tf.cast(logits, tf.float32), chosen, repetition.repetition_penalty)
        allowed = without_repeats(logits, chosen, repetition.no_repeat_ngram_size)
        drawn = draw(allowed, numbers[:, state.position], sampling)
        only = only_choice(state.position, prefixes, length_limits)
        has_ended = tf.reduce_any(chosen == EOS, axis=1)
        token = tf.where(has_ended, PAD, tf.where(only == PAD, drawn, only))
        log_probability = tf.where(has_ended, 0.0, -tf.nn.sparse_softmax_cross_entropy_with_logits(token, logits))
        here = tf.range(longest) == state.position  # [T]
        return (
            _State(
                state.position + 1,
                tf.where(tf.pad(here, [[1, 0]]), token[:, tf.newaxis], state.tokens),
                tf.where(here, log_probability[:, tf.newaxis], state.log_probabilities),
                step_state,
            ),
        )

    tokens = tf.pad(tf.fill([rows, longest], PAD), [[0, 0], [1, 0]], constant_values=BOS)
    state = _State(tf.constant(0), tokens, tf.zeros([rows, longest]), initial_state)
    table = tf.TensorShape([None, None])
    shapes = tf.nest.map_structure(lambda x: tf.TensorShape([None]).concatenate(x.shape[1:]), initial_state)
    invariants = _State(tf.TensorShape([]), table, table, shapes)
    (state,) = tf.while_loop(goes_on, advance, [state], shape_invariants=[invariants])
    lengths = tf.math.count_nonzero(state.tokens[:, 1:] != PAD, axis=1, dtype=tf.int32)
    log_probabilities = tf.reduce_sum(state.log_probabilities, axis=1)
    return Hypotheses(
        tokens=state.tokens[:, tf.newaxis, 1:],
        scores=(log_probabilities / length_penalties(lengths, length_penalty))[:, tf.newaxis],
        log_probabilities=log_probabilities[:, tf.newaxis],
        lengths=lengths[:, tf.newaxis],
        token_log_probabilities=state.log_probabilities[:, tf.newaxis],
    )


def draw(logits: tf.Tensor, numbers: tf.Tensor, sampling: Sampling) -> tf.Tensor:
    """The token that each row's number, float32 [B] in [0, 1), falls on: int32 [B].

    Args:
        logits: float32 [B, V].
        numbers: Uniformly distributed ones.
        sampling: From what is drawn.
    """
    width = tf.shape(logits)[1]
    never = tf.reduce_any(tf.range(width)[:, tf.newaxis] == NEVER_CHOSEN, axis=1)  # [V]
    logits = tf.where(never, IMPOSSIBLE, logits) / sampling.temperature
    top_k, top_p = tf.convert_to_tensor(sampling.top_k), tf.convert_to_tensor(sampling.top_p)

    def best_first() -> tuple[tf.Tensor, tf.Tensor]:
        found = tf.math.top_k(logits, tf.where(top_k > 0, tf.minimum(top_k, width), width))
        return found.values, found.indices

    def as_they_are() -> tuple[tf.Tensor, tf.Tensor]:
        return logits, tf.broadcast_to(tf.range(width), tf.shape(logits))

    values, tokens = tf.cond((top_k > 0) | (top_p < 1.0), best_first, as_they_are)
    probabilities = tf.nn.softmax(tf.cast(values, tf.float64))  # float32 would lose the rare ones in the sum
    before = tf.cumsum(probabilities, axis=1, exclusive=True)
    in_nucleus = (before < tf.cast(top_p, tf.float64)) | (top_p >= 1.0)
    ends = tf.cumsum(tf.where(in_nucleus, probabilities, 0.0), axis=1)
    falls_on = tf.cast(numbers, tf.float64)[:, tf.newaxis] * ends[:, -1:]
    place = tf.math.count_nonzero(ends <= falls_on, axis=1, dtype=tf.int32)
    return tf.gather(tokens, place, batch_dims=1)


def _uniform_numbers(seeds: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """float32 [B, at least `count`] in [0, 1): a row depends on its seeds alone, and more numbers change none."""
    parts = -(-count // NUMBERS_AT_ONCE)
    rows = tf.repeat(seeds, parts, axis=0)
    part = tf.tile(tf.range(parts), [tf.shape(seeds)[0]])

    def part_of_row(seed_and_part: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        seed, number = seed_and_part
        own = tf.random.experimental.stateless_fold_in(seed, number)
        return tf.random.stateless_uniform([NUMBERS_AT_ONCE], own)

    numbers = tf.map_fn(part_of_row, (rows, part), fn_output_signature=tf.TensorSpec([NUMBERS_AT_ONCE], tf.float32))
    return tf.reshape(numbers, [tf.shape(seeds)[0], parts * NUMBERS_AT_ONCE])
