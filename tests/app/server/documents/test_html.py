"""Translation of HTML: inline markup moves with its words."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from keras_nmt.app.server.documents.html.pages import read_html, write_html
from keras_nmt.app.server.documents.html.reading import MAX_TAGS
from keras_nmt.app.server.documents.spans import Span
from keras_nmt.app.server.engine.alignment import align_sentences
from keras_nmt.app.server.engine.translation import MAX_SENTENCE_CHARACTERS, split_sentences
from keras_nmt.app.server.errors import RequestError, TooLargeError
from tests.app.server.backwards import translated_html


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a b c", "C B A"),
        ("a <b>b</b> c", "C <b>B</b> A"),
        ("<b>a</b> b c", "C B <b>A</b>"),
        ("<p>a <a href='x'>b <i>c</i></a> d.</p>", '<p>D <a href="x"><i>C</i> B</a> A.</p>'),
        ("<ul><li>a b</li><li>c <b>d</b></li></ul>", "<ul><li>B A</li><li><b>D</b> C</li></ul>"),
        ("a<br>b c<br/>d", "A<br/>C B<br/>D"),
        ("a <code>b c</code> d e", "E D <code>b c</code> A"),
        ("a <script>b()</script><style>c{}</style> d", "D A <script>b()</script><style>c{}</style>"),
        ("a\n   b   <b>c\nd</b>", "<b>D C</b> B A"),
        ("a &lt;b&gt; &amp; c", "C &amp; &lt;B&gt; A"),
        ("", ""),
        ("<p></p> <b> </b>", "<p></p> <b> </b>"),
        ("<div>a b<p>c d</p>e f</div>", "<div>B A<p>D C</p>F E</div>"),
        ('<span translate="no">a b</span> c d', 'D C <span translate="no">a b</span>'),
        ("<b>one<br>two</b>", "<b>ONE<br/>TWO</b>"),
        ("<b>a b<p>c d</p>e f</b>", "<b>B A<p>D C</p>F E</b>"),
        ("<span>a <code>x</code> b c</span>", "<span>C B <code>x</code> A</span>"),
        ('<a>a b <img src="y"/></a>', '<a>B A <img src="y"/></a>'),
        ('<label>a b <input name="n"/></label>', '<label>B A <input name="n"/></label>'),
        ('<a><i class="icon"></i> a b</a> c', 'C <a><i class="icon"></i> B A</a>'),
        # Next to punctuation.
        ('<p>See it (<a href="x">here</a>).</p>', '<p>(<a href="x">HERE</a>) IT SEE.</p>'),
        ('<p>We like "<a href="x">it</a>" so</p>', '<p>SO "<a href="x">IT</a>" LIKE WE</p>'),
        ('<p>Tom<sup><a href="#1">[1]</a></sup> is old.</p>', '<p>OLD IS TOM<sup><a href="#1">[1]</a></sup>.</p>'),
        ('<p>Write to:<a href="y">Tom</a></p>', '<p>TO:<a href="y">TOM</a> WRITE</p>'),
        ("<p>Tom is here<b>!</b></p>", "<p>HERE IS TOM<b>!</b></p>"),
        ("<b>a</b>/<i>b</i> c", "C <b>A</b>/<i>B</i>"),
        # Nested, in any case.
        (
            '<p translate="No">a b <b translate="YES">c d</b></p>',
            '<p translate="No">a b <b translate="YES">D C</b></p>',
        ),
        ("<p TRANSLATE=NO>a <i>b</i></p> c d", '<p translate="NO">a <i>b</i></p> D C'),
        ('<p translate="no"><b translate="">a b</b></p>', '<p translate="no"><b translate="">B A</b></p>'),
        ('<pre>a b</pre><pre translate="yes">a b</pre>', '<pre>a b</pre><pre translate="yes">B A</pre>'),
        ('<script translate="yes">a b</script>', '<script translate="yes">a b</script>'),
        ('<p class="x notranslate">a b</p>', '<p class="x notranslate">a b</p>'),
        # Elements that do not end a sentence.
        (
            "a <tt>b</tt> <acronym>c</acronym> <my-word>d</my-word>",
            "<my-word>D</my-word> <acronym>C</acronym> <tt>B</tt> A",
        ),
        (
            "<data>a</data> <nobr>b</nobr> <ins>c</ins> <bdi>d</bdi>",
            "<bdi>D</bdi> <ins>C</ins> <nobr>B</nobr> <data>A</data>",
        ),
        ("a super<wbr>man b", "B SUPER<wbr/>MAN A"),
        ("a <!-- b --> c", "C A <!-- b -->"),
        ("a<!-- b --> c", "C A<!-- b -->"),
        ('a <img src="y"/> b', 'B A <img src="y"/>'),
        ('a <a id="x"></a>b c', '<a id="x"></a>C B A'),
        ("<a>a <svg><text>x</text></svg> b</a>", "<a>B A <svg><text>x</text></svg></a>"),
        ("Press <kbd>Ctrl</kbd>+<kbd>C</kbd> now.", "NOW <kbd>Ctrl</kbd>+<kbd>C</kbd> PRESS."),
        ('<b id="x">a b</b> c <i>d</i>', '<i>D</i> C <b id="x">B A</b>'),
        # No-break spaces and soft hyphens.
        ("<p>\u00a0a b\u00a0</p>", "<p>\u00a0B A\u00a0</p>"),
        ("a &nbsp;b soft&shy;ware", "SOFTWARE B A"),
        ("<b> </b>a<b> </b>b", " B A"),
        ("<p>1 2</p><p>---</p><p>\U0001f600 <b>5</b></p>", "<p>1 2</p><p>---</p><p>\U0001f600 <b>5</b></p>"),
        ("<ruby>a b<rt>x y</rt></ruby>", "<ruby>B A<rt>x y</rt></ruby>"),
    ],
)
def test_inline_markup_moves_with_its_words(source: str, expected: str) -> None:
    assert translated_html(source) == expected


def test_a_copied_element_has_no_second_id() -> None:
    page = '<b class="y" id="x">a b</b>'
    assert read_html(f"{page} c", False) == [["a b", " c"]]
    written = write_html(f"{page} c", False, [[Span(0, "A "), Span(1, "C "), Span(0, "B")]])
    assert written == '<b class="y" id="x">A</b> C <b class="y">B</b>'


def test_attributes_are_translated_only_on_request() -> None:
    page = (
        '<img alt="a dog" title="a b"/><input placeholder="your name"/><a aria-label="go on" href="a b">1</a>'
        '<p translate="no"><img alt="a dog"/></p><b title="a b">c d</b><i title="1"></i>'
    )
    assert translated_html(page) == page.replace("c d", "D C")
    assert translated_html(page, attributes=True) == (
        '<img alt="DOG A" title="B A"/><input placeholder="NAME YOUR"/><a aria-label="ON GO" href="a b">1</a>'
        '<p translate="no"><img alt="a dog"/></p><b title="B A">D C</b><i title="1"></i>'
    )


def test_the_time_for_html_grows_linearly() -> None:
    begun = time.monotonic()
    translated_html("<b>" * 990 + "a b. " * 200 + "</b>" * 990)
    for evil in ("<a " * 16_666, "<b><u>" + "<i>a</i> " * 900 + "</u></b>", "<b>" * 990 + "a", "<b>a " * 990):
        try:
            translated_html(evil)
        except RequestError:
            continue
    assert time.monotonic() - begun < 15


def test_the_number_of_copied_elements_for_each_word_is_limited() -> None:
    count = 900
    page = "<b>x " * count + "</b>" * count
    (text,) = [text for text in read_html(page, False) if len(text) > 1]
    parts = [Span(number, "x ") for number in [0, len(text) - 1] * (len(text) // 2)]
    rest = [[Span(0, "x")] for _ in read_html(page, False)[:-1]]
    assert write_html(page, False, [*rest, parts]).count("<b>") < count + 20 * len(text)


def test_too_many_tags_are_refused() -> None:
    with pytest.raises(TooLargeError, match="more than 2000 tags"):
        read_html("<b>" * (MAX_TAGS + 1), False)


def test_deeply_nested_markup_is_refused() -> None:
    with pytest.raises(RequestError, match="too deeply"):
        read_html("<b>" * 1900 + "a", False)


def test_joined_sentences_are_the_text() -> None:
    for text in ("", " ", "\n\n", "A b. C d!  E?\n\n F", "a\r\nb", "Dr. Smith came. He left.", "\u3000a。b。"):
        sentences = split_sentences(text)
        assert "".join(s.before + s.source + s.after for s in sentences) == text
        assert all(s.source == s.source.strip() for s in sentences)
    assert [s.source for s in split_sentences("Dr. Smith came. He left.")] == ["Dr. Smith came.", "He left."]


def test_a_text_without_sentences_is_cut() -> None:
    for text in ("dog " * 10_000, " We go. " + "x" * 5_000 + " Here", "a" * MAX_SENTENCE_CHARACTERS):
        sentences = split_sentences(text)
        assert "".join(s.before + s.source + s.after for s in sentences) == text
        assert max(len(s.source) for s in sentences) <= MAX_SENTENCE_CHARACTERS
    assert len(split_sentences("dog " * 10_000)) == 20
    assert len(split_sentences("a" * MAX_SENTENCE_CHARACTERS)) == 1


def test_long_sentences_are_aligned_monotonically_without_attention() -> None:
    class UnusedBatcher:
        async def run(self, *_: object) -> list[Any]:
            pytest.fail("the attention matrix of a long sentence needs too much memory")

    direction: Any = SimpleNamespace(tags=(), version=None, encoded=str.encode)
    ((pairs, weights),) = asyncio.run(align_sentences(UnusedBatcher(), direction, [("a b " * 1000, "x " * 1000)]))  # type: ignore[arg-type]
    assert pairs == [(2 * i, i) for i in range(1000)]
    assert weights.shape == (0, 2000)
