"""Sample outputs of each task, as TensorBoard shows them."""

import pytest
from markdown import markdown

from keras_nmt.app.tasks.known import TASKS
from keras_nmt.app.tasks.samples import blocks, table

GOLD = "(TOP (S (NP (PRP It)) (VP (VBZ works)) (. .)))"
EXTENSIONS = ["tables", "fenced_code"]  # those of TensorBoard
FLAT = "(TOP (NP (XX It) (XX works) (XX .)))"


def test_trees_are_drawn_with_the_tags_of_the_reference() -> None:
    assert TASKS["parsing"].samples(["It works ."], [FLAT], [GOLD]) == (
        "tree:\n\n    NP\n    ├─ PRP It\n    ├─ VBZ works\n    └─ . .\n\n"
        "reference:\n\n    S\n    ├─ NP\n    │  └─ PRP It\n    ├─ VP\n    │  └─ VBZ works\n    └─ . ."
    )
    assert TASKS["parsing"].samples([""], [""], [GOLD]).startswith("tree:\n\n    none\n\nreference:\n\n    S\n")


@pytest.mark.parametrize(
    ("task", "heads"),
    [("translation", "source | translation | reference"), ("summarization", "text | summary | reference")],
)
def test_texts_are_in_a_table(task: str, heads: str) -> None:
    assert TASKS[task].samples(["a|b"], ["c"], ["d"]) == f"{heads}\n---|---|---\na\\|b | c | d"


def test_a_generated_text_is_shown_with_its_prompt_and_its_line_ends() -> None:
    found = TASKS["language-model"].samples(["All:", "Speak,"], ["\n  We  know.\n", " <b>"], ["", ""])
    assert found == "prompt 'All:':\n\n    All:\n      We  know.\n    \n\nprompt 'Speak,':\n\n    Speak, <b>"
    shown = markdown(found, extensions=EXTENSIONS)
    assert "<pre><code>All:\n  We  know." in shown
    assert "<pre><code>Speak, &lt;b&gt;" in shown


def test_a_table_and_blocks_are_markdown_of_tensorboard() -> None:
    assert "<td>c</td>" in markdown(table(("a", "b"), [("c", "d")]), extensions=EXTENSIONS)
    assert blocks([("one", "x\n y"), ("two", "")]) == "one:\n\n    x\n     y\n\ntwo:\n\n    "
