"""Files of corpora: compression, patterns, remote stores, JSON lines, and fingerprints."""

import bz2
import gzip
import io
import json
import lzma
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest
import zstandard
from etils.epath import backend as epath_backend
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.registry import _registry

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.sources.corpora import LanguagePair, RawPair, open_corpus

EN_DE = LanguagePair("en", "de")
TEXT_SUMMARY = LanguagePair("text", "summary")
PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}


def write(folder: Path, name: str, *texts: str) -> Path:
    """Writes lines to a file, compressed according to its suffix."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pack = PACK.get(path.suffix, bytes)
    path.write_bytes(pack("".join(f"{text}\n" for text in texts).encode()))
    return path


def read(spec: str, pair: LanguagePair = EN_DE) -> list[tuple[str, str]]:
    return [(raw.source.decode(), raw.target.decode()) for raw in open_corpus(spec, pair)]


class TestCompression:
    @pytest.mark.parametrize("suffix", PACK)
    def test_a_side_is_found_and_read_with_any_compression(self, tmp_path: Path, suffix: str) -> None:
        write(tmp_path, f"text.en{suffix}", "one", "two")
        write(tmp_path, "text.de", "eins", "zwei")
        assert read(f"files:{tmp_path / 'text'}") == [("one", "eins"), ("two", "zwei")]

    @pytest.mark.parametrize("suffix", PACK)
    def test_columns_are_read_with_any_compression(self, tmp_path: Path, suffix: str) -> None:
        path = write(tmp_path, f"a.tsv{suffix}", "one\teins")
        assert read(f"tsv:{path}") == [("one", "eins")]

    def test_a_zstandard_file_of_several_frames_is_read_to_its_end(self, tmp_path: Path) -> None:
        lines = [f"{i}\t{'x' * i}" for i in range(700)]
        frames = [PACK[".zst"](f"{line}\n".encode()) for line in lines]
        (tmp_path / "a.tsv.zst").write_bytes(b"".join(frames))
        assert read(f"tsv:{tmp_path / 'a.tsv.zst'}") == [tuple(line.split("\t")) for line in lines]

    @pytest.mark.parametrize("name", ["a", "a.tsv", "a.txt.1"])
    @pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst", ".bz2"])
    def test_compression_is_recognised_without_a_suffix(self, tmp_path: Path, suffix: str, name: str) -> None:
        (tmp_path / name).write_bytes(PACK[suffix](b"one\teins\ntwo\tzwei\n"))
        assert read(f"tsv:{tmp_path / name}") == [("one", "eins"), ("two", "zwei")]

    @pytest.mark.parametrize(
        "text", ["BZh is no word\tBZh1 auch nicht", "PK\tPK", "PAR1 \tPAR1", "%PDF-\t%PDF-1", "x" * 257 + "ustar\tx"]
    )
    def test_text_that_begins_like_another_format_is_text(self, tmp_path: Path, text: str) -> None:
        assert read(f"tsv:{write(tmp_path, 'a.tsv', text)}") == [tuple(text.split("\t"))]

    @pytest.mark.parametrize(
        ("name", "first", "what"),
        [
            ("a.zip", b"PK\x03\x04rest", "a zip archive"),
            ("a", b"PK\x03\x04rest", "a zip archive"),
            ("a.tsv.gz", gzip.compress(bytes(257) + b"ustar\x00rest", mtime=0), "a tar archive"),
            ("a.7z", b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
            ("a.rar", b"Rar!\x1a\x07\x01", "a rar archive"),
            ("a.lz4", b"\x04\x22\x4d\x18", "compressed by lz4"),
            ("a.Z", b"\x1f\x9d\x90", "compressed by compress"),
            ("a.br", b"\x0b\x02\x80", "compressed by Brotli"),
            ("a.lzma", b"]\0\0\x80\0", "compressed by the old lzma"),
            ("a.parquet", b"PAR1\x15\x04", "a table of columns"),
            ("a.pdf", b"%PDF-1.5\n", "a PDF"),
        ],
    )
    def test_a_file_that_is_not_text_is_refused_before_reading(
        self, tmp_path: Path, name: str, first: bytes, what: str
    ) -> None:
        (tmp_path / name).write_bytes(first)
        with pytest.raises(DataError, match=rf"/{name} is {what}, which is not supported; "):
            open_corpus(f"tsv:{tmp_path / name}", EN_DE)

    def test_a_side_in_an_archive_is_named(self, tmp_path: Path) -> None:
        write(tmp_path, "a.en.zip", "PK")
        write(tmp_path, "a.de", "eins")
        with pytest.raises(DataError, match=r"/a\.en\.zip is not supported; unpack it, and give the text in it"):
            open_corpus(f"files:{tmp_path / 'a'}", EN_DE)

    def test_a_byte_order_mark_is_removed(self, tmp_path: Path) -> None:
        write(tmp_path, "a.en", "\ufeffone", "\ufefftwo")
        write(tmp_path, "a.de", "\ufeffeins", "zwei")
        assert read(f"files:{tmp_path / 'a'}") == [("one", "eins"), ("\ufefftwo", "zwei")]

    @pytest.mark.parametrize("code", ["utf-16-le", "utf-16-be"])
    def test_utf_16_is_named(self, tmp_path: Path, code: str) -> None:
        (tmp_path / "a.tsv").write_bytes("\ufeffone\teins\n".encode(code))
        with pytest.raises(DataError, match=r"a\.tsv is in UTF-16; make it UTF-8, as iconv -f UTF-16 -t UTF-8 does"):
            read(f"tsv:{tmp_path / 'a.tsv'}")

    @pytest.mark.parametrize("between", [b"", bytes(8)])
    def test_an_xz_file_of_several_streams_is_read_to_its_end(self, tmp_path: Path, between: bytes) -> None:
        lines = [f"{i}\t{'x' * i}" for i in range(300)]
        streams = [PACK[".xz"](f"{line}\n".encode()) for line in lines]
        (tmp_path / "a.tsv.xz").write_bytes(between.join(streams) + between)
        assert read(f"tsv:{tmp_path / 'a.tsv.xz'}") == [tuple(line.split("\t")) for line in lines]

    @pytest.mark.parametrize("damage", ["cut short", "overwritten", "never compressed"])
    @pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst", ".bz2"])
    def test_damage_after_a_complete_stream_is_reported(self, tmp_path: Path, suffix: str, damage: str) -> None:
        whole = PACK[suffix](b"".join(b"one %d\teins %d\n" % (i, i) for i in range(5000)))
        second = {"cut short": whole[:-40], "overwritten": whole[:20] + bytes(9) + whole[29:]}
        (tmp_path / f"a.tsv{suffix}").write_bytes(whole + second.get(damage, b"one\teins\n"))
        with pytest.raises(DataError, match=rf"a\.tsv\{suffix} is damaged or cut short \(.*\); fetch it again"):
            read(f"tsv:{tmp_path / f'a.tsv{suffix}'}")

    @pytest.mark.parametrize("damage", ["cut short", "never compressed"])
    @pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst", ".bz2"])
    def test_a_damaged_file_is_named(self, tmp_path: Path, suffix: str, damage: str) -> None:
        path = write(tmp_path, f"a.tsv{suffix}", *(f"one {i}\teins {i}" for i in range(5000)))
        path.write_bytes(path.read_bytes()[:-40] if damage == "cut short" else b"one\teins\n")
        with pytest.raises(DataError, match=rf"a\.tsv\{suffix} is damaged or cut short \(.*\); fetch it again"):
            read(f"tsv:{path}")


class TestStandardInput:
    def given(self, monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))

    @pytest.mark.parametrize("suffix", PACK)
    def test_columns_are_read_compressed_or_not(self, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
        self.given(monkeypatch, PACK[suffix](b"one\teins\n"))
        assert read("tsv:-") == [("one", "eins")]

    def test_json_tmx_and_reversed_corpora_are_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.given(monkeypatch, b'{"en": "one", "de": "eins"}\n')
        assert read("jsonl:-?weight=2") == [("one", "eins")]
        self.given(monkeypatch, b"eins\tone\n")
        assert read("reversed:tsv:-") == [("one", "eins")]
        units = "".join(f'<tuv xml:lang="{code}"><seg>{code}</seg></tuv>' for code in ("en", "de"))
        self.given(monkeypatch, f"<tmx><body><tu>{units}</tu></body></tmx>".encode())
        assert read("tmx:-") == [("en", "de")]

    def test_standard_input_has_a_new_fingerprint_each_time_and_is_named_in_errors(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.given(monkeypatch, b"one\n")
        first, second = (open_corpus("tsv:-", EN_DE) for _ in range(2))
        assert first.fingerprint() != second.fingerprint()
        with pytest.raises(DataError, match=r"^standard input line 1 has no tab"):
            list(first)


class TestMalformedLines:
    @pytest.mark.parametrize(
        ("kind", "line", "reason"),
        [
            ("tsv", "no tab", " has no tab; expected source, a tab, target on each line"),
            (
                "tsv?loss_weight=column",
                "a\tb\tmuch",
                ": its third column is not a weight; expected a number of at least 0",
            ),
            ("jsonl", "{", " is not JSON"),
            ("jsonl", '{"en": 1}', " has no text in 'en'; its fields are: en"),
        ],
    )
    def test_malformed_lines_raise_unless_they_are_kept(
        self, tmp_path: Path, kind: str, line: str, reason: str
    ) -> None:
        good = '{"en": "one", "de": "eins"}' if kind == "jsonl" else "one\teins\t1"
        path = write(tmp_path, "a", good, line, good)
        name, _, option = kind.partition("?")
        corpus = open_corpus(f"{name}:{path}?{option}" if option else f"{name}:{path}", EN_DE)
        with pytest.raises(DataError) as caught:
            list(corpus)
        assert str(caught.value).startswith(f"{path} line 2{reason}")
        assert str(caught.value).endswith("; --drop-malformed drops such lines and counts them")
        kept = list(replace(corpus, keeps_malformed=True))
        assert [pair.source for pair in kept] == [b"one", line.encode(), b"one"]
        assert [pair.malformed and pair.malformed.in_short.startswith(f"a line 2{reason}") for pair in kept] == [
            None,
            True,
            None,
        ]

    def test_a_blank_line_of_columns_is_an_empty_pair(self, tmp_path: Path) -> None:
        path = write(tmp_path, "a.tsv", "one\teins\t2", "", " ")
        assert read(f"tsv:{path}") == read(f"tsv:{path}?loss_weight=column") == [("one", "eins"), ("", ""), ("", "")]


class TestPatterns:
    def test_all_matching_prefixes_are_read_in_order_of_their_names(self, tmp_path: Path) -> None:
        for name in ("b", "c", "a"):
            write(tmp_path, f"{name}/train.en.gz", f"{name} one")
            write(tmp_path, f"{name}/train.de", f"{name} eins")
        write(tmp_path, "a/dev.en", "not this")
        assert read(f"files:{tmp_path}/*/train") == [(f"{name} one", f"{name} eins") for name in "abc"]
        assert read(f"files:{tmp_path}/[ac]/train?weight=2") == [(f"{name} one", f"{name} eins") for name in "ac"]

    def test_a_match_without_its_other_side_is_reported(self, tmp_path: Path) -> None:
        write(tmp_path, "a/train.de", "eins")
        with pytest.raises(DataError, match=r"found none of .*/a/train\.en, .*; give the path without \.en"):
            read(f"files:{tmp_path}/*/train")

    def test_the_last_line_of_a_match_ends_with_its_file(self, tmp_path: Path) -> None:
        for name, lines in (("a", ["one", "two"]), ("b", ["three"])):
            write(tmp_path, f"{name}.en", *lines)
            write(tmp_path, f"{name}.de", *lines[::-1][:1])
        with pytest.raises(DataError, match=r"a\.en has 2 lines but .*a\.de has 1"):
            read(f"files:{tmp_path}/*")

    def test_matching_files_with_both_sides_are_concatenated(self, tmp_path: Path) -> None:
        write(tmp_path, "2.tsv", "two\tzwei")
        write(tmp_path, "1.tsv", "one\teins")
        assert read(f"tsv:{tmp_path}/?.tsv") == [("one", "eins"), ("two", "zwei")]

    def test_the_name_of_an_existing_file_is_not_a_pattern(self, tmp_path: Path) -> None:
        write(tmp_path, "1.tsv", "one\teins")
        path = write(tmp_path, "[1].tsv", "two\tzwei")
        assert read(f"tsv:{path}") == [("two", "zwei")]

    @pytest.mark.parametrize("kind", ["tsv", "jsonl", "tmx"])
    def test_a_pattern_without_a_match_is_reported(self, tmp_path: Path, kind: str) -> None:
        with pytest.raises(DataError, match=rf"no file {tmp_path}/\*\.{kind}; give a file with .*en.*de"):
            open_corpus(f"{kind}:{tmp_path}/*.{kind}", EN_DE)


class TestWeights:
    def test_the_third_column_is_the_weight_on_request(self, tmp_path: Path) -> None:
        path = write(tmp_path, "a.tsv", "one\teins\t0.25", "two\tzwei\t3\tmore", "three\tdrei\t0")
        assert [raw.weight for raw in open_corpus(f"tsv:{path}", EN_DE)] == [1.0, 1.0, 1.0]
        weighted = open_corpus(f"tsv:{path}?loss_weight=column", EN_DE)
        assert list(weighted)[1] == RawPair(b"two", b"zwei", 3.0)
        assert [raw.weight for raw in weighted] == [0.25, 3.0, 0.0]
        turned = open_corpus(f"reversed:tsv:{path}?loss_weight=column", EN_DE)
        assert next(iter(turned)) == RawPair(b"eins", b"one", 0.25)

    @pytest.mark.parametrize("column", ["much", "-1", "nan", "inf", ""])
    def test_an_invalid_weight_is_reported_with_its_line(self, tmp_path: Path, column: str) -> None:
        path = write(tmp_path, "a.tsv", "one\teins\t1", f"two\tzwei\t{column}")
        with pytest.raises(DataError, match=rf"2: its third column is not a weight; .* at least 0, got '{column}'"):
            list(open_corpus(f"tsv:{path}?loss_weight=column", EN_DE))


class TestJsonLines:
    def write(self, folder: Path, *objects: Any) -> str:
        return f"jsonl:{write(folder, 'a.jsonl.gz', *(json.dumps(found) for found in objects))}"

    def test_texts_are_read_from_all_usual_fields(self, tmp_path: Path) -> None:
        spec = self.write(
            tmp_path, {"de": "größer", "en": "bigger", "id": 7}, {"translation": {"en": "one", "de": "eins"}}
        )
        assert read(spec) == [("bigger", "größer"), ("one", "eins")]
        assert read(spec, LanguagePair("de", "en")) == [("größer", "bigger"), ("eins", "one")]

    def test_a_weight_goes_with_its_pair(self, tmp_path: Path) -> None:
        spec = self.write(
            tmp_path, {"en": "a", "de": "b", "weight": 0.5}, {"translation": {"en": "a", "de": "b"}, "weight": 2}
        )
        assert [raw.weight for raw in open_corpus(spec, EN_DE)] == [0.5, 2.0]

    def test_line_ends_in_a_text_become_spaces_and_null_is_an_empty_side(self, tmp_path: Path) -> None:
        spec = self.write(tmp_path, {"en": "one\ntwo\r\nthree\rfour\u2028", "de": None})
        assert read(spec) == [("one two three four\u2028", "")]

    def test_paragraphs_are_joined_by_one_space(self, tmp_path: Path) -> None:
        spec = self.write(tmp_path, {"text": "\n A cat.\n\n \n\tIt  sleeps. \n", "summary": "A cat\nsleeps"})
        assert read(spec, TEXT_SUMMARY) == [("A cat. It  sleeps.", "A cat sleeps")]

    def test_text_and_summary_are_read_in_both_directions(self, tmp_path: Path) -> None:
        spec = self.write(tmp_path, {"summary": "Cats", "text": "All about cats.", "id": 1})
        assert read(spec, TEXT_SUMMARY) == [("All about cats.", "Cats")]
        assert read(spec, TEXT_SUMMARY.reversed()) == read(f"reversed:{spec}", TEXT_SUMMARY)
        assert read(spec, TEXT_SUMMARY.reversed()) == [("Cats", "All about cats.")]

    def test_a_spec_can_name_the_fields(self, tmp_path: Path) -> None:
        mails = {"body": "See you.", "subject": "Lunch", "text": "other", "summary": "other"}
        spec = self.write(tmp_path, mails, {"translation": mails})
        assert read(f"{spec}?source=body&target=subject", TEXT_SUMMARY) == [("See you.", "Lunch")] * 2
        assert read(f"{spec}?source=body", TEXT_SUMMARY) == [("See you.", "other")] * 2
        assert read(f"reversed:{spec}?source=body&target=subject", TEXT_SUMMARY) == [("Lunch", "See you.")] * 2
        assert read(f"{spec}?source=body&target=subject") == [("See you.", "Lunch")] * 2  # for a translation too

    def test_a_missing_field_is_reported(self, tmp_path: Path) -> None:
        spec = self.write(tmp_path, {"body": "See you.", "summary": "Lunch"})
        with pytest.raises(DataError, match="line 1 has no text in 'subject'; its fields are: body, summary"):
            read(f"{spec}?source=body&target=subject", TEXT_SUMMARY)
        with pytest.raises(DataError, match=r'no file none\.jsonl; give a file with {"body": …, "summary": …} on each'):
            read("jsonl:none.jsonl?source=body", TEXT_SUMMARY)

    @pytest.mark.parametrize("options", ["source=body&target=body", "target=text"])
    def test_source_and_target_are_different_fields(self, tmp_path: Path, options: str) -> None:
        field = options.rpartition("=")[2]
        with pytest.raises(DataError, match=f"source and target are both the field '{field}'; name two fields"):
            read(f"{self.write(tmp_path, {'text': 'a'})}?{options}", TEXT_SUMMARY)

    def test_a_lone_surrogate_is_left_to_cleaning(self, tmp_path: Path) -> None:
        raw = next(iter(open_corpus(self.write(tmp_path, {"en": "\ud800", "de": "x"}), EN_DE)))
        assert raw == RawPair(b"\xed\xa0\x80", b"x")

    def test_blank_lines_are_skipped(self, tmp_path: Path) -> None:
        path = write(tmp_path, "a.jsonl", "", '{"en": "one", "de": "eins"}', " ")
        assert read(f"jsonl:{path}") == [("one", "eins")]

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("{en: 1}", "line 1 is not JSON .*; expected an object on each line"),
            ("[1]", "line 1 is not an object; expected one with a text in each language"),
            ('{"en": "x", "fr": "y"}', "line 1 has no text in 'de'; its fields are: en, fr"),
            ('{"en": "x", "de": 3}', "line 1 has no text in 'de'; its fields are: en, de"),
            ('{"en": "x", "de": "y", "weight": true}', "line 1: weight is not a weight; .* got True"),
            ('{"en": "x", "de": "y", "weight": null}', "line 1: weight is not a weight; .* got None"),
        ],
    )
    def test_an_invalid_line_is_reported_with_its_number(self, tmp_path: Path, line: str, message: str) -> None:
        with pytest.raises(DataError, match=rf"a\.jsonl {message}"):
            read(f"jsonl:{write(tmp_path, 'a.jsonl', line)}")


class Buckets(DirFileSystem):  # type: ignore[misc]
    """A store with folders as buckets and the protocol names of gcsfs and s3fs."""

    protocol = ("gcs", "gs", "s3")
    cachable = False
    folder = ""

    def __init__(self, **options: Any) -> None:
        super().__init__(path=self.folder, fs=LocalFileSystem())

    def _join(self, path: Any) -> Any:
        return super()._join(self._strip_protocol(path))

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return path.partition("://")[2] if isinstance(path, str) and "://" in path else path


@pytest.fixture
def buckets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that holds the buckets of gs:// and s3://."""
    Buckets.folder = str(tmp_path / "buckets")
    epath_backend.fsspec_backend._get_filesystem.cache_clear()
    for scheme in ("gcs", "s3"):
        monkeypatch.setitem(_registry, scheme, Buckets)
    yield tmp_path / "buckets"
    epath_backend.fsspec_backend._get_filesystem.cache_clear()


class TestStores:
    @pytest.mark.parametrize("scheme", ["gs", "s3"])
    def test_two_files_of_a_store_are_read(self, buckets: Path, scheme: str) -> None:
        write(buckets, "text/train.en.zst", "one")
        write(buckets, "text/train.de", "eins")
        corpus = open_corpus(f"files:{scheme}://text/train", EN_DE)
        assert list(corpus) == [RawPair(b"one", b"eins")]
        assert corpus.origin["files"][1] == {"path": f"{scheme}://text/train.de", "bytes": 5}

    def test_a_pattern_is_matched_in_a_store(self, buckets: Path) -> None:
        write(buckets, "text/b/1.tsv.gz", "two\tzwei")
        write(buckets, "text/a/1.tsv.gz", "one\teins")
        assert read("tsv:gs://text/*/1.tsv.gz") == [("one", "eins"), ("two", "zwei")]

    def test_a_changed_file_in_a_store_has_another_fingerprint(self, buckets: Path) -> None:
        write(buckets, "text/a.tsv", "one\teins")
        first, again = (open_corpus("tsv:gs://text/a.tsv", EN_DE).fingerprint() for _ in range(2))
        write(buckets, "text/a.tsv", "one\tzwei")
        assert first == again != open_corpus("tsv:gs://text/a.tsv", EN_DE).fingerprint()

    def test_a_missing_file_in_a_store_is_reported(self, buckets: Path) -> None:
        with pytest.raises(DataError, match=r"found none of gs://text/train\.en, gs://text/train\.en\.gz, "):
            open_corpus("files:gs://text/train", EN_DE)

    def test_an_error_of_a_store_is_reported(self, buckets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def deny(*_: object, **__: object) -> None:
            raise RuntimeError("Anonymous caller does not have access\nmore")

        monkeypatch.setattr(Buckets, "exists", deny)
        with pytest.raises(
            DataError, match=r"cannot read gs://text/a\.tsv \(Anonymous .* access\); check the name and your credentia"
        ):
            open_corpus("tsv:gs://text/a.tsv", EN_DE)

    @pytest.mark.parametrize(("scheme", "package"), [("gs", "gcsfs"), ("s3", "s3fs")])
    def test_a_missing_package_is_named(self, monkeypatch: pytest.MonkeyPatch, scheme: str, package: str) -> None:
        def missing(*_: object, **__: object) -> None:
            raise ImportError(f"Install {package} to access it")

        epath_backend.fsspec_backend._get_filesystem.cache_clear()
        monkeypatch.setattr(fsspec, "filesystem", missing)
        with pytest.raises(DataError, match=f"{scheme}:// needs another package; run: pip install {package}$"):
            open_corpus(f"tsv:{scheme}://text/a.tsv", EN_DE)

    def test_an_unknown_scheme_is_reported_with_the_known_ones(self) -> None:
        with pytest.raises(
            DataError, match=r"cannot open ftp://x/a\.tsv; expected a local path, gs://, s3:// or https://"
        ):
            open_corpus("tsv:ftp://x/a.tsv", EN_DE)


class TestFingerprints:
    def test_the_same_files_have_the_same_fingerprint(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write(tmp_path, "a.tsv", "one\teins")
        monkeypatch.chdir(tmp_path)
        specs = [f"tsv:{tmp_path / 'a.tsv'}", "tsv:a.tsv", "tsv:./a.tsv?weight=2"]
        assert len({open_corpus(spec, EN_DE).fingerprint() for spec in specs}) == 1

    def test_a_rewritten_file_has_another_fingerprint(self, tmp_path: Path) -> None:
        path = write(tmp_path, "a.tsv", "one\teins")
        corpus = open_corpus(f"tsv:{path}", EN_DE)
        before = corpus.fingerprint()
        os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))
        assert corpus.fingerprint() == before != open_corpus(f"tsv:{path}", EN_DE).fingerprint()

    def test_another_direction_column_or_match_changes_the_fingerprint(self, tmp_path: Path) -> None:
        write(tmp_path, "1.tsv", "one\teins\t1")
        spec = f"tsv:{tmp_path}/*.tsv"
        specs = [(spec, EN_DE), (spec, LanguagePair("de", "en")), (f"{spec}?loss_weight=column", EN_DE)]
        prints = [open_corpus(text, pair).fingerprint() for text, pair in [*specs, (f"reversed:{spec}", EN_DE)]]
        write(tmp_path, "2.tsv", "two\tzwei\t1")
        assert len({*prints, open_corpus(spec, EN_DE).fingerprint()}) == 5
        assert all(len(print_) == 64 for print_ in prints)

    def test_another_field_changes_the_fingerprint(self, tmp_path: Path) -> None:
        spec = f"jsonl:{write(tmp_path, 'a.jsonl', '{}')}"
        options = ("", "?source=text", "?source=body", "?target=body", "?source=body&weight=2")
        prints = [open_corpus(spec + option, TEXT_SUMMARY).fingerprint() for option in options]
        assert prints[0] == prints[1]
        assert prints[2] == prints[4]
        assert len(set(prints)) == 3

    def test_the_fingerprint_of_a_sample_depends_on_split_and_direction(self) -> None:
        opened = [("train", EN_DE), ("dev", EN_DE), ("train", LanguagePair("de", "en")), ("train", EN_DE)]
        prints = [open_corpus("sample:tatoeba-en-de", pair, split=split).fingerprint() for split, pair in opened]
        assert prints[0] == prints[3]
        assert len(set(prints)) == 3
