"""Beam search with length normalisation, as one pure TensorFlow function over an opaque step.

It knows nothing of the model, of text or of Python values at run time, so that it traces into a SavedModel. Each
sentence keeps K live beams and its K best finished hypotheses. The score of a hypothesis is its log-probability
divided by a length penalty (Wu et al. 2016, Eq. 14, without the coverage term).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from app.decoding.search.repetition import Repetition, penalized, without_repeats
from app.decoding.search.top_k import TopK, top_k
from pipelines.vocabulary.tokenizer import BOS, EOS, PAD


class SearchState(NamedTuple):
    """What a step hands to the next: tensors in tf.nests of any structure."""

    beams: Any  # the leading axis of each is B * K; the rows are reordered as the beams are
    sentences: Any = ()  # the leading axis of each is B


State = SearchState
Step = Callable[[tf.Tensor, tf.Tensor, State], tuple[tf.Tensor, State]]

IMPOSSIBLE = float("-inf")
SMALLEST = 1.2e-38  # normal float32; where no better token is allowed, it stands for a probability below
NEVER_CHOSEN = (PAD, BOS)
STAY = ("position", "step_state", "taken_out")  # of a search's state; the other parts have a row for each sentence
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


OF_HYPOTHESES = Hypotheses(
    tokens=tf.TensorSpec([None, None, None], tf.int32),
    scores=tf.TensorSpec([None, None], tf.float32),
    log_probabilities=tf.TensorSpec([None, None], tf.float32),
    lengths=tf.TensorSpec([None, None], tf.int32),
    token_log_probabilities=tf.TensorSpec([None, None, None], tf.float32),
)


class Finished(NamedTuple):
    """The best hypotheses that have ended. Rows of tokens begin with BOS."""

    tokens: tf.Tensor  # int32 [B, K, 1 + T]
    sums: tf.Tensor  # float32 [B, K, 1 + T], the log-probability up to each token
    log_probabilities: tf.Tensor  # float32 [B, K]
    scores: tf.Tensor  # float32 [B, K], falling; -inf where there is none yet


class BeamState(NamedTuple):
    """What one step hands to the next. Rows of tokens begin with BOS.

    A dead beam has log-probability -inf and never lives again. A sentence has stopped when all its beams are dead. Now
    and then those that have stopped are taken out, so that B is how many are left of the A of the batch.
    """

    position: tf.Tensor  # int32 [], tokens already chosen
    numbers: tf.Tensor  # int32 [B], which of the batch's sentences these are
    length_limits: tf.Tensor  # int32 [B]
    prefixes: tf.Tensor  # int32 [B, P]
    live_tokens: tf.Tensor  # int32 [B, K, 1 + T]
    live_sums: tf.Tensor  # float32 [B, K, 1 + T]
    live_log_probabilities: tf.Tensor  # float32 [B, K]
    finished: Finished
    step_state: SearchState
    taken_out: Finished  # of all A sentences, but only right for those that were taken out


class Scored(NamedTuple):
    """What the model says may follow each beam."""

    logits: tf.Tensor  # float32 [B * K, V]
    normalizers: tf.Tensor  # float32 [B * K, 1]; what a logit exceeds them by is its log-probability
    best: TopK  # of those that may be chosen, [B * K, C]

    def of(self, tokens: tf.Tensor) -> tf.Tensor:
        """The log-probabilities of tokens, int32 [B * K, n]."""
        return tf.gather(self.logits, tokens, batch_dims=1) - self.normalizers


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
        initial_state: The state of the first step.
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
    search = BeamSearch(
        step,
        length_limits,
        beam_size=beam_size,
        length_penalty=length_penalty,
        hypotheses=hypotheses,
        prefixes=prefixes,
        repetition=repetition,
    )
    return search.run(initial_state)


def length_penalties(lengths: tf.Tensor, alpha: float | tf.Tensor) -> tf.Tensor:
    """((5 + length) / 6) ^ alpha (Wu et al. 2016, Eq. 14), float32 in the shape of `lengths`."""
    return tf.pow((5.0 + tf.cast(lengths, tf.float32)) / 6.0, tf.cast(alpha, tf.float32))


def only_choice(position: tf.Tensor, prefixes: tf.Tensor, length_limits: tf.Tensor) -> tf.Tensor:
    """int32 [B]: the token that must come next, the prefix's or at the last position EOS; PAD where any may."""
    prefixes = tf.pad(prefixes, [[0, 0], [0, 1]], constant_values=PAD)  # after it nothing is forced
    of_prefix = prefixes[:, tf.minimum(position, tf.shape(prefixes)[1] - 1)]
    return tf.where(position + 1 >= length_limits, EOS, of_prefix)


class BeamSearch:
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
        length_limits = tf.convert_to_tensor(length_limits, tf.int32)
        self.length_limits = length_limits
        self.beam_size = beam_size
        self.length_penalty = length_penalty
        self.hypotheses = hypotheses
        self.prefixes = prefixes
        self.repetition = repetition
        self.longest = tf.maximum(tf.reduce_max(length_limits), 0)  # the maximum over no sentence is negative

    def run(self, step_state: State) -> Hypotheses:
        """Searches from the state of the first step on."""
        state = self.initial(step_state)
        (state,) = tf.while_loop(self.goes_on, self.advance, [state], shape_invariants=[self.shapes(state)])
        return self.result(self.put_aside(state))

    def initial(self, step_state: State) -> BeamState:
        """One live beam, BOS, in each sentence; nothing finished."""
        numbers = tf.range(tf.size(self.length_limits))
        beams = [tf.size(numbers), self.beam_size]
        tokens = tf.fill([*beams, 1 + self.longest], PAD)
        nothing = tf.fill(beams, IMPOSSIBLE)
        sums = tf.zeros(tf.shape(tokens))
        none = Finished(tokens, sums, nothing, nothing)
        return BeamState(
            position=tf.constant(0),
            numbers=numbers,
            length_limits=self.length_limits,
            prefixes=self.prefixes,
            live_tokens=_written(tokens, 0, BOS),
            live_sums=sums,
            live_log_probabilities=tf.where(tf.range(self.beam_size) == 0, 0.0, nothing),
            finished=none,
            step_state=step_state,
            taken_out=none,
        )

    def shapes(self, state: BeamState) -> BeamState:
        """The shapes that stay the same from step to step; the number of rows is never relied on."""

        def of_rows(values: tf.Tensor) -> tf.TensorShape:
            return tf.TensorShape([None]).concatenate(values.shape[1:])

        open_shapes = tf.nest.map_structure(lambda values: tf.TensorShape([None] * values.shape.rank), state)
        return open_shapes._replace(step_state=tf.nest.map_structure(of_rows, state.step_state))

    def goes_on(self, state: BeamState) -> tf.Tensor:
        """Whether some sentence has a live beam."""
        alive = tf.reduce_any(state.live_log_probabilities > IMPOSSIBLE)
        return tf.logical_and(state.position < self.longest, alive)

    def advance(self, state: BeamState) -> tuple[BeamState]:
        """Extends every live beam by one token."""
        return (self.after(*self.tried(state)),)

    def tried(self, state: BeamState) -> tuple[BeamState, Candidates]:
        """The state after the model's step, and the candidates that this gives."""
        newest = tf.reshape(tf.gather(state.live_tokens, state.position, axis=2), [-1])  # [B * K]
        logits, step_state = self.step(newest, state.position, state.step_state)
        state = state._replace(step_state=step_state)
        return state, self.candidates(state, logits)

    def after(self, state: BeamState, candidates: Candidates) -> BeamState:
        """What the next step finds, with candidates that the step's state has taken note of."""
        state = self.finish(state, candidates)
        state, survivors = self.survive(state, candidates)
        state = state._replace(
            position=state.position + 1,
            live_log_probabilities=self.hopeful(state),
            step_state=self.reordered(state.step_state, survivors),
        )
        return self.without_stopped(state)

    def candidates(self, state: BeamState, logits: tf.Tensor) -> Candidates:
        """The 2K best extensions of each sentence, best first; the single best one if K is 1."""
        return self.best_extensions(state, *self.extensions(state, self.scored(state, logits)))

    def count(self) -> tf.Tensor:
        """How many candidates there are."""
        return tf.where(self.beam_size > 1, 2 * self.beam_size, 1)

    def scored(self, state: BeamState, logits: tf.Tensor) -> Scored:
        """The best that each beam may say next.

        Nothing but the softmax goes over all [B * K, V] again: what may not be chosen is taken out afterwards.
        """
        said = tf.reshape(state.live_tokens, [-1, tf.shape(state.live_tokens)[2]])[:, 1 : state.position + 1]
        logits = penalized(tf.cast(logits, tf.float32), said, self.repetition.repetition_penalty)
        allowed = without_repeats(logits, said, self.repetition.no_repeat_ngram_size)
        best = top_k(allowed, self.count() + len(NEVER_CHOSEN))
        return Scored(logits, _log_normalizers(logits, best), best)

    def extensions(self, state: BeamState, scored: Scored) -> tuple[tf.Tensor, tf.Tensor]:
        """The log-probabilities and tokens of the best extensions of each beam; both [B * K, C]."""
        best = scored.best
        never = tf.reduce_any(best.indices[:, :, tf.newaxis] == NEVER_CHOSEN, axis=2)
        log_probabilities = tf.where(never, IMPOSSIBLE, best.values - scored.normalizers)
        only = self.only(state)
        of_only = tf.where(tf.range(tf.shape(best.indices)[1]) == 0, scored.of(only), IMPOSSIBLE)
        return tf.where(only == PAD, log_probabilities, of_only), tf.where(only == PAD, best.indices, only)

    def only(self, state: BeamState) -> tf.Tensor:
        """As `only_choice`, of each beam: int32 [B * K, 1]."""
        only = only_choice(state.position, state.prefixes, state.length_limits)
        return tf.repeat(only, self.beam_size)[:, tf.newaxis]

    def best_extensions(self, state: BeamState, log_probabilities: tf.Tensor, tokens: tf.Tensor) -> Candidates:
        """The best of all the extensions, [B * K, C], of a sentence's beams."""
        sentences = tf.size(state.numbers)
        beams = [sentences, self.beam_size, -1]
        extended = tf.reshape(log_probabilities, beams) + state.live_log_probabilities[:, :, tf.newaxis]
        best: TopK = tf.math.top_k(tf.reshape(extended, [sentences, -1]), self.count())  # of [B, K * C]
        of_each_beam = tf.shape(tokens)[1]
        chosen_tokens = chosen(tf.reshape(tokens, [sentences, -1]), best.indices)
        return Candidates(best.values, best.indices // of_each_beam, chosen_tokens)

    def finish(self, state: BeamState, candidates: Candidates) -> BeamState:
        """Keeps the K best of the finished hypotheses and the candidates that end here."""
        ended = tf.where(candidates.tokens == EOS, candidates.log_probabilities, IMPOSSIBLE)
        scores = ended / length_penalties(state.position + 1, self.length_penalty)
        best: TopK = tf.math.top_k(tf.concat([state.finished.scores, scores], 1), self.beam_size)  # of [B, K + C]
        log_probabilities = tf.concat([state.finished.log_probabilities, ended], 1)
        log_probabilities = chosen(log_probabilities, best.indices)
        places = tf.broadcast_to(tf.range(self.beam_size), [tf.size(state.numbers), self.beam_size])
        places = tf.concat([places, self.beam_size + candidates.beams], 1)  # [B, K + C] into [B, 2K, 1 + T]
        places = chosen(places, best.indices)
        live_tokens = _written(state.live_tokens, state.position + 1, EOS)
        sums = chosen(tf.concat([state.finished.sums, state.live_sums], 1), places)
        ends_here = tf.where(places < self.beam_size, -1, state.position + 1)[:, :, tf.newaxis]
        finished = Finished(
            tokens=chosen(tf.concat([state.finished.tokens, live_tokens], 1), places),
            sums=_written(sums, ends_here, log_probabilities[:, :, tf.newaxis]),
            log_probabilities=log_probabilities,
            scores=best.values,
        )
        return state._replace(finished=finished)

    def survive(self, state: BeamState, candidates: Candidates) -> tuple[BeamState, tf.Tensor]:
        """K candidates that do not end here become the live beams; also gives whom they extend, [B, K]."""
        going_on = tf.where(candidates.tokens == EOS, IMPOSSIBLE, candidates.log_probabilities)
        best = self.kept(state, candidates._replace(log_probabilities=going_on))
        beams = chosen(candidates.beams, best.indices)
        tokens = chosen(candidates.tokens, best.indices)[:, :, tf.newaxis]
        live_tokens = _written(chosen(state.live_tokens, beams), state.position + 1, tokens)
        live_sums = _written(chosen(state.live_sums, beams), state.position + 1, best.values[:, :, tf.newaxis])
        state = state._replace(live_tokens=live_tokens, live_sums=live_sums, live_log_probabilities=best.values)
        return state, beams

    def kept(self, state: BeamState, candidates: Candidates) -> TopK:
        """Which candidates live on, [B, K]: the best."""
        best: TopK = tf.math.top_k(candidates.log_probabilities, self.beam_size)
        return best

    def hopeful(self, state: BeamState) -> tf.Tensor:
        """The live log-probabilities [B, K], with the beams of a sentence dead that can no longer improve.

        A log-probability only falls, and the penalty is monotone in the length: the most that a live beam can reach
        is its log-probability now over the larger of the penalties at the next length and at the limit.
        """
        next_penalty = length_penalties(state.position + 2, self.length_penalty)
        best_penalty = tf.maximum(next_penalty, length_penalties(state.length_limits, self.length_penalty))  # [B]
        reachable = tf.reduce_max(state.live_log_probabilities, axis=1) / best_penalty
        can_improve = reachable > state.finished.scores[:, self.hypotheses - 1]
        return tf.where(can_improve[:, tf.newaxis], state.live_log_probabilities, IMPOSSIBLE)

    def reordered(self, step_state: State, beams: tf.Tensor) -> State:
        """Gives each surviving beam, [B, K], the state of the beam that it extends."""

        def moved() -> Any:
            first_rows = tf.range(tf.shape(beams)[0])[:, tf.newaxis] * self.beam_size
            rows = tf.reshape(first_rows + beams, [-1])  # [B, K] -> [B * K]
            return tf.nest.map_structure(lambda x: tf.gather(x, rows), step_state.beams)

        # One beam has no place to change to.
        return step_state._replace(beams=tf.cond(self.beam_size > 1, moved, lambda: step_state.beams))

    def without_stopped(self, state: BeamState) -> BeamState:
        """The sentences that go on, once a quarter has stopped."""
        goes_on = tf.reduce_any(state.live_log_probabilities > IMPOSSIBLE, axis=1)  # [B]
        left, sentences = tf.math.count_nonzero(goes_on, dtype=tf.int32), tf.size(goes_on)

        def taken_out() -> BeamState:
            places = tf.where(goes_on)[:, 0]
            rows = tf.repeat(goes_on, self.beam_size)

            def kept(values: Any) -> Any:
                return tf.nest.map_structure(lambda x: tf.gather(x, places), values)

            of_beams = tf.nest.map_structure(lambda x: tf.boolean_mask(x, rows), state.step_state.beams)
            all_kept = BeamState(
                *(kept(values) if name not in STAY else values for name, values in state._asdict().items())
            )
            return all_kept._replace(
                step_state=SearchState(of_beams, kept(state.step_state.sentences)),
                taken_out=self.put_aside(state).taken_out,
            )

        return tf.cond((left > 0) & (4 * left <= 3 * sentences), taken_out, lambda: state)

    def put_aside(self, state: BeamState) -> BeamState:
        """With what is finished of the sentences that are left written to its place among all."""
        places = state.numbers[:, tf.newaxis]
        aside = tf.nest.map_structure(
            lambda every, own: tf.tensor_scatter_nd_update(every, places, own), state.taken_out, state.finished
        )
        return state._replace(taken_out=aside)

    def result(self, state: BeamState) -> Hypotheses:
        """What was taken out, without BOS."""
        found = state.taken_out
        exists = (found.scores > IMPOSSIBLE)[:, :, tf.newaxis]
        tokens = tf.where(exists, found.tokens[:, :, 1:], PAD)
        return Hypotheses(
            tokens=tokens,
            scores=found.scores,
            log_probabilities=found.log_probabilities,
            lengths=tf.math.count_nonzero(tokens != PAD, axis=2, dtype=tf.int32),
            token_log_probabilities=tf.where(tokens != PAD, found.sums[:, :, 1:] - found.sums[:, :, :-1], 0.0),
        )


def _log_normalizers(logits: tf.Tensor, best: TopK) -> tf.Tensor:
    """log of the sum of exp(logits) over each row, [N, 1]; softmax is one fused pass, and logsumexp is four."""
    probability = tf.gather(tf.nn.softmax(logits), best.indices[:, :1], batch_dims=1)
    return best.values[:, :1] - tf.math.log(tf.maximum(probability, SMALLEST))


def _written(values: tf.Tensor, position: int | tf.Tensor, value: int | tf.Tensor) -> tf.Tensor:
    """`values` [B, K, 1 + T] with `value` at `position` of every row, each a scalar or [B, K, 1]."""
    return tf.where(tf.range(tf.shape(values)[2]) == position, value, values)


def chosen(values: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """[B, C, …] at `places` [B, K] -> [B, K, …]."""
    return tf.gather(values, places, batch_dims=1)
