"""`nmt prepare`: how its options may be written, and what it says."""

import pytest

from app.commands.prepare import filter_names
from pipelines.cleaning.filters import OPTIONAL


@pytest.mark.parametrize("name", OPTIONAL)
@pytest.mark.parametrize("written", ["{}", "{} ", "{}:"])
def test_a_filter_is_called_what_the_report_calls_it(name: str, written: str) -> None:
    spoken = name.replace("_", " ")
    for form in (name, spoken, name.replace("_", "-"), spoken.capitalize()):
        assert filter_names([written.format(form)]) == (name,)
    assert filter_names(spoken.split()) == (name,)


def test_several_filters_are_told_apart_and_unknown_ones_are_left_to_complain_about() -> None:
    assert filter_names(["near", "duplicate", "duplicate", "too long", "numbers"]) == (
        "near_duplicate",
        "duplicate",
        "too_long",
        "numbers",
    )
    assert filter_names(["few", "words"]) == ("few", "words")
    assert filter_names([]) == ()
