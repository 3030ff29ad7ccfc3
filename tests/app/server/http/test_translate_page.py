"""What the page's view for texts offers around a translation: languages, examples, reading aloud, and signs of work."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect

from keras_nmt.app.models.export_layout import DESCRIPTION
from tests.app.server.browser import page_without_errors
from tests.app.server.serving import Running, serving

GERMAN = "Guten Morgen, wie geht es Ihnen heute?"
ENGLISH = "The weather is very nice here today."
EXAMPLES = ["A man sleeps.", "Two dogs run in the snow.", "A man sleeps.", "Children play.", "A fifth sentence."]
SPEECH = """
  window.spoken = [];
  const voices = [{ lang: "en_GB", localService: true }, { lang: "de-DE", localService: false }];
  window.SpeechSynthesisUtterance = class { constructor(text) { this.text = text; } };
  Object.defineProperty(window, "speechSynthesis", { value: {
    getVoices: () => voices, cancel: () => spoken.push("cancelled"),
    speak: (one) => spoken.push(`${one.lang} ${one.text}`),
  } });
"""
LINE = "one => getComputedStyle(one.parentElement, '::before').animationName"


@pytest.fixture(scope="module")
def both_ways(copies: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server whose models return each text, as English-German and as German-English."""
    folder = tmp_path_factory.mktemp("both-ways")
    for pair in ("en-de", "de-en"):
        shutil.copytree(copies, folder / pair)
        description = folder / pair / "1" / DESCRIPTION
        description.write_text(description.read_text().replace('"en-de"', f'"{pair}"'))
    with serving(folder) as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that must not log an error."""
    with page_without_errors(browser) as page:
        yield page


def opened(page: Page, server: Running, source: str = "en", target: str = "de") -> None:
    """Opens the page and chooses the languages."""
    page.goto(server.url)
    expect(page.locator("#source-language option")).not_to_have_count(0)
    page.get_by_label("From").select_option(source)
    page.get_by_role("combobox", name="To", exact=True).select_option(target)


def fill(page: Page, text: str) -> None:
    page.get_by_label("Text to translate").fill(text)


def test_the_language_of_a_text_is_detected(page: Page, both_ways: Running) -> None:
    opened(page, both_ways, "auto", "en")
    expect(page.locator("#source-language option")).to_have_text(["Detect language", "German", "English"])
    swap = page.get_by_role("button", name="Swap the languages")
    detected = page.locator("#source-language option").first
    expect(swap).to_be_disabled()
    fill(page, GERMAN)
    expect(page.get_by_role("region", name="Translation")).to_have_text(GERMAN)
    expect(detected).to_have_text("German (detected)")
    assert page.get_by_label("Text to translate").get_attribute("lang") == "de"
    fill(page, ENGLISH)
    expect(page.locator("#looks")).to_have_text("This looks like English already.")
    expect(page.get_by_role("region", name="Translation")).to_have_text("")
    page.get_by_role("button", name="Translate into German").click()
    expect(page.get_by_role("region", name="Translation")).to_have_text(ENGLISH)
    expect(detected).to_have_text("English (detected)")
    swap.click()
    expect(page.get_by_label("From")).to_have_value("de")
    expect(page.get_by_role("combobox", name="To", exact=True)).to_have_value("en")


def test_a_text_in_another_language_is_noticed(page: Page, both_ways: Running, copying_server: Running) -> None:
    opened(page, copying_server)  # only one source language
    expect(page.locator("#source-language option")).to_have_text(["English"])
    with page.expect_response("**/api/detect"):
        fill(page, ENGLISH)
    expect(page.locator("#looks")).to_be_hidden()
    fill(page, GERMAN)
    expect(page.locator("#looks")).to_have_text("This looks like German, not English.")
    expect(page.locator("#way-out")).to_be_hidden()
    opened(page, both_ways)
    fill(page, GERMAN)
    page.get_by_role("button", name="Translate from German").click()
    expect(page.get_by_label("From")).to_have_value("de")
    expect(page.locator("#looks")).to_be_hidden()
    expect(page.get_by_label("Text to translate")).to_be_focused()


def test_the_server_identifies_a_language(both_ways: Running) -> None:
    assert both_ways.ok("/api/detect", {"text": GERMAN})["name"] == "German"
    assert both_ways.ok("/api/detect", {"text": GERMAN, "source": "en"})["code"] == "de"
    assert both_ways.ok("/api/detect", {"text": ENGLISH, "source": "en"})["code"] == "en"
    assert both_ways.ok("/api/detect", {"text": "123"})["confidence"] == 0
    refused = both_ways.post("/api/detect", {"text": GERMAN, "source": "fr"})
    assert (refused.status_code, refused.json()["error"]) == (400, "no model here translates from fr")


def test_a_text_is_read_aloud_by_a_voice_of_this_machine(page: Page, copying_server: Running) -> None:
    page.add_init_script(SPEECH)
    opened(page, copying_server)
    listen = page.get_by_role("button", name="Listen to the text")
    expect(listen).to_be_disabled()
    fill(page, ENGLISH)
    expect(page.locator("#listen-target")).to_be_hidden()  # its only voice is elsewhere
    listen.click()
    page.get_by_role("button", name="Stop").click()
    expect(listen).to_be_visible()
    assert page.evaluate("spoken") == [f"en_GB {ENGLISH}", "cancelled"]
    listen.click()
    fill(page, "It rains.")
    expect(listen).to_be_visible()
    assert page.evaluate("spoken").count("cancelled") == 2


def test_examples_are_offered_while_nothing_is_typed(page: Page, copying_server: Running) -> None:
    def with_examples(route: Route) -> None:
        models = route.fetch().json()
        models[0]["examples"] = EXAMPLES
        route.fulfill(json=models)

    page.route("**/api/models", with_examples)
    opened(page, copying_server)
    chips = page.get_by_role("group", name="Examples").get_by_role("button")
    expect(chips).to_have_text(["A man sleeps.", "Two dogs run in the snow.", "Children play."])
    chips.nth(1).click()
    expect(page.get_by_role("region", name="Translation")).to_have_text(EXAMPLES[1])
    expect(page.get_by_label("Text to translate")).to_be_focused()
    expect(chips).to_have_count(0)
    size = "one => parseFloat(getComputedStyle(one).fontSize)"
    short = page.get_by_label("Text to translate").evaluate(size)
    fill(page, ENGLISH * 10)
    assert page.get_by_label("Text to translate").evaluate(size) < short
    page.get_by_role("button", name="Clear").click()
    expect(chips).to_have_count(3)


def test_work_is_visible_and_moves_nothing(page: Page, copying_server: Running) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:  # Playwright does not accept the method `append`
        held.append(route)

    page.route("**/api/stream", hold)
    opened(page, copying_server)
    translation = page.get_by_role("region", name="Translation")
    before = [page.locator(one).bounding_box() for one in (".sides", "#translation", "#history-box")]
    assert translation.evaluate(LINE) == "none"
    with page.expect_request("**/api/stream"):
        fill(page, ENGLISH)
    expect(translation).to_have_attribute("aria-busy", "true")
    assert translation.evaluate(LINE) == "appear, run"
    page.emulate_media(reduced_motion="reduce")
    assert translation.evaluate(LINE) == "appear"
    assert [page.locator(one).bounding_box() for one in (".sides", "#translation", "#history-box")] == before
    held[0].continue_()
    expect(translation).to_have_attribute("aria-busy", "false")
    assert translation.evaluate(LINE) == "none"


@pytest.mark.parametrize(
    ("scheme", "width"), [("light", 1280), ("dark", 360), pytest.param("light", 1920, marks=pytest.mark.slow)]
)
def test_the_view_is_accessible_and_fits(page: Page, both_ways: Running, scheme: str, width: int) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.set_viewport_size({"width": width, "height": 900})
    page.add_init_script(SPEECH)
    opened(page, both_ways)
    assert Axe().run(page).response["violations"] == []
    fill(page, GERMAN)
    expect(page.locator("#way-out")).to_be_visible()
    expect(page.locator("#translation .word")).not_to_have_count(0)
    assert Axe().run(page).response["violations"] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
