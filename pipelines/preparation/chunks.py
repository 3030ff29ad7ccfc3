"""What is done with one chunk of a corpus, in any process on any machine that sees the working folder.

A chunk is some thousand pairs of one corpus. It is cleaned on its own; duplicates are sought in the fingerprints of all
chunks; then it is encoded and its records are dealt to the shards, and a shard is what all chunks have for it, in their
order. So the result follows from the chunks alone, whatever the number of workers. Each job writes its files aside and
renames the last of them at the end; a job whose last file is there is not done again:

    000007.raw                                                               raw pairs, where workers take small items
    000007.text.zst  .keys.npy  .sketches.npy  .weights.npy  .clean.json     cleaned pairs and what is known of them
    equal-3.npy                                                              rows of equal keys in one column
    000007.sample.zst                                                        sentences to learn the vocabulary from
    000007.records  .rows.npy  .begins.npy  .encoded.json                    records, shard after shard
    shards-00002.json                                                        of some whole shards, which lie in `out`
"""

import gzip
import json
import pickle
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
import zstandard
from numpy.typing import NDArray

from pipelines.cleaning.duplicates import digests, equal_keys, fingerprints, normalized, similarity
from pipelines.cleaning.filters import Cleaner, CleaningOptions, CleaningReport
from pipelines.cleaning.language_identification import language_code
from pipelines.cleaning.word_counts import count_words
from pipelines.errors import DataError
from pipelines.preparation.chunk_files import TextPair, aside, read_text, save, write_json, write_text
from pipelines.shards.lanes import deal
from pipelines.shards.records import record
from pipelines.sources.corpora import LanguagePair
from pipelines.vocabulary.tags import Languages
from pipelines.vocabulary.training import EOS

CHUNK_PAIRS = 16_384
MOST_WORDS_SHOWN = 100  # of the histograms
MOST_RATIO_SHOWN = 40  # tenths: 4.0
KEPT, DUPLICATE, NEAR_DUPLICATE, BEYOND_LIMIT = range(4)  # what becomes of a cleaned pair
REMOVED = "removed.npy"
_REASONS = {DUPLICATE: "duplicate", NEAR_DUPLICATE: "near_duplicate"}


@dataclass(frozen=True)
class ChunkedCorpus:
    """What a worker knows of a corpus: its languages, its domain if it has one, and the weight of its loss."""

    pair: LanguagePair
    domain: str | None = None
    loss_weight: float = 1.0


@dataclass(frozen=True)
class Job:
    """What all jobs of one preparation have in common.

    Attributes:
        work: The working folder.
        out: Where the shards are written.
        corpora: All of them.
        languages: Of all corpora together, which says what tags there are.
        cleaning: The limits of the filters.
        keep_dropped: Whether dropped pairs are written out.
        max_tokens: Pairs with more tokens on a side, EOS counted, are dropped.
        seed: Of the dealing of pairs to shards.
    """

    work: Path
    out: Path
    corpora: tuple[ChunkedCorpus, ...]
    languages: Languages
    cleaning: CleaningOptions
    keep_dropped: bool = False
    max_tokens: int = 256
    seed: int = 0

    def file(self, number: int, suffix: str) -> Path:
        """Gives a file of a chunk."""
        return self.work / f"{number:06d}.{suffix}"

    @property
    def held_out(self) -> Path:
        """The file of digests of the text of dev and test sets."""
        return self.work / "held_out.npy"

    @property
    def removed(self) -> Path:
        """The file that says what becomes of each cleaned pair: uint8 [N]."""
        return self.work / REMOVED

    @property
    def vocabulary(self) -> Path:
        """The file of the SentencePiece model."""
        return self.work / "vocabulary.model"


@dataclass(frozen=True)
class RawChunk:
    """Raw pairs of one corpus, its `corpus`-th; `weights` are those of their losses where the corpus has any.

    `malformed` says of a line that is no pair, by its place, why; the line is among the sources.
    """

    number: int
    corpus: int
    sources: Sequence[bytes]
    targets: Sequence[bytes]
    weights: Sequence[float] | None = None
    malformed: Mapping[int, str] = field(default_factory=dict)


@dataclass
class CleanedChunk:
    """What cleaning a chunk gave; histograms count pairs by words of the source, of the target, and by their ratio."""

    corpus: int
    pairs: int
    weighted: bool
    report: CleaningReport
    histograms: Counter[tuple[str, int]] = field(default_factory=Counter)


# Cleaning


def clean_chunk(job: Job, raw: RawChunk) -> int:
    """Cleans a chunk and computes its fingerprints; gives the number of pairs read."""
    done = job.file(raw.number, "clean.json")
    if not done.exists():
        corpus = job.corpora[raw.corpus]
        report = CleaningReport(everything=[])
        pairs, weights = _clean_pairs(job, corpus, raw, report)
        prints = fingerprints(pairs)
        write_text(job.file(raw.number, "text.zst"), pairs)
        save(job.file(raw.number, "keys.npy"), prints.keys)
        save(job.file(raw.number, "sketches.npy"), prints.sketches)
        weighted = bool((weights != 1).any())
        if weighted:
            save(job.file(raw.number, "weights.npy"), weights)
        _write_dropped(job, raw.number, "clean", report)
        cleaned = {"corpus": raw.corpus, "pairs": len(pairs), "weighted": weighted, "report": report.as_dict()}
        write_json(done, cleaned | {"histograms": _histograms(pairs)})
    return len(raw.sources)


def write_raw(job: Job, raw: RawChunk) -> int:
    """Writes a chunk for a worker that is told its number alone, and gives that."""
    with aside(job.file(raw.number, "raw")) as beside:
        beside.write_bytes(zstandard.ZstdCompressor(level=1).compress(pickle.dumps(raw)))
    return raw.number


def clean_written_chunk(job: Job, number: int) -> int:
    """Cleans a chunk that `write_raw` wrote, and removes that."""
    path = job.file(number, "raw")
    if not is_cleaned(job, number):
        clean_chunk(job, pickle.loads(zstandard.ZstdDecompressor().decompress(path.read_bytes())))
    path.unlink(missing_ok=True)
    return 0


def read_cleaned(job: Job, number: int) -> CleanedChunk:
    """Gives what `clean_chunk` found."""
    contents = json.loads(job.file(number, "clean.json").read_text(encoding="utf-8"))
    counts = ((name, i, n) for name, of_name in contents["histograms"].items() for i, n in enumerate(of_name))
    histograms = Counter({(name, i): n for name, i, n in counts})
    return CleanedChunk(**contents | {"report": CleaningReport(**contents["report"]), "histograms": histograms})


def is_cleaned(job: Job, number: int) -> bool:
    """Tells whether a chunk was cleaned."""
    return job.file(number, "clean.json").exists()


def is_reading(work: Path) -> bool:
    """Tells whether some chunks were cleaned, but not all yet."""
    return any(work.glob("*.clean.json")) and not (work / REMOVED).exists()


def read_digests(job: Job, number: int) -> NDArray[np.uint64]:
    """Gives the digests of a chunk's cleaned pairs."""
    return np.array(np.load(job.file(number, "keys.npy"), mmap_mode="r")[0])


def held_out_digests(pairs: Sequence[TextPair], languages: tuple[str, str]) -> NDArray[np.uint64]:
    """Gives the digests of both sides' words, uint64 [2, N]; the same words of two languages have two digests."""
    sides = zip(map(language_code, languages), zip(*pairs, strict=True), strict=True) if pairs else ()
    found = [digests([f"{language}\t{normalized(text)}" for text in texts]) for language, texts in sides]
    return np.stack(found) if found else np.zeros((2, 0), np.uint64)


def _clean_pairs(
    job: Job, corpus: ChunkedCorpus, raw: RawChunk, report: CleaningReport
) -> tuple[list[TextPair], NDArray[np.float32]]:
    languages = (corpus.pair.source, corpus.pair.target)
    cleaner = _cleaner(job.cleaning, languages)
    found: list[TextPair | None] = []
    for place, (source, target) in enumerate(zip(raw.sources, raw.targets, strict=True)):
        if place in raw.malformed:
            report.drop("malformed", source, raw.malformed[place])
            found.append(None)
        else:
            found.append(cleaner(source, target, report))
    weights = np.full(len(found), corpus.loss_weight, np.float32)
    if raw.weights is not None:
        weights *= np.array(raw.weights, np.float32)
    if not np.isfinite(weights).all():
        raise DataError(f"a loss weight of corpus {raw.corpus + 1} is too large; expected numbers about 1")
    weights = weights[[pair is not None for pair in found]]
    pairs = [pair for pair in found if pair is not None]
    if "held_out" in job.cleaning.skip:
        return pairs, weights
    either_is = np.isin(held_out_digests(pairs, languages), np.load(job.held_out)).any(axis=0)
    is_free = np.logical_not(either_is)
    for i in np.flatnonzero(~is_free):
        report.take_back("held_out", *pairs[i])
    return list(compress(pairs, is_free.tolist())), weights[is_free]


@cache
def _cleaner(options: CleaningOptions, languages: tuple[str, str]) -> Cleaner:
    return Cleaner(options, languages)


def _histograms(pairs: Sequence[TextPair]) -> dict[str, list[int]]:
    words = np.array([(count_words(source), count_words(target)) for source, target in pairs], int).reshape(-1, 2)
    tenths = (10 * words[:, 1] / np.maximum(1, words[:, 0])).astype(int)
    counted = {
        "source_words": (words[:, 0], MOST_WORDS_SHOWN),
        "target_words": (words[:, 1], MOST_WORDS_SHOWN),
        "ratio_tenths": (tenths, MOST_RATIO_SHOWN),
    }
    return {
        name: np.bincount(np.minimum(values, most), minlength=most + 1).tolist()
        for name, (values, most) in counted.items()
    }


# Duplicates


def find_equal(job: Job, chunks: int, pairs: int, column: int) -> int:
    """Writes the rows that equal an earlier one in a column of the keys; of a band, those that are alike enough.

    Gives 1, for the one column that is done.
    """
    done = job.work / f"equal-{column}.npy"
    if not done.exists():
        keys, sketches = ([job.file(i, f"{name}.npy") for i in range(chunks)] for name in ("keys", "sketches"))
        rows = []
        for found in equal_keys(keys, column, _exact_duplicates(job, pairs) if column else None):
            alike = column == 0 or similarity(sketches, found) >= job.cleaning.near_duplicates
            rows.append(found.rows[np.broadcast_to(alike, found.rows.shape)])
        save(done, np.concatenate(rows) if rows else np.zeros(0, np.int64))
    return 1


def read_equal(job: Job, column: int) -> NDArray[np.int64]:
    """Gives the rows that `find_equal` found."""
    return np.array(np.load(job.work / f"equal-{column}.npy"))


def _exact_duplicates(job: Job, pairs: int) -> NDArray[np.bool_] | None:
    """Gives which rows the first column marks, where it was looked at."""
    path = job.work / "equal-0.npy"
    if not path.exists():
        return None
    marked = np.zeros(pairs, bool)
    marked[np.load(path)] = True
    return marked


# Vocabulary


def sample_chunk(job: Job, below: int, chunk: tuple[int, int]) -> int:
    """Writes the pairs of a chunk that the vocabulary is learnt from: kept ones whose digest lies below a number.

    Gives the number of cleaned pairs read.
    """
    number, start = chunk
    done = job.file(number, "sample.zst")
    digest = np.load(job.file(number, "keys.npy"), mmap_mode="r")[0]
    if not done.exists():
        pairs = read_text(job.file(number, "text.zst"))
        chosen = (digest <= np.uint64(below)) & (_removed(job, start, len(pairs)) == KEPT)
        write_text(done, [pairs[i] for i in np.flatnonzero(chosen)])
    return len(digest)


def read_sample(job: Job, number: int) -> list[TextPair]:
    """Gives the pairs that `sample_chunk` chose."""
    return read_text(job.file(number, "sample.zst"))


# Encoding


def encode_chunk(job: Job, shards: int, chunk: tuple[int, int]) -> int:
    """Writes a chunk's records, shard after shard, and gives the number of cleaned pairs read.

    As `lanes.deal` gives each shard pairs from all over the chunk, no shard is a stretch of one corpus, and sizes
    differ by one a chunk at most.
    """
    number, start = chunk
    done = job.file(number, "encoded.json")
    cleaned = read_cleaned(job, number)
    if not done.exists():
        report = CleaningReport(everything=[])
        pairs = read_text(job.file(number, "text.zst"))
        removed = _removed(job, start, len(pairs))
        for reason, name in _REASONS.items():
            for i in np.flatnonzero(removed == reason):
                report.take_back(name, *pairs[i])
        report.kept -= int((removed == BEYOND_LIMIT).sum())
        rows = np.flatnonzero(removed == KEPT)
        encoded, fit = _encoded(job, job.corpora[cleaned.corpus], [pairs[i] for i in rows], report)
        weights = np.load(job.file(number, "weights.npy")) if cleaned.weighted else np.ones(len(pairs), np.float32)
        _write_records(job, number, cleaned.corpus, shards, encoded, weights=weights[rows[fit]])
        _write_dropped(job, number, "encoded", report)
        write_json(done, report.as_dict())
    return cleaned.pairs


def read_encoded(job: Job, number: int) -> CleaningReport:
    """Gives what encoding a chunk changed in the report; `kept` is negative by what was taken back."""
    return CleaningReport(**json.loads(job.file(number, "encoded.json").read_text(encoding="utf-8")))


def encode(processor: Any, texts: Sequence[str]) -> list[list[int]]:
    """Gives the ids of texts with EOS behind them; text of nothing but what normalisation removes has EOS alone."""
    return [[*ids, EOS] for ids in processor.encode(list(texts), num_threads=1)]


def _encoded(
    job: Job, corpus: ChunkedCorpus, pairs: Sequence[TextPair], report: CleaningReport
) -> tuple[list[tuple[list[int], list[int]]], NDArray[np.int64]]:
    """Gives the ids of the pairs that are neither empty nor too long, and which they are."""
    processor = _processor(job.vocabulary)
    with_tags = job.languages.tagger(corpus.pair.target, corpus.domain)
    sources = encode(processor, [with_tags(source) for source, _ in pairs])
    targets = encode(processor, [target for _, target in pairs])
    no_source = len(encode(processor, [" ".join(job.languages.tags_of(corpus.pair.target, corpus.domain))])[0])
    fit = []
    for i, (source, target) in enumerate(zip(sources, targets, strict=True)):
        if len(source) <= no_source or len(target) == 1:
            report.take_back("empty", *pairs[i])
        elif max(len(source), len(target)) > job.max_tokens:
            report.take_back("too_many_tokens", *pairs[i])
        else:
            fit.append(i)
    return [(sources[i], targets[i]) for i in fit], np.array(fit, np.int64)


@cache
def _processor(model: Path) -> Any:
    return sentencepiece.SentencePieceProcessor(model_proto=model.read_bytes())  # a name must be UTF-8


ROW = np.dtype([("source", "<i4"), ("target", "<i4"), ("corpus", "u1"), ("weight", "<f4")])  # what is known of a record


def _write_records(
    job: Job,
    number: int,
    corpus: int,
    shards: int,
    encoded: Sequence[tuple[list[int], list[int]]],
    *,
    weights: NDArray[np.float32],
) -> None:
    lengths = np.array([(len(source), len(target)) for source, target in encoded], np.int32).reshape(-1, 2)
    shard_of = deal(lengths, shards, longest=job.max_tokens, seed=job.seed, chunk=number)
    order = np.argsort(shard_of, kind="stable")
    records = [record(*encoded[i]) for i in order]
    rows = np.zeros(len(encoded), ROW)
    rows["source"], rows["target"] = lengths[order].T
    rows["corpus"], rows["weight"] = corpus, weights[order]
    with aside(job.file(number, "records")) as beside:
        beside.write_bytes(b"".join(records))
    save(job.file(number, "rows.npy"), rows)
    row_begins = np.searchsorted(shard_of[order], np.arange(shards + 1))
    ends = np.cumsum([0, *map(len, records)])
    save(job.file(number, "begins.npy"), np.stack([row_begins, ends[row_begins]]))


def _removed(job: Job, start: int, pairs: int) -> NDArray[np.uint8]:
    return np.array(np.load(job.removed, mmap_mode="r")[start : start + pairs])


def _write_dropped(job: Job, number: int, step: str, report: CleaningReport) -> None:
    """Writes what was dropped: pairs of dev and test sets always, as each is worth a look, the others if asked for."""
    dropped = report.everything or []
    for name, chosen in (("held_out", [d for d in dropped if d[0] == "held_out"]), ("dropped", dropped)):
        if chosen and (name == "held_out" or job.keep_dropped):
            lines = "".join(map(_dropped_line, chosen)).encode(errors="backslashreplace")
            with aside(job.file(number, f"{step}.{name}.tsv.gz")) as beside:
                beside.write_bytes(gzip.compress(lines, compresslevel=1, mtime=0))


def _dropped_line(dropped: tuple[str, str | bytes, str | bytes]) -> str:
    reason, *pair = dropped
    texts = [side.decode(errors="backslashreplace") if isinstance(side, bytes) else side for side in pair]
    return "\t".join([reason, *(" ".join(text.split()) for text in texts)]) + "\n"
