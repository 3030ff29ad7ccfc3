"""The words in which every source of text speaks: a language pair, a raw pair of lines, a corpus, a request for one.

No file is opened here.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, NamedTuple

from pipelines.errors import DataError
from pipelines.language_codes import split_pair
from pipelines.sources.downloads import Downloads


class Malformed(NamedTuple):
    """Where in a file there is no pair, and why: "a.tsv", " line 3 has no tab"."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}{self.reason}"

    @property
    def in_short(self) -> str:
        """The same without the file's folder."""
        return f"{PurePath(self.path).name}{self.reason}"


class RawPair(NamedTuple):
    """Two lines as they were found, without their ends, and how much the pair counts in the loss.

    Where a line is no pair, `source` is the line and `malformed` says why.
    """

    source: bytes
    target: bytes
    weight: float = 1.0
    malformed: Malformed | None = None


@dataclass(frozen=True)
class LanguagePair:
    """The direction of a translation, from `source` to `target`."""

    source: str
    target: str

    def __post_init__(self) -> None:
        if self.source == self.target:
            raise DataError(f"a language pair needs two languages, got {self.source!r} twice")

    @classmethod
    def parse(cls, text: str) -> "LanguagePair":
        """Gives the pair that `text` names, such as `en-de` or `en-pt-BR`, with its codes in their standard form.

        Raises:
            DataError: if `text` is not two language codes with a hyphen between them.
        """
        return cls(*split_pair(text))

    @classmethod
    def written(cls, text: str) -> "LanguagePair":
        """Gives the pair that a file of this program names: what `str` gives, in the very codes that stand there."""
        return cls(*text.split("-")) if text.count("-") == 1 else cls.parse(text)

    def reversed(self) -> "LanguagePair":
        """Gives the other direction."""
        return LanguagePair(self.target, self.source)

    def __str__(self) -> str:
        return f"{self.source}-{self.target}"


@dataclass(frozen=True)
class Corpus:
    """Raw line pairs, source first; iterating again starts over.

    `origin` tells where the text comes from in values that JSON can hold, for people; `identity` holds what changes
    when the text does. Iterating raises `DataError` on a corpus that is empty, damaged or of unequal sides, and at what
    is no pair, unless it `keeps_malformed`, to be counted by who reads it.
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
        """Gives a digest of where the text comes from, as it was when the corpus was opened.

        The same text opened again has the same one; a file that was written since, another version of a TFDS data set
        or another checksum has another. The text itself is not read.
        """
        return hashlib.sha256(json.dumps(self.identity).encode()).hexdigest()


@dataclass(frozen=True)
class Request:
    """What a kind of corpus is asked for: `name` is what stands behind `kind:` in `spec`."""

    spec: str
    name: str
    pair: LanguagePair
    split: str
    tfds_dir: str | None
    downloads: Downloads
    checksums: tuple[str, ...]
    weight_column: bool
