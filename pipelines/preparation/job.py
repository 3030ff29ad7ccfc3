"""The job of a preparation and its chunks, which all phases share.

A chunk is some thousand consecutive pairs of one corpus. Each phase runs one function per chunk (or per key column, or
per group of shards) in any process on any machine that sees the working folder. Results depend on the chunks only, not
on the number of workers. A function renames its last file into place at the end, and is not run again once that file
exists. The working folder, with the chunk's number in front:

    000007.raw                                                               raw pairs, if workers take small items only
    000007.text.zst  .keys.npy  .sketches.npy  .weights.npy  .clean.json     cleaned pairs, fingerprints, loss weights
    equal-3.npy                                                              rows with equal keys in one key column
    000007.sample.zst                                                        pairs that the vocabulary is trained on
    000007.records  .rows.npy  .begins.npy  .encoded.json                    records, sorted by shard
    shards-00002.json                                                        a group of finished shards, stored in `out`
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keras_nmt.pipelines.cleaning.filters import CleaningOptions, CleaningReport
from keras_nmt.pipelines.sources.corpora import LanguagePair
from keras_nmt.pipelines.vocabulary.tags import Languages

CHUNK_PAIRS = 16_384
REMOVED = "removed.npy"

# The fate of a cleaned pair, one byte each in the file `Job.removed`.
KEPT, DUPLICATE, NEAR_DUPLICATE, BEYOND_LIMIT = range(4)


@dataclass(frozen=True)
class ChunkedCorpus:
    """The languages of a corpus, its domain if it has one, and the loss weight of its pairs."""

    pair: LanguagePair
    domain: str | None = None
    loss_weight: float = 1.0


@dataclass(frozen=True)
class Job:
    """The settings of one preparation that every worker needs.

    Attributes:
        work: The working folder.
        out: The folder that shards are written to.
        corpora: The training corpora.
        languages: The language pairs and domains of all corpora, which determine the tags.
        cleaning: The limits of the filters.
        keep_dropped: True to write dropped pairs to a file.
        max_tokens: Pairs with more tokens on a side, EOS included, are dropped.
        seed: Seed for dealing pairs to shards.
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
        """Returns the path of a file of a chunk."""
        return self.work / f"{number:06d}.{suffix}"

    @property
    def held_out(self) -> Path:
        """The file with the digests of dev and test text."""
        return self.work / "held_out.npy"

    @property
    def removed(self) -> Path:
        """The file with the fate of each cleaned pair, uint8 [N]."""
        return self.work / REMOVED

    @property
    def vocabulary(self) -> Path:
        """The SentencePiece model."""
        return self.work / "vocabulary.model"

    def fates(self, start: int, pairs: int) -> NDArray[np.uint8]:
        """Returns the fates of `pairs` cleaned pairs from `start` on, uint8 [pairs]."""
        return np.array(np.load(self.removed, mmap_mode="r")[start : start + pairs])


@dataclass(frozen=True)
class RawChunk:
    """Undecoded pairs of one corpus.

    Attributes:
        number: The chunk's number among those of all corpora.
        corpus: The index of its corpus.
        sources: The sources, or the whole line where it is malformed.
        targets: The targets.
        weights: Loss weights, if any differs from 1.
        malformed: Why a line is not a pair, by its index in the chunk.
    """

    number: int
    corpus: int
    sources: Sequence[bytes]
    targets: Sequence[bytes]
    weights: Sequence[float] | None = None
    malformed: Mapping[int, str] = field(default_factory=dict)


@dataclass
class CleanedChunk:
    """The statistics of a cleaned chunk.

    Attributes:
        corpus: The index of its corpus.
        pairs: The number of cleaned pairs.
        weighted: True if some pair has a loss weight other than 1.
        report: What the filters dropped.
        histograms: Numbers of pairs by (histogram name, bin): source words, target words, and their ratio in tenths.
    """

    corpus: int
    pairs: int
    weighted: bool
    report: CleaningReport
    histograms: Counter[tuple[str, int]] = field(default_factory=Counter)


def is_reading(work: Path) -> bool:
    """Returns True if some chunks in the working folder are cleaned, but cleaning has not finished."""
    return any(work.glob("*.clean.json")) and not (work / REMOVED).exists()
