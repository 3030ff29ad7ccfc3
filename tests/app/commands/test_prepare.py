"""`nmt prepare`: the forms of its options."""

import pytest

from keras_nmt.app.commands.prepare import filter_names
from keras_nmt.pipelines.cleaning.filters import OPTIONAL


@pytest.mark.parametrize("name", OPTIONAL)
@pytest.mark.parametrize("written", ["{}", "{} ", "{}:"])
def test_a_filter_may_be_named_as_in_the_report(name: str, written: str) -> None:
    spoken = name.replace("_", " ")
    for form in (name, spoken, name.replace("_", "-"), spoken.capitalize()):
        assert filter_names([written.format(form)]) == (name,)
    assert filter_names(spoken.split()) == (name,)


def test_several_filters_are_separated_and_unknown_ones_are_passed_on() -> None:
    assert filter_names(["near", "duplicate", "duplicate", "too long", "numbers"]) == (
        "near_duplicate",
        "duplicate",
        "too_long",
        "numbers",
    )
    assert filter_names(["few", "words"]) == ("few", "words")
    assert filter_names([]) == ()
