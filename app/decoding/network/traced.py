"""The encoder, decoder and decoding step of a network as TensorFlow graphs that all signatures share."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import tensorflow as tf

from keras_nmt.app.decoding.network.beam_cache import BeamCache, decode_step, empty_cache
from keras_nmt.app.decoding.network.protocol import Encoded, Network
from keras_nmt.app.decoding.search.hypotheses import SearchState, Step, TensorNest
from keras_nmt.app.decoding.text.texts import with_end

_Result = TypeVar("_Result")
SOURCE_MULTIPLE = 8  # source lengths are padded to a multiple of 8: TensorFlow keeps compiled kernels for each shape


class TracedNetwork(tf.Module):
    """A network whose parts are each traced once, because a SavedModel with more operations takes longer to load."""

    def __init__(self, network: Network) -> None:
        super().__init__(name="network")
        self.network = network
        self._encode = traced(self._encoded, tf.RaggedTensorSpec([None, None], tf.int32))
        self._decode = tf.function(network.decode, autograph=False, reduce_retracing=True)
        self._step = tf.function(partial(decode_step, network), autograph=False, reduce_retracing=True)

    def encode(self, pieces: tf.RaggedTensor) -> Encoded:
        """Encodes pieces of text, given as token ids, int32 [B, (L)]."""
        encoded: Encoded = self._encode(pieces)
        return encoded

    def logits(self, pieces: tf.RaggedTensor, target: tf.Tensor) -> tf.Tensor:
        """Computes the logits [B, T, V] of the next token after each token of `target`, int32 [B, T].

        The sources are `pieces`, int32 [B, (L)].
        """
        return self._decode(target, **self.encode(pieces))

    def begin(self, pieces: tf.RaggedTensor, beams: int | tf.Tensor) -> tuple[Step, SearchState]:
        """Encodes token ids, int32 [B, (L)]; returns the step function of a search and the state before the first step.

        A row of `pieces` is the tokens of one piece of text. The search has `beams` beams for each piece.
        """
        encoded = self.encode(pieces)
        cache = empty_cache(self.network, pieces.nrows(out_type=tf.int32), beams)

        def step(tokens: tf.Tensor, position: tf.Tensor, state: SearchState) -> tuple[tf.Tensor, SearchState]:
            written, encoded = state.sentences
            logits, cache = self._step(tokens, position, BeamCache(written, *state.beams), **encoded)
            return logits, SearchState(cache.of_beams(), (cache.written, encoded))

        return step, SearchState(cache.of_beams(), (cache.written, encoded))

    def _encoded(self, pieces: tf.RaggedTensor) -> Encoded:
        source = with_end(pieces, multiple=SOURCE_MULTIPLE)
        memory, may_attend = self.network.encode(source)
        encoded: Encoded = {"cross": self.network.cross_cache(memory), "may_attend_source": may_attend}
        if self.network.word_token:
            encoded["words"] = self.network.word_memory(source, memory)
        if self.network.copying:
            encoded["copies"] = self.network.copy_memory(source, memory)
        return encoded


def traced(function: Callable[..., _Result], *signature: TensorNest) -> Callable[..., _Result]:
    """Returns the function as a graph that is traced once, for arguments with the specs `signature`."""
    return tf.function(function, input_signature=signature, autograph=False)
