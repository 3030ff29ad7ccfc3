"""From text to a prepared data directory: read, clean, drop duplicates, learn the vocabulary, encode, write shards.

Each step runs over chunks of the corpora on any number of workers (`chunks`, `workers`), and nothing in memory grows
with the corpus but one byte a pair. Everything is written beside OUT, in OUT.partial, and renamed to OUT at the end: a
prepared directory is whole or not there. What was interrupted goes on with the chunks that were not done.
"""

import gzip
import hashlib
import importlib.metadata
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import accumulate, chain, count, islice
from pathlib import Path

import numpy as np
import sentencepiece
from numpy.typing import NDArray

from pipelines.cleaning.duplicates import BANDS
from pipelines.cleaning.filters import CleaningReport, decode, repaired
from pipelines.errors import DataError
from pipelines.preparation.chunks import (
    BEYOND_LIMIT,
    CHUNK_PAIRS,
    DUPLICATE,
    KEPT,
    NEAR_DUPLICATE,
    ChunkedCorpus,
    CleanedChunk,
    Job,
    RawChunk,
    clean_chunk,
    clean_written_chunk,
    encode_chunk,
    find_equal,
    held_out_digests,
    is_cleaned,
    read_cleaned,
    read_digests,
    read_encoded,
    read_equal,
    read_sample,
    sample_chunk,
    write_raw,
)
from pipelines.preparation.dev_set import DevCorpus, DevSet
from pipelines.preparation.options import (
    MOST_SHARDS,
    OpenedCorpora,
    PreparationOptions,
    Progress,
    fingerprint,
    open_corpora,
)
from pipelines.preparation.phases.assemble import SHARDS_A_JOB, read_shards, write_shards
from pipelines.preparation.report import write_report
from pipelines.preparation.unfinished import WORK, check_out, unfinished
from pipelines.preparation.workers import Workers, local_workers
from pipelines.shards.lanes import LANES
from pipelines.shards.manifest import LEAST_WEIGHT, MANIFEST, NOTHING_COUNTS, VOCABULARY, Manifest, MixedCorpus, Split
from pipelines.shards.records import length_histogram
from pipelines.sources.corpora import RawPair
from pipelines.vocabulary.normalization import DEFAULT
from pipelines.vocabulary.size import train_possible_model
from pipelines.vocabulary.training import train_model

__all__ = ["PreparationOptions", "default_shards", "prepare"]

SAMPLE_PAIRS = 250_000  # from which a vocabulary is learnt; more change it little
SAMPLE_CHARACTERS = 200_000_000  # of them, of very long lines; the trainer takes about 20 bytes for each
_PAIRS_A_SHARD = 37_000  # some megabytes: soon read, and a window of a training mixes 16, which are a little unequal
_PACKAGES = ("tensorflow", "tensorflow-text", "sentencepiece", "tensorflow-datasets", "numpy", "ftfy", "rensa")
_CHUNKS_A_WAVE = 16  # of those that a limit needs; read at once
_FEWEST_CHUNK_PAIRS = 1024


def _silent(phase: str, done: int, total: int | None) -> None:
    """Shows no progress."""


def prepare(options: PreparationOptions, *, workers: Workers | None = None, progress: Progress = _silent) -> Manifest:
    """Writes `options.out` and gives its manifest; the same options and text give the same bytes.

    Args:
        options: What to prepare.
        workers: Run the steps; if None, a process for each core.
        progress: Called now and then with the phase (`download`, `clean`, `duplicates`, `vocabulary`, `encode` or
            `shards`), the pairs (of a download bytes, of the search for duplicates passes) done in it and their total
            where it is known.

    Raises:
        DataError: If `out` is there already and `force` is not set, a corpus or the vocabulary cannot be used, cleaning
            leaves nothing, or another process is writing there.
    """
    if workers is None:
        with local_workers(None) as of_this_machine:
            return prepare(options, workers=of_this_machine, progress=progress)
    out = options.out.resolve()
    check_out(out, options.force)
    opened = open_corpora(options, progress)
    with unfinished(out, fingerprint(options, opened), force=options.force) as partial_out:
        if not (partial_out / MANIFEST).is_file():
            _Preparation(options, opened, partial_out, workers, progress).run()
        shutil.rmtree(partial_out / WORK, ignore_errors=True)
    return Manifest.load(out)


def default_shards(pairs: int) -> int:
    """Gives the number of shards for so many pairs: 8, or a multiple of 16 up to 8192, of 37,000 pairs each or less.

    So shards make lanes, of which machines have their own, and windows of two of each lane are full. Fewer than 8 pairs
    are a shard each.
    """
    if pairs <= LANES * _PAIRS_A_SHARD:
        return min(LANES, pairs)
    return min(-(-pairs // (2 * LANES * _PAIRS_A_SHARD)) * 2 * LANES, MOST_SHARDS)


class _Preparation:
    """The steps, in their order; each knows what the ones before have left in the working folder."""

    def __init__(
        self,
        options: PreparationOptions,
        opened: OpenedCorpora,
        out: Path,
        workers: Workers,
        progress: Progress,
    ) -> None:
        self.options, self.opened, self.languages = options, opened, opened.languages
        self.workers, self.progress, self.out = workers, progress, out
        self.chunks: list[CleanedChunk] = []
        self.reports = [CleaningReport() for _ in opened.train]
        self.histograms: Counter[tuple[str, int]] = Counter()
        self.job = Job(
            work=out / WORK,
            out=out,
            corpora=tuple(ChunkedCorpus(c.pair, c.spec.tag, c.spec.loss_weight) for c in opened.train),
            languages=self.languages,
            cleaning=options.cleaning,
            keep_dropped=options.keep_dropped,
            max_tokens=options.max_tokens,
            seed=options.seed,
        )
        self.job.work.mkdir(exist_ok=True)

    def run(self) -> None:
        """Prepares the data in `out`; the manifest is written last."""
        dev = self._hold_out()
        self._clean()
        self._mark_removed()
        self._learn_vocabulary()
        train = self._write_train()
        names = (f"dev.{self.languages.pairs[0].source}", f"dev.{self.languages.pairs[0].target}")
        splits = {"train": train, "dev": dev.write(self.out, self.job.vocabulary, names, self.options.max_tokens)}
        corpora = list(zip((one.spec.text for one in self.opened.train), self.reports, strict=True))
        write_report(self.out, corpora, splits, self.histograms)
        self._gather("dropped")
        self._gather("held_out")
        self._write_manifest(splits)

    @property
    def pairs(self) -> int:
        """How many there are after the filters for single pairs."""
        return sum(chunk.pairs for chunk in self.chunks)

    def _hold_out(self) -> DevSet:
        """Reads the dev set, and writes the digests of the text that no training pair may hold."""
        found = [np.zeros(0, np.uint64)]
        of_dev = []
        for number, one in enumerate((*self.opened.dev, *self.opened.held_out)):
            raw = list(one.corpus)
            whole = (pair for pair in raw if not pair.malformed)
            pairs = [text for pair in whole if (text := decode(pair.source, pair.target))]
            mended = [(repaired(source) or source, repaired(target) or target) for source, target in pairs]
            found.append(held_out_digests([*pairs, *mended], (one.pair.source, one.pair.target)).ravel())
            if number < len(self.opened.dev):
                of_dev.append(DevCorpus(one.corpus, raw, self.languages.tagger(one.pair.target, one.spec.tag)))
        np.save(self.job.held_out, np.unique(np.concatenate(found)))
        return DevSet.read(of_dev)

    # Cleaning

    def _clean(self) -> None:
        """Cleans chunk by chunk, up to the limit if there is one."""
        raw = self._raw_chunks()
        advance = self._advance("clean", None)
        limit = self.options.limit
        count = self._clean_all(raw, advance) if limit is None else self._clean_up_to(limit, raw, advance)
        for number in range(count):
            cleaned = read_cleaned(self.job, number)
            self.reports[cleaned.corpus].add(cleaned.report)
            self.histograms.update(cleaned.histograms)
            self.chunks.append(replace(cleaned, report=CleaningReport(), histograms=Counter()))
        self._check_some_left(self.pairs)

    def _clean_all(self, raw: Iterable[RawChunk], advance: Callable[[int], None]) -> int:
        """Cleans the chunks that were not, and gives the number of all."""
        numbers = count()
        undone = (chunk for chunk, _ in zip(raw, numbers, strict=False) if not is_cleaned(self.job, chunk.number))
        if self.workers.small_items:
            written = (write_raw(self.job, chunk) for chunk in undone)
            self.workers.run(partial(clean_written_chunk, self.job), written, advance)
        else:
            self.workers.run(partial(clean_chunk, self.job), undone, advance)
        return next(numbers)

    def _clean_up_to(self, limit: int, raw: Iterator[RawChunk], advance: Callable[[int], None]) -> int:
        """Cleans as many chunks as have so many pairs that are new, in waves, and gives their number."""
        seen = np.zeros(0, np.uint64)
        needed = 0
        while wave := list(islice(raw, min(_CHUNKS_A_WAVE, -(-(limit - len(seen)) // CHUNK_PAIRS)))):
            self._clean_all(wave, advance)
            for chunk in wave:
                needed = chunk.number + 1
                seen = np.union1d(seen, read_digests(self.job, chunk.number))
                if len(seen) >= limit:
                    return needed
        return needed

    def _raw_chunks(self) -> Iterator[RawChunk]:
        size = (
            CHUNK_PAIRS
            if self.options.limit is None
            else min(CHUNK_PAIRS, max(_FEWEST_CHUNK_PAIRS, self.options.limit))
        )
        numbers = count()
        for index, one in enumerate(self.opened.train):
            pairs = iter(one.corpus)
            while block := list(islice(pairs, size)):
                yield _raw_chunk(next(numbers), index, block)

    def _mark_removed(self) -> None:
        """Writes what becomes of each cleaned pair; bands are not searched for pairs that are equal anyway."""
        skip = self.options.cleaning.skip
        exact = [0] * ("duplicate" not in skip)
        bands = [*range(1, 1 + BANDS)] * ("near_duplicate" not in skip)
        advance = self._advance("duplicates", len(exact) + len(bands))
        removed = np.full(self.pairs, KEPT, np.uint8)
        for columns, mark in ((exact, DUPLICATE), (bands, NEAR_DUPLICATE)):
            self.workers.run(partial(find_equal, self.job, len(self.chunks), self.pairs), columns, advance)
            for column in columns:
                removed[read_equal(self.job, column)] = mark
        if self.options.limit is not None:
            kept = np.flatnonzero(removed == KEPT)
            removed[kept[self.options.limit :]] = BEYOND_LIMIT
        np.save(self.job.removed, removed)
        self._check_some_left(self._kept())
        self._check_some_count(removed)

    def _kept(self) -> int:
        return int((np.load(self.job.removed, mmap_mode="r") == KEPT).sum())

    def _check_some_left(self, pairs: int) -> None:
        if not pairs:
            shutil.rmtree(self.job.work)  # nobody goes on with that
            lines = "; ".join(self._total().lines())
            raise DataError(f"cleaning left no pair of {', '.join(self.options.corpora)}: {lines}")

    def _check_some_count(self, removed: NDArray[np.uint8]) -> None:
        for chunk, (number, start) in zip(self.chunks, self._starts(), strict=True):
            kept = removed[start : start + chunk.pairs] == KEPT
            weights = np.load(self.job.file(number, "weights.npy")) if chunk.weighted else np.ones(chunk.pairs)
            if (weights[kept] >= LEAST_WEIGHT).any():
                return
        shutil.rmtree(self.job.work)  # nobody goes on with that
        raise DataError(NOTHING_COUNTS)

    def _total(self) -> CleaningReport:
        total = CleaningReport()
        for report in self.reports:
            total.add(report)
        return total

    # Encoding

    def _learn_vocabulary(self) -> None:
        """Writes the vocabulary, learnt from pairs whose digests are low: no other choice is needed, and no order."""
        if self.job.vocabulary.exists():
            return
        if self.options.vocabulary:
            model = self.options.vocabulary.read_bytes()
        else:
            below = min(2**64 - 1, (SAMPLE_PAIRS << 64) // self._kept())
            sample = partial(sample_chunk, self.job, below)
            self.workers.run(sample, self._starts(), self._advance("vocabulary", self.pairs))
            model = self._train_vocabulary()
        partly = self.job.vocabulary.with_suffix(".part")
        partly.write_bytes(model)
        partly.rename(self.job.vocabulary)

    def _train_vocabulary(self) -> bytes:
        """Learns it from the sample, or so much of it that the trainer's memory stays bounded."""
        characters = sum(sum(map(len, pair)) for pair in self._sample())
        every = max(1, -(-characters // SAMPLE_CHARACTERS))

        def train(size: int) -> bytes:
            pairs = self._sample() if every == 1 else islice(self._sample(), 0, None, every)
            normalization = self.options.normalization or DEFAULT
            return train_model(chain.from_iterable(pairs), size, tags=self.languages.tags, normalization=normalization)

        return train_possible_model(train, self.options.vocabulary_size, characters=characters // every)

    def _sample(self) -> Iterator[tuple[str, str]]:
        return chain.from_iterable(read_sample(self.job, i) for i in range(len(self.chunks)))

    def _write_train(self) -> Split:
        kept = self._kept()
        shards = min(self.options.shards or default_shards(kept), kept)
        self.workers.run(partial(encode_chunk, self.job, shards), self._starts(), self._advance("encode", self.pairs))
        for number, chunk in enumerate(self.chunks):
            self.reports[chunk.corpus].add(read_encoded(self.job, number))
        report = self._total()
        if not report.kept:
            raise DataError(f"every pair has more than {self.options.max_tokens} tokens; raise --max-tokens")
        mixed, weighted = len(self.opened.train) > 1, any(chunk.weighted for chunk in self.chunks)
        names = [f"train-{i:05d}-of-{shards:05d}.tfrecord" for i in range(shards)]
        groups = range(-(-shards // SHARDS_A_JOB))
        write = partial(write_shards, self.job, len(self.chunks), names, (mixed, weighted))
        self.workers.run(write, groups, self._advance("shards", kept))
        written = tuple(shard for group in groups for shard in read_shards(self.job, group))
        return Split(
            written,
            length_histogram(self.out, written),
            report.as_dict(),
            tuple(one.corpus.origin for one in self.opened.train),
            corpora=self._mixed() if mixed else (),
            has_loss_weights=weighted,
        )

    def _mixed(self) -> tuple[MixedCorpus, ...]:
        both = zip(self.opened.train, self.reports, strict=True)
        return tuple(MixedCorpus(one.spec.text, report.kept, one.spec.weight) for one, report in both)

    def _starts(self) -> list[tuple[int, int]]:
        """Gives the number of each chunk and that of its first pair among all."""
        starts = [0, *accumulate(chunk.pairs for chunk in self.chunks)]
        return list(enumerate(starts[:-1]))

    def _gather(self, name: str) -> None:
        """Joins what the chunks wrote of dropped pairs: compressed files one after another are one."""
        found = sorted(self.job.work.glob(f"*.{name}.tsv.gz"))
        found = [path for path in found if int(path.name[:6]) < len(self.chunks)]  # others lie beyond the limit
        if found:
            with (self.out / f"{name}.tsv.gz").open("wb") as file:
                file.write(gzip.compress(b"reason\tsource\ttarget\n", mtime=0))
                for part in found:
                    file.write(part.read_bytes())

    def _write_manifest(self, splits: dict[str, Split]) -> None:
        model = self.job.vocabulary.read_bytes()
        (self.out / VOCABULARY).write_bytes(model)
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        Manifest(
            data_dir=self.out,
            pair=self.languages.pairs[0],
            pairs=self.languages.pairs,
            domains=self.languages.domains,
            vocabulary_size=processor.get_piece_size(),
            vocabulary_digest=hashlib.sha256(model).hexdigest(),
            splits=splits,
            options=self.options.recorded(),
            versions={package: importlib.metadata.version(package) for package in _PACKAGES},
        ).save()

    def _advance(self, phase: str, total: int | None) -> Callable[[int], None]:
        """Gives what is told of pairs done, and tells the progress their sum."""
        done = 0

        def advance(pairs: int) -> None:
            nonlocal done
            done += pairs
            self.progress(phase, done, total)

        advance(0)
        return advance


def _raw_chunk(number: int, corpus: int, pairs: list[RawPair]) -> RawChunk:
    sources, targets, weights, faults = zip(*pairs, strict=True)
    malformed = {i: fault.in_short for i, fault in enumerate(faults) if fault}
    weighted = any(weight != 1 for weight in weights)
    return RawChunk(number, corpus, sources, targets, weights if weighted else None, malformed)
