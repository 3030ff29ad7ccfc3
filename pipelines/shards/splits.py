"""The shards and splits of prepared data, as the manifest describes them."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_nmt.pipelines.errors import DataError

LEAST_WEIGHT = 1e-6  # if all loss weights are smaller, float32 cannot represent the gradients
NO_USABLE_WEIGHT = (
    f"no pair counts in the loss: every loss weight is 0 or below {LEAST_WEIGHT:g}; give the pairs to learn from a "
    "weight of about 1"
)


@dataclass(frozen=True)
class Shard:
    """A shard; lengths and counts of tokens include EOS.

    `beside_sha256` is the checksum of the corpora and loss weights beside the shard, empty if there are none.
    """

    file: str
    examples: int
    source_tokens: int
    target_tokens: int
    longest_source: int
    longest_target: int
    bytes: int
    sha256: str
    beside_sha256: str = ""

    @classmethod
    def of(cls, file: str, lengths: NDArray[np.int32], *, size: int, sha256: str) -> "Shard":
        """Describes a file of `size` bytes that holds pairs of these lengths, int32 [N, 2]: source and target."""
        source_tokens, target_tokens = lengths.sum(axis=0, dtype=np.int64).tolist()
        longest_source, longest_target = lengths.max(axis=0, initial=0).tolist()
        counts = (len(lengths), source_tokens, target_tokens, longest_source, longest_target)
        return cls(file, *counts, bytes=size, sha256=sha256)

    @property
    def lengths_file(self) -> str:
        """The name of the file with the lengths of the pairs."""
        return self.file.removesuffix(".tfrecord") + ".lengths.npy"

    @property
    def corpus_file(self) -> str:
        """The name of the file with the corpus of each pair; exists if the split mixes corpora."""
        return self.file.removesuffix(".tfrecord") + ".corpus.npy"

    @property
    def weights_file(self) -> str:
        """The name of the file with the loss weights; exists if the split has loss weights."""
        return self.file.removesuffix(".tfrecord") + ".weights.npy"


@dataclass(frozen=True)
class MixedCorpus:
    """A corpus of a split: its number of pairs, and how many times an epoch takes each of them.

    With a weight of 2.5, each pair is taken twice in every epoch and a third time in half of them.
    """

    name: str
    pairs: int
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise DataError(f"the weight of corpus {self.name} is {self.weight}; it must be at least 0")


@dataclass(frozen=True)
class Split:
    """The training or the dev data.

    Attributes:
        shards: The shards.
        length_histogram: At index n, the number of pairs whose longer side has n tokens.
        cleaning: What cleaning kept and dropped.
        origins: Where each corpus came from.
        text: The files of raw source and target text; kept for the dev data, because BLEU needs them.
        corpora: The mixed corpora, in the order of the numbers in `Shard.corpus_file`; empty if there is only one.
        has_loss_weights: True if the pairs have loss weights.
    """

    shards: tuple[Shard, ...]
    length_histogram: tuple[int, ...]
    cleaning: dict[str, Any]
    origins: tuple[dict[str, Any], ...]
    text: tuple[str, str] | None = None
    corpora: tuple[MixedCorpus, ...] = ()
    has_loss_weights: bool = False

    @property
    def examples(self) -> int:
        """The number of pairs in all shards."""
        return sum(shard.examples for shard in self.shards)

    @property
    def times_taken(self) -> float:
        """The number of pairs an epoch takes, divided by the number of pairs (`pipelines.streaming.mixing`)."""
        pairs = sum(corpus.pairs for corpus in self.corpora)
        return sum(corpus.pairs * corpus.weight for corpus in self.corpora) / pairs if pairs else 1.0

    def longer_than(self, length: int) -> int:
        """Returns the number of pairs with more than `length` tokens on a side, which a stream of that length skips."""
        return sum(self.length_histogram[length + 1 :])

    def files_beside(self, shard: Shard) -> tuple[str, ...]:
        """Returns the names of the files beside a shard."""
        corpus = (shard.corpus_file,) if self.corpora else ()
        weights = (shard.weights_file,) if self.has_loss_weights else ()
        return (shard.lengths_file, *corpus, *weights)
