"""The view "Inside the Transformer" in a real browser: its pages, and the numbers on them."""

import base64
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.app.server.browser import page_without_errors
from tests.app.server.serving import Running

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
TITLES = {**CHAPTERS, "training": "Training"}
MINUS = "\N{MINUS SIGN}"
PHONE = {"width": 360, "height": 740}
BLANK = """<!doctype html><meta charset="utf-8"><title>Saved</title><link rel="stylesheet" href="style.css">
<link rel="stylesheet" href="inside/inside.css"><main id="inside"></main>"""
SHOW_SAVED = """async (saved) => {
    const [{ Inside }, { savedSource }] = await Promise.all(
        ["start", "source"].map((name) => import(`/page/inside/${name}.js`)));
    new Inside(document.getElementById("inside"), savedSource(saved)).show({});
}"""

# The boxes whose content does not fit, and that have no shadow where there is more.
CUT_WITHOUT_HINT = """[...document.querySelectorAll("#inside *")].filter((one) => {
    const { overflowX, backgroundAttachment } = getComputedStyle(one);
    const isCut = one.scrollWidth > one.clientWidth + 1 || one.scrollHeight > one.clientHeight + 1;
    const hasHint = one.matches(".scroll") && backgroundAttachment.includes("local");
    return one instanceof HTMLElement && overflowX !== "visible" && isCut && !hasHint && !one.matches("select, input");
}).map((one) => `${one.tagName} ${one.className}`)"""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that must not log an error, and whose requests must not fail."""
    rights = ["clipboard-read", "clipboard-write"]
    with page_without_errors(browser, permissions=rights, reduced_motion="reduce") as page:
        yield page


def opened(page: Page, server: Running, chapter: str, **values: Any) -> None:
    """Opens a chapter by its address and waits until it is shown with its numbers."""
    fields = "&".join(f"{name}={value}" for name, value in {**values, "text": SENTENCE.replace(" ", "+")}.items())
    page.goto("about:blank")  # another part behind # alone would not load the page again
    page.goto(f"{server.url}/#inside/{chapter}?{fields}")
    shown(page, chapter)


def shown(page: Page, chapter: str) -> None:
    expect(page.locator("#chapter h2")).to_have_text(TITLES[chapter])
    for part in page.locator(".live").all():
        expect(part).to_have_attribute("aria-busy", "false")


def without_violations(page: Page) -> list[str]:
    """Walks through all chapters, in both themes, which must violate no rule; returns their titles."""
    titles: list[str] = []
    while (title := page.locator("#chapter h2").text_content() or "") not in titles:
        titles.append(title)
        for part in page.locator(".live").all():
            expect(part).to_have_attribute("aria-busy", "false")
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
            found = Axe().run(page, options={"resultTypes": ["violations"]})  # the whole page
            assert found.response["violations"] == [], (title, theme)
        page.keyboard.press("]")
    return titles


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


def violations(page: Page, **options: Any) -> list[tuple[str, str]]:
    """Returns the name of each violated rule, of any severity, and an element that violates it."""
    found = Axe().run(page, context="#inside", options={"resultTypes": ["violations"], **options})
    return [(one["id"], one["nodes"][0]["html"]) for one in found.response["violations"]]
