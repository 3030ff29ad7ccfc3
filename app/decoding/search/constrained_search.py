"""Beam search for translations that contain given phrases, each as it is and in any order.

Lexically constrained decoding with dynamic beam allocation (Post & Vilar 2018): beside the most probable extensions,
those are candidates that go on with a phrase, and the beam is shared out among hypotheses that have got equally far,
so that one that has said a rare phrase need not compete with one that has said none. Only a hypothesis with all of its
phrases may end, and none lives on that has no room left for what it still has to say. A phrase that ends within a word
is not said: what follows a phrase that ends in a letter must not go on with the word.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from app.decoding.search.beam_search import (
    IMPOSSIBLE,
    NEVER_CHOSEN,
    BeamSearch,
    BeamState,
    Candidates,
    Hypotheses,
    Scored,
    State,
    Step,
    chosen,
)
from app.decoding.search.top_k import TopK
from pipelines.vocabulary.tokenizer import EOS, PAD

LARGEST_BEAM = 32  # at most so many hypotheses for the phrases' sake
UNLIMITED = 1_000_000  # ranks beyond any


class Phrases(NamedTuple):
    """P phrases of each of B sentences, of up to L tokens."""

    tokens: tf.Tensor  # int32 [B, P, L], filled up with PAD, also by phrases without a token; P and L are at least 1
    is_open: tf.Tensor  # bool [B, P], whether a word could go on behind it

    def by_beam(self, times: tf.Tensor) -> "Phrases":
        """Those of each hypothesis, where a sentence has so many."""
        return Phrases(*(tf.repeat(values, times, axis=0) for values in self))


class Progress(NamedTuple):
    """How far R hypotheses have got with their P phrases; both [R, P]."""

    met: tf.Tensor  # bool
    depth: tf.Tensor  # int32, how many tokens of an unmet phrase are the newest ones; all if a word might still go on


def constrained_search(
    step: Step, initial_state: State, *, phrases: Phrases, goes_on: tf.Tensor, beam_size: tf.Tensor, **search: Any
) -> Hypotheses:
    """Searches the best hypotheses of B sentences that contain their phrases.

    Args:
        step: As that of `beam_search`.
        initial_state: The state of the first step, for `beam_size` hypotheses of each sentence.
        phrases: What they must contain.
        goes_on: bool [V], the tokens with which a word goes on.
        beam_size: From `beam_for`, int32 [].
        search: The other arguments of `beam_search`, all of them. No limit is less than the phrases' tokens and EOS.

    Returns:
        K hypotheses, as `beam_search` does.
    """

    def counting_step(tokens: tf.Tensor, position: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
        (beams, progress), (sentences, phrases) = state
        logits, of_model = step(tokens, position, State(beams, sentences))
        of_beams = Phrases(*phrases).by_beam(beam_size)
        progress = advanced(Progress(*progress), of_beams, tokens, goes_on)  # BOS is in no phrase
        return logits, State((of_model.beams, progress), (of_model.sentences, phrases))

    first = tf.repeat(phrases.tokens[:, :, 0], beam_size, axis=0)
    progress = Progress(first == PAD, tf.zeros_like(first))
    state = State((initial_state.beams, progress), (initial_state.sentences, phrases))
    return ConstrainedSearch(counting_step, goes_on, beam_size=beam_size, **search).run(state)


def beam_for(phrases: tf.Tensor, beam_size: tf.Tensor) -> tf.Tensor:
    """A beam with room for hypotheses that have said any number of the phrases' tokens, within reason."""
    most = tf.reduce_max(tf.math.count_nonzero(phrases != PAD, axis=[1, 2], dtype=tf.int32))
    return tf.maximum(beam_size, tf.minimum(1 + tf.maximum(most, 0), LARGEST_BEAM))


def advanced(progress: Progress, phrases: Phrases, tokens: tf.Tensor, goes_on: tf.Tensor) -> Progress:
    """The progress of R hypotheses after one more token each, int32 [R]; the phrases are those of each, [R, P, L]."""
    token = tokens[:, tf.newaxis]
    ends_here = is_said(progress, phrases) & ~tf.gather(goes_on, token)
    is_next = (next_tokens(progress, phrases) == token) & ~progress.met & (token != PAD)
    begins = (phrases.tokens[:, :, 0] == token) & ~progress.met
    depth = tf.where(is_next, progress.depth + 1, tf.cast(begins, tf.int32))
    is_whole = (depth == phrase_lengths(phrases.tokens)) & ~phrases.is_open
    met = progress.met | ends_here | is_whole
    return Progress(met, tf.where(met, 0, depth))


def is_said(progress: Progress, phrases: Phrases) -> tf.Tensor:
    """Whether the newest tokens are a whole unmet phrase, which is met if no word goes on behind it: bool [R, P]."""
    return ~progress.met & (progress.depth == phrase_lengths(phrases.tokens))


def next_tokens(progress: Progress, phrases: Phrases) -> tf.Tensor:
    """The token that goes on with each phrase, int32 [R, P]; PAD for one that is met or said."""
    ended = tf.pad(phrases.tokens, [[0, 0], [0, 0], [0, 1]], constant_values=PAD)
    return tf.where(progress.met, PAD, tf.gather(ended, progress.depth, batch_dims=2))


def tokens_left(progress: Progress, phrases: Phrases) -> tf.Tensor:
    """How many tokens R hypotheses have to say at most until they have all phrases, int32 [R]."""
    said = is_said(progress, phrases)
    whole = tf.reduce_sum(tf.where(progress.met | said, 0, phrase_lengths(phrases.tokens)), axis=1)
    return whole - tf.reduce_max(tf.where(said, 0, progress.depth), axis=1)


def phrase_lengths(phrases: tf.Tensor) -> tf.Tensor:
    """[…, P, L] -> int32 […, P]."""
    return tf.math.count_nonzero(phrases != PAD, axis=-1, dtype=tf.int32)


def progress_of(state: BeamState) -> Progress:
    """That of all beams, [B * K, P]."""
    _, progress = state.step_state.beams
    return Progress(*progress)


def phrases_of(state: BeamState) -> Phrases:
    """Those of the sentences."""
    _, phrases = state.step_state.sentences
    return Phrases(*phrases)


class ConstrainedSearch(BeamSearch):
    """The parts of `constrained_search`."""

    def __init__(self, step: Step, goes_on: tf.Tensor, length_limits: tf.Tensor, **search: Any) -> None:
        super().__init__(step, length_limits, **search)
        self.in_word = tf.convert_to_tensor(goes_on)

    def candidates(self, state: BeamState, logits: tf.Tensor) -> Candidates:
        """The 2K best extensions that can still become whole, and all that go on with a phrase."""
        scored = self.scored(state, logits)
        log_probabilities, tokens = self.extensions(state, scored)
        log_probabilities = self.possible(state, log_probabilities, tokens)
        best = self.best_extensions(state, log_probabilities, tokens)
        forced = self.forced(state, scored, best)
        return Candidates(*(tf.concat(parts, axis=1) for parts in zip(best, forced, strict=True)))

    def forced(self, state: BeamState, scored: Scored, best: Candidates) -> Candidates:
        """The extensions of the beams by what goes on with their phrases, or ends them, each once and not in `best`.

        They are [B, K * (1 + P)].
        """
        phrases = phrases_of(state).by_beam(self.beam_size)
        tokens = next_tokens(progress_of(state), phrases)  # [B * K, P]
        is_ending = tf.reduce_any(is_said(progress_of(state), phrases), axis=1, keepdims=True)
        tokens = tf.concat([tokens, tf.where(is_ending, self.best_end(is_ending, scored), PAD)], axis=1)
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

    def best_end(self, is_ending: tf.Tensor, scored: Scored) -> tf.Tensor:
        """The likeliest token with which no word goes on, int32 [B * K, 1]; any, if no phrase is at its end."""

        def likeliest() -> tf.Tensor:
            never = tf.reduce_any(tf.range(tf.size(self.in_word))[:, tf.newaxis] == NEVER_CHOSEN, axis=1)
            allowed = tf.where(self.in_word | never, IMPOSSIBLE, scored.logits)
            return tf.argmax(allowed, axis=1, output_type=tf.int32)[:, tf.newaxis]

        return tf.cond(tf.reduce_any(is_ending), likeliest, lambda: tf.fill(tf.shape(is_ending), PAD))

    def possible(self, state: BeamState, log_probabilities: tf.Tensor, tokens: tf.Tensor) -> tf.Tensor:
        """The log-probabilities of the beams' extensions, [B * K, C], -inf for those that cannot become whole."""
        width = tf.shape(tokens)[1]
        of_beams = (tf.repeat(values, width, axis=0) for values in progress_of(state))
        phrases = phrases_of(state).by_beam(self.beam_size * width)
        left = tokens_left(advanced(Progress(*of_beams), phrases, tf.reshape(tokens, [-1]), self.in_word), phrases)
        left = tf.reshape(left, tf.shape(tokens))
        said = state.position + 1
        room = self.by_beam(state.length_limits)[:, tf.newaxis] - said - 1  # EOS needs a place too
        is_possible = tf.where(tokens == EOS, left == 0, left <= room)
        return tf.where(is_possible, log_probabilities, IMPOSSIBLE)

    def kept(self, state: BeamState, candidates: Candidates) -> TopK:
        """The best candidate of each number of tokens left, those with few before, then the second best, and so on."""
        first_rows = tf.range(tf.size(state.numbers))[:, tf.newaxis] * self.beam_size
        rows = tf.reshape(first_rows + candidates.beams, [-1])
        phrases = Phrases(*(tf.gather(values, rows) for values in phrases_of(state).by_beam(self.beam_size)))
        progress = Progress(*(tf.gather(values, rows) for values in progress_of(state)))
        left = tokens_left(advanced(progress, phrases, tf.reshape(candidates.tokens, [-1]), self.in_word), phrases)
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
