"""What goes on inside while one sentence is translated, to be looked at."""

from typing import NamedTuple

import tensorflow as tf

from app.decoding.search.beam_search import BeamSearch, BeamState, Hypotheses, SearchState, chosen


class Candidates(NamedTuple):
    """What a search considered in each of U steps: C hypotheses that grew by a token, best first."""

    tokens: tf.Tensor  # int32 [U, C, 1 + T], BOS, then theirs, then PAD
    log_probabilities: tf.Tensor  # float32 [U, C], of all of their tokens; -inf where there was none


class Explanation(NamedTuple):
    """One sentence of S tokens, its translation of T, and a model of L layers, H heads and width D."""

    source_pieces: tf.Tensor  # string [S], the last one "</s>"
    target_pieces: tf.Tensor  # string [T], the same
    positional_encodings: tf.Tensor  # float32 [max(S, T), D]
    encoder_attention: tf.Tensor  # float32 [L, H, S, S]: row, how much this token looks at each
    decoder_attention: tf.Tensor  # float32 [L, H, T, T]: row t, what precedes target piece t looks at what is before it
    cross_attention: tf.Tensor  # float32 [L, H, T, S]: row t, where it looks before it says target piece t
    candidate_texts: tf.Tensor  # string [U, C], so far
    candidate_pieces: tf.Tensor  # string [U, C], the newest
    candidate_log_probabilities: tf.Tensor  # float32 [U, C]


class RecordedSearch(BeamSearch):
    """A search of one sentence that writes down its candidates."""

    def run_recorded(self, step_state: SearchState) -> tuple[Hypotheses, Candidates]:
        """The hypotheses, and the candidates of each step."""
        state = self.initial(step_state)
        count = self.count()
        none = Candidates(tf.zeros([0, count, 1 + self.longest], tf.int32), tf.zeros([0, count]))

        def advance(state: BeamState, record: Candidates) -> tuple[BeamState, Candidates]:
            state, candidates = self.tried(state)
            grown = chosen(state.live_tokens, candidates.beams)[0]  # [C, 1 + T]
            is_next = tf.range(tf.shape(grown)[1]) == state.position + 1
            grown = tf.where(is_next, candidates.tokens[0][:, tf.newaxis], grown)
            these = Candidates(grown, candidates.log_probabilities[0])
            record = Candidates(*(tf.concat([a, b[tf.newaxis]], axis=0) for a, b in zip(record, these, strict=True)))
            return self.after(state, candidates), record

        shapes = Candidates(tf.TensorShape([None, None, None]), tf.TensorShape([None, None]))
        state, record = tf.while_loop(
            lambda state, _: self.goes_on(state), advance, (state, none), shape_invariants=(self.shapes(state), shapes)
        )
        return self.result(self.put_aside(state)), record


def newest_tokens(candidates: Candidates) -> tf.Tensor:
    """The token by which each candidate grew, int32 [U, C]: in step u, the one behind u others and BOS."""
    steps = tf.range(tf.shape(candidates.tokens)[0])
    return tf.gather(
        candidates.tokens, tf.repeat(steps[:, tf.newaxis] + 1, tf.shape(candidates.tokens)[1], axis=1), batch_dims=2
    )
