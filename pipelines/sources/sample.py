"""Bundled samples, `sample:NAME`: small real corpora with their licences, available offline."""

from collections.abc import Iterator
from pathlib import Path

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.language_codes import match
from keras_nmt.pipelines.sources.corpus import Corpus, CorpusRequest, RawPair
from keras_nmt.pipelines.sources.files import describe
from keras_nmt.pipelines.sources.text import read_columns

SAMPLES = Path(__file__).resolve().parents[1] / "sample"


def open_sample(request: CorpusRequest) -> Corpus:
    """Opens a split of a sample, in either direction of translation.

    Raises:
        DataError: There is no such sample or split, or the sample is not in these languages.
    """
    name, pair = request.name, request.pair
    known = sorted(folder.name for folder in SAMPLES.iterdir() if (folder / "ATTRIBUTION.md").is_file())
    if name not in known:
        raise DataError(f"unknown sample {name!r}; the bundled samples are: {', '.join(known)}")
    first, second = name.split("-")[-2:]
    source, target = (match(language, (first, second)) for language in (pair.source, pair.target))
    if {source, target} != {first, second}:
        raise DataError(
            f"sample {name} is in {first} and {second}, not {pair}; use --pair {first}-{second} or the reverse"
        )
    path = SAMPLES / name / f"{request.split}.tsv.xz"
    if not path.is_file():
        raise DataError(f"sample {name} has no split {request.split!r}; it has train, dev and test")
    file = describe(str(path)) | {"path": f"{name}/{path.name}"}
    origin = {
        "kind": "sample",
        "spec": request.spec,
        "split": request.split,
        "files": [file],
        "licence": "CC BY 2.0",
        "attribution": "tatoeba.org and manythings.org/anki",
    }
    identity = ("sample", str(pair), file["path"], file["bytes"])
    return Corpus(
        request.spec, origin, identity, lambda: in_direction(read_columns(str(path)), flipped=source == second)
    )


def in_direction(pairs: Iterator[RawPair], *, flipped: bool) -> Iterator[RawPair]:
    """Yields the pairs, with source and target swapped if `flipped`."""
    return (pair._replace(source=pair.target, target=pair.source) for pair in pairs) if flipped else pairs
