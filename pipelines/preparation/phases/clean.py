"""Second phase: reads the training corpora in chunks, filters each pair and computes its fingerprints."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import count, islice

import numpy as np
from numpy.typing import NDArray

from keras_nmt.pipelines.cleaning.duplicates import fingerprints
from keras_nmt.pipelines.cleaning.filters import CleaningOptions, CleaningReport, TextPair
from keras_nmt.pipelines.cleaning.word_counts import count_words
from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.preparation.chunk_files import (
    read_object,
    write_array,
    write_json,
    write_object,
    write_pairs,
)
from keras_nmt.pipelines.preparation.dropped_pairs import write_dropped
from keras_nmt.pipelines.preparation.job import CHUNK_BYTES, CHUNK_PAIRS, ChunkedCorpus, CleanedChunk, Job, RawChunk
from keras_nmt.pipelines.preparation.phases.hold_out import held_out_digests
from keras_nmt.pipelines.preparation.recipes import Clean, Recipe
from keras_nmt.pipelines.preparation.state import Preparation
from keras_nmt.pipelines.sources.corpora import RawPair

MAX_WORDS_SHOWN = 100  # last bin of the word histograms
MAX_RATIO_SHOWN = 40  # last bin of the ratio histogram, in tenths, so a ratio of 4.0
_CHUNKS_PER_WAVE = 16  # number of chunks that are cleaned before the limit is checked again
_MIN_CHUNK_PAIRS = 1024


def clean(preparation: Preparation) -> None:
    """Cleans the training corpora. If the options have a limit, stops as soon as that many distinct pairs are found.

    Raises:
        DataError: A corpus cannot be read, or no pair is left.
    """
    raw = _raw_chunks(preparation)
    advance = preparation.counter("clean", None)
    if preparation.options.limit is None:
        chunks = _clean_all(preparation, raw, advance)
    else:
        chunks = _clean_up_to(preparation, preparation.options.limit, raw, advance)
    for number in range(chunks):
        cleaned = read_cleaned(preparation.job, number)
        preparation.reports[cleaned.corpus].add(cleaned.report)
        preparation.histograms.update(cleaned.histograms)
        preparation.chunks.append(replace(cleaned, report=CleaningReport(), histograms=Counter()))
    preparation.check_some_left(preparation.pairs)


def _raw_chunks(preparation: Preparation) -> Iterator[RawChunk]:
    limit = preparation.options.limit
    size = CHUNK_PAIRS if limit is None else min(CHUNK_PAIRS, max(_MIN_CHUNK_PAIRS, limit))
    numbers = count()
    for index, one in enumerate(preparation.opened.train):
        pairs = iter(one.corpus)
        while block := _block(pairs, size):
            yield _raw_chunk(next(numbers), index, block)


def _block(pairs: Iterator[RawPair], size: int) -> list[RawPair]:
    """Takes up to `size` pairs, and no more after `CHUNK_BYTES` of text, since the pairs may be long."""
    block, length = [], 0
    for pair in islice(pairs, size):
        block.append(pair)
        length += len(pair.source) + len(pair.target)
        if length >= CHUNK_BYTES:
            break
    return block


def _raw_chunk(number: int, corpus: int, pairs: list[RawPair]) -> RawChunk:
    sources, targets, weights, faults = zip(*pairs, strict=True)
    malformed = {i: fault.in_short for i, fault in enumerate(faults) if fault}
    weighted = any(weight != 1 for weight in weights)
    return RawChunk(number, corpus, sources, targets, weights if weighted else None, malformed)


def _clean_all(preparation: Preparation, raw: Iterable[RawChunk], advance: Callable[[int], None]) -> int:
    """Cleans the chunks that are not cleaned yet, and returns the number of all chunks in `raw`."""
    job, workers = preparation.job, preparation.workers
    numbers = count()
    undone = (chunk for chunk, _ in zip(raw, numbers, strict=False) if not is_cleaned(job, chunk.number))
    if workers.small_items:
        workers.run(partial(clean_written_chunk, job), (write_raw(job, chunk) for chunk in undone), advance)
    else:
        workers.run(partial(clean_chunk, job), undone, advance)
    return next(numbers)


def _clean_up_to(preparation: Preparation, limit: int, raw: Iterator[RawChunk], advance: Callable[[int], None]) -> int:
    """Cleans chunks, at most 16 at a time, until `limit` distinct pairs are found or the text ends.

    Returns how many chunks, counted from the first chunk, are enough to contain these pairs. A few more chunks may have
    been cleaned.
    """
    seen = np.zeros(0, np.uint64)
    needed = 0
    while wave := list(islice(raw, min(_CHUNKS_PER_WAVE, -(-(limit - len(seen)) // CHUNK_PAIRS)))):
        _clean_all(preparation, wave, advance)
        for chunk in wave:
            needed = chunk.number + 1
            seen = np.union1d(seen, _read_digests(preparation.job, chunk.number))
            if len(seen) >= limit:
                return needed
    return needed


def clean_chunk(job: Job, raw: RawChunk) -> int:
    """Cleans a chunk, writes its cleaned pairs and their fingerprints, and returns the number of raw pairs read."""
    done = job.file(raw.number, "clean.json")
    if not done.exists():
        report = CleaningReport(everything=[])
        pairs, weights = _clean_pairs(job, raw, report)
        prints = fingerprints(pairs)
        write_pairs(job.file(raw.number, "text.zst"), pairs)
        write_array(job.file(raw.number, "keys.npy"), prints.keys)
        write_array(job.file(raw.number, "sketches.npy"), prints.sketches)
        weighted = bool((weights != 1).any())
        if weighted:
            write_array(job.file(raw.number, "weights.npy"), weights)
        write_dropped(job, raw.number, "clean", report)
        cleaned = {"corpus": raw.corpus, "pairs": len(pairs), "weighted": weighted, "report": report.as_dict()}
        characters = sum(len(target) for _, target in pairs)
        histograms = {} if job.recipe.keeps_text else _histograms(pairs)
        write_json(done, cleaned | {"characters": characters, "histograms": histograms})
    return len(raw.sources)


def write_raw(job: Job, raw: RawChunk) -> int:
    """Writes a raw chunk to a file, for workers that need small items, and returns the number of the chunk."""
    write_object(job.file(raw.number, "raw"), raw)
    return raw.number


def clean_written_chunk(job: Job, number: int) -> int:
    """Cleans a chunk that `write_raw` wrote, and removes the raw file; returns 0, since the progress is not shown."""
    path = job.file(number, "raw")
    if not is_cleaned(job, number):
        clean_chunk(job, read_object(path))
    path.unlink(missing_ok=True)
    return 0


def read_cleaned(job: Job, number: int) -> CleanedChunk:
    """Returns the statistics of a cleaned chunk."""
    contents = json.loads(job.file(number, "clean.json").read_text(encoding="utf-8"))
    bins = ((name, i, pairs) for name, histogram in contents["histograms"].items() for i, pairs in enumerate(histogram))
    histograms = Counter({(name, i): pairs for name, i, pairs in bins})
    return CleanedChunk(**contents | {"report": CleaningReport(**contents["report"]), "histograms": histograms})


def is_cleaned(job: Job, number: int) -> bool:
    """Returns True if a chunk is cleaned."""
    return job.file(number, "clean.json").exists()


def _read_digests(job: Job, number: int) -> NDArray[np.uint64]:
    """Returns the digests of the cleaned pairs of a chunk."""
    return np.array(np.load(job.file(number, "keys.npy"), mmap_mode="r")[0])


def _clean_pairs(job: Job, raw: RawChunk, report: CleaningReport) -> tuple[list[TextPair], NDArray[np.float32]]:
    """Returns the cleaned pairs of a chunk and their loss weights; counts kept and dropped pairs in `report`."""
    corpus = job.corpora[raw.corpus]
    languages = (corpus.pair.source, corpus.pair.target)
    cleaner = _cleaner(job.recipe, job.cleaning, languages)
    found: list[TextPair | None] = []
    for index, (source, target) in enumerate(zip(raw.sources, raw.targets, strict=True)):
        if index in raw.malformed:
            report.drop("malformed", source, raw.malformed[index])
            found.append(None)
        else:
            found.append(cleaner(source, target, report))
    weights = _loss_weights(corpus, raw)[[pair is not None for pair in found]]
    pairs = job.recipe.remaining(found)
    if "held_out" in job.cleaning.skip:
        return pairs, weights
    is_held_out = np.isin(held_out_digests(pairs, languages), np.load(job.held_out))  # [2, N]
    if job.recipe.keeps_text:
        is_held_out[0] = False  # there are no sources
    is_free = np.logical_not(is_held_out.any(axis=0))
    for i in np.flatnonzero(~is_free):
        report.drop_kept("held_out", *pairs[i])
    free = [pair if keep else None for pair, keep in zip(pairs, is_free, strict=True)]
    return job.recipe.remaining(free), weights[is_free]


def _loss_weights(corpus: ChunkedCorpus, raw: RawChunk) -> NDArray[np.float32]:
    """Returns the loss weight of each raw pair: the weight of the pair times the weight of the corpus."""
    weights = np.full(len(raw.sources), corpus.loss_weight, np.float32)
    if raw.weights is not None:
        weights *= np.array(raw.weights, np.float32)
    if not np.isfinite(weights).all():
        raise DataError(f"a loss weight of corpus {raw.corpus + 1} is too large; expected numbers about 1")
    return weights


@cache
def _cleaner(recipe: Recipe, options: CleaningOptions, languages: tuple[str, str]) -> Clean:
    return recipe.cleaner(options, languages)


def _histograms(pairs: Sequence[TextPair]) -> dict[str, list[int]]:
    words = np.array([(count_words(source), count_words(target)) for source, target in pairs], int).reshape(-1, 2)
    tenths = (10 * words[:, 1] / np.maximum(1, words[:, 0])).astype(int)
    counted = {
        "source_words": (words[:, 0], MAX_WORDS_SHOWN),
        "target_words": (words[:, 1], MAX_WORDS_SHOWN),
        "ratio_tenths": (tenths, MAX_RATIO_SHOWN),
    }
    return {
        name: np.bincount(np.minimum(values, last), minlength=last + 1).tolist()
        for name, (values, last) in counted.items()
    }
