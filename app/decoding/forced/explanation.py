"""Records a model's attention and the candidates of the search while one sentence is translated."""

from typing import NamedTuple

import tensorflow as tf

from keras_nmt.app.decoding.network.protocol import Network
from keras_nmt.app.decoding.network.record import Recorder, attention_weights
from keras_nmt.app.decoding.search.recording import RecordedHypotheses
from keras_nmt.app.decoding.text.texts import with_end
from keras_nmt.pipelines.vocabulary.loading import AnyVocabulary


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


def explanation(
    network: Network, vocabulary: AnyVocabulary, recorder: Recorder, piece: tf.RaggedTensor, found: RecordedHypotheses
) -> Explanation:
    """Returns the explanation of one piece of text, token ids int32 [1, (L)], from what the search found for it."""
    hypotheses, candidates = found
    source, labels = with_end(piece)[0], hypotheses.tokens[0, 0, : hypotheses.lengths[0, 0]]
    shape = tf.shape(candidates.log_probabilities)
    ids = tf.reshape(candidates.tokens, [shape[0] * shape[1], -1])
    return Explanation(
        source_pieces=vocabulary.spell(source),
        target_pieces=vocabulary.spell(labels),
        positional_encodings=network.positional_encodings(tf.maximum(tf.size(source), tf.size(labels))),
        **attention_weights(recorder(source, labels)),
        candidate_texts=tf.reshape(vocabulary.decode(ids), shape),
        candidate_pieces=vocabulary.spell(candidates.newest),
        candidate_log_probabilities=candidates.log_probabilities,
    )
