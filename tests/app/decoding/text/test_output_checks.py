import pytest
import tensorflow as tf

from keras_nmt.app.decoding.text.output_checks import WARNINGS, find_warnings, has_loop, spell_warnings


def warnings_of(source: str, *translations: str) -> list[str]:
    """Returns the warnings of translations, with words as tokens."""
    numbers: dict[str, int] = {}

    def tokens(text: str) -> list[int]:
        return [numbers.setdefault(word, 4 + len(numbers)) for word in text.split()]

    ids = tf.ragged.constant([[tokens(text) for text in translations]], tf.int32).to_tensor()
    found = find_warnings(
        tf.constant([source]), tf.constant([tokens(source)], tf.int32), tf.constant([translations]), ids
    )
    return [text.decode() for text in spell_warnings(found).numpy()[0]]


@pytest.mark.parametrize(
    ("source", "translation", "expected"),
    [
        ("The house is old.", "Das Haus ist alt.", ""),
        ("The house is old.", "The house is old.", "copied"),
        ("The old house in the town is old.", "The old house in Stadt is old.", "copied"),
        ("The old house in the town is old.", "The old Haus in Stadt is old.", ""),
        ("New York City", "New York City", ""),
        ("It was good.", "Es war gut, sehr gut, sehr gut.", ""),
        ("It was good.", "Es war sehr , sehr , sehr , gut", "repetition"),
        ("It was good.", "ja ja ja ja ja ja", "repetition"),
        ("no no no no no no", "nein nein nein nein nein nein", ""),
        ("So it is.", "eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn", "length"),
        ("The old house in the town by the river has three very large windows.", "Das Haus", "length"),
        ("The old house in the town by the river has three windows.", "Das alte Haus", ""),
        ("Yes.", "", "empty"),
        ("Yes.", " ", "empty"),
        ("In 1984 there were 1,000 of them.", "1984 gab es 1.000 davon.", ""),
        ("In 1984 there were 1000 of them.", "1984 gab es 1.000 davon.", ""),
        ("In 1984 there were 12 of them.", "1985 gab es 12 davon.", "numbers"),
        ("He has 3 dogs.", "Er hat drei Hunde.", ""),
        ("He has 3 dogs.", "Er hat 4 Hunde.", "numbers"),
        ("He has 2.5 dogs.", "Er hat 2,5 Hunde.", ""),
        ("See https://a.example/x?y=1.", "Siehe https://a.example/x?y=1!", ""),
        ("See (www.a.example).", "Siehe www.b.example.", "links"),
        ("Write to me@a.example today.", "Schreiben Sie heute an mich.", "links"),
        ("", "", ""),
    ],
)
def test_suspicious_translations_get_warnings_and_good_ones_none(source: str, translation: str, expected: str) -> None:
    assert warnings_of(source, translation) == [expected]


def test_each_translation_has_its_own_warnings() -> None:
    found = warnings_of("In 12 hours it is 14 o'clock.", "In 12 hours it is 14 o'clock.", "In 12 Stunden", "x")
    assert found == ["copied", "numbers", "numbers"]
    every = spell_warnings(tf.ones([1, 1, len(WARNINGS)], tf.bool)).numpy()[0, 0].decode()
    assert every == "copied,repetition,length,numbers,links,empty"


@pytest.mark.parametrize("period", range(1, 11))
def test_a_loop_of_three_is_found_at_any_place_and_period(period: int) -> None:
    repeated = list(range(4, 4 + period))
    times = max(3, -(-6 // period))
    assert has_loop(tf.constant([[99, 98, *repeated * times, 97, 0, 0]]))[0]
    assert not has_loop(tf.constant([[99, 98, *(repeated * times)[:-1], 97, 0, 0]]))[0]
    assert not has_loop(tf.constant([[99, 98, *repeated, 97, *repeated, 96, *repeated, 0, 0, 0, 0, 0, 0, 0, 0]]))[0]
