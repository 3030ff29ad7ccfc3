"""Bundled samples, `sample:NAME`: small real corpora with their licences, available offline."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.language_codes import match
from keras_nmt.pipelines.sources.corpus import Corpus, CorpusRequest, LanguagePair, RawPair
from keras_nmt.pipelines.sources.files import describe
from keras_nmt.pipelines.sources.monolingual.running_text import read_documents
from keras_nmt.pipelines.sources.monolingual.trees import read_file
from keras_nmt.pipelines.sources.text import read_columns

SAMPLES = Path(__file__).resolve().parents[1] / "sample"


@dataclass(frozen=True)
class Sample:
    """A bundled corpus, in a folder of its own in `pipelines/sample`.

    Attributes:
        sides: The source and the target: languages, or other roles such as text and summary.
        is_translated: True if the sides are languages. Then the corpus can be read in either direction.
        kind: The kind of its files, which is their suffix before `.xz`.
        licence: The licence of the text.
        attribution: The authors, or where the text comes from.
    """

    sides: tuple[str, str]
    is_translated: bool
    kind: str
    licence: str
    attribution: str


READERS: dict[str, Callable[[str], Iterator[RawPair]]] = {
    "tsv": read_columns,
    "trees": read_file,
    "txt": read_documents,
}
KNOWN = {
    "tatoeba-en-de": Sample(("en", "de"), True, "tsv", "CC BY 2.0", "tatoeba.org and manythings.org/anki"),
    "craft-trees": Sample(("words", "tree"), False, "trees", "CC BY 3.0", "the CRAFT corpus, University of Colorado"),
    "debian-descriptions": Sample(
        ("text", "summary"), False, "tsv", "free, each under the licence of its package", "the maintainers of Debian"
    ),
    "tinyshakespeare": Sample(("prompt", "text"), False, "txt", "public domain", "William Shakespeare, char-rnn"),
}


def has_running_text(name: str) -> bool:
    """Returns True if the sample `name` is running text for language models, without pairs."""
    return name in KNOWN and KNOWN[name].kind == "txt"


def open_sample(request: CorpusRequest) -> Corpus:
    """Opens a split of a sample. Translations can be read in either direction.

    Raises:
        DataError: There is no such sample or split, or the sample does not have these sides.
    """
    name = request.name
    if name not in KNOWN:
        raise DataError(f"unknown sample {name!r}; the bundled samples are: {', '.join(KNOWN)}")
    sample = KNOWN[name]
    flipped = is_flipped(name, sample, request.pair)
    path = SAMPLES / name / f"{request.split}.{sample.kind}.xz"
    if not path.is_file():
        raise DataError(f"sample {name} has no split {request.split!r}; it has train, dev and test")
    file = describe(str(path)) | {"path": f"{name}/{path.name}"}
    origin = {
        "kind": "sample",
        "spec": request.spec,
        "split": request.split,
        "files": [file],
        "licence": sample.licence,
        "attribution": sample.attribution,
    }
    identity = ("sample", str(request.pair), file["path"], file["bytes"])
    read = READERS[sample.kind]
    return Corpus(request.spec, origin, identity, lambda: in_direction(read(str(path)), flipped=flipped))


def is_flipped(name: str, sample: Sample, pair: LanguagePair) -> bool:
    """Returns True if `pair` is the reverse of the sample's sides.

    Raises:
        DataError: The sample does not have these sides.
    """
    first, second = sample.sides
    if not sample.is_translated:
        if (pair.source, pair.target) != sample.sides:
            raise DataError(f"sample {name} has {first} and {second}, not {pair}; name the --task that fits")
        return False
    source, target = (match(language, sample.sides) for language in (pair.source, pair.target))
    if {source, target} != set(sample.sides):
        raise DataError(
            f"sample {name} is in {first} and {second}, not {pair}; use --pair {first}-{second} or the reverse"
        )
    return source == second


def in_direction(pairs: Iterator[RawPair], *, flipped: bool) -> Iterator[RawPair]:
    """Yields the pairs, with source and target swapped if `flipped`."""
    return (pair._replace(source=pair.target, target=pair.source) for pair in pairs) if flipped else pairs
