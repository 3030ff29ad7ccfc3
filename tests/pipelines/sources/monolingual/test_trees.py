"""Treebanks as corpora: words and trees, layouts, damage."""

import gzip
import io
from pathlib import Path

import pytest

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.sources.corpora import Corpus, LanguagePair, RawPair, open_corpus, parse_spec

PAIR = LanguagePair("words", "tree")
ONE = "(TOP (S (NP (PRP It)) (VP (VBZ works)) (. .)))"
RAW = """
( (S
    (NP-SBJ-1 (-LRB- -LRB-) (NNP Köln) (-RRB- -RRB-))
    (VP (VBZ is) (NP (-NONE- *T*-1)))
    (. .)))
"""


def opened(folder: Path, text: str | bytes, name: str = "a.mrg") -> Corpus:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return open_corpus(f"trees:{folder / name}", PAIR)


def test_the_source_is_the_words_and_the_target_is_the_tree_in_one_line(tmp_path: Path) -> None:
    assert list(opened(tmp_path, f"{ONE}\n{RAW}")) == [
        RawPair(b"It works .", ONE.encode()),
        RawPair(
            "-LRB- Köln -RRB- is .".encode(),
            "(TOP (S (NP (-LRB- -LRB-) (NNP Köln) (-RRB- -RRB-)) (VP (VBZ is)) (. .)))".encode(),
        ),
    ]


def test_files_may_be_compressed_matched_by_a_pattern_and_reversed(tmp_path: Path) -> None:
    opened(tmp_path, gzip.compress(ONE.encode()), "a.trees.gz")
    opened(tmp_path, "(NP (NN end))", "b.trees")
    corpus = open_corpus(f"reversed:trees:{tmp_path}/*.trees*", LanguagePair("tree", "words"))
    assert [pair.target for pair in corpus] == [b"It works .", b"end"]
    assert [Path(file["path"]).name for file in corpus.origin["files"]] == ["a.trees.gz", "b.trees"]
    assert corpus.origin["kind"] == "trees"


def test_words_can_be_without_parts_of_speech(tmp_path: Path) -> None:
    opened(tmp_path, f"{ONE}\n(UH Yes)\n( (S (NP (-NONE- *))) )")
    corpus = open_corpus(f"trees:{tmp_path}/a.mrg?pos=no", PAIR)
    expected = ["(TOP (S (NP (XX It)) (VP (XX works)) (XX .)))", "(TOP (XX Yes))", ""]
    assert [pair.target.decode() for pair in corpus] == expected
    assert corpus.fingerprint != open_corpus(f"trees:{tmp_path}/a.mrg?pos=yes", PAIR).fingerprint
    with pytest.raises(DataError, match=r"pos must be yes or no, got 'some'"):
        parse_spec("trees:a?pos=some")
    with pytest.raises(DataError, match=r"pos is for trees:FILE; leave it out"):
        open_corpus("text:a?pos=no", PAIR)


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(ONE.encode())))
    assert list(open_corpus("trees:-", PAIR)) == [RawPair(b"It works .", ONE.encode())]
    assert parse_spec("trees:-").is_piped


def test_a_tree_without_words_is_an_empty_pair(tmp_path: Path) -> None:
    assert list(opened(tmp_path, "( (S (NP (-NONE- *))) )")) == [RawPair(b"", b"")]


def test_a_damaged_tree_is_reported_with_its_line(tmp_path: Path) -> None:
    corpus = opened(tmp_path, f"{ONE}\n\n(TOP (S (NP It)\n{ONE}\n")
    pairs = iter(corpus)
    next(pairs)
    message = r"a\.mrg line 3 begins a damaged tree: 2 brackets are not closed; expected .*; --drop-malformed drops"
    with pytest.raises(DataError, match=message):
        next(pairs)


def test_a_damaged_tree_is_yielded_as_malformed_on_request(tmp_path: Path) -> None:
    first, second, third = opened(tmp_path, f"{ONE}\n(TOP (S (NP It)\n{ONE}\n").read()
    assert first == third == RawPair(b"It works .", ONE.encode())
    assert second.source.split() == b"( TOP ( S ( NP It )".split()
    assert second.malformed is not None
    assert second.malformed.in_short.startswith("a.mrg line 2 begins a damaged tree: 2 brackets are not closed")


def test_text_that_is_not_utf_8_stays_so_for_cleaning_to_count(tmp_path: Path) -> None:
    assert list(opened(tmp_path, b"(NP (NN caf\xe9))")) == [RawPair(b"caf\xe9", b"(TOP (NP (NN caf\xe9)))")]


def test_a_missing_file_and_a_file_without_trees_are_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file /nowhere; give a file with trees such as \(TOP \(S"):
        open_corpus("trees:/nowhere", PAIR)
    with pytest.raises(DataError, match="is empty: expected at least one sentence pair"):
        list(opened(tmp_path, "\n"))


def test_the_text_decides_the_fingerprint(tmp_path: Path) -> None:
    first = opened(tmp_path, ONE).fingerprint()
    assert opened(tmp_path, ONE + RAW).fingerprint() != first
