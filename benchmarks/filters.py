"""Measures the share of good translations that the default filters drop, by language.

The translations were made by professionals. Each language has one file, whose line n translates line n of the source.
Each filter sees every pair, also the pairs that other filters drop. As a control, each source is also paired with the
translation of the next line. A filter is right to drop such a misaligned pair.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import langcodes

from keras_nmt.pipelines.cleaning.filters import CleaningOptions, filters, repaired

BAR = 0.015  # a filter should drop at most this share of the pairs of a language
WORST = 5
GARBLED = "garbled"


class Shares(NamedTuple):
    """Shares of the pairs of one language that the filters drop.

    Attributes:
        language: Label of the translations: a file name or a language.
        by_filter: Share of the aligned pairs that each filter drops. Filters that drop no pair are left out.
        dropped: Share of the aligned pairs that at least one filter drops.
        misaligned_dropped: Share of the misaligned pairs that at least one filter drops.
    """

    language: str
    by_filter: dict[str, float]
    dropped: float
    misaligned_dropped: float


def main() -> None:
    """Measures the filters. Prints a table to stderr and one JSON object to stdout."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python -m benchmarks.filters --source NTREX-128/newstest2019-src.eng.txt "
        "--references NTREX-128",
    )
    parser.add_argument("--source", type=Path, required=True, metavar="F", help="source text, named like en.txt")
    parser.add_argument(
        "--references",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of translations, line by line those of F, in files named like de.txt or ref.deu.txt",
    )
    options = parser.parse_args()
    found = sorted(measure(options.source, options.references), key=lambda shares: shares.dropped, reverse=True)
    if not found:
        sys.exit(f"{options.references} has no file with as many lines as {options.source} and a language in its name")
    for line in table(found):
        print(line, file=sys.stderr)
    worst = worst_shares(found)
    print(json.dumps({
        "languages": len(found),
        "worst": [f"{share:.4f} {reason} {language}" for share, reason, language in worst[:WORST]],
        "over_the_bar": sum(share > BAR for share, _, _ in worst),
        "dropped": round(sum(shares.dropped for shares in found) / len(found), 4),
        "misaligned_dropped": round(sum(shares.misaligned_dropped for shares in found) / len(found), 4),
    }))  # fmt: skip


def measure(source: Path, folder: Path) -> Iterator[Shares]:
    """Yields the shares of dropped pairs for each translation of `source` in the folder.

    A translation is a file that has a language in its name and as many lines as `source`. Other files are skipped.
    Exits if `source` has no language in its name.
    """
    sources, from_language = _lines(source), language_of(source)
    if from_language is None:
        sys.exit(f"{source} has no language in its name; expected a name like en.txt")
    for file in sorted(folder.iterdir()):
        language = language_of(file)
        if language is None or file.samefile(source):
            continue
        targets = _lines(file)
        if len(targets) == len(sources):
            yield shares_dropped(sources, targets, (from_language, language), file.name)


def shares_dropped(
    sources: Sequence[str], targets: Sequence[str], languages: tuple[str, str], name: str = ""
) -> Shares:
    """Returns the shares of pairs that the filters drop in one language.

    A misaligned pair consists of a source sentence and the translation of the next source sentence.

    Args:
        sources: Source sentences.
        targets: The translation of each source sentence.
        languages: Codes of the source and the target language.
        name: Label of the translations; the target language if empty.
    """
    aligned = [
        reasons for pair in zip(sources, targets, strict=True) if (reasons := _reasons(*pair, languages)) is not None
    ]
    shifted = [
        reasons
        for pair in zip(sources, [*targets[1:], *targets[:1]], strict=True)
        if (reasons := _reasons(*pair, languages)) is not None
    ]
    counts = Counter(reason for reasons in aligned for reason in reasons)
    return Shares(
        name or languages[1],
        {reason: count / len(aligned) for reason, count in counts.items()},
        sum(map(bool, aligned)) / len(aligned),
        sum(map(bool, shifted)) / len(shifted),
    )


def language_of(file: Path) -> str | None:
    """Returns the language in a file's name, or None if there is none.

    Examples are `deu` for `newstest2019-ref.deu.txt`, and `deu_Latn` for `deu_Latn.dev`.
    """
    parts = file.name.removesuffix(".txt").split(".")
    return next((part for part in reversed(parts) if langcodes.tag_is_valid(part)), None)


def worst_shares(found: Sequence[Shares]) -> list[tuple[float, str, str]]:
    """Returns (share, filter, language) for all filters and languages, the largest share first."""
    return sorted(
        ((share, reason, shares.language) for shares in found for reason, share in shares.by_filter.items()),
        reverse=True,
    )


def table(found: Sequence[Shares]) -> list[str]:
    """Returns the lines of a table in percent, with a line for each language.

    There is a column for each filter that drops at least one pair, one for all filters together, and one for misaligned
    pairs.
    """
    reasons = sorted({reason for shares in found for reason in shares.by_filter})
    width = max(len(shares.language) for shares in found)
    lines = [" ".join([f"{'dropped, %':{width}}", *(f"{name:>12}" for name in [*reasons, "any", "misaligned"])])]
    for shares in found:
        values = [*(shares.by_filter.get(reason, 0.0) for reason in reasons), shares.dropped, shares.misaligned_dropped]
        lines.append(" ".join([f"{shares.language:{width}}", *(f"{100 * value:12.2f}" for value in values)]))
    return lines


def _reasons(source: str, target: str, languages: tuple[str, str]) -> list[str] | None:
    """Returns the names of the filters that drop a pair, or None if a side has no text, which happens in test sets.

    If the encoding of a side cannot be repaired, the only name is "garbled".
    """
    left, right = repaired(source), repaired(target)
    if left is None or right is None:
        return [GARBLED]
    pair = (" ".join(left.split()), " ".join(right.split()))
    if not all(pair):
        return None
    return [reason for reason, is_dropped in filters(CleaningOptions(), languages) if is_dropped(*pair)]


def _lines(file: Path) -> list[str]:
    return file.read_bytes().decode(errors="replace").removesuffix("\n").split("\n")


if __name__ == "__main__":
    main()
