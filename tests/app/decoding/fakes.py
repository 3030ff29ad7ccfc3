"""A small vocabulary and a transformer that copies its source, for tests of the code around a model."""

import inspect
import io
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import sentencepiece
import tensorflow as tf

from keras_nmt.app.decoding.signatures import Signatures
from keras_nmt.app.decoding.translation_graph import TranslationGraph
from keras_nmt.layers.inspection import LayerRecord, ModelRecord
from keras_nmt.layers.sublayers.attention import AttentionSteps, KeysValues
from keras_nmt.layers.sublayers.residual import ResidualSteps
from keras_nmt.pipelines.vocabulary.tokenizer import BOS, EOS, PAD, UNK, Vocabulary, train_vocabulary
from tests.eager import eager

SENTENCES = [
    "The cat sat on the mat.",
    "A dog barks at night, doesn't it?",
    "Die Katze saß auf der Matte!",
    "Übung macht den Meister.",
    "one two three four five six seven eight nine ten",
]


def small_vocabulary() -> Vocabulary:
    return train_vocabulary(SENTENCES * 20, size=304)


TAGS = ("<2de>", "<2fr>", "<news>")


def tagged_vocabulary(
    before: str = "", *, tags: Sequence[str] = TAGS, sentences: Sequence[str] = SENTENCES * 20, size: int = 312
) -> Vocabulary:
    """Trains a vocabulary with a piece for each tag, preceded by `before`."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=model,
        model_type="unigram",
        vocab_size=size,
        byte_fallback=True,
        pad_id=PAD,
        unk_id=UNK,
        bos_id=BOS,
        eos_id=EOS,
        user_defined_symbols=[before + tag for tag in tags],
        minloglevel=2,
    )
    return Vocabulary(model.getvalue())


def untraced_signatures(graph: TranslationGraph) -> Signatures:
    """Returns the signatures of a graph as eager Python; a single call is faster than tracing."""

    def untraced(function: Any) -> Any:
        parameters = inspect.signature(function.python_function)

        def run(**given: tf.Tensor) -> Any:
            values = parameters.bind(**given)
            values.apply_defaults()
            with eager():
                return function.python_function(*values.args)

        run.input_signature = function.input_signature  # type: ignore[attr-defined]
        return run

    return {name: untraced(function) for name, function in graph.signatures().items()}


class CopyingTransformer(tf.Module):
    """Copies its source; other tokens, and a shorter or longer copy, are less probable.

    It reads its position from the cache, as the number of tokens there.
    """

    word_token = 0
    copying = False

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.sharpness = tf.Variable(9.0)  # a variable for the SavedModel

    @property
    def weights(self) -> list[Any]:
        return [SimpleNamespace(value=self.sharpness)]

    def decode(self, target: tf.Tensor, *, cross: Any, may_attend_source: tf.Tensor) -> tf.Tensor:
        length = tf.shape(target)[1]
        longer = tf.maximum(0, length - tf.shape(cross[0])[1])
        return self.logits(tf.pad(cross[0], [[0, 0], [0, longer]], constant_values=EOS)[:, :length])

    def logits(self, wanted: tf.Tensor) -> tf.Tensor:
        return self.sharpness * tf.one_hot(wanted, self.vocabulary) + tf.one_hot(EOS, self.vocabulary)

    def cross_weights(self, target: tf.Tensor, *, cross: Any, may_attend_source: tf.Tensor) -> tf.Tensor:
        positions = tf.range(tf.shape(target)[1])
        one = tf.one_hot(positions, tf.shape(cross[0])[1])  # each target token attends to the same place
        return tf.repeat(one[tf.newaxis, tf.newaxis], tf.shape(target)[0], axis=0)

    def record(self, source: tf.Tensor, target: tf.Tensor) -> ModelRecord:
        """Each position attends to its own; all other tensors are empty."""
        none = tf.zeros([1, 0])

        def attention(queries: tf.Tensor, keys: tf.Tensor) -> AttentionSteps:
            weights = tf.eye(tf.shape(queries)[1], tf.shape(keys)[1])[tf.newaxis, tf.newaxis]
            return AttentionSteps(none, none, none, weights, none)

        steps = [ResidualSteps(none, none, none, none)]
        encoder = [LayerRecord(steps, [attention(source, source)], none)]
        decoder = [LayerRecord(steps, [attention(target, target), attention(target, source)], none)]
        return ModelRecord(encoder, none, decoder, none)

    def positional_encodings(self, length: Any) -> tf.Tensor:
        return tf.zeros([length, 4])

    def encode(self, source: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.cast(source, tf.float32)[:, :, tf.newaxis], source != 0

    def cross_cache(self, memory: tf.Tensor) -> list[tf.Tensor]:
        return [tf.cast(memory[:, :, 0], tf.int32)]

    def empty_cache(self, sentences: Any, length: Any) -> list[KeysValues]:
        zeros = tf.zeros([sentences, 1, length, 1])
        return [KeysValues(zeros, zeros)]

    def decode_step(
        self,
        tokens: tf.Tensor,
        positions: tf.Tensor,
        caches: Any,
        may_attend: tf.Tensor,
        *,
        cross: Any,
        may_attend_source: tf.Tensor,
    ) -> tf.Tensor:
        new = tf.cast(tokens, tf.float32)[:, tf.newaxis, :, tf.newaxis]
        every = caches[0].append(KeysValues(new, new)).keys[:, 0, :, 0]  # [B, L * K], every token so far
        history = tf.where(may_attend[:, 0], tf.cast(every, tf.int32)[:, tf.newaxis], PAD)  # [B, K, L * K]
        read = tf.math.count_nonzero(history, axis=2, dtype=tf.int32)  # BOS included
        source = tf.pad(cross[0], [[0, 0], [0, 1]])  # [B, S + 1]
        wanted = tf.gather(source, tf.minimum(read - 1, tf.shape(source)[1] - 1), batch_dims=1)
        has_begun = tf.reduce_any(history[:, :, : tf.shape(tokens)[1]] == BOS, axis=2)
        return self.logits(tf.where(has_begun & (wanted != PAD), wanted, EOS))


class RecitingModel(tf.Module):
    """A language model that says given tokens after BOS, whatever the prompt; then EOS. Implements `CausalNetwork`."""

    def __init__(self, tokens: Sequence[int], vocabulary: int) -> None:
        super().__init__()
        self.tokens = tf.constant([*tokens, EOS], tf.int32)
        self.vocabulary = vocabulary

    @property
    def weights(self) -> list[Any]:
        return []

    def decode(self, target: tf.Tensor) -> tf.Tensor:
        return self.logits(tf.broadcast_to(tf.range(tf.shape(target)[1]), tf.shape(target)))

    def logits(self, positions: tf.Tensor) -> tf.Tensor:
        return 30.0 * tf.one_hot(tf.gather(self.tokens, tf.minimum(positions, len(self.tokens) - 1)), self.vocabulary)

    def empty_cache(self, rows: Any, length: Any) -> list[KeysValues]:
        zeros = tf.zeros([rows, 1, length, 1])
        return [KeysValues(zeros, zeros)]

    def decode_step(self, tokens: tf.Tensor, positions: tf.Tensor, caches: Any, may_attend: tf.Tensor) -> tf.Tensor:
        new = tf.cast(tokens, tf.float32)[:, tf.newaxis, :, tf.newaxis]
        caches[0].append(KeysValues(new, new))
        return self.logits(tf.broadcast_to(positions, tf.shape(tokens)))
