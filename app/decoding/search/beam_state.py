"""The state of a beam search between two steps, and how its rows are selected and removed."""

from typing import NamedTuple

import tensorflow as tf

from keras_nmt.app.decoding.search.hypotheses import Hypotheses, SearchState, TensorNest
from keras_nmt.app.decoding.search.penalties import IMPOSSIBLE
from keras_nmt.pipelines.vocabulary.tokenizer import BOS, PAD


class Finished(NamedTuple):
    """The best hypotheses that have ended. Rows of tokens begin with BOS."""

    tokens: tf.Tensor  # int32 [B, K, 1 + R]
    sums: tf.Tensor  # float32 [B, K, 1 + R], the log-probability of the tokens up to each position
    log_probabilities: tf.Tensor  # float32 [B, K]
    scores: tf.Tensor  # float32 [B, K], descending; -inf if there is no hypothesis yet


class BeamState(NamedTuple):
    """The state of a beam search between two steps. Rows of tokens begin with BOS, and have room for R tokens.

    A dead beam has log-probability -inf and stays dead. A sentence has stopped when all its beams are dead.
    `remove_stopped` removes stopped sentences when enough sentences have stopped. The batch has A sentences, of which B
    remain in the state.
    """

    position: tf.Tensor  # int32 [], the number of tokens already chosen
    rows: tf.Tensor  # int32 [B], the row of each sentence in the batch
    length_limits: tf.Tensor  # int32 [B]
    prefixes: tf.Tensor  # int32 [B, P]
    live_tokens: tf.Tensor  # int32 [B, K, 1 + R]
    live_sums: tf.Tensor  # float32 [B, K, 1 + R]
    live_log_probabilities: tf.Tensor  # float32 [B, K]
    finished: Finished
    step_state: SearchState
    results: Finished  # of all A sentences; valid only for sentences that were removed

    def history(self) -> tf.Tensor:
        """Returns the tokens of every live beam so far, without BOS: int32 [B * K, position]."""
        return tf.reshape(self.live_tokens, [-1, tf.shape(self.live_tokens)[2]])[:, 1 : self.position + 1]


ROOM = 32  # tokens; all rows are copied at each step, and most hypotheses are much shorter than their length limit
_NOT_BY_SENTENCE = ("position", "step_state", "results")  # fields without a leading axis B


def initial_beam_state(
    step_state: SearchState, *, length_limits: tf.Tensor, prefixes: tf.Tensor, beam_size: tf.Tensor, longest: tf.Tensor
) -> BeamState:
    """Returns a state in which each sentence has one live beam, [BOS], and no finished hypothesis."""
    rows = tf.range(tf.size(length_limits))
    beams = [tf.size(rows), beam_size]
    tokens = tf.fill([*beams, 1 + tf.minimum(longest, ROOM)], PAD)
    impossible = tf.fill(beams, IMPOSSIBLE)
    sums = tf.zeros(tf.shape(tokens))
    none = Finished(tokens, sums, impossible, impossible)
    return BeamState(
        position=tf.constant(0),
        rows=rows,
        length_limits=length_limits,
        prefixes=prefixes,
        live_tokens=write_at(tokens, 0, BOS),
        live_sums=sums,
        live_log_probabilities=tf.where(tf.range(beam_size) == 0, 0.0, impossible),
        finished=none,
        step_state=step_state,
        results=none,
    )


def shape_invariants(state: BeamState) -> BeamState:
    """Returns the shapes that hold in every step, for `tf.while_loop`. Sizes that may change are None."""

    def open_rows(values: tf.Tensor) -> tf.TensorShape:
        return tf.TensorShape([None]).concatenate(values.shape[1:])

    open_shapes = tf.nest.map_structure(lambda values: tf.TensorShape([None] * values.shape.rank), state)
    return open_shapes._replace(step_state=tf.nest.map_structure(open_rows, state.step_state))


def with_room(state: BeamState, longest: tf.Tensor) -> BeamState:
    """Returns the state with room for one more token in each row. Rows without this room get room for `ROOM` more.

    `longest`, int32 [], is the largest length limit. No row gets more room.
    """
    width = tf.shape(state.live_tokens)[2]

    def longer(values: tf.Tensor) -> tf.Tensor:
        return tf.pad(values, [[0, 0], [0, 0], [0, tf.minimum(ROOM, 1 + longest - width)]])  # PAD is 0

    def with_longer_rows(finished: Finished) -> Finished:
        return finished._replace(tokens=longer(finished.tokens), sums=longer(finished.sums))

    def extended() -> BeamState:
        return state._replace(
            live_tokens=longer(state.live_tokens),
            live_sums=longer(state.live_sums),
            finished=with_longer_rows(state.finished),
            results=with_longer_rows(state.results),
        )

    return tf.cond(state.position + 1 < width, lambda: state, extended)


def remove_stopped(state: BeamState, beam_size: tf.Tensor) -> BeamState:
    """Removes the stopped sentences and stores their results, if at least a quarter of the sentences have stopped.

    If fewer sentences have stopped, or if all have stopped, returns the state unchanged.
    """
    is_running = tf.reduce_any(state.live_log_probabilities > IMPOSSIBLE, axis=1)  # [B]
    running, sentences = tf.math.count_nonzero(is_running, dtype=tf.int32), tf.size(is_running)

    def removed() -> BeamState:
        places = tf.where(is_running)[:, 0]
        rows = tf.repeat(is_running, beam_size)

        def kept(values: TensorNest) -> TensorNest:
            return tf.nest.map_structure(lambda x: tf.gather(x, places), values)

        beams = tf.nest.map_structure(lambda x: tf.boolean_mask(x, rows), state.step_state.beams)
        remaining = BeamState(
            *(values if name in _NOT_BY_SENTENCE else kept(values) for name, values in state._asdict().items())
        )
        return remaining._replace(
            step_state=SearchState(beams, kept(state.step_state.sentences)), results=store_results(state).results
        )

    return tf.cond((running > 0) & (4 * running <= 3 * sentences), removed, lambda: state)


def store_results(state: BeamState) -> BeamState:
    """Writes the finished hypotheses of the sentences in the state to the rows of these sentences in `results`."""
    rows = state.rows[:, tf.newaxis]
    results = tf.nest.map_structure(
        lambda every, own: tf.tensor_scatter_nd_update(every, rows, own), state.results, state.finished
    )
    return state._replace(results=results)


def hypotheses_of(results: Finished) -> Hypotheses:
    """Converts results to `Hypotheses`: removes BOS, and replaces the tokens of missing hypotheses by PAD."""
    exists = (results.scores > IMPOSSIBLE)[:, :, tf.newaxis]
    tokens = tf.where(exists, results.tokens[:, :, 1:], PAD)
    return Hypotheses(
        tokens=tokens,
        scores=results.scores,
        log_probabilities=results.log_probabilities,
        lengths=tf.math.count_nonzero(tokens != PAD, axis=2, dtype=tf.int32),
        token_log_probabilities=tf.where(tokens != PAD, results.sums[:, :, 1:] - results.sums[:, :, :-1], 0.0),
    )


def write_at(values: tf.Tensor, position: int | tf.Tensor, value: int | tf.Tensor) -> tf.Tensor:
    """Returns a copy of `values`, [B, K, 1 + R], with `value` at `position` of each row.

    Args:
        values: The rows.
        position: A scalar, or [B, K, 1] for a position in each row. -1 changes nothing.
        value: A scalar, or [B, K, 1] for a value in each row.
    """
    return tf.where(tf.range(tf.shape(values)[2]) == position, value, values)


def gather_beams(values: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """Selects the beams or candidates at the indices `places` [B, K] from `values` [B, C, …]: [B, K, …]."""
    return tf.gather(values, places, batch_dims=1)
