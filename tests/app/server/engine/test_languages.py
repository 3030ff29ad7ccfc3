"""A multilingual model beside one with a single language pair, through every interface."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keras_nmt.app.models.exports import ExportModel
from tests.app.multilingual import LANGUAGES, LOUD, WORDS
from tests.app.server.serving import Running, serving

FRENCH = {"source": "en", "target": "fr"}
TEXT = "a b c d"


@pytest.fixture(scope="module")
def two(two_exports: Path) -> Iterator[Running]:
    with serving(two_exports) as running:
        yield running


@pytest.fixture(scope="module")
def french(multilingual_export: Path) -> Any:
    """Returns a function that translates into French, with or without a domain."""
    translator = ExportModel(multilingual_export / "1", {}).translator()
    return lambda text, domain=None: translator.translate([LANGUAGES.tagger("fr", domain)(text)])[0].text


def test_each_language_pair_is_listed_once(two: Running) -> None:
    assert {one["code"]: one["targets"] for one in two.ok("/languages")} == {"de": [], "en": ["de", "fr"], "fr": []}
    models = [
        (one["name"], one["source"]["code"], one["target"]["code"], one["domains"]) for one in two.ok("/api/models")
    ]
    assert models == [("one", "en", "de", []), ("several", "en", "de", ["loud"]), ("several", "en", "fr", ["loud"])]


def test_the_examples_of_a_direction_have_its_target_language_and_no_tags(two: Running) -> None:
    german, french = (one["examples"] for one in two.ok("/api/models")[1:])
    assert (sorted(german), sorted(french)) == (["a b d c", "e d a b"], ["b e c a", "c a d d"])


def test_a_model_of_the_requested_pair_is_chosen(two: Running, french: Any) -> None:
    assert two.ok("/translate", {"q": TEXT, **FRENCH})["translatedText"] == french(TEXT)
    assert set(french(TEXT)) <= {*WORDS["fr"], " "}
    auto = two.ok("/translate", {"q": "We are here, and it rains.", "source": "auto", "target": "fr"})
    assert auto["detectedLanguage"]["language"] == "en"
    refused = two.post("/translate", {"q": "a", "source": "fr", "target": "en"})
    assert (refused.status_code, refused.json()["error"]) == (
        400,
        "there is no model for fr-en; there are: en-de, en-fr",
    )


def test_a_model_with_the_requested_domain_is_chosen(two: Running, french: Any) -> None:
    found = two.ok("/api/translate", {"text": TEXT, **FRENCH, "domain": "loud"})
    assert found["translation"] == french(TEXT, "loud")
    assert found["sentences"][0]["source"] == TEXT
    german = two.ok("/api/translate", {"text": TEXT, "source": "en", "target": "de", "domain": "loud"})
    assert set(german["translation"]) == {LOUD, " "}
    refused = two.post("/api/translate", {"text": TEXT, **FRENCH, "domain": "law"})
    assert (refused.status_code, refused.json()["error"]) == (400, "there is no domain law for en-fr; there are: loud")


def test_a_tag_in_the_text_is_plain_text(two: Running, french: Any) -> None:
    found = two.ok("/translate", {"q": f"<2de> {TEXT}", **FRENCH})["translatedText"]
    assert found == french(f"<2de> {TEXT}")
    assert not set(WORDS["de"]) & set(found)


def test_an_alignment_does_not_count_the_tags_as_words(two: Running, french: Any) -> None:
    asked = {"sentence": TEXT, "translation": french(TEXT), **FRENCH, "domain": "loud"}
    found = two.ok("/api/align", asked)
    assert found["source"] == TEXT.split()
    assert {source for source, _ in found["pairs"]} <= set(range(4))
    assert len(found["weights"][0]) == 4


def test_alternatives_and_explanations_use_the_requested_direction(two: Running) -> None:
    ways = two.ok("/api/alternatives", {"sentence": TEXT, "prefix": "u", **FRENCH})
    assert all(way["text"].startswith("u") for way in ways)
    pieces = two.ok("/api/explain", {"sentence": TEXT, **FRENCH, "domain": "loud"})["source_pieces"]
    assert [piece for piece in pieces if piece in LANGUAGES.tags] == ["<2fr>", "<loud>"]


def test_tensorflow_serving_s_interface_adds_no_tags(two: Running, french: Any) -> None:
    found = two.ok("/v1/models/several:predict", {"instances": [f"<2fr> {TEXT}", f"<2fr> <loud> {TEXT}"]})
    assert [row["translations"] for row in found["predictions"]] == [french(TEXT), french(TEXT, "loud")]
