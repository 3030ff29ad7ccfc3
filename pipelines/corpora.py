"""Where text comes from: a SPEC such as `files:news` or `tfds:wmt14_translate/de-en` becomes raw line pairs.

Nothing is decoded, cleaned or reordered here: a corpus yields bytes, so that cleaning can count what is not UTF-8.
Lines end at `\\n` and nowhere else (U+2028 and its kin are text); a `\\r` before it is stripped.
"""

import difflib
import gzip
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import IO, Any

from pipelines.errors import DataError

RawPair = tuple[bytes, bytes]

SAMPLES = Path(__file__).parent / "sample"
_TFDS_SPLITS = {"dev": "validation"}  # ours -> theirs, where they differ
_TFDS_READ_AT_ONCE = 1024  # pairs a fetch; one at a time, the overhead of tf.data dominates


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
        """Gives the pair that `text` names, such as `en-de`.

        Raises:
            DataError: if `text` is not two language codes with a hyphen between them.
        """
        found = re.fullmatch(r"([A-Za-z_]{2,})-([A-Za-z_]{2,})", text.strip())
        if not found:
            raise DataError(f"expected a language pair such as en-de, got {text!r}")
        return cls(*found.groups())

    def __str__(self) -> str:
        return f"{self.source}-{self.target}"


@dataclass(frozen=True)
class Corpus:
    """Raw line pairs, source first, without line ends; iterating again starts over.

    `origin` tells where the text comes from in values that JSON can hold. Iterating raises `DataError` on a corpus
    that is empty, damaged or of unequal sides.
    """

    spec: str
    origin: dict[str, Any]
    read: Callable[[], Iterator[RawPair]]

    def __iter__(self) -> Iterator[RawPair]:
        empty = True
        for pair in self.read():
            empty = False
            yield pair
        if empty:
            raise DataError(
                f"corpus {self.spec} is empty: expected at least one sentence pair; check the file or split"
            )


def open_corpus(spec: str, pair: LanguagePair, *, split: str = "train", data_dir: str | None = None) -> Corpus:
    """Gives the corpus that `spec` names, in the direction of `pair`.

    Args:
        spec: `tfds:NAME/CONFIG[:SPLIT]`, `files:PREFIX`, `tsv:FILE` or `sample:NAME`; with `reversed:` before it, its
            targets are the sources, to train both directions at once.
        pair: the languages; a TFDS configuration or sample serves both directions.
        split: `train`, `dev` or `test`; `files:` and `tsv:` are what they are and ignore it.
        data_dir: where TFDS keeps its data; its own default if None.

    Raises:
        DataError: if the kind is unknown, the text cannot be found, or it is not in these languages.
    """
    kind, colon, name = spec.partition(":")
    if not colon or kind not in _OPENERS:
        raise _unknown_kind(spec, kind)
    if not name:
        raise DataError(f"corpus {spec!r} names nothing; write {_FORMS[kind]}")
    return _OPENERS[kind](spec, name, pair, split, data_dir)


def _unknown_kind(spec: str, kind: str) -> DataError:
    near = difflib.get_close_matches(kind, _FORMS, n=1)
    hint = f"did you mean {_FORMS[near[0]]}? " if near else ""
    return DataError(f"unknown kind of corpus in {spec!r}; {hint}known: {', '.join(_FORMS.values())}")


# files:PREFIX


def _open_files(spec: str, prefix: str, pair: LanguagePair, split: str, data_dir: str | None) -> Corpus:
    del split, data_dir
    source, target = (_find_side(spec, prefix, language) for language in (pair.source, pair.target))
    origin = {"kind": "files", "spec": spec, "files": [_describe(source), _describe(target)]}
    return Corpus(spec, origin, lambda: _read_two_files(source, target))


def _find_side(spec: str, prefix: str, language: str) -> Path:
    names = [Path(f"{prefix}.{language}"), Path(f"{prefix}.{language}.gz")]
    for name in names:
        if name.is_file():
            return name
    raise DataError(f"corpus {spec}: found neither {names[0]} nor {names[1]}; give the path without .{language}")


def _read_two_files(source: Path, target: Path) -> Iterator[RawPair]:
    sources, targets = _lines(source), _lines(target)
    for number, (left, right) in enumerate(zip_longest(sources, targets)):
        if left is None or right is None:
            longer = number + 1 + sum(1 for _ in (targets if left is None else sources))
            counts = (number, longer) if left is None else (longer, number)
            raise DataError(
                f"{source} has {counts[0]} lines but {target} has {counts[1]}: line n of one must translate "
                "line n of the other; make them equal"
            )
        yield left, right


# tsv:FILE


def _open_tsv(spec: str, name: str, pair: LanguagePair, split: str, data_dir: str | None) -> Corpus:
    del split, data_dir
    path = Path(name)
    if not path.is_file():
        raise DataError(
            f"corpus {spec}: no file {path}; give a file with {pair.source}, a tab, {pair.target} on each line"
        )
    origin = {"kind": "tsv", "spec": spec, "files": [_describe(path)]}
    return Corpus(spec, origin, lambda: _read_columns(path))


def _read_columns(path: Path) -> Iterator[RawPair]:
    for number, line in enumerate(_lines(path), start=1):
        source, tab, rest = line.partition(b"\t")
        if not tab:
            raise DataError(f"{path} line {number} has no tab; expected source, a tab, target on each line")
        yield source, rest.partition(b"\t")[0]


# sample:NAME


def _open_sample(spec: str, name: str, pair: LanguagePair, split: str, data_dir: str | None) -> Corpus:
    del data_dir
    known = sorted(folder.name for folder in SAMPLES.iterdir() if (folder / "ATTRIBUTION.md").is_file())
    if name not in known:
        raise DataError(f"unknown sample {name!r}; the bundled samples are: {', '.join(known)}")
    first, second = name.split("-")[-2:]
    if {first, second} != {pair.source, pair.target}:
        raise DataError(
            f"sample {name} is in {first} and {second}, not {pair}; use --pair {first}-{second} or the reverse"
        )
    path = SAMPLES / name / f"{split}.tsv.xz"
    if not path.is_file():
        raise DataError(f"sample {name} has no split {split!r}; it has train, dev and test")
    origin = {
        "kind": "sample",
        "spec": spec,
        "split": split,
        "files": [_describe(path) | {"path": f"{name}/{path.name}"}],
        "licence": "CC BY 2.0",
        "attribution": "tatoeba.org and manythings.org/anki",
    }
    return Corpus(spec, origin, lambda: _in_order(_read_columns(path), flipped=pair.source == second))


# reversed:SPEC


def _open_reversed(spec: str, name: str, pair: LanguagePair, split: str, data_dir: str | None) -> Corpus:
    corpus = open_corpus(name, pair, split=split, data_dir=data_dir)
    return Corpus(spec, {**corpus.origin, "spec": spec}, lambda: _in_order(corpus.read(), flipped=True))


def _in_order(pairs: Iterator[RawPair], *, flipped: bool) -> Iterator[RawPair]:
    return ((right, left) for left, right in pairs) if flipped else pairs


# tfds:NAME/CONFIG[:SPLIT]


def _open_tfds(spec: str, name: str, pair: LanguagePair, split: str, data_dir: str | None) -> Corpus:
    name, _, chosen = name.partition(":")
    builder = _tfds_builder(spec, name, data_dir)
    languages = sorted(builder.info.features or ())
    if not {pair.source, pair.target} <= set(languages):
        raise DataError(f"corpus {spec} is in {' and '.join(languages)}, not {pair}; choose another configuration")
    split = chosen or _TFDS_SPLITS.get(split, split)
    _tfds_prepare(spec, builder)
    splits = builder.info.splits  # empty in the mock data of tfds.testing, which has any split
    if splits and split.partition("[")[0] not in splits:
        raise DataError(f"corpus {spec} has no split {split!r}; it has {', '.join(splits)}")
    return Corpus(spec, _tfds_origin(spec, builder, split), lambda: _read_tfds(builder, split, pair))


def _tfds_builder(spec: str, name: str, data_dir: str | None) -> Any:
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(name, data_dir=data_dir)
    except (tfds.core.registered.DatasetNotFoundError, ValueError) as error:
        raise DataError(f"corpus {spec}: TFDS cannot open {name!r} ({_first_line(error)})") from error


def _tfds_prepare(spec: str, builder: Any) -> None:
    """Downloads what is not there yet; TFDS shows its own progress on stderr."""
    try:
        builder.download_and_prepare()
    except Exception as error:  # TFDS' download errors have no ancestor of their own
        raise DataError(
            f"corpus {spec}: TFDS could not download or prepare it in {builder.data_path} ({_first_line(error)}); "
            "check the network, or prepare it elsewhere and give its directory"
        ) from error


def _tfds_origin(spec: str, builder: Any, split: str) -> dict[str, Any]:
    info = builder.info
    return {
        "kind": "tfds",
        "spec": spec,
        "name": info.full_name,
        "split": split,
        "pairs": int(info.splits[split].num_examples) if info.splits else None,
        "bytes": int(info.dataset_size or 0),
        "homepage": info.homepage,
        "licence": getattr(info.redistribution_info, "license", None) or "see the homepage",
        "attribution": info.citation,
    }


def _read_tfds(builder: Any, split: str, pair: LanguagePair) -> Iterator[RawPair]:
    examples = builder.as_dataset(split=split, shuffle_files=False)
    for block in examples.batch(_TFDS_READ_AT_ONCE).prefetch(2).as_numpy_iterator():
        for source, target in zip(block[pair.source], block[pair.target], strict=True):
            yield source.replace(b"\n", b" "), target.replace(b"\n", b" ")


# Files


def _lines(path: Path) -> Iterator[bytes]:
    """Yields the lines of a plain, `.gz` or `.xz` file without their ends."""
    try:
        with _open(path) as file:
            for line in file:  # a binary file is split at \n only
                yield line.removesuffix(b"\n").removesuffix(b"\r")
    except (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{path} is damaged or cut short ({_first_line(error)}); fetch it again") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def _open(path: Path) -> IO[bytes]:
    openers: dict[str, Callable[[Path], Any]] = {".gz": gzip.open, ".xz": lzma.open}
    opener = openers.get(path.suffix)
    return opener(path) if opener else path.open("rb")


def _describe(path: Path) -> dict[str, Any]:
    return {"path": str(path.resolve()), "bytes": path.stat().st_size}


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


_FORMS = {
    "tfds": "tfds:NAME/CONFIG",
    "files": "files:PREFIX",
    "tsv": "tsv:FILE",
    "sample": "sample:tatoeba-en-de",
    "reversed": "reversed:SPEC",
}
_OPENERS = {
    "tfds": _open_tfds,
    "files": _open_files,
    "tsv": _open_tsv,
    "sample": _open_sample,
    "reversed": _open_reversed,
}
