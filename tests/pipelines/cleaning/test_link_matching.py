"""Addresses are compared independently of the text around them, in any script."""

# ruff: noqa: RUF001

import pytest

from keras_nmt.pipelines.cleaning.link_matching import have_different_links

SAME = [
    ("See https://example.com/a.", "更多信息请访问https://example.com/a。"),
    ("See https://example.com/a.", "更多信息请访问（https://example.com/a）。"),
    ("See https://example.com/a.", "请访问https://example.com/a了解更多信息。"),
    ("Write to info@example.com today.", "info@example.comまでご連絡ください。"),
    ("Write to info@example.com today.", "โปรดเขียนถึงinfo@example.comวันนี้"),
    ("See “https://example.com/a”.", "Siehe „https://example.com/a“."),
    ("See “https://example.com/a”.", "Voir « https://example.com/a »."),
    ("See https://example.com/a…", "Siehe https://example.com/a."),
    ("Read https://example.com/a, then press", "اقرأ https://example.com/a، ثم اضغط"),
    ("See https://example.com/a.", "https://example.com/a। देखें"),
    ("See https://example.com.", "https://example.com에서 보세요."),
    ("See https://example.com.", "https://example.com'da bakın."),
    ("See https://example.com.", "Katso https://example.com:ssa."),
    ("See https://example.com.", "Nézze meg a https://example.com-on."),
    ("See https://example.com/a.", "\u200ehttps://example.com/a\u200f"),
    ("See www.example.com.", "Siehe https://www.example.com/"),
    ("See https://de.wikipedia.org/wiki/K%C3%B6ln", "https://de.wikipedia.org/wiki/Köln"),
    ("See https://пример.рф/a", "на https://пример.рф/a."),
    ("(https://en.wikipedia.org/wiki/Foo_(bar))", "https://en.wikipedia.org/wiki/Foo_(bar)."),
    ("no address @ all", "://"),
]
OTHER = [
    ("See https://example.com/a.", "请访问https://example.com/b。"),
    ("See https://example.com/a.", "请访问。"),
    ("See https://example.com:8080/", "https://example.com:8081/を見てください。"),
    ("Write to ann@example.com.", "ann@example.orgまで。"),
    ("See https://пример.рф/a", "https://другой.рф/a"),
    ("See https://x.org/a?b=1", "https://x.org/a?b=2"),
]


@pytest.mark.parametrize(("source", "target"), SAME)
def test_an_address_ends_where_other_text_begins(source: str, target: str) -> None:
    assert not have_different_links(source, target)


@pytest.mark.parametrize(("source", "target"), OTHER)
def test_a_different_address_is_found_in_any_script(source: str, target: str) -> None:
    assert have_different_links(source, target)


@pytest.mark.parametrize("text", ["a" * 10**6 + "@", "@" * 10**6, "www." * 250_000, "https://x" + "(" * 10**6 + "a"])
@pytest.mark.timeout(10)
def test_a_megabyte_of_address_is_compared_quickly(text: str) -> None:
    assert not have_different_links(text, text)
