"""Beam search with length normalisation, as one pure TensorFlow function over an opaque step.

It knows nothing of the model, of text or of Python values at run time, so that it traces into a SavedModel. Each
sentence keeps K live beams and its K best finished hypotheses. The score of a hypothesis is its log-probability
divided by a length penalty (Wu et al. 2016, Eq. 14, without the coverage term).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from app.decoding.repetition import Repetition, penalized, without_repeats
from app.decoding.top_k import TopK, top_k
from pipelines.vocabulary import BOS, EOS, PAD

State = Any  # a tf.nest of tensors whose leading axis is B * K
Step = Callable[[tf.Tensor, tf.Tensor, State], tuple[tf.Tensor, State]]

IMPOSSIBLE = float("-inf")
SMALLEST = 1.2e-38  # normal float32; where no better token is allowed, it stands for a probability below
NEVER_CHOSEN = (PAD, BOS)
FREE_REPETITION = Repetition()


class Hypotheses(NamedTuple):
    """Translations of each sentence, best first.

    A sentence may have fewer than K hypotheses (within one token there is only EOS); the places left over have no
    tokens, length 0 and score -inf.
    """

    tokens: tf.Tensor  # int32 [B, K, T], EOS included, then PAD
    scores: tf.Tensor  # float32 [B, K], log-probability / length penalty
    log_probabilities: tf.Tensor  # float32 [B, K]
    lengths: tf.Tensor  # int32 [B, K], EOS included
    token_log_probabilities: tf.Tensor  # float32 [B, K, T], 0 at PAD


class BeamState(NamedTuple):
    """What one step hands to the next. Token rows begin with BOS, so they are [B, K, 1 + T].

    A dead beam has log-probability -inf and never lives again. A sentence has stopped when all its beams are dead.
    """

    position: tf.Tensor  # int32 [], tokens already chosen
    live_tokens: tf.Tensor  # int32 [B, K, 1 + T]
    live_sums: tf.Tensor  # float32 [B, K, 1 + T], the log-probability up to each token
    live_log_probabilities: tf.Tensor  # float32 [B, K]
    finished_tokens: tf.Tensor  # int32 [B, K, 1 + T]
    finished_sums: tf.Tensor  # float32 [B, K, 1 + T]
    finished_log_probabilities: tf.Tensor  # float32 [B, K]
    finished_scores: tf.Tensor  # float32 [B, K], falling; -inf where there is none yet
    step_state: State


class Candidates(NamedTuple):
    """The best extensions of a sentence's live beams by one token; each [B, C]."""

    log_probabilities: tf.Tensor
    beams: tf.Tensor
    tokens: tf.Tensor


def beam_search(
    step: Step,
    initial_state: State,
    *,
    length_limits: tf.Tensor,
    beam_size: int | tf.Tensor,
    length_penalty: float | tf.Tensor,
    hypotheses: int | tf.Tensor = 1,
    prefixes: tf.Tensor | None = None,
    repetition: Repetition = FREE_REPETITION,
) -> Hypotheses:
    """Searches the best hypotheses of B sentences.

    At each step the 2K best extensions of a sentence are its candidates: those that end in EOS may become finished
    hypotheses, the K best others live on (Tensor2Tensor's algorithm). With K = 1 there is one candidate, the most
    probable token: greedy search. PAD and BOS are never chosen, and at a sentence's last position nothing but EOS.
    A sentence stops when none of its beams can reach a better score than its N-th finished hypothesis, whatever
    follows; the hypotheses after the N-th are what else was found until then. Its result depends on no other sentence
    of the batch.

    Args:
        step: (the newest tokens int32 [B * K], how many tokens came before them int32 [], state) -> (logits [B * K, V]
            of what follows, state). Softmax makes them probabilities. The K beams of a sentence are adjacent rows.
        initial_state: The state of the first step; its rows are reordered as the beams are.
        length_limits: int32 [B], the most tokens of a hypothesis, EOS included; at least 1.
        beam_size: K, a number or int32 [].
        length_penalty: The exponent alpha of ((5 + length) / 6) ^ alpha; 0 compares plain log-probabilities.
        hypotheses: N, from 1 to K, a number or int32 [].
        prefixes: int32 [B, P], filled up with PAD: the tokens that each hypothesis must begin with, fewer than the
            limit, none of them EOS. Their probability is part of the score.
        repetition: What is done against it. Probabilities are those after its penalty.

    Raises:
        tf.errors.InvalidArgumentError: if `beam_size` or `hypotheses` is out of range.
    """
    beam_size, hypotheses = tf.convert_to_tensor(beam_size), tf.convert_to_tensor(hypotheses)
    in_range = [
        tf.debugging.assert_positive(beam_size, "the beam size must be at least 1"),
        tf.debugging.assert_positive(hypotheses, "there must be at least 1 hypothesis"),
        tf.debugging.assert_less_equal(hypotheses, beam_size, "a beam holds no more hypotheses than its size"),
    ]
    with tf.control_dependencies([check for check in in_range if check is not None]):  # none outside a graph
        beam_size = tf.identity(beam_size)
    if prefixes is None:
        prefixes = tf.zeros([tf.size(length_limits), 0], tf.int32)
    search = _Search(
        step,
        length_limits,
        beam_size=beam_size,
        length_penalty=length_penalty,
        hypotheses=hypotheses,
        prefixes=prefixes,
        repetition=repetition,
    )
    state = search.initial(initial_state)
    (state,) = tf.while_loop(search.goes_on, search.advance, [state], shape_invariants=[search.shapes(initial_state)])
    return search.result(state)


def length_penalties(lengths: tf.Tensor, alpha: float | tf.Tensor) -> tf.Tensor:
    """((5 + length) / 6) ^ alpha (Wu et al. 2016, Eq. 14), float32 in the shape of `lengths`."""
    return tf.pow((5.0 + tf.cast(lengths, tf.float32)) / 6.0, tf.cast(alpha, tf.float32))


def only_choice(position: tf.Tensor, prefixes: tf.Tensor, length_limits: tf.Tensor) -> tf.Tensor:
    """int32 [B]: the token that must come next, the prefix's or at the last position EOS; PAD where any may."""
    prefixes = tf.pad(prefixes, [[0, 0], [0, 1]], constant_values=PAD)  # after it nothing is forced
    of_prefix = prefixes[:, tf.minimum(position, tf.shape(prefixes)[1] - 1)]
    return tf.where(position + 1 >= length_limits, EOS, of_prefix)


class _Search:
    """The parts of `beam_search`, which share its arguments."""

    def __init__(
        self,
        step: Step,
        length_limits: tf.Tensor,
        *,
        beam_size: tf.Tensor,
        length_penalty: float | tf.Tensor,
        hypotheses: tf.Tensor,
        prefixes: tf.Tensor,
        repetition: Repetition,
    ) -> None:
        self.step = step
        self.length_limits = tf.convert_to_tensor(length_limits, tf.int32)
        self.beam_size = beam_size
        self.length_penalty = length_penalty
        self.hypotheses = hypotheses
        self.prefixes = prefixes
        self.repetition = repetition
        self.sentences = tf.shape(self.length_limits)[0]
        self.longest = tf.maximum(tf.reduce_max(self.length_limits), 0)  # the maximum over no sentence is negative

    def initial(self, step_state: State) -> BeamState:
        """One live beam, BOS, in each sentence; nothing finished."""
        beams = [self.sentences, self.beam_size]
        tokens = tf.fill([*beams, 1 + self.longest], PAD)
        nothing = tf.fill(beams, IMPOSSIBLE)
        sums = tf.zeros(tf.shape(tokens))
        return BeamState(
            position=tf.constant(0),
            live_tokens=_written(tokens, 0, BOS),
            live_sums=sums,
            live_log_probabilities=tf.where(tf.range(self.beam_size) == 0, 0.0, nothing),
            finished_tokens=tokens,
            finished_sums=sums,
            finished_log_probabilities=nothing,
            finished_scores=nothing,
            step_state=step_state,
        )

    def shapes(self, step_state: State) -> BeamState:
        """The shapes that stay the same from step to step; the number of rows is never relied on."""
        tokens, values = tf.TensorShape([None, None, None]), tf.TensorShape([None, None])
        rows = tf.nest.map_structure(lambda x: tf.TensorShape([None]).concatenate(x.shape[1:]), step_state)
        return BeamState(tf.TensorShape([]), tokens, tokens, values, tokens, tokens, values, values, rows)

    def goes_on(self, state: BeamState) -> tf.Tensor:
        """Whether some sentence has a live beam."""
        alive = tf.reduce_any(state.live_log_probabilities > IMPOSSIBLE)
        return tf.logical_and(state.position < self.longest, alive)

    def advance(self, state: BeamState) -> tuple[BeamState]:
        """Extends every live beam by one token."""
        newest = tf.reshape(tf.gather(state.live_tokens, state.position, axis=2), [-1])  # [B * K]
        logits, step_state = self.step(newest, state.position, state.step_state)
        candidates = self.candidates(state, logits)
        state = self.finish(state, candidates)
        state, survivors = self.survive(state, candidates)
        return (
            state._replace(
                position=state.position + 1,
                live_log_probabilities=self.hopeful(state),
                step_state=self.reordered(step_state, survivors),
            ),
        )

    def candidates(self, state: BeamState, logits: tf.Tensor) -> Candidates:
        """The 2K best extensions of each sentence, best first; the single best one if K is 1."""
        count = tf.where(self.beam_size > 1, 2 * self.beam_size, 1)
        log_probabilities, tokens = self.extensions(state, logits, count)  # [B * K, C]
        beams = [self.sentences, self.beam_size, -1]
        extended = tf.reshape(log_probabilities, beams) + state.live_log_probabilities[:, :, tf.newaxis]
        best: TopK = tf.math.top_k(tf.reshape(extended, [self.sentences, -1]), count)  # of [B, K * C]
        of_each_beam = tf.shape(tokens)[1]
        chosen_tokens = _chosen(tf.reshape(tokens, [self.sentences, -1]), best.indices)
        return Candidates(best.values, best.indices // of_each_beam, chosen_tokens)

    def extensions(self, state: BeamState, logits: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The log-probabilities and tokens of at least the `count` best extensions of each beam; both [B * K, C].

        Nothing but the softmax goes over all [B * K, V] again: what may not be chosen is taken out afterwards.
        """
        chosen = tf.reshape(state.live_tokens, [-1, tf.shape(state.live_tokens)[2]])[:, 1 : state.position + 1]
        logits = penalized(tf.cast(logits, tf.float32), chosen, self.repetition.repetition_penalty)
        best = top_k(without_repeats(logits, chosen, self.repetition.no_repeat_ngram_size), count + len(NEVER_CHOSEN))
        normalizers = _log_normalizers(logits, best)
        never = tf.reduce_any(best.indices[:, :, tf.newaxis] == NEVER_CHOSEN, axis=2)
        log_probabilities = tf.where(never, IMPOSSIBLE, best.values - normalizers)
        only = only_choice(state.position, self.prefixes, self.length_limits)
        only = tf.repeat(only, self.beam_size)[:, tf.newaxis]  # [B * K, 1]
        of_only = tf.gather(logits, only, batch_dims=1) - normalizers
        of_only = tf.where(tf.range(tf.shape(best.indices)[1]) == 0, of_only, IMPOSSIBLE)
        return tf.where(only == PAD, log_probabilities, of_only), tf.where(only == PAD, best.indices, only)

    def finish(self, state: BeamState, candidates: Candidates) -> BeamState:
        """Keeps the K best of the finished hypotheses and the candidates that end here."""
        ended = tf.where(candidates.tokens == EOS, candidates.log_probabilities, IMPOSSIBLE)
        scores = ended / length_penalties(state.position + 1, self.length_penalty)
        best: TopK = tf.math.top_k(tf.concat([state.finished_scores, scores], 1), self.beam_size)  # of [B, K + C]
        log_probabilities = tf.concat([state.finished_log_probabilities, ended], 1)
        log_probabilities = _chosen(log_probabilities, best.indices)
        places = tf.broadcast_to(tf.range(self.beam_size), [self.sentences, self.beam_size])
        places = tf.concat([places, self.beam_size + candidates.beams], 1)  # [B, K + C] into [B, 2K, 1 + T]
        places = _chosen(places, best.indices)
        live_tokens = _written(state.live_tokens, state.position + 1, EOS)
        sums = _chosen(tf.concat([state.finished_sums, state.live_sums], 1), places)
        ends_here = tf.where(places < self.beam_size, -1, state.position + 1)[:, :, tf.newaxis]
        return state._replace(
            finished_scores=best.values,
            finished_log_probabilities=log_probabilities,
            finished_tokens=_chosen(tf.concat([state.finished_tokens, live_tokens], 1), places),
            finished_sums=_written(sums, ends_here, log_probabilities[:, :, tf.newaxis]),
        )

    def survive(self, state: BeamState, candidates: Candidates) -> tuple[BeamState, tf.Tensor]:
        """The K best candidates that do not end here become the live beams; also gives whom they extend, [B, K]."""
        going_on = tf.where(candidates.tokens == EOS, IMPOSSIBLE, candidates.log_probabilities)
        best: TopK = tf.math.top_k(going_on, self.beam_size)
        beams = _chosen(candidates.beams, best.indices)
        tokens = _chosen(candidates.tokens, best.indices)[:, :, tf.newaxis]
        live_tokens = _written(_chosen(state.live_tokens, beams), state.position + 1, tokens)
        live_sums = _written(_chosen(state.live_sums, beams), state.position + 1, best.values[:, :, tf.newaxis])
        state = state._replace(live_tokens=live_tokens, live_sums=live_sums, live_log_probabilities=best.values)
        return state, beams

    def hopeful(self, state: BeamState) -> tf.Tensor:
        """The live log-probabilities [B, K], with the beams of a sentence dead that can no longer improve.

        A log-probability only falls, and the penalty is monotone in the length: the most that a live beam can reach
        is its log-probability now over the larger of the penalties at the next length and at the limit.
        """
        next_penalty = length_penalties(state.position + 2, self.length_penalty)
        best_penalty = tf.maximum(next_penalty, length_penalties(self.length_limits, self.length_penalty))  # [B]
        reachable = tf.reduce_max(state.live_log_probabilities, axis=1) / best_penalty
        can_improve = reachable > state.finished_scores[:, self.hypotheses - 1]
        return tf.where(can_improve[:, tf.newaxis], state.live_log_probabilities, IMPOSSIBLE)

    def reordered(self, step_state: State, beams: tf.Tensor) -> State:
        """Gives each surviving beam the state of the beam that it extends."""
        first_rows = tf.range(self.sentences)[:, tf.newaxis] * self.beam_size
        rows = tf.reshape(first_rows + beams, [-1])  # [B, K] -> [B * K]

        def moved() -> State:
            return tf.nest.map_structure(lambda x: tf.gather(x, rows), step_state)

        return tf.cond(self.beam_size > 1, moved, lambda: step_state)  # one beam has no place to change to

    def result(self, state: BeamState) -> Hypotheses:
        """The finished hypotheses without BOS."""
        exists = (state.finished_scores > IMPOSSIBLE)[:, :, tf.newaxis]
        tokens = tf.where(exists, state.finished_tokens[:, :, 1:], PAD)
        return Hypotheses(
            tokens=tokens,
            scores=state.finished_scores,
            log_probabilities=state.finished_log_probabilities,
            lengths=tf.math.count_nonzero(tokens != PAD, axis=2, dtype=tf.int32),
            token_log_probabilities=tf.where(
                tokens != PAD, state.finished_sums[:, :, 1:] - state.finished_sums[:, :, :-1], 0.0
            ),
        )


def _log_normalizers(logits: tf.Tensor, best: TopK) -> tf.Tensor:
    """log of the sum of exp(logits) over each row, [N, 1]; softmax is one fused pass, and logsumexp is four."""
    probability = tf.gather(tf.nn.softmax(logits), best.indices[:, :1], batch_dims=1)
    return best.values[:, :1] - tf.math.log(tf.maximum(probability, SMALLEST))


def _written(values: tf.Tensor, position: int | tf.Tensor, value: int | tf.Tensor) -> tf.Tensor:
    """`values` [B, K, 1 + T] with `value` at `position` of every row, each a scalar or [B, K, 1]."""
    return tf.where(tf.range(tf.shape(values)[2]) == position, value, values)


def _chosen(values: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """[B, C, …] at `places` [B, K] -> [B, K, …]."""
    return tf.gather(values, places, batch_dims=1)
