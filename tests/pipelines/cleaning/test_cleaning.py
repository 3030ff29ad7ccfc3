"""Which pairs are dropped, for which reasons, and how they are reported."""

# ruff: noqa: RUF001

import json
from collections.abc import Iterable
from typing import Any

import pytest

from keras_nmt.pipelines.cleaning.filters import OPTIONAL, Cleaner, CleaningOptions, CleaningReport, repaired
from keras_nmt.pipelines.cleaning.language_identification import is_in_another_language
from keras_nmt.pipelines.cleaning.word_counts import count_words
from keras_nmt.pipelines.errors import DataError


def cleaned(
    pairs: Iterable[tuple[bytes | str, bytes | str]],
    options: CleaningOptions | None = None,
    languages: tuple[str, str] = ("en", "de"),
) -> tuple[list[tuple[str, str]], CleaningReport]:
    report = CleaningReport()
    cleaner = Cleaner(options or CleaningOptions(min_letters=0), languages)
    found = [cleaner(_bytes(source), _bytes(target), report) for source, target in pairs]
    return [pair for pair in found if pair], report


def _bytes(text: bytes | str) -> bytes:
    return text.encode() if isinstance(text, str) else text


def test_good_pairs_are_kept_in_order() -> None:
    pairs = [("one two", "eins zwei"), ("three", "drei")]
    kept, report = cleaned(pairs)
    assert kept == pairs
    assert (report.kept, report.dropped) == (2, {})


@pytest.mark.parametrize("pair", [(b"caf\xe9", b"Cafe"), (b"coffee", b"Kaf\xff\xfe")])
def test_a_pair_that_is_not_utf8_is_dropped(pair: tuple[bytes, bytes]) -> None:
    kept, report = cleaned([pair])
    assert (kept, report.dropped) == ([], {"undecodable": 1})


@pytest.mark.parametrize("pair", [("", "x"), ("x", " \t\u2028\xa0"), ("", ""), ("x", "\u200f\u200b\ufeff")])
def test_a_pair_with_an_empty_side_is_dropped(pair: tuple[str, str]) -> None:
    assert cleaned([pair])[1].dropped == {"empty": 1}


def test_runs_of_whitespace_become_one_space() -> None:
    assert cleaned([(" a \t b\u2028c ", "d\xa0\xa0e\u3000f")])[0] == [("a b c", "d e f")]


def test_the_maximum_number_of_words_is_kept_and_one_more_is_dropped() -> None:
    options = CleaningOptions(max_words=5, min_letters=0)
    _, report = cleaned([("a b c d e", "1 2 3 4 5"), ("a b c d e", "1 2 3 4 5 6")], options)
    assert (report.kept, report.dropped) == (1, {"too_long": 1})


def test_a_pair_beyond_the_length_ratio_is_dropped_whichever_side_is_longer() -> None:
    long, short = "w " * 14, "w w w"
    _, report = cleaned([(long, short), (short, long)])
    assert report.dropped == {"length_ratio": 2}


def test_short_pairs_may_differ_by_some_words_beyond_the_ratio() -> None:
    assert cleaned([("Thanks.", "Ich danke Ihnen sehr."), ("a", "1 2 3 4 5 6")])[1].kept == 2
    assert cleaned([("a", "1 2 3 4 5 6 7")])[1].dropped == {"length_ratio": 1}


def test_the_ratio_is_an_option() -> None:
    pair = ("a b c d e", " ".join("123456789"))
    assert cleaned([pair], CleaningOptions(max_length_ratio=1.0, min_letters=0))[1].dropped == {"length_ratio": 1}
    assert cleaned([pair], CleaningOptions(max_length_ratio=2.0, min_letters=0))[1].kept == 1


def test_scripts_without_spaces_count_two_characters_as_a_word() -> None:
    assert count_words("a b c") == 3
    assert count_words("我们明天去北京") == 1 + 3
    english = "We are going to Beijing tomorrow morning to visit our old friends and their two children"
    assert cleaned([(english, "我们明天早上去北京看望老朋友和他们的两个孩子")])[1].kept == 1


def test_an_untranslated_pair_is_dropped_unless_it_may_be_a_name() -> None:
    _, report = cleaned([("Nothing was translated.",) * 2, ("New York",) * 2])
    assert (report.kept, report.dropped) == (1, {"identical": 1})


def test_a_pair_with_few_letters_is_dropped() -> None:
    pairs = [("12 34 === 56", "ein Text"), ("a text", "-- 7 --"), ("a text", "ein Text"), ("हिन्दी में", "Hindi")]
    _, report = cleaned(pairs, CleaningOptions(min_letters=0.4), ("hi", "de"))
    assert (report.kept, report.dropped) == (2, {"few_letters": 2})


@pytest.mark.parametrize(("source", "target", "is_kept"), [
    ("It costs 1,000.50 dollars", "Es kostet 1.000,50 Dollar", True),
    ("It is 12:00 now", "Es ist jetzt 12 Uhr", True),
    ("In 1999 there were 5", "5 gab es 1999", True),
    ("Three of them", "3 davon", True),
    ("Chapter 3 of it", "Kapitel 4 davon", False),
    ("From 1 to 2 or 3", "Von 1 bis 9 oder 8", False),
])  # fmt: skip
def test_a_pair_with_different_numbers_is_dropped(source: str, target: str, is_kept: bool) -> None:
    assert cleaned([(source, target)])[1].dropped == ({} if is_kept else {"numbers": 1})


@pytest.mark.parametrize(("source", "target", "is_kept"), [
    ("See https://example.org/a.", "Siehe (https://example.org/a)", True),
    ("Write to ann@example.org", "Schreib an ann@example.org!", True),
    ("See www.example.org", "Siehe www.example.com", False),
    ("Write to ann@example.org", "Schreib an Ann", False),
])  # fmt: skip
def test_a_pair_with_different_addresses_is_dropped(source: str, target: str, is_kept: bool) -> None:
    assert cleaned([(source, target)])[1].dropped == ({} if is_kept else {"links": 1})


def test_a_pair_in_another_language_is_dropped() -> None:
    french = "Le chat est assis sur le tapis et regarde la pluie tomber."
    english = "The cat sits on the carpet and watches the rain fall."
    german = "Die Katze sitzt auf dem Teppich und sieht dem Regen zu."
    _, report = cleaned([(english, german), (english, french), (french, german), ("Oui", "Non")])
    assert (report.kept, report.dropped) == (2, {"language": 2})


def test_an_unknown_language_is_never_wrong() -> None:
    text = "Die Katze sitzt auf dem Teppich und sieht dem Regen zu."
    assert not is_in_another_language(text, "tlh")
    assert not is_in_another_language(text, "de_AT")
    assert is_in_another_language(text, "nl")


@pytest.mark.parametrize(("wrong", "right"), [
    ("schÃ¶n", "schön"),
    ("it&apos;s &quot;good&quot; &amp; bad", "it's \"good\" & bad"),
    ("\x93gut\x94", "“gut”"),
    ("„Äpfel“ und „Öl“", "„Äpfel“ und „Öl“"),
    ("我们明天去北京", "我们明天去北京"),
    ("AT&T; ﬁne ½", "AT&T; ﬁne ½"),
    ("”Äiti” ja ”Öljy”, ’Åsa’", "”Äiti” ja ”Öljy”, ’Åsa’"),
    ("Der Verein “DÄ” und »ŠÁ«", "Der Verein “DÄ” und »ŠÁ«"),
    ("woɖe gbeƒã ɖeƒãɖeɖe, ãƒe ƒéwo", "woɖe gbeƒã ɖeƒãɖeɖe, ãƒe ƒéwo"),
    ("ãƒ†ã‚¹ãƒˆ", "テスト"),
    ("+∞“ («É»)", "+∞“ («É»)"),
    ("ÐŸÑ€Ð¸Ð²ÐµÑ‚, Ð¼Ð¸Ñ€", "Привет, мир"),
    ("à¤¨à¤®à¤¸à¥\x8dà¤¤à¥\x87", "नमस्ते"),
])  # fmt: skip
def test_mis_decoded_text_is_repaired_and_other_text_left_alone(wrong: str, right: str) -> None:
    assert repaired(wrong) == right


def test_repaired_pairs_are_counted_and_irreparable_ones_dropped() -> None:
    kept, report = cleaned([("schÃ¶n", "beautiful"), ("sch\ufffdn", "beautiful"), ("a", "b")])
    assert kept == [("schön", "beautiful"), ("a", "b")]
    assert (report.kept, report.repaired, report.dropped) == (2, 1, {"garbled": 1})


@pytest.mark.parametrize("text", ["ÐÑÐ¸Ð²ÐµÑ Ð¼Ð¸Ñ", "à¸ªà¸§à¸±à¸ªà¸à¸µ", "â€œÐŸ â€ÑÐ¸Ð²â€œ"])
def test_mis_decoded_text_with_lost_bytes_is_dropped(text: str) -> None:
    assert repaired(text) is None


def test_varieties_of_a_language_may_share_a_sentence() -> None:
    pair = ("Nothing was translated.",) * 2
    assert cleaned([pair], languages=("en-US", "en-GB"))[1].kept == 1
    assert cleaned([("Kde je ten dům?",) * 2], languages=("cs", "sk"))[1].kept == 1
    assert cleaned([("Kde je ten dům?",) * 2], languages=("cs", "pl"))[1].dropped == {"identical": 1}


def test_large_numbers_are_compared_in_the_units_of_both_languages() -> None:
    pair = ("10 million people voted", "1 करोड़ लोगों ने मतदान किया")
    assert cleaned([pair], languages=("en", "hi"))[1].kept == 1
    assert cleaned([("10 million people voted", "1 Million wählte")])[1].dropped == {"numbers": 1}


def test_text_that_stays_garbled_is_dropped() -> None:
    assert repaired("&#xD800;") is None
    assert repaired("fine &#120;") == "fine x"


def test_a_very_long_word_is_dropped_quickly() -> None:
    pairs = [("a@" + "b" * 4001, "x"), ("a" * 3900 + "@ " + "see www.x.org", "b" * 3900 + "@ " + "www.x.org")]
    assert cleaned(pairs, CleaningOptions(skip=("identical", "language")))[1].dropped == {"too_long": 1}


def test_a_filter_can_be_skipped() -> None:
    bad = {
        "garbled": ("sch\ufffdn", "beautiful"),
        "too_long": ("w " * 201, "w " * 200),
        "length_ratio": ("a", "1 2 3 4 5 6 7"),
        "identical": ("one two three",) * 2,
        "few_letters": ("....", "...."),
        "numbers": ("about 1 or 2", "about 3 or 4"),
        "links": ("www.a.org", "www.b.org"),
        "language": ("The cat sits on the carpet and watches the rain.",) * 2,
    }
    others = {"duplicate", "near_duplicate", "held_out"}
    assert bad.keys() | others == set(OPTIONAL)
    for reason, pair in bad.items():
        assert cleaned([pair], CleaningOptions())[1].dropped.keys() <= {reason, "identical"}, reason
        assert cleaned([pair], CleaningOptions(skip=(reason, "identical", "language", "few_letters")))[1].kept == 1, (
            reason
        )


def test_the_report_counts_all_and_shows_an_example_of_each_reason() -> None:
    _, report = cleaned([("a", "x"), *((f"word {i}", "") for i in range(15)), (b"\xff", b"x")])
    assert report.as_dict() == json.loads(json.dumps(report.as_dict())) | {"examples": report.examples}
    assert report.dropped == {"empty": 15, "undecodable": 1}
    assert report.examples["empty"] == [(f"word {i}", "") for i in range(10)]
    assert report.examples["undecodable"] == [("\\xff", "x")]
    assert report.lines() == [
        "kept 1 of 17 pairs",
        "dropped 15: empty, such as 'word 0' | ''",
        "dropped 1: undecodable, such as '\\\\xff' | 'x'",
    ]


def test_examples_in_the_report_are_cut_short() -> None:
    assert len(cleaned([("long " * 1000, "x")])[1].examples["too_long"][0][0]) == 160


def test_a_kept_pair_can_be_taken_back() -> None:
    _, report = cleaned([("a", "x"), ("b", "y")])
    report.drop_kept("too_many_tokens", "a", "x")
    assert (report.kept, report.dropped) == (1, {"too_many_tokens": 1})


def test_reports_of_parts_add_up_to_that_of_the_whole() -> None:
    pairs = [("a", "x"), *((f"word {i}", "") for i in range(15)), ("schÃ¶n", "y"), ("x", "")]
    whole, first, second = (cleaned(part)[1] for part in (pairs, pairs[:9], pairs[9:]))
    first.add(second)
    assert first.as_dict() == whole.as_dict()


@pytest.mark.parametrize(("options", "message"), [
    ({"max_words": 0}, "max_words must be at least 1, got 0"),
    ({"max_length_ratio": 0.5}, "max_length_ratio must be at least 1, got 0.5"),
    ({"max_length_ratio": float("nan")}, "max_length_ratio must be at least 1, got nan"),
    ({"min_letters": 1.5}, "min_letters must be between 0 and 1, got 1.5"),
    ({"near_duplicates": -1}, "near_duplicates must be between 0 and 1, got -1"),
    ({"skip": ("lenght",)}, "no filter is called 'lenght'; known: garbled, too_long, "),
])  # fmt: skip
def test_invalid_limits_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        CleaningOptions(**options)
