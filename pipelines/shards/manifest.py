"""The manifest of prepared data: what the shards contain, their vocabulary, and where the text came from.

The folder DATA of prepared data contains:

    manifest.json  vocabulary.model  train-00000-of-00008.tfrecord  train-00000-of-00008.lengths.npy  ...
    dev-00000-of-00001.tfrecord  ...  dev.en  dev.de

Data of a language model has one file of raw text, dev.text.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_nmt.pipelines.atomic_files import write_atomically
from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.shards.splits import MixedCorpus, Shard, Split, TextCounts
from keras_nmt.pipelines.sources.corpora import LanguagePair
from keras_nmt.pipelines.vocabulary.tags import Languages

if TYPE_CHECKING:
    from keras_nmt.pipelines.vocabulary.tokenizer import Vocabulary

FORMAT = 1
MANIFEST = "manifest.json"
VOCABULARY = "vocabulary.model"
PREPARE_AGAIN = "run nmt prepare again"


@dataclass(frozen=True)
class Manifest:
    """The contents of a prepared data directory.

    Attributes:
        data_dir: The directory.
        pair: The main language pair.
        vocabulary_size: The number of pieces in the vocabulary.
        vocabulary_digest: The SHA-256 of the SentencePiece model.
        splits: The splits `train` and `dev`.
        options: The options of the preparation.
        versions: The versions of the packages that prepared the data.
        pairs: All language pairs, the main pair first. If an empty tuple is given, it is replaced by a tuple that has
            only the main pair.
        domains: The domains that have a tag (`pipelines.vocabulary.tags`).
        task: The name of the task that the data is for.
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
    task: str = "translation"

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
        """Returns `data` unchanged if it is a manifest. If it is a data directory, loads its manifest."""
        return data if isinstance(data, Manifest) else cls.load(data)

    @classmethod
    def load(cls, data_dir: str | Path) -> "Manifest":
        """Reads the manifest, and checks that all files that it names exist. Does not read the shards.

        Raises:
            DataError: The directory is not prepared data, is unfinished, has another format, lacks a file, or has
                another vocabulary than the one that the data was encoded with.
        """
        data_dir = Path(data_dir)
        manifest = _parse(_read_manifest(data_dir), data_dir)
        _check_vocabulary(manifest)
        _check_files(manifest)
        return manifest

    def save(self) -> None:
        """Writes `manifest.json`. Must be called last, because this file marks the data as complete."""
        contents = {
            "format": FORMAT,
            "task": self.task,
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
        """Returns the paths of the raw source and target text. Raises a `DataError` if the split has no such files."""
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
            task=contents.get("task", "translation"),
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
        text_counts=TextCounts(**contents["text_counts"]) if contents.get("text_counts") else None,
        running_text=contents.get("running_text"),
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
