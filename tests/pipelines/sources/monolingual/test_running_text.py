"""`text:`, documents of running text in sections."""

import gzip
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.sources.corpora import LanguagePair, open_corpus
from keras_nmt.pipelines.sources.files import read_parts
from keras_nmt.pipelines.sources.monolingual import running_text
from keras_nmt.pipelines.sources.monolingual.running_text import CONTINUED, SECTION_BYTES

PAIR = LanguagePair("prompt", "text")


def sections(spec: str) -> list[tuple[bytes, bytes]]:
    return [(pair.source, pair.target) for pair in open_corpus(spec, PAIR)]


def documents(spec: str) -> list[bytes]:
    """Joins the sections of each document."""
    found, text = [], b""
    for mark, section in sections(spec):
        text += section
        if mark != CONTINUED:
            found.append(text)
            text = b""
    assert not text
    return found


def write(path: Path, text: bytes) -> str:
    path.write_bytes(text)
    return f"text:{path}"


def test_each_file_is_one_document_and_is_kept_exactly(tmp_path: Path) -> None:
    texts = [b"\n\n one\t 1\r\n\n  two \n", b"three"]
    for name, text in zip(("a.txt", "b.txt"), texts, strict=True):
        write(tmp_path / name, text)
    assert documents(f"text:{tmp_path}/*.txt") == texts
    assert documents(f"text:{tmp_path}/*.txt?documents=file") == texts


def test_blank_lines_separate_paragraphs(tmp_path: Path) -> None:
    spec = write(tmp_path / "a", b"\n\none\n two \n\n \t\nthree\r\n\r\nfour")
    assert documents(f"{spec}?documents=paragraphs") == [b"one\n two ", b"three", b"four"]


def test_each_line_may_be_a_document(tmp_path: Path) -> None:
    spec = write(tmp_path / "a", b"one\n\n two \r\nthree\n")
    assert documents(f"{spec}?documents=lines") == [b"one", b" two ", b"three"]


def test_compressed_text_without_its_byte_order_mark_is_read(tmp_path: Path) -> None:
    spec = write(tmp_path / "a.gz", gzip.compress(b"\xef\xbb\xbfone\ntwo\n"))
    assert documents(spec) == [b"one\ntwo\n"]


def test_a_long_document_is_cut_at_line_ends_into_sections_of_bounded_size(tmp_path: Path) -> None:
    text = b"".join(b"line %d\n" % i for i in range(30_000))
    found = sections(write(tmp_path / "a", text))
    assert [mark for mark, _ in found] == [CONTINUED] * (len(found) - 1) + [b""]
    assert b"".join(section for _, section in found) == text
    assert all(section.endswith(b"\n") for _, section in found)
    assert all(SECTION_BYTES - 20 < len(section) <= SECTION_BYTES for _, section in found[:-1])


@pytest.mark.parametrize(("kind", "count"), [("file", 1), ("paragraphs", 2), ("lines", 3)])
def test_long_lines_are_cut_before_spaces(tmp_path: Path, kind: str, count: int) -> None:
    line = b"word " * 40_000 + b"end"
    spec = write(tmp_path / "a", line + b"\n" + line + b"\n\nlast")
    found = sections(f"{spec}?documents={kind}")
    assert len(documents(f"{spec}?documents={kind}")) == count
    assert all(len(section) <= SECTION_BYTES for _, section in found)
    joined = b"".join(section + b"|" * (mark == CONTINUED) for mark, section in found)
    assert joined.replace(b"|", b"").startswith(line)
    assert b"d| w" in joined
    assert b"wo|" not in joined


def test_a_document_whose_line_end_fills_a_section_of_its_own_loses_only_the_line_end(tmp_path: Path) -> None:
    for line in (b"x" * SECTION_BYTES, b"x" * (SECTION_BYTES - 1)):
        spec = write(tmp_path / "a", line + b"\r\ny\n")
        assert documents(f"{spec}?documents=lines") == [line, b"y"]
        assert documents(f"{spec}?documents=paragraphs") == [line + b"\r\ny"]


@given(text=st.text(st.sampled_from("aé日😀 \n\r"), max_size=60), size=st.integers(4, 12))
def test_lines_are_cut_only_between_characters(tmp_path_factory: pytest.TempPathFactory, text: str, size: int) -> None:
    path = tmp_path_factory.mktemp("parts") / "a"
    path.write_bytes(text.encode())
    parts = list(read_parts(str(path), size))
    assert "".join(part.decode() for part in parts) == text
    assert all(0 < len(part) <= size and b"\n" not in part[:-1] for part in parts)


@given(paragraphs=st.lists(st.text(st.sampled_from("ab \n"), max_size=9).filter(str.strip), max_size=5))
def test_documents_are_the_paragraphs_of_a_plain_split(
    tmp_path_factory: pytest.TempPathFactory, paragraphs: list[str]
) -> None:
    text = "\n\n".join(["first", *paragraphs])
    spec = write(tmp_path_factory.mktemp("text") / "a", text.encode())
    by_blank = groupby(text.split("\n"), key=lambda line: bool(line.strip()))
    expected = ["\n".join(lines).encode() for has_text, lines in by_blank if has_text]
    assert documents(f"{spec}?documents=paragraphs") == expected


def test_another_division_into_documents_is_another_corpus(tmp_path: Path) -> None:
    spec = write(tmp_path / "a", b"one\ntwo")
    kinds = ("file", "paragraphs", "lines")
    assert len({open_corpus(f"{spec}?documents={kind}", PAIR).fingerprint() for kind in kinds}) == 3
    assert kinds == running_text.DOCUMENTS


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("?documents=pages", "documents must be file, paragraphs or lines, got 'pages'"),
        ("?document=lines", "unknown option 'document'; did you mean documents"),
    ],
)
def test_a_wrong_option_is_explained(tmp_path: Path, option: str, message: str) -> None:
    spec = write(tmp_path / "a", b"one") + option
    with pytest.raises(DataError, match=message):
        open_corpus(spec, PAIR)


def test_parallel_text_has_no_documents(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("one\teins\n")
    with pytest.raises(DataError, match="documents is for text:FILE; leave it out"):
        open_corpus(f"tsv:{tmp_path}/a.tsv?documents=lines", PAIR)


def test_text_in_utf_16_and_missing_files_are_explained(tmp_path: Path) -> None:
    spec = write(tmp_path / "a", "text".encode("utf-16"))
    with pytest.raises(DataError, match="is in UTF-16; make it UTF-8"):
        sections(spec)
    with pytest.raises(DataError, match=r"no file .*missing; give a file with running text"):
        sections(f"text:{tmp_path}/missing")
