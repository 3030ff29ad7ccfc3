"""Drops sentence pairs that are useless for training, and counts them by reason.

A filter is a predicate on the text of one pair. Before the filters run, text that was decoded with a wrong encoding is
repaired, and each run of whitespace (including tabs, no-break spaces and U+2028) becomes one space. Duplicates and text
of test sets are found elsewhere (`duplicates`, `pipelines.preparation.phases`).
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import ftfy
import regex
from ftfy.badness import is_bad

from keras_nmt.pipelines.cleaning.language_identification import (
    LEAST_CHARACTERS,
    are_close_relatives,
    is_in_another_language,
)
from keras_nmt.pipelines.cleaning.link_matching import have_different_links
from keras_nmt.pipelines.cleaning.number_matching import counts_by_thousands, have_different_numbers
from keras_nmt.pipelines.cleaning.word_counts import count_words, share_of_letters
from keras_nmt.pipelines.errors import DataError

EXAMPLES_KEPT = 10  # number of examples for each reason in the report
_EXAMPLE_CHARACTERS = 160
_SHORT_WORDS = 3  # this difference in words is always acceptable: "Danke." means "Thank you very much."
_MAX_CHARACTERS_PER_WORD = 20  # no real sentence has a higher average
_IDENTICAL_WORDS = 2  # up to 2 words may be the same in both languages: names, numbers

# Control characters that are not spaces. U+0085 is included: it usually is a mis-decoded Windows ellipsis, no line end.
_CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x9f\ufffd]")
_ODD_SPACE = re.compile("[\x0b\x0c\r\x1c-\x1f\u2028\u2029]")  # ftfy would remove some of these and so join two words
_SUSPICIOUS = re.compile("[^\x00-\x7f]{2}|" + _CONTROL.pattern)  # mis-decoded UTF-8 turns one character into several
# Correct text that ftfy takes for wrongly decoded text: quotation marks and brackets at the edge of a word, and the
# letter ƒ of the Ewe language, if the characters around it cannot be bytes of UTF-8.
_QUOTES = r"[\p{Pi}\p{Pf}\p{Ps}\p{Pe}]+"
_INNOCENT = regex.compile(
    rf"(?<![^\s\p{{P}}]){_QUOTES}|{_QUOTES}(?![^\s\p{{P}}])"
    r"|(?<![^\x00-\x7f])ƒ|(?<![\xc0-\xdf])ƒ(?=[a-z])"
)
_VISIBLE = regex.compile(r"[^ \p{Cf}]")
_REPAIR = ftfy.TextFixerConfig(  # repairs only what is certainly wrong, and keeps quotes, ligatures and widths
    fix_latin_ligatures=False,
    fix_character_width=False,
    uncurl_quotes=False,
    normalization=None,
    explain=False,
)

TextPair = tuple[str, str]
Predicate = Callable[[str, str], bool]


@dataclass(frozen=True)
class CleaningOptions:
    """The limits of the filters.

    Attributes:
        max_words: The maximum number of words on a side; lines with more than 200 words are rarely one sentence.
        max_length_ratio: The maximum of (words of the longer side - 3) / (words of the shorter side).
        min_letters: The minimum share of letters among the characters of a side, 0 to 1.
        near_duplicates: The minimum similarity to an earlier pair, 0 to 1, at which a pair is dropped.
        skip: The reasons (such as `numbers`) of the filters to turn off; only reasons in `OPTIONAL` are allowed.
    """

    max_words: int = 200
    max_length_ratio: float = 3.0
    min_letters: float = 0.4
    near_duplicates: float = 0.9
    skip: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.max_words < 1:
            raise DataError(f"cleaning: max_words must be at least 1, got {self.max_words}")
        if not self.max_length_ratio >= 1:
            raise DataError(f"cleaning: max_length_ratio must be at least 1, got {self.max_length_ratio}")
        for name in ("min_letters", "near_duplicates"):
            if not 0 <= getattr(self, name) <= 1:
                raise DataError(f"cleaning: {name} must be between 0 and 1, got {getattr(self, name)}")
        if unknown := sorted(set(self.skip) - set(OPTIONAL)):
            raise DataError(f"cleaning: no filter is called {unknown[0]!r}; known: {', '.join(OPTIONAL)}")


class DroppedPair(NamedTuple):
    """A dropped pair and the reason. Source and target are bytes if the pair could not be decoded."""

    reason: str
    source: str | bytes
    target: str | bytes


@dataclass
class CleaningReport:
    """Counts of kept and dropped pairs.

    Attributes:
        kept: The number of kept pairs.
        repaired: The number of pairs that were kept by `Cleaner` and whose mis-decoded text was repaired.
        cut: The number of pairs whose source was too long and was cut.
        dropped: The number of dropped pairs by reason.
        examples: The first dropped pairs by reason, up to `EXAMPLES_KEPT` for each.
        everything: A list to which all dropped pairs are added with their reasons, or None to collect only examples.
            The list is not part of `as_dict`.
    """

    kept: int = 0
    repaired: int = 0
    cut: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    everything: list[DroppedPair] | None = None

    def drop(self, reason: str, source: str | bytes, target: str | bytes) -> None:
        """Counts a dropped pair. Stores it as an example, too, if there are few examples of this reason."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
        shown = self.examples.setdefault(reason, [])
        if len(shown) < EXAMPLES_KEPT:
            shown.append((_excerpt(source), _excerpt(target)))
        if self.everything is not None:
            self.everything.append(DroppedPair(reason, source, target))

    def drop_kept(self, reason: str, source: str, target: str) -> None:
        """Counts a pair as dropped that was first counted as kept, such as a duplicate."""
        self.kept -= 1
        self.drop(reason, source, target)

    def add(self, other: "CleaningReport") -> None:
        """Adds the counts and examples of another report."""
        self.kept += other.kept
        self.repaired += other.repaired
        self.cut += other.cut
        self.dropped = dict(Counter(self.dropped) + Counter(other.dropped))
        for reason, pairs in other.examples.items():
            shown = self.examples.setdefault(reason, [])
            shown.extend((source, target) for source, target in pairs[: EXAMPLES_KEPT - len(shown)])

    def as_dict(self) -> dict[str, Any]:
        """Returns the report as JSON values."""
        return {
            "kept": self.kept,
            "repaired": self.repaired,
            **({"cut": self.cut} if self.cut else {}),
            "dropped": dict(sorted(self.dropped.items())),
            "examples": dict(sorted(self.examples.items())),
        }

    def lines(self, counted: str = "pairs") -> list[str]:
        """Returns the report as lines of text: the total, then each reason with an example.

        `counted` is the noun for what the report counts.
        """
        total = self.kept + sum(self.dropped.values())
        report = [f"kept {self.kept:,} of {total:,} {counted}"]
        if self.repaired:
            report.append(f"repaired {self.repaired:,} with mis-decoded text")
        if self.cut:
            report.append(f"cut {self.cut:,} long sources at the end of a sentence")
        for reason, count in sorted(self.dropped.items(), key=lambda item: -item[1]):
            source, target = self.examples[reason][0]
            report.append(f"dropped {count:,}: {reason.replace('_', ' ')}, such as {source!r} | {target!r}")
        return report


class Cleaner:
    """Cleans one pair at each call.

    Args:
        options: The limits of the filters.
        languages: The codes of the source and the target language, such as `en` and `de`.
    """

    def __init__(self, options: CleaningOptions, languages: tuple[str, str]) -> None:
        self._filters = filters(options, languages)
        self._repairs = "garbled" not in options.skip

    def __call__(self, source: bytes, target: bytes, report: CleaningReport) -> TextPair | None:
        """Returns the cleaned pair, or None if the pair is dropped. Counts the pair in `report`."""
        text = decode(source, target)
        if text is None:
            report.drop("undecodable", source, target)
            return None
        left, right = map(repaired, text) if self._repairs else text
        if left is None or right is None:
            report.drop("garbled", *text)
            return None
        clean = (" ".join(left.split()), " ".join(right.split()))
        reason = next((name for name, is_dropped in self._filters if is_dropped(*clean)), None)
        if reason:
            report.drop(reason, *clean)
            return None
        report.kept += 1
        report.repaired += (left, right) != text
        return clean


def decode(source: bytes, target: bytes) -> TextPair | None:
    """Decodes a pair; returns None if a side is not UTF-8 or has a NUL byte.

    A NUL byte is valid UTF-8, but does not occur in text. It is a sign of UTF-16, which contains many NUL bytes.
    """
    if b"\0" in source or b"\0" in target:
        return None
    try:
        return source.decode(), target.decode()
    except UnicodeDecodeError:
        return None


def repaired(text: str) -> str | None:
    """Repairs mis-decoded text such as `schÃ¶n` and `it&apos;s`; returns None if it cannot be repaired."""
    if not (is_garbled(text) or ("&" in text and ";" in text)):
        return text
    fixed = str(ftfy.fix_text(_ODD_SPACE.sub(" ", text), _REPAIR))
    return None if is_garbled(fixed) else fixed


def is_garbled(text: str) -> bool:
    """Returns True if a text contains control characters or U+FFFD, or seems to be decoded with the wrong encoding.

    For correct text in which a quotation mark is beside a letter such as Ä, ftfy's test returns True, but this function
    returns False.
    """
    if not _SUSPICIOUS.search(text):
        return False
    return bool(_CONTROL.search(text)) or (is_bad(text) and is_bad(_INNOCENT.sub(" ", text)))


def filters(options: CleaningOptions, languages: tuple[str, str]) -> list[tuple[str, Predicate]]:
    """Returns the filters to apply, the fastest first, each with the reason under which it drops pairs."""
    may_be_alike = are_close_relatives(*languages)
    by_thousands = all(map(counts_by_thousands, languages))
    known: list[tuple[str, Predicate]] = [
        ("empty", is_empty),
        ("too_long", lambda *pair: any(is_too_long(side, options.max_words) for side in pair)),
        ("length_ratio", lambda *pair: length_ratio(*pair) > options.max_length_ratio),
        ("identical", lambda *pair: is_identical(*pair) and not may_be_alike),
        ("few_letters", lambda *pair: min(map(share_of_letters, pair)) < options.min_letters),
        ("numbers", lambda *pair: have_different_numbers(*pair, by_thousands=by_thousands)),
        ("links", have_different_links),
        ("language", lambda *pair: any(map(is_foreign, pair, languages))),
    ]
    return [(reason, is_dropped) for reason, is_dropped in known if reason not in options.skip]


def is_empty(source: str, target: str) -> bool:
    """Returns True if one side has no visible character. Direction marks, for example, are invisible."""
    return not (source and target and _is_visible(source) and _is_visible(target))


def is_too_long(text: str, max_words: int) -> bool:
    """Returns True if a text has more than `max_words` words or more than 20 * `max_words` characters."""
    return len(text) > max_words * _MAX_CHARACTERS_PER_WORD or count_words(text) > max_words


def length_ratio(source: str, target: str) -> float:
    """Returns (words of the longer side - 3) / (words of the shorter side)."""
    shorter, longer = sorted((count_words(source), count_words(target)))
    return (longer - _SHORT_WORDS) / shorter


def is_identical(source: str, target: str) -> bool:
    """Returns True if the target is a copy of the source and has more than two words. Shorter copies may be names."""
    return source == target and count_words(source) > _IDENTICAL_WORDS


def is_foreign(text: str, language: str) -> bool:
    """Returns True if a text is certainly in another language. Returns False for texts of a few words."""
    return len(text) >= LEAST_CHARACTERS and is_in_another_language(text, language)


def _is_visible(text: str) -> bool:
    return text[0].isalnum() or text.isascii() or bool(_VISIBLE.search(text))


def _excerpt(text: str | bytes) -> str:
    if isinstance(text, bytes):
        text = text[: 4 * _EXAMPLE_CHARACTERS].decode(errors="backslashreplace")
    return text if len(text) <= _EXAMPLE_CHARACTERS else text[: _EXAMPLE_CHARACTERS - 1] + "…"


OPTIONAL: Sequence[str] = (  # the filters that may be turned off; pairs dropped for other reasons are unusable
    *("garbled", "too_long", "length_ratio", "identical", "few_letters", "numbers", "links", "language"),
    *("held_out", "duplicate", "near_duplicate"),
)
