"""Records the candidates of each step of a beam search for one sentence."""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from keras_nmt.app.decoding.search.beam_search import BeamSearch
from keras_nmt.app.decoding.search.beam_state import (
    BeamState,
    gather_beams,
    hypotheses_of,
    shape_invariants,
    store_results,
)
from keras_nmt.app.decoding.search.candidates import Candidates
from keras_nmt.app.decoding.search.hypotheses import Hypotheses, SearchState
from keras_nmt.app.decoding.search.penalties import IMPOSSIBLE

NO_PARENT = -1


class RecordedCandidates(NamedTuple):
    """The C candidates in each of the U steps of a search, best first. A candidate is a beam with one new token."""

    tokens: tf.Tensor  # int32 [U, C, T], the candidate's tokens, then PAD
    newest: tf.Tensor  # int32 [U, C], the last token of each candidate
    log_probabilities: tf.Tensor  # float32 [U, C], the sum over all tokens of a candidate; -inf if there is none
    # int32 [U, C], the candidate of the step before that a candidate extends; `NO_PARENT` in the first step and for a
    # candidate that does not exist.
    parents: tf.Tensor


class RecordedHypotheses(NamedTuple):
    """What a search found for one sentence, and all candidates."""

    hypotheses: Hypotheses
    candidates: RecordedCandidates


def recorded(search: Callable[..., Hypotheses], *arguments: Any) -> RecordedHypotheses:
    """Runs a search for one sentence, and records its candidates.

    Args:
        search: A function such as `beam_search`, which runs the search with its argument `run`.
        arguments: Its other arguments.
    """
    recorder = _CandidateRecorder()
    found = search(*arguments, run=recorder.run)
    return RecordedHypotheses(found, recorder.candidates)


class _CandidateRecorder:
    """Runs a search for one sentence, and keeps the candidates of the last run."""

    candidates: RecordedCandidates

    def run(self, search: BeamSearch, step_state: SearchState) -> Hypotheses:
        """Searches like `BeamSearch.run`, and records the candidates of each step."""
        state = search.initial(step_state)
        count = search.candidate_count()
        none = RecordedCandidates(
            tf.zeros([0, count, search.longest], tf.int32),
            tf.zeros([0, count], tf.int32),
            tf.zeros([0, count]),
            tf.zeros([0, count], tf.int32),
        )

        def advance(
            state: BeamState, survivors: tf.Tensor, record: RecordedCandidates
        ) -> tuple[BeamState, tf.Tensor, RecordedCandidates]:
            state, candidates = search.propose(state)
            new = _step_record(state, candidates, survivors, search.longest)
            record = RecordedCandidates(
                *(tf.concat([done, own[tf.newaxis]], axis=0) for done, own in zip(record, new, strict=True))
            )
            # The live beams of the next step are these candidates.
            return search.choose(state, candidates), search.survivors(state, candidates).indices[0], record

        table = tf.TensorShape([None, None])
        shapes = RecordedCandidates(tf.TensorShape([None, None, None]), table, table, table)
        state, _, self.candidates = tf.while_loop(
            lambda state, *_: search.should_continue(state),
            advance,
            (state, tf.fill([search.beam_size], NO_PARENT), none),
            shape_invariants=(shape_invariants(state), tf.TensorShape([None]), shapes),
        )
        return hypotheses_of(store_results(state).results)


def _step_record(
    state: BeamState, candidates: Candidates, survivors: tf.Tensor, longest: tf.Tensor
) -> RecordedCandidates:
    """Returns the record of one step, without the axis U.

    Args:
        state: The state before the step.
        candidates: The candidates of the step.
        survivors: int32 [K], the candidate of the step before that each live beam was.
        longest: int32 [], T, the length limit of the sentence.
    """
    grown = gather_beams(state.live_tokens, candidates.beams)[0]  # [C, 1 + R]
    grown = tf.pad(grown, [[0, 0], [0, 1 + longest - tf.shape(grown)[1]]])  # [C, 1 + T]
    is_next = tf.range(tf.shape(grown)[1]) == state.position + 1
    grown = tf.where(is_next, candidates.tokens[0][:, tf.newaxis], grown)
    log_probabilities = candidates.log_probabilities[0]
    parents = tf.where(log_probabilities > IMPOSSIBLE, tf.gather(survivors, candidates.beams[0]), NO_PARENT)
    return RecordedCandidates(grown[:, 1:], candidates.tokens[0], log_probabilities, parents)
