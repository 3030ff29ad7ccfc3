"""Unusual corpora and ways to give them: what is counted, kept and reported."""

import gzip
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_nmt.pipelines.cleaning.filters import CleaningOptions
from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.preparation.prepare import PreparationOptions, prepare
from keras_nmt.pipelines.preparation.workers import LocalWorkers
from keras_nmt.pipelines.shards.manifest import Manifest
from keras_nmt.pipelines.sources.corpora import LanguagePair
from keras_nmt.pipelines.vocabulary.tokenizer import Vocabulary

EN_DE = LanguagePair("en", "de")
WORDS = ["house", "mouse", "tree", "bread", "water", "river", "stone", "cloud", "field", "horse"]
PAIRS = [f"The {word} number {i}.\tDas {word} Nummer {i}." for i, word in enumerate(WORDS * 5)]


@pytest.fixture
def made(tmp_path: Path, vocabulary: Vocabulary) -> Any:
    """Returns a function that prepares corpora with an existing vocabulary."""
    vocabulary.save(tmp_path / "v.model")
    lines(tmp_path / "dev.tsv", "A dev sentence.\tEin Satz.")

    def make(*corpora: str, **changes: Any) -> Manifest:
        options = {"vocabulary": tmp_path / "v.model", "dev": (f"tsv:{tmp_path / 'dev.tsv'}",), **changes}
        cleaning = CleaningOptions(skip=("near_duplicate", "language"))
        return prepare(
            PreparationOptions(EN_DE, corpora, out=tmp_path / "out", cleaning=cleaning, **options),
            workers=LocalWorkers(1),
        )

    return make


def lines(path: Path, *texts: str) -> str:
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return f"tsv:{path}"


def report(manifest: Manifest) -> Any:
    return json.loads((manifest.data_dir / "report.json").read_text())


def test_a_corpus_given_twice_is_reported_twice(tmp_path: Path, made: Any) -> None:
    corpus = lines(tmp_path / "a.tsv", *PAIRS)
    told = report(made(corpus, corpus))["corpora"]
    assert [(one["corpus"], one["kept"], one["dropped"]) for one in told] == [
        (corpus, 50, {}),
        (corpus, 0, {"duplicate": 50}),
    ]


def test_malformed_lines_are_dropped_on_request_and_reported_with_the_first_line_number(
    tmp_path: Path, made: Any
) -> None:
    corpus = lines(tmp_path / "a.tsv", *PAIRS[:9], "no tab", *PAIRS[9:], "nor here")
    with pytest.raises(DataError, match=r"a\.tsv line 10 has no tab; .*; --drop-malformed drops such lines"):
        made(corpus)
    dev = lines(tmp_path / "dev.tsv", "neither", "One.\tEins.")
    manifest = made(corpus, dev=(dev,), drop_malformed=True, keep_dropped=True)
    cleaning, of_dev = (manifest.split(name).cleaning for name in ("train", "dev"))
    assert (cleaning["kept"], cleaning["dropped"], of_dev["dropped"]) == (50, {"malformed": 2}, {"malformed": 1})
    why = "line 10 has no tab; expected source, a tab, target on each line"
    assert [*cleaning["examples"]["malformed"][0]] == ["no tab", f"a.tsv {why}"]
    assert [*of_dev["examples"]["malformed"][0]] == ["neither", f"dev.tsv {why.replace('10', '1')}"]
    dropped = gzip.decompress((manifest.data_dir / "dropped.tsv.gz").read_bytes()).decode()
    assert f"malformed\tno tab\ta.tsv {why}" in dropped


def test_standard_input_can_be_read_only_once(tmp_path: Path, made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("".join(f"{p}\n" for p in PAIRS).encode())))
    with pytest.raises(
        DataError, match=r"tsv:- and reversed:jsonl:-\?pair=en-de are all standard input, which can be read only once"
    ):
        made("tsv:-", "reversed:jsonl:-?pair=en-de")
    assert made("tsv:-").split("train").examples == 50


@pytest.mark.parametrize("weight", ["0", "1e-50", "1e-9"])
def test_loss_weights_that_are_all_zero_are_refused(tmp_path: Path, made: Any, weight: str) -> None:
    weighted = lines(tmp_path / "a.tsv", *(f"{pair}\t{weight}" for pair in PAIRS))
    with pytest.raises(DataError, match="no pair counts in the loss: every loss weight is 0 or below 1e-06; give"):
        made(f"{weighted}?loss_weight=column")
    if weight != "0":
        with pytest.raises(DataError, match="no pair counts in the loss"):
            made(f"{weighted}?loss_weight={weight}")
    assert not (tmp_path / "out").exists()


def test_one_pair_with_a_loss_weight_is_enough(tmp_path: Path, made: Any) -> None:
    weighted = lines(tmp_path / "a.tsv", *(f"{pair}\t{int(i == 49)}" for i, pair in enumerate(PAIRS)))
    manifest = made(f"{weighted}?loss_weight=column")
    weights = [np.load(manifest.data_dir / shard.weights_file) for shard in manifest.split("train").shards]
    assert np.concatenate(weights).sum() == 1


@pytest.mark.parametrize("space", ["\u2028", "\u2029", "\x0b", "\x0c", "\x1c", "\x1f", "\r"])
def test_unusual_spaces_separate_words_but_not_lines(tmp_path: Path, made: Any, space: str) -> None:
    corpus = lines(
        tmp_path / "a.tsv", *PAIRS, f"Salt{space}and &amp; pepper is here.\tSalz{space}und &amp; Pfeffer da."
    )
    manifest = made(corpus)
    assert manifest.split("train").cleaning["kept"] == 51
    assert ("Salt and & pepper is here.", "Salz und & Pfeffer da.") in texts_of(manifest)


def test_a_lone_u0085_becomes_an_ellipsis(tmp_path: Path, made: Any) -> None:
    manifest = made(lines(tmp_path / "a.tsv", *PAIRS, "Wait a moment\x85\tWarte einmal\x85"))
    (text,) = [pair for pair in texts_of(manifest) if pair[0].startswith("Wait")]
    assert [side.replace("...", "\u2026") for side in text] == ["Wait a moment\u2026", "Warte einmal\u2026"]


def texts_of(manifest: Manifest) -> list[tuple[str, str]]:
    """Returns the training pairs, decoded."""
    from keras_nmt.pipelines.shards.reading import read_tokens

    vocabulary, tokens = manifest.vocabulary(), read_tokens(manifest.data_dir, manifest.split("train").shards)
    sides = [
        vocabulary.decode_in_python(
            [ids[:-1].tolist() for ids in np.split(values, np.cumsum(tokens.lengths[:, side])[:-1])]
        )
        for side, values in enumerate(tokens.values)
    ]
    return list(zip(*sides, strict=True))


def test_a_folder_name_need_not_be_utf8(tmp_path: Path, vocabulary: Vocabulary) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    vocabulary.save(folder / "v.model")
    corpus = lines(folder / "a.tsv", *PAIRS, "no tab")
    options = PreparationOptions(
        EN_DE,
        (corpus,),
        (lines(folder / "dev.tsv", "One.\tEins."),),
        folder / "out",
        vocabulary=folder / "v.model",
        drop_malformed=True,
        keep_dropped=True,
    )
    manifest = prepare(options, workers=LocalWorkers(1))
    assert Manifest.load(folder / "out").split("train").origins[0]["files"][0]["path"] == str(folder / "a.tsv")
    assert report(manifest)["corpora"][0]["corpus"] == corpus
    for name in ("manifest.json", "report.json", "report.html"):
        assert (folder / "out" / name).read_text(encoding="utf-8")


def test_without_a_size_the_vocabulary_is_as_large_as_the_text_allows(tmp_path: Path, made: Any) -> None:
    corpus = lines(tmp_path / "a.tsv", *PAIRS)
    with pytest.raises(DataError, match="too small for 32000 pieces; use --vocabulary-size"):
        made(corpus, vocabulary=None, vocabulary_size=32_000)
    manifest = made(corpus, vocabulary=None)
    assert 260 < manifest.vocabulary_size < 1000
    assert manifest.vocabulary_size % 8 == 0


def test_the_vocabulary_sample_is_bounded_by_characters(
    tmp_path: Path, made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = lines(tmp_path / "a.tsv", *PAIRS)
    whole = made(corpus, vocabulary=None).vocabulary_size
    monkeypatch.setattr("keras_nmt.pipelines.preparation.phases.learn_vocabulary.SAMPLE_CHARACTERS", 1000)
    assert made(corpus, vocabulary=None, force=True).vocabulary_size < whole
