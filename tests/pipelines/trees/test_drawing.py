"""Trees are drawn within the width of the terminal."""

import pytest
from rich.cells import cell_len

from keras_nmt.pipelines.trees.drawing import drawn
from keras_nmt.pipelines.trees.tree import parse_tree
from tests.pipelines.trees.strategies import deep_tree

TREE = parse_tree("(TOP (S (NP (DT The) (NN dog)) (VP (VBD ate) (NP (PRP it))) (. .)))")


def test_each_constituent_has_a_line_and_words_stand_beside_their_tags() -> None:
    assert drawn(TREE, 80).splitlines() == [
        "S",
        "├─ NP",
        "│  ├─ DT The",
        "│  └─ NN dog",
        "├─ VP",
        "│  ├─ VBD ate",
        "│  └─ NP",
        "│     └─ PRP it",
        "└─ . .",
    ]


def test_a_narrow_terminal_gets_a_narrow_indentation() -> None:
    assert max(map(cell_len, drawn(TREE, 15).splitlines())) == 15
    assert drawn(TREE, 14).splitlines()[5:] == ["│ ├╴VBD ate", "│ └╴NP", "│   └╴PRP it", "└╴. ."]
    assert drawn(TREE, 9).splitlines()[5:] == ["│├VBD ate", "│└NP", "│ └PRP it", "└. ."]


def test_a_line_that_is_too_long_is_cut() -> None:
    assert drawn(TREE, 8).splitlines()[5:8] == ["│├VBD a…", "│└NP", "│ └PRP…"]
    assert drawn(TREE, 1).splitlines()[:3] == ["S", "…", "…"]


@pytest.mark.parametrize("width", range(1, 16))
def test_wide_characters_count_as_two_columns(width: int) -> None:
    lines = drawn(parse_tree("(TOP (NP (NN 東京都) (NN e\u0301te\u0301)))"), width).splitlines()
    assert all(cell_len(line) <= width for line in lines)
    if width >= 12:
        assert lines == ["NP", "├─ NN 東京都", "└─ NN e\u0301te\u0301"]
    if width == 10:
        assert lines[1] == "├NN 東京都"
    if width == 9:
        assert lines[1] == "├NN 東京…"
    if width == 8:
        assert lines[1] == "├NN 東…"


def test_a_root_with_several_children_and_a_word_alone_are_drawn() -> None:
    assert drawn(parse_tree("(TOP (NN a) (. .))"), 80).splitlines() == ["TOP", "├─ NN a", "└─ . ."]
    assert drawn(parse_tree("(TOP (UH Yes))"), 80) == "UH Yes"


def test_a_deep_tree_is_drawn() -> None:
    lines = drawn(deep_tree(5_000), 40).splitlines()
    assert len(lines) == 4_999 + 4_999
    assert lines[-1].endswith("…")


def test_a_terminal_without_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a width of at least 1 column, got 0"):
        drawn(TREE, 0)
