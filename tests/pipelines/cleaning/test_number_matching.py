"""Numbers are equal in any digits and notation, and different numbers are found."""

# ruff: noqa: RUF001

import pytest

from keras_nmt.pipelines.cleaning.number_matching import counts_by_thousands, have_different_numbers

SAME = [
    ("The meeting was in 2024 with 150 people.", "عقد الاجتماع في عام ٢٠٢٤ بحضور ١٥٠ شخصا."),
    ("The meeting was in 2024 with 150 people.", "این نشست در سال ۲۰۲۴ با حضور ۱۵۰ نفر برگزار شد."),
    ("The meeting was in 2024 with 150 people.", "यह बैठक २०२४ में १५० लोगों के साथ हुई थी।"),
    ("The meeting was in 2024 with 150 people.", "การประชุม ๒๐๒๔ มีคน ๑๕๐ คน"),
    ("The meeting was in 2024 with 150 people.", "会议于２０２４年举行，共有１５０人参加。"),
    ("It grew by 1.5 percent.", "ارتفع بنسبة ١٫٥ في المئة."),
    ("There were 1,234,567 of them.", "वे 12,34,567 थे।"),
    ("In 2018 it cost 12,500 and 40.", "En 2018, 12 500 et 40."),
    ("It cost $1.5 million in 2018 and 2019.", "В 2018 и 2019 годах это стоило 1 500 000 долларов."),
    ("At 7:55 a.m. the 44-year-old left.", "午前7時55分、44歳の女性が去った。"),
    ("It begins at 7:30 p.m.", "Es beginnt um 19.30 Uhr."),
    ("It begins at 9pm.", "Ça commence à 21h."),
    ("20 million people saw it.", "2000万人がそれを見た。"),
    ("It was sold for £125m.", "1億2,500万ポンドで売却された。"),
    ("It was sold for £2.8bn.", "以 28 亿英镑售出。"),
    ("About 53,000 came.", "약 5만3천 명이 왔다."),
    ("3 people came in May.", "5月に三人が来た。"),
    ("12 people came in May.", "十二人5月来了。"),
    ("In 2018, 3 came.", "二〇一八年，3人来。"),
    ("Since the 1980s.", "80年代以来。"),
    ("A story of the 1800's.", "Eine Geschichte aus dem 19. Jahrhundert."),
    ("In the late '90s", "in den späten 1990er Jahren"),
    ("It was 3-1 after 90 minutes.", "Nach 90 Minuten stand es 3:1."),
    ("The 6-foot-6 player", "身高6.6英尺的球员"),
    ("On October 7, 2018, four of them left.", "2018年10月7日に4人が去った。"),
    ("Call 101, or 0800 555 111 on the 30th.", "101གམ་0800555111 ཟླ་9ཚེས་30"),
    ("It is 100 percent illegal.", "တရားမ၀င္ တ၀ါး"),  # both ၀ stand for the letter ဝ
    ("It has 5 of them.", "ఆ౦ధ్రలో ఐదు ఉన్నాయి."),
    ("Since 31 December 1987", "seit dem 31.12.1987"),
]
OTHER = [
    ("Chapter 3 of it", "الفصل ٤ منه"),
    ("Chapter 3 of it", "अध्याय ४"),
    ("In 2024 it was 150.", "２０２５年は１６０でした。"),
    ("From 1 to 2", "Von 1 bis 9"),
    ("10 people", "100 Leute"),
    ("1 person", "10 Leute"),
    ("0.5 percent", "5 Prozent"),
    ("7 people", "19 Leute"),
    ("7 p.m.", "20 Uhr"),
    ("3 people came", "四人5月来了"),
    ("20 million people", "3000万人"),
    ("The 1980s", "70年代"),
    ("In 1870", "im 19. Jahrhundert"),
    ("12,500 people", "13 500 personnes"),
]


@pytest.mark.parametrize(("source", "target"), SAME)
def test_a_number_is_the_same_in_any_notation(source: str, target: str) -> None:
    assert not have_different_numbers(source, target)
    assert not have_different_numbers(target, source)


@pytest.mark.parametrize(("source", "target"), OTHER)
def test_different_numbers_are_found_in_any_digits(source: str, target: str) -> None:
    assert have_different_numbers(source, target)
    assert have_different_numbers(target, source)


def test_numbers_that_one_side_spells_in_words_are_not_differences() -> None:
    assert not have_different_numbers("Two of the 5 and three", "2 von 5 und 3")
    assert not have_different_numbers("Three of them", "3 davon")


def test_ten_times_a_number_may_be_equal_only_between_different_units() -> None:
    assert have_different_numbers("10 million people", "1 करोड़ लोग")
    assert not have_different_numbers("10 million people", "1 करोड़ लोग", by_thousands=False)


def test_the_units_of_large_numbers_are_known_for_each_language() -> None:
    assert all(map(counts_by_thousands, ["en", "de", "pt-BR", "sr-Latn", "tlh", "und", "no such", ""]))
    assert not any(map(counts_by_thousands, ["hi", "bn", "ja", "zh-Hant", "zh_CN", "ko"]))


@pytest.mark.timeout(20)
def test_very_long_digit_sequences_are_compared() -> None:
    assert not have_different_numbers("9" * 100_000 + " 1", "9" * 100_000 + ".1")
    assert have_different_numbers("9" * 100_000 + "万", "8" * 100_000)
    assert have_different_numbers("1 " * 5_000, "2 " * 5_000)
    assert have_different_numbers("9" * 100_000 + " 三", "8" * 100_000 + "é")
