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
    """The description of a shard. Its lengths and its numbers of tokens include EOS.

    `sha256` is the checksum of the shard. `beside_sha256` is one checksum of the files beside the shard that have the
    corpora and the loss weights of its pairs. It is empty if the shard has no such files.
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
        """Returns the description of a file of `size` bytes whose pairs have the given lengths, int32 [N, 2]."""
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
        """The name of the file with the corpus of each pair; the file exists if the split mixes corpora."""
        return self.file.removesuffix(".tfrecord") + ".corpus.npy"

    @property
    def weights_file(self) -> str:
        """The name of the file with the loss weights; the file exists if the split has loss weights."""
        return self.file.removesuffix(".tfrecord") + ".weights.npy"


@dataclass(frozen=True)
class MixedCorpus:
    """One of the corpora that a split consists of.

    Attributes:
        name: The specification of the corpus.
        pairs: The number of pairs of the corpus in the split.
        weight: The mean number of times that an epoch takes each pair of the corpus. With a weight of 2.5, an epoch
            takes each pair twice and half of the pairs a third time.
    """

    name: str
    pairs: int
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise DataError(f"the weight of corpus {self.name} is {self.weight}; it must be at least 0")


@dataclass(frozen=True)
class TextCounts:
    """The size of running text.

    Attributes:
        documents: The number of documents.
        words: The number of words, which are separated by whitespace.
        characters: The number of characters, whitespace included.
    """

    documents: int = 0
    words: int = 0
    characters: int = 0

    def __add__(self, other: "TextCounts") -> "TextCounts":
        return TextCounts(
            self.documents + other.documents, self.words + other.words, self.characters + other.characters
        )


@dataclass(frozen=True)
class Split:
    """The training or the dev data.

    Attributes:
        shards: The shards.
        length_histogram: The element at index n is the number of pairs whose longer side has n tokens.
        cleaning: The report of what cleaning kept and dropped, as JSON values.
        origins: For each corpus, a description that says where its text came from.
        text: The names of the files with raw source and target text, which BLEU needs; None for training data.
        corpora: The mixed corpora; `Shard.corpus_file` contains indices into them. Empty if there is only one corpus.
        has_loss_weights: True if the pairs have loss weights.
        text_counts: The size of the running text that the examples are blocks of; None if they are pairs.
        running_text: The name of the file with the running text, which only the dev split keeps.
    """

    shards: tuple[Shard, ...]
    length_histogram: tuple[int, ...]
    cleaning: dict[str, Any]
    origins: tuple[dict[str, Any], ...]
    text: tuple[str, str] | None = None
    corpora: tuple[MixedCorpus, ...] = ()
    has_loss_weights: bool = False
    text_counts: TextCounts | None = None
    running_text: str | None = None

    @property
    def examples(self) -> int:
        """The number of pairs in all shards."""
        return sum(shard.examples for shard in self.shards)

    @property
    def times_taken(self) -> float:
        """The number of times that an epoch takes a pair, averaged over all pairs (`pipelines.streaming.mixing`)."""
        pairs = sum(corpus.pairs for corpus in self.corpora)
        return sum(corpus.pairs * corpus.weight for corpus in self.corpora) / pairs if pairs else 1.0

    def longer_than(self, length: int) -> int:
        """Returns the number of pairs with more than `length` tokens on a side.

        A stream with this maximum length skips these pairs.
        """
        return sum(self.length_histogram[length + 1 :])

    def files_beside(self, shard: Shard) -> tuple[str, ...]:
        """Returns the names of the files beside a shard."""
        corpus = (shard.corpus_file,) if self.corpora else ()
        weights = (shard.weights_file,) if self.has_loss_weights else ()
        return (shard.lengths_file, *corpus, *weights)
