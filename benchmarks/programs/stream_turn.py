"""Measures one stream of training batches once, for benchmarks/corpora.py.

The batches are read as fast as possible, and no model is trained.

Usage: python -m benchmarks.programs.stream_turn PROGRAM DATA TOKENS SECONDS

PROGRAM is `nmt` or `per-example`, the usual `tf.data` pipeline of OpenNMT-tf and tensor2tensor, which parses, filters,
shuffles and buckets examples one by one.
"""

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf

from benchmarks.measuring import BOS, PAD
from keras_nmt.pipelines.shards.manifest import Manifest
from keras_nmt.pipelines.streaming.options import StreamOptions
from keras_nmt.pipelines.streaming.stream import training_stream

LONGEST = 256
SHUFFLED_EXAMPLES = 20_000  # filled quickly; OpenNMT-tf's usual 500,000 would take minutes
SEED = 1
WARMUP_BATCHES = 5


def main() -> None:
    """Measures the stream of the given program and prints a line of JSON."""
    program, data, tokens, seconds = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    open_stream = {"nmt": stream_of_windows, "per-example": stream_of_examples}[program]
    figures = consume(partial(open_stream, data, tokens), seconds)
    if program == "nmt":
        figures |= resumed(data, tokens, figures["tokens_per_batch"])
    figures["peak_memory_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(json.dumps(figures))


def consume(open_stream: Callable[[], tf.data.Dataset], seconds: float) -> dict[str, float]:
    """Reads batches for `seconds` after WARMUP_BATCHES batches.

    Returns:
        Tokens of both sides, without padding, per second, per CPU-second and per batch; the share of padding; and the
        time to the first batch.
    """
    first, batches = first_batch(open_stream, "first_batch")
    for _ in range(WARMUP_BATCHES):
        next(batches)
    wall, cpu = time.perf_counter(), time.process_time()
    real, cells, taken = 0, 0, 0
    while time.perf_counter() - wall < seconds:
        for ids in sides(next(batches)):
            real, cells = real + int((ids != PAD).sum()), cells + ids.size
        taken += 1
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "tokens_per_second": real / wall,
        "tokens_per_cpu_second": real / cpu,
        "padding_share": 1 - real / cells,
        "tokens_per_batch": real / taken,
        **first,
    }


def first_batch(open_stream: Callable[[], tf.data.Dataset], name: str) -> tuple[dict[str, float], Iterator[Any]]:
    """Opens a stream and reads its first batch.

    Returns:
        A dictionary with the wall time, "{name}_seconds", and the CPU time, "{name}_cpu_seconds", until the first batch
        was read, and an iterator over the later batches.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    batches = iter(open_stream())
    next(batches)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {f"{name}_seconds": wall, f"{name}_cpu_seconds": cpu}, batches


def sides(batch: Any) -> tuple[Any, Any]:
    """Returns the source ids and the labels of a batch. The benchmark counts their tokens and padding."""
    inputs, labels = batch
    return inputs["source"].numpy(), labels.numpy()


def resumed(data: Path, tokens: int, tokens_per_batch: float) -> dict[str, float]:
    """Returns the time to the first batch of this program's stream when it resumes late in the second epoch.

    The number of batches in an epoch is estimated from `tokens_per_batch`, the mean number of real tokens.
    """
    shards = Manifest.load(data).split("train").shards
    epoch = sum(shard.source_tokens + shard.target_tokens for shard in shards) / tokens_per_batch
    return first_batch(partial(stream_of_windows, data, tokens, start_batch=int(1.9 * epoch)), "resume")[0]


def stream_of_windows(data: Path, tokens: int, start_batch: int = 0) -> tf.data.Dataset:
    """Returns this program's training stream from batch `start_batch` on."""
    return training_stream(data, StreamOptions(tokens, max_length=LONGEST, seed=SEED), start_batch=start_batch)


def stream_of_examples(data: Path, tokens: int) -> tf.data.Dataset:
    """Returns the usual `tf.data` pipeline over the same shards.

    The pipeline parses, filters, shuffles and buckets examples one by one. Its steps run in parallel where `tf.data`
    allows it.
    """
    files = [str(data / shard.file) for shard in Manifest.load(data).split("train").shards]
    ends = bucket_ends()
    return (
        tf.data.Dataset.from_tensor_slices(files)
        .shuffle(len(files), seed=SEED)
        .repeat()
        .interleave(tf.data.TFRecordDataset, cycle_length=4, num_parallel_calls=tf.data.AUTOTUNE)
        .map(parse, num_parallel_calls=tf.data.AUTOTUNE)
        .filter(lambda source, target: longer_side(source, target) <= LONGEST)
        .shuffle(SHUFFLED_EXAMPLES, seed=SEED)
        .bucket_by_sequence_length(
            longer_side, [end + 1 for end in ends], [max(1, tokens // end) for end in [*ends, LONGEST]]
        )
        .map(with_decoder_input, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )


def bucket_ends() -> list[int]:
    """Returns the largest length of each bucket, as in tensor2tensor.

    The lengths start with 8 and end with LONGEST. Each length is a tenth larger than the length before, but at least 1
    larger.
    """
    ends = [8]
    while ends[-1] < LONGEST:
        ends.append(max(ends[-1] + 1, int(ends[-1] * 1.1)))
    return [*(end for end in ends if end < LONGEST), LONGEST]


def parse(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the source ids and the target ids of one serialised record, each int32 [length]."""
    kind = tf.io.VarLenFeature(tf.int64)
    example = tf.io.parse_single_example(record, {"source": kind, "target": kind})
    return tf.cast(example["source"].values, tf.int32), tf.cast(example["target"].values, tf.int32)


def longer_side(source: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Returns the number of ids on the longer side of a pair."""
    return tf.maximum(tf.size(source), tf.size(target))


def with_decoder_input(source: tf.Tensor, labels: tf.Tensor) -> Any:
    """Returns the batch in the form of this program's streams: ({"source": …, "target": …}, labels)."""
    read = tf.pad(labels[:, :-1], [[0, 0], [1, 0]], constant_values=BOS)
    return {"source": source, "target": tf.where(labels == PAD, PAD, read)}, labels


if __name__ == "__main__":
    main()
