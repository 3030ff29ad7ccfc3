"""From text to a prepared data directory: read, clean, learn the vocabulary, encode, write shards.

Cleaned text is spooled to disk between the steps, so a corpus is read once and memory does not grow with it (except for
8 bytes a pair to find duplicates). Everything is written beside OUT and renamed to OUT at the end: a prepared
directory is whole or not there.
"""

import importlib.metadata
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

import tensorflow as tf

from pipelines.cleaning import CleaningOptions, CleaningReport, clean, decode
from pipelines.corpora import Corpus, LanguagePair, open_corpus
from pipelines.errors import DataError
from pipelines.manifest import MANIFEST, VOCABULARY, Manifest, Split
from pipelines.shards import ShardWriter
from pipelines.vocabulary import EOS, Vocabulary, train_vocabulary

Progress = Callable[[str, int, int | None], None]
TextPair = tuple[str, str]

_ENCODED_AT_ONCE = 4096  # pairs; enough for tensorflow-text to use all cores
_PAIRS_A_SHARD = 50_000  # some megabytes: soon read, and a window of 200,000 pairs mixes several
_FEWEST_SHARDS = 8  # so that an epoch's order of shards differs from the last one's in small data too
_MOST_SHARDS = 256  # all are open at once while they are written; systems allow 1024 files or fewer
_PACKAGES = ("tensorflow", "tensorflow-text", "sentencepiece", "tensorflow-datasets", "numpy")


@dataclass(frozen=True)
class PreparationOptions:
    """What to prepare.

    `corpora` are joined in their order; `dev` is one corpus. With `vocabulary`, that file is used and
    `vocabulary_size` is not. Pairs with more than `max_tokens` on a side, EOS counted, are dropped. `shards` follows
    from the size of the data if None. `limit` takes at most so many cleaned pairs. `force` replaces an earlier `out`.
    """

    pair: LanguagePair
    corpora: tuple[str, ...]
    dev: str
    out: Path
    vocabulary_size: int = 32_000
    vocabulary: Path | None = None
    max_tokens: int = 256
    cleaning: CleaningOptions = field(default_factory=CleaningOptions)
    shards: int | None = None
    seed: int = 0
    limit: int | None = None
    force: bool = False
    tfds_dir: str | None = None

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


def prepare(options: PreparationOptions, *, progress: Progress = _silent) -> Manifest:
    """Writes `options.out` and gives its manifest.

    Args:
        options: what to prepare.
        progress: called now and then with the phase (`clean`, `vocabulary`, `encode`, `dev`), the pairs done in it and
            their total where it is known.

    Raises:
        DataError: if `out` is there already and `force` is not set, a corpus or the vocabulary cannot be used, or
            cleaning leaves nothing.
    """
    out = options.out.resolve()
    _check_out(out, options.force)
    corpora = [_open(options, spec, "train") for spec in options.corpora]
    dev = _open(options, options.dev, "dev")
    given = Vocabulary.load(options.vocabulary) if options.vocabulary else None
    with _unfinished(out) as directory:
        spool = directory / "cleaned.tsv"
        report = _spool_clean_text(corpora, options, spool, progress)
        vocabulary = given or _train_vocabulary(options, spool, report.kept, progress)
        vocabulary.save(directory / VOCABULARY)
        splits = {
            "train": _write_train(options, spool, vocabulary, corpora, report=report, progress=progress),
            "dev": _write_dev(options, directory, vocabulary, dev, progress),
        }
        spool.unlink()
        Manifest(
            data_dir=directory,
            pair=options.pair,
            vocabulary_size=vocabulary.size,
            vocabulary_digest=vocabulary.digest,
            splits=splits,
            options=_recorded(options),
            versions={package: importlib.metadata.version(package) for package in _PACKAGES},
        ).save()
    return Manifest.load(options.out)


def default_shards(pairs: int) -> int:
    """Gives the number of shards for so many pairs: 50,000 pairs each, but 8 to 256 shards, and none empty."""
    return min(max(-(-pairs // _PAIRS_A_SHARD), _FEWEST_SHARDS), _MOST_SHARDS, pairs)


# Steps


def _open(options: PreparationOptions, spec: str, split: str) -> Corpus:
    return open_corpus(spec, options.pair, split=split, data_dir=options.tfds_dir)


def _spool_clean_text(
    corpora: list[Corpus], options: PreparationOptions, spool: Path, progress: Progress
) -> CleaningReport:
    """Writes the cleaned pairs, one a line; clean text holds neither tabs nor line ends."""
    report = CleaningReport()
    pairs = islice(clean(chain.from_iterable(corpora), options.cleaning, report), options.limit)
    with spool.open("w", encoding="utf-8", newline="\n") as file:
        for source, target in _tracked(pairs, "clean", options.limit, progress):
            file.write(f"{source}\t{target}\n")
    if not report.kept:
        raise DataError(f"cleaning left no pair of {', '.join(options.corpora)}: {'; '.join(report.lines())}")
    return report


def _read_spool(spool: Path) -> Iterator[TextPair]:
    with spool.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            source, _, target = line.removesuffix("\n").partition("\t")
            yield source, target


def _train_vocabulary(options: PreparationOptions, spool: Path, pairs: int, progress: Progress) -> Vocabulary:
    sentences = chain.from_iterable(_tracked(_read_spool(spool), "vocabulary", pairs, progress))
    return train_vocabulary(sentences, options.vocabulary_size, seed=options.seed)


def _write_train(
    options: PreparationOptions,
    spool: Path,
    vocabulary: Vocabulary,
    corpora: list[Corpus],
    *,
    report: CleaningReport,
    progress: Progress,
) -> Split:
    pairs = _tracked(_read_spool(spool), "encode", report.kept, progress)
    with ShardWriter(spool.parent, "train", options.shards or default_shards(report.kept), options.seed) as writer:
        for source, target in _encode(pairs, vocabulary, options.max_tokens, report):
            writer.write(source, target)
        shards, histogram = writer.finish()
    if not report.kept:
        raise DataError(f"every pair has more than {options.max_tokens} tokens; raise --max-tokens")
    return Split(shards, histogram, report.as_dict(), tuple(corpus.origin for corpus in corpora))


def _write_dev(
    options: PreparationOptions, directory: Path, vocabulary: Vocabulary, dev: Corpus, progress: Progress
) -> Split:
    """Writes the dev shard, and the raw text beside it: translations are scored against what people wrote."""
    report = CleaningReport()
    names = (f"dev.{options.pair.source}", f"dev.{options.pair.target}")
    with ShardWriter(directory, "dev", 1, options.seed) as writer:
        pairs = _tracked(_keep_text(dev, directory, names, report), "dev", None, progress)
        for source, target in _encode(pairs, vocabulary, options.max_tokens, report):
            writer.write(source, target)
        shards, histogram = writer.finish()
    if not report.kept:
        raise DataError(f"corpus {dev.spec} leaves no pair to evaluate on: {'; '.join(report.lines())}")
    return Split(shards, histogram, report.as_dict(), (dev.origin,), names)


def _keep_text(dev: Corpus, directory: Path, names: tuple[str, str], report: CleaningReport) -> Iterator[TextPair]:
    """Writes each raw pair and yields its text; of the filters, only those for undecodable and empty pairs apply."""
    with (directory / names[0]).open("wb") as sources, (directory / names[1]).open("wb") as targets:
        for pair in dev:
            text = decode(pair)
            if text is None:
                report.drop("undecodable", *pair)
            elif not all(text):
                report.drop("empty", *text)
            else:
                report.kept += 1
                sources.write(pair[0] + b"\n")
                targets.write(pair[1] + b"\n")
                yield text


def _encode(
    pairs: Iterable[TextPair], vocabulary: Vocabulary, max_tokens: int, report: CleaningReport
) -> Iterator[tuple[list[int], list[int]]]:
    """Yields the ids of both sides, ending in EOS, of the pairs that are neither empty nor too long in tokens."""
    pairs = iter(pairs)
    while block := list(islice(pairs, _ENCODED_AT_ONCE)):
        sources, targets = (vocabulary.encode(tf.constant(side)).to_list() for side in zip(*block, strict=True))
        for text, source, target in zip(block, sources, targets, strict=True):
            if not source or not target:  # nothing but characters that normalisation removes
                report.take_back("empty", *text)
            elif max(len(source), len(target)) >= max_tokens:
                report.take_back("too_many_tokens", *text)
            else:
                yield [*source, EOS], [*target, EOS]


def _tracked(pairs: Iterable[TextPair], phase: str, total: int | None, progress: Progress) -> Iterator[TextPair]:
    done = 0
    for done, pair in enumerate(pairs, start=1):
        if done % _ENCODED_AT_ONCE == 0:
            progress(phase, done, total)
        yield pair
    progress(phase, done, done)


def _recorded(options: PreparationOptions) -> dict[str, Any]:
    """Gives the options that shape the data, for the manifest."""
    recorded = asdict(options)
    for name in ("pair", "out", "force", "tfds_dir"):
        del recorded[name]
    return recorded | {"vocabulary": str(options.vocabulary) if options.vocabulary else None}


# The directory


def _check_out(out: Path, force: bool) -> None:
    if out.is_file():
        raise DataError(f"{out} is a file; expected the name of a directory that is not there yet")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not (out / MANIFEST).is_file():
        raise DataError(f"{out} exists and is not prepared data; choose another --out")
    if not force:
        raise DataError(f"{out} is already prepared; choose another --out or replace it with --force")


@contextmanager
def _unfinished(out: Path) -> Iterator[Path]:
    """Gives a directory beside `out` that becomes `out` if all goes well, and is removed if not."""
    partial = out.with_name(f"{out.name}.partial-{os.getpid()}")
    partial.mkdir(parents=True)
    try:
        yield partial
        if out.is_dir():
            shutil.rmtree(out)
        partial.rename(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
