"""Opens corpora: a SPEC such as `files:news` or `tfds:wmt14_translate/de-en` becomes raw pairs.

The pairs are neither cleaned nor reordered here. A corpus yields bytes, so that cleaning can count the pairs that are
not UTF-8. For each kind of corpus, there is a module in `pipelines.sources`.
"""

import difflib
from collections.abc import Callable
from dataclasses import replace

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.sources.corpus import DOCUMENTS, Corpus, CorpusRequest, LanguagePair, RawPair
from keras_nmt.pipelines.sources.downloads import Downloads
from keras_nmt.pipelines.sources.monolingual.running_text import open_text
from keras_nmt.pipelines.sources.monolingual.trees import open_trees
from keras_nmt.pipelines.sources.sample import SAMPLES, has_running_text, in_direction, open_sample
from keras_nmt.pipelines.sources.specs import CorpusSpec, parse_spec
from keras_nmt.pipelines.sources.text import open_files, open_jsonl, open_tsv
from keras_nmt.pipelines.sources.tmx import open_tmx
from keras_nmt.pipelines.sources.wmt import open_tfds

__all__ = ["SAMPLES", "Corpus", "CorpusSpec", "LanguagePair", "RawPair", "is_running_text", "open_corpus", "parse_spec"]


def open_corpus(
    spec: str | CorpusSpec,
    pair: LanguagePair,
    *,
    split: str = "train",
    data_dir: str | None = None,
    downloads: Downloads | None = None,
) -> Corpus:
    """Opens the corpus that `spec` names, in the direction of `pair`.

    The options of `spec` that concern how corpora are mixed are not used here: weights, tags and language pairs.

    Args:
        spec: `tfds:NAME/CONFIG[:SPLIT]`, `files:PREFIX`, `tsv:FILE`, `jsonl:FILE`, `tmx:FILE`, `trees:FILE`,
            `text:FILE` or `sample:NAME`. A leading `reversed:` swaps source and target, to train both directions at
            once.
        pair: The source and the target language, or `LanguagePair("text", "summary")`. A TFDS configuration, a sample,
            JSON lines and TMX can be read in either direction.
        split: `train`, `dev` or `test`; ignored for files.
        data_dir: The data folder of TFDS; if None, the default of TFDS.
        downloads: The folder for files from `https://`; if None, a folder in the user's cache.

    Raises:
        DataError: The kind of corpus is unknown, its text cannot be found, or its text is not in the languages of
            `pair`.
    """
    wanted = parse_spec(spec) if isinstance(spec, str) else spec
    kind, colon, name = wanted.location.partition(":")
    if not colon or kind not in _FORMS:
        raise _unknown_kind(wanted.location, kind)
    if not name:
        raise DataError(f"corpus {wanted.location!r} has no name; write {_FORMS[kind]}")
    if kind == _REVERSED:
        rest = replace(wanted, location=name)
        return _reversed(wanted, open_corpus(rest, pair, split=split, data_dir=data_dir, downloads=downloads))
    _check_options(wanted, kind)
    return _OPENERS[kind](
        CorpusRequest(
            spec=wanted.text,
            name=name,
            pair=pair,
            split=split,
            tfds_dir=data_dir,
            downloads=downloads or Downloads(),
            checksums=wanted.sha256,
            weight_column=wanted.loss_weight_column,
            documents=wanted.documents or DOCUMENTS[0],
            pos=wanted.pos is not False,
            fields=(wanted.source_field or pair.source, wanted.target_field or pair.target),
        )
    )


def is_running_text(spec: CorpusSpec) -> bool:
    """Returns True if `spec` names running text without pairs: `text:FILE`, or a sample of that kind."""
    return spec.kind == "text" or (spec.kind == "sample" and has_running_text(spec.location.rpartition(":")[2]))


def _unknown_kind(location: str, kind: str) -> DataError:
    near = difflib.get_close_matches(kind, _FORMS, n=1)
    hint = f"did you mean {_FORMS[near[0]]}? " if near else ""
    return DataError(f"unknown kind of corpus in {location!r}; {hint}known: {', '.join(_FORMS.values())}")


def _check_options(spec: CorpusSpec, kind: str) -> None:
    if spec.loss_weight_column and kind != "tsv":
        raise DataError(f"corpus {spec.text}: loss_weight=column needs tsv:FILE; give a number")
    if (spec.source_field or spec.target_field) and kind != "jsonl":
        raise DataError(f"corpus {spec.text}: source and target are fields of jsonl:FILE; leave them out")
    if spec.sha256 and kind in ("tfds", "sample"):
        raise DataError(f"corpus {spec.text}: sha256 is for files from https://; leave it out")
    if spec.documents and kind != "text":
        raise DataError(f"corpus {spec.text}: documents is for text:FILE; leave it out")
    if spec.pos is not None and kind != "trees":
        raise DataError(f"corpus {spec.text}: pos is for trees:FILE; leave it out")


def _reversed(spec: CorpusSpec, corpus: Corpus) -> Corpus:
    origin = {**corpus.origin, "spec": spec.text}
    identity = (_REVERSED, *corpus.identity)
    return Corpus(spec.text, origin, identity, lambda: in_direction(corpus.read(), flipped=True))


_REVERSED = "reversed"
_FORMS = {
    "tfds": "tfds:NAME/CONFIG",
    "files": "files:PREFIX",
    "tsv": "tsv:FILE",
    "jsonl": "jsonl:FILE",
    "tmx": "tmx:FILE",
    "text": "text:FILE",
    "trees": "trees:FILE",
    "sample": "sample:tatoeba-en-de",
    _REVERSED: "reversed:SPEC",
}
_OPENERS: dict[str, Callable[[CorpusRequest], Corpus]] = {
    "tfds": open_tfds,
    "files": open_files,
    "tsv": open_tsv,
    "jsonl": open_jsonl,
    "tmx": open_tmx,
    "text": open_text,
    "trees": open_trees,
    "sample": open_sample,
}
