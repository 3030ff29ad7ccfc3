"""Which pairs are dropped, for which reason, and what is said of them."""

import json
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import cleaning
from pipelines.cleaning import CleaningOptions, CleaningReport, clean, count_words
from pipelines.errors import DataError


def cleaned(
    pairs: Iterable[tuple[bytes | str, bytes | str]], options: CleaningOptions | None = None
) -> tuple[list[tuple[str, str]], CleaningReport]:
    report = CleaningReport()
    raw = ((_bytes(source), _bytes(target)) for source, target in pairs)
    return list(clean(raw, options or CleaningOptions(), report)), report


def _bytes(text: bytes | str) -> bytes:
    return text.encode() if isinstance(text, str) else text


def test_good_pairs_are_kept_in_order() -> None:
    pairs = [("one two", "eins zwei"), ("three", "drei")]
    kept, report = cleaned(pairs)
    assert kept == pairs
    assert (report.kept, report.dropped) == (2, {})


@pytest.mark.parametrize("pair", [(b"caf\xe9", b"Cafe"), (b"coffee", b"Kaf\xff\xfe")])
def test_bytes_that_are_not_utf8_drop_a_pair(pair: tuple[bytes, bytes]) -> None:
    kept, report = cleaned([pair])
    assert (kept, report.dropped) == ([], {"undecodable": 1})


@pytest.mark.parametrize("pair", [("", "x"), ("x", " \t\u2028\xa0"), ("", "")])
def test_a_side_without_text_drops_a_pair(pair: tuple[str, str]) -> None:
    assert cleaned([pair])[1].dropped == {"empty": 1}


def test_runs_of_whitespace_become_one_space() -> None:
    assert cleaned([(" a \t b\u2028c ", "d\xa0\xa0e\u3000f")])[0] == [("a b c", "d e f")]


def test_as_many_words_as_allowed_are_kept_and_one_more_is_too_long() -> None:
    options = CleaningOptions(max_words=5)
    _, report = cleaned([("a b c d e", "1 2 3 4 5"), ("a b c d e", "1 2 3 4 5 6")], options)
    assert (report.kept, report.dropped) == (1, {"too_long": 1})


def test_a_length_ratio_beyond_the_limit_drops_a_pair_whichever_side_is_longer() -> None:
    long, short = "w " * 14, "w w w"
    _, report = cleaned([(long, short), (short, long)])
    assert report.dropped == {"length_ratio": 2}


def test_short_pairs_may_differ_by_some_words_whatever_the_ratio() -> None:
    assert cleaned([("Thanks.", "Ich danke Ihnen sehr."), ("a", "1 2 3 4 5 6")])[1].kept == 2
    assert cleaned([("a", "1 2 3 4 5 6 7")])[1].dropped == {"length_ratio": 1}


def test_the_ratio_is_an_option() -> None:
    pair = ("a b c d e", " ".join("123456789"))
    assert cleaned([pair], CleaningOptions(max_length_ratio=1.0))[1].dropped == {"length_ratio": 1}
    assert cleaned([pair], CleaningOptions(max_length_ratio=2.0))[1].kept == 1


def test_scripts_without_spaces_count_two_characters_as_a_word() -> None:
    assert count_words("a b c") == 3
    assert count_words("我们明天去北京") == 1 + 3
    english = "We are going to Beijing tomorrow morning to visit our old friends and their two children"
    assert cleaned([(english, "我们明天早上去北京看望老朋友和他们的两个孩子")])[1].kept == 1


def test_a_pair_seen_before_is_a_duplicate_but_another_translation_is_not() -> None:
    kept, report = cleaned([("a", "x"), ("a", "y"), ("a", "x"), ("a ", " x"), ("b", "x")])
    assert kept == [("a", "x"), ("a", "y"), ("b", "x")]
    assert report.dropped == {"duplicate": 2}


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("xyz")), max_size=60))
def test_each_pair_is_kept_once_at_its_first_place(pairs: list[tuple[str, str]]) -> None:
    whole_block = cleaning._BLOCK_PAIRS
    try:
        cleaning._BLOCK_PAIRS = 7  # so that duplicates lie in one block and in several
        assert cleaned(pairs)[0] == list(dict.fromkeys(pairs))
    finally:
        cleaning._BLOCK_PAIRS = whole_block


def test_the_memory_of_pairs_is_eight_bytes_each() -> None:
    seen = cleaning._SeenPairs()
    digests = np.random.default_rng(0).integers(0, 2**63, size=(50, 1000), dtype=np.uint64)
    assert all(seen.add(block).all() for block in digests)
    assert not any(seen.add(block).any() for block in digests)
    assert sum(run.nbytes for run in seen._runs) == 8 * digests.size
    assert len(seen._runs) < 8


def test_the_report_counts_all_and_shows_the_first_three_of_each_reason() -> None:
    _, report = cleaned([("a", "x"), *((f"word {i}", "") for i in range(5)), (b"\xff", b"x")])
    assert report.as_dict() == json.loads(json.dumps(report.as_dict())) | {"examples": report.examples}
    assert report.dropped == {"empty": 5, "undecodable": 1}
    assert report.examples["empty"] == [("word 0", ""), ("word 1", ""), ("word 2", "")]
    assert report.examples["undecodable"] == [("\\xff", "x")]
    assert report.lines() == [
        "kept 1 of 7 pairs",
        "dropped 5: empty, such as 'word 0' | ''",
        "dropped 1: undecodable, such as '\\\\xff' | 'x'",
    ]


def test_examples_in_the_report_are_cut_short() -> None:
    assert len(cleaned([("long " * 1000, "x")])[1].examples["too_long"][0][0]) == 100


def test_a_kept_pair_can_be_taken_back() -> None:
    _, report = cleaned([("a", "x"), ("b", "y")])
    report.take_back("too_many_tokens", "a", "x")
    assert (report.kept, report.dropped) == (1, {"too_many_tokens": 1})


def test_cleaning_streams() -> None:
    def endless() -> Iterable[tuple[bytes, bytes]]:
        number = 0
        while True:
            number += 1
            yield b"a %d" % number, b"x %d" % number

    assert next(iter(clean(endless(), CleaningOptions(), CleaningReport()))) == ("a 1", "x 1")


@pytest.mark.parametrize(("options", "message"), [
    ({"max_words": 0}, "max_words must be at least 1, got 0"),
    ({"max_length_ratio": 0.5}, "max_length_ratio must be at least 1, got 0.5"),
])  # fmt: skip
def test_limits_that_drop_everything_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        CleaningOptions(**options)
