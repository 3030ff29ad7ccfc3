"""Markup goes with its words, whatever their order in the translation."""

import asyncio
import copy
import io
import subprocess
import sys
import time
import zipfile
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
from docx import Document

from app.server import marked_text
from app.server.documents import MOST_RUNS, MOST_UNPACKED, opened, translate_document
from app.server.errors import RequestError, TooLargeError
from app.server.limits import Limits
from app.server.marked_text import owners_of_words, translate_parts
from app.server.markup import translate_html
from app.server.translation import Sentence, TranslatedText, aligned, sentences_of

PIXEL = bytes.fromhex(  # a picture of one point
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


def backwards(texts: list[str]) -> list[TranslatedText]:
    """Every sentence with its words in the other order, in capitals."""
    found = []
    for text in texts:
        sentences = sentences_of(text)
        found.append(
            TranslatedText(
                tuple(
                    Sentence(s.source, " ".join(reversed(s.source.upper().split())), before=s.before, after=s.after)
                    for s in sentences
                )
            )
        )
    return found


@pytest.fixture(autouse=True)
def model() -> Any:
    async def translate(batcher: Any, version: Any, texts: list[str]) -> list[TranslatedText]:
        return backwards(texts)

    async def aligned(batcher: Any, version: Any, pairs: list[tuple[str, str]]) -> list[Any]:
        lengths = [len(source.split()) for source, _ in pairs]
        return [([(n - 1 - i, i) for i in range(n)], np.eye(n)[::-1]) for n in lengths]

    with mock.patch.multiple(marked_text, translate=translate, aligned=aligned):
        yield


def html(text: str) -> str:
    version: Any = None
    return asyncio.run(translate_html(version, version, text))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a b c", "C B A"),
        ("a <b>b</b> c", "C <b>B</b> A"),
        ("<b>a</b> b c", "C B <b>A</b>"),
        ("<p>a <a href='x'>b <i>c</i></a> d.</p>", '<p>D. <a href="x"><i>C</i> B</a> A</p>'),
        ("<ul><li>a b</li><li>c <b>d</b></li></ul>", "<ul><li>B A</li><li><b>D</b> C</li></ul>"),
        ("a<br>b c<br/>d", "A<br/>C B<br/>D"),
        ("a <code>b c</code> d e", "A <code>b c</code> E D"),
        ("a <script>b()</script><style>c{}</style> d", "A <script>b()</script><style>c{}</style> D"),
        ("a\n   b   <b>c\nd</b>", "<b>D C</b> B A"),
        ("a &lt;b&gt; &amp; c", "C &amp; &lt;B&gt; A"),
        ("", ""),
        ("<p></p> <b> </b>", "<p></p> <b> </b>"),
        ("<div>a b<p>c d</p>e f</div>", "<div>B A<p>D C</p>F E</div>"),
        ('<span translate="no">a b</span> c d', '<span translate="no">a b</span> D C'),
        ("<b>one<br>two</b>", "<b>ONE<br/>TWO</b>"),
        ("<b>a b<p>c d</p>e f</b>", "<b>B A<p>D C</p>F E</b>"),
        ("<span>a <code>x</code> b c</span>", "<span>A <code>x</code> C B</span>"),
        ('<a>a b <img src="y"/></a>', '<a>B A <img src="y"/></a>'),
        ('<label>a b <input name="n"/></label>', '<label>B A <input name="n"/></label>'),
        ('<a><i class="icon"></i> a b</a> c', '<a><i class="icon"></i> B A</a> C'),
    ],
)
def test_inline_markup_moves_with_its_words(source: str, expected: str) -> None:
    assert html(source) == expected


def test_bold_words_of_a_word_document_stay_bold() -> None:
    document = Document()
    paragraph = document.add_paragraph("a ")
    paragraph.add_run("b").bold = True
    paragraph.add_run(" c")
    written = io.BytesIO()
    document.save(written)
    version: Any = None
    found = asyncio.run(translate_document(version, version, "a.docx", written.getvalue(), Limits()))
    runs = Document(io.BytesIO(found)).paragraphs[0].runs
    assert [(run.text, run.bold) for run in runs] == [("C ", None), ("B ", True), ("A", None)]


def test_pictures_and_headers_of_a_word_document_stay() -> None:
    document = Document()
    paragraph = document.add_paragraph("a b ")
    paragraph.add_run().add_picture(io.BytesIO(PIXEL))
    paragraph.add_run(" c d")
    document.sections[0].header.paragraphs[0].add_run("\t")
    document.sections[0].header.paragraphs[0].add_run("e f")
    document.add_section()
    written = io.BytesIO()
    document.save(written)
    version: Any = None
    found = Document(
        io.BytesIO(asyncio.run(translate_document(version, version, "a.docx", written.getvalue(), Limits())))
    )
    assert found.paragraphs[0].text == "B A  D C"
    assert len(found.inline_shapes) == 1
    assert found.sections[0].header.paragraphs[0].text == "\tF E"
    assert found.sections[1].header.is_linked_to_previous


def test_markup_takes_time_as_it_is_long() -> None:
    begun = time.monotonic()
    html("<b>" * 300 + "a b. " * 200 + "</b>" * 300)
    for evil in ("<a " * 16_666, "<b><u>" + "<i>a</i> " * 900 + "</u></b>"):
        try:
            html(evil)
        except RequestError:
            continue
    assert time.monotonic() - begun < 10


def test_a_word_document_may_not_unpack_to_too_much() -> None:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b" " * (MOST_UNPACKED + 1))
    version: Any = None
    with pytest.raises(TooLargeError):
        asyncio.run(translate_document(version, version, "a.docx", written.getvalue(), Limits()))


def test_deep_markup_is_refused() -> None:
    with pytest.raises(RequestError, match="too deeply"):
        html("<b>" * 1900 + "a")


def test_a_part_that_no_word_comes_from_takes_the_word_that_looks_at_it() -> None:
    async def aligned(batcher: Any, version: Any, pairs: list[tuple[str, str]]) -> list[Any]:
        weights = np.array([[0.9, 0.1, 0.0], [0.5, 0.4, 0.1], [0.8, 0.0, 0.2]])
        return [([(0, 0), (0, 1), (0, 2)], weights)]

    version: Any = None
    with mock.patch.object(marked_text, "aligned", aligned):
        (parts,) = asyncio.run(translate_parts(version, version, [["a ", "b", " c"]]))
    assert [part.number for part in parts] == [0, 1, 2]
    assert "".join(part.text for part in parts) == "C B A"


@pytest.mark.parametrize(
    ("parts", "owners"), [(["a b", "c d"], [0, 0, 1]), ([" a ", "", "b"], [0, 2]), (["", "a"], [1]), ([" "], [])]
)
def test_a_word_belongs_to_the_part_in_which_it_begins(parts: list[str], owners: list[int]) -> None:
    assert owners_of_words(parts) == owners


def test_sentences_put_together_are_the_text() -> None:
    for text in ("", " ", "\n\n", "A b. C d!  E?\n\n F", "a\r\nb", "Dr. Smith came. He left.", "\u3000a。b。"):
        sentences = sentences_of(text)
        assert "".join(s.before + s.source + s.after for s in sentences) == text
        assert all(s.source == s.source.strip() for s in sentences)
    assert [s.source for s in sentences_of("Dr. Smith came. He left.")] == ["Dr. Smith came.", "He left."]


def test_the_training_code_is_not_loaded() -> None:
    code = "import sys, app.server.application, app.server.versions; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "app.exports" in loaded
    assert not [
        name for name in loaded if name.split(".")[0] == "layers" or name.startswith(("app.training", "app.run_"))
    ]


def test_a_document_of_a_million_runs_is_refused_before_they_are_looked_at() -> None:
    whole, many = io.BytesIO(), io.BytesIO()
    Document().save(whole)
    paragraph = f"<w:p>{'<w:r/>' * 1_000_000}</w:p>"
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(many, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            text = source.read(name)
            target.writestr(
                name, text.replace(b"<w:body>", b"<w:body>" + paragraph.encode()) if "document" in name else text
            )
    begun = time.process_time()
    with pytest.raises(TooLargeError):
        opened(many.getvalue())
    assert time.process_time() - begun < 5


def test_a_document_has_so_many_runs_and_no_more() -> None:
    document = Document()
    paragraph = document.add_paragraph("word")
    run = paragraph.runs[0]._r
    for _ in range(MOST_RUNS):
        paragraph._p.append(copy.copy(run))
    written = io.BytesIO()
    document.save(written)
    with pytest.raises(TooLargeError):
        opened(written.getvalue())


def test_long_sentences_are_aligned_in_order_without_a_number_for_each_pair_of_words() -> None:
    class Unasked:
        async def run(self, *_: object) -> list[Any]:
            pytest.fail("the attention of such sentences fills the memory")

    direction: Any = SimpleNamespace(tags=(), version=None, encoded=str.encode)
    ((pairs, weights),) = asyncio.run(aligned(Unasked(), direction, [("a b " * 1000, "x " * 1000)]))  # type: ignore[arg-type]
    assert pairs == [(2 * i, i) for i in range(1000)]
    assert weights.shape == (0, 2000)
