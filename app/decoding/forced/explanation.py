"""Records a model's attention and the candidates of the search while one sentence is translated."""

from typing import NamedTuple

import tensorflow as tf

from keras_nmt.app.decoding.network.traced import TracedNetwork
from keras_nmt.app.decoding.search.beam_search import BeamSearch, BeamSettings
from keras_nmt.app.decoding.search.beam_state import (
    BeamState,
    gather_beams,
    hypotheses_of,
    shape_invariants,
    store_results,
)
from keras_nmt.app.decoding.search.hypotheses import Hypotheses, SearchState
from keras_nmt.app.decoding.text.texts import Search, row_lengths, with_end
from keras_nmt.pipelines.vocabulary.loading import AnyVocabulary
from keras_nmt.pipelines.vocabulary.tokenizer import BOS


class RecordedCandidates(NamedTuple):
    """The C candidates in each of the U steps of a search, best first. A candidate is a beam with one new token."""

    tokens: tf.Tensor  # int32 [U, C, 1 + T], BOS, then the candidate's tokens, then PAD
    log_probabilities: tf.Tensor  # float32 [U, C], the sum over all tokens of a candidate; -inf if there is none


class Explanation(NamedTuple):
    """How a model with L layers, H heads and width D translates one sentence of S tokens into T tokens.

    The search has U steps. In each step, the search has C candidates, which are beams with one new token.
    """

    source_pieces: tf.Tensor  # string [S], the last one "</s>"
    target_pieces: tf.Tensor  # string [T], the last one "</s>"
    positional_encodings: tf.Tensor  # float32 [max(S, T), D]
    encoder_attention: tf.Tensor  # float32 [L, H, S, S]: row s, the attention of source piece s to each source piece
    decoder_attention: tf.Tensor  # float32 [L, H, T, T]: row t, the attention to earlier pieces for predicting piece t
    cross_attention: tf.Tensor  # float32 [L, H, T, S]: row t, the attention to the source for predicting piece t
    candidate_texts: tf.Tensor  # string [U, C], the text of each candidate
    candidate_pieces: tf.Tensor  # string [U, C], the newest piece of each candidate
    candidate_log_probabilities: tf.Tensor  # float32 [U, C]


class RecordedSearch(BeamSearch):
    """A beam search for one sentence, which records the candidates of each step."""

    def run_recorded(self, step_state: SearchState) -> tuple[Hypotheses, RecordedCandidates]:
        """Searches like `BeamSearch.run`; returns the hypotheses, and the candidates of each step."""
        state = self.initial(step_state)
        count = self.candidate_count()
        none = RecordedCandidates(tf.zeros([0, count, 1 + self.longest], tf.int32), tf.zeros([0, count]))

        def advance(state: BeamState, record: RecordedCandidates) -> tuple[BeamState, RecordedCandidates]:
            state, candidates = self.propose(state)
            grown = gather_beams(state.live_tokens, candidates.beams)[0]  # [C, 1 + T]
            is_next = tf.range(tf.shape(grown)[1]) == state.position + 1
            grown = tf.where(is_next, candidates.tokens[0][:, tf.newaxis], grown)
            added = RecordedCandidates(grown, candidates.log_probabilities[0])
            record = RecordedCandidates(
                *(tf.concat([done, new[tf.newaxis]], axis=0) for done, new in zip(record, added, strict=True))
            )
            return self.choose(state, candidates), record

        shapes = RecordedCandidates(tf.TensorShape([None, None, None]), tf.TensorShape([None, None]))
        state, record = tf.while_loop(
            lambda state, _: self.should_continue(state),
            advance,
            (state, none),
            shape_invariants=(shape_invariants(state), shapes),
        )
        return hypotheses_of(store_results(state).results), record


def explain_piece(
    network: TracedNetwork, vocabulary: AnyVocabulary, piece: tf.RaggedTensor, search: Search
) -> Explanation:
    """Translates one piece of text, token ids int32 [1, (L)]; records the attention and the search's candidates."""
    step, state = network.begin(piece, search.beam_size)
    settings = BeamSettings(
        search.beam_size, search.length_penalty, tf.constant(1), search.repetition, search.min_tokens
    )
    limits = search.length_limits(row_lengths(piece))
    recorded = RecordedSearch(step, settings, length_limits=limits, prefixes=tf.zeros([1, 0], tf.int32))
    found, candidates = recorded.run_recorded(state)
    source, labels = with_end(piece), found.tokens[:, 0, : found.lengths[0, 0]]
    target = tf.pad(labels[:, :-1], [[0, 0], [1, 0]], constant_values=BOS)
    maps = {name: weights[:, 0] for name, weights in network.network.attention_maps(source, target).items()}
    shape = tf.shape(candidates.log_probabilities)
    ids = tf.reshape(candidates.tokens[:, :, 1:], [shape[0] * shape[1], -1])
    longest = tf.maximum(tf.shape(source)[1], tf.shape(target)[1])
    return Explanation(
        source_pieces=vocabulary.spell(source)[0],
        target_pieces=vocabulary.spell(labels)[0],
        positional_encodings=network.network.positional_encodings(longest),
        encoder_attention=maps["encoder"],
        decoder_attention=maps["decoder"],
        cross_attention=maps["cross"],
        candidate_texts=tf.reshape(vocabulary.decode(ids), shape),
        candidate_pieces=vocabulary.spell(newest_tokens(candidates)),
        candidate_log_probabilities=candidates.log_probabilities,
    )


def newest_tokens(candidates: RecordedCandidates) -> tf.Tensor:
    """Returns the newest token of each candidate, int32 [U, C].

    In step u, counted from 0, this is the token at index u + 1, since BOS is at index 0.
    """
    steps = tf.range(tf.shape(candidates.tokens)[0])
    return tf.gather(
        candidates.tokens, tf.repeat(steps[:, tf.newaxis] + 1, tf.shape(candidates.tokens)[1], axis=1), batch_dims=2
    )
