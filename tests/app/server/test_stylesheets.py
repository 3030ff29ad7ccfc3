"""The stylesheets of the page: no view's classes change another view."""

import re
from itertools import combinations
from pathlib import Path

from keras_nmt.app.server.saved_page.page import PAGE

ROOTS = {"inside.css": ":where(#inside)", "translate.css": ":where(#translate)"}
CLASS = re.compile(r"\.(-?[A-Za-z_][\w-]*)")


def selectors(text: str) -> list[tuple[str, ...]]:
    """Returns the selectors of all rules, each with those of the rules that it is nested in, the outermost first."""
    plain = re.sub(r"/\*.*?\*/|\"[^\"\n]*\"", "", text, flags=re.DOTALL)
    found: list[tuple[str, ...]] = []
    outer: list[str] = []
    for head, end in re.findall(r"([^{};]*)([{};])", plain):
        if end == "{":
            outer.append(" ".join(head.split()))
            found.append(tuple(outer))
        elif end == "}":
            outer.pop()
    assert outer == []
    return found


def unscoped_classes(path: Path) -> set[str]:
    rules = [rule for rule in selectors(path.read_text(encoding="utf-8")) if rule[0] != ROOTS.get(path.name)]
    return {name for rule in rules for selector in rule for name in CLASS.findall(selector)}


def test_no_class_is_defined_for_the_whole_page_in_two_stylesheets() -> None:
    sheets = sorted(PAGE.rglob("*.css"))
    assert {path.name for path in sheets} == {"style.css", *ROOTS}
    for one, other in combinations(sheets, 2):
        assert unscoped_classes(one) & unscoped_classes(other) == set(), (one.name, other.name)


def test_the_rules_of_a_view_hold_within_it() -> None:
    page = (PAGE / "index.html").read_text(encoding="utf-8")
    for path in PAGE.rglob("*.css"):
        if root := ROOTS.get(path.name):
            assert unscoped_classes(path) == set(), path.name
            (name,) = re.findall(r"#([\w-]+)", root)
            assert f'<section id="{name}"' in page


def test_selectors_are_read_with_what_they_are_nested_in() -> None:
    text = '/* .no {} */ .a, .b > p { color: red; } @media (width > 1px) { .c { x: .5s } } #v { .d { y: "}"; } }'
    assert selectors(text) == [
        (".a, .b > p",),
        ("@media (width > 1px)",),
        ("@media (width > 1px)", ".c"),
        ("#v",),
        ("#v", ".d"),
    ]
