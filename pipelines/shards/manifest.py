"""The manifest of prepared data: the contents of its shards, their vocabulary, and where the text came from.

DATA/manifest.json  vocabulary.model  train-00000-of-00008.tfrecord  train-00000-of-00008.lengths.npy  ...
DATA/dev-00000-of-00001.tfrecord ...  dev.en  dev.de
"""

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_nmt.pipelines.atomic_files import write_atomically
from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.sources.corpora import LanguagePair
from keras_nmt.pipelines.vocabulary.tags import Languages

if TYPE_CHECKING:
    from keras_nmt.pipelines.vocabulary.tokenizer import Vocabulary

FORMAT = 1
MANIFEST = "manifest.json"
VOCABULARY = "vocabulary.model"
PREPARE_AGAIN = "run nmt prepare again"
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


@dataclass(frozen=True)
class Manifest:
    """The contents of a prepared data directory.

    Attributes:
        data_dir: The directory.
        pair: The main language pair.
        vocabulary_size: The number of pieces.
        vocabulary_digest: The SHA-256 of the SentencePiece model.
        splits: `train` and `dev`.
        options: The options of the preparation.
        versions: The versions of the packages that prepared the data.
        pairs: All language pairs, the main one first; if empty, the main pair only.
        domains: The domains that have a tag (`pipelines.vocabulary.tags`).
    """

    data_dir: Path
    pair: LanguagePair
    vocabulary_size: int
    vocabulary_digest: str
    splits: dict[str, Split]
    options: dict[str, Any]
    versions: dict[str, str]
    pairs: tuple[LanguagePair, ...] = ()
    domains: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "pairs", self.pairs or (self.pair,))
        if self.pairs[0] != self.pair:
            raise DataError(f"the main pair of {self.data_dir} is {self.pair}, but its first one is {self.pairs[0]}")

    @property
    def languages(self) -> Languages:
        """The language pairs and domains, with their tags."""
        return Languages(self.pairs, self.domains)

    @classmethod
    def of(cls, data: "str | Path | Manifest") -> "Manifest":
        """Returns a manifest as it is, and loads that of a data directory."""
        return data if isinstance(data, Manifest) else cls.load(data)

    @classmethod
    def load(cls, data_dir: str | Path) -> "Manifest":
        """Reads the manifest and checks that the files it names exist, without reading a shard.

        Raises:
            DataError: The directory is not prepared data, is unfinished, has another format, lacks a file, or has
                another vocabulary than the one the data was encoded with.
        """
        data_dir = Path(data_dir)
        manifest = _parse(_read_manifest(data_dir), data_dir)
        _check_vocabulary(manifest)
        _check_files(manifest)
        return manifest

    def save(self) -> None:
        """Writes `manifest.json`. It is written last, because it marks the data as complete."""
        contents = {
            "format": FORMAT,
            "pair": asdict(self.pair),
            "pairs": [asdict(pair) for pair in self.pairs],
            "domains": list(self.domains),
            "vocabulary": {"file": VOCABULARY, "size": self.vocabulary_size, "digest": self.vocabulary_digest},
            "splits": {name: asdict(split) for name, split in self.splits.items()},
            "options": self.options,
            "versions": self.versions,
        }
        text = json.dumps(contents, indent=1, ensure_ascii=False) + "\n"
        # Bytes of file names that are not UTF-8 become escapes.
        write_atomically(self.data_dir / MANIFEST, text.encode("utf-8", errors="backslashreplace"))

    def split(self, name: str) -> Split:
        """Returns a split; raises a `DataError` if the data does not have it."""
        if name not in self.splits:
            raise DataError(f"{self.data_dir} has no split {name!r}; it has {', '.join(self.splits)}")
        return self.splits[name]

    def vocabulary(self) -> "Vocabulary":
        """Loads the vocabulary that the data was encoded with."""
        from keras_nmt.pipelines.vocabulary.tokenizer import Vocabulary  # imports TensorFlow, which takes seconds

        return Vocabulary.load(self.data_dir / VOCABULARY)

    def text(self, split: str = "dev") -> tuple[Path, Path]:
        """Returns the files of raw source and target text; raises a `DataError` if the split does not keep them."""
        names = self.split(split).text
        if names is None:
            raise DataError(f"{self.data_dir} keeps no raw text of split {split!r}; use dev")
        return self.data_dir / names[0], self.data_dir / names[1]


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_manifest(data_dir: Path) -> dict[str, Any]:
    path = data_dir / MANIFEST
    if not data_dir.is_dir():
        raise DataError(f"{data_dir} is not a prepared data directory: there is no such directory; run nmt prepare")
    if not path.is_file():
        raise DataError(
            f"{data_dir} has no {MANIFEST}: nmt prepare was interrupted or this is not its output; {PREPARE_AGAIN}"
        )
    try:
        contents = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is damaged ({error}); {PREPARE_AGAIN}") from error
    if not isinstance(contents, dict) or "format" not in contents:
        raise DataError(f"{path} is not a manifest of prepared data; give the --out of nmt prepare")
    if contents["format"] != FORMAT:
        raise DataError(f"{path} has format {contents['format']}, this program reads {FORMAT}; {PREPARE_AGAIN}")
    return contents


def _parse(contents: dict[str, Any], data_dir: Path) -> Manifest:
    try:
        return Manifest(
            data_dir=data_dir,
            pair=LanguagePair(**contents["pair"]),
            vocabulary_size=contents["vocabulary"]["size"],
            vocabulary_digest=contents["vocabulary"]["digest"],
            splits={name: _parse_split(split) for name, split in contents["splits"].items()},
            options=contents["options"],
            versions=contents["versions"],
            pairs=tuple(LanguagePair(**pair) for pair in contents.get("pairs", ())),
            domains=tuple(contents.get("domains", ())),
        )
    except (KeyError, TypeError) as error:
        raise DataError(f"{data_dir / MANIFEST} is damaged (at {error}); {PREPARE_AGAIN}") from error


def _parse_split(contents: dict[str, Any]) -> Split:
    return Split(
        shards=tuple(Shard(**shard) for shard in contents["shards"]),
        length_histogram=tuple(contents["length_histogram"]),
        cleaning=contents["cleaning"],
        origins=tuple(contents["origins"]),
        text=(contents["text"][0], contents["text"][1]) if contents["text"] else None,
        corpora=tuple(MixedCorpus(**corpus) for corpus in contents.get("corpora", ())),
        has_loss_weights=contents.get("has_loss_weights", False),
    )


def _check_vocabulary(manifest: Manifest) -> None:
    path = manifest.data_dir / VOCABULARY
    if not path.is_file():
        raise DataError(f"{path} is missing; {PREPARE_AGAIN}")
    found = sha256_of(path)
    if found != manifest.vocabulary_digest:
        raise DataError(
            f"{path} is the wrong vocabulary for this data: expected digest {manifest.vocabulary_digest[:12]}, found "
            f"{found[:12]}; put the right one back or {PREPARE_AGAIN}"
        )


def _check_files(manifest: Manifest) -> None:
    for split in manifest.splits.values():
        for shard in split.shards:
            path = manifest.data_dir / shard.file
            for needed in (path, *(manifest.data_dir / name for name in split.files_beside(shard))):
                if not needed.is_file():
                    raise DataError(f"{needed} is missing; {PREPARE_AGAIN}")
            if path.stat().st_size != shard.bytes:
                raise DataError(
                    f"{path} has {path.stat().st_size} bytes, expected {shard.bytes}: it is cut short or changed; "
                    f"{PREPARE_AGAIN}"
                )
