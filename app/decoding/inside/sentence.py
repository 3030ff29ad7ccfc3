"""The signatures `inside` and `inside_layer` of engines that turn one text into another."""

from collections.abc import Callable
from typing import Protocol

import tensorflow as tf

from keras_nmt.app.decoding.inside.inspector import Inspector
from keras_nmt.app.decoding.inside.signatures import MOST_SOURCE_TOKENS, MOST_TARGET_TOKENS, SAMPLES
from keras_nmt.app.decoding.network.record import Recorder
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.decoding.search.hypotheses import Hypotheses
from keras_nmt.app.decoding.search.recording import RecordedCandidates, RecordedHypotheses
from keras_nmt.app.decoding.search.sampling import Sampling
from keras_nmt.app.decoding.signatures import Tensors
from keras_nmt.app.decoding.text.cutting import first_piece
from keras_nmt.app.decoding.text.texts import Search, with_end
from keras_nmt.app.decoding.text_pipeline import TextPipeline
from keras_nmt.layers import Transformer
from keras_nmt.pipelines.vocabulary.loading import AnyVocabulary


class SearchingEngine(Protocol):
    """The attributes of `TranslationGraph` that are used here. Each function takes the settings as in `Search`."""

    vocabulary: AnyVocabulary
    options: DecodingOptions
    text: TextPipeline
    recorder: Recorder
    recorded_search: Callable[..., RecordedHypotheses]  # (pieces, *search)
    traced_search: Callable[..., Hypotheses]  # (pieces, prefixes, hypotheses, *search)
    drawn: Callable[..., Hypotheses]  # (pieces, seeds, *sampling, *search)


class SentenceInspector(Inspector):
    """Shows what a model with an encoder computes, and how the engine finds its output.

    Args:
        engine: The engine.
        model: Its model.
    """

    def __init__(self, engine: SearchingEngine, model: Transformer) -> None:
        super().__init__(model, engine.vocabulary, engine.recorder)
        self.engine = engine
        self.options = engine.options

    def inside(self, text: tf.Tensor) -> Tensors:
        """Returns the outputs of the signature `inside` for a text, string [].

        The sentence is the one that `first_piece` selects, cut to `MOST_SOURCE_TOKENS`. If the output is longer than
        `MOST_TARGET_TOKENS`, only its beginning is shown.
        """
        piece = first_piece(self.engine.text.cut(text[tf.newaxis]))[:, : MOST_SOURCE_TOKENS - 1]
        search = Search.of(self.options)
        found, candidates = self.engine.recorded_search(piece, *search)
        labels = found.tokens[0, 0, : tf.minimum(found.lengths[0, 0], MOST_TARGET_TOKENS)]
        return {
            **self.overview(with_end(piece)[0], labels),
            **self._candidates(text, candidates),
            "beam_output": self._written(text, found.tokens[:, 0])[0],
            **self._other_outputs(text, piece, search),
        }

    def inside_layer(self, source_ids: tf.Tensor, target_ids: tf.Tensor, **numbers: tf.Tensor) -> Tensors:
        """Returns the outputs of the signature `inside_layer`."""
        return self.layer(source_ids, target_ids, **numbers)

    def _other_outputs(self, text: tf.Tensor, piece: tf.RaggedTensor, search: Search) -> Tensors:
        """Returns the output of greedy search, and random outputs."""
        greedy = search._replace(beam_size=tf.constant(1))
        no_prefix = tf.RaggedTensor.from_row_splits(tf.zeros([0], tf.int32), tf.zeros([2], tf.int64))
        found = self.engine.traced_search(piece, no_prefix, 1, *greedy).tokens[:, 0]
        seeds = tf.stack([tf.range(SAMPLES), tf.zeros([SAMPLES], tf.int32)], axis=1)
        drawn = self.engine.drawn(tf.gather(piece, tf.zeros([SAMPLES], tf.int32)), seeds, *Sampling(), *search)
        return {
            "greedy_output": self._written(text, found)[0],
            "sampled_outputs": self._written(text, drawn.tokens[:, 0]),
        }

    def _candidates(self, text: tf.Tensor, candidates: RecordedCandidates) -> Tensors:
        """Returns the candidates of at most `MOST_TARGET_TOKENS` steps of the search."""
        candidates = RecordedCandidates(*(values[:MOST_TARGET_TOKENS] for values in candidates))
        shape = tf.shape(candidates.newest)
        rows = tf.reshape(candidates.tokens, [shape[0] * shape[1], -1])
        return {
            "candidate_texts": tf.reshape(self._written(text, rows), shape),
            "candidate_pieces": self.vocabulary.spell(candidates.newest),
            "candidate_log_probabilities": candidates.log_probabilities,
            "candidate_parents": candidates.parents,
        }

    def _written(self, text: tf.Tensor, tokens: tf.Tensor) -> tf.Tensor:
        """Returns the text of outputs for one text, int32 [N, T]: string [N]."""
        return self.engine.text.written(tf.fill([tf.shape(tokens)[0]], text), tokens)
