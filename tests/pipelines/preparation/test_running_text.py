"""`prepare` turns running text into blocks of tokens, from which the text can be read again exactly."""

import json
import re
from array import array
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.preparation.chunk_files import read_pairs, write_pairs
from keras_nmt.pipelines.preparation.prepare import PreparationOptions, prepare
from keras_nmt.pipelines.preparation.recipes import Example, Recipe
from keras_nmt.pipelines.preparation.running_text import RunningText
from keras_nmt.pipelines.preparation.workers import LocalWorkers
from keras_nmt.pipelines.shards.manifest import Manifest
from keras_nmt.pipelines.shards.reading import read_tokens
from keras_nmt.pipelines.shards.splits import MixedCorpus, TextCounts
from keras_nmt.pipelines.sources.corpora import LanguagePair
from keras_nmt.pipelines.sources.monolingual.running_text import SECTION_BYTES
from keras_nmt.pipelines.streaming.stream import evaluation_stream
from keras_nmt.pipelines.vocabulary.exact import exact_model
from keras_nmt.pipelines.vocabulary.tokenizer import BOS, EOS, PAD, UNK
from keras_nmt.pipelines.vocabulary.training import WORD_START

PAIR = LanguagePair("prompt", "text")
BYTE = 4  # the id of byte 0
PLAY = "".join(f"\nSpeaker {i}:\n  The  line of number {i * i}.\t(aside)\n" for i in range(300))
DEV = "\nFirst:\n  a\tdev text\u00a0— with  spaces. \n\n"


def options(folder: Path, **changes: Any) -> PreparationOptions:
    (folder / "dev.txt").write_text(DEV, encoding="utf-8")
    if not (folder / "train.txt").exists():
        (folder / "train.txt").write_text(PLAY, encoding="utf-8")
    defaults: dict[str, Any] = {"units": "bytes", "max_tokens": 16, "recipe": RunningText()}
    corpora, dev = (f"text:{folder}/train.txt",), (f"text:{folder}/dev.txt",)
    return PreparationOptions(
        **{"pair": PAIR, "corpora": corpora, "dev": dev, "out": folder / "out", **defaults, **changes}
    )


def prepared(folder: Path, **changes: Any) -> Manifest:
    return prepare(options(folder, **changes), workers=LocalWorkers(1))


def blocks(data: Manifest, split: str) -> list[list[int]]:
    """Returns the targets of all examples; checks that no example has a source."""
    tokens = read_tokens(data.data_dir, data.split(split).shards)
    assert (tokens.values[0] == EOS).all()
    assert (tokens.lengths[:, 0] == 1).all()
    return [block.tolist() for block in np.split(tokens.values[1], np.cumsum(tokens.lengths[:, 1])[:-1])]


def joined(data: Manifest, split: str) -> list[int]:
    return list(chain.from_iterable(blocks(data, split)))


def ids(*documents: str) -> list[int]:
    """Returns the tokens of documents in bytes."""
    return [token for text in documents for token in (*(BYTE + byte for byte in text.encode()), EOS)]


def cut(tokens: list[int], size: int) -> list[list[int]]:
    return [tokens[begin : begin + size] for begin in range(0, len(tokens), size)]


class TestRecipe:
    processor = sentencepiece.SentencePieceProcessor(model_proto=exact_model(()))

    def test_documents_are_joined_and_cut_into_full_blocks_with_the_pair_in_which_each_begins(self) -> None:
        found = RunningText().examples(self.processor, [("", "abc"), ("+", "de"), ("", "\nf")], 4)
        tokens = ids("abc", "de\nf")
        assert [(pair, list(source), list(target)) for pair, (source, target) in found] == [
            (0, [EOS], tokens[:4]),
            (1, [EOS], tokens[4:8]),
            (2, [EOS], tokens[8:]),
        ]

    def test_a_document_that_goes_on_in_the_next_chunk_has_no_end(self) -> None:
        assert RunningText().examples(self.processor, [("+", "ab")], 4) == [
            Example(0, ([EOS], array("i", ids("ab")[:-1])))
        ]

    @given(
        texts=st.lists(st.tuples(st.sampled_from(["", "+"]), st.text("ab\n é", min_size=1, max_size=9)), max_size=5),
        size=st.integers(2, 9),
    )
    def test_the_blocks_hold_each_token_once_and_in_order(self, texts: list[tuple[str, str]], size: int) -> None:
        found = [list(target) for _, (_, target) in RunningText().examples(self.processor, texts, size)]
        expected = [token for mark, text in texts for token in ids(text)[: -1 if mark else None]]
        assert found == cut(expected, size)

    def test_a_document_ends_before_a_dropped_section(self) -> None:
        sections = [("+", "a"), None, ("", "b"), ("+", "c"), ("+", "d"), None, ("+", "e")]
        assert RunningText().remaining(sections) == [("", "a"), ("", "b"), ("+", "c"), ("", "d"), ("+", "e")]
        assert Recipe().remaining([("a", "b"), None, ("c", "d")]) == [("a", "b"), ("c", "d")]

    def test_the_text_is_counted(self) -> None:
        pairs = [("+", "two words\n"), ("", "three more\twords"), ("", "x")]
        assert RunningText().text_counts(pairs) == TextCounts(documents=2, words=6, characters=27)
        assert Recipe().text_counts(pairs) is None


@given(pairs=st.lists(st.tuples(st.text(max_size=5), st.text("a\t\n\r\\\u2028\x1e", max_size=9))))
def test_pairs_in_files_keep_every_character(tmp_path_factory: pytest.TempPathFactory, pairs: Any) -> None:
    path = tmp_path_factory.mktemp("pairs") / "pairs"
    write_pairs(path, pairs)
    assert read_pairs(path) == pairs


def test_the_blocks_joined_are_the_text(tmp_path: Path) -> None:
    data = prepared(tmp_path)
    assert blocks(data, "dev") == cut(ids(DEV), 16)
    train = blocks(data, "train")
    assert Counter(map(tuple, train)) == Counter(map(tuple, cut(ids(PLAY), 16)))
    assert data.split("dev").examples == len(blocks(data, "dev"))
    assert [shard.longest_target for shard in data.split("train").shards] == [16] * 8
    assert (data.task, data.options["normalization"], data.options["units"]) == ("language-model", "identity", "bytes")


def test_the_dev_text_is_kept_and_counted(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("one two\nthree\n", encoding="utf-8")
    dev = (f"text:{tmp_path}/dev.txt", f"text:{tmp_path}/lines.txt?documents=lines")
    split = prepared(tmp_path, dev=dev).split("dev")
    assert split.running_text == "dev.text"
    assert (tmp_path / "out" / "dev.text").read_text(encoding="utf-8") == DEV + "one two\nthree\n"
    assert split.text is None
    assert split.text_counts == TextCounts(3, len(DEV.split()) + 3, len(DEV) + len("one twothree"))
    assert split.cleaning["kept"] == 3


def test_words_are_taken_from_the_text_or_from_a_list(tmp_path: Path) -> None:
    words = [word for word in PLAY.split() if PLAY.split().count(word) > 3]
    data = prepared(tmp_path, units="words", max_tokens=8)
    assert sorted(data.vocabulary().pieces()[5 : 5 + len(set(words))]) == sorted(WORD_START + w for w in set(words))
    (other := tmp_path / "other").mkdir()
    (tmp_path / "words.txt").write_text("<unk>\nThe\nline\n")
    data = prepared(other, units="words", max_tokens=8, vocabulary=tmp_path / "words.txt")
    assert data.vocabulary().pieces()[4:7] == [f"{WORD_START}\n", f"{WORD_START}The", f"{WORD_START}line"]
    assert data.options["vocabulary"] == str(tmp_path / "words.txt")
    known = {"\n": 4, "The": 5, "line": 6}
    expected = [known.get(word, UNK) for word in re.findall(r"\n|\S+", PLAY)]
    assert Counter(map(tuple, blocks(data, "train"))) == Counter(map(tuple, cut([*expected, EOS], 8)))


@pytest.mark.parametrize("units", ["characters", "pieces"])
def test_the_decoded_blocks_of_other_units_are_the_text(tmp_path: Path, units: str) -> None:
    size = {"characters": None, "pieces": 304}[units]
    data = prepared(tmp_path, units=units, vocabulary_size=size, shards=1)
    vocabulary = data.vocabulary()
    [tokens] = vocabulary.encode_in_python([PLAY])
    assert len(tokens) == len(PLAY) if units == "characters" else len(tokens) < len(PLAY)
    assert Counter(map(tuple, blocks(data, "train"))) == Counter(map(tuple, cut([*tokens, EOS], 16)))
    assert vocabulary.decode_in_python([joined(data, "dev")[:-1]]) == [DEV]
    assert set(PLAY) <= set("".join(vocabulary.pieces()).replace(WORD_START, " "))
    assert vocabulary.size == {"characters": -(-(260 + len(set(PLAY))) // 8) * 8, "pieces": 304}[units]


def test_the_vocabulary_holds_the_most_frequent_characters_of_a_given_size(tmp_path: Path) -> None:
    vocabulary = prepared(tmp_path, units="characters", vocabulary_size=264).vocabulary()
    frequent = {character for character, _ in Counter(PLAY).most_common(4)}
    assert set(vocabulary.pieces()[260:]) == frequent


def test_a_batch_has_no_text_in_its_source_and_its_target_is_the_shifted_block(tmp_path: Path) -> None:
    data = prepared(tmp_path)
    rows = 0
    for inputs, labels in evaluation_stream(data, batch_tokens=128, max_length=16).as_numpy_iterator():
        for source, target, block in zip(inputs["source"], inputs["target"], labels, strict=True):
            if (length := np.count_nonzero(block)) == 0:
                continue
            rows += 1
            assert source.tolist() == [EOS, *[PAD] * (len(source) - 1)]
            assert target[:length].tolist() == [BOS, *block[: length - 1]]
    assert rows == data.split("dev").examples


def test_long_texts_are_prepared_in_several_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keras_nmt.pipelines.sources.monolingual.running_text.SECTION_BYTES", 1000)
    monkeypatch.setattr("keras_nmt.pipelines.preparation.phases.clean.CHUNK_BYTES", 4000)
    data = prepared(tmp_path)
    found = blocks(data, "train")
    shorter = [block for block in found if len(block) < 16]
    chunks = -(-len(PLAY) // 4000)
    assert sum(map(len, found)) == len(ids(PLAY))
    assert sum(block.count(EOS) for block in found) == 1
    assert 0 < len(shorter) <= chunks + 1  # only the last block of a chunk
    assert data.split("train").text_counts == TextCounts(1, len(PLAY.split()), len(PLAY))


def test_documents_of_the_dev_set_and_repeated_ones_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_bytes(b"one\n\ntwo\n\nFIRST: a dev text with spaces\n\ntwo\n\n\xff\n\nend")
    data = prepared(tmp_path, corpora=(f"text:{tmp_path}/train.txt?documents=paragraphs",))
    split = data.split("train")
    assert split.cleaning["dropped"] == {"duplicate": 1, "held_out": 1, "undecodable": 1}
    assert split.text_counts == TextCounts(3, 3, 9)
    assert sorted(joined(data, "train")) == sorted(ids("one", "two", "end"))


def test_no_filter_of_translations_drops_running_text(tmp_path: Path) -> None:
    odd = ["+++ 1234 +++", "x" * 30_000, "schÃ¶n &amp; \x01", "\u200b…"]
    (tmp_path / "train.txt").write_text("\n".join(odd), encoding="utf-8")
    data = prepared(tmp_path, corpora=(f"text:{tmp_path}/train.txt?documents=lines",))
    assert data.split("train").cleaning["kept"] == 4
    assert sorted(joined(data, "train")) == sorted(ids(*odd))


def test_corpora_are_mixed_by_their_blocks(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("a" * 160, encoding="utf-8")
    (tmp_path / "more.txt").write_text("b" * 32, encoding="utf-8")
    corpora = (f"text:{tmp_path}/train.txt", f"text:{tmp_path}/more.txt?weight=2&loss_weight=0.5")
    split = prepared(tmp_path, corpora=corpora).split("train")
    assert split.corpora == (MixedCorpus(corpora[0], 11), MixedCorpus(corpora[1], 3, 2.0))
    assert split.examples == 14
    assert split.has_loss_weights


def test_the_report_counts_documents_and_characters(tmp_path: Path) -> None:
    prepared(tmp_path)
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert report["text"]["train"] == {"documents": 1, "words": len(PLAY.split()), "characters": len(PLAY)}
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert f"1 of 1 sections were kept: 1 document(s) with {len(PLAY.split()):,} words" in page
    assert "Words of the source" not in page


def test_more_processes_give_the_same_data(tmp_path: Path) -> None:
    one = prepared(tmp_path)
    several = prepare(options(tmp_path, out=tmp_path / "several"))
    assert [shard.sha256 for shard in one.split("train").shards] == [
        shard.sha256 for shard in several.split("train").shards
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"units": "letters"}, "units is one of pieces, characters, bytes, words, got 'letters'"),
        ({"recipe": Recipe()}, "units bytes are for language models; leave out --units"),
        ({"normalization": "nfc"}, "units bytes keep characters as they are; leave out --normalization"),
        ({"vocabulary_size": 264}, "there are always 256 bytes; leave out --vocabulary-size"),
        (
            {"units": "words", "vocabulary": Path("words.txt"), "vocabulary_size": 8},
            r"all words of words\.txt are used; leave out --vocabulary-size",
        ),
        ({"vocabulary": Path("v.model")}, r"v\.model has its own units; leave out --units"),
        ({"corpora": ("sample:tatoeba-en-de",)}, "has pairs, but the task language-model learns from running text"),
        ({"corpora": ("text:x?tag=news",)}, "running text has one side and no tags; leave out"),
        ({"corpora": ("reversed:text:x",)}, "running text has one side and no tags; leave out"),
        ({"recipe": Recipe(), "units": "pieces"}, "has no pairs; running text is for --task language-model"),
    ],
)
def test_options_that_do_not_fit_are_explained(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        prepared(tmp_path, **changes)


def test_a_document_whose_last_section_is_dropped_ends(tmp_path: Path) -> None:
    """The last section of the first document is blank, that of the second one is held out."""
    full = {letter: (letter * 63 + "\n") * (SECTION_BYTES // 64) for letter in "abc"}
    texts = (full["a"] + " \n", full["b"] + DEV, "end", full["c"] + " \n")
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.txt").write_text(text, encoding="utf-8")
    corpora = tuple(f"text:{tmp_path}/{number}.txt" for number in range(3))
    dev = (f"text:{tmp_path}/3.txt", f"text:{tmp_path}/dev.txt")
    data = prepared(tmp_path, corpora=corpora, dev=dev, max_tokens=4096)
    assert data.split("train").cleaning["dropped"] == {"empty": 1, "held_out": 1}
    assert joined(data, "train").count(EOS) == 3
    assert joined(data, "dev") == ids(full["c"], DEV)
    documents = [data.split(name).text_counts.documents for name in ("train", "dev")]  # type: ignore[union-attr]
    assert documents == [3, 2]
