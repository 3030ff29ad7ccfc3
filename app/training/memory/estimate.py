"""How much memory a training step takes, estimated from shapes and the configuration alone. No device is asked.

What a device holds at most, in bytes, with P parameters, D the model's width, F the inner width, H heads, V the
vocabulary, and c bytes a number of the compute precision: 4, or 2 where it is mixed.

    weights      4 P, and a copy of 2 P where the precision is mixed
    optimizer    8 P, Adam's two moments; Muon keeps one of the matrices between hidden layers
    averages     4 P, if the weights are averaged
    gradients    4 P; 4 P more where they are clipped or scaled, 8 P more where those of several parts are added
    activations  what the forward pass keeps for the backward pass, of each position
                   a normalisation     12 D: three float32 values, as its statistics are taken in float32
                   self-attention      5 c D: its input, queries, keys, values, the heads' outputs
                   cross-attention     3 c D, and of each source position 2 c D: its keys and values
                   feed-forward        c (D + F), and 2 c F more with dropout inside
                   dropout             c D for the mask after each of the three
                   embedding           16 D, and of a target position 12 D for the gradient of the decoder's output
                 of each pair of positions, one attending to the other, and each head
                   the weight          4 in float32; c more where the precision is mixed, or 2 c more with dropout
                 of each pair of positions of packed rows
                   the masks           2, which tell the pairs apart
                 and at one time in the backward pass
                   one layer's pairs   12 H each
                   the logits          of `CHUNK_TOKENS` target positions 20 V, with R-Drop 44 V
                   the table           16 V D for its gradient's parts
    workspace    the graph, the kernels and their scratch memory

The terms come of going through the layers; the constants 12, 16, 20 and `WORKSPACE` were set by measuring processes on
a CPU, and `SAFETY` is for what is left out. A slow test holds the sum to a process's peak. XLA, which fuses much of
this, reports fewer bytes for the same step.
"""

import math
from dataclasses import dataclass

from app.config import Configuration
from app.training.objective import CHUNK_TOKENS
from app.training.packing import is_packed
from layers.config import TransformerConfig
from pipelines.streaming.batching import BatchShape

WORKSPACE = 130 << 20
SAFETY = 1.1


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that one device needs for a step."""

    weights: int
    optimizer: int
    averages: int
    gradients: int
    activations: int
    workspace: int

    @property
    def total(self) -> int:
        """The sum."""
        return sum(vars(self).values())


def estimate_memory(configuration: Configuration, shape: BatchShape, *, replicas: int, parts: int) -> MemoryEstimate:
    """What a step needs with a batch of that shape, divided among replicas and then into parts."""
    model, settings = configuration.model, configuration.training
    table, parameters = model.vocabulary_size * model.model_width, parameter_count(model)
    mixed = settings.precision != "float32"
    scaled = settings.clip_norm > 0 or settings.precision == "mixed_float16"
    rows = math.ceil(math.ceil(shape.rows / replicas) / parts) * (2 if settings.r_drop else 1)
    part = BatchShape(rows, shape.source_length, shape.target_length)
    logits = min(CHUNK_TOKENS, rows * part.target_length) * (44 if settings.r_drop else 20) * model.vocabulary_size
    row_bytes = _row_bytes(model, part, compute_bytes=2 if mixed else 4)
    if is_packed(settings):
        row_bytes += 2 * (part.source_length**2 + part.target_length * (part.source_length + part.target_length))
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
    """The number of weights of a model, before it is made."""
    width, inner = model.model_width, model.inner_width
    norm, biases = 2 * width, inner + width
    attention_biases = 4 * width if model.attention_bias else 0
    encoder = model.encoder_layers * (attention_biases + biases + 2 * norm)
    decoder = model.decoder_layers * (2 * attention_biases + biases + 3 * norm)
    final_norms = 2 * norm if model.normalization == "pre" else 0
    table = model.vocabulary_size * (width + (1 if model.logits_bias else 0))
    return table + encoder + decoder + final_norms + hidden_matrices(model)


def hidden_matrices(model: TransformerConfig) -> int:
    """How many of the weights are of attention's and feed-forward networks' matrices."""
    attention, feed_forward = 4 * model.model_width**2, 2 * model.model_width * model.inner_width
    encoder = model.encoder_layers * (attention + feed_forward)
    return encoder + model.decoder_layers * (2 * attention + feed_forward)


def _row_bytes(model: TransformerConfig, shape: BatchShape, compute_bytes: int) -> int:
    """What the activations of one row take, logits apart."""
    c, width, inner = compute_bytes, model.model_width, model.inner_width
    source, target = shape.source_length, shape.target_length
    norm_and_mask = 12 * width + (c * width if model.residual_dropout else 0)
    self_attention = norm_and_mask + 5 * c * width
    cross_attention = norm_and_mask + 3 * c * width
    feed_forward = norm_and_mask + c * width + c * inner * (3 if model.inner_dropout else 1)
    of_source = model.encoder_layers * (self_attention + feed_forward) + model.decoder_layers * 2 * c * width
    of_target = model.decoder_layers * (self_attention + cross_attention + feed_forward)
    pairs = model.encoder_layers * source**2 + model.decoder_layers * (target**2 + target * source)
    of_pair = 4 + (2 * c if model.attention_dropout else c % 4)  # c % 4: float32 needs no copy in another precision
    return (
        source * (of_source + 16 * width)
        + target * (of_target + 28 * width)
        + model.heads * (pairs * of_pair + 12 * max(source, target) ** 2)
    )
