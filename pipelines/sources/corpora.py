"""Where text comes from: a SPEC such as `files:news` or `tfds:wmt14_translate/de-en` becomes raw line pairs.

Nothing is cleaned or reordered here: a corpus yields bytes, so that cleaning can count what is not UTF-8. Each kind of
corpus is a module of `pipelines.sources`.
"""

import difflib
from collections.abc import Callable
from dataclasses import replace

from pipelines.errors import DataError
from pipelines.sources.corpus import Corpus, LanguagePair, RawPair, Request
from pipelines.sources.downloads import Downloads
from pipelines.sources.sample import SAMPLES, in_order, open_sample
from pipelines.sources.specs import CorpusSpec, parse_spec
from pipelines.sources.text import open_files, open_jsonl, open_tsv
from pipelines.sources.tmx import open_tmx
from pipelines.sources.wmt import open_tfds

__all__ = ["SAMPLES", "Corpus", "CorpusSpec", "LanguagePair", "RawPair", "open_corpus", "parse_spec"]


def open_corpus(
    spec: str | CorpusSpec,
    pair: LanguagePair,
    *,
    split: str = "train",
    data_dir: str | None = None,
    downloads: Downloads | None = None,
) -> Corpus:
    """Gives the corpus that `spec` names, in the direction of `pair`.

    Of the options in `spec`, those on reading are obeyed here (`sha256`, `loss_weight=column`); how often pairs are
    taken, what tag they bear, in which languages and how much all of them count is up to who mixes the corpora.

    Args:
        spec: `tfds:NAME/CONFIG[:SPLIT]`, `files:PREFIX`, `tsv:FILE`, `jsonl:FILE`, `tmx:FILE` or `sample:NAME`; with
            `reversed:` before it, its targets are the sources, to train both directions at once.
        pair: the languages; a TFDS configuration, a sample, JSON lines and TMX serve both directions.
        split: `train`, `dev` or `test`; files are what they are and ignore it.
        data_dir: where TFDS keeps its data; its own default if None.
        downloads: where files from `https://` are kept; the user's cache if None.

    Raises:
        DataError: if the kind is unknown, the text cannot be found, or it is not in these languages.
    """
    wanted = parse_spec(spec) if isinstance(spec, str) else spec
    kind, colon, name = wanted.location.partition(":")
    if not colon or kind not in _FORMS:
        raise _unknown_kind(wanted.location, kind)
    if not name:
        raise DataError(f"corpus {wanted.location!r} names nothing; write {_FORMS[kind]}")
    if kind == _REVERSED:
        rest = replace(wanted, location=name)
        return _reversed(wanted, open_corpus(rest, pair, split=split, data_dir=data_dir, downloads=downloads))
    _check_options(wanted, kind)
    return _OPENERS[kind](
        Request(
            spec=wanted.text,
            name=name,
            pair=pair,
            split=split,
            tfds_dir=data_dir,
            downloads=downloads or Downloads(),
            checksums=wanted.sha256,
            weight_column=wanted.loss_weight_column,
        )
    )


def _unknown_kind(location: str, kind: str) -> DataError:
    near = difflib.get_close_matches(kind, _FORMS, n=1)
    hint = f"did you mean {_FORMS[near[0]]}? " if near else ""
    return DataError(f"unknown kind of corpus in {location!r}; {hint}known: {', '.join(_FORMS.values())}")


def _check_options(spec: CorpusSpec, kind: str) -> None:
    if spec.loss_weight_column and kind != "tsv":
        raise DataError(f"corpus {spec.text}: only tsv:FILE has a column for loss_weight=column; give a number")
    if spec.sha256 and kind in ("tfds", "sample"):
        raise DataError(f"corpus {spec.text}: sha256 is for what is fetched from https://; leave it out")


def _reversed(spec: CorpusSpec, corpus: Corpus) -> Corpus:
    origin = {**corpus.origin, "spec": spec.text}
    identity = (_REVERSED, *corpus.identity)
    return Corpus(spec.text, origin, identity, lambda: in_order(corpus.read(), flipped=True))


_REVERSED = "reversed"
_FORMS = {
    "tfds": "tfds:NAME/CONFIG",
    "files": "files:PREFIX",
    "tsv": "tsv:FILE",
    "jsonl": "jsonl:FILE",
    "tmx": "tmx:FILE",
    "sample": "sample:tatoeba-en-de",
    _REVERSED: "reversed:SPEC",
}
_OPENERS: dict[str, Callable[[Request], Corpus]] = {
    "tfds": open_tfds,
    "files": open_files,
    "tsv": open_tsv,
    "jsonl": open_jsonl,
    "tmx": open_tmx,
    "sample": open_sample,
}
