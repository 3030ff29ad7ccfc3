"""Compares the numbers in the source and the target of a pair, independently of script and notation.

Decimal digits of all scripts are equivalent, and so are different notations: `1,000.5` and `1.000,5`, `12:00` and `12`,
`7.30 pm` and `19:30`, `20 million`, `2000万` and `2 करोड़`, `3` and `三`, `1980s` and `80年代`. If only one side has
numbers, they are not reported as different, because the other side may have them as words (`two`, `March`).
"""

import re
import unicodedata
from collections import defaultdict
from fractions import Fraction
from functools import cache, cached_property

import regex
from babel import Locale, UnknownLocaleError

Number = tuple[str, ...]  # runs of ASCII digits: ("1", "500") for "1,500"

_DIGIT = re.compile(r"\d")
_OTHER_DIGIT = re.compile(r"[^\D0-9]")
# Zeros that are typed by mistake instead of letters that look the same: Burmese ၀ for ဝ, Telugu ౦ for ం.
_NO_ZERO = regex.compile(r"(?<!\d)[[\d&&\p{nv=0}]--[0\uff10]](?=[\p{L}\p{M}])", regex.V1)
# A number may contain Arabic and full-width separators.
_NUMBER = re.compile("[0-9]+(?:[.,:'\u2019\u066b\u066c\uff0c\uff0e\uff1a][0-9]+)*")
_RUN = re.compile("[0-9]+")
_GROUPED = re.compile("(?<![0-9])[0-9]++(?: [0-9]++)+")  # 1 500 000, 0800 555 111
_THOUSANDS = 3  # number of digits in a group
_NO_MINUTES = "00"  # the minutes of 12:00, or the cents of 12.00
_TWELVE_HOURS = re.compile(r"[0-9] ?[ap]\.? ?m\b", re.IGNORECASE)
_YEAR = re.compile("1[0-9]{3}|20[0-9]{2}")

_HANGUL_UNITS = {"백": 100, "천": 1000, "만": 10**4, "억": 10**8, "조": 10**12}  # unicodedata lacks these values
_UNITS = "十百千万萬亿億兆拾佰仟" + "".join(_HANGUL_UNITS)
_DIGITS_WITH_UNITS = re.compile(rf"(?<![0-9])(?:[0-9]++(?:[.,][0-9]++)*+ ?[{_UNITS}]++ ?)+(?:[0-9]++(?:,[0-9]++)*+)?")
_HAN_NUMERAL = re.compile("[〇零一二三四五六七八九十百千万萬亿億兆兩壹貳叁參肆伍陸柒捌玖拾佰仟]+")
_PART = re.compile(r"[0-9]+(?:[.,][0-9]+)*|\S")
_LONGEST_NUMERAL = 40  # longer sequences are not numbers
_MYRIAD = 10**4


def have_different_numbers(source: str, target: str, *, by_thousands: bool = True) -> bool:
    """Returns True if source and target certainly have different numbers.

    A number is shared if both sides have it, and replaced if one side has another number instead. `1, 2` and `1, 9`
    have one shared number, 1, and one replaced number, 2 by 9. The result is True if there are more than half as many
    replaced numbers as shared ones.

    Args:
        source: The source text.
        target: The target text.
        by_thousands: True if all names of large numbers in both languages are powers of a thousand, as in English.
            If False, numbers that differ by any power of ten may be equal, for example 10 million and 1 करोड़.
    """
    if not _DIGIT.search(source) or not _DIGIT.search(target) or _digits(source) == _digits(target):
        return False
    left, right = _Side(source), _Side(target)
    with_hours = bool(_TWELVE_HOURS.search(source) or _TWELVE_HOURS.search(target))
    by_thousands = by_thousands and not (left.has_units or right.has_units)
    lost = sum(not right.has(number, with_hours, by_thousands) for number in left.numbers)
    added = sum(not left.has(number, with_hours, by_thousands) for number in right.numbers)
    shared = min(len(left.numbers) - lost, len(right.numbers) - added)
    return shared < 2 * min(lost, added)


@cache
def counts_by_thousands(language: str) -> bool:
    """Returns True if all names of large numbers in a language are powers of a thousand, according to CLDR.

    English has such names (thousand, million). Chinese 万 (10,000) and Hindi करोड़ (10,000,000) are other powers of ten.
    Also returns True for languages that CLDR does not know.
    """
    try:
        formats = Locale.parse(language.replace("-", "_")).compact_decimal_formats["long"]["other"]
    except (UnknownLocaleError, ValueError, KeyError):
        return True
    return all(_power(amount, form.pattern) % _THOUSANDS == 0 for amount, form in formats.items())


def _power(amount: str, pattern: str) -> int:
    """Returns the power of ten that the word in a CLDR pattern stands for, or 0 if the pattern has no word.

    For the amount `10000` and the pattern `0万`, the power is 4.
    """
    pattern = pattern.partition(";")[0]
    return len(amount) - pattern.count("0") if pattern.strip("0") else 0


def _digits(text: str) -> str:
    """Returns all digits of a text, converted to ASCII."""
    return "".join(_RUN.findall(text if text.isascii() else _with_ascii_digits(text)))


def _with_ascii_digits(text: str) -> str:
    if not _OTHER_DIGIT.search(text):
        return text
    text = _NO_ZERO.sub(" ", text)
    return _OTHER_DIGIT.sub(lambda digit: str(unicodedata.decimal(digit[0])), text)


class _Side:
    """The numbers in the source or in the target, in all notations that the other side may use."""

    def __init__(self, text: str) -> None:
        self._text = text = text if text.isascii() else _with_ascii_digits(text)
        self.numbers = [_number(found) for found in _NUMBER.findall(text)]

    def has(self, number: Number, with_hours: bool, by_thousands: bool) -> bool:
        """Returns True if this side contains `number`, which is a number of the other side, in any notation."""
        digits = "".join(number)
        if digits in self._wholes or set(map(_plain, number)) <= self._runs:
            return True
        if not self._runs.isdisjoint(_short_years(digits)) or digits in self._short_years:
            return True
        return (with_hours and self._has_hour(number)) or self._has_magnitude(number, by_thousands)

    def _has_hour(self, number: Number) -> bool:
        """Returns True if this side has a time of day in the 12-hour or 24-hour notation: 7.30 and 19:30 are equal."""
        if len(number[0]) > 2 or not set(map(_plain, number[1:])) <= self._runs:
            return False
        hour = int(number[0])
        return str(hour + 12) in self._runs or (hour >= 12 and str(hour - 12) in self._runs)

    def _has_magnitude(self, number: Number, by_thousands: bool) -> bool:
        """Returns True if this side has the same number except for a power of ten, which may be a word: `20 million`.

        If `by_thousands` is True, the power of ten must be a power of a thousand. Numbers in Han numerals are compared
        too.
        """
        significant, power = _magnitude(number)
        return any(
            not by_thousands or (power - other) % _THOUSANDS == 0 for other in self._magnitudes.get(significant, ())
        )

    @cached_property
    def has_units(self) -> bool:
        """True if digits are followed by a numeral for a power of ten, such as 万."""
        return not self._text.isascii() and bool(_DIGITS_WITH_UNITS.search(self._text))

    @cached_property
    def _wholes(self) -> set[str]:
        return {"".join(number) for number in [*self.numbers, *self._grouped]}

    @cached_property
    def _runs(self) -> set[str]:
        """All runs of digits, including the parts of dates, times and scores, but not the parts of 0.5."""
        return {_plain(run) for number in self.numbers if len(number) == 1 or number[0] != "0" for run in number}

    @cached_property
    def _grouped(self) -> list[Number]:
        return [tuple(_RUN.findall(found)) for found in _GROUPED.findall(self._text)]

    @cached_property
    def _short_years(self) -> set[str]:
        return {short for digits in self._wholes for short in _short_years(digits)}

    @cached_property
    def _magnitudes(self) -> dict[str, set[int]]:
        found = defaultdict(set)
        for significant, power in map(_magnitude, [*self.numbers, *self._grouped, *self._numerals()]):
            if significant:
                found[significant].add(power)
        return found

    def _numerals(self) -> list[Number]:
        """Returns the values of Han numerals, and of digits followed by Han or Hangul numerals, such as 2000万."""
        if self._text.isascii():
            return []
        numerals = _DIGITS_WITH_UNITS.findall(self._text) + _HAN_NUMERAL.findall(self._text)
        values = (_value(numeral) for numeral in numerals if len(numeral) <= _LONGEST_NUMERAL)
        return [(str(value.numerator),) for value in values if value.denominator == 1]


def _number(text: str) -> Number:
    runs = _RUN.findall(text)
    if len(runs) == 2 and runs[1] == _NO_MINUTES:
        runs.pop()
    return (_plain(runs[0]),) if len(runs) == 1 else tuple(runs)


def _plain(run: str) -> str:
    return run.lstrip("0") or "0"


def _short_years(digits: str) -> list[str]:
    """Returns the short form of a year or century: 80 for 1980, 19 (the 19th century) for 1800; [] if not a year."""
    if not _YEAR.fullmatch(digits):
        return []
    century, year = digits[:2], digits[2:]
    return [str(int(century) + 1)] if year == "00" else [year]


def _magnitude(number: Number) -> tuple[str, int]:
    """Returns the digits without zeros at either end, and the power of ten: 15 and 3 for 15,000, 15 and -1 for 1.5."""
    digits = "".join(number)
    zeros = len(digits) - len(digits.rstrip("0"))
    is_decimal = len(number) > 1 and len(number[-1]) != _THOUSANDS
    return digits.strip("0"), zeros - len(number[-1]) if is_decimal else zeros


def _value(numeral: str) -> Fraction:
    """Returns the value of a number with Han or Hangul numerals: 2018 for 二〇一八, 125000000 for 1億2,500万."""
    total = section = Fraction(0)
    pending: Fraction | None = None  # digits whose unit follows
    for part in _PART.findall(numeral):
        value = _part_value(part)
        if part[0] in _UNITS and value < _MYRIAD:
            section += (1 if pending is None else pending) * value
            pending = None
        elif part[0] in _UNITS:
            total += ((section + (pending or 0)) or 1) * value
            section, pending = Fraction(0), None
        else:
            pending = value if pending is None else 10 * pending + value
    return total + section + (pending or 0)


def _part_value(part: str) -> Fraction:
    if part.isascii():
        return Fraction(part.replace(",", "")) if part.count(".") < 2 else Fraction(part.replace(".", ""))
    return Fraction(_HANGUL_UNITS.get(part) or int(unicodedata.numeric(part)))
