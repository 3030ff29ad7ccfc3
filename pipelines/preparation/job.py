"""The job of a preparation and its chunks, which all phases share.

A chunk is some thousand consecutive pairs of one corpus. Each phase runs one function per chunk (or per key column, or
per group of shards), in any process on any machine that can access the working folder. Results depend only on the
chunks, not on the number of workers. Each function writes one file last, and its existence means that the work is done,
so the function returns at once if the file exists. These are the files in the working folder; 000007 is the number of a
chunk:

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

# The fate of a cleaned pair, which the file `Job.removed` stores in one byte per pair.
KEPT, DUPLICATE, NEAR_DUPLICATE, BEYOND_LIMIT = range(4)


@dataclass(frozen=True)
class ChunkedCorpus:
    """The languages of a training corpus, its domain (None if it has none), and the loss weight of its pairs."""

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
        max_tokens: The maximum number of tokens on a side, EOS included; longer pairs are dropped.
        seed: The seed for dealing pairs to shards.
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
        """Returns the fates of `pairs` cleaned pairs, beginning with pair number `start`, uint8 [pairs]."""
        return np.array(np.load(self.removed, mmap_mode="r")[start : start + pairs])


@dataclass(frozen=True)
class RawChunk:
    """Undecoded pairs of one corpus.

    Attributes:
        number: The number of the chunk, counted through all corpora.
        corpus: The index of the corpus.
        sources: The source of each pair; for a malformed line, the whole line.
        targets: The target of each pair.
        weights: The loss weight of each pair, or None if all are 1.
        malformed: For each malformed line, its index in the chunk and the reason why it is not a pair.
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
        corpus: The index of the corpus.
        pairs: The number of cleaned pairs.
        weighted: True if some pair has a loss weight other than 1.
        report: The report of what the filters kept and dropped.
        histograms: The number of pairs for each (histogram name, bin). There are histograms of source words, target
            words, and the ratio of target words to source words in tenths.
    """

    corpus: int
    pairs: int
    weighted: bool
    report: CleaningReport
    histograms: Counter[tuple[str, int]] = field(default_factory=Counter)


def is_reading(work: Path) -> bool:
    """Returns True if some chunks in the working folder are cleaned, but duplicates are not removed yet."""
    return any(work.glob("*.clean.json")) and not (work / REMOVED).exists()
