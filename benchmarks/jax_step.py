"""Measures the training step of the preset paper-base on JAX: packed batches of one shape, one compiled program.

The model in `layers/` is written with `keras.ops`, so it also runs on Keras' JAX backend. The loss is that of
`nmt train`: label-smoothed cross entropy of the real tokens, computed in chunks. The script needs jax, keras and NumPy,
and does not import TensorFlow. Prints a table to stderr and one JSON object as the last line of stdout. README.md
explains the numbers.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

os.environ["KERAS_BACKEND"] = "jax"  # before Keras is imported

import jax
import keras
import numpy as np
from numpy.typing import NDArray

from benchmarks.data.training_corpus import SEED, Pair, sentence_pairs
from benchmarks.measuring import BOS, EOS, PAD, VOCABULARY_SIZE
from keras_nmt.app.config import Configuration, load_preset
from keras_nmt.layers import Transformer, TransformerConfig
from keras_nmt.layers.losses import token_losses

ROWS_MULTIPLE, CHUNK_TOKENS = 8, 2048
WARMUP_STEPS, BATCHES = 3, 8
POLICIES = {"bfloat16": "mixed_bfloat16", "float32": "float32"}
SIDES = ("source", "target")

PackedBatch = dict[str, NDArray[np.int32]]


class Work(NamedTuple):
    """Counts for one batch, from which the number of operations is computed. Padding is not counted.

    Attributes:
        source_tokens: Number of source tokens.
        target_tokens: Number of target tokens.
        source_pairs: Number of (query, key) pairs in the encoder's self-attention.
        target_pairs: Number of (query, key) pairs in the decoder's self-attention, without a causal mask.
        cross_pairs: Number of (query, key) pairs in the decoder's attention to the encoder.
    """

    source_tokens: int
    target_tokens: int
    source_pairs: int
    target_pairs: int
    cross_pairs: int


class MeasuredBatch(NamedTuple):
    """A batch, and the counts from which the number of operations of a training step is computed."""

    batch: PackedBatch
    work: Work


def main() -> None:
    """Measures the training step and prints the results."""
    options = read_options()
    vocabulary = options.vocabulary_size
    preset = load_preset("paper-base", [f"model.vocabulary_size={vocabulary}", *options.set])
    configuration = Configuration.from_sections(preset, "paper-base")
    packed = list(packed_batches(vocabulary, options.tokens, options.width))
    keras.utils.set_random_seed(SEED)
    transformer = Transformer(configuration.model, name="transformer", dtype=POLICIES[options.precision])
    step, state = training_step(transformer, configuration.training.label_smoothing)
    compiling, seconds, losses = run(step, state, packed, options.steps)
    result = summary(options, configuration.model, [each.work for each in packed], seconds)
    rows, width = packed[0].batch["source"].shape
    result |= {
        "compilations": step._cache_size(),
        "compile_seconds": round(compiling, 1),
        "rows": rows,
        "width": width,
        "steps": len(seconds),
        "loss": round(losses[-1], 3),
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
    }
    for name, value in result.items():
        print(f"{name:<28}{value}", file=sys.stderr)
    print(json.dumps(result))


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description="Measures the training step of paper-base on Keras' JAX backend.",
        epilog="example: python -m benchmarks.jax_step --peak-tflops 989",
    )
    add = parser.add_argument
    add("--tokens", type=int, default=25_000, help="maximum target tokens of a batch, with padding (default: 25000)")
    add("--width", type=int, default=128, help="tokens per row (default: 128)")
    add("--steps", type=int, default=20, help="measured steps (default: 20)")
    add("--precision", choices=POLICIES, default="bfloat16", help="precision of matrix products (default: bfloat16)")
    add(
        "--peak-tflops",
        type=float,
        help="peak of the device without sparsity, for the utilisation",
    )
    add("--vocabulary-size", type=int, default=VOCABULARY_SIZE, help=f"number of pieces (default: {VOCABULARY_SIZE})")
    add("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of the preset, as in nmt train")
    return parser.parse_args(arguments)


def packed_batches(vocabulary_size: int, tokens: int, width: int) -> Iterator[MeasuredBatch]:
    """Yields BATCHES batches of one shape, with sentence pairs of the training benchmark.

    Args:
        vocabulary_size: Number of different ids.
        tokens: Maximum number of target tokens in a batch, padding included. This limit determines the number of rows.
            Exits if the limit is too small for ROWS_MULTIPLE rows.
        width: Number of tokens in a row.
    """
    rows = tokens // width // ROWS_MULTIPLE * ROWS_MULTIPLE
    if not rows:
        sys.exit(f"{tokens} tokens are too few for {ROWS_MULTIPLE} rows of {width}; raise --tokens")
    pairs = iter(sentence_pairs(BATCHES * tokens // 8, vocabulary_size))
    for _ in range(BATCHES):
        yield pack(choose(pairs, rows * width), rows, width)


def choose(pairs: Iterator[Pair], tokens: int) -> list[Pair]:
    """Takes as many of the next pairs as fit into a batch, and returns them sorted by length, the longest first.

    The longer sides of the returned pairs have at most `tokens` tokens in total, EOS included. The first pair that does
    not fit is discarded.
    """
    chosen: list[Pair] = []
    left = tokens
    for source, target in pairs:
        left -= max(len(source), len(target)) + 1
        if left < 0:
            break
        chosen.append((source, target))
    return sorted(chosen, key=lambda pair: -max(map(len, pair)))


def pack(pairs: Sequence[Pair], rows: int, width: int) -> MeasuredBatch:
    """Packs each pair into the row with the most free space. Skips a pair if it does not fit into this row.

    Several pairs share a row. Their segment ids are 1, 2, … in each row, and 0 at padding.
    """
    names = (*SIDES, "labels", *(f"{side}_segments" for side in SIDES))
    batch: PackedBatch = {name: np.zeros((rows, width), np.int32) for name in names}
    filled, segments = np.zeros((rows, 2), int), np.zeros(rows, int)
    lengths = []
    for source, target in pairs:
        row = int(filled.max(axis=1).argmin())
        start, length = filled[row].copy(), np.array([len(source), len(target)]) + 1
        if (start + length).max() > width:
            continue
        filled[row] += length
        segments[row] += 1
        lengths.append(length)
        columns = [slice(*ends) for ends in zip(start, start + length, strict=True)]
        batch["source"][row, columns[0]] = [*source, EOS]
        batch["target"][row, columns[1]] = [BOS, *target]
        batch["labels"][row, columns[1]] = [*target, EOS]
        for side, column in zip(SIDES, columns, strict=True):
            batch[f"{side}_segments"][row, column] = segments[row]
    source_lengths, target_lengths = np.array(lengths).T
    squares = (source_lengths @ source_lengths, target_lengths @ target_lengths, source_lengths @ target_lengths)
    return MeasuredBatch(batch, Work(*map(int, (source_lengths.sum(), target_lengths.sum(), *squares))))


def model_flops(model: TransformerConfig, work: Work) -> float:
    """Returns the number of floating-point operations in the matrix products of one training step.

    Each multiplication counts as two operations, because an addition follows it. The backward pass has twice as many
    operations as the forward pass. Attention is counted between all positions of the same sentence pair, as if there
    were no causal mask. Recomputed operations and padding are not counted.

    Args:
        model: The hyperparameters of the model.
        work: The numbers of tokens and (query, key) pairs in the batch.
    """
    width, inner = model.model_width, model.inner_width
    block = 4 * width**2 + 2 * width * inner  # weights of self-attention and feed-forward network
    per_source_token = model.encoder_layers * block + model.decoder_layers * 2 * width**2
    per_target_token = model.decoder_layers * (block + 2 * width**2) + model.vocabulary_size * width
    attended = model.encoder_layers * work.source_pairs + model.decoder_layers * (work.target_pairs + work.cross_pairs)
    products = work.source_tokens * per_source_token + work.target_tokens * per_target_token + 2 * width * attended
    return 3 * 2.0 * products


def training_step(transformer: Transformer, smoothing: float) -> tuple[Any, Any]:
    """Returns the compiled training step, a function (state, batch) -> (new state, loss), and the initial state.

    The state has the trainable variables, the other variables of the model, and the variables of the optimizer.
    """
    optimizer = keras.optimizers.Adam(1e-4, beta_2=0.98, epsilon=1e-9)
    optimizer.build(transformer.trainable_variables)
    variables = (transformer.trainable_variables, transformer.non_trainable_variables)

    def loss(trainable: Any, others: Any, batch: Any) -> tuple[Any, Any]:
        mapping = [*zip(variables[0], trainable, strict=True), *zip(variables[1], others, strict=True)]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            inputs = {name: ids for name, ids in batch.items() if name != "labels"}
            states = transformer.states(inputs, training=True)
            mean = smoothed_loss(transformer.embedding.logits, states, batch["labels"], smoothing)
        return mean, [scope.get_current_value(variable) for variable in variables[1]]

    def step(state: Any, batch: Any) -> tuple[Any, Any]:
        trainable, others, moments = state
        (mean, others), gradients = jax.value_and_grad(loss, has_aux=True)(trainable, others, batch)
        trainable, moments = optimizer.stateless_apply(moments, gradients, trainable)
        return (trainable, others, moments), mean

    state = [[variable.value for variable in of_kind] for of_kind in (*variables, optimizer.variables)]
    return jax.jit(step, donate_argnums=0), tuple(state)


def smoothed_loss(logits_of: Callable[[Any], Any], states: Any, labels: Any, smoothing: float) -> Any:
    """Returns the mean label-smoothed cross entropy of the real tokens.

    The loss is computed chunk by chunk, so that the logits of the whole batch are never in memory at once.

    Args:
        logits_of: The projection from decoder outputs [N, D] to logits [N, V].
        states: Decoder outputs, [rows, width, D].
        labels: Labels, int32 [rows, width].
        smoothing: Share of the target distribution that is spread over all pieces.
    """
    ops = keras.ops
    tokens, width = labels.size, states.shape[-1]
    chunks = next(n for n in range(max(1, tokens // CHUNK_TOKENS), tokens + 1) if tokens % n == 0)

    def add_chunk(total: Any, chunk: tuple[Any, Any]) -> tuple[Any, None]:
        rows, wanted = chunk
        losses = token_losses(wanted, logits_of(rows), smoothing)
        return total + ops.sum(ops.where(wanted != PAD, losses, 0.0)), None

    chunked = ops.reshape(states, (chunks, -1, width)), ops.reshape(labels, (chunks, -1))
    total, _ = jax.lax.scan(jax.checkpoint(add_chunk), ops.zeros((), "float32"), chunked)
    return total / ops.sum(ops.cast(labels != PAD, "float32"))


def run(step: Any, state: Any, packed: Sequence[MeasuredBatch], steps: int) -> tuple[float, list[float], list[float]]:
    """Trains for a few warm-up steps and then for `steps` measured steps. The batches of `packed` are repeated.

    Returns:
        The seconds of the first step, which includes compilation, the seconds of each measured step, and the losses of
        all steps.
    """
    batches = [jax.device_put(each.batch) for each in packed]
    ends, losses = [time.perf_counter()], []
    for number in range(WARMUP_STEPS + steps):
        state, loss = step(state, batches[number % len(batches)])
        losses.append(float(loss))  # waits for the end of the step
        ends.append(time.perf_counter())
    seconds = [end - start for start, end in pairwise(ends)]
    return seconds[0], seconds[WARMUP_STEPS:], losses


def summary(
    options: argparse.Namespace, model: TransformerConfig, works: Sequence[Work], seconds: Sequence[float]
) -> dict[str, Any]:
    """Returns the speed for the median duration of a step, and the share of padding.

    With `options.peak_tflops`, the peak speed of the hardware, also returns the speed of the model's operations as a
    share of the peak.
    """
    step = median(seconds)
    flops, tokens = (
        float(np.mean(values)) for values in zip(*((model_flops(model, w), w[1]) for w in works), strict=True)
    )
    rows = options.tokens // options.width // ROWS_MULTIPLE * ROWS_MULTIPLE
    real = float(np.mean([work.source_tokens + work.target_tokens for work in works]))
    result = {
        "target_tokens_per_second": round(tokens / step, 1),
        "model_tflops_per_second": round(flops / step / 1e12, 4),
        "step_seconds": round(step, 4),
        "padding_share": round(1 - real / (2 * rows * options.width), 4),
        "precision": options.precision,
    }
    if options.peak_tflops:
        result["model_flops_utilisation"] = round(flops / step / 1e12 / options.peak_tflops, 4)
    return result


if __name__ == "__main__":
    main()
