"""Draws random translations, for example for back-translation, as one pure TensorFlow function.

The function sees the model only as a step function. Each sentence has its own random numbers, so its result does not
depend on the other sentences in the batch.
"""

from typing import NamedTuple

import tensorflow as tf

from keras_nmt.app.decoding.search.hypotheses import Hypotheses, SearchState, Step
from keras_nmt.app.decoding.search.penalties import (
    IMPOSSIBLE,
    NO_RULES,
    Repetition,
    forced_tokens,
    is_early_end,
    is_never_chosen,
    length_penalties,
)
from keras_nmt.pipelines.vocabulary.tokenizer import BOS, EOS, PAD

NUMBERS_AT_ONCE = 64  # random numbers that are drawn from one seed; enough for most sentences


class Sampling(NamedTuple):
    """The distribution that the next token is drawn from.

    Attributes:
        temperature: The divisor of the logits, above 0. Below 1, probable tokens become more probable.
        top_k: The number of most probable tokens that may be drawn (Fan et al. 2018, section 5.1). 0 allows all tokens.
        top_p: A probability above 0. Only the smallest set of most probable tokens whose total probability is at least
            `top_p` may be drawn (Holtzman et al. 2020, section 3.1). 1 allows all tokens. `top_p` is applied after
            `temperature` and `top_k`.
    """

    temperature: float | tf.Tensor = 1.0
    top_k: int | tf.Tensor = 0
    top_p: float | tf.Tensor = 1.0


SAMPLING_TYPES = (tf.float32, tf.int32, tf.float32)  # of the fields of `Sampling`


class SamplingState(NamedTuple):
    """The state of sampling between two steps."""

    position: tf.Tensor  # int32 [], tokens already drawn
    tokens: tf.Tensor  # int32 [B, 1 + T], BOS first
    log_probabilities: tf.Tensor  # float32 [B, T], of each token
    step_state: SearchState


def sample(
    step: Step,
    initial_state: SearchState,
    *,
    length_limits: tf.Tensor,
    seeds: tf.Tensor,
    sampling: Sampling,
    length_penalty: float | tf.Tensor = 0.0,
    repetition: Repetition = NO_RULES,
    min_tokens: int | tf.Tensor = 0,
) -> Hypotheses:
    """Draws a hypothesis for each of B sentences, token by token.

    Args:
        step: The step function, as in `beam_search`, with B rows.
        initial_state: The model's state before the first step.
        length_limits: int32 [B], the largest number of tokens in a hypothesis, EOS included; at least 1.
        seeds: int32 [B, 2], the seed of each sentence; equal seeds give equal random numbers.
        sampling: The distribution to draw from.
        length_penalty: The exponent alpha of the length penalty that scores are divided by.
        repetition: The rules against repetition.
        min_tokens: As in `beam_search`.

    Returns:
        One hypothesis for each sentence (K = 1). Its probabilities are computed from the model's logits after the
        repetition penalty, without the changes that `sampling` makes.

    Raises:
        tf.errors.InvalidArgumentError: `temperature` or `top_p` is not above 0, or `top_k` is negative.
    """
    sampler = Sampler(
        step,
        length_limits=length_limits,
        seeds=seeds,
        sampling=sampling,
        repetition=repetition,
        min_tokens=min_tokens,
    )
    return _hypotheses_of(sampler.run(sampler.begin(initial_state)), length_penalty)


class Sampler:
    """The loop of `sample`, which can stop after any step and continue later. The arguments are those of `sample`."""

    def __init__(
        self,
        step: Step,
        *,
        length_limits: tf.Tensor,
        seeds: tf.Tensor,
        sampling: Sampling,
        repetition: Repetition = NO_RULES,
        min_tokens: int | tf.Tensor = 0,
    ) -> None:
        checks = [
            tf.debugging.assert_positive(sampling.temperature, "the temperature must be above 0"),
            tf.debugging.assert_positive(sampling.top_p, "top_p must be above 0"),
            tf.debugging.assert_non_negative(sampling.top_k, "top_k must be at least 0"),
        ]
        with tf.control_dependencies([check for check in checks if check is not None]):  # None outside a graph
            length_limits = tf.identity(tf.convert_to_tensor(length_limits, tf.int32))
        self.step = step
        self.length_limits = length_limits
        self.sampling = sampling
        self.repetition = repetition
        self.min_tokens = min_tokens
        self.rows = tf.size(length_limits)
        self.longest = tf.maximum(tf.reduce_max(length_limits), 0)  # without sentences, reduce_max is negative
        self.numbers = _uniform_numbers(seeds, self.longest)
        self.no_prefixes = tf.zeros([self.rows, 0], tf.int32)

    def begin(self, step_state: SearchState) -> SamplingState:
        """Returns the state before the first step."""
        tokens = tf.pad(tf.fill([self.rows, self.longest], PAD), [[0, 0], [1, 0]], constant_values=BOS)
        return SamplingState(tf.constant(0), tokens, tf.zeros([self.rows, self.longest]), step_state)

    def run(self, state: SamplingState, until: tf.Tensor | None = None) -> SamplingState:
        """Draws tokens until all hypotheses have ended or have `until` tokens (int32 []); returns the last state."""
        table = tf.TensorShape([None, None])
        shapes = tf.nest.map_structure(lambda x: tf.TensorShape([None]).concatenate(x.shape[1:]), state.step_state)
        invariants = SamplingState(tf.TensorShape([]), table, table, shapes)
        end = self.longest if until is None else tf.minimum(until, self.longest)

        def should_continue(state: SamplingState) -> tf.Tensor:
            unfinished = tf.reduce_all(state.tokens[:, 1:] != EOS, axis=1)
            return (state.position < end) & tf.reduce_any(unfinished)

        (state,) = tf.while_loop(should_continue, self.advance, [state], shape_invariants=[invariants])
        return state

    def advance(self, state: SamplingState) -> tuple[SamplingState]:
        """Draws one more token for each hypothesis; PAD if the hypothesis has ended."""
        history = state.tokens[:, 1 : state.position + 1]
        logits, step_state = self.step(state.tokens[:, state.position], state.position, state.step_state)
        ruled = self.repetition.apply(logits, history)
        is_early = is_early_end(tf.range(tf.shape(logits)[1]), state.position, self.min_tokens)
        drawn = draw(tf.where(is_early, IMPOSSIBLE, ruled.allowed), self.numbers[:, state.position], self.sampling)
        forced = forced_tokens(state.position, self.no_prefixes, self.length_limits)
        has_ended = tf.reduce_any(history == EOS, axis=1)
        token = tf.where(has_ended, PAD, tf.where(forced == PAD, drawn, forced))
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(token, ruled.logits)
        log_probability = tf.where(has_ended, 0.0, -losses)
        here = tf.range(self.longest) == state.position  # [T]
        return (
            SamplingState(
                state.position + 1,
                tf.where(tf.pad(here, [[1, 0]]), token[:, tf.newaxis], state.tokens),
                tf.where(here, log_probability[:, tf.newaxis], state.log_probabilities),
                step_state,
            ),
        )


def _hypotheses_of(state: SamplingState, length_penalty: float | tf.Tensor) -> Hypotheses:
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
    """Draws a token for each row by inverting the cumulative distribution at the row's random number: int32 [B].

    Args:
        logits: float32 [B, V].
        numbers: float32 [B], uniform in [0, 1).
        sampling: The distribution to draw from.
    """
    width = tf.shape(logits)[1]
    never = is_never_chosen(tf.range(width))  # [V]
    logits = tf.where(never, IMPOSSIBLE, logits) / sampling.temperature
    top_k, top_p = tf.convert_to_tensor(sampling.top_k), tf.convert_to_tensor(sampling.top_p)

    def best_first() -> tuple[tf.Tensor, tf.Tensor]:
        found = tf.math.top_k(logits, tf.where(top_k > 0, tf.minimum(top_k, width), width))
        return found.values, found.indices

    def unsorted() -> tuple[tf.Tensor, tf.Tensor]:
        return logits, tf.broadcast_to(tf.range(width), tf.shape(logits))

    values, tokens = tf.cond((top_k > 0) | (top_p < 1.0), best_first, unsorted)
    probabilities = tf.nn.softmax(tf.cast(values, tf.float64))  # in float32, the sum would lose rare tokens
    before = tf.cumsum(probabilities, axis=1, exclusive=True)
    in_nucleus = (before < tf.cast(top_p, tf.float64)) | (top_p >= 1.0)
    ends = tf.cumsum(tf.where(in_nucleus, probabilities, 0.0), axis=1)
    target = tf.cast(numbers, tf.float64)[:, tf.newaxis] * ends[:, -1:]
    place = tf.math.count_nonzero(ends <= target, axis=1, dtype=tf.int32)
    return tf.gather(tokens, place, batch_dims=1)


def _uniform_numbers(seeds: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Draws at least `count` numbers in [0, 1) from each seed: float32 [B, >= count].

    A row depends only on its seed. Drawing more numbers does not change the first numbers.
    """
    parts = -(-count // NUMBERS_AT_ONCE)
    rows = tf.repeat(seeds, parts, axis=0)
    part = tf.tile(tf.range(parts), [tf.shape(seeds)[0]])

    def part_of_row(seed_and_part: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        seed, number = seed_and_part
        own = tf.random.experimental.stateless_fold_in(seed, number)
        return tf.random.stateless_uniform([NUMBERS_AT_ONCE], own)

    numbers = tf.map_fn(part_of_row, (rows, part), fn_output_signature=tf.TensorSpec([NUMBERS_AT_ONCE], tf.float32))
    return tf.reshape(numbers, [tf.shape(seeds)[0], parts * NUMBERS_AT_ONCE])
