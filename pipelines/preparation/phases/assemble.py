"""Last phase: writes the shards. A shard is the concatenation of its records from all chunks, in chunk order."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_nmt.pipelines.preparation.chunk_files import write_array, write_json
from keras_nmt.pipelines.preparation.job import Job
from keras_nmt.pipelines.preparation.state import Preparation
from keras_nmt.pipelines.shards.records import length_histogram
from keras_nmt.pipelines.shards.splits import MixedCorpus, Shard, Split

SHARDS_PER_GROUP = 16  # shards that a worker writes at the same time, each to an open file


class SideFiles(NamedTuple):
    """Says which optional files are written beside each shard.

    Attributes:
        corpora: True to write a file with the corpus of each pair.
        weights: True to write a file with the loss weight of each pair.
    """

    corpora: bool
    weights: bool


def assemble(preparation: Preparation) -> Split:
    """Writes the training shards, and returns the training split for the manifest."""
    job, names = preparation.job, preparation.shard_names
    mixed, weighted = len(preparation.opened.train) > 1, any(chunk.weighted for chunk in preparation.chunks)
    groups = range(-(-len(names) // SHARDS_PER_GROUP))
    write = partial(write_group, job, len(preparation.chunks), names, SideFiles(mixed, weighted))
    preparation.workers.run(write, groups, preparation.counter("shards", preparation.kept))
    shards = tuple(shard for group in groups for shard in _read_group(job, group))
    return Split(
        shards,
        length_histogram(job.out, shards),
        preparation.total_report().as_dict(),
        tuple(one.corpus.origin for one in preparation.opened.train),
        corpora=_mixed_corpora(preparation) if mixed else (),
        has_loss_weights=weighted,
        text_counts=preparation.text_counts,
    )


def _mixed_corpora(preparation: Preparation) -> tuple[MixedCorpus, ...]:
    examples = zip(preparation.opened.train, preparation.examples, strict=True)
    return tuple(MixedCorpus(one.spec.text, count, one.spec.weight) for one, count in examples)


def write_group(job: Job, chunks: int, names: Sequence[str], side_files: SideFiles, group: int) -> int:
    """Writes a group of shards from the records of all chunks.

    Args:
        job: The settings of the preparation.
        chunks: The number of chunks.
        names: The names of all shards.
        side_files: The optional files to write beside each shard.
        group: The number of the group; a group has `SHARDS_PER_GROUP` shards.

    Returns:
        The number of pairs in the group.
    """
    done = job.work / f"shards-{group:05d}.json"
    if not done.exists():
        first = group * SHARDS_PER_GROUP
        own_names = names[first : first + SHARDS_PER_GROUP]
        rows: list[list[Any]] = [[] for _ in own_names]
        with ExitStack() as stack:
            files = [stack.enter_context((job.out / name).open("wb")) for name in own_names]
            hashes = [hashlib.sha256() for _ in own_names]
            for chunk in range(chunks):
                for i, (shard_rows, data) in enumerate(_records_of(job, chunk, first, len(own_names))):
                    rows[i].append(shard_rows)
                    hashes[i].update(data)
                    files[i].write(data)
        shards = [
            _finished_shard(job, name, np.concatenate(parts), digest.hexdigest(), side_files)
            for name, parts, digest in zip(own_names, rows, hashes, strict=True)
        ]
        write_json(done, [asdict(shard) for shard in shards])
    return sum(shard.examples for shard in _read_group(job, group))


def _read_group(job: Job, group: int) -> list[Shard]:
    """Returns the descriptions of the shards in a group, which `write_group` has written."""
    return [Shard(**shard) for shard in json.loads((job.work / f"shards-{group:05d}.json").read_text("utf-8"))]


def _records_of(job: Job, chunk: int, first: int, count: int) -> Iterator[tuple[NDArray[Any], bytes]]:
    """Yields the part of a chunk that belongs to each of `count` shards, beginning with shard `first`.

    The part consists of the `encode.ROW`s and of the bytes of the records.
    """
    begins = np.load(job.file(chunk, "begins.npy"), mmap_mode="r")[:, first : first + count + 1]
    rows = np.load(job.file(chunk, "rows.npy"), mmap_mode="r")
    with job.file(chunk, "records").open("rb") as file:
        for (row, byte), (next_row, next_byte) in pairwise(begins.T.tolist()):
            file.seek(byte)
            yield np.array(rows[row:next_row]), file.read(next_byte - byte)


def _finished_shard(job: Job, name: str, rows: NDArray[Any], sha256: str, side_files: SideFiles) -> Shard:
    """Writes the files beside a shard, and returns the description of the shard."""
    lengths = np.stack([rows["source"], rows["target"]], axis=1)
    shard = Shard.of(name, lengths, size=(job.out / name).stat().st_size, sha256=sha256)
    write_array(job.out / shard.lengths_file, lengths)
    digest = hashlib.sha256()
    for is_wanted, file, column in (
        (side_files.corpora, shard.corpus_file, "corpus"),
        (side_files.weights, shard.weights_file, "weight"),
    ):
        if is_wanted:
            values = np.ascontiguousarray(rows[column])
            write_array(job.out / file, values)
            digest.update(values.tobytes())
    if any(side_files):
        shard = replace(shard, beside_sha256=digest.hexdigest())
    return shard
