"""`prepare` turns text into a prepared directory that is complete or absent."""

import gzip
import hashlib
import json
import subprocess
import sys
import time
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
import tensorflow as tf

from keras_nmt.pipelines.cleaning.filters import CleaningOptions
from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.preparation.prepare import PreparationOptions, default_shards
from keras_nmt.pipelines.preparation.prepare import prepare as prepare_on
from keras_nmt.pipelines.preparation.workers import LocalWorkers, local_workers
from keras_nmt.pipelines.shards.manifest import MANIFEST, Manifest
from keras_nmt.pipelines.shards.reading import read_tokens
from keras_nmt.pipelines.shards.splits import MixedCorpus
from keras_nmt.pipelines.sources.corpora import LanguagePair, open_corpus
from keras_nmt.pipelines.streaming.stream import evaluation_stream
from keras_nmt.pipelines.vocabulary.encoding import encode_with_eos
from keras_nmt.pipelines.vocabulary.tokenizer import EOS, Vocabulary
from keras_nmt.pipelines.vocabulary.words import word_model

EN_DE = LanguagePair("en", "de")
SAMPLE = "sample:tatoeba-en-de"


def options(out: Path, **changes: Any) -> PreparationOptions:
    defaults: dict[str, Any] = {"vocabulary_size": 400, "limit": 600, "shards": 2}
    return PreparationOptions(
        **{"pair": EN_DE, "corpora": (SAMPLE,), "dev": (SAMPLE,), "out": out, **defaults, **changes}
    )


def prepare(options: PreparationOptions, **given: Any) -> Manifest:
    """Prepares in this process unless workers are given, since processes take seconds to start."""
    return prepare_on(options, **{"workers": LocalWorkers(1), **given})


def write_tsv(path: Path, pairs: list[tuple[bytes, bytes]]) -> str:
    path.write_bytes(b"".join(source + b"\t" + target + b"\n" for source, target in pairs))
    return f"tsv:{path}"


def mtime(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def contents(folder: Path) -> dict[str, bytes]:
    """Returns the files of prepared data, without the folder of its corpora."""
    where = str(folder.parent).encode()
    return {path.name: path.read_bytes().replace(where, b"") for path in folder.iterdir() if path.name != MANIFEST}


def interrupted(*arguments: Any, **named: Any) -> None:
    raise KeyboardInterrupt


def whole_corpus(folder: Path) -> str:
    """Writes some hundred pairs, among them examples for the filters."""
    pairs = [tuple(pair)[:2] for pair in islice(open_corpus(SAMPLE, EN_DE), 700)]
    odd = [pairs[3], (b"The same words on both sides.",) * 2, (b"", b"x"), (b"Costs 5 or 6.", b"Kostet 7 oder 8.")]
    (folder / "corpus").mkdir(exist_ok=True)
    return write_tsv(folder / "corpus" / "whole.tsv", [*pairs[:350], *odd, *pairs[350:]])


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keras_nmt.pipelines.preparation.phases.clean.CHUNK_PAIRS", 100)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The prepared `whole_corpus`, made in one process without interruption."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keras_nmt.pipelines.preparation.phases.clean.CHUNK_PAIRS", 100)
        prepare(options(folder / "out", limit=None, corpora=(whole_corpus(folder),)))
    return contents(folder / "out")


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
    corpus = [tuple(side.decode() for side in pair[:2]) for pair in islice(open_corpus(SAMPLE, EN_DE), 6000)]
    found = texts(prepared, "train")
    assert train.examples == train.cleaning["kept"]
    assert 5990 < train.examples <= 6000  # near duplicates are removed after the limit is reached
    assert len(found & set(corpus)) > 5900  # except a few that normalisation changes
    assert (manifest.pair, manifest.vocabulary_size) == (EN_DE, 800)
    assert train.origins[0]["licence"] == "CC BY 2.0"
    assert manifest.options["max_tokens"] == 256
    assert manifest.versions["tensorflow"] == tf.__version__


def test_the_dev_text_is_kept_unchanged_and_encoded(prepared: Path) -> None:
    source, target = Manifest.load(prepared).text()
    raw = list(open_corpus(SAMPLE, EN_DE, split="dev"))
    assert source.read_bytes() == b"".join(pair.source + b"\n" for pair in raw)
    assert target.read_bytes() == b"".join(pair.target + b"\n" for pair in raw)
    stream = evaluation_stream(prepared, batch_tokens=2048, max_length=128)
    assert sum(np.count_nonzero(labels == EOS) for _, labels in stream.as_numpy_iterator()) == 1000


def test_only_empty_and_undecodable_pairs_are_dropped_from_the_dev_text(tmp_path: Path) -> None:
    odd = (b"two  spaces\xc2\xa0", b"a b c d e f g h i j k l m n o p")  # cleaning would change or drop it
    pairs = [odd, odd, (b"", b"x"), (b"\xff", b"y")]
    manifest = prepare(options(tmp_path / "out", dev=(write_tsv(tmp_path / "dev.tsv", pairs),)))
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
    corpus = write_tsv(tmp_path / "a.tsv", [("\u00ad".encode(), b"nothing"), (b"one", b"eins")])
    cleaning = CleaningOptions(min_letters=0)
    manifest = prepare(options(tmp_path / "out", corpora=(corpus, SAMPLE), cleaning=cleaning, limit=500))
    assert manifest.split("train").cleaning["dropped"]["empty"] == 1


def test_cleaning_follows_its_options(tmp_path: Path) -> None:
    manifest = prepare(options(tmp_path / "out", cleaning=CleaningOptions(max_words=7), limit=500))
    assert manifest.split("train").cleaning["dropped"]["too_long"] > 0
    assert manifest.options["cleaning"]["max_words"] == 7


def test_equal_options_write_equal_bytes_and_another_seed_deals_pairs_differently(tmp_path: Path) -> None:
    prints = []
    for number, seed in enumerate((0, 0, 1)):
        manifest = prepare(options(tmp_path / str(number), seed=seed))
        prints.append([shard.sha256 for shard in manifest.split("train").shards])
    assert prints[0] == prints[1] != prints[2]


def test_pairs_are_dealt_evenly_and_no_shard_is_a_contiguous_part_of_the_corpus(
    tmp_path: Path, small_chunks: None, vocabulary: Vocabulary
) -> None:
    pairs = [(f"Number {i} of them".encode(), b"Die Nummer %d davon" % i) for i in range(300)]
    vocabulary.save(tmp_path / "v")
    corpus, cleaning = write_tsv(tmp_path / "a.tsv", pairs), CleaningOptions(skip=("near_duplicate",))
    made = prepare(
        options(tmp_path / "out", corpora=(corpus,), vocabulary=tmp_path / "v", cleaning=cleaning, shards=7, limit=None)
    )
    shards = made.split("train").shards
    assert sum(shard.examples for shard in shards) == 300
    assert all(abs(shard.examples - 300 / 7) <= 3 for shard in shards)  # up to one pair for each of three chunks
    for shard in shards:
        tokens = read_tokens(made.data_dir, [shard])
        ids = tf.RaggedTensor.from_row_lengths(tokens.values[0], tokens.lengths[:, 0])
        numbers = np.array([int(text.split()[1]) for text in made.vocabulary().decode(ids.to_tensor()).numpy()])
        assert np.ptp(numbers) > 250
        assert np.diff(numbers).max() > 10


def test_the_number_of_workers_changes_nothing(tmp_path: Path, small_chunks: None, whole: dict[str, bytes]) -> None:
    with local_workers(3) as workers:
        prepare(options(tmp_path / "out", limit=None, corpora=(whole_corpus(tmp_path),)), workers=workers)
    assert contents(tmp_path / "out") == whole


def test_a_killed_preparation_resumes_and_writes_the_same_bytes(tmp_path: Path, whole: dict[str, bytes]) -> None:
    """Another process is killed at a random moment of its work."""
    code = (
        "import sys, keras_nmt.pipelines.preparation.prepare as p\n"
        "from keras_nmt.pipelines.preparation.phases import clean\n"
        "clean.CHUNK_PAIRS = 100; from pathlib import Path\n"
        "from keras_nmt.pipelines.sources.corpora import LanguagePair as L\n"
        "from keras_nmt.pipelines.preparation.workers import LocalWorkers\n"
        "o = p.PreparationOptions(L('en', 'de'), (sys.argv[1],), ('sample:tatoeba-en-de',), Path(sys.argv[2]), "
        "vocabulary_size=400, shards=2)\n"
        "p.prepare(o, workers=LocalWorkers(1))"
    )
    command = [sys.executable, "-c", code, whole_corpus(tmp_path), str(tmp_path / "out")]
    work = tmp_path / "out.partial" / "work"
    for awaited in ("000002.clean.json", "000001.encoded.json"):
        with subprocess.Popen(command) as process:
            deadline = time.monotonic() + 60
            while process.poll() is None and not (work / awaited).exists() and time.monotonic() < deadline:
                time.sleep(0.001)
            process.kill()
    assert not (tmp_path / "out").exists()
    subprocess.run(command, check=True)
    assert contents(tmp_path / "out") == whole


def test_training_pairs_found_in_a_dev_or_test_set_are_dropped_and_listed(
    tmp_path: Path, vocabulary: Vocabulary
) -> None:
    vocabulary.save(tmp_path / "v")
    pairs = [(f"The number {word}.".encode(), f"Die Zahl {word}.".encode()) for word in "abcdefghij"]
    train = write_tsv(tmp_path / "train.tsv", [*pairs, (b"THE number b!", b"Etwas anderes."), (b"X y", b"die Zahl c")])
    dev, test = write_tsv(tmp_path / "dev.tsv", pairs[1:2]), write_tsv(tmp_path / "test.tsv", pairs[2:3])
    made = prepare(
        options(tmp_path / "out", corpora=(train,), dev=(dev,), held_out=(test,), vocabulary=tmp_path / "v", limit=None)
    )
    assert made.split("train").cleaning["dropped"] == {"held_out": 4}
    listed = gzip.decompress((tmp_path / "out" / "held_out.tsv.gz").read_bytes()).decode().splitlines()
    assert listed == [
        "reason\tsource\ttarget",
        "held_out\tThe number b.\tDie Zahl b.",
        "held_out\tThe number c.\tDie Zahl c.",
        "held_out\tTHE number b!\tEtwas anderes.",
        "held_out\tX y\tdie Zahl c",
    ]


def test_dropped_pairs_are_written_on_request(tmp_path: Path) -> None:
    made = prepare(options(tmp_path / "out", corpora=(whole_corpus(tmp_path),), limit=None, keep_dropped=True))
    lines = gzip.decompress((tmp_path / "out" / "dropped.tsv.gz").read_bytes()).decode().splitlines()[1:]
    assert Counter(line.split("\t")[0] for line in lines) == made.split("train").cleaning["dropped"]
    assert "numbers\tCosts 5 or 6.\tKostet 7 oder 8." in lines


def test_the_report_covers_each_corpus_and_escapes_html(tmp_path: Path) -> None:
    bad = write_tsv(
        tmp_path / "bad.tsv", [(b'<b>It\'s 5 "euros".</b>', b"<i>Es kostet 7.</i>"), (b"A house.", b"Ein Haus.")]
    )
    prepare(options(tmp_path / "out", corpora=(whole_corpus(tmp_path), bad), limit=None))
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    sample, told = report["corpora"]
    assert (told["corpus"], told["kept"], told["dropped"]) == (bad, 1, {"numbers": 1})
    assert sample["kept"] + 1 == report["total"]["kept"] == sum(report["histograms"]["tokens"])
    assert sum(report["histograms"]["source_words"]) >= report["total"]["kept"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<td>&lt;b&gt;It&#x27;s 5 &quot;euros&quot;.&lt;/b&gt;<td>&lt;i&gt;Es kostet 7.&lt;/i&gt;" in page
    assert f"<tr><td>{bad}<td>1<td>1<td>" in page
    most = max(words := report["histograms"]["source_words"])
    assert f"height=100.0><title>{words.index(most)}: {most}</title>" in page
    assert "<i>" not in page


def test_the_current_folder_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"is the current folder"):
        prepare(options(Path()))
    assert not any(tmp_path.iterdir())


def test_corpora_are_mixed_with_their_weights_tags_and_languages(tmp_path: Path) -> None:
    german = write_tsv(tmp_path / "de.tsv", [(f"House {c}".encode(), f"Haus {c}".encode()) for c in "abcdefgh"])
    french = write_tsv(tmp_path / "fr.tsv", [(f"Cat {c}".encode(), f"Chat {c}".encode()) for c in "abcd"])
    specs = (f"{german}?weight=0.5&tag=news", f"{french}?pair=en-fr&loss_weight=2")
    dev = (write_tsv(tmp_path / "dev.tsv", [(b"Dog", b"Chien")]) + "?pair=en-fr",)
    made = prepare(options(tmp_path / "out", corpora=specs, dev=dev, vocabulary_size=280, limit=None))
    train = made.split("train")
    assert made.pairs == (EN_DE, LanguagePair("en", "fr"))
    assert made.domains == ("news",)
    assert train.corpora == (MixedCorpus(specs[0], 8, 0.5), MixedCorpus(specs[1], 4, 1.0))
    assert made.text()[0].read_text() == "<2fr> Dog\n"
    sources = {source for source, _ in texts(tmp_path / "out", "train")}
    assert {"<2de> <news> House a", "<2fr> Cat a"} <= sources
    assert {"▁<2de>", "▁<2fr>", "▁<news>"} <= set(made.vocabulary().pieces())
    of_corpus, weights = (
        np.concatenate([np.load(made.data_dir / getattr(shard, f"{name}_file")) for shard in train.shards])
        for name in ("corpus", "weights")
    )
    assert np.bincount(of_corpus).tolist() == [8, 4]
    assert weights[of_corpus == 1].tolist() == [2.0] * 4
    assert set(weights[of_corpus == 0].tolist()) == {1.0}


def test_a_reversed_corpus_is_cleaned_held_out_and_tagged_in_its_direction(
    tmp_path: Path, vocabulary: Vocabulary
) -> None:
    pairs = [tuple(pair)[:2] for pair in islice(open_corpus(SAMPLE, EN_DE), 300)]
    corpus, dev = write_tsv(tmp_path / "a.tsv", pairs), write_tsv(tmp_path / "dev.tsv", pairs[:5])
    specs = (corpus, f"reversed:{corpus}")
    made = prepare(options(tmp_path / "out", corpora=specs, dev=(dev,), vocabulary_size=400, limit=None))
    told = json.loads((tmp_path / "out" / "report.json").read_text())["corpora"]
    assert [one["dropped"]["held_out"] for one in told] == [5, 5]
    assert told[0]["kept"] == told[1]["kept"] > 280
    assert made.pairs == (EN_DE, EN_DE.reversed())
    source, target = (side.decode() for side in pairs[10])
    assert {(f"<2de> {source}", target), (f"<2en> {target}", source)} <= texts(tmp_path / "out", "train")


def test_held_out_text_is_found_after_repair_and_in_any_region(tmp_path: Path) -> None:
    train = write_tsv(tmp_path / "a.tsv", [("a schÃ¶n day".encode(), "ein schÃ¶ner Tag".encode())])
    dev = write_tsv(tmp_path / "dev.tsv", [("a schÃ¶n day".encode(), b"x"), (b"y", "schÃ¶n".encode())])
    british = LanguagePair("en_GB", "de_AT")
    corpora, cleaning = (train, f"{SAMPLE}?pair=en-de"), CleaningOptions(skip=("language",))
    made = prepare(options(tmp_path / "out", pair=british, corpora=corpora, dev=(dev,), cleaning=cleaning))
    assert made.split("train").cleaning["dropped"]["held_out"] == 1


def test_a_limit_counts_distinct_pairs(tmp_path: Path) -> None:
    pairs = [tuple(pair)[:2] for pair in islice(open_corpus(SAMPLE, EN_DE), 3000)]
    corpus = write_tsv(tmp_path / "a.tsv", [*pairs[:1] * 1500, *pairs])
    made = prepare(options(tmp_path / "out", corpora=(corpus,), limit=900))
    assert made.split("train").examples == 900


@pytest.mark.parametrize(("dev", "message"), [
    (f"{SAMPLE}?tag=news", "there is no domain 'news'"),
    (f"{SAMPLE}?pair=de-en", "is de-en, the training text en-de; give its"),
    (f"{SAMPLE}?weight=2", "weights are for training text; leave them out"),
])  # fmt: skip
def test_an_unsuitable_dev_set_is_reported_before_reading(tmp_path: Path, dev: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        prepare(options(tmp_path / "out", dev=(dev,)))
    assert list(tmp_path.iterdir()) == []


def test_a_tag_in_user_text_is_text(tmp_path: Path) -> None:
    corpus = write_tsv(tmp_path / "a.tsv", [(f"<2fr> {c} is it".encode(), f"{c} ist es".encode()) for c in "abcdefgh"])
    specs = (corpus, f"{corpus}?pair=de-fr", SAMPLE)
    prepare(options(tmp_path / "out", corpora=specs, vocabulary_size=400, limit=600))
    assert ("<2de> < 2fr> a is it", "a ist es") in texts(tmp_path / "out", "train")


def test_a_given_vocabulary_must_have_the_tags(tmp_path: Path, vocabulary: Vocabulary) -> None:
    vocabulary.save(tmp_path / "v.model")
    with pytest.raises(DataError, match=r"v\.model has no piece <news>, which this data needs"):
        prepare(options(tmp_path / "out", corpora=(f"{SAMPLE}?tag=news",), vocabulary=tmp_path / "v.model"))


def test_a_vocabulary_of_words_is_for_language_models(tmp_path: Path) -> None:
    (tmp_path / "v.model").write_bytes(word_model(["the", "cat"]))
    with pytest.raises(DataError, match=r"v\.model is a vocabulary of words, which only language models can use"):
        prepare(options(tmp_path / "out", vocabulary=tmp_path / "v.model"))


def test_encoding_agrees_with_the_tokenizer_in_the_graph(prepared: Path) -> None:
    manifest = Manifest.load(prepared)
    processor = sentencepiece.SentencePieceProcessor(model_proto=(prepared / "vocabulary.model").read_bytes())
    texts = [pair.source.decode() for pair in islice(open_corpus(SAMPLE, EN_DE), 2000)] + ["😀 ﬁ ½", "日本 語"]
    in_graph = manifest.vocabulary().encode(tf.constant(texts)).to_list()
    assert [ids[:-1] for ids in encode_with_eos(processor, texts)] == in_graph


def test_a_given_vocabulary_is_used(tmp_path: Path, vocabulary: Vocabulary) -> None:
    vocabulary.save(tmp_path / "v.model")
    manifest = prepare(options(tmp_path / "out", vocabulary=tmp_path / "v.model"))
    assert (manifest.vocabulary_digest, manifest.vocabulary_size) == (vocabulary.digest, 512)


def test_progress_is_reported_for_each_phase(tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    corpus = whole_corpus(tmp_path)
    prepare(options(tmp_path / "out", limit=None, corpora=(corpus,)), progress=lambda *state: told.append(state))
    last = {phase: (done, total) for phase, done, total in told}
    assert list(last) == ["clean", "duplicates", "vocabulary", "encode", "shards"]
    assert last["clean"] == (704, None)
    assert last["duplicates"] == (9, 9)
    assert last["encode"] == (last["encode"][1],) * 2


@pytest.mark.parametrize(
    ("pairs", "shards"), [(3, 3), (5000, 8), (296_000, 8), (296_001, 16), (36_000_000, 976), (10**9, 8192)]
)
def test_the_number_of_shards_follows_from_the_size(pairs: int, shards: int) -> None:
    assert default_shards(pairs) == shards


class TestDirectory:
    @pytest.mark.parametrize("phase", ["clean", "duplicates", "vocabulary", "encode", "shards"])
    def test_an_interrupted_preparation_resumes(
        self, tmp_path: Path, small_chunks: None, whole: dict[str, bytes], phase: str
    ) -> None:
        def interrupt(now: str, done: int, total: int | None) -> None:
            if now == phase and done:
                raise KeyboardInterrupt

        again = options(tmp_path / "out", limit=None, corpora=(whole_corpus(tmp_path),))
        with pytest.raises(KeyboardInterrupt):
            prepare(again, progress=interrupt)
        assert not again.out.exists()
        first = tmp_path / "out.partial" / "work" / "000000.clean.json"
        made = first.stat().st_mtime_ns
        seen: list[int] = []
        prepare(again, progress=lambda now, *_: seen.append(mtime(first)))
        assert set(seen) <= {made, 0}  # cleaned only once
        assert contents(again.out) == whole

    def test_other_options_start_from_the_beginning(self, tmp_path: Path) -> None:
        def interrupt(now: str, done: int, total: int | None) -> None:
            if now == "encode":
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            prepare(options(tmp_path / "out"), progress=interrupt)
        manifest = prepare(options(tmp_path / "out", cleaning=CleaningOptions(max_words=3), limit=100))
        assert manifest.split("train").cleaning["dropped"]["too_long"] > 0

    def test_finished_chunks_survive_an_error_in_the_text(self, tmp_path: Path, small_chunks: None) -> None:
        corpus = tmp_path / "a.tsv"
        corpus.write_bytes(b"".join(b"One %d\tEins %d\n" % (i, i) for i in range(350)) + b"no tab\n")
        with pytest.raises(DataError, match="line 351 has no tab"):
            prepare(options(tmp_path / "out", corpora=(f"tsv:{corpus}",), limit=None))
        assert (tmp_path / "out.partial" / "work" / "000002.clean.json").exists()

    def test_complete_data_that_was_not_renamed_is_renamed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wanted = options(tmp_path / "out")
        with monkeypatch.context() as patch:
            patch.setattr("keras_nmt.pipelines.preparation.prepare.shutil.rmtree", interrupted)
            with pytest.raises(KeyboardInterrupt):
                prepare(wanted)
        (tmp_path / "out.partial" / "work" / "removed.npy").unlink()
        made = prepare(wanted, progress=interrupted)  # no phase runs again
        assert made.split("train").examples == 600
        assert not (tmp_path / "out" / "work").exists()

    def test_an_interrupted_replacement_is_completed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        prepare(options(tmp_path / "out"))
        wanted = options(tmp_path / "out", limit=500, force=True)
        with monkeypatch.context() as patch:
            patch.setattr("keras_nmt.pipelines.preparation.prepare.shutil.rmtree", interrupted)
            with pytest.raises(KeyboardInterrupt):
                prepare(wanted)
        (tmp_path / "out").rename(tmp_path / "out.partial" / "replaced")
        assert prepare(wanted).split("train").examples == 500
        assert [path.name for path in tmp_path.iterdir()] == ["out"]
        assert not (tmp_path / "out" / "replaced").exists()

    def test_files_of_others_are_never_removed(self, tmp_path: Path) -> None:
        (tmp_path / "out.partial").mkdir()
        (tmp_path / "out.partial" / "thesis.tex").write_text("years of work")
        with pytest.raises(DataError, match=r"out\.partial exists and was not created by nmt prepare; move it"):
            prepare(options(tmp_path / "out"))
        assert (tmp_path / "out.partial" / "thesis.tex").exists()

    def test_two_processes_cannot_write_the_same_data(self, tmp_path: Path) -> None:
        def begin_another(now: str, done: int, total: int | None) -> None:
            prepare(options(tmp_path / "out"))

        with pytest.raises(DataError, match=r"another nmt prepare is writing .*out; wait for it"):
            prepare(options(tmp_path / "out"), progress=begin_another)

    def test_data_left_by_a_kill_is_not_loaded(self, tmp_path: Path, prepared: Path) -> None:
        partial = tmp_path / "out.partial-1"
        partial.mkdir()
        (partial / "train-00000-of-00002.tfrecord").write_bytes(b"")
        with pytest.raises(DataError, match="nmt prepare was interrupted"):
            Manifest.load(partial)

    def test_only_the_data_is_left_at_the_end(self, tmp_path: Path) -> None:
        manifest = prepare(options(tmp_path / "deep" / "out"))
        assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]
        named = {MANIFEST, "vocabulary.model", "dev.en", "dev.de", "report.json", "report.html"}
        for split in manifest.splits.values():
            named |= {name for shard in split.shards for name in (shard.file, shard.lengths_file)}
        assert {path.name for path in (tmp_path / "deep" / "out").iterdir()} == named

    def test_prepared_data_is_replaced_only_with_force(self, tmp_path: Path) -> None:
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

    def test_an_empty_directory_may_be_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        assert prepare(options(tmp_path / "out")).split("train").examples == 600

    def test_a_file_at_the_path_is_reported(self, tmp_path: Path) -> None:
        (tmp_path / "out").write_text("")
        with pytest.raises(DataError, match="out is a file; expected the name of a new directory"):
            prepare(options(tmp_path / "out"))


class TestBadInput:
    @pytest.mark.parametrize(("changes", "message"), [
        ({"corpora": ()}, "no corpus to prepare; give at least one --corpus"),
        ({"max_tokens": 1}, "max_tokens must be at least 2, a token and EOS, got 1"),
        ({"shards": 0}, "shards must be between 1 and 8192, got 0"),
        ({"shards": 9000}, "shards must be between 1 and 8192, got 9000"),
        ({"limit": 0}, "limit must be at least 1 pair, got 0"),
        ({"seed": -1}, "seed must not be negative, got -1"),
    ])  # fmt: skip
    def test_options_out_of_range_are_refused(self, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(DataError, match=message):
            options(tmp_path / "out", **changes)

    def test_a_missing_vocabulary_is_reported_before_reading(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="cannot read the vocabulary"):
            prepare(options(tmp_path / "out", vocabulary=tmp_path / "none.model"))

    def test_a_corpus_without_remaining_pairs_is_reported_with_the_reasons(self, tmp_path: Path) -> None:
        corpus = write_tsv(tmp_path / "a.tsv", [(b"", b"x"), (b"\xff", b"y")])
        with pytest.raises(
            DataError, match=r"cleaning left no pair of tsv:.*a\.tsv: kept 0 of 2 pairs; dropped 1: empty"
        ):
            prepare(options(tmp_path / "out", corpora=(corpus,)))

    def test_a_dev_corpus_without_remaining_pairs_is_reported(self, tmp_path: Path) -> None:
        dev = write_tsv(tmp_path / "dev.tsv", [(b"", b"x")])
        with pytest.raises(DataError, match=r"dev\.tsv leaves no pair to evaluate on: kept 0 of 1 pairs"):
            prepare(options(tmp_path / "out", dev=(dev,)))

    def test_a_maximum_below_every_pair_is_reported(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="every pair has more than 2 tokens; raise --max-tokens"):
            prepare(options(tmp_path / "out", max_tokens=2))

    def test_an_error_in_the_first_chunk_leaves_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "a.tsv").write_bytes(b"one\teins\n" * 5 + b"no tab\n")
        with pytest.raises(DataError, match="line 6 has no tab"):
            prepare(options(tmp_path / "out", corpora=(f"tsv:{tmp_path / 'a.tsv'}",)))
        assert [path.name for path in tmp_path.iterdir()] == ["a.tsv"]


def test_the_manifest_is_plain_json(prepared: Path) -> None:
    contents = json.loads((prepared / MANIFEST).read_text(encoding="utf-8"))
    shard = contents["splits"]["train"]["shards"][0]
    assert shard["sha256"] == hashlib.sha256((prepared / shard["file"]).read_bytes()).hexdigest()
    assert contents["pair"] == {"source": "en", "target": "de"}
