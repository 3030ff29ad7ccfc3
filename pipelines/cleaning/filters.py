"""Drops the sentence pairs that teach nothing, and says how many for which reason.

Every filter is a predicate over the text of one pair, with the reason it drops for. Before them, whitespace is
normalised (any run of it, tabs, no-break spaces and U+2028 too, becomes one space) and mis-decoded text repaired.
Filters that look at more than one pair, for duplicates and for text of the test sets, are in `duplicates` and `chunks`.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import ftfy
import regex
from ftfy.badness import is_bad

from pipelines.cleaning.language_identification import LEAST_CHARACTERS, are_near, is_in_another_language
from pipelines.cleaning.link_matching import have_other_links
from pipelines.cleaning.number_matching import counts_by_thousands, have_other_numbers
from pipelines.cleaning.word_counts import count_words, share_of_letters
from pipelines.errors import DataError

EXAMPLES_KEPT = 10  # of each reason, for the report
_EXAMPLE_CHARACTERS = 160
_SHORT_WORDS = 3  # so few words are never a wrong length: "Danke." is "Thank you very much."
_CHARACTERS_A_WORD = 20  # or fewer, in any sentence
_IDENTICAL_WORDS = 2  # so many may be alike on both sides: names, numbers

# Those that are no kind of space; U+0085 is an ellipsis of Windows far more often than the end of a line.
_CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x9f\ufffd]")
_ODD_SPACE = re.compile("[\x0b\x0c\r\x1c-\x1f\u2028\u2029]")  # some of which ftfy removes between two words
_SUSPICIOUS = re.compile("[^\x00-\x7f]{2}|" + _CONTROL.pattern)  # UTF-8 read as something else makes several of one
# What ftfy takes for a sign of wrong decoding and is none: quotation marks and brackets at an edge of a word, and the
# letter ƒ of Ewe, where the characters around it cannot be bytes of UTF-8.
_QUOTES = r"[\p{Pi}\p{Pf}\p{Ps}\p{Pe}]+"
_INNOCENT = regex.compile(
    rf"(?<![^\s\p{{P}}]){_QUOTES}|{_QUOTES}(?![^\s\p{{P}}])"
    r"|(?<![^\x00-\x7f])ƒ|(?<![\xc0-\xdf])ƒ(?=[a-z])"
)
_VISIBLE = regex.compile(r"[^ \p{Cf}]")
_REPAIR = ftfy.TextFixerConfig(  # what is certainly wrong; quotes, ligatures and widths are the writer's
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
        max_words: A pair with a longer side is dropped: past 200 words a line is rarely one sentence.
        max_length_ratio: A pair whose longer side has more than so many times the words of the shorter, plus 3, is
            dropped.
        min_letters: A pair with a side of which a smaller share of the characters is letters is dropped, 0 to 1.
        near_duplicates: A pair that shares such a share of its word pairs with an earlier one is dropped, 0 to 1.
        skip: Reasons, of `REASONS`, for which nothing is dropped.
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


@dataclass
class CleaningReport:
    """How many pairs were kept, and how many dropped for which reason, with the first few of each.

    `repaired` of those that the filters for single pairs kept had mis-decoded text that could be mended. Where
    `everything` is a list, all that is dropped is put there with its reason; it is no part of what is written down.
    """

    kept: int = 0
    repaired: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    everything: list[tuple[str, str | bytes, str | bytes]] | None = None

    def drop(self, reason: str, source: str | bytes, target: str | bytes) -> None:
        """Counts a pair that was not kept."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
        shown = self.examples.setdefault(reason, [])
        if len(shown) < EXAMPLES_KEPT:
            shown.append((_excerpt(source), _excerpt(target)))
        if self.everything is not None:
            self.everything.append((reason, source, target))

    def take_back(self, reason: str, source: str, target: str) -> None:
        """Counts a pair as dropped that had been kept: some faults show only beside other pairs, or in tokens."""
        self.kept -= 1
        self.drop(reason, source, target)

    def add(self, other: "CleaningReport") -> None:
        """Takes in the report of text that comes after this one's."""
        self.kept += other.kept
        self.repaired += other.repaired
        self.dropped = dict(Counter(self.dropped) + Counter(other.dropped))
        for reason, pairs in other.examples.items():
            shown = self.examples.setdefault(reason, [])
            shown.extend((source, target) for source, target in pairs[: EXAMPLES_KEPT - len(shown)])

    def as_dict(self) -> dict[str, Any]:
        """Gives the report in values that JSON can hold."""
        return {
            "kept": self.kept,
            "repaired": self.repaired,
            "dropped": dict(sorted(self.dropped.items())),
            "examples": dict(sorted(self.examples.items())),
        }

    def lines(self) -> list[str]:
        """Gives the report for a person: the total, then each reason with one example."""
        total = self.kept + sum(self.dropped.values())
        report = [f"kept {self.kept:,} of {total:,} pairs"]
        if self.repaired:
            report.append(f"repaired {self.repaired:,} with mis-decoded text")
        for reason, count in sorted(self.dropped.items(), key=lambda item: -item[1]):
            source, target = self.examples[reason][0]
            report.append(f"dropped {count:,}: {reason.replace('_', ' ')}, such as {source!r} | {target!r}")
        return report


class Cleaner:
    """Cleans one pair at a time.

    Args:
        options: The limits.
        languages: Of the source and the target, such as `en` and `de`.
    """

    def __init__(self, options: CleaningOptions, languages: tuple[str, str]) -> None:
        self._filters = filters(options, languages)
        self._repairs = "garbled" not in options.skip

    def __call__(self, source: bytes, target: bytes, report: CleaningReport) -> TextPair | None:
        """Gives the text of a pair worth learning from, or None; `report` counts along."""
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
    """Gives the text of a pair, or None if a side is not UTF-8 text.

    A NUL byte is valid UTF-8 but in no text; half of a UTF-16 file looks like that.
    """
    if b"\0" in source or b"\0" in target:
        return None
    try:
        return source.decode(), target.decode()
    except UnicodeDecodeError:
        return None


def repaired(text: str) -> str | None:
    """Gives the text with what went wrong in decoding mended, such as `schÃ¶n` or `it&apos;s`, or None if it cannot."""
    if not (is_garbled(text) or ("&" in text and ";" in text)):
        return text
    mended = str(ftfy.fix_text(_ODD_SPACE.sub(" ", text), _REPAIR))
    return None if is_garbled(mended) else mended


def is_garbled(text: str) -> bool:
    """Tells whether text holds control characters, U+FFFD, or what looks decoded with the wrong encoding.

    ftfy takes a quotation mark beside a letter such as Ä for a sign of the latter.
    """
    if not _SUSPICIOUS.search(text):
        return False
    return bool(_CONTROL.search(text)) or (is_bad(text) and is_bad(_INNOCENT.sub(" ", text)))


# The filters


def filters(options: CleaningOptions, languages: tuple[str, str]) -> list[tuple[str, Predicate]]:
    """Gives the filters that are applied, the cheapest first, each with its reason."""
    may_be_alike = are_near(*languages)
    by_thousands = all(map(counts_by_thousands, languages))
    known: list[tuple[str, Predicate]] = [
        ("empty", is_empty),
        ("too_long", lambda *pair: any(is_too_long(side, options.max_words) for side in pair)),
        ("length_ratio", lambda *pair: length_ratio(*pair) > options.max_length_ratio),
        ("identical", lambda *pair: is_identical(*pair) and not may_be_alike),
        ("few_letters", lambda *pair: min(map(share_of_letters, pair)) < options.min_letters),
        ("numbers", lambda *pair: have_other_numbers(*pair, by_thousands=by_thousands)),
        ("links", have_other_links),
        ("language", lambda *pair: any(map(is_foreign, pair, languages))),
    ]
    return [(reason, is_dropped) for reason, is_dropped in known if reason not in options.skip]


def is_empty(source: str, target: str) -> bool:
    """Tells whether a side has no text, or nothing in it can be seen, such as marks of direction alone."""
    return not (source and target and _is_visible(source) and _is_visible(target))


def is_too_long(text: str, most: int) -> bool:
    """Tells whether text has more than so many words, or characters for so many words; some text has no spaces."""
    return len(text) > most * _CHARACTERS_A_WORD or count_words(text) > most


def length_ratio(source: str, target: str) -> float:
    """Gives how many times the words of the shorter side the longer side has, its first 3 not counted."""
    shorter, longer = sorted((count_words(source), count_words(target)))
    return (longer - _SHORT_WORDS) / shorter


def is_identical(source: str, target: str) -> bool:
    """Tells whether the source was not translated; one or two words may be a name."""
    return source == target and count_words(source) > _IDENTICAL_WORDS


def is_foreign(text: str, language: str) -> bool:
    """Tells whether text is surely in another language; a few words may be in any."""
    return len(text) >= LEAST_CHARACTERS and is_in_another_language(text, language)


def _is_visible(text: str) -> bool:
    return text[0].isalnum() or text.isascii() or bool(_VISIBLE.search(text))


def _excerpt(text: str | bytes) -> str:
    if isinstance(text, bytes):
        text = text[: 4 * _EXAMPLE_CHARACTERS].decode(errors="backslashreplace")
    return text if len(text) <= _EXAMPLE_CHARACTERS else text[: _EXAMPLE_CHARACTERS - 1] + "…"


OPTIONAL: Sequence[str] = (  # reasons that may be skipped; nobody can learn from the others' pairs
    *("garbled", "too_long", "length_ratio", "identical", "few_letters", "numbers", "links", "language"),
    *("held_out", "duplicate", "near_duplicate"),
)
