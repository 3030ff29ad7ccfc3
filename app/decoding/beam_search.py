"""Beam search with length normalisation, as one pure TensorFlow function over an opaque step.

It knows nothing of the model, of text or of Python values at run time, so that it traces into a SavedModel. Each
sentence keeps K live beams and its K best finished hypotheses. The score of a hypothesis is its log-probability
divided by a length penalty (Wu et al. 2016, Eq. 14, without the coverage term).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from app.decoding.top_k import TopK, top_k
from pipelines.vocabulary import BOS, EOS, PAD

State = Any  # a tf.nest of tensors whose leading axis is B * K
Step = Callable[[tf.Tensor, tf.Tensor, State], tuple[tf.Tensor, State]]

IMPOSSIBLE = float("-inf")
NEVER_CHOSEN = (PAD, BOS)


class Hypotheses(NamedTuple):
    """The best translations of each sentence, best first.

    A sentence may have fewer than N hypotheses (within one token there is only EOS); the places left over have no
    tokens, length 0 and score -inf.
    """

    tokens: tf.Tensor  # int32 [B, N, T], EOS included, then PAD
    scores: tf.Tensor  # float32 [B, N], log-probability / length penalty
    log_probabilities: tf.Tensor  # float32 [B, N]
    lengths: tf.Tensor  # int32 [B, N], EOS included


class BeamState(NamedTuple):
    """What one step hands to the next. Token rows begin with BOS, so they are [B, K, 1 + T].

    A dead beam has log-probability -inf and never lives again. A sentence has stopped when all its beams are dead.
    """

    position: tf.Tensor  # int32 [], tokens already chosen
    live_tokens: tf.Tensor  # int32 [B, K, 1 + T]
    live_log_probabilities: tf.Tensor  # float32 [B, K]
    finished_tokens: tf.Tensor  # int32 [B, K, 1 + T]
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
) -> Hypotheses:
    """Searches the best hypotheses of B sentences.

    At each step the 2K best extensions of a sentence are its candidates: those that end in EOS may become finished
    hypotheses, the K best others live on (Tensor2Tensor's algorithm). With K = 1 there is one candidate, the most
    probable token: greedy search. PAD and BOS are never chosen, and at a sentence's last position nothing but EOS.
    A sentence stops when none of its beams can reach a better score than its N-th finished hypothesis, whatever
    follows. Its result depends on no other sentence of the batch.

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
    )
    state = search.initial(initial_state)
    (state,) = tf.while_loop(search.goes_on, search.advance, [state], shape_invariants=[search.shapes(initial_state)])
    return search.result(state)


def length_penalties(lengths: tf.Tensor, alpha: float | tf.Tensor) -> tf.Tensor:
    """((5 + length) / 6) ^ alpha (Wu et al. 2016, Eq. 14), float32 in the shape of `lengths`."""
    return tf.pow((5.0 + tf.cast(lengths, tf.float32)) / 6.0, tf.cast(alpha, tf.float32))


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
    ) -> None:
        self.step = step
        self.length_limits = tf.convert_to_tensor(length_limits, tf.int32)
        self.beam_size = beam_size
        self.length_penalty = length_penalty
        self.hypotheses = hypotheses
        self.prefixes = tf.pad(
            prefixes, [[0, 0], [0, 1]], constant_values=PAD
        )  # [B, P + 1]: after it nothing is forced
        self.sentences = tf.shape(self.length_limits)[0]
        self.longest = tf.maximum(tf.reduce_max(self.length_limits), 0)  # the maximum over no sentence is negative

    def initial(self, step_state: State) -> BeamState:
        """One live beam, BOS, in each sentence; nothing finished."""
        beams = [self.sentences, self.beam_size]
        tokens = tf.fill([*beams, 1 + self.longest], PAD)
        nothing = tf.fill(beams, IMPOSSIBLE)
        return BeamState(
            position=tf.constant(0),
            live_tokens=_written(tokens, 0, BOS),
            live_log_probabilities=tf.where(tf.range(self.beam_size) == 0, 0.0, nothing),
            finished_tokens=tokens,
            finished_log_probabilities=nothing,
            finished_scores=nothing,
            step_state=step_state,
        )

    def shapes(self, step_state: State) -> BeamState:
        """The shapes that stay the same from step to step; the number of rows is never relied on."""
        tokens, values = tf.TensorShape([None, None, None]), tf.TensorShape([None, None])
        rows = tf.nest.map_structure(lambda x: tf.TensorShape([None]).concatenate(x.shape[1:]), step_state)
        return BeamState(tf.TensorShape([]), tokens, values, tokens, values, values, rows)

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
        log_probabilities, tokens = self.extensions(logits, count, state.position)  # [B * K, C]
        beams = [self.sentences, self.beam_size, -1]
        extended = tf.reshape(log_probabilities, beams) + state.live_log_probabilities[:, :, tf.newaxis]
        best: TopK = tf.math.top_k(tf.reshape(extended, [self.sentences, -1]), count)  # of [B, K * C]
        of_each_beam = tf.shape(tokens)[1]
        chosen_tokens = _chosen(tf.reshape(tokens, [self.sentences, -1]), best.indices)
        return Candidates(best.values, best.indices // of_each_beam, chosen_tokens)

    def extensions(self, logits: tf.Tensor, count: tf.Tensor, position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The log-probabilities and tokens of at least the `count` best extensions of each beam; both [B * K, C].

        Nothing but the softmax goes over all [B * K, V] again: what may not be chosen is taken out afterwards.
        """
        logits = tf.cast(logits, tf.float32)
        best = top_k(logits, count + len(NEVER_CHOSEN))
        normalizers = _log_normalizers(logits, best)
        never = tf.reduce_any(best.indices[:, :, tf.newaxis] == NEVER_CHOSEN, axis=2)
        log_probabilities = tf.where(never, IMPOSSIBLE, best.values - normalizers)
        only = tf.repeat(self.only_choice(position), self.beam_size)[:, tf.newaxis]  # [B * K, 1]
        of_only = tf.gather(logits, only, batch_dims=1) - normalizers
        of_only = tf.where(tf.range(tf.shape(best.indices)[1]) == 0, of_only, IMPOSSIBLE)
        return tf.where(only == PAD, log_probabilities, of_only), tf.where(only == PAD, best.indices, only)

    def only_choice(self, position: tf.Tensor) -> tf.Tensor:
        """int32 [B]: the token that must come next, the prefix's or at the last position EOS; PAD where any may."""
        of_prefix = self.prefixes[:, tf.minimum(position, tf.shape(self.prefixes)[1] - 1)]
        return tf.where(position + 1 >= self.length_limits, EOS, of_prefix)

    def finish(self, state: BeamState, candidates: Candidates) -> BeamState:
        """Keeps the K best of the finished hypotheses and the candidates that end here."""
        ended = tf.where(candidates.tokens == EOS, candidates.log_probabilities, IMPOSSIBLE)
        scores = ended / length_penalties(state.position + 1, self.length_penalty)
        best: TopK = tf.math.top_k(tf.concat([state.finished_scores, scores], 1), self.beam_size)  # of [B, K + C]
        log_probabilities = tf.concat([state.finished_log_probabilities, ended], 1)
        places = tf.broadcast_to(tf.range(self.beam_size), [self.sentences, self.beam_size])
        places = tf.concat([places, self.beam_size + candidates.beams], 1)  # [B, K + C] into [B, 2K, 1 + T]
        live_tokens = _written(state.live_tokens, state.position + 1, EOS)
        tokens = tf.concat([state.finished_tokens, live_tokens], 1)
        return state._replace(
            finished_scores=best.values,
            finished_log_probabilities=tf.gather(log_probabilities, best.indices, batch_dims=1),
            finished_tokens=_chosen(tokens, _chosen(places, best.indices)),
        )

    def survive(self, state: BeamState, candidates: Candidates) -> tuple[BeamState, tf.Tensor]:
        """The K best candidates that do not end here become the live beams; also gives whom they extend, [B, K]."""
        going_on = tf.where(candidates.tokens == EOS, IMPOSSIBLE, candidates.log_probabilities)
        best: TopK = tf.math.top_k(going_on, self.beam_size)
        beams = _chosen(candidates.beams, best.indices)
        tokens = _chosen(candidates.tokens, best.indices)[:, :, tf.newaxis]
        live_tokens = _written(_chosen(state.live_tokens, beams), state.position + 1, tokens)
        return state._replace(live_tokens=live_tokens, live_log_probabilities=best.values), beams

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
        """The N best finished hypotheses without BOS."""
        scores = state.finished_scores[:, : self.hypotheses]
        exists = (scores > IMPOSSIBLE)[:, :, tf.newaxis]
        tokens = tf.where(exists, state.finished_tokens[:, : self.hypotheses, 1:], PAD)
        return Hypotheses(
            tokens=tokens,
            scores=scores,
            log_probabilities=state.finished_log_probabilities[:, : self.hypotheses],
            lengths=tf.math.count_nonzero(tokens != PAD, axis=2, dtype=tf.int32),
        )


def _log_normalizers(logits: tf.Tensor, best: TopK) -> tf.Tensor:
    """log of the sum of exp(logits) over each row, [N, 1]; softmax is one fused pass, and logsumexp is four."""
    probability = tf.gather(tf.nn.softmax(logits), best.indices[:, :1], batch_dims=1)
    return best.values[:, :1] - tf.math.log(probability)


def _written(tokens: tf.Tensor, position: int | tf.Tensor, token: int | tf.Tensor) -> tf.Tensor:
    """`tokens` [B, K, 1 + T] with `token`, a scalar or [B, K, 1], at one position of every row."""
    return tf.where(tf.range(tf.shape(tokens)[2]) == position, token, tokens)


def _chosen(values: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """[B, C, …] at `places` [B, K] -> [B, K, …]."""
    return tf.gather(values, places, batch_dims=1)
