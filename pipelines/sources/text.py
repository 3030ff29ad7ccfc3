"""Parallel text in lines: `files:` (one file per side), `tsv:` (tab-separated columns), `jsonl:` (one object per line).

Only `\\n` ends a line, and a `\\r` before it is removed. U+2028 and similar characters are ordinary text. Lines that
are not pairs are yielded too, marked by `RawPair.malformed`.
"""

import json
import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, zip_longest
from typing import Any

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.language_codes import match
from keras_nmt.pipelines.sources.corpus import Corpus, CorpusRequest, Malformed, RawPair
from keras_nmt.pipelines.sources.files import display_name, raw_lines
from keras_nmt.pipelines.sources.locating import TextFile, locate, locate_sides

_EMPTY = RawPair(b"", b"")  # dropped and counted by cleaning
_NO_TAB = " has no tab; expected source, a tab, target on each line"


class MalformedLineError(ValueError):
    """The error raised if a line is not a pair. Its message is the reason, which is appended to "FILE line N"."""


def open_files(request: CorpusRequest) -> Corpus:
    """Opens `files:PREFIX`, a corpus with one file for the source and one for the target.

    PREFIX may be a pattern. The files of all matching prefixes are concatenated, in alphabetical order.
    """
    sides = locate_sides(request)
    every = [file for pair in sides for file in pair]

    def read() -> Iterator[RawPair]:
        return chain.from_iterable(_read_two_files(source.path, target.path) for source, target in sides)

    return _corpus(request, "files", every, read)


def open_tsv(request: CorpusRequest) -> Corpus:
    """Opens `tsv:FILE`, in which each line has a source, a tab and a target.

    A third column is ignored, unless `request.weight_column` says that it contains loss weights.
    """
    pair = request.pair
    found = locate(request, f"{pair.source}, a tab, {pair.target} on each line")
    read_file = read_weighted_columns if request.weight_column else read_columns
    return _corpus(request, "tsv", found, lambda: chain.from_iterable(read_file(file.path) for file in found))


def open_jsonl(request: CorpusRequest) -> Corpus:
    """Opens `jsonl:FILE`, in which each line is a JSON object with a source and a target.

    The fields are named by the languages, unless the SPEC names others. The texts may also be in a nested object
    `translation`. The field `weight`, if present, is the loss weight.

    Raises:
        DataError: No file is found, or source and target are the same field.
    """
    source, target = request.fields
    if source == target:
        raise DataError(f"corpus {request.spec}: source and target are both the field {source!r}; name two fields")
    parse = partial(_object, fields=request.fields)
    found = locate(request, f'{{"{source}": …, "{target}": …}} on each line')
    return _corpus(request, "jsonl", found, lambda: chain.from_iterable(_read_pairs(f.path, parse) for f in found))


def read_columns(path: str) -> Iterator[RawPair]:
    """Yields pairs from the first two columns of a file."""
    return _read_pairs(path, _two_columns)


def read_weighted_columns(path: str) -> Iterator[RawPair]:
    """Yields pairs from the first two columns of a file, with the loss weight from the third column."""
    return _read_pairs(path, _three_columns)


def checked_weight(value: str | float | None, what: str) -> float:
    """Converts a value to a loss weight; `what` names the value in the error message.

    Raises:
        MalformedLineError: The value is not a number of at least 0.
    """
    try:
        weight = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        weight = math.nan
    if not (math.isfinite(weight) and weight >= 0) or isinstance(value, bool):
        raise MalformedLineError(f": {what} is not a weight; expected a number of at least 0, got {value!r}")
    return weight


def in_one_line(text: bytes) -> bytes:
    r"""Joins the lines of a text by spaces; removes blank lines, as between paragraphs, and the spaces around lines.

    Only `\n`, `\r` and `\r\n` are line ends. Example: "One.\n\n Two.\r\n" becomes "One. Two.".
    """
    return b" ".join(filter(None, map(bytes.strip, text.splitlines())))


def _corpus(request: CorpusRequest, kind: str, found: list[TextFile], read: Callable[[], Iterator[RawPair]]) -> Corpus:
    origin = {"kind": kind, "spec": request.spec, "files": [file.describe() for file in found]}
    identity = (kind, str(request.pair), request.fields, request.weight_column, [file.identify() for file in found])
    return Corpus(request.spec, origin, identity, read)


def _read_two_files(source: str, target: str) -> Iterator[RawPair]:
    sources, targets = raw_lines(source), raw_lines(target)
    for number, (left, right) in enumerate(zip_longest(sources, targets)):
        if left is None or right is None:
            longer = number + 1 + sum(1 for _ in (targets if left is None else sources))
            counts = (number, longer) if left is None else (longer, number)
            raise DataError(
                f"{source} has {counts[0]} lines but {target} has {counts[1]}: line n of one must translate "
                "line n of the other; make them equal"
            )
        yield RawPair(left, right)


def _read_pairs(path: str, parse: Callable[[bytes], RawPair | None]) -> Iterator[RawPair]:
    """Yields the pair of each line; skips a line if `parse` returns None. Malformed lines are yielded as such."""
    for number, line in enumerate(raw_lines(path), start=1):
        try:
            pair = parse(line)
        except MalformedLineError as error:
            pair = RawPair(line, b"", malformed=Malformed(display_name(path), f" line {number}{error}"))
        if pair is not None:
            yield pair


def _two_columns(line: bytes) -> RawPair:
    if not line.strip():
        return _EMPTY
    source, rest = _source_and_rest(line)
    return RawPair(source, rest.partition(b"\t")[0])


def _three_columns(line: bytes) -> RawPair:
    if not line.strip():
        return _EMPTY
    source, rest = _source_and_rest(line)
    target, _, last = rest.partition(b"\t")
    weight = last.partition(b"\t")[0].decode(errors="replace")
    return RawPair(source, target, checked_weight(weight, "its third column"))


def _source_and_rest(line: bytes) -> tuple[bytes, bytes]:
    source, tab, rest = line.partition(b"\t")
    if not tab:
        raise MalformedLineError(_NO_TAB)
    return source, rest


def _object(line: bytes, fields: tuple[str, str]) -> RawPair | None:
    if not line.strip():
        return None
    found = _parse_object(line)
    texts = found["translation"] if isinstance(found.get("translation"), dict) else found
    source, target = (_side(texts, field) for field in fields)
    return RawPair(source, target, checked_weight(found.get("weight", 1.0), "weight"))


def _parse_object(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise MalformedLineError(f" is not JSON ({error}); expected an object on each line") from error
    if not isinstance(found, dict):
        raise MalformedLineError(" is not an object; expected one with a text in each language")
    return found


def _side(texts: dict[str, Any], field: str) -> bytes:
    """Returns the text of one side; null becomes an empty text, which cleaning drops and counts.

    Lone surrogates are encoded as bytes that are not valid UTF-8. So cleaning will drop the pair.
    """
    name = match(field, texts)
    text = texts[name] if name else 0
    if text is None:
        return b""
    if not isinstance(text, str):
        raise MalformedLineError(f" has no text in {field!r}; its fields are: {', '.join(texts)}")
    return in_one_line(text.encode(errors="surrogatepass"))
