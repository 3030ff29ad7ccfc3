"""Puts shards together of what the chunks of a preparation have for them, in the order of the chunks."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from itertools import pairwise
from typing import Any

import numpy as np

from pipelines.preparation.chunk_files import save, write_json
from pipelines.preparation.chunks import Job
from pipelines.shards.manifest import Shard

SHARDS_A_JOB = 16  # whose files are open at once


def write_shards(job: Job, chunks: int, names: Sequence[str], beside: tuple[bool, bool], group: int) -> int:
    """Puts together a group of shards of what all chunks have for them; gives the number of their pairs.

    Args:
        job: The preparation's.
        chunks: How many there are.
        names: Of all shards.
        beside: Whether the pairs' corpora, and their loss weights, are written beside the lengths.
        group: Of `SHARDS_A_JOB` shards.
    """
    done = job.work / f"shards-{group:05d}.json"
    if not done.exists():
        first = group * SHARDS_A_JOB
        mine = names[first : first + SHARDS_A_JOB]
        rows: list[list[Any]] = [[] for _ in mine]
        with ExitStack() as stack:
            files = [stack.enter_context((job.out / name).open("wb")) for name in mine]
            hashes = [hashlib.sha256() for _ in mine]
            for chunk in range(chunks):
                for i, (its_rows, data) in enumerate(_dealt(job, chunk, first, len(mine))):
                    rows[i].append(its_rows)
                    hashes[i].update(data)
                    files[i].write(data)
        shards = [
            _finished_shard(job, name, np.concatenate(of_shard), digest.hexdigest(), beside)
            for name, of_shard, digest in zip(mine, rows, hashes, strict=True)
        ]
        write_json(done, [asdict(shard) for shard in shards])
    return sum(shard.examples for shard in read_shards(job, group))


def read_shards(job: Job, group: int) -> list[Shard]:
    """Gives the shards that `write_shards` wrote."""
    return [Shard(**shard) for shard in json.loads((job.work / f"shards-{group:05d}.json").read_text("utf-8"))]


def _dealt(job: Job, chunk: int, first: int, count: int) -> Iterator[tuple[Any, bytes]]:
    """Yields the rows and the records that a chunk has for each of some shards."""
    begins = np.load(job.file(chunk, "begins.npy"), mmap_mode="r")[:, first : first + count + 1]
    rows = np.load(job.file(chunk, "rows.npy"), mmap_mode="r")
    with job.file(chunk, "records").open("rb") as file:
        for (row, byte), (next_row, next_byte) in pairwise(begins.T.tolist()):
            file.seek(byte)
            yield np.array(rows[row:next_row]), file.read(next_byte - byte)


def _finished_shard(job: Job, name: str, rows: Any, sha256: str, beside: tuple[bool, bool]) -> Shard:
    lengths = np.stack([rows["source"], rows["target"]], axis=1)
    shard = Shard.of(name, lengths, size=(job.out / name).stat().st_size, sha256=sha256)
    save(job.out / shard.lengths_file, lengths)
    with_corpora, with_weights = beside
    digest = hashlib.sha256()
    for is_there, file, column in (
        (with_corpora, shard.corpus_file, "corpus"),
        (with_weights, shard.weights_file, "weight"),
    ):
        if is_there:
            values = np.ascontiguousarray(rows[column])
            save(job.out / file, values)
            digest.update(values.tobytes())
    if any(beside):
        shard = replace(shard, beside_sha256=digest.hexdigest())
    return shard
