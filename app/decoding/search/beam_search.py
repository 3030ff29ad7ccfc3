"""Beam search with length normalisation, as one pure TensorFlow function.

The search sees the model only as a step function. It handles no text and needs no Python values at run time, so it can
be traced into a SavedModel. Each sentence keeps K live beams and its K best finished hypotheses. The score of a
hypothesis is its log-probability divided by a length penalty (Wu et al. 2016, Eq. 14, without the coverage term).
"""

from collections.abc import Callable

import tensorflow as tf

from keras_nmt.app.decoding.search.beam_settings import BeamSettings, beam_settings
from keras_nmt.app.decoding.search.beam_state import (
    BeamState,
    Finished,
    gather_beams,
    hypotheses_of,
    initial_beam_state,
    remove_stopped,
    shape_invariants,
    store_results,
    with_room,
    write_at,
)
from keras_nmt.app.decoding.search.candidates import Candidates, Scored, log_normalizers
from keras_nmt.app.decoding.search.hypotheses import Hypotheses, SearchState, Step, TensorNest
from keras_nmt.app.decoding.search.penalties import (
    IMPOSSIBLE,
    NEVER_CHOSEN,
    NO_RULES,
    Repetition,
    forced_tokens,
    is_early_end,
    is_never_chosen,
    length_penalties,
)
from keras_nmt.app.decoding.search.top_k import TopK, top_k
from keras_nmt.pipelines.vocabulary.tokenizer import EOS, PAD

# (search, the model's state before the first step) -> what the search finds
SearchRunner = Callable[["BeamSearch", SearchState], Hypotheses]


def beam_search(
    step: Step,
    initial_state: SearchState,
    *,
    length_limits: tf.Tensor,
    beam_size: int | tf.Tensor,
    length_penalty: float | tf.Tensor,
    hypotheses: int | tf.Tensor = 1,
    prefixes: tf.Tensor | None = None,
    repetition: Repetition = NO_RULES,
    min_tokens: int | tf.Tensor = 0,
    run: SearchRunner = lambda search, state: search.run(state),
) -> Hypotheses:
    """Searches for the best hypotheses of B sentences.

    An extension is a live beam with one more token. At each step, the candidates of a sentence are its 2K most probable
    extensions, where K is the beam size. Candidates that end in EOS become finished hypotheses, of which the K with the
    best scores are kept. The K most probable candidates that do not end in EOS become the live beams (Tensor2Tensor's
    algorithm). With K = 1, the only candidate is the most probable token, which is greedy search. PAD and BOS are never
    chosen. At the last position that the length limit allows, EOS is forced.

    The search of a sentence stops when none of its live beams can reach a better score than its N-th best finished
    hypothesis, where N is `hypotheses`. Hypotheses after the N-th are the best that were found before the search
    stopped. The result of a sentence does not depend on the other sentences in the batch.

    Args:
        step: (newest tokens int32 [B * K], number of tokens before them int32 [], state) -> (logits [B * K, V] of the
            next token, state). The K beams of a sentence are adjacent rows.
        initial_state: The model's state before the first step.
        length_limits: int32 [B], the largest number of tokens in a hypothesis, EOS included; at least 1.
        beam_size: K, a number or int32 [].
        length_penalty: The exponent alpha of ((5 + length) / 6) ^ alpha; 0 compares plain log-probabilities.
        hypotheses: N, the number of best hypotheses that are needed, from 1 to K: a number or int32 [].
        prefixes: int32 [B, P], padded with PAD: the tokens that each hypothesis of a sentence begins with. A prefix
            does not include EOS and is shorter than the length limit. Its probability is part of the score.
        repetition: The rules against repetition. All returned probabilities are computed after the repetition penalty.
        min_tokens: The smallest number of tokens in a hypothesis, EOS excluded. The length limit takes precedence.
        run: The function that runs the search, for example one that records it.

    Raises:
        tf.errors.InvalidArgumentError: `beam_size` or `hypotheses` is out of range.
    """
    if prefixes is None:
        prefixes = tf.zeros([tf.size(length_limits), 0], tf.int32)
    settings = beam_settings(beam_size, length_penalty, hypotheses, repetition)._replace(min_tokens=min_tokens)
    return run(BeamSearch(step, settings, length_limits=length_limits, prefixes=prefixes), initial_state)


class BeamSearch:
    """The steps of `beam_search`, as methods that `ConstrainedSearch` and `TreeSearch` can override.

    Args:
        step: The step function, as in `beam_search`.
        settings: The settings of the search.
        length_limits: int32 [B], as in `beam_search`.
        prefixes: int32 [B, P], as in `beam_search`.
    """

    def __init__(self, step: Step, settings: BeamSettings, *, length_limits: tf.Tensor, prefixes: tf.Tensor) -> None:
        self.step = step
        self.beam_size, self.length_penalty, self.hypotheses, self.repetition, self.min_tokens = settings
        self.length_limits = tf.convert_to_tensor(length_limits, tf.int32)
        self.prefixes = prefixes
        self.longest = tf.maximum(tf.reduce_max(self.length_limits), 0)  # without sentences, reduce_max is negative

    def run(self, step_state: SearchState) -> Hypotheses:
        """Runs the whole search, given the model's state before the first step."""
        state = self.initial(step_state)
        (state,) = tf.while_loop(
            self.should_continue, self.advance, [state], shape_invariants=[shape_invariants(state)]
        )
        return hypotheses_of(store_results(state).results)

    def initial(self, step_state: SearchState) -> BeamState:
        """Returns the state before the first step."""
        return initial_beam_state(
            step_state,
            length_limits=self.length_limits,
            prefixes=self.prefixes,
            beam_size=self.beam_size,
            longest=self.longest,
        )

    def should_continue(self, state: BeamState) -> tf.Tensor:
        """Returns True if any sentence has a live beam and the longest length limit is not reached: bool []."""
        alive = tf.reduce_any(state.live_log_probabilities > IMPOSSIBLE)
        return tf.logical_and(state.position < self.longest, alive)

    def advance(self, state: BeamState) -> tuple[BeamState]:
        """Extends every live beam by one token."""
        return (self.choose(*self.propose(state)),)

    def propose(self, state: BeamState) -> tuple[BeamState, Candidates]:
        """Runs the step function; returns the search state with the new state of the model, and the candidates."""
        newest = tf.reshape(tf.gather(state.live_tokens, state.position, axis=2), [-1])  # [B * K]
        logits, step_state = self.step(newest, state.position, state.step_state)
        state = state._replace(step_state=step_state)
        return state, self.candidates(state, logits)

    def choose(self, state: BeamState, candidates: Candidates) -> BeamState:
        """Turns the candidates into finished hypotheses and live beams; returns the state before the next step."""
        state = self.finish(with_room(state, self.longest), candidates)
        state, parents = self.survive(state, candidates)
        state = state._replace(
            position=state.position + 1,
            live_log_probabilities=self.prune_unpromising(state),
            step_state=self.reorder(state.step_state, parents),
        )
        return remove_stopped(state, self.beam_size)

    def candidates(self, state: BeamState, logits: tf.Tensor) -> Candidates:
        """Returns the 2K best extensions of each sentence, best first. If K is 1, returns only the best one."""
        return self.best_extensions(state, *self.extensions(state, self.scored(state, logits)))

    def candidate_count(self) -> tf.Tensor:
        """Returns the number of candidates for each sentence: int32 []."""
        return tf.where(self.beam_size > 1, 2 * self.beam_size, 1)

    def scored(self, state: BeamState, logits: tf.Tensor) -> Scored:
        """Finds the best next tokens of each beam.

        The result may contain PAD and BOS, which a search never chooses, and EOS, which it may not choose yet. Masking
        their logits here would need a pass over all logits, [B * K, V]. So this method finds three more tokens than
        needed, and `extensions` masks these.
        """
        ruled = self.repetition.apply(logits, state.history())
        best = top_k(ruled.allowed, self.candidate_count() + len(NEVER_CHOSEN) + 1)
        return Scored(ruled.logits, log_normalizers(ruled.logits, best), best)

    def extensions(self, state: BeamState, scored: Scored) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the log-probabilities of the best next tokens of each beam, and these tokens; both [B * K, C].

        If a token is forced for a beam, all other tokens have log-probability -inf.
        """
        best = scored.best
        is_banned = self.is_banned(state, best.indices)
        log_probabilities = tf.where(is_banned, IMPOSSIBLE, best.values - scored.normalizers)
        forced = self.forced_tokens(state)
        of_forced = tf.where(tf.range(tf.shape(best.indices)[1]) == 0, scored.log_probabilities(forced), IMPOSSIBLE)
        return tf.where(forced == PAD, log_probabilities, of_forced), tf.where(forced == PAD, best.indices, forced)

    def is_banned(self, state: BeamState, tokens: tf.Tensor) -> tf.Tensor:
        """Returns True for each of `tokens` (int32) that may not come next: PAD, BOS, and EOS if it is too early."""
        return is_never_chosen(tokens) | is_early_end(tokens, state.position, self.min_tokens)

    def forced_tokens(self, state: BeamState) -> tf.Tensor:
        """Returns the forced token of each beam, or PAD if no token is forced: int32 [B * K, 1]."""
        forced = forced_tokens(state.position, state.prefixes, state.length_limits)
        return tf.repeat(forced, self.beam_size)[:, tf.newaxis]

    def best_extensions(self, state: BeamState, log_probabilities: tf.Tensor, tokens: tf.Tensor) -> Candidates:
        """Selects the most probable extensions of each sentence.

        Args:
            state: The state before the extension.
            log_probabilities: float32 [B * K, C], the log-probabilities of C next tokens of each beam.
            tokens: int32 [B * K, C], these tokens.
        """
        sentences = tf.size(state.rows)
        by_beam = [sentences, self.beam_size, -1]
        extended = tf.reshape(log_probabilities, by_beam) + state.live_log_probabilities[:, :, tf.newaxis]
        best: TopK = tf.math.top_k(tf.reshape(extended, [sentences, -1]), self.candidate_count())  # of [B, K * C]
        extensions_of_beam = tf.shape(tokens)[1]
        chosen_tokens = gather_beams(tf.reshape(tokens, [sentences, -1]), best.indices)
        return Candidates(best.values, best.indices // extensions_of_beam, chosen_tokens)

    def finish(self, state: BeamState, candidates: Candidates) -> BeamState:
        """Keeps the K best hypotheses among the finished hypotheses and the candidates that end in EOS."""
        ended = tf.where(candidates.tokens == EOS, candidates.log_probabilities, IMPOSSIBLE)
        scores = ended / length_penalties(state.position + 1, self.length_penalty)
        best: TopK = tf.math.top_k(tf.concat([state.finished.scores, scores], 1), self.beam_size)  # of [B, K + C]
        log_probabilities = tf.concat([state.finished.log_probabilities, ended], 1)
        log_probabilities = gather_beams(log_probabilities, best.indices)
        places = tf.broadcast_to(tf.range(self.beam_size), [tf.size(state.rows), self.beam_size])
        places = tf.concat([places, self.beam_size + candidates.beams], 1)  # [B, K + C] into [B, 2K, 1 + R]
        places = gather_beams(places, best.indices)
        live_tokens = write_at(state.live_tokens, state.position + 1, EOS)
        sums = gather_beams(tf.concat([state.finished.sums, state.live_sums], 1), places)
        ends_here = tf.where(places < self.beam_size, -1, state.position + 1)[:, :, tf.newaxis]
        finished = Finished(
            tokens=gather_beams(tf.concat([state.finished.tokens, live_tokens], 1), places),
            sums=write_at(sums, ends_here, log_probabilities[:, :, tf.newaxis]),
            log_probabilities=log_probabilities,
            scores=best.values,
        )
        return state._replace(finished=finished)

    def survive(self, state: BeamState, candidates: Candidates) -> tuple[BeamState, tf.Tensor]:
        """Selects K candidates without EOS as new live beams; also returns the beam that each extends, int32 [B, K]."""
        best = self.survivors(state, candidates)
        parents = gather_beams(candidates.beams, best.indices)
        tokens = gather_beams(candidates.tokens, best.indices)[:, :, tf.newaxis]
        position = state.position + 1
        state = state._replace(
            live_tokens=write_at(gather_beams(state.live_tokens, parents), position, tokens),
            live_sums=write_at(gather_beams(state.live_sums, parents), position, best.values[:, :, tf.newaxis]),
            live_log_probabilities=best.values,
        )
        return state, parents

    def survivors(self, state: BeamState, candidates: Candidates) -> TopK:
        """Selects the K candidates of each sentence that become live beams. None of them ends in EOS."""
        not_ended = tf.where(candidates.tokens == EOS, IMPOSSIBLE, candidates.log_probabilities)
        return self.select_survivors(state, candidates._replace(log_probabilities=not_ended))

    def select_survivors(self, state: BeamState, candidates: Candidates) -> TopK:
        """Selects the K most probable candidates of each sentence, which stay live: [B, K]."""
        best: TopK = tf.math.top_k(candidates.log_probabilities, self.beam_size)
        return best

    def prune_unpromising(self, state: BeamState) -> tf.Tensor:
        """Returns the live log-probabilities, [B, K], with -inf for all beams of a sentence whose search can stop.

        A search can stop when no live beam can reach a better score than the N-th best finished hypothesis, where N is
        `self.hypotheses`.

        Log-probabilities only decrease, and the length penalty is monotone in the length. So the best score that a live
        beam can reach is its present log-probability divided by the larger of two penalties: the penalty at the next
        length and the penalty at the length limit.
        """
        next_penalty = length_penalties(state.position + 2, self.length_penalty)
        best_penalty = tf.maximum(next_penalty, length_penalties(state.length_limits, self.length_penalty))  # [B]
        reachable = tf.reduce_max(state.live_log_probabilities, axis=1) / best_penalty
        can_improve = reachable > state.finished.scores[:, self.hypotheses - 1]
        return tf.where(can_improve[:, tf.newaxis], state.live_log_probabilities, IMPOSSIBLE)

    def reorder(self, step_state: SearchState, parents: tf.Tensor) -> SearchState:
        """Reorders the model's state so that each new live beam gets the state of the beam that it extends.

        `parents`, int32 [B, K], has the index of the extended beam for each new live beam, from 0 to K - 1.
        """

        def reordered() -> TensorNest:
            first_rows = tf.range(tf.shape(parents)[0])[:, tf.newaxis] * self.beam_size
            rows = tf.reshape(first_rows + parents, [-1])  # [B, K] -> [B * K]
            return tf.nest.map_structure(lambda x: tf.gather(x, rows), step_state.beams)

        # A single beam always extends itself.
        return step_state._replace(beams=tf.cond(self.beam_size > 1, reordered, lambda: step_state.beams))
