"""From text to a prepared directory that is whole or not there."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipelines.cleaning import CleaningOptions
from pipelines.corpora import LanguagePair, open_corpus
from pipelines.errors import DataError
from pipelines.manifest import MANIFEST, Manifest
from pipelines.preparation import PreparationOptions, default_shards, prepare
from pipelines.shards import read_tokens
from pipelines.stream import evaluation_stream
from pipelines.vocabulary import EOS, Vocabulary

EN_DE = LanguagePair("en", "de")
SAMPLE = "sample:tatoeba-en-de"


def options(out: Path, **changes: Any) -> PreparationOptions:
    defaults: dict[str, Any] = {"vocabulary_size": 400, "limit": 600, "shards": 2}
    return PreparationOptions(**{"pair": EN_DE, "corpora": (SAMPLE,), "dev": SAMPLE, "out": out, **defaults, **changes})


def write_tsv(path: Path, pairs: list[tuple[bytes, bytes]]) -> str:
    path.write_bytes(b"".join(source + b"\t" + target + b"\n" for source, target in pairs))
    return f"tsv:{path}"


def texts(data_dir: Path, split: str) -> set[tuple[str, str]]:
    """Decodes the shards of a split."""
    manifest = Manifest.load(data_dir)
    vocabulary = manifest.vocabulary()
    tokens = read_tokens(data_dir, manifest.split(split).shards)
    sides = []
    for side in range(2):
        ids = tf.RaggedTensor.from_row_lengths(tokens.values[side], tokens.lengths[:, side])
        sides.append([text.decode() for text in vocabulary.decode(ids.to_tensor()).numpy()])
    return set(zip(*sides, strict=True))


def test_the_shards_hold_the_cleaned_text_and_the_manifest_says_what_was_done(prepared: Path) -> None:
    manifest = Manifest.load(prepared)
    train = manifest.split("train")
    corpus = [tuple(side.decode() for side in pair) for pair in list(open_corpus(SAMPLE, EN_DE))[:6000]]
    found = texts(prepared, "train")
    assert train.examples == train.cleaning["kept"] == 6000
    assert len(found & set(corpus)) > 5900  # NFKC changes a few
    assert (manifest.pair, manifest.vocabulary_size) == (EN_DE, 800)
    assert train.origins[0]["licence"] == "CC BY 2.0"
    assert manifest.options["max_tokens"] == 256
    assert manifest.versions["tensorflow"] == tf.__version__


def test_the_dev_text_is_kept_as_it_was_and_encoded_beside(prepared: Path) -> None:
    source, target = Manifest.load(prepared).text()
    raw = list(open_corpus(SAMPLE, EN_DE, split="dev"))
    assert source.read_bytes() == b"".join(left + b"\n" for left, _ in raw)
    assert target.read_bytes() == b"".join(right + b"\n" for _, right in raw)
    stream = evaluation_stream(prepared, batch_tokens=2048, max_length=128)
    assert sum(np.count_nonzero(labels == EOS) for _, labels in stream.as_numpy_iterator()) == 1000


def test_only_empty_and_undecodable_pairs_leave_the_dev_text(tmp_path: Path) -> None:
    odd = (b"two  spaces\xc2\xa0", b"a b c d e f g h i j k l m n o p")  # nothing that cleaning would keep as it is
    pairs = [odd, odd, (b"", b"x"), (b"\xff", b"y")]
    manifest = prepare(options(tmp_path / "out", dev=write_tsv(tmp_path / "dev.tsv", pairs)))
    assert manifest.text()[0].read_bytes() == (odd[0] + b"\n") * 2
    assert manifest.split("dev").cleaning["dropped"] == {"empty": 1, "undecodable": 1}


def test_corpora_are_joined_and_duplicates_among_them_dropped(tmp_path: Path) -> None:
    first = write_tsv(tmp_path / "a.tsv", [(b"one", b"eins"), (b"two", b"zwei")])
    second = write_tsv(tmp_path / "b.tsv", [(b"two", b"zwei"), (b"three", b"drei")])
    manifest = prepare(options(tmp_path / "out", corpora=(first, second), vocabulary_size=272, limit=None))
    assert texts(tmp_path / "out", "train") == {("one", "eins"), ("two", "zwei"), ("three", "drei")}
    assert manifest.split("train").cleaning["dropped"] == {"duplicate": 1}
    assert [origin["spec"] for origin in manifest.split("train").origins] == [first, second]


def test_pairs_of_too_many_tokens_are_dropped_and_counted(tmp_path: Path) -> None:
    train = prepare(options(tmp_path / "out", max_tokens=12)).split("train")
    assert train.cleaning["dropped"]["too_many_tokens"] > 0
    assert train.cleaning["kept"] + train.cleaning["dropped"]["too_many_tokens"] == 600
    assert train.examples == train.cleaning["kept"]
    assert max(max(shard.longest_source, shard.longest_target) for shard in train.shards) == 12


def test_a_side_that_normalisation_empties_drops_the_pair(tmp_path: Path) -> None:
    corpus = write_tsv(tmp_path / "a.tsv", [("\u200b".encode(), b"nothing"), (b"one", b"eins")])
    manifest = prepare(options(tmp_path / "out", corpora=(corpus, SAMPLE), limit=500))
    assert manifest.split("train").cleaning["dropped"] == {"empty": 1}


def test_cleaning_follows_its_options(tmp_path: Path) -> None:
    manifest = prepare(options(tmp_path / "out", cleaning=CleaningOptions(max_words=7), limit=500))
    assert manifest.split("train").cleaning["dropped"]["too_long"] > 0
    assert manifest.options["cleaning"]["max_words"] == 7


def test_the_same_options_write_the_same_bytes_and_another_seed_deals_otherwise(tmp_path: Path) -> None:
    prints = []
    for number, seed in enumerate((0, 0, 1)):
        manifest = prepare(options(tmp_path / str(number), seed=seed))
        prints.append([shard.sha256 for shard in manifest.split("train").shards])
    assert prints[0] == prints[1] != prints[2]


def test_a_given_vocabulary_is_used(tmp_path: Path, vocabulary: Vocabulary) -> None:
    vocabulary.save(tmp_path / "v.model")
    manifest = prepare(options(tmp_path / "out", vocabulary=tmp_path / "v.model"))
    assert (manifest.vocabulary_digest, manifest.vocabulary_size) == (vocabulary.digest, 512)


def test_progress_is_told_by_phase(tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    prepare(options(tmp_path / "out"), progress=lambda *state: told.append(state))
    assert [state for state in told if state[1] == state[2]] == [
        ("clean", 600, 600), ("vocabulary", 600, 600), ("encode", 600, 600), ("dev", 1000, 1000),
    ]  # fmt: skip


@pytest.mark.parametrize(("pairs", "shards"), [(3, 3), (5000, 8), (500_000, 10), (36_000_000, 256)])
def test_the_number_of_shards_follows_from_the_size(pairs: int, shards: int) -> None:
    assert default_shards(pairs) == shards


class TestDirectory:
    @pytest.mark.parametrize("fault", [KeyboardInterrupt, RuntimeError])
    @pytest.mark.parametrize("phase", ["clean", "vocabulary", "encode", "dev"])
    def test_an_interruption_leaves_nothing(self, tmp_path: Path, phase: str, fault: type[BaseException]) -> None:
        def interrupt(now: str, done: int, total: int | None) -> None:
            if now == phase:
                raise fault

        with pytest.raises(fault):
            prepare(options(tmp_path / "out"), progress=interrupt)
        assert list(tmp_path.iterdir()) == []

    def test_what_a_kill_leaves_is_not_taken_for_finished(self, tmp_path: Path, prepared: Path) -> None:
        partial = tmp_path / "out.partial-1"
        partial.mkdir()
        (partial / "train-00000-of-00002.tfrecord").write_bytes(b"")
        with pytest.raises(DataError, match="nmt prepare was interrupted"):
            Manifest.load(partial)

    def test_nothing_but_the_data_is_left_when_it_is_done(self, tmp_path: Path) -> None:
        manifest = prepare(options(tmp_path / "deep" / "out"))
        assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]
        named = {MANIFEST, "vocabulary.model", "dev.en", "dev.de"}
        for split in manifest.splits.values():
            named |= {name for shard in split.shards for name in (shard.file, shard.lengths_file)}
        assert {path.name for path in (tmp_path / "deep" / "out").iterdir()} == named

    def test_prepared_data_is_replaced_only_by_force(self, tmp_path: Path) -> None:
        first = prepare(options(tmp_path / "out"))
        with pytest.raises(DataError, match="out is already prepared; choose another --out or replace it with --force"):
            prepare(options(tmp_path / "out", limit=500))
        assert Manifest.load(tmp_path / "out") == first
        assert prepare(options(tmp_path / "out", limit=500, force=True)).split("train").examples == 500
        assert [path.name for path in tmp_path.iterdir()] == ["out"]

    def test_a_failed_replacement_leaves_the_old_data(self, tmp_path: Path) -> None:
        first = prepare(options(tmp_path / "out"))
        with pytest.raises(DataError, match="too small for 80000 pieces"):
            prepare(options(tmp_path / "out", vocabulary_size=80_000, force=True))
        assert Manifest.load(tmp_path / "out") == first

    def test_a_directory_of_something_else_is_never_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.tex").write_text("years of work")
        with pytest.raises(DataError, match="exists and is not prepared data; choose another --out"):
            prepare(options(tmp_path, force=True))
        assert (tmp_path / "thesis.tex").exists()

    def test_an_empty_directory_is_as_good_as_none(self, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        assert prepare(options(tmp_path / "out")).split("train").examples == 600

    def test_a_file_in_its_place_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "out").write_text("")
        with pytest.raises(DataError, match="out is a file; expected the name of a directory"):
            prepare(options(tmp_path / "out"))


class TestBadInput:
    @pytest.mark.parametrize(("changes", "message"), [
        ({"corpora": ()}, "no corpus to prepare; give at least one --corpus"),
        ({"max_tokens": 1}, "max_tokens must be at least 2, a token and EOS, got 1"),
        ({"shards": 0}, "shards must be between 1 and 256, got 0"),
        ({"shards": 5000}, "shards must be between 1 and 256, got 5000"),
        ({"limit": 0}, "limit must be at least 1 pair, got 0"),
        ({"seed": -1}, "seed must not be negative, got -1"),
    ])  # fmt: skip
    def test_options_out_of_range_are_refused(self, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(DataError, match=message):
            options(tmp_path / "out", **changes)

    def test_a_vocabulary_that_is_not_there_is_told_before_reading(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="cannot read the vocabulary"):
            prepare(options(tmp_path / "out", vocabulary=tmp_path / "none.model"))

    def test_a_corpus_of_which_nothing_is_left_is_told_with_the_reasons(self, tmp_path: Path) -> None:
        corpus = write_tsv(tmp_path / "a.tsv", [(b"", b"x"), (b"\xff", b"y")])
        with pytest.raises(
            DataError, match=r"cleaning left no pair of tsv:.*a\.tsv: kept 0 of 2 pairs; dropped 1: empty"
        ):
            prepare(options(tmp_path / "out", corpora=(corpus,)))

    def test_a_dev_corpus_of_which_nothing_is_left_is_told(self, tmp_path: Path) -> None:
        dev = write_tsv(tmp_path / "dev.tsv", [(b"", b"x")])
        with pytest.raises(DataError, match=r"dev\.tsv leaves no pair to evaluate on: kept 0 of 1 pairs"):
            prepare(options(tmp_path / "out", dev=dev))

    def test_a_maximum_below_every_pair_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="every pair has more than 2 tokens; raise --max-tokens"):
            prepare(options(tmp_path / "out", max_tokens=2))

    def test_a_fault_in_the_middle_of_a_corpus_leaves_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "a.tsv").write_bytes(b"one\teins\n" * 5 + b"no tab\n")
        with pytest.raises(DataError, match="line 6 has no tab"):
            prepare(options(tmp_path / "out", corpora=(f"tsv:{tmp_path / 'a.tsv'}",)))
        assert [path.name for path in tmp_path.iterdir()] == ["a.tsv"]


def test_the_manifest_is_plain_json(prepared: Path) -> None:
    contents = json.loads((prepared / MANIFEST).read_text(encoding="utf-8"))
    shard = contents["splits"]["train"]["shards"][0]
    assert shard["sha256"] == hashlib.sha256((prepared / shard["file"]).read_bytes()).hexdigest()
    assert contents["pair"] == {"source": "en", "target": "de"}
