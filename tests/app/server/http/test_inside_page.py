"""The view "Inside the Transformer" in a real browser: its numbers are compared with those of the model, by NumPy."""

import base64
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect

from keras_nmt.app.server.http.proxies import Proxies
from tests.app.server.serving import Running, serving

SENTENCE = "It rains here."
DIRECTION = {"source": "en", "target": "de"}
CHAPTERS = {
    "overview": "The Transformer",
    "embedding": "Embeddings",
    "positions": "Positional encoding",
    "query-key-value": "Queries, keys and values",
    "attention": "Scaled dot-product attention",
    "heads": "Multi-head attention",
    "self-attention": "Encoder self-attention",
    "masked-attention": "Masked self-attention",
    "cross-attention": "Encoder-decoder attention",
    "residual": "Residual connection and layer normalisation",
    "feed-forward": "Feed-forward network",
    "decoder": "The decoder, token by token",
    "output": "Output distribution",
    "search": "The search",
    "why": "Why self-attention",
}
MINUS = "\N{MINUS SIGN}"
PHONE = {"width": 360, "height": 740}


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that must not log an error, and whose requests must not fail."""
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"], reduced_motion="reduce")
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    yield page
    context.close()
    assert errors == []


def opened(page: Page, server: Running, chapter: str, **values: Any) -> None:
    """Opens a chapter by its address and waits until it is shown with its numbers."""
    fields = "&".join(f"{name}={value}" for name, value in {**values, "text": SENTENCE.replace(" ", "+")}.items())
    page.goto("about:blank")  # another part behind # alone would not load the page again
    page.goto(f"{server.url}/#inside/{chapter}?{fields}")
    shown(page, chapter)


def shown(page: Page, chapter: str) -> None:
    expect(page.locator("#chapter h2")).to_have_text(CHAPTERS[chapter])
    for part in page.locator(".live").all():
        expect(part).to_have_attribute("aria-busy", "false")


def decoded(value: Any) -> Any:
    """Returns an answer of the server with its arrays of floats as NumPy arrays."""
    if isinstance(value, dict):
        for name in ("float16", "float32"):
            if name in value:
                numbers = np.frombuffer(base64.b64decode(value[name]), np.dtype(name).newbyteorder("<"))
                return numbers.astype(np.float64).reshape(value["shape"])
        return {name: decoded(one) for name, one in value.items()}
    return value


@pytest.fixture(scope="module")
def found(server: Running) -> dict[str, Any]:
    return decoded(server.ok("/api/inside", {"sentence": SENTENCE, **DIRECTION}))


def head(server: Running, found: dict[str, Any], kind: str, number: int) -> dict[str, Any]:
    """Returns the vectors of a head in the first layer."""
    ids = {name: found[name] for name in ("source_ids", "target_ids")}
    return decoded(server.ok("/api/inside/layer", {**ids, "kind": kind, "layer": 0, "head": number, **DIRECTION}))


def number(text: str) -> float:
    """Returns the last number in a text of the page."""
    plain = text.replace(MINUS, "-").replace("∞", "inf").replace(",", "")
    *_, last = re.findall(r"-?(?:\d+\.?\d*(?:e-?\d+)?|inf)", plain)
    return float(last)


def near(value: Any) -> Any:
    """Equal after rounding to what the page writes: 3 decimals, or 4 digits."""
    return pytest.approx(np.asarray(value).tolist(), abs=6e-4, rel=2e-3)


def tip(page: Page, figure: str, *keys: str) -> str:
    """Goes from the first number of a figure to another by keys; returns what is said about it."""
    cursor = page.locator(f"#{figure} .cursor")
    cursor.focus()
    for key in keys:
        page.keyboard.press(key)
    text = cursor.get_attribute("aria-label") or ""
    expect(page.locator(".tip.shown")).to_have_text(text)
    return text


def chosen(page: Page, label: str) -> str:
    return page.get_by_role("radiogroup", name=label).get_by_role("radio", checked=True).text_content() or ""


def column(page: Page, name: str) -> list[float]:
    """Returns a column of the table of all keys."""
    return [number(text) for text in page.locator(f"#keys tbody td[data-column='{name}']").all_text_contents()]


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


def test_the_embedding_is_that_of_the_token(page: Page, server: Running, found: dict[str, Any]) -> None:
    opened(page, server, "embedding")
    tokens = page.get_by_role("radiogroup", name="Source")
    tokens.get_by_role("radio").nth(1).click()
    vector = found["source_embeddings"][1]
    assert number(tip(page, "embedding", "ArrowRight", "ArrowRight")) == near(vector[2])
    assert number(tip(page, "embedding", "End")) == near(vector[31])
    cosines = [number(text) for text in page.locator("#neighbours .value").all_text_contents()]
    assert cosines == near(found["source_cosines"][1])
    labels = page.locator("#neighbours text:not(.value)").all_text_contents()
    assert labels == [piece or "⟨empty⟩" for piece in found["source_neighbours"][1]]
    lengths = [number(text) for text in page.locator("#factor .value").all_text_contents()]
    width = found["model"]["model_width"]
    length, position = np.linalg.norm(vector), np.linalg.norm(found["positional_encodings"][1])
    assert lengths == near([length, length * width**0.5, position])
    page.get_by_role("radiogroup", name="Target").get_by_role("radio").nth(2).click()
    assert number(tip(page, "embedding")) == near(found["target_embeddings"][2][0])


@pytest.mark.parametrize("kind", ["decoder", "cross"])
def test_attention_is_computed_step_by_step(page: Page, server: Running, found: dict[str, Any], kind: str) -> None:
    details = head(server, found, kind, 1)
    query, key = details["query"][1], details["key"]
    scores = details["scores"][1]
    assert np.abs(scores - key @ query).max() < 0.01  # the vectors were rounded to 16 bits
    scaled = scores / len(query) ** 0.5
    if kind == "decoder":
        scaled[2:] = -np.inf
    powers = np.exp(scaled)
    opened(page, server, "attention", kind=kind, head=2, query=2, key=1)
    expect(page.locator("#keys")).to_have_count(0)
    assert number(tip(page, "products", "ArrowDown", "ArrowDown", "ArrowRight")) == near(query[1] * key[0, 1])
    following = page.get_by_role("button", name="Next step")
    following.click()
    assert column(page, "q · k") == near(scores)
    assert number(tip(page, "sum", "End")) == pytest.approx(scores[0], abs=0.01)
    following.click()
    assert number(tip(page, "scaled")) == near(scaled[0])
    following.click()
    assert column(page, "masked") == near(scaled)
    following.click()
    assert column(page, "e to this power") == near(powers)
    assert column(page, "weight") == near(powers / powers.sum())
    following.click()
    mixed = powers / powers.sum() @ details["value"]
    downs = ["ArrowDown"] * len(key)
    assert number(tip(page, "mixed", *downs, "ArrowRight")) == pytest.approx(mixed[1], abs=0.01)
    assert mixed.tolist() == pytest.approx(details["mixed"][1].tolist(), abs=0.01)


def test_the_attention_maps_show_all_weights(page: Page, server: Running, found: dict[str, Any]) -> None:
    for kind, chapter in (("encoder", "self-attention"), ("decoder", "masked-attention"), ("cross", "cross-attention")):
        opened(page, server, chapter, head=2)
        weights = found[f"{kind}_attention"][0, 1]
        assert page.locator("#attention-map .cells rect").count() == weights.size
        percent = number(tip(page, "attention-map", "ArrowDown", "ArrowRight"))
        assert percent == pytest.approx(100 * weights[1, 1], abs=0.6)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("query=2&key=2"))


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
    opened(page, server, "overview")
    moving = "[...document.querySelectorAll('*')].filter((one) => getComputedStyle(one).animationName !== 'none')"
    assert page.evaluate(f"{moving}.length") == 0
    for chapter in CHAPTERS:
        shown(page, chapter)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, chapter
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


def violations(page: Page, **options: Any) -> list[tuple[str, str]]:
    """Returns the name of each violated rule, of any severity, and an element that violates it."""
    found = Axe().run(page, context="#inside", options={"resultTypes": ["violations"], **options})
    return [(one["id"], one["nodes"][0]["html"]) for one in found.response["violations"]]


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


BLANK = """<!doctype html><meta charset="utf-8"><title>Saved</title><link rel="stylesheet" href="style.css">
<link rel="stylesheet" href="inside/inside.css"><main id="inside"></main>"""
SHOW_SAVED = """async (saved) => {
    const [{ Inside }, { savedSource }] = await Promise.all(
        ["start", "source"].map((name) => import(`/page/inside/${name}.js`)));
    new Inside(document.getElementById("inside"), savedSource(saved)).show({});
}"""


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
