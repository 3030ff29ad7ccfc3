"""Drops the sentence pairs that teach nothing, and says how many for which reason.

Every filter is a predicate over one pair with the reason it drops for. Whitespace is normalised on the way: any run of
it (tabs, no-break spaces, U+2028) becomes one space and the ends are stripped; nothing else in the text is changed.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import DataError

EXAMPLES_KEPT = 3  # of each reason, for the report
_EXAMPLE_CHARACTERS = 100
_SHORT_WORDS = 3  # so many words more are never a wrong length: "Danke." is "Thank you very much."
_BLOCK_PAIRS = 8192  # pairs whose digests are compared at once

# Scripts written without spaces: Thai, Lao, Burmese, Khmer, kana, Han. About two characters make a word.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_UNSPACED_CHARACTERS_A_WORD = 2


@dataclass(frozen=True)
class CleaningOptions:
    """The limits of the filters.

    `max_words` drops a pair with a longer side: past 200 words a line is rarely one sentence. `max_length_ratio` drops
    a pair whose longer side has more than so many times the words of the shorter, plus 3.
    """

    max_words: int = 200
    max_length_ratio: float = 3.0

    def __post_init__(self) -> None:
        if self.max_words < 1:
            raise DataError(f"cleaning: max_words must be at least 1, got {self.max_words}")
        if self.max_length_ratio < 1:
            raise DataError(f"cleaning: max_length_ratio must be at least 1, got {self.max_length_ratio}")


@dataclass
class CleaningReport:
    """How many pairs were kept, and how many dropped for which reason, with the first few of each."""

    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def drop(self, reason: str, source: str | bytes, target: str | bytes) -> None:
        """Counts a pair that was not kept."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
        shown = self.examples.setdefault(reason, [])
        if len(shown) < EXAMPLES_KEPT:
            shown.append((_excerpt(source), _excerpt(target)))

    def take_back(self, reason: str, source: str, target: str) -> None:
        """Counts a pair as dropped that had been kept: some faults show only after tokenisation."""
        self.kept -= 1
        self.drop(reason, source, target)

    def as_dict(self) -> dict[str, Any]:
        """Gives the report in values that JSON can hold."""
        return {"kept": self.kept, "dropped": self.dropped, "examples": self.examples}

    def lines(self) -> list[str]:
        """Gives the report for a person: the total, then each reason with one example."""
        total = self.kept + sum(self.dropped.values())
        report = [f"kept {self.kept:,} of {total:,} pairs"]
        for reason, count in sorted(self.dropped.items(), key=lambda item: -item[1]):
            source, target = self.examples[reason][0]
            report.append(f"dropped {count:,}: {reason.replace('_', ' ')}, such as {source!r} | {target!r}")
        return report


def clean(
    pairs: Iterable[tuple[bytes, bytes]], options: CleaningOptions, report: CleaningReport
) -> Iterator[tuple[str, str]]:
    """Yields the pairs worth learning from, decoded and with normalised whitespace; `report` counts along.

    A pair is a duplicate if both sides have been seen together before.
    """
    seen = _SeenPairs()
    passing = _passing(pairs, options, report)
    while block := list(islice(passing, _BLOCK_PAIRS)):
        for (source, target), is_new in zip(block, seen.add(_digests(block)), strict=True):
            if is_new:
                report.kept += 1
                yield source, target
            else:
                report.drop("duplicate", source, target)


def decode(pair: tuple[bytes, bytes]) -> tuple[str, str] | None:
    """Gives the text of a pair with normalised whitespace, or None if a side is not UTF-8 text.

    A NUL byte is valid UTF-8 but in no text; half of a UTF-16 file looks like that.
    """
    if b"\0" in pair[0] or b"\0" in pair[1]:
        return None
    try:
        source, target = pair[0].decode(), pair[1].decode()
    except UnicodeDecodeError:
        return None
    return " ".join(source.split()), " ".join(target.split())


def is_empty(source: str, target: str, options: CleaningOptions) -> bool:
    """Tells whether a side has no text."""
    del options
    return not source or not target


def is_too_long(source: str, target: str, options: CleaningOptions) -> bool:
    """Tells whether a side has more words than allowed."""
    return max(count_words(source), count_words(target)) > options.max_words


def has_wrong_length_ratio(source: str, target: str, options: CleaningOptions) -> bool:
    """Tells whether one side is so much longer that it cannot be the translation of the other."""
    shorter, longer = sorted((count_words(source), count_words(target)))
    return longer > options.max_length_ratio * shorter + _SHORT_WORDS


def count_words(text: str) -> int:
    """Counts the words between spaces; in scripts without spaces, two characters are a word."""
    words = text.count(" ") + 1
    return words if text.isascii() else words + len(_UNSPACED.findall(text)) // _UNSPACED_CHARACTERS_A_WORD


FILTERS: tuple[tuple[str, Callable[[str, str, CleaningOptions], bool]], ...] = (
    ("empty", is_empty),
    ("too_long", is_too_long),
    ("length_ratio", has_wrong_length_ratio),
)


def _passing(
    pairs: Iterable[tuple[bytes, bytes]], options: CleaningOptions, report: CleaningReport
) -> Iterator[tuple[str, str]]:
    for pair in pairs:
        text = decode(pair)
        if text is None:
            report.drop("undecodable", *pair)
            continue
        reason = next((name for name, is_bad in FILTERS if is_bad(*text, options)), None)
        if reason:
            report.drop(reason, *text)
        else:
            yield text


def _digests(block: list[tuple[str, str]]) -> NDArray[np.uint64]:
    joined = b"".join(hashlib.blake2b(f"{s}\t{t}".encode(), digest_size=8).digest() for s, t in block)
    return np.frombuffer(joined, dtype=np.uint64)


class _SeenPairs:
    """Remembers pairs by their digests in a few sorted arrays: 8 bytes a pair, where a Python set takes about 90."""

    def __init__(self) -> None:
        self._runs: list[NDArray[np.uint64]] = []

    def add(self, digests: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Tells which of the digests are seen for the first time, and remembers all."""
        is_new = np.zeros(len(digests), dtype=bool)
        is_new[np.unique(digests, return_index=True)[1]] = True
        for run in self._runs:
            place = np.minimum(np.searchsorted(run, digests), len(run) - 1)
            is_new &= run[place] != digests
        if is_new.any():
            self._merge(np.sort(digests[is_new]))
        return is_new

    def _merge(self, run: NDArray[np.uint64]) -> None:
        """Keeps each run more than twice as long as the next, so that there are few and merging is cheap."""
        while self._runs and len(self._runs[-1]) <= 2 * len(run):
            run = np.sort(np.concatenate((self._runs.pop(), run)), kind="stable")
        self._runs.append(run)


def _excerpt(text: str | bytes) -> str:
    if isinstance(text, bytes):
        text = text[: 4 * _EXAMPLE_CHARACTERS].decode(errors="backslashreplace")
    return text if len(text) <= _EXAMPLE_CHARACTERS else text[: _EXAMPLE_CHARACTERS - 1] + "…"
