"""The types that all kinds of corpora share: language pairs, raw pairs, corpora and requests. Opens no files."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, NamedTuple

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.language_codes import split_pair
from keras_nmt.pipelines.sources.downloads import Downloads

DOCUMENTS = ("file", "paragraphs", "lines")  # the parts of a file that can be documents of running text


class Malformed(NamedTuple):
    """Says why a line or a translation unit is not a pair.

    Attributes:
        path: The path of the file.
        reason: The end of a message that begins with the path, such as " line 3 has no tab".
    """

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}{self.reason}"

    @property
    def in_short(self) -> str:
        """The text of the message, with the name of the file instead of its path: "a.tsv line 3 has no tab"."""
        return f"{PurePath(self.path).name}{self.reason}"


class RawPair(NamedTuple):
    """The bytes of a source and a target, without line ends, and the weight of the pair in the loss.

    Running text has no source and keeps its line ends (`pipelines.sources.monolingual.running_text`). If a line of the
    text is not a pair, `source` is the whole line, and `malformed` gives the reason.
    """

    source: bytes
    target: bytes
    weight: float = 1.0
    malformed: Malformed | None = None


@dataclass(frozen=True)
class LanguagePair:
    """A direction of translation, from `source` to `target`."""

    source: str
    target: str

    def __post_init__(self) -> None:
        if self.source == self.target:
            raise DataError(f"a language pair needs two languages, got {self.source!r} twice")

    @classmethod
    def parse(cls, text: str) -> "LanguagePair":
        """Parses a pair such as `en-de` or `en-pt-BR`, and standardises its codes.

        Raises:
            DataError: The text is not two language codes joined by a hyphen.
        """
        return cls(*split_pair(text))

    @classmethod
    def written(cls, text: str) -> "LanguagePair":
        """Parses a pair that this program wrote to a file with `str`. The codes are not standardised again."""
        return cls(*text.split("-")) if text.count("-") == 1 else cls.parse(text)

    def reversed(self) -> "LanguagePair":
        """Returns the opposite direction."""
        return LanguagePair(self.target, self.source)

    def __str__(self) -> str:
        return f"{self.source}-{self.target}"


@dataclass(frozen=True)
class Corpus:
    """An iterable of raw pairs; each iteration starts from the beginning.

    Iterating raises a `DataError` if the corpus is empty or damaged, if its two sides have different numbers of lines,
    or if a line is malformed and `keeps_malformed` is False.

    Attributes:
        spec: The SPEC that the user gave.
        origin: A description of where the text comes from, to be read by people, as JSON values.
        identity: Values that change when the text changes.
        read: A function that returns a new iterator over the pairs.
        keeps_malformed: True to yield malformed lines, so that the caller can count them.
    """

    spec: str
    origin: dict[str, Any]
    identity: tuple[Any, ...]
    read: Callable[[], Iterator[RawPair]]
    keeps_malformed: bool = False

    def __iter__(self) -> Iterator[RawPair]:
        empty = True
        for pair in self.read():
            empty = False
            if pair.malformed and not self.keeps_malformed:
                raise DataError(f"{pair.malformed}; --drop-malformed drops such lines and counts them")
            yield pair
        if empty:
            raise DataError(
                f"corpus {self.spec} is empty: expected at least one sentence pair; check the file or split"
            )

    def fingerprint(self) -> str:
        """Returns a digest of the corpus' identity, without reading the text.

        If the same text is opened again, the digest is the same. The digest changes if one of the files has been
        written since, if the TFDS data set has another version, or if the download has another checksum.
        """
        return hashlib.sha256(json.dumps(self.identity).encode()).hexdigest()


@dataclass(frozen=True)
class CorpusRequest:
    """The arguments for opening a corpus of any kind.

    Attributes:
        spec: The SPEC that the user gave.
        name: The part of the SPEC after `kind:`.
        pair: The source and the target language.
        split: `train`, `dev` or `test`.
        tfds_dir: The data folder of TFDS; if None, the default of TFDS.
        downloads: The folder for downloaded files.
        checksums: The expected SHA-256 of each downloaded file; empty if the SPEC gives none.
        weight_column: True to read the loss weights from the third column of each line.
        fields: The names of the source and the target in a JSON object.
        documents: One of `DOCUMENTS`, the part of a file of running text that is a document.
        pos: False to replace the parts of speech of a treebank by `XX`.
    """

    spec: str
    name: str
    pair: LanguagePair
    split: str
    tfds_dir: str | None
    downloads: Downloads
    checksums: tuple[str, ...]
    weight_column: bool
    fields: tuple[str, str]
    documents: str = DOCUMENTS[0]
    pos: bool = True
