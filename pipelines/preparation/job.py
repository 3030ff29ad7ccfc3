"""The job of a preparation, which holds the settings that every worker needs, and the chunks that its phases process.

A chunk consists of up to 16,384 consecutive pairs of one corpus, and of fewer if they are long. A phase runs a function
once for each chunk, for each key column (`phases.deduplicate`) or for each group of shards (`phases.assemble`). The
function may run in any process on any machine that can access the working folder. Results depend only on the chunks,
not on the number of workers. A function writes its last file when its work is done. If this file already exists, the
function does not do the work again. These are the files in the working folder; 000007 is the number of a chunk:

    000007.raw                                                               raw pairs, only if `Workers.small_items`
    000007.text.zst  .keys.npy  .sketches.npy  .weights.npy  .clean.json     cleaned pairs, fingerprints, loss weights
    equal-3.npy                                                              pairs with equal keys in key column 3
    000007.sample.zst                                                        pairs that the vocabulary is trained on
    000007.records  .rows.npy  .begins.npy  .encoded.json                    records, sorted by shard
    shards-00002.json                                                        a list of finished shards, stored in `out`
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keras_nmt.pipelines.cleaning.filters import CleaningOptions, CleaningReport
from keras_nmt.pipelines.preparation.recipes import Recipe
from keras_nmt.pipelines.sources.corpora import LanguagePair
from keras_nmt.pipelines.vocabulary.tags import Languages

CHUNK_PAIRS = 16_384
CHUNK_BYTES = 1 << 23  # of text, after which a chunk ends
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
        out: The folder to which the shards are written.
        corpora: The training corpora.
        languages: The language pairs and domains of all corpora, which determine the tags.
        cleaning: The limits of the filters.
        keep_dropped: True to write dropped pairs to a file.
        max_tokens: The maximum number of tokens on a side, EOS included; longer pairs are dropped.
        seed: The seed for distributing the pairs to the shards.
        recipe: The recipe of the task.
    """

    work: Path
    out: Path
    corpora: tuple[ChunkedCorpus, ...]
    languages: Languages
    cleaning: CleaningOptions
    keep_dropped: bool = False
    max_tokens: int = 256
    seed: int = 0
    recipe: Recipe = field(default_factory=Recipe)

    def file(self, number: int, suffix: str) -> Path:
        """Returns the path of a file of a chunk: `000007.records` in `work` for number 7 and suffix `records`."""
        return self.work / f"{number:06d}.{suffix}"

    @property
    def held_out(self) -> Path:
        """The path of the file with the digests of all texts of the dev and test sets."""
        return self.work / "held_out.npy"

    @property
    def removed(self) -> Path:
        """The path of the file with the decision on each cleaned pair, uint8 [N]: `KEPT`, `DUPLICATE` and so on."""
        return self.work / REMOVED

    @property
    def vocabulary(self) -> Path:
        """The path of the SentencePiece model."""
        return self.work / "vocabulary.model"

    def fates(self, start: int, pairs: int) -> NDArray[np.uint8]:
        """Returns the decisions (`KEPT`, `DUPLICATE` and so on) on consecutive cleaned pairs, uint8 [pairs].

        Args:
            start: The index of the first pair among the cleaned pairs of all chunks.
            pairs: The number of pairs.
        """
        return np.array(np.load(self.removed, mmap_mode="r")[start : start + pairs])


@dataclass(frozen=True)
class RawChunk:
    """Undecoded pairs of one corpus.

    Attributes:
        number: The number of the chunk. The chunks of all corpora are numbered consecutively, from 0.
        corpus: The index of the corpus in `Job.corpora`.
        sources: The source of each pair. If a line is malformed, this is the whole line.
        targets: The target of each pair.
        weights: The loss weight of each pair, or None if all are 1.
        malformed: For each malformed line, the reason why it is not a pair, by the index of the line in the chunk.
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
        corpus: The index of the corpus in `Job.corpora`.
        pairs: The number of cleaned pairs, which are the pairs that the filters kept.
        weighted: True if some cleaned pair has a loss weight other than 1.
        characters: The number of characters of all targets.
        report: The report of what the filters kept and dropped.
        histograms: The number of pairs for each (histogram name, bin). There are histograms of source words, target
            words, and the ratio of target words to source words in tenths.
    """

    corpus: int
    pairs: int
    weighted: bool
    characters: int
    report: CleaningReport
    histograms: Counter[tuple[str, int]] = field(default_factory=Counter)


def is_reading(work: Path) -> bool:
    """Returns True if the preparation in the working folder `work` may still be reading text.

    This may be the case if some chunks have been cleaned, but duplicates have not been removed yet.
    """
    return any(work.glob("*.clean.json")) and not (work / REMOVED).exists()
