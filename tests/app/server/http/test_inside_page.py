"""The view "Inside the Transformer" in a real browser: how chapters are reached, and what all of them have."""

import json
import re
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect

from keras_nmt.app.server.http.proxies import Proxies
from tests.app.server.http import inside_page
from tests.app.server.http.inside_page import (
    BLANK,
    CHAPTERS,
    CUT_WITHOUT_HINT,
    DIRECTION,
    PHONE,
    SENTENCE,
    SHOW_SAVED,
    chosen,
    opened,
    shown,
    tip,
    violations,
)
from tests.app.server.serving import Running, serving

page, found = inside_page.page, inside_page.found


def test_chapters_are_walked_by_keys_and_keep_what_is_chosen(page: Page, server: Running) -> None:
    opened(page, server, "attention", kind="cross", head=2, query=2, key=3)
    kept = {"Head": "2", "Query": chosen(page, "Query"), "Key": chosen(page, "Key")}
    for key, chapter in (
        ("ArrowRight", "heads"),
        ("]", "self-attention"),
        ("]", "masked-attention"),
        ("]", "cross-attention"),
        ("[", "masked-attention"),
        ("ArrowLeft", "self-attention"),
        ("ArrowLeft", "heads"),
        ("ArrowLeft", "attention"),
    ):
        page.keyboard.press(key)
        shown(page, chapter)
        assert f"#inside/{chapter}?" in page.url
        expect(page.locator("#chapter h2")).to_be_focused()
        expect(page).to_have_title(f"{CHAPTERS[chapter]}: nmt")
    assert {name: chosen(page, name) for name in kept} == kept
    expect(page.get_by_label("Sentence", exact=True)).to_have_value(SENTENCE)
    page.go_back()
    shown(page, "heads")
    page.get_by_label("Sentence", exact=True).focus()
    page.keyboard.press("ArrowRight")
    page.get_by_role("radiogroup", name="Head").get_by_role("radio", checked=True).focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radiogroup", name="Head").get_by_role("radio", name="1")).to_be_focused()
    shown(page, "heads")


def test_a_link_shows_the_same(page: Page, server: Running, found: dict[str, Any]) -> None:
    opened(page, server, "attention", kind="cross", layer=1, head=2, query=3, key=2, step=5)
    assert chosen(page, "Attention") == "Encoder-decoder"
    assert (chosen(page, "Head"), chosen(page, "Step")) == ("2", "5. Softmax")
    assert chosen(page, "Key") == found["source_pieces"][1]
    assert chosen(page, "Query") == found["target_pieces"][1]  # the position reads what was written before
    page.get_by_role("button", name="Copy link").first.click()
    expect(page.locator(".copied").first).to_have_text("Copied")
    link = page.evaluate("navigator.clipboard.readText()")
    page.goto("about:blank")
    page.goto(link)
    shown(page, "attention")
    assert page.url == link
    assert chosen(page, "Step") == "5. Softmax"
    page.get_by_role("tab", name="Translate").click()
    expect(page).to_have_title("nmt: translate")
    assert "#inside" not in page.url
    page.go_back()
    page.goto(link.replace("query=3", "query=999"))  # a position that this sentence does not have
    shown(page, "attention")
    assert chosen(page, "Query") == found["target_pieces"][-2]
    page.evaluate("location.hash = '#inside/embedding?query=2'")  # the sentence and the languages stay
    shown(page, "embedding")
    assert chosen(page, "Source") == found["source_pieces"][1]
    expect(page.get_by_label("Sentence", exact=True)).to_have_value(SENTENCE)


def test_the_map_leads_to_the_chapters(page: Page, server: Running, found: dict[str, Any]) -> None:
    opened(page, server, "overview")
    figure = page.locator("#overview")
    for piece in (*found["source_pieces"][:-1], *found["target_pieces"][:-1]):
        expect(figure.locator("svg")).to_contain_text(piece)
    sizes = found["model"]
    expect(page.locator(".sizes")).to_contain_text(f"{sizes['parameters']:,}")
    boxes = figure.locator("a.box")
    assert len({box.get_attribute("data-box") for box in boxes.all()}) == boxes.count() == 16
    figure.locator("[data-box=cross-attention]").click()
    shown(page, "cross-attention")
    here = page.locator(".map [aria-current=true]")
    expect(here).to_have_attribute("data-box", "cross-attention")
    page.locator(".map [data-box=source-embedding]").focus()
    page.keyboard.press("Enter")
    shown(page, "embedding")
    expect(here).to_have_attribute("data-box", "source-embedding")
    page.get_by_role("radiogroup", name="Target").get_by_role("radio").first.click()
    expect(here).to_have_attribute("data-box", "target-embedding")


def test_the_map_marks_the_sublayer_that_is_chosen(page: Page, server: Running) -> None:
    opened(page, server, "residual", kind="encoder", sublayer=2)
    here = page.locator(".map [aria-current=true]")
    expect(here).to_have_attribute("data-box", "encoder-add-2")
    page.locator(".map [data-box=decoder-add-2]").click()
    expect(here).to_have_attribute("data-box", "decoder-add-2")
    assert chosen(page, "Stack") == "Decoder"
    assert chosen(page, "Sublayer") == "Encoder-decoder attention"
    page.get_by_role("radiogroup", name="Sublayer").get_by_role("radio", name="Feed-forward").click()
    expect(here).to_have_attribute("data-box", "decoder-add-3")
    page.get_by_role("radiogroup", name="Stack").get_by_role("radio", name="Encoder").click()
    expect(here).to_have_attribute("data-box", "encoder-add-2")


def test_what_is_said_about_a_number_follows_it_when_keys_have_led_to_it(page: Page, server: Running) -> None:
    opened(page, server, "residual")
    tip(page, "sum", "ArrowDown", "ArrowRight")
    said = page.locator(".tip")
    places = "['.tip', '#sum .cursor .frame'].map((name) => document.querySelector(name).getBoundingClientRect().y)"
    scrolled = f"""new Promise((resolve) => {{
        scrollBy(0, -50);
        requestAnimationFrame(() => requestAnimationFrame(() => resolve({places})));
    }})"""
    before, after = np.array(page.evaluate(places)), np.array(page.evaluate(scrolled))
    assert (after - before).tolist() == pytest.approx([50, 50], abs=1)
    expect(said).to_have_class("tip shown")
    page.keyboard.press("Escape")
    expect(said).to_have_class("tip")
    page.locator("#sum svg").hover()
    expect(said).to_have_class("tip shown")
    page.evaluate("scrollBy(0, -50)")  # what the pointer has shown is hidden
    expect(said).to_have_class("tip")


def test_figures_are_saved(page: Page, server: Running) -> None:
    opened(page, server, "positions")
    saved = {}
    for name in ("SVG", "PNG"):
        with page.expect_download() as download:
            page.locator("#positions").get_by_role("button", name=re.compile(name)).click()
        saved[name] = Path(download.value.path()).read_bytes()
        assert download.value.suggested_filename == f"positions.{name.lower()}"
    svg = saved["SVG"].decode()
    assert ET.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    assert "var(" not in svg
    assert "cursor" not in svg
    assert saved["PNG"].startswith(b"\x89PNG")


def test_nothing_is_wider_than_a_phone_or_moves(page: Page, server: Running) -> None:
    page.set_viewport_size(PHONE)
    opened(page, server, "overview", length=1000)
    moving = "[...document.querySelectorAll('*')].filter((one) => getComputedStyle(one).animationName !== 'none')"
    assert page.evaluate(f"{moving}.length") == 0
    for chapter in CHAPTERS:
        shown(page, chapter)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, chapter
        wide = page.locator(".equation").evaluate_all("(all) => all.filter((one) => one.scrollWidth > one.clientWidth)")
        expect(page.locator(".equation[tabindex='0']")).to_have_count(len(wide))  # they are scrolled by keys
        assert page.evaluate(CUT_WITHOUT_HINT) == [], chapter
        ids = page.locator("[id]").evaluate_all("(all) => all.map((one) => one.id)")
        assert [name for name, count in Counter(ids).items() if count > 1] == [], chapter
        page.keyboard.press("]")
    page.emulate_media(reduced_motion="no-preference")
    opened(page, server, "overview")
    assert page.evaluate(f"{moving}.length") > 10  # the arrows of the picture


@pytest.mark.slow  # every chapter twice
def test_no_chapter_violates_a_rule_of_accessibility(page: Page, server: Running) -> None:
    opened(page, server, "overview")
    for chapter in CHAPTERS:
        shown(page, chapter)
        page.emulate_media(color_scheme="light")
        assert violations(page) == [], chapter
        if chapter in ("overview", "attention", "cross-attention"):  # which have all kinds of figures
            page.emulate_media(color_scheme="dark")
            assert violations(page, runOnly=["color-contrast"]) == [], chapter
        page.keyboard.press("]")


@pytest.mark.slow
@pytest.mark.parametrize("width", [PHONE["width"], 1280])
def test_axe_finds_nothing_in_any_chapter_and_theme(page: Page, open_server: Running, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    for chapter in (*CHAPTERS, "training"):
        opened(page, open_server, chapter, step=2)
        if chapter == "training":
            page.get_by_role("button", name="Make a training step").click()
            expect(page.locator("#losses")).to_be_visible()
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            found = Axe().run(page, options={"resultTypes": ["violations"]})  # the whole page
            assert found.response["violations"] == [], (chapter, theme)


def test_a_question_leads_to_its_answer_and_keeps_what_is_chosen(page: Page, server: Running) -> None:
    for question, chapter, heading in (
        ("Where do queries, keys and values come from?", "query-key-value", None),
        ("Why are scores divided by √dₖ?", "attention", "3. Divide"),
        ("How does the decoder know", "cross-attention", "How does the decoder know which source word it is at?"),
    ):
        opened(page, server, "overview", head=2)
        page.locator("#questions").get_by_role("link", name=question).click()
        shown(page, chapter)
        assert "head=2" in page.url
        if heading:
            expect(page.get_by_role("heading", name=heading)).to_be_in_viewport()
    expect(page.locator(".map .letter")).to_have_text(["V", "K", "Q"] * 3)


def test_failures_are_reported_and_can_be_tried_again(browser: Browser, server: Running) -> None:
    context = browser.new_context()
    page = context.new_page()
    refused = {"inside": True, "layer": True}

    def refuse(route: Route) -> None:
        name = route.request.url.rsplit("/", 1)[1]
        if refused.pop(name, False):
            route.fulfill(status=503, json={"error": f"no {name} today"})
        else:
            route.continue_()

    page.route("**/api/inside**", refuse)
    page.goto(f"{server.url}/#inside/attention")
    for name in ("inside", "layer"):
        expect(page.locator("#chapter .failure")).to_contain_text(f"no {name} today")
        page.get_by_role("button", name="Try again").last.click()
    expect(page.locator("#products")).to_be_visible()
    expect(page.locator(".failure")).to_have_count(0)
    page.get_by_label("Sentence", exact=True).fill("It rains. " * 60)
    page.get_by_role("button", name="Look inside").click()
    expect(page.locator("#cut")).to_contain_text("Only the beginning")
    page.get_by_label("Sentence", exact=True).fill(SENTENCE)
    page.get_by_role("button", name="Look inside").click()
    expect(page.locator("#cut")).to_have_text("")
    context.close()


def test_an_export_without_the_numbers_is_to_be_exported_again(page: Page, server: Running) -> None:
    models = server.ok("/api/models")
    for model in models:
        model["task"]["inside"] = False
    page.route("**/api/models", lambda route: route.fulfill(body=json.dumps(models), content_type="application/json"))
    page.goto(server.url)
    page.get_by_role("tab", name="Inside the Transformer").click()
    expect(page.locator("#no-inside")).to_contain_text("Export the run again")
    expect(page.locator("#inside-view")).to_be_hidden()


def test_the_view_works_below_a_root_path_and_begins_with_the_text_of_the_other(browser: Browser, export: Path) -> None:
    context = browser.new_context()
    page = context.new_page()
    with serving(export, proxies=Proxies((), "/mt")) as running:
        page.goto(f"{running.url}/mt")
        page.get_by_label("Text to translate").fill("Who? It rains.")
        page.get_by_role("tab", name="Inside the Transformer").click()
        shown(page, "overview")
        expect(page.get_by_label("Sentence", exact=True)).to_have_value("Who?")
        assert (
            page.locator("link[href$='inside.css']").evaluate("(link) => link.sheet.cssRules[1].cssRules.length") > 20
        )
        page.get_by_role("tab", name="Translate").click()
        expect(page.get_by_label("Text to translate")).to_be_visible()
        expect(page).to_have_url(re.compile(r"/mt/#source=en&target=de&q=Who"))
        page.get_by_label("Text to translate").fill(SENTENCE)
        page.get_by_role("tab", name="Inside the Transformer").click()
        expect(page.locator("#said bdi").first).to_have_text(SENTENCE)
    context.close()


def test_saved_numbers_are_shown_without_a_server(page: Page, server: Running) -> None:
    overview = server.ok("/api/inside", {"sentence": SENTENCE, **DIRECTION})
    ids = {name: overview[name] for name in ("source_ids", "target_ids")}
    layer = server.ok("/api/inside/layer", {**ids, "kind": "encoder", "layer": 0, "head": 0, **DIRECTION})
    page.route("**/page/saved.html", lambda route: route.fulfill(body=BLANK, content_type="text/html"))
    page.goto(f"{server.url}/page/saved.html#inside/attention")
    page.evaluate(SHOW_SAVED, {"overview": overview, "layers": {"encoder-0-0": layer}})
    expect(page.locator("#products")).to_be_visible()
    expect(page.get_by_label("Sentence", exact=True)).to_have_count(0)
    page.get_by_role("radiogroup", name="Head").get_by_role("radio", name="2").click()
    expect(page.locator(".failure")).to_contain_text("does not hold these numbers of layer 1")
