"""English text is split as in the Penn Treebank."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keras_nmt.pipelines.trees.tree import Leaf
from keras_nmt.pipelines.trees.words import ptb_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I can't do it, and she won't.", "I ca n't do it , and she wo n't ."),
        (
            "They'll say it's the boys' dog; we've said John's.",
            "They 'll say it 's the boys ' dog ; we 've said John 's .",
        ),
        ('"Why?" she asked. "No," he said', "`` Why ? '' she asked. `` No , '' he said"),
        ("“Don’t,” he said – and ‘left’…", "`` Do n't , '' he said -- and ` left ' ..."),  # noqa: RUF001
        ("It rose 12.5% (to $1,234.50) in 1990–95.", "It rose 12.5 % -LRB- to $ 1,234.50 -RRB- in 1990-95 ."),  # noqa: RUF001
        ("Mr. Smith of Acme Inc. left the U.S. in Jan. 1990.", "Mr. Smith of Acme Inc. left the U.S. in Jan. 1990 ."),
        ("It is made in the U.S.", "It is made in the U.S. ."),
        ("(“Made in the U.S.”)", "-LRB- `` Made in the U.S. . '' -RRB-"),
        ("(He works for Acme Corp.)", "-LRB- He works for Acme Corp . -RRB-"),
        ("Cats, dogs, etc.", "Cats , dogs , etc ."),
        ("AT&T paid HK$3 and a 62%-owned unit C$5 & more.", "AT&T paid HK$ 3 and a 62%-owned unit C$ 5 & more ."),
        (
            "See [2] and {x}: http://a.org/b?c or me@a.org.",
            "See -LSB- 2 -RSB- and -LCB- x -RCB- : http://a.org/b ? c or me@a.org .",
        ),
        (
            "You cannot; we're gonna -- 'Tis well-known at 10:30.",
            "You can not ; we 're gon na -- 'T is well-known at 10:30 .",
        ),
        (
            "Is 'this' a `quote'? No: 'em, the '90s and O'Brien's!",
            "Is ` this ' a ` quote ' ? No : 'em , the '90s and O'Brien 's !",
        ),
        ("One—two---three and/or four...", "One -- two -- -three and/or four ..."),
        ("He said: “I left.”", "He said : `` I left . ''"),
        ('He said: "I left."', "He said : `` I left . ''"),
        ("`` I left , '' he said . ''", "`` I left , '' he said . ''"),
        ("''Yes,'' he said.", "`` Yes , '' he said ."),
        ("  Hello\n\tworld  ", "Hello world"),
        ("", ""),
    ],
)
def test_text_is_split_as_in_the_treebank(text: str, words: str) -> None:
    assert ptb_words(text) == words.split()


@given(st.text(max_size=30))
@example("a\u2028b\x1cc\x85d\xa0e")
def test_every_word_may_stand_in_a_tree(text: str) -> None:
    for word in ptb_words(text):
        assert str(Leaf("XX", word)) == f"(XX {word})"
