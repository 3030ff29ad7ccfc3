"""Beam search for translations that contain given phrases, each as it is and in any order.

Lexically constrained decoding with dynamic beam allocation (Post & Vilar 2018): beside the most probable extensions,
those are candidates that go on with a phrase, and the beam is shared out among hypotheses that have got equally far,
so that one that has said a rare phrase need not compete with one that has said none. Only a hypothesis with all of its
phrases may end, and none lives on that has no room left for what it still has to say.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from app.decoding.beam_search import (
    IMPOSSIBLE,
    BeamSearch,
    BeamState,
    Candidates,
    Hypotheses,
    Scored,
    State,
    Step,
    chosen,
)
from app.decoding.top_k import TopK
from pipelines.vocabulary import EOS, PAD

LARGEST_BEAM = 32  # at most so many hypotheses for the phrases' sake
UNLIMITED = 1_000_000  # ranks beyond any


class Progress(NamedTuple):
    """How far R hypotheses have got with their P phrases; both [R, P]."""

    met: tf.Tensor  # bool
    depth: tf.Tensor  # int32, how many tokens of an unmet phrase are the newest ones


def constrained_search(
    step: Step, initial_state: State, *, phrases: tf.Tensor, beam_size: tf.Tensor, **search: Any
) -> Hypotheses:
    """Searches the best hypotheses of B sentences that contain their phrases.

    Args:
        step: As that of `beam_search`.
        initial_state: The state of the first step, for `beam_size` hypotheses of each sentence.
        phrases: int32 [B, P, L], filled up with PAD, also by phrases without a token. P and L are at least 1.
        beam_size: From `beam_for`, int32 [].
        search: The other arguments of `beam_search`, all of them. No limit is less than the phrases' tokens and EOS.

    Returns:
        K hypotheses, as `beam_search` does.
    """

    def counting_step(tokens: tf.Tensor, position: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
        (beams, progress), (sentences, phrases) = state
        logits, of_model = step(tokens, position, State(beams, sentences))
        progress = advanced(progress, tf.repeat(phrases, beam_size, axis=0), tokens)  # BOS is in no phrase
        return logits, State((of_model.beams, progress), (of_model.sentences, phrases))

    first = tf.repeat(phrases[:, :, 0], beam_size, axis=0)
    progress = Progress(first == PAD, tf.zeros_like(first))
    state = State((initial_state.beams, progress), (initial_state.sentences, phrases))
    return ConstrainedSearch(counting_step, beam_size=beam_size, **search).run(state)


def beam_for(phrases: tf.Tensor, beam_size: tf.Tensor) -> tf.Tensor:
    """A beam with room for hypotheses that have said any number of the phrases' tokens, within reason."""
    most = tf.reduce_max(tf.math.count_nonzero(phrases != PAD, axis=[1, 2], dtype=tf.int32))
    return tf.maximum(beam_size, tf.minimum(1 + tf.maximum(most, 0), LARGEST_BEAM))


def advanced(progress: Progress, phrases: tf.Tensor, tokens: tf.Tensor) -> Progress:
    """The progress of R hypotheses after one more token each, int32 [R]; the phrases are [R, P, L]."""
    token = tokens[:, tf.newaxis]
    goes_on = (next_tokens(progress, phrases) == token) & ~progress.met
    begins = (phrases[:, :, 0] == token) & ~progress.met
    depth = tf.where(goes_on, progress.depth + 1, tf.cast(begins, tf.int32))
    met = progress.met | (depth == phrase_lengths(phrases))
    return Progress(met, tf.where(met, 0, depth))


def next_tokens(progress: Progress, phrases: tf.Tensor) -> tf.Tensor:
    """The token that goes on with each phrase, int32 [R, P]; PAD for one that is met."""
    return tf.where(progress.met, PAD, tf.gather(phrases, progress.depth, batch_dims=2))


def tokens_left(progress: Progress, phrases: tf.Tensor) -> tf.Tensor:
    """How many tokens R hypotheses have to say at most until they have all phrases, int32 [R]."""
    whole = tf.reduce_sum(tf.where(progress.met, 0, phrase_lengths(phrases)), axis=1)
    return whole - tf.reduce_max(progress.depth, axis=1)


def phrase_lengths(phrases: tf.Tensor) -> tf.Tensor:
    """[…, P, L] -> int32 […, P]."""
    return tf.math.count_nonzero(phrases != PAD, axis=-1, dtype=tf.int32)


def progress_of(state: BeamState) -> Progress:
    """That of all beams, [B * K, P]."""
    _, progress = state.step_state.beams
    return Progress(*progress)


def phrases_of(state: BeamState) -> tf.Tensor:
    """Those of the sentences, [B, P, L]."""
    _, phrases = state.step_state.sentences
    return phrases


class ConstrainedSearch(BeamSearch):
    """The parts of `constrained_search`."""

    def candidates(self, state: BeamState, logits: tf.Tensor) -> Candidates:
        """The 2K best extensions that can still become whole, and all that go on with a phrase."""
        scored = self.scored(state, logits)
        log_probabilities, tokens = self.extensions(state, scored)
        log_probabilities = self.possible(state, log_probabilities, tokens)
        best = self.best_extensions(state, log_probabilities, tokens)
        forced = self.forced(state, scored, best)
        return Candidates(*(tf.concat(parts, axis=1) for parts in zip(best, forced, strict=True)))

    def forced(self, state: BeamState, scored: Scored, best: Candidates) -> Candidates:
        """The extensions of the beams by what goes on with their phrases, [B, K * P], each once and not in `best`."""
        tokens = next_tokens(progress_of(state), self.by_beam(phrases_of(state)))  # [B * K, P]
        earlier = tf.linalg.band_part(tf.ones([tf.shape(tokens)[1]] * 2), -1, 0) - tf.eye(tf.shape(tokens)[1])
        is_same = tokens[:, :, tf.newaxis] == tokens[:, tf.newaxis]
        is_again = tf.reduce_any(is_same & (earlier > 0), axis=2)
        is_free = (tokens != PAD) & (self.only(state) == PAD) & ~is_again
        log_probabilities = tf.where(is_free, scored.of(tokens), IMPOSSIBLE)
        log_probabilities = self.possible(state, log_probabilities, tokens)
        log_probabilities += tf.reshape(state.live_log_probabilities, [-1, 1])
        sentences = tf.size(state.numbers)
        flat = [sentences, -1]
        beams = tf.repeat(tf.tile(tf.range(self.beam_size), [sentences]), tf.shape(tokens)[1])
        log_probabilities, beams, tokens = (tf.reshape(values, flat) for values in (log_probabilities, beams, tokens))
        is_known = (beams[:, :, tf.newaxis] == best.beams[:, tf.newaxis]) & (
            tokens[:, :, tf.newaxis] == best.tokens[:, tf.newaxis]
        )
        is_known &= best.log_probabilities[:, tf.newaxis] > IMPOSSIBLE
        return Candidates(tf.where(tf.reduce_any(is_known, axis=2), IMPOSSIBLE, log_probabilities), beams, tokens)

    def possible(self, state: BeamState, log_probabilities: tf.Tensor, tokens: tf.Tensor) -> tf.Tensor:
        """The log-probabilities of the beams' extensions, [B * K, C], -inf for those that cannot become whole."""
        width = tf.shape(tokens)[1]
        of_beams = (tf.repeat(values, width, axis=0) for values in progress_of(state))
        phrases = tf.repeat(self.by_beam(phrases_of(state)), width, axis=0)
        left = tokens_left(advanced(Progress(*of_beams), phrases, tf.reshape(tokens, [-1])), phrases)
        left = tf.reshape(left, tf.shape(tokens))
        said = state.position + 1
        room = self.by_beam(state.length_limits)[:, tf.newaxis] - said - 1  # EOS needs a place too
        is_possible = tf.where(tokens == EOS, left == 0, left <= room)
        return tf.where(is_possible, log_probabilities, IMPOSSIBLE)

    def kept(self, state: BeamState, candidates: Candidates) -> TopK:
        """The best candidate of each number of tokens left, those with few before, then the second best, and so on."""
        first_rows = tf.range(tf.size(state.numbers))[:, tf.newaxis] * self.beam_size
        rows = tf.reshape(first_rows + candidates.beams, [-1])
        phrases = tf.gather(self.by_beam(phrases_of(state)), rows)
        progress = Progress(*(tf.gather(values, rows) for values in progress_of(state)))
        left = tokens_left(advanced(progress, phrases, tf.reshape(candidates.tokens, [-1])), phrases)
        left = tf.reshape(left, tf.shape(candidates.tokens))  # [B, C]
        values = candidates.log_probabilities
        place = tf.range(tf.shape(values)[1])
        is_before = (values[:, tf.newaxis] > values[:, :, tf.newaxis]) | (
            (values[:, tf.newaxis] == values[:, :, tf.newaxis]) & (place < place[:, tf.newaxis])
        )
        is_rival = left[:, tf.newaxis] == left[:, :, tf.newaxis]
        rank = tf.math.count_nonzero(is_before & is_rival, axis=2, dtype=tf.int32)
        most = 1 + tf.reduce_max(left)
        order = tf.where(values > IMPOSSIBLE, rank * most + left, UNLIMITED)
        places = tf.math.top_k(-order, self.beam_size).indices
        return TopK(chosen(values, places), places)

    def by_beam(self, values: tf.Tensor) -> tf.Tensor:
        """[B, …] -> [B * K, …]."""
        return tf.repeat(values, self.beam_size, axis=0)
