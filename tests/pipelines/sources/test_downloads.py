"""Downloads are complete however often the connection breaks, and are verified."""

import gzip
import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError

import pytest

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.sources.corpora import LanguagePair, RawPair, open_corpus
from keras_nmt.pipelines.sources.downloads import Downloads, default_folder
from tests.pipelines.web import Page, Web, serving

EN_DE = LanguagePair("en", "de")
TEXT = b"".join(b"line %d\n" % i for i in range(500))
SHA256 = hashlib.sha256(TEXT).hexdigest()


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as server:
        yield server


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seconds of each wait, recorded instead of waited for."""
    seconds: list[int] = []
    monkeypatch.setattr("keras_nmt.pipelines.sources.downloads.sleep", seconds.append)
    return seconds


@pytest.fixture
def downloads(tmp_path: Path) -> Downloads:
    return Downloads(tmp_path / "downloads")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_file_is_downloaded_once_and_then_read_from_the_folder(web: Web, downloads: Downloads) -> None:
    web.pages["/a/text.en"] = Page(TEXT)
    first, second = (downloads.fetch([f"{web.address}/a/text.en"], SHA256) for _ in range(2))
    assert first == second == downloads.folder / web.address.removeprefix("http://").replace(":", "_") / "a/text.en"
    assert first.read_bytes() == TEXT
    assert (web.asked, names(downloads.folder)) == ([("/a/text.en", None)], ["text.en"])


def test_a_broken_connection_is_resumed(web: Web, downloads: Downloads, waits: list[int]) -> None:
    web.pages["/text.en"] = Page(TEXT, cuts=[1000, 500])
    assert downloads.fetch([f"{web.address}/text.en"]).read_bytes() == TEXT
    assert [start for _, start in web.asked] == [None, "bytes=1000-", "bytes=1500-"]
    assert waits == [1, 1]
    assert names(downloads.folder) == ["text.en"]


def test_a_partial_file_is_resumed_by_the_next_run(web: Web, downloads: Downloads) -> None:
    web.pages["/text.en"] = Page(TEXT, cuts=[1000], failures=[])
    web.pages["/text.en"].cuts += [0] * 4
    with pytest.raises(DataError, match=r"the connection ended after 1000 of 4390 bytes\); try again later, or put"):
        downloads.fetch([f"{web.address}/text.en"])
    assert names(downloads.folder) == ["text.en.part", "text.en.part.version"]
    assert Downloads(downloads.folder).fetch([f"{web.address}/text.en"]).read_bytes() == TEXT
    assert web.asked[-1] == ("/text.en", "bytes=1000-")


def test_a_complete_partial_file_is_not_downloaded_again(web: Web, downloads: Downloads) -> None:
    url = f"{web.address}/text.en"
    part = downloads.place(url).with_name("text.en.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(TEXT)
    part.with_name("text.en.part.version").write_text('"1"')
    web.pages["/text.en"] = Page(TEXT)
    assert downloads.fetch([url]).read_bytes() == TEXT
    assert web.asked == [("/text.en", f"bytes={len(TEXT)}-")]


@pytest.mark.parametrize(
    "page", [Page(TEXT, version='"2"'), Page(TEXT, ranges=False), Page(TEXT, version=None), Page(TEXT[:50])]
)
def test_a_partial_file_of_changed_content_is_discarded(web: Web, downloads: Downloads, page: Page) -> None:
    url = f"{web.address}/text.en"
    web.pages["/text.en"] = Page(b"old text " * 100, cuts=[100, 0, 0, 0, 0], version=page.version and '"1"')
    with pytest.raises(DataError, match=r"ended after \d+ of 900"):
        downloads.fetch([url])
    web.pages["/text.en"] = page
    assert downloads.fetch([url]).read_bytes() == page.content


@pytest.mark.parametrize("failures", [[503], [500, 502, 504], [429, 408]])
def test_a_failing_host_is_retried(web: Web, downloads: Downloads, waits: list[int], failures: list[int]) -> None:
    web.pages["/text.en"] = Page(TEXT, failures=list(failures))
    assert downloads.fetch([f"{web.address}/text.en"]).read_bytes() == TEXT
    assert waits == [1, 2, 4][: len(failures)]


def test_a_host_that_keeps_failing_is_an_error(web: Web, downloads: Downloads, waits: list[int]) -> None:
    web.pages["/text.en"] = Page(TEXT, failures=[503] * 5)
    with pytest.raises(
        DataError, match=r"cannot fetch http.*text\.en \(HTTP 503 .*\); try again later, or put the fil"
    ):
        downloads.fetch([f"{web.address}/text.en"])
    assert waits == [1, 2, 4, 8]


def test_a_refusal_is_not_retried(web: Web, downloads: Downloads, waits: list[int]) -> None:
    web.pages["/text.en"] = Page(TEXT, failures=[403])
    with pytest.raises(DataError, match=r"found no .*/text\.en \(HTTP 403\); check the address"):
        downloads.fetch([f"{web.address}/text.en"])
    assert (len(web.asked), waits) == (1, [])


def test_other_http_errors_are_reported_with_their_code(web: Web, downloads: Downloads) -> None:
    web.pages["/text.en"] = Page(TEXT, failures=[400])
    with pytest.raises(DataError, match=r"cannot fetch .*/text\.en \(HTTP 400 Bad Request\); try again later"):
        downloads.fetch([f"{web.address}/text.en"])


def test_after_a_forbidden_address_the_next_one_is_tried(web: Web, downloads: Downloads) -> None:
    web.pages |= {"/text.en": Page(TEXT, failures=[403]), "/text.en.gz": Page(gzip.compress(TEXT))}
    assert downloads.fetch([f"{web.address}/text.en", f"{web.address}/text.en.gz"]).name == "text.en.gz"


def test_a_file_that_no_host_has_is_reported_with_every_address(web: Web, downloads: Downloads) -> None:
    urls = [f"{web.address}/text.en", f"{web.address}/text.en.gz"]
    with pytest.raises(
        DataError,
        match=r"found no .*/text\.en \(HTTP 404\) nor .*/text\.en\.gz \(HTTP 404\); check the address, or put",
    ):
        downloads.fetch(urls)


def test_content_with_a_wrong_checksum_is_refused_and_removed(web: Web, downloads: Downloads) -> None:
    web.pages |= {"/text.en": Page(TEXT), "/other.en": Page(b"other")}
    downloads.fetch([f"{web.address}/text.en"])
    found = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(DataError, match=f"expected sha256 {SHA256}, found {found}; the download was removed"):
        downloads.fetch([f"{web.address}/other.en"], SHA256)
    assert names(downloads.folder) == ["text.en"]


def test_after_a_wrong_range_the_whole_file_is_requested(web: Web, downloads: Downloads) -> None:
    web.pages["/text.en"] = Page(TEXT, cuts=[1000], shift=10)
    assert downloads.fetch([f"{web.address}/text.en"]).read_bytes() == TEXT
    assert [start for _, start in web.asked] == [None, "bytes=1000-", None]


def test_a_wrong_content_length_is_an_error(web: Web, downloads: Downloads) -> None:
    web.pages["/text.en"] = Page(TEXT, length=len(TEXT) + 7, ranges=False)
    with pytest.raises(DataError, match="ended after 4390 of 4397 bytes"):
        downloads.fetch([f"{web.address}/text.en"])
    assert "text.en" not in names(downloads.folder)


def test_a_file_in_the_folder_under_its_bare_name_is_used(downloads: Downloads) -> None:
    downloads.folder.mkdir()
    (downloads.folder / "text.en").write_bytes(TEXT)
    assert downloads.fetch(["https://nowhere.invalid/a/text.en"], SHA256) == downloads.folder / "text.en"


def test_a_file_in_the_folder_with_a_wrong_checksum_is_reported_and_kept(downloads: Downloads) -> None:
    downloads.folder.mkdir()
    (downloads.folder / "text.en").write_bytes(b"mine")
    with pytest.raises(DataError, match=rf"text\.en has sha256 .*, not {SHA256}; delete it to fetch it again"):
        downloads.fetch(["https://nowhere.invalid/a/text.en"], SHA256)
    assert (downloads.folder / "text.en").read_bytes() == b"mine"


def test_without_a_network_the_error_says_at_once_where_to_put_the_file(
    downloads: Downloads, waits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise URLError(socket.gaierror(-3, "Temporary failure in name resolution"))

    monkeypatch.setattr("keras_nmt.pipelines.sources.downloads.urlopen", offline)
    place = downloads.folder / "data.org" / "a" / "text.en"
    with pytest.raises(DataError, match=rf"Temporary failure in name resolution\); .* put the file at {place}"):
        downloads.fetch(["https://data.org/a/text.en"])
    assert waits == []


def test_an_address_is_stored_within_the_folder(downloads: Downloads) -> None:
    placed = downloads.place("https://me:secret@data.org:8080/../../etc/./get?file=a b/../c.gz")
    assert placed == downloads.folder / "data.org_8080/etc/get_file=a_b/c.gz"
    with pytest.raises(DataError, match=r"https://data\.org/ has no file name"):
        downloads.place("https://data.org/")
    with pytest.raises(DataError, match=r"https://\[data/x is not an address \(.*\); expected https://HOST/PATH"):
        downloads.place("https://[data/x")


def test_an_address_may_have_spaces_and_umlauts(web: Web, downloads: Downloads) -> None:
    web.pages["/gr%C3%B6%C3%9Fer%20als.en?a=b%2Fc"] = Page(TEXT)
    assert downloads.fetch([f"{web.address}/größer als.en?a=b%2Fc"]).read_bytes() == TEXT


def test_an_address_with_an_invalid_port_is_not_retried(downloads: Downloads, waits: list[int]) -> None:
    with pytest.raises(DataError, match=r"cannot fetch http://data\.org:x/a\.en \(nonnumeric port: 'x'\)"):
        downloads.fetch(["http://data.org:x/a.en"])
    assert waits == []


def test_progress_is_reported_in_bytes(web: Web, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    web.pages["/text.en"] = Page(TEXT, cuts=[1000])
    Downloads(tmp_path, lambda done, total: told.append((done, total))).fetch([f"{web.address}/text.en"])
    assert told == [(1000, 4390), (4390, 4390)]


def test_the_folder_is_in_the_cache_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == Downloads().folder == tmp_path / "nmt" / "downloads"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_folder() == Path.home() / ".cache" / "nmt" / "downloads"


class TestCorpora:
    def test_both_sides_are_downloaded_compressed_or_not(self, web: Web, downloads: Downloads) -> None:
        web.pages |= {"/train.en": Page(b"one\n"), "/train.de.gz": Page(gzip.compress(b"eins\n"))}
        corpus = open_corpus(f"files:{web.address}/train", EN_DE, downloads=downloads)
        assert list(corpus) == [RawPair(b"one", b"eins")]
        assert [file["url"] for file in corpus.origin["files"]] == [
            f"{web.address}/train.{side}" for side in ("en", "de")
        ]

    def test_the_checksum_of_each_side_is_verified(self, web: Web, downloads: Downloads) -> None:
        web.pages |= {"/train.en": Page(b"one\n"), "/train.de": Page(b"eins\n")}
        right, wrong = (hashlib.sha256(text).hexdigest() for text in (b"one\n", b"zwei\n"))
        with pytest.raises(DataError, match=rf"/train\.de has unexpected content: expected sha256 {wrong}"):
            open_corpus(f"files:{web.address}/train?sha256={right},{wrong}", EN_DE, downloads=downloads)
        with pytest.raises(DataError, match="expected sha256=SOURCE,TARGET, got 1"):
            open_corpus(f"files:{web.address}/train?sha256={right}", EN_DE, downloads=downloads)

    @pytest.mark.parametrize(
        ("kind", "text"),
        [
            ("tsv", b"one\teins\n"),
            ("jsonl", b'{"en": "one", "de": "eins"}\n'),
            (
                "tmx",
                b'<tmx><body><tu><tuv lang="en"><seg>one</seg></tuv>'
                b'<tuv lang="de"><seg>eins</seg></tuv></tu></body></tmx>',
            ),
        ],
    )
    def test_every_kind_of_file_is_downloaded(self, web: Web, downloads: Downloads, kind: str, text: bytes) -> None:
        web.pages[f"/get?file=train.{kind}"] = Page(text)
        spec = f"{kind}:{web.address}/get?file=train.{kind}?weight=2"
        assert list(open_corpus(spec, EN_DE, downloads=downloads)) == [RawPair(b"one", b"eins")]

    def test_the_identity_of_a_download_is_its_checksum(self, web: Web, tmp_path: Path) -> None:
        web.pages["/train.tsv"] = Page(b"one\teins\n")
        spec = f"tsv:{web.address}/train.tsv"
        checked = f"{spec}?sha256={hashlib.sha256(b'one	eins' + bytes([10])).hexdigest()}"
        folders = [Downloads(tmp_path / name) for name in ("a", "b")]
        prints = [open_corpus(s, EN_DE, downloads=d).fingerprint() for s in (checked, spec) for d in folders]
        assert prints[0] == prints[1]
        assert len(set(prints)) == 3

    def test_a_checksum_for_a_local_file_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="sha256 is for files from https://; leave it out"):
            open_corpus(f"tsv:{tmp_path / 'a.tsv'}?sha256={SHA256}", EN_DE)
