"""Fifth phase: encodes the kept pairs of each chunk, and distributes the records to the shards."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import sentencepiece
from numpy.typing import NDArray

from keras_nmt.pipelines.atomic_files import write_atomically
from keras_nmt.pipelines.cleaning.filters import CleaningReport, TextPair
from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.preparation.chunk_files import read_pairs, write_array, write_json
from keras_nmt.pipelines.preparation.dropped_pairs import write_dropped
from keras_nmt.pipelines.preparation.job import BEYOND_LIMIT, DUPLICATE, KEPT, NEAR_DUPLICATE, ChunkedCorpus, Job
from keras_nmt.pipelines.preparation.phases.clean import read_cleaned
from keras_nmt.pipelines.preparation.state import Preparation
from keras_nmt.pipelines.shards.lanes import deal
from keras_nmt.pipelines.shards.records import IdPair, record
from keras_nmt.pipelines.shards.splits import TextCounts
from keras_nmt.pipelines.vocabulary.encoding import encode_with_eos
from keras_nmt.pipelines.vocabulary.words import processor_of

ROW = np.dtype([("source", "<i4"), ("target", "<i4"), ("corpus", "u1"), ("weight", "<f4")])  # lengths, corpus, weight
_REASONS = {DUPLICATE: "duplicate", NEAR_DUPLICATE: "near_duplicate"}


class EncodedPairs(NamedTuple):
    """The examples of a list of pairs. Examples that are empty or too long are left out.

    Attributes:
        ids: The token ids of each example.
        indices: The index in the list of the pair that each example comes from.
    """

    ids: list[IdPair]
    indices: NDArray[np.int64]


def encode(preparation: Preparation) -> None:
    """Encodes all chunks.

    Raises:
        DataError: Every pair is too long.
    """
    job = preparation.job
    encode_one = partial(encode_chunk, job, len(preparation.shard_names))
    preparation.workers.run(encode_one, preparation.starts, preparation.counter("encode", preparation.pairs))
    for number, chunk in enumerate(preparation.chunks):
        encoded = json.loads(job.file(number, "encoded.json").read_text(encoding="utf-8"))
        preparation.reports[chunk.corpus].add(CleaningReport(**encoded["report"]))
        preparation.examples[chunk.corpus] += encoded["examples"]
        if encoded["text"]:
            preparation.text_counts = (preparation.text_counts or TextCounts()) + TextCounts(**encoded["text"])
    if not preparation.total_report().kept:
        raise DataError(f"every pair has more than {job.max_tokens} tokens; raise --max-tokens")


def encode_chunk(job: Job, shards: int, chunk: tuple[int, int]) -> int:
    """Writes the records of a chunk, sorted by shard.

    `lanes.deal` spreads the pairs of the chunk over all shards, so no shard is a contiguous part of one corpus. All
    shards get equal numbers of pairs from the chunk, or numbers that differ by one.

    Args:
        job: The settings of the preparation.
        shards: The number of shards.
        chunk: The chunk's number, and the index of its first pair among the cleaned pairs of all chunks.

    Returns:
        The number of cleaned pairs read.
    """
    number, start = chunk
    done = job.file(number, "encoded.json")
    cleaned = read_cleaned(job, number)
    if not done.exists():
        report = CleaningReport(everything=[])
        pairs = read_pairs(job.file(number, "text.zst"))
        fates = job.fates(start, len(pairs))
        for fate, reason in _REASONS.items():
            for i in np.flatnonzero(fates == fate):
                report.drop_kept(reason, *pairs[i])
        report.kept -= int((fates == BEYOND_LIMIT).sum())
        kept = np.flatnonzero(fates == KEPT)
        kept_pairs = job.recipe.remaining(
            pair if fate == KEPT else None for pair, fate in zip(pairs, fates, strict=True)
        )
        encoded = _encode_pairs(job, job.corpora[cleaned.corpus], kept_pairs, report)
        weights = np.load(job.file(number, "weights.npy")) if cleaned.weighted else np.ones(len(pairs), np.float32)
        rows = _rows_of(encoded.ids, cleaned.corpus, weights[kept[encoded.indices]])
        _write_records(job, number, shards, encoded.ids, rows)
        write_dropped(job, number, "encoded", report)
        counts = job.recipe.text_counts(kept_pairs)
        text = asdict(counts) if counts else None
        # `kept` of this report is 0 or negative, since it has only the changes.
        write_json(done, {"report": report.as_dict(), "examples": len(rows), "text": text})
    return cleaned.pairs


def _encode_pairs(job: Job, corpus: ChunkedCorpus, pairs: Sequence[TextPair], report: CleaningReport) -> EncodedPairs:
    """Encodes the pairs. Drops pairs that are empty after normalisation or too long, and counts them in `report`.

    Running text is cut into blocks, which are neither.
    """
    processor = _processor(job.vocabulary)
    with_tags = job.languages.tagger(corpus.pair.target, corpus.domain)
    tagged = [(with_tags(source), target) for source, target in pairs]
    fitting, cut = job.recipe.fitting(processor, tagged, job.max_tokens)
    report.cut += cut
    tags = " ".join(job.languages.tags_of(corpus.pair.target, corpus.domain))
    empty_source = len(encode_with_eos(processor, [tags])[0])
    fit = []
    for example in job.recipe.examples(processor, fitting, job.max_tokens):
        source, target = example.ids
        if not job.recipe.keeps_text and (len(source) <= empty_source or len(target) == 1):
            report.drop_kept("empty", *pairs[example.pair])
        elif max(len(source), len(target)) > job.max_tokens:
            report.drop_kept("too_many_tokens", *pairs[example.pair])
        else:
            fit.append(example)
    return EncodedPairs([example.ids for example in fit], np.array([example.pair for example in fit], np.int64))


@cache
def _processor(model: Path) -> sentencepiece.SentencePieceProcessor:
    # Loaded from bytes: SentencePiece opens only files with names in UTF-8.
    return processor_of(model.read_bytes())


def _rows_of(pairs: Sequence[IdPair], corpus: int, weights: NDArray[np.float32]) -> NDArray[Any]:
    """Returns a `ROW` for each pair: its source length, target length, corpus and loss weight."""
    rows = np.zeros(len(pairs), ROW)
    rows["source"] = [len(source) for source, _ in pairs]
    rows["target"] = [len(target) for _, target in pairs]
    rows["corpus"], rows["weight"] = corpus, weights
    return rows


def _write_records(job: Job, number: int, shards: int, pairs: Sequence[IdPair], rows: NDArray[Any]) -> None:
    """Writes the records and the rows of a chunk, sorted by shard.

    Also writes, for each shard, the index of its first row and the offset of the first byte of its records.
    """
    lengths = np.stack([rows["source"], rows["target"]], axis=1)
    shard_of = deal(lengths, shards, longest=job.max_tokens, seed=job.seed, chunk=number)
    order = np.argsort(shard_of, kind="stable")
    records = [record(*pairs[i]) for i in order]
    write_atomically(job.file(number, "records"), b"".join(records))
    write_array(job.file(number, "rows.npy"), rows[order])
    row_begins = np.searchsorted(shard_of[order], np.arange(shards + 1))
    ends = np.cumsum([0, *map(len, records)])
    write_array(job.file(number, "begins.npy"), np.stack([row_begins, ends[row_begins]]))
