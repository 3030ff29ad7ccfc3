"""Opening corpora, and the errors if they cannot be opened."""

import dataclasses
import gzip
import io
import lzma
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import checksums
from tensorflow_datasets.translate import wmt

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.sources.corpora import SAMPLES, Corpus, LanguagePair, RawPair, open_corpus

EN_DE = LanguagePair("en", "de")
DE_EN = LanguagePair("de", "en")
TEXT_SUMMARY = LanguagePair("text", "summary")


def write_pair(folder: Path, english: bytes, german: bytes) -> str:
    (folder / "text.en").write_bytes(english)
    (folder / "text.de").write_bytes(german)
    return f"files:{folder / 'text'}"


def read(spec: str, pair: LanguagePair = EN_DE, **options: Any) -> list[tuple[bytes, bytes]]:
    return [raw[:2] for raw in open_corpus(spec, pair, **options)]


def test_a_language_pair_is_parsed_and_formatted() -> None:
    assert LanguagePair.parse("en-de") == EN_DE
    assert str(DE_EN) == "de-en"


@pytest.mark.parametrize("text", ["en", "en_de", "en-", "en-de-fr", ""])
def test_an_invalid_language_pair_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="expected a language pair such as en-de, got"):
        LanguagePair.parse(text)


def test_a_language_cannot_be_translated_into_itself() -> None:
    with pytest.raises(DataError, match="two languages, got 'en' twice"):
        LanguagePair.parse("en-en")


class TestFiles:
    def test_two_files_are_read_in_the_direction_of_the_pair(self, tmp_path: Path) -> None:
        spec = write_pair(tmp_path, b"one\ntwo\n", b"eins\nzwei\n")
        assert read(spec) == [(b"one", b"eins"), (b"two", b"zwei")]
        assert read(spec, DE_EN) == [(b"eins", b"one"), (b"zwei", b"two")]

    def test_a_last_line_without_line_feed_is_read(self, tmp_path: Path) -> None:
        assert read(write_pair(tmp_path, b"one\ntwo", b"eins\nzwei\n"))[1] == (b"two", b"zwei")

    def test_only_a_line_feed_ends_a_line_and_a_carriage_return_before_it_is_stripped(self, tmp_path: Path) -> None:
        odd = "a\u2028b\x85c\x0bd\re".encode()
        assert read(write_pair(tmp_path, odd + b"\r\n", b"x\n")) == [(odd, b"x")]

    def test_compressed_files_are_read_like_plain_ones(self, tmp_path: Path) -> None:
        (tmp_path / "text.en.gz").write_bytes(gzip.compress(b"one\n"))
        (tmp_path / "text.de").write_bytes(b"eins\n")
        corpus = open_corpus(f"files:{tmp_path / 'text'}", EN_DE)
        assert list(corpus) == [RawPair(b"one", b"eins")]
        assert [Path(file["path"]).name for file in corpus.origin["files"]] == ["text.en.gz", "text.de"]

    def test_iterating_again_starts_over(self, tmp_path: Path) -> None:
        corpus = open_corpus(write_pair(tmp_path, b"one\n", b"eins\n"), EN_DE)
        assert list(corpus) == list(corpus) == [RawPair(b"one", b"eins")]

    @pytest.mark.parametrize(("english", "german", "counts"), [(5, 3, "5 lines .* 3"), (2, 7, "2 lines .* 7")])
    def test_unequal_line_counts_are_reported_with_both_files(
        self, tmp_path: Path, english: int, german: int, counts: str
    ) -> None:
        spec = write_pair(tmp_path, b"x\n" * english, b"y\n" * german)
        with pytest.raises(DataError, match=rf"text\.en has {counts}: .*make them equal"):
            read(spec)

    def test_a_missing_side_is_reported_with_the_expected_names(self, tmp_path: Path) -> None:
        (tmp_path / "text.en").write_bytes(b"one\n")
        with pytest.raises(
            DataError, match=r"found none of .*text\.de, .*text\.de\.gz, .*bz2; give the path without \.de"
        ):
            open_corpus(f"files:{tmp_path / 'text'}", EN_DE)

    def test_an_empty_corpus_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"text is empty: expected at least one sentence pair"):
            read(write_pair(tmp_path, b"", b""))

    @pytest.mark.parametrize("damage", ["cut short", "flipped", "never compressed"])
    def test_a_damaged_compressed_file_is_named(self, tmp_path: Path, damage: str) -> None:
        whole = gzip.compress(b"".join(b"line %d\n" % i for i in range(5000)))
        damaged = {"cut short": whole[:-2000], "flipped": whole[:900] + b"\xff" * 50 + whole[950:]}
        (tmp_path / "text.en.gz").write_bytes(damaged.get(damage, b"plain text\n"))
        (tmp_path / "text.de").write_bytes(b"y\n" * 5000)
        with pytest.raises(DataError, match=r"text\.en\.gz is damaged or cut short .*; fetch it again"):
            read(f"files:{tmp_path / 'text'}")


class TestReversed:
    def test_targets_become_sources_of_any_kind_of_corpus(self, tmp_path: Path) -> None:
        spec = "reversed:" + write_pair(tmp_path, b"one\ntwo\n", b"eins\nzwei\n")
        assert read(spec) == [(b"eins", b"one"), (b"zwei", b"two")]
        assert open_corpus(spec, EN_DE).origin["spec"] == spec
        sample = "sample:tatoeba-en-de"
        first, turned = (next(iter(open_corpus(s, EN_DE))) for s in (sample, f"reversed:{sample}"))
        assert turned == RawPair(first.target, first.source)

    @pytest.mark.parametrize(
        ("spec", "message"),
        [("reversed:", "write reversed:SPEC"), ("reversed:text", "unknown kind of corpus in 'text'")],
    )
    def test_reversed_must_be_followed_by_a_corpus(self, spec: str, message: str) -> None:
        with pytest.raises(DataError, match=message):
            open_corpus(spec, EN_DE)


class TestTsv:
    def test_the_first_two_columns_are_source_and_target(self, tmp_path: Path) -> None:
        (tmp_path / "a.tsv").write_bytes(b"one\teins\tCC BY\r\ntwo\tzwei\r\n")
        assert read(f"tsv:{tmp_path / 'a.tsv'}") == [(b"one", b"eins"), (b"two", b"zwei")]

    def test_a_text_and_its_summary_are_read(self, tmp_path: Path) -> None:
        (tmp_path / "a.tsv").write_bytes(b"A cat sleeps. It snores.\tA cat sleeps\n")
        assert read(f"tsv:{tmp_path / 'a.tsv'}", TEXT_SUMMARY) == [(b"A cat sleeps. It snores.", b"A cat sleeps")]
        with pytest.raises(DataError, match=r"no file .*none\.tsv; give a file with text, a tab, summary on each line"):
            open_corpus(f"tsv:{tmp_path / 'none.tsv'}", TEXT_SUMMARY)

    def test_a_compressed_file_is_read(self, tmp_path: Path) -> None:
        (tmp_path / "a.tsv.gz").write_bytes(gzip.compress(b"one\teins\n"))
        assert read(f"tsv:{tmp_path / 'a.tsv.gz'}") == [(b"one", b"eins")]

    def test_a_line_without_a_tab_is_reported_by_its_number(self, tmp_path: Path) -> None:
        (tmp_path / "a.tsv").write_bytes(b"one\teins\ntwo zwei\n")
        with pytest.raises(DataError, match=r"a\.tsv line 2 has no tab; expected source, a tab, target"):
            read(f"tsv:{tmp_path / 'a.tsv'}")

    def test_a_missing_file_is_reported(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"no file .*none\.tsv; give a file with en, a tab, de"):
            open_corpus(f"tsv:{tmp_path / 'none.tsv'}", EN_DE)


class TestSample:
    @pytest.mark.parametrize(("split", "pairs"), [("train", 120_000), ("dev", 1000), ("test", 1000)])
    def test_each_split_has_its_pairs(self, split: str, pairs: int) -> None:
        assert len(read("sample:tatoeba-en-de", split=split)) == pairs

    def test_a_sample_can_be_read_in_both_directions(self) -> None:
        forwards, backwards = (next(iter(open_corpus("sample:tatoeba-en-de", pair))) for pair in (EN_DE, DE_EN))
        assert forwards[:3] == (b"Tom is very honest.", b"Tom ist sehr ehrlich.", 1.0)
        assert backwards[:2] == forwards[1::-1]

    def test_no_test_sentence_is_in_the_training_text(self) -> None:
        train = {side for pair in read("sample:tatoeba-en-de") for side in pair}
        held_out = {
            side for split in ("dev", "test") for pair in read("sample:tatoeba-en-de", split=split) for side in pair
        }
        assert not train & held_out

    def test_the_origin_has_licence_and_attribution(self) -> None:
        origin = open_corpus("sample:tatoeba-en-de", EN_DE).origin
        assert (origin["licence"], origin["attribution"]) == ("CC BY 2.0", "tatoeba.org and manythings.org/anki")
        assert "CC BY 2.0" in (SAMPLES / "tatoeba-en-de" / "ATTRIBUTION.md").read_text()

    def test_other_languages_are_refused(self) -> None:
        with pytest.raises(
            DataError, match="tatoeba-en-de is in en and de, not en-fr; use --pair en-de or the reverse"
        ):
            open_corpus("sample:tatoeba-en-de", LanguagePair("en", "fr"))

    def test_an_unknown_sample_is_reported_with_the_known_ones(self) -> None:
        with pytest.raises(DataError, match="unknown sample 'europarl'; the bundled samples are: tatoeba-en-de"):
            open_corpus("sample:europarl", EN_DE)

    def test_an_unknown_split_is_refused(self) -> None:
        with pytest.raises(DataError, match="no split 'valid'; it has train, dev and test"):
            open_corpus("sample:tatoeba-en-de", EN_DE, split="valid")


class TestSpecs:
    def test_an_unknown_kind_is_reported_with_the_nearest_and_all_known_ones(self) -> None:
        with pytest.raises(DataError, match=r"unknown kind .*did you mean files:PREFIX\? known: tfds:.*sample:"):
            open_corpus("file:news", EN_DE)

    def test_a_bare_path_is_not_a_spec(self) -> None:
        with pytest.raises(DataError, match="unknown kind of corpus in 'news/train'; known: tfds:NAME/CONFIG, files:"):
            open_corpus("news/train", EN_DE)

    def test_a_spec_needs_a_name(self) -> None:
        with pytest.raises(DataError, match="'tsv:' has no name; write tsv:FILE"):
            open_corpus("tsv:", EN_DE)

    def test_every_message_is_one_line(self) -> None:
        with pytest.raises(DataError) as caught:
            open_corpus("tfds:no_such_data_set/de-en", EN_DE)
        assert "\n" not in str(caught.value)


class TinyTranslate(tfds.core.GeneratorBasedBuilder):  # type: ignore[misc]
    """A TFDS data set like those of WMT."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = (tfds.core.BuilderConfig(name="de-en"),)

    def _info(self) -> Any:
        features = tfds.features.Translation(languages=("de", "en"))
        return tfds.core.DatasetInfo(
            builder=self, features=features, citation="Somebody (2020)", homepage="https://x.org"
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, str]]]]:
        return {"train": self._pairs(1500), "validation": self._pairs(3)}

    def _generate_examples(self) -> None: ...

    def _pairs(self, count: int) -> Iterator[tuple[int, dict[str, str]]]:
        return ((i, {"en": f"house {i}", "de": f"Häuser\n{i}"}) for i in range(count))


@pytest.fixture(scope="module")
def tfds_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("tfds"))


class TestTfds:
    spec = "tfds:tiny_translate/de-en"

    def open(self, tfds_dir: str, spec: str = spec, pair: LanguagePair = EN_DE, split: str = "train") -> Corpus:
        return open_corpus(spec, pair, split=split, data_dir=tfds_dir)

    def test_both_directions_have_the_same_pairs(self, tfds_dir: str) -> None:
        forwards, backwards = ([raw[:2] for raw in self.open(tfds_dir, pair=pair)] for pair in (EN_DE, DE_EN))
        assert sorted(forwards) == sorted((b"house %d" % i, "Häuser ".encode() + b"%d" % i) for i in range(1500))
        assert backwards == [(target, source) for source, target in forwards]

    def test_reading_again_gives_the_same_order(self, tfds_dir: str) -> None:
        corpus = self.open(tfds_dir)
        assert list(corpus) == list(corpus)

    def test_dev_means_validation(self, tfds_dir: str) -> None:
        corpus = self.open(tfds_dir, split="dev")
        assert (len(list(corpus)), corpus.origin["split"], corpus.origin["pairs"]) == (3, "validation", 3)

    def test_a_split_in_the_spec_takes_precedence_over_the_argument(self, tfds_dir: str) -> None:
        assert len(list(self.open(tfds_dir, f"{self.spec}:validation"))) == 3
        assert len(list(self.open(tfds_dir, f"{self.spec}:train[:10]"))) == 10

    def test_the_origin_has_version_and_citation(self, tfds_dir: str) -> None:
        origin = self.open(tfds_dir).origin
        assert (origin["name"], origin["attribution"]) == ("tiny_translate/de-en/1.0.0", "Somebody (2020)")

    def test_languages_that_the_data_set_lacks_are_refused(self, tfds_dir: str) -> None:
        with pytest.raises(DataError, match="is in de and en, not en-fr; choose another configuration"):
            self.open(tfds_dir, pair=LanguagePair("en", "fr"))

    def test_an_unknown_split_is_reported_with_the_known_ones(self, tfds_dir: str) -> None:
        with pytest.raises(DataError, match="has no split 'test'; it has train, validation"):
            self.open(tfds_dir, split="test")

    @pytest.mark.parametrize("name", ["no_such_data_set/de-en", "tiny_translate/fr-en"])
    def test_a_data_set_unknown_to_tfds_is_reported(self, tfds_dir: str, name: str) -> None:
        with pytest.raises(DataError, match=f"TFDS cannot open '{name}'"):
            self.open(tfds_dir, f"tfds:{name}")

    def test_a_failed_download_is_reported(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object, **__: object) -> None:
            raise ConnectionError("no route to host")

        monkeypatch.setattr(TinyTranslate, "download_and_prepare", fail)
        with pytest.raises(DataError, match=r"could not download or prepare .*no route to host.*check the network"):
            self.open(str(tmp_path))

    @pytest.mark.parametrize("task", ["wmt14_translate/de-en", "wmt14_translate/fr-en", "wmt19_translate/de-en"])
    def test_the_wmt_tasks_of_tfds_are_read(self, tmp_path: Path, task: str) -> None:
        other = task.rpartition("/")[2].removesuffix("-en")
        with tfds.testing.mock_data(num_examples=5):
            pairs = read(f"tfds:{task}", LanguagePair("en", other), data_dir=str(tmp_path))
        assert len(pairs) == 5


class TinySummaries(tfds.core.GeneratorBasedBuilder):  # type: ignore[misc]
    """A TFDS data set like those of summaries; neither feature has a name that says so."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> Any:
        names = ("highlights", "article", "id")
        features = tfds.features.FeaturesDict({name: tfds.features.Text() for name in names})
        return tfds.core.DatasetInfo(builder=self, features=features, supervised_keys=("article", "highlights"))

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, str]]]]:
        return {"train": self._pairs(5), "validation": self._pairs(3), "test": self._pairs(2)}

    def _generate_examples(self) -> None: ...

    def _pairs(self, count: int) -> Iterator[tuple[int, dict[str, str]]]:
        texts = ((i, f"A cat.\n\nIt has {i} lives.\n") for i in range(count))
        return ((i, {"article": text, "highlights": f"{i} lives\r\nof cats", "id": str(i)}) for i, text in texts)


class TestSummariesOfTfds:
    spec = "tfds:tiny_summaries"

    def test_the_supervised_keys_are_text_and_summary_in_one_line(self, tfds_dir: str) -> None:
        pairs = read(self.spec, TEXT_SUMMARY, data_dir=tfds_dir)
        assert sorted(pairs) == [(b"A cat. It has %d lives." % i, b"%d lives of cats" % i) for i in range(5)]
        backwards = read(self.spec, LanguagePair("summary", "text"), data_dir=tfds_dir)
        assert backwards == [(summary, text) for text, summary in pairs]

    @pytest.mark.parametrize(("split", "count"), [("train", 5), ("dev", 3), ("test", 2)])
    def test_each_split_is_found(self, tfds_dir: str, split: str, count: int) -> None:
        assert len(read(self.spec, TEXT_SUMMARY, split=split, data_dir=tfds_dir)) == count

    def test_a_translation_is_not_looked_for_in_summaries(self, tfds_dir: str) -> None:
        with pytest.raises(DataError, match="is in article and highlights and id, not en-de"):
            open_corpus(self.spec, EN_DE, data_dir=tfds_dir)

    @pytest.mark.parametrize(
        ("name", "keys"),
        [("mnist", "image and label"), ("tiny_translate", "none"), ("wmt14_translate/de-en", "de and en")],
    )
    def test_a_data_set_without_summaries_is_refused(self, tfds_dir: str, name: str, keys: str) -> None:
        message = f"{name} is no data set of summaries: expected .* keys, got {keys}; choose one such as tfds:xsum"
        with pytest.raises(DataError, match=message):
            open_corpus(f"tfds:{name}", TEXT_SUMMARY, data_dir=tfds_dir)

    @pytest.mark.parametrize(
        ("name", "text", "summary"),
        [
            ("xsum", "document", "summary"),
            ("cnn_dailymail", "article", "highlights"),
            ("gigaword", "document", "summary"),
            ("billsum", "text", "summary"),
            ("samsum", "dialogue", "summary"),
        ],
    )
    def test_the_usual_data_sets_of_summaries_are_read(
        self, tmp_path: Path, name: str, text: str, summary: str
    ) -> None:
        def as_dataset(builder: Any, **_: object) -> tf.data.Dataset:
            features = builder.info.features
            return tf.data.Dataset.from_tensors({feature: f"the {feature}" for feature in features})

        with tfds.testing.mock_data(as_dataset_fn=as_dataset):
            pairs = read(f"tfds:{name}", TEXT_SUMMARY, split="dev", data_dir=str(tmp_path))
        assert pairs == [(f"the {text}".encode(), f"the {summary}".encode())]


ARCHIVES = {
    "training-parallel-europarl-v7.tgz": ("training/europarl-v7.de-en", "Resumption", "Wiederaufnahme"),
    "training-parallel-nc-v9.tgz": ("training/news-commentary-v9.de-en", "Gold?", "10.000 Dollar"),
}


@pytest.fixture(scope="class")
def wmt_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Europarl and News Commentary with one pair each, in the folder for manual downloads."""
    folder = tmp_path_factory.mktemp("wmt")
    manual = folder / "downloads" / "manual"
    manual.mkdir(parents=True)
    infos = dict(checksums.get_all_url_infos())
    for name, (stem, english, german) in ARCHIVES.items():
        with tarfile.open(manual / name, "w:gz") as archive:
            for language, text in (("en", english), ("de", german)):
                member = tarfile.TarInfo(f"{stem}.{language}")
                member.size = len(text) + 1
                archive.addfile(member, io.BytesIO(f"{text}\n".encode()))
        url = next(url for url in infos if url.endswith(f"/{name}"))
        infos[url] = dataclasses.replace(checksums.compute_url_info(manual / name), filename=name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checksums, "get_all_url_infos", lambda: infos)
        yield str(folder)


class TestSubsetsOfWmt:
    @pytest.mark.parametrize(
        ("subsets", "pairs"),
        [
            ("newscommentary_v9", {("Gold?", "10.000 Dollar")}),
            (
                "newscommentary_v9,europarl_v7",
                {("Gold?", "10.000 Dollar"), ("Resumption", "Wiederaufnahme")},
            ),
        ],
    )
    def test_only_the_chosen_corpora_are_read(self, wmt_dir: str, subsets: str, pairs: set[tuple[str, str]]) -> None:
        corpus = open_corpus(f"tfds:wmt14_translate/de-en[{subsets}]:train[:100%]", EN_DE, data_dir=wmt_dir)
        assert {(raw.source.decode(), raw.target.decode()) for raw in corpus} == pairs
        names = "+".join(sorted(subsets.split(",")))
        assert corpus.origin["name"] == f"wmt_translate/de-en.{names}/1.0.0"
        assert corpus.origin["homepage"] == "http://www.statmt.org/wmt14/translation-task.html"

    def test_the_order_of_subsets_does_not_matter(self, wmt_dir: str) -> None:
        subsets = ("europarl_v7,newscommentary_v9", "newscommentary_v9,europarl_v7", "europarl_v7")
        prints = [
            open_corpus(f"tfds:wmt14_translate/de-en[{names}]", EN_DE, data_dir=wmt_dir).fingerprint()
            for names in subsets
        ]
        assert prints[0] == prints[1] != prints[2]

    def test_subsets_have_only_the_training_split(self, wmt_dir: str) -> None:
        with pytest.raises(DataError, match="has no split 'validation'; it has train"):
            open_corpus("tfds:wmt14_translate/de-en[europarl_v7]", EN_DE, split="dev", data_dir=wmt_dir)

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            (
                "wmt14_translate/de-en[europarl_v8]",
                "has no subset 'europarl_v8'; it has europarl_v7, commoncrawl, newscommentary_v9$",
            ),
            ("wmt14_translate/de-en[]", "has no subset ''; it has europarl_v7"),
            ("tiny_translate/de-en[a,b]", r"only the WMT tasks of TFDS have subsets; leave out \[a,b\]"),
            ("wmt14_translate/de-en[europarl_v7", r"expected tfds:NAME/CONFIG\[SUBSET,SUBSET\], got tfds:wmt14"),
        ],
    )
    def test_an_unknown_subset_is_reported(self, tfds_dir: str, name: str, message: str) -> None:
        with pytest.raises(DataError, match=message):
            open_corpus(f"tfds:{name}", EN_DE, data_dir=tfds_dir)

    def test_a_failed_download_is_reported_with_the_files_to_provide(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object, **__: object) -> None:
            raise ConnectionError("no route to host\nand more")

        monkeypatch.setattr(wmt.WmtTranslate, "download_and_prepare", fail)
        with pytest.raises(DataError) as caught:
            open_corpus("tfds:wmt14_translate/de-en[newscommentary_v9]", EN_DE, data_dir=str(tmp_path))
        assert str(caught.value) == (
            "corpus tfds:wmt14_translate/de-en[newscommentary_v9]: TFDS could not download or prepare it (no route to "
            "host); check the network, or put training-parallel-nc-v9.tgz (from "
            f"http://www.statmt.org/wmt14/training-parallel-nc-v9.tgz) into {tmp_path}/downloads/manual, or the "
            f"prepared data into {tmp_path}/wmt_translate/de-en.newscommentary_v9/1.0.0; --tfds-dir names another "
            f"place than {tmp_path}"
        )

    def test_manually_downloaded_archives_are_reported_too(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(wmt.WmtTranslate, "download_and_prepare", lambda self: 1 / 0)
        with pytest.raises(DataError, match=r"put hindencorp0\.1\.gz \(from http://ufallab\.\S+\) into .*/manual, or"):
            open_corpus("tfds:wmt14_translate/hi-en[hindencorp_01]", LanguagePair("hi", "en"), data_dir=str(tmp_path))


def test_a_damaged_xz_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "tatoeba-en-de"
    folder.mkdir()
    (folder / "ATTRIBUTION.md").write_text("CC BY 2.0")
    (folder / "dev.tsv.xz").write_bytes(lzma.compress(b"one\teins\n" * 1000)[:-30])
    monkeypatch.setattr("keras_nmt.pipelines.sources.sample.SAMPLES", tmp_path)
    with pytest.raises(DataError, match=r"dev\.tsv\.xz is damaged or cut short"):
        read("sample:tatoeba-en-de", split="dev")


def test_opening_and_cleaning_text_import_neither_tensorflow_nor_templates() -> None:
    code = "import sys, keras_nmt.pipelines.preparation.prepare; print({'tensorflow', 'jinja2'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
