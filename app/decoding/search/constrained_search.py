"""Beam search for translations that contain given phrases, each verbatim and in any order.

The search is lexically constrained decoding with dynamic beam allocation (Post & Vilar 2018). The candidates are the
most probable extensions and all extensions that continue a phrase. Candidates are grouped by the number of phrase
tokens that they still lack, and each group gets places in the beam. So a hypothesis that already contains a rare phrase
need not compete with a hypothesis that contains no phrase yet. A hypothesis may end only if it contains all its
phrases. A hypothesis is removed if its length limit leaves no room for the missing phrases. A phrase must end where a
word ends: if a phrase ends in a letter, the next token must not continue the same word.
"""

from typing import NamedTuple

import tensorflow as tf

from keras_nmt.app.decoding.search.beam_search import BeamSearch
from keras_nmt.app.decoding.search.beam_settings import BeamSettings
from keras_nmt.app.decoding.search.beam_state import BeamState, gather_beams
from keras_nmt.app.decoding.search.candidates import Candidates, Scored
from keras_nmt.app.decoding.search.hypotheses import Hypotheses, SearchState, Step
from keras_nmt.app.decoding.search.penalties import IMPOSSIBLE
from keras_nmt.app.decoding.search.top_k import TopK
from keras_nmt.pipelines.vocabulary.tokenizer import EOS, PAD

LARGEST_BEAM = 32  # for phrases, the beam is not enlarged beyond this size
LAST_RANK = 1_000_000  # larger than every real rank


class Phrases(NamedTuple):
    """P phrases for each of B sentences; a phrase has up to L tokens."""

    tokens: tf.Tensor  # int32 [B, P, L], padded with PAD; a phrase may be all PAD; P and L are at least 1
    is_open: tf.Tensor  # bool [B, P], True if the last word of the phrase could continue after it

    def repeat(self, times: tf.Tensor) -> "Phrases":
        """Repeats the phrases of each sentence `times` times, once for each hypothesis of the sentence."""
        return Phrases(*(tf.repeat(values, times, axis=0) for values in self))

    def lengths(self) -> tf.Tensor:
        """Returns the number of tokens of each phrase: int32 [B, P]."""
        return tf.math.count_nonzero(self.tokens != PAD, axis=-1, dtype=tf.int32)


class PhraseProgress(NamedTuple):
    """How much of its P phrases each of R hypotheses contains; both fields are [R, P].

    Attributes:
        met: bool, True if the hypothesis contains the phrase.
        depth: int32, the number of tokens at the end of the hypothesis that match the first tokens of an unmet phrase;
            0 if the phrase is met. An open phrase (see `Phrases.is_open`) whose tokens all match is met when the next
            token of the hypothesis does not continue the last word of the phrase.
    """

    met: tf.Tensor
    depth: tf.Tensor


def constrained_search(
    step: Step,
    initial_state: SearchState,
    *,
    phrases: Phrases,
    continues_word: tf.Tensor,
    length_limits: tf.Tensor,
    settings: BeamSettings,
) -> Hypotheses:
    """Searches for the best hypotheses of B sentences. Each hypothesis contains all phrases of its sentence.

    Args:
        step: The step function, as in `beam_search`.
        initial_state: The model's state before the first step, for `settings.beam_size` hypotheses of each sentence.
        phrases: The phrases that the hypotheses of each sentence must contain.
        continues_word: bool [V], True for tokens that continue a word.
        length_limits: int32 [B], the largest number of tokens in a hypothesis, EOS included. It must be at least the
            number of tokens in all phrases of the sentence, plus 1 for EOS.
        settings: The settings of the search; their beam size must come from `enlarged_beam`.

    Returns:
        K hypotheses of each sentence, like `beam_search`.
    """

    def counting_step(tokens: tf.Tensor, position: tf.Tensor, state: SearchState) -> tuple[tf.Tensor, SearchState]:
        (beams, progress), (sentences, phrases) = state
        logits, of_model = step(tokens, position, SearchState(beams, sentences))
        of_beams = Phrases(*phrases).repeat(settings.beam_size)
        progress = advance(PhraseProgress(*progress), of_beams, tokens, continues_word)  # BOS is in no phrase
        return logits, SearchState((of_model.beams, progress), (of_model.sentences, phrases))

    first = tf.repeat(phrases.tokens[:, :, 0], settings.beam_size, axis=0)
    progress = PhraseProgress(first == PAD, tf.zeros_like(first))
    state = SearchState((initial_state.beams, progress), (initial_state.sentences, phrases))
    search = ConstrainedSearch(counting_step, settings, length_limits=length_limits, continues_word=continues_word)
    return search.run(state)


def enlarged_beam(phrases: tf.Tensor, beam_size: tf.Tensor) -> tf.Tensor:
    """Returns a beam size with a place for each possible number of missing phrase tokens, up to `LARGEST_BEAM`.

    Args:
        phrases: int32 [B, P, L], the tokens of the phrases, padded with PAD.
        beam_size: int32 [], the smallest beam size to return.
    """
    most = tf.reduce_max(tf.math.count_nonzero(phrases != PAD, axis=[1, 2], dtype=tf.int32))
    return tf.maximum(beam_size, tf.minimum(1 + tf.maximum(most, 0), LARGEST_BEAM))


def advance(progress: PhraseProgress, phrases: Phrases, tokens: tf.Tensor, continues_word: tf.Tensor) -> PhraseProgress:
    """Returns the progress of R hypotheses after each is extended by one token.

    Args:
        progress: The progress before the new tokens.
        phrases: The phrases of each hypothesis; R rows.
        tokens: int32 [R], the new token of each hypothesis.
        continues_word: bool [V], True for tokens that continue a word.
    """
    token = tokens[:, tf.newaxis]
    ends_here = is_complete(progress, phrases) & ~tf.gather(continues_word, token)
    is_next = (next_tokens(progress, phrases) == token) & ~progress.met & (token != PAD)
    begins = (phrases.tokens[:, :, 0] == token) & ~progress.met
    depth = tf.where(is_next, progress.depth + 1, tf.cast(begins, tf.int32))
    is_whole = (depth == phrases.lengths()) & ~phrases.is_open
    met = progress.met | ends_here | is_whole
    return PhraseProgress(met, tf.where(met, 0, depth))


def is_complete(progress: PhraseProgress, phrases: Phrases) -> tf.Tensor:
    """Returns True for an unmet phrase if the hypothesis ends with all tokens of the phrase: bool [R, P].

    Such a phrase is met unless the next token continues its last word.
    """
    return ~progress.met & (progress.depth == phrases.lengths())


def next_tokens(progress: PhraseProgress, phrases: Phrases) -> tf.Tensor:
    """Returns the token that continues each phrase in each hypothesis: int32 [R, P].

    The token is PAD if the phrase is met, or if the hypothesis ends with all tokens of the phrase.
    """
    ended = tf.pad(phrases.tokens, [[0, 0], [0, 0], [0, 1]], constant_values=PAD)
    return tf.where(progress.met, PAD, tf.gather(ended, progress.depth, batch_dims=2))


def tokens_missing(progress: PhraseProgress, phrases: Phrases) -> tf.Tensor:
    """Returns the number of phrase tokens that each hypothesis still lacks: int32 [R].

    A phrase that is met or complete lacks no token. Among the other phrases, the phrase with the largest `depth` lacks
    only the tokens after its first `depth` tokens. Every remaining phrase lacks all its tokens.
    """
    complete = is_complete(progress, phrases)
    whole = tf.reduce_sum(tf.where(progress.met | complete, 0, phrases.lengths()), axis=1)
    return whole - tf.reduce_max(tf.where(complete, 0, progress.depth), axis=1)


def progress_of(state: BeamState) -> PhraseProgress:
    """Returns the progress of all live beams, [B * K, P]."""
    _, progress = state.step_state.beams
    return PhraseProgress(*progress)


def phrases_of(state: BeamState) -> Phrases:
    """Returns the phrases of the sentences, [B, P, …]."""
    _, phrases = state.step_state.sentences
    return Phrases(*phrases)


class ConstrainedSearch(BeamSearch):
    """The steps of `constrained_search` that differ from the steps of `beam_search`."""

    def __init__(
        self, step: Step, settings: BeamSettings, *, length_limits: tf.Tensor, continues_word: tf.Tensor
    ) -> None:
        no_prefixes = tf.zeros([tf.size(length_limits), 0], tf.int32)
        super().__init__(step, settings, length_limits=length_limits, prefixes=no_prefixes)
        self.continues_word = tf.convert_to_tensor(continues_word)

    def candidates(self, state: BeamState, logits: tf.Tensor) -> Candidates:
        """Returns the 2K best extensions of each sentence, and all extensions that continue or end a phrase.

        An extension that leaves no room for the missing phrases has log-probability -inf.
        """
        scored = self.scored(state, logits)
        log_probabilities, tokens = self.extensions(state, scored)
        log_probabilities = self.without_hopeless(state, log_probabilities, tokens)
        best = self.best_extensions(state, log_probabilities, tokens)
        of_phrases = self.phrase_extensions(state, scored, best)
        return Candidates(*(tf.concat(parts, axis=1) for parts in zip(best, of_phrases, strict=True)))

    def phrase_extensions(self, state: BeamState, scored: Scored, best: Candidates) -> Candidates:
        """Returns the extensions of the beams that continue or end a phrase, [B, K * (1 + P)].

        An extension has log-probability -inf if it is also in `best`, if it is equal to an earlier extension, if it
        leaves no room for the missing phrases, or if another token is forced.
        """
        phrases = phrases_of(state).repeat(self.beam_size)
        tokens = next_tokens(progress_of(state), phrases)  # [B * K, P]
        is_ending = tf.reduce_any(is_complete(progress_of(state), phrases), axis=1, keepdims=True)
        tokens = tf.concat([tokens, tf.where(is_ending, self.best_end(state, is_ending, scored), PAD)], axis=1)
        earlier = tf.linalg.band_part(tf.ones([tf.shape(tokens)[1]] * 2), -1, 0) - tf.eye(tf.shape(tokens)[1])
        is_same = tokens[:, :, tf.newaxis] == tokens[:, tf.newaxis]
        is_again = tf.reduce_any(is_same & (earlier > 0), axis=2)
        is_free = (tokens != PAD) & (self.forced_tokens(state) == PAD) & ~is_again
        log_probabilities = tf.where(is_free, scored.log_probabilities(tokens), IMPOSSIBLE)
        log_probabilities = self.without_hopeless(state, log_probabilities, tokens)
        log_probabilities += tf.reshape(state.live_log_probabilities, [-1, 1])
        sentences = tf.size(state.rows)
        flat = [sentences, -1]
        beams = tf.repeat(tf.tile(tf.range(self.beam_size), [sentences]), tf.shape(tokens)[1])
        log_probabilities, beams, tokens = (tf.reshape(values, flat) for values in (log_probabilities, beams, tokens))
        is_known = (beams[:, :, tf.newaxis] == best.beams[:, tf.newaxis]) & (
            tokens[:, :, tf.newaxis] == best.tokens[:, tf.newaxis]
        )
        is_known &= best.log_probabilities[:, tf.newaxis] > IMPOSSIBLE
        return Candidates(tf.where(tf.reduce_any(is_known, axis=2), IMPOSSIBLE, log_probabilities), beams, tokens)

    def best_end(self, state: BeamState, is_ending: tf.Tensor, scored: Scored) -> tf.Tensor:
        """Returns for each beam the most probable token that does not continue a word, int32 [B * K, 1].

        If `is_ending`, bool [B * K, 1], is False for all beams, returns PAD for all beams.
        """

        def likeliest() -> tf.Tensor:
            is_banned = self.is_banned(state, tf.range(tf.size(self.continues_word)))
            allowed = tf.where(self.continues_word | is_banned, IMPOSSIBLE, scored.logits)
            return tf.argmax(allowed, axis=1, output_type=tf.int32)[:, tf.newaxis]

        return tf.cond(tf.reduce_any(is_ending), likeliest, lambda: tf.fill(tf.shape(is_ending), PAD))

    def without_hopeless(self, state: BeamState, log_probabilities: tf.Tensor, tokens: tf.Tensor) -> tf.Tensor:
        """Returns the log-probabilities, with -inf for extensions that leave no room for the missing phrases.

        An extension by EOS leaves no room for any phrase.

        Args:
            state: The state before the extension.
            log_probabilities: float32 [B * K, C], the log-probabilities of C extensions of each beam.
            tokens: int32 [B * K, C], the tokens of these extensions.
        """
        width = tf.shape(tokens)[1]
        of_beams = (tf.repeat(values, width, axis=0) for values in progress_of(state))
        phrases = phrases_of(state).repeat(self.beam_size * width)
        progress = advance(PhraseProgress(*of_beams), phrases, tf.reshape(tokens, [-1]), self.continues_word)
        missing = tf.reshape(tokens_missing(progress, phrases), tf.shape(tokens))
        length = state.position + 1
        room = tf.repeat(state.length_limits, self.beam_size)[:, tf.newaxis] - length - 1  # EOS needs a place too
        is_possible = tf.where(tokens == EOS, missing == 0, missing <= room)
        return tf.where(is_possible, log_probabilities, IMPOSSIBLE)

    def select_survivors(self, state: BeamState, candidates: Candidates) -> TopK:
        """Selects the K candidates of each sentence that stay live, in rounds.

        The candidates of a sentence are grouped by the number of phrase tokens that they lack. The first round selects
        the most probable candidate of each group. The second round selects the second most probable candidate of each
        group, and so on, until K candidates are selected. In each round, groups that lack fewer tokens come first.
        """
        first_rows = tf.range(tf.size(state.rows))[:, tf.newaxis] * self.beam_size
        rows = tf.reshape(first_rows + candidates.beams, [-1])
        phrases = Phrases(*(tf.gather(values, rows) for values in phrases_of(state).repeat(self.beam_size)))
        progress = PhraseProgress(*(tf.gather(values, rows) for values in progress_of(state)))
        progress = advance(progress, phrases, tf.reshape(candidates.tokens, [-1]), self.continues_word)
        missing = tf.reshape(tokens_missing(progress, phrases), tf.shape(candidates.tokens))  # [B, C]
        values = candidates.log_probabilities
        place = tf.range(tf.shape(values)[1])
        is_before = (values[:, tf.newaxis] > values[:, :, tf.newaxis]) | (
            (values[:, tf.newaxis] == values[:, :, tf.newaxis]) & (place < place[:, tf.newaxis])
        )
        is_rival = missing[:, tf.newaxis] == missing[:, :, tf.newaxis]
        rank = tf.math.count_nonzero(is_before & is_rival, axis=2, dtype=tf.int32)
        most = 1 + tf.reduce_max(missing)
        order = tf.where(values > IMPOSSIBLE, rank * most + missing, LAST_RANK)
        places = tf.math.top_k(-order, self.beam_size).indices
        return TopK(gather_beams(values, places), places)
