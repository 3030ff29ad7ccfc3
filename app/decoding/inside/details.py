"""Shows what one layer and one attention head compute for a sentence: the outputs of the signature `inside_layer`."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from keras_nmt.app.decoding.inside.signatures import KINDS
from keras_nmt.app.decoding.network.record import SentenceRecord, StackRecord
from keras_nmt.layers import AnyModel
from keras_nmt.layers.decoder import DecoderLayer
from keras_nmt.layers.encoder import EncoderLayer
from keras_nmt.layers.sublayers.attention import AttentionSteps, HeadWeights
from keras_nmt.layers.sublayers.residual import ResidualSteps


class LayerDetails(NamedTuple):
    """The tensors of one layer with n sublayers and of one attention head of it. All are float32.

    Q queries attend to K keys; d is the width of a head, D that of the model, and F that of the feed-forward network.
    """

    query: tf.Tensor  # [Q, d]
    key: tf.Tensor  # [K, d]
    value: tf.Tensor  # [K, d]
    scores: tf.Tensor  # [Q, K], query · key, neither divided by sqrt(d) nor masked
    weights: tf.Tensor  # [Q, K], with sum 1 over K
    mixed: tf.Tensor  # [Q, d], the values, weighted and summed
    head_output: tf.Tensor  # [Q, D], what the head adds to the output of the sublayer, which also adds `output_bias`
    query_input: tf.Tensor  # [Q, D], what the projection to queries reads
    key_input: tf.Tensor  # [K, D], what the projections to keys and values read
    query_matrix: tf.Tensor  # [D, d]; query = query_input · query_matrix + query_bias
    key_matrix: tf.Tensor  # [D, d]
    value_matrix: tf.Tensor  # [D, d]
    output_matrix: tf.Tensor  # [d, D]
    query_bias: tf.Tensor  # [d]; this and the other biases are 0 in a model without `attention_bias`
    key_bias: tf.Tensor  # [d]
    value_bias: tf.Tensor  # [d]
    output_bias: tf.Tensor  # [D]
    before: tf.Tensor  # [n, Q, D], the input of each sublayer's residual connection
    added: tf.Tensor  # [n, Q, D], what each sublayer adds to it
    after: tf.Tensor  # [n, Q, D], the result of each residual connection
    normalized: tf.Tensor  # [n, Q, D], the result of each layer normalisation, before or after the sublayer
    gamma: tf.Tensor  # [n, D], of each layer normalisation
    beta: tf.Tensor  # [n, D]
    inner: tf.Tensor  # [Q, F], the inner units of the feed-forward network, after the activation


Branch = Callable[[], LayerDetails]
Block = EncoderLayer | DecoderLayer


def layer_details(
    model: AnyModel, record: SentenceRecord, *, kind: tf.Tensor, layer: tf.Tensor, head: tf.Tensor
) -> LayerDetails:
    """Returns the tensors of one layer and head from the record of a sentence.

    Args:
        model: The model.
        record: The record of the sentence.
        kind: int32 [], an index of `KINDS`. A model without an encoder has only "decoder".
        layer: int32 [], the number of the layer in its stack, from 0.
        head: int32 [], the number of the head, from 0.

    Raises:
        tf.errors.InvalidArgumentError: A number is out of range.
    """
    head = checked(head, "head", 0, model.config.heads - 1)

    def branch(stack: StackRecord, blocks: Sequence[Block], memory: tf.Tensor | None = None) -> Branch:
        return lambda: _details(stack, blocks, memory, layer=checked(layer, "layer", 0, len(blocks) - 1), head=head)

    of_decoder = branch(record.decoder, model.decoder.blocks)
    if not record.encoder:
        number = KINDS.index("decoder")
        with tf.control_dependencies([checked(kind, "kind", number, number)]):
            return of_decoder()
    branches = (
        branch(record.encoder, model.encoder.blocks),
        of_decoder,
        branch(record.decoder, model.decoder.blocks, record.memory),
    )
    found: LayerDetails = tf.switch_case(checked(kind, "kind", 0, len(KINDS) - 1), branches)
    return found


def checked(number: tf.Tensor, name: str, least: int, most: int) -> tf.Tensor:
    """Returns a number, int32 [], that is checked to be from `least` to `most`. The error names it."""
    message = f"{name} must be from {least} to {most}"
    checks = [
        tf.debugging.assert_greater_equal(number, least, message),
        tf.debugging.assert_less_equal(number, most, message),
    ]
    with tf.control_dependencies([check for check in checks if check is not None]):  # None outside a graph
        return tf.identity(number)


def _details(
    stack: StackRecord,
    blocks: Sequence[Block],
    memory: tf.Tensor | None = None,
    *,
    layer: tf.Tensor,
    head: tf.Tensor,
) -> LayerDetails:
    """Returns the details of a head of self-attention or, with the encoder's output `memory`, of cross-attention."""
    place = 0 if memory is None else 1
    sublayers = [block.self_attention if memory is None else block.cross_attention for block in blocks]
    of_heads = zip(*(sublayer.of_head(head) for sublayer in sublayers), strict=True)
    weights = HeadWeights(*(tf.stack(of_layers)[layer] for of_layers in of_heads))
    attention = AttentionSteps(*(values[layer, head] for values in stack.attentions[place]))
    steps = ResidualSteps(*(values[layer] for values in stack.sublayers))
    residuals = [block.residuals for block in blocks]
    gamma, beta = (
        tf.stack([[tf.cast(getattr(one.norm, weight).value, tf.float32) for one in own] for own in residuals])[layer]
        for weight in ("gamma", "beta")
    )
    read = steps.read[place]
    return LayerDetails(
        *attention[:3],
        scores=tf.matmul(attention.query, attention.key, transpose_b=True),
        weights=attention.weights,
        mixed=attention.mixed,
        head_output=tf.matmul(attention.mixed, weights.output_matrix),
        query_input=read,
        key_input=read if memory is None else memory,
        **weights._asdict(),
        before=steps.before,
        added=steps.added,
        after=steps.after,
        normalized=steps.read if residuals[0][0].normalization == "pre" else steps.after,
        gamma=gamma,
        beta=beta,
        inner=stack.inner_units[layer],
    )
