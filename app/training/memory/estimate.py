"""Estimates the memory of a training step from the batch shape and the configuration, without building the model.

The estimate is the maximum number of bytes that a device needs at one time. P is the number of parameters, D the model
width, F the inner width, H the number of heads, V the vocabulary size, and c the bytes of a number in the compute
precision (4, or 2 with mixed precision):

    weights      4 P; with mixed precision, 2 P more for a copy
    optimizer    8 P for Adam's two moments; Muon keeps only one moment for the matrices between hidden layers
    averages     4 P if the weights are averaged
    gradients    4 P; 4 P more if they are clipped or scaled; 8 P more if the gradients of several parts are added
    activations  kept from the forward pass for the backward pass, for each position:
                   a normalization     12 D: three float32 values, because statistics are computed in float32
                   self-attention      5 c D: the input, queries, keys, values and the outputs of the heads
                   cross-attention     3 c D, and 2 c D for the keys and values of each source position; not in a
                                       model without an encoder, which does not read the source
                   feed-forward        c (D + F), and 2 c F more with dropout inside
                   dropout             c D for the mask after each of these three sublayers
                   embedding           16 D, and 12 D for each target position: the gradient of the decoder's output
                 for each pair of a query position and a key position, and each head:
                   attention weight    4 in float32; c more with mixed precision, or 2 c more with dropout
                 for each pair of positions in packed rows:
                   the masks           2, which separate the sentence pairs
                 for each pair of a target and a source position, if the model copies:
                   copy attention      48: twelve float32 values, from scores to loss
                 for each pair of two source positions, if the model copies:
                   equal tokens        16
                 needed only for a part of the backward pass:
                   pairs of one layer  12 H for each pair of positions
                   the logits          20 V for each of `CHUNK_TOKENS` target positions, 44 V with R-Drop
                   the table           16 V D for the parts of the embedding table's gradient
    workspace    the graph, the kernels and their scratch memory

The terms follow from the layers. The constants 12, 16, 20 and `WORKSPACE` were fitted to measurements of processes on a
CPU. `SAFETY` is a margin for terms that are left out. A slow test compares the estimate with the peak memory of a
process. XLA fuses many of these operations, so XLA reports fewer bytes for the same step.
"""

import math
from dataclasses import dataclass

from keras_nmt.app.config import Configuration
from keras_nmt.app.training.objective.objective import CHUNK_TOKENS
from keras_nmt.app.training.packing import is_packed
from keras_nmt.layers.config import TransformerConfig
from keras_nmt.pipelines.streaming.batching import BatchShape

WORKSPACE = 130 << 20
SAFETY = 1.1


@dataclass(frozen=True)
class MemoryEstimate:
    """The bytes that one device needs for a step, by purpose."""

    weights: int
    optimizer: int
    averages: int
    gradients: int
    activations: int
    workspace: int

    @property
    def total(self) -> int:
        """The sum of all parts of the estimate."""
        return sum(vars(self).values())


def estimate_memory(configuration: Configuration, shape: BatchShape, *, replicas: int, parts: int) -> MemoryEstimate:
    """Estimates the memory of a step on one device.

    Args:
        configuration: The resolved configuration.
        shape: The shape of the global batch.
        replicas: The number of replicas among which the rows of the batch are divided.
        parts: The number of parts into which each replica's rows are split.
    """
    model, settings = configuration.model, configuration.training
    table, parameters = model.vocabulary_size * model.model_width, parameter_count(model)
    mixed = settings.precision != "float32"
    scaled = settings.clip_norm > 0 or settings.precision == "mixed_float16"
    rows = math.ceil(math.ceil(shape.rows / replicas) / parts) * (2 if settings.r_drop else 1)
    part = BatchShape(rows, shape.source_length, shape.target_length)
    logits = min(CHUNK_TOKENS, rows * part.target_length) * (44 if settings.r_drop else 20) * model.vocabulary_size
    row_bytes = _row_bytes(model, part, compute_bytes=2 if mixed else 4)
    if is_packed(settings):
        source = part.source_length if model.encoder_layers else 0
        row_bytes += 2 * (source**2 + part.target_length * (source + part.target_length))
    if model.copying:
        row_bytes += 48 * part.target_length * part.source_length + 16 * part.source_length**2
    activations = rows * row_bytes + logits + 16 * table
    return MemoryEstimate(
        weights=(6 if mixed else 4) * parameters,
        optimizer=4 * (2 * parameters - (hidden_matrices(model) if settings.optimizer == "muon" else 0)),
        averages=4 * parameters if settings.ema_decay else 0,
        gradients=4 * parameters * (1 + scaled + 2 * (parts > 1)),
        activations=int(SAFETY * activations),
        workspace=WORKSPACE,
    )


def parameter_count(model: TransformerConfig) -> int:
    """Returns the number of weights of a model, without building it."""
    width, inner = model.model_width, model.inner_width
    norm, biases = 2 * width, inner + width
    attention_biases = 4 * width if model.attention_bias else 0
    attentions, stacks = (2, 2) if model.encoder_layers else (1, 1)  # of a decoder layer, and of the model
    encoder = model.encoder_layers * (attention_biases + biases + 2 * norm)
    decoder = model.decoder_layers * (attentions * (attention_biases + norm) + biases + norm)
    final_norms = stacks * norm if model.normalization == "pre" else 0
    table = model.vocabulary_size * (width + (1 if model.logits_bias else 0))
    of_copying = 1 + 2 if model.copying else 0  # the bias of the gate, and the continuation
    return table + encoder + decoder + final_norms + of_copying + hidden_matrices(model)


def hidden_matrices(model: TransformerConfig) -> int:
    """Returns the number of weights in the matrices of attention, feed-forward networks, word pointer and copying."""
    attention, feed_forward = 4 * model.model_width**2, 2 * model.model_width * model.inner_width
    encoder = model.encoder_layers * (attention + feed_forward)
    attentions = 2 if model.encoder_layers else 1
    word_pointer = model.model_width**2 if model.word_token else 0
    copying = 2 * model.model_width * (1 + model.model_width // model.heads) if model.copying else 0
    return encoder + model.decoder_layers * (attentions * attention + feed_forward) + word_pointer + copying


def _row_bytes(model: TransformerConfig, shape: BatchShape, compute_bytes: int) -> int:
    """Returns the bytes of one row's activations, without the logits."""
    c, width, inner = compute_bytes, model.model_width, model.inner_width
    source, target = shape.source_length if model.encoder_layers else 0, shape.target_length
    norm_and_mask = 12 * width + (c * width if model.residual_dropout else 0)
    self_attention = norm_and_mask + 5 * c * width
    cross_attention = norm_and_mask + 3 * c * width if model.encoder_layers else 0
    feed_forward = norm_and_mask + c * width + c * inner * (3 if model.inner_dropout else 1)
    source_bytes = model.encoder_layers * (self_attention + feed_forward) + model.decoder_layers * 2 * c * width
    target_bytes = model.decoder_layers * (self_attention + cross_attention + feed_forward)
    pairs = model.encoder_layers * source**2 + model.decoder_layers * (target**2 + target * source)
    pair_bytes = 4 + (2 * c if model.attention_dropout else c % 4)  # c % 4 is 0 for float32, which needs no copy
    return (
        source * (source_bytes + 16 * width)
        + target * (target_bytes + 28 * width)
        + model.heads * (pairs * pair_bytes + 12 * max(source, target) ** 2)
    )
