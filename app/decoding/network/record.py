"""Records a forward pass of a model for one sentence, as a graph that all signatures share."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import tensorflow as tf

from keras_nmt.app.decoding.network.traced import traced
from keras_nmt.layers.inspection import LayerRecord, ModelRecord
from keras_nmt.layers.sublayers.attention import AttentionSteps
from keras_nmt.layers.sublayers.residual import ResidualSteps
from keras_nmt.pipelines.vocabulary.tokenizer import BOS


class StackRecord(NamedTuple):
    """The tensors of the L layers of an encoder or decoder, each with n sublayers. All are float32."""

    sublayers: ResidualSteps  # each [L, n, T, D]
    attentions: list[AttentionSteps]  # as in `LayerRecord`, with the axis L in place of B
    inner_units: tf.Tensor  # [L, T, F]


class SentenceRecord(NamedTuple):
    """The tensors of a forward pass for S source and T target tokens, float32.

    Without a source, the first two are ().
    """

    encoder: StackRecord | tuple[()]
    memory: tf.Tensor | tuple[()]  # [S, D], the encoder's output
    decoder: StackRecord
    logits: tf.Tensor  # [T, V]; row t scores target token t


class Recorder:
    """Records forward passes of a model, without dropout, in the model's own dtype.

    Args:
        record: The method `record` of the model.
        inputs: The number of its arguments: 2 with source and target, 1 with the target alone.
    """

    def __init__(self, record: Callable[..., ModelRecord], inputs: int) -> None:
        self._of_model = record
        ids = tf.TensorSpec([None], tf.int32)
        self._traced = traced(self._record, *([ids] * inputs))

    def __call__(self, *ids: tf.Tensor) -> SentenceRecord:
        """Records one forward pass.

        Args:
            ids: The tokens of the source, int32 [S], if the model has one; and the tokens that the decoder predicts,
                int32 [T].
        """
        found: SentenceRecord = self._traced(*ids)
        return found

    def _record(self, *ids: tf.Tensor) -> SentenceRecord:
        read = [*ids[:-1], decoder_input(ids[-1])]
        record = self._of_model(*(row[tf.newaxis] for row in read))
        stacked = SentenceRecord(
            _stacked(record.encoder) if record.encoder else (),
            () if isinstance(record.memory, tuple) else record.memory[0],
            _stacked(record.decoder),
            record.logits[0],
        )
        return tf.nest.map_structure(lambda values: tf.cast(values, tf.float32), stacked)


def decoder_input(labels: tf.Tensor) -> tf.Tensor:
    """Returns what the decoder reads to predict `labels`, int32 [T]: BOS and the labels except the last."""
    return tf.pad(labels[:-1], [[1, 0]], constant_values=BOS)


def attention_weights(record: SentenceRecord) -> dict[str, tf.Tensor]:
    """Returns the attention weights of every layer and head, by the names of outputs of `inside`."""
    found = {"decoder_attention": record.decoder.attentions[0].weights}
    if record.encoder:
        found["encoder_attention"] = record.encoder.attentions[0].weights
        found["cross_attention"] = record.decoder.attentions[1].weights
    return found


def _stacked(layers: Sequence[LayerRecord]) -> StackRecord:
    """Stacks the records of layers, and drops the axis B."""

    def stack(of_layers: Iterable[tf.Tensor]) -> tf.Tensor:
        return tf.stack([values[0] for values in of_layers])

    attentions = zip(*(layer.attentions for layer in layers), strict=True)
    steps = [ResidualSteps(*map(stack, zip(*layer.sublayers, strict=True))) for layer in layers]
    return StackRecord(
        ResidualSteps(*map(tf.stack, zip(*steps, strict=True))),
        [AttentionSteps(*map(stack, zip(*of_layers, strict=True))) for of_layers in attentions],
        stack(layer.inner_units for layer in layers),
    )
