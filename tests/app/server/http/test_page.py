"""The page in a real browser."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect

from keras_nmt.app.models.export_layout import DESCRIPTION
from keras_nmt.app.server.engine.limits import ApiKeys, Limits, add_api_key
from keras_nmt.app.server.engine.translation import Sentence, Word
from keras_nmt.app.server.errors import BusyError
from keras_nmt.app.server.http.proxies import Proxies
from keras_nmt.app.server.http.routes import page_api
from tests.app.multilingual import LOUD, WORDS
from tests.app.server.browser import ELSEWHERE
from tests.app.server.serving import Running, serving

TEXT = "The cat sat on the mat.\n\nA dog barks at night, doesn't it?"


@pytest.fixture
def page(browser: Browser, copying_server: Running) -> Iterator[Page]:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    context.set_default_timeout(60_000)  # a busy machine loads the page slowly
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if "Security" in message.text else None)
    page.goto(copying_server.url)
    expect(page.locator("#source-language option")).not_to_have_count(0)  # the page has started
    yield page
    context.close()
    assert errors == []


def typed(page: Page, text: str) -> str:
    """Types a text and returns the translation that the page shows."""
    return shown_after(page, lambda: page.get_by_label("Text to translate").fill(text))


def shown_after(page: Page, action: Callable[[], object]) -> str:
    """Runs an action that translates and returns the translation that the page shows after it."""
    with page.expect_request("**/api/stream"):
        action()
    shown = page.get_by_role("region", name="Translation")
    expect(shown).to_have_attribute("aria-busy", "false")  # it was "true" before the request was sent
    return shown.text_content() or ""


def test_typed_text_is_translated(page: Page) -> None:
    found = typed(page, TEXT)
    assert found == TEXT
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("status")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == found
    page.get_by_role("button", name="Clear").click()
    expect(page.get_by_role("region", name="Translation")).to_have_text("")


def test_a_clicked_word_changes_the_sentence(page: Page) -> None:
    before = typed(page, "The cat sat on the mat.")
    page.locator("#translation .word").first.click()
    choices = page.get_by_role("listbox", name="Alternative translations")
    expect(choices).to_be_visible()
    page.keyboard.press("ArrowDown")
    chosen = choices.get_by_role("option").nth(1).text_content()
    assert chosen not in (None, before)
    page.keyboard.press("Enter")
    expect(choices).to_be_hidden()
    expect(page.get_by_role("region", name="Translation")).to_have_text(" ".join(str(chosen).split()))


def test_typed_markup_stays_text(page: Page) -> None:
    evil = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
    typed(page, evil)
    page.get_by_text("History").click()
    expect(page.locator("#history")).to_contain_text(evil)
    assert page.evaluate("window.hacked") is None
    assert page.locator("main script, main img").count() == 0


def test_the_history_is_kept_until_it_is_deleted(page: Page) -> None:
    typed(page, "It rains.")
    page.reload()
    page.get_by_text("History").click()
    page.locator("#history button").first.click()
    expect(page.get_by_label("Text to translate")).to_have_value("It rains.")
    expect(page.get_by_role("region", name="Translation")).to_have_text("It rains.")
    page.get_by_role("button", name="Delete all entries").click()
    expect(page.locator("#history li")).to_have_count(0)


def test_a_file_is_translated(page: Page, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("It rains.\n")
    page.locator("#file").set_input_files(tmp_path / "a.txt")
    link = page.get_by_role("link", name="Download the translated file")
    expect(link).to_be_visible()
    with page.expect_download() as download:
        link.click()
    assert download.value.suggested_filename == "a.de.txt"


def test_a_file_that_is_chosen_while_the_page_loads_is_translated(page: Page, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("It rains.\n")
    held: list[Route] = []

    def hold(route: Route) -> None:  # Playwright does not accept the method `append`
        held.append(route)

    page.route("**/api/models", hold)
    with page.expect_request("**/api/models"):
        page.reload(wait_until="domcontentloaded")
    page.locator("#file").set_input_files(tmp_path / "a.txt")
    for route in held:
        route.continue_()
    expect(page.get_by_role("link", name="Download the translated file")).to_be_visible()


def test_an_unreachable_server_is_reported(browser: Browser, copies: Path) -> None:
    context = browser.new_context()
    page = context.new_page()
    with serving(copies) as running:
        page.goto(running.url)
        expect(page.locator("#source-language option")).to_have_count(1)
    page.get_by_label("Text to translate").fill("It rains.")
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    expect(page.get_by_label("Text to translate")).to_have_value("It rains.")
    context.close()


@pytest.mark.slow  # as the next: by default, axe checks the view, and its width on a phone, in test_translate_page
def test_the_page_has_no_serious_accessibility_violations(page: Page) -> None:
    typed(page, "The cat sat on the mat.")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        found = Axe().run(page)
        serious = [one for one in found.response["violations"] if one["impact"] in ("serious", "critical")]
        assert serious == [], scheme


@pytest.mark.slow
def test_the_page_fits_on_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    typed(page, "The cat sat on the mat.")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_page_asks_for_a_key_once(browser: Browser, copies: Path, tmp_path: Path) -> None:
    key = add_api_key(tmp_path / "keys", "ann")
    context = browser.new_context()
    page = context.new_page()
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    with serving(copies, keys=ApiKeys.read(tmp_path / "keys")) as running:
        page.goto(running.url)
        text, field = page.get_by_label("Text to translate"), page.get_by_label("API key")
        expect(field).to_be_hidden()
        text.fill("The")
        expect(field).to_be_visible()
        assert field.get_attribute("type") == "password"
        text.fill("The cat")  # typing is possible meanwhile
        expect(text).to_be_focused()
        for given, reason in (("wrong", "unknown API key"), (key, "")):
            field.fill(given)
            page.get_by_role("button", name="Use this key").click()
            if reason:
                expect(page.locator("#key-reason")).to_contain_text(reason)
                expect(field).to_be_visible()
        expect(page.get_by_role("region", name="Translation")).to_have_text("The cat")
        expect(field).to_be_hidden()
        typed(page, "The dog")
        expect(field).to_be_hidden()
        assert dialogs == []
        context.close()


def test_the_page_offers_each_language_pair_and_its_domains(browser: Browser, two_exports: Path) -> None:
    context = browser.new_context()
    page = context.new_page()
    with serving(two_exports) as running:
        page.goto(running.url)
        into, about = page.get_by_role("combobox", name="To", exact=True), page.get_by_label("Domain")
        expect(into.locator("option")).to_have_text(["German", "French"])
        expect(about.locator("option")).to_have_text(["any", "loud"])
        into.select_option("fr")
        assert set(typed(page, "a b c d")) <= {*WORDS["fr"], " "}
        assert set(shown_after(page, lambda: about.select_option("loud"))) == {LOUD, " "}
        context.close()


def test_copying_works_over_plain_http(browser: Browser, copying_server: Running) -> None:
    context = browser.new_context()
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(copying_server.url.replace("127.0.0.1", ELSEWHERE))
    assert page.evaluate("navigator.clipboard === undefined")
    page.get_by_role("button", name="Copy").click()
    expect(page.locator("#status")).to_have_text("There is nothing to copy yet")
    found = typed(page, TEXT)
    page.get_by_role("button", name="Copy").click()
    expect(page.locator("#status")).to_have_text("Copied")
    field = page.get_by_label("Text to translate")
    field.fill("")
    field.focus()
    page.keyboard.press("Control+V")
    expect(field).to_have_value(found)
    page.evaluate("document.execCommand = () => false")
    typed(page, "It rains.")
    page.get_by_role("button", name="Copy").click()
    expect(page.locator("#status")).to_contain_text("press Ctrl+C")
    assert page.evaluate("getSelection().toString()") == "It rains."
    assert errors == []
    context.close()


def test_the_link_to_an_old_file_is_hidden(page: Page, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("It rains.\n")
    (tmp_path / "b.pdf").write_bytes(b"%PDF")
    link = page.locator("#download")
    page.locator("#file").set_input_files(tmp_path / "a.txt")
    expect(link).to_be_visible()
    page.locator("#file").set_input_files(tmp_path / "b.pdf")
    expect(link).to_be_hidden()
    expect(page.get_by_role("alert")).to_contain_text("cannot translate .pdf")
    page.evaluate("Object.defineProperty(File.prototype, 'size', { value: 3e6 })")
    page.locator("#file").set_input_files(tmp_path / "a.txt")
    expect(page.get_by_role("alert")).to_have_text("a.txt has 3,000,000 bytes; the limit is 2,097,152 bytes.")
    expect(link).to_be_hidden()


DROP = """(files) => {
    const data = new DataTransfer();
    for (const [name, text] of files) data.items.add(new File([text], name));
    for (const kind of ["dragover", "drop"]) {
        const event = new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true });
        document.querySelector("h1").dispatchEvent(event);
        if (!event.defaultPrevented) throw new Error("the browser would leave the page");
    }
}"""


def test_a_file_may_be_dropped(page: Page) -> None:
    expect(page.locator("#source-language option")).not_to_have_count(0)  # the page is ready
    page.evaluate(DROP, [["a.txt", "It rains."], ["b.txt", "We are here."]])
    expect(page.locator("#download")).to_have_attribute("download", "a.de.txt")
    expect(page.locator("#status")).to_contain_text("Only the first file")
    assert page.locator(".dropping").count() == 0


def test_right_to_left_text_is_shown_so(page: Page) -> None:
    text, translation = page.get_by_label("Text to translate"), page.get_by_role("region", name="Translation")
    typed(page, "שלום Microsoft Windows עולם")
    assert (text.get_attribute("lang"), translation.get_attribute("lang")) == ("en", "de")
    for one in (text, translation):
        assert one.evaluate("one => getComputedStyle(one).direction") == "rtl"
    places = [word.bounding_box() for word in page.locator("#translation .word").all()]
    hello, microsoft, windows, world = (place["x"] for place in places if place)
    assert hello > windows > microsoft > world
    page.get_by_text("History").click()
    assert page.locator("#history bdi").first.evaluate("one => getComputedStyle(one).direction") == "rtl"
    typed(page, "It rains.")
    assert translation.evaluate("one => getComputedStyle(one).direction") == "ltr"


async def only_second_sentence(*_: Any, **__: Any) -> AsyncIterator[tuple[int, Sentence]]:
    """A stream with the second sentence only."""
    yield 1, Sentence("We are here.", "Wir sind hier.", words=(Word("Wir", 1.0), Word("sind", 1.0), Word("hier.", 1.0)))
    await asyncio.sleep(0.5)
    raise BusyError("too many requests")


def test_sentences_are_shown_as_they_come(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_api, "stream", only_second_sentence)
    page.get_by_label("Text to translate").fill("It rains. We are here.")
    translation = page.get_by_role("region", name="Translation")
    expect(translation).to_have_text("… Wir sind hier.")
    expect(page.locator("#status")).to_have_text("Translating …")
    expect(page.get_by_role("alert")).to_have_text("The translation is incomplete: too many requests")
    expect(translation).to_have_text("… Wir sind hier.")
    expect(page.locator("#status")).to_have_text("")
    monkeypatch.undo()
    shown_after(page, page.get_by_role("button", name="Try again").click)
    expect(translation).to_have_text("It rains. We are here.")
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(page.get_by_label("Text to translate")).to_be_focused()


def test_the_address_contains_the_text(page: Page, copying_server: Running) -> None:
    text, translation = page.get_by_label("Text to translate"), page.get_by_role("region", name="Translation")
    typed(page, "A & B? #1")
    expect(page).to_have_url(f"{copying_server.url}/#source=en&target=de&q=A+%26+B%3F+%231")
    kept = page.url
    typed(page, "It rains.")
    for address in (kept, f"{copying_server.url}/?source=en&target=de&q=A%20%26%20B%3F%20%231"):
        page.goto(address)
        expect(text).to_have_value("A & B? #1")
        expect(translation).to_have_text("A & B? #1")
    page.goto(f"{copying_server.url}/#source=xx&target=yy&q=It+rains.")
    expect(translation).to_have_text("It rains.")
    page.get_by_role("button", name="Clear").click()
    expect(page).to_have_url(f"{copying_server.url}/")


def test_a_text_over_the_limit_is_not_sent(browser: Browser, copies: Path) -> None:
    context = browser.new_context()
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "stream" in request.url else None)
    with serving(copies, limits=Limits(characters=10)) as running:
        page.goto(running.url)
        count, text = page.locator("#count"), page.get_by_label("Text to translate")
        expect(count).to_have_text("0 of 10 characters")
        text.fill("🙂" * 12)
        expect(count).to_have_text("12 of 10 characters")
        expect(page.locator("#status")).to_have_text("2 characters too many")
        assert text.get_attribute("aria-invalid") == "true"
        assert asked == []
        assert typed(page, "The cat") == "The cat"
        context.close()


def test_languages_can_be_swapped_if_a_model_translates_the_other_direction(
    browser: Browser, copies: Path, tmp_path: Path
) -> None:
    for pair in ("en-de", "de-en", "en-fr"):
        shutil.copytree(copies, tmp_path / pair)
        description = tmp_path / pair / "1" / DESCRIPTION
        description.write_text(description.read_text().replace('"en-de"', f'"{pair}"'))
    context = browser.new_context()
    page = context.new_page()
    with serving(tmp_path) as running:
        page.goto(running.url)
        swap = page.get_by_role("button", name="Swap the languages")
        page.get_by_label("From").select_option("en")
        page.get_by_role("combobox", name="To", exact=True).select_option("fr")
        expect(swap).to_be_disabled()
        page.get_by_role("combobox", name="To", exact=True).select_option("de")
        expect(swap).to_be_enabled()
        swap.click()
        expect(page.get_by_label("From")).to_have_value("de")
        context.close()


def test_the_swap_button_is_hidden_if_no_languages_can_be_swapped(page: Page) -> None:
    expect(page.locator("#source-language option")).to_have_count(1)
    expect(page.locator("#swap")).to_be_hidden()
    expect(page.locator("#swap-hint")).to_be_hidden()


def test_the_page_works_below_a_root_path(browser: Browser, copies: Path) -> None:
    context = browser.new_context()
    page = context.new_page()
    with serving(copies, proxies=Proxies((), "/mt")) as running:
        page.goto(f"{running.url}/mt")
        assert typed(page, "The cat") == "The cat"
        page.evaluate(DROP, [["a.txt", "It rains."]])
        with page.expect_download() as download:
            page.get_by_role("link", name="Download the translated file").click()
        assert download.value.path().read_text() == "It rains."
        context.close()
