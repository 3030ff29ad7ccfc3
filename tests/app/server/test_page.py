"""The page in a real browser."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from app.server.limits import ApiKeys, add_api_key
from tests.app.multilingual import LOUD, WORDS
from tests.app.server.serving import Running, serving

TEXT = "The cat sat on the mat.\n\nA dog barks at night, doesn't it?"
CHROMIUM = shutil.which("chromium")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, copying_server: Running) -> Iterator[Page]:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if "Security" in message.text else None)
    page.goto(copying_server.url)
    yield page
    context.close()
    assert errors == []


def typed(page: Page, text: str) -> str:
    """Types a text and gives its translation as the page shows it."""
    with page.expect_response("**/api/translate") as answer:
        page.get_by_label("Text to translate").fill(text)
    translation: str = answer.value.json()["translation"]
    expect(page.get_by_role("region", name="Translation")).to_have_text(" ".join(translation.split()))
    return translation


def test_typing_translates(page: Page) -> None:
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
    choices = page.get_by_role("listbox", name="Other ways to go on")
    expect(choices).to_be_visible()
    page.keyboard.press("ArrowDown")
    chosen = choices.get_by_role("option").nth(1).text_content()
    assert chosen not in (None, before)
    page.keyboard.press("Enter")
    expect(choices).to_be_hidden()
    expect(page.get_by_role("region", name="Translation")).to_have_text(" ".join(str(chosen).split()))


def test_what_is_typed_stays_text(page: Page) -> None:
    evil = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
    typed(page, evil)
    page.get_by_text("History").click()
    expect(page.locator("#history")).to_contain_text(evil)
    assert page.evaluate("window.hacked") is None
    assert page.locator("main script, main img").count() == 0


def test_the_history_is_kept_and_forgotten(page: Page) -> None:
    typed(page, "It rains.")
    page.reload()
    page.get_by_text("History").click()
    page.locator("#history button").first.click()
    expect(page.get_by_label("Text to translate")).to_have_value("It rains.")
    expect(page.get_by_role("region", name="Translation")).to_have_text("It rains.")
    page.get_by_role("button", name="Forget all").click()
    expect(page.locator("#history li")).to_have_count(0)


def test_a_file_is_translated(page: Page, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("It rains.\n")
    page.locator("#file").set_input_files(tmp_path / "a.txt")
    link = page.get_by_role("link", name="Download the translated file")
    expect(link).to_be_visible()
    with page.expect_download() as download:
        link.click()
    assert download.value.suggested_filename == "a.de.txt"


def test_a_server_that_is_gone_is_said(browser: Browser, copies: Path) -> None:
    context = browser.new_context()
    page = context.new_page()
    with serving(copies) as running:
        page.goto(running.url)
        expect(page.locator("#source-language option")).to_have_count(1)
    page.get_by_label("Text to translate").fill("It rains.")
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    expect(page.get_by_label("Text to translate")).to_have_value("It rains.")
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_it(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    typed(page, "The cat sat on the mat.")
    found = Axe().run(page)
    serious = [one for one in found.response["violations"] if one["impact"] in ("serious", "critical")]
    assert serious == []


def test_a_phone_shows_it_whole(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    typed(page, "The cat sat on the mat.")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_page_asks_for_a_key(browser: Browser, copies: Path, tmp_path: Path) -> None:
    key = add_api_key(tmp_path / "keys", "ann")
    context = browser.new_context()
    page = context.new_page()
    page.on("dialog", lambda dialog: dialog.accept(key))
    with serving(copies, keys=ApiKeys.read(tmp_path / "keys")) as running:
        page.goto(running.url)
        page.get_by_label("Text to translate").fill("The cat")
        expect(page.get_by_role("region", name="Translation")).to_have_text("The cat")
        context.close()


def test_the_page_offers_each_pair_and_the_domains_of_its_model(browser: Browser, two_exports: Path) -> None:
    context = browser.new_context()
    page = context.new_page()
    with serving(two_exports) as running:
        page.goto(running.url)
        into, about = page.get_by_label("Into"), page.get_by_label("About")
        expect(into.locator("option")).to_have_text(["German", "French"])
        expect(about.locator("option")).to_have_text(["anything", "loud"])
        into.select_option("fr")
        with page.expect_response("**/api/translate") as answer:
            page.get_by_label("Text to translate").fill("a b c d")
        assert set(answer.value.json()["translation"]) <= {*WORDS["fr"], " "}
        with page.expect_response("**/api/translate") as answer:
            about.select_option("loud")
        assert set(answer.value.json()["translation"]) == {LOUD, " "}
        context.close()


def test_one_can_look_inside(page: Page) -> None:
    with page.expect_response("**/api/explain"):
        page.get_by_role("tab", name="Inside the Transformer").click()
    page.get_by_label("Sentence").fill("The cat sat on the mat.")
    with page.expect_response("**/api/explain") as answer:
        page.get_by_role("button", name="Look inside").click()
    shown = answer.value.json()
    pieces = [piece for piece in shown["source_pieces"] if piece != "</s>"]
    for piece in pieces:
        expect(page.get_by_role("list", name="Source tokens")).to_contain_text(piece)
    cells = page.locator("#heat-map rect")
    expect(cells).to_have_count(len(shown["source_pieces"]) * len(shown["target_pieces"]))
    strongest = [row.index(max(row)) for row in shown["cross_attention"][0][0]]
    assert strongest == list(range(len(strongest)))  # each word is copied from its own place
    titles = [cells.nth(i * len(shown["source_pieces"]) + i).locator("title") for i in range(len(pieces))]
    for piece, title in zip(pieces, titles, strict=True):
        expect(title).to_have_text(f"{piece} looks at {piece}: 100 %")
    page.get_by_label("Which").select_option("Decoder self-attention")
    expect(cells).to_have_count(len(shown["target_pieces"]) ** 2)
    page.get_by_label("Step").fill("3")
    expect(page.locator("#candidates tbody tr").first).to_contain_text("Th")
    found = Axe().run(page)
    assert [one for one in found.response["violations"] if one["impact"] in ("serious", "critical")] == []
