"""Parses and checks a SPEC with its options, such as `files:europarl?weight=2&tag=news`; opens no files."""

import difflib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.sources.corpus import DOCUMENTS, LanguagePair
from keras_nmt.pipelines.sources.files import STDIN

_COLUMN = "column"


@dataclass(frozen=True)
class CorpusSpec:
    """A parsed SPEC.

    Attributes:
        text: The SPEC as the user gave it.
        location: The part before the options, such as `files:europarl`.
        weight: The number of times that an epoch takes each pair; need not be an integer.
        tag: The domain of the text, or None.
        pair: The languages of this corpus; if None, the main language pair of the preparation.
        loss_weight: The weight of each pair in the loss.
        loss_weight_column: True if the third column of each line contains the loss weight of the pair; `loss_weight` is
            1 then.
        sha256: The expected SHA-256 of each downloaded file; empty if the SPEC gives none.
        source_field: The field of a JSON object that contains the source; if None, the field is named by the language.
        target_field: The field of a JSON object that contains the target; if None, the field is named by the language.
        documents: One of `DOCUMENTS`, the part of a file of running text that is a document; None if the SPEC gives
            none.
        pos: False to replace the parts of speech of a treebank by `XX`; None if the SPEC does not say.
    """

    text: str
    location: str
    weight: float = 1.0
    tag: str | None = None
    pair: LanguagePair | None = None
    loss_weight: float = 1.0
    loss_weight_column: bool = False
    sha256: tuple[str, ...] = ()
    source_field: str | None = None
    target_field: str | None = None
    documents: str | None = None
    pos: bool | None = None

    @property
    def kind(self) -> str:
        """The kind of corpus, such as `files`, without `reversed:`."""
        return next((kind for kind in self.location.split(":") if kind != "reversed"), "")

    @property
    def is_reversed(self) -> bool:
        """True if source and target are swapped, as in `reversed:files:news`. A second `reversed:` swaps them back."""
        kinds = self.location.split(":")
        return len(list(takewhile("reversed".__eq__, kinds))) % 2 == 1

    @property
    def is_piped(self) -> bool:
        """True if the text comes from standard input, as in `tsv:-`."""
        *_, kind, name = ("", *self.location.split(":"))
        return name == STDIN and kind in ("tsv", "jsonl", "tmx", "trees", "text")

    def __post_init__(self) -> None:
        for name in ("weight", "loss_weight"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise DataError(f"corpus {self.text}: {name} must be a number above 0, got {value:g}")
        if self.tag is not None and not re.fullmatch(r"[A-Za-z0-9_-]+", self.tag):
            raise DataError(
                f"corpus {self.text}: expected a tag of letters, digits, _ and - such as news, got {self.tag!r}"
            )
        for checksum in self.sha256:
            if not re.fullmatch(r"[0-9a-f]{64}", checksum):
                raise DataError(
                    f"corpus {self.text}: expected a sha256 of 64 hexadecimal digits, got {checksum!r}; "
                    "sha256sum FILE prints it"
                )
        if "" in (self.source_field, self.target_field):
            raise DataError(f"corpus {self.text}: expected the name of a field, as in source=body&target=subject")


def parse_spec(spec: str) -> CorpusSpec:
    """Parses a SPEC.

    The options begin at the last `?` that is followed by `name=`, so `files:a?b*` has no options. If a web address has
    a query, at least one option must follow, as in `tsv:https://host/get?file=a.tsv?weight=1`; otherwise the query
    would be read as the options.

    Raises:
        DataError: An option is unknown or given twice, or its value is invalid.
    """
    found = re.fullmatch(r"(.*)\?([A-Za-z]\w*=.*)", spec)
    if not found:
        return CorpusSpec(spec, spec)
    location, query = found.groups()
    fields: dict[str, Any] = {}
    for option in query.split("&"):
        name, equals, value = option.partition("=")
        if name not in _OPTIONS:
            raise _unknown_option(spec, name)
        if not equals:
            raise DataError(f"corpus {spec}: expected {name}=VALUE, got {option!r}")
        read = _OPTIONS[name](spec, name, value)
        if read.keys() & fields.keys():
            raise DataError(f"corpus {spec} gives {name} twice; leave one")
        fields |= read
    return CorpusSpec(spec, location, **fields)


def _unknown_option(spec: str, name: str) -> DataError:
    near = difflib.get_close_matches(name, _OPTIONS, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    known = f"known: {', '.join(_OPTIONS)}"
    own_query = "; after an address with a query of its own, add ?weight=1" if "://" in spec else ""
    return DataError(f"corpus {spec} has an unknown option {name!r}; {hint}{known}{own_query}")


def _number(spec: str, name: str, value: str) -> dict[str, Any]:
    try:
        return {name: float(value)}
    except ValueError:
        form = f"a number or {_COLUMN}" if name == "loss_weight" else "a number"
        raise DataError(f"corpus {spec}: {name} must be {form}, got {value!r}") from None


def _loss_weight(spec: str, name: str, value: str) -> dict[str, Any]:
    return {"loss_weight": 1.0, "loss_weight_column": True} if value == _COLUMN else _number(spec, name, value)


def _tag(spec: str, name: str, value: str) -> dict[str, Any]:
    del spec
    return {name: value}


def _pair(spec: str, name: str, value: str) -> dict[str, Any]:
    try:
        return {name: LanguagePair.parse(value)}
    except DataError as error:
        raise DataError(f"corpus {spec}: {error}") from None


def _checksums(spec: str, name: str, value: str) -> dict[str, Any]:
    del spec
    return {name: tuple(value.lower().split(","))}


def _field(spec: str, name: str, value: str) -> dict[str, Any]:
    del spec
    return {f"{name}_field": value}


def _documents(spec: str, name: str, value: str) -> dict[str, Any]:
    if value not in DOCUMENTS:
        raise DataError(f"corpus {spec}: {name} must be {', '.join(DOCUMENTS[:-1])} or {DOCUMENTS[-1]}, got {value!r}")
    return {name: value}


def _pos(spec: str, name: str, value: str) -> dict[str, Any]:
    if value not in ("yes", "no"):
        raise DataError(f"corpus {spec}: {name} must be yes or no, got {value!r}")
    return {name: value == "yes"}


_OPTIONS: dict[str, Callable[[str, str, str], dict[str, Any]]] = {
    "weight": _number,
    "tag": _tag,
    "pair": _pair,
    "loss_weight": _loss_weight,
    "sha256": _checksums,
    "source": _field,
    "target": _field,
    "documents": _documents,
    "pos": _pos,
}
