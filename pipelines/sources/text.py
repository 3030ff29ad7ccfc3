"""Parallel text in files of lines: `files:` (a file a side), `tsv:` (columns by tabs), `jsonl:` (an object a line).

Lines end at `\\n` and nowhere else (U+2028 and its kin are text); a `\\r` before it is stripped.
"""

import json
import math
from collections.abc import Callable, Iterator
from itertools import chain, zip_longest
from typing import Any

from pipelines.errors import DataError
from pipelines.language_codes import match
from pipelines.sources.corpus import Corpus, LanguagePair, RawPair, Request
from pipelines.sources.files import read_lines
from pipelines.sources.locating import TextFile, locate, locate_sides


def open_files(request: Request) -> Corpus:
    """Gives the corpus of `files:PREFIX`, a file a side; several that match are joined in the order of their names."""
    sides = locate_sides(request)
    every = [file for pair in sides for file in pair]

    def read() -> Iterator[RawPair]:
        return chain.from_iterable(_read_two_files(source.path, target.path) for source, target in sides)

    return _corpus(request, "files", every, read)


def open_tsv(request: Request) -> Corpus:
    """Gives the corpus of `tsv:FILE`: source, a tab, target, and a third column that is ignored or is the weight."""
    pair = request.pair
    found = locate(request, f"{pair.source}, a tab, {pair.target} on each line")
    read_file = read_weighted_columns if request.weight_column else read_columns
    return _corpus(request, "tsv", found, lambda: chain.from_iterable(read_file(file.path) for file in found))


def open_jsonl(request: Request) -> Corpus:
    """Gives the corpus of `jsonl:FILE`: an object a line with both languages, in `translation` or not, and `weight`."""
    pair = request.pair
    found = locate(request, f'{{"{pair.source}": …, "{pair.target}": …}} on each line')
    return _corpus(request, "jsonl", found, lambda: chain.from_iterable(_read_objects(f.path, pair) for f in found))


def read_columns(path: str) -> Iterator[RawPair]:
    """Yields the first two columns."""
    for number, line in enumerate(read_lines(path), start=1):
        source, tab, rest = line.partition(b"\t")
        if not tab:
            raise _no_tab(path, number)
        yield RawPair(source, rest.partition(b"\t")[0])


def read_weighted_columns(path: str) -> Iterator[RawPair]:
    """Yields the first three columns, the third of which is a number."""
    for number, line in enumerate(read_lines(path), start=1):
        source, tab, rest = line.partition(b"\t")
        if not tab:
            raise _no_tab(path, number)
        target, _, last = rest.partition(b"\t")
        weight = last.partition(b"\t")[0].decode(errors="replace")
        yield RawPair(source, target, checked_weight(weight, f"{path} line {number}: its third column"))


def checked_weight(value: str | float | None, where: str) -> float:
    """Gives the weight that `value` tells.

    Raises:
        DataError: if it is not a number from 0 up.
    """
    try:
        weight = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        weight = math.nan
    if not (math.isfinite(weight) and weight >= 0) or isinstance(value, bool):
        raise DataError(f"{where} is no weight; expected a number from 0 up, got {value!r}")
    return weight


def in_one_line(text: str) -> bytes:
    """Gives text of a file that is not one of lines; half of a surrogate pair becomes bytes that cleaning drops."""
    return text.replace("\r\n", " ").replace("\n", " ").encode(errors="surrogatepass")


def _corpus(request: Request, kind: str, found: list[TextFile], read: Callable[[], Iterator[RawPair]]) -> Corpus:
    origin = {"kind": kind, "spec": request.spec, "files": [file.describe() for file in found]}
    identity = (kind, str(request.pair), request.weight_column, [file.identify() for file in found])
    return Corpus(request.spec, origin, identity, read)


def _read_two_files(source: str, target: str) -> Iterator[RawPair]:
    sources, targets = read_lines(source), read_lines(target)
    for number, (left, right) in enumerate(zip_longest(sources, targets)):
        if left is None or right is None:
            longer = number + 1 + sum(1 for _ in (targets if left is None else sources))
            counts = (number, longer) if left is None else (longer, number)
            raise DataError(
                f"{source} has {counts[0]} lines but {target} has {counts[1]}: line n of one must translate "
                "line n of the other; make them equal"
            )
        yield RawPair(left, right)


def _no_tab(path: str, number: int) -> DataError:
    return DataError(f"{path} line {number} has no tab; expected source, a tab, target on each line")


def _read_objects(path: str, pair: LanguagePair) -> Iterator[RawPair]:
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        where = f"{path} line {number}"
        found = _parse_object(line, where)
        texts = found["translation"] if isinstance(found.get("translation"), dict) else found
        source, target = (_side(texts, language, where) for language in (pair.source, pair.target))
        yield RawPair(source, target, checked_weight(found.get("weight", 1.0), f"{where}: weight"))


def _parse_object(line: bytes, where: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not JSON ({error}); expected an object on each line") from error
    if not isinstance(found, dict):
        raise DataError(f"{where} is not an object; expected one with a text in each language")
    return found


def _side(texts: dict[str, Any], language: str, where: str) -> bytes:
    """Gives the text of a side; null is an empty one, which cleaning drops and counts."""
    name = match(language, texts)
    text = texts[name] if name else 0
    if text is None:
        return b""
    if not isinstance(text, str):
        raise DataError(f"{where} has no text in {language!r}; its fields are: {', '.join(texts)}")
    return in_one_line(text)
