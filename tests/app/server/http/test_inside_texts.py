"""The view "Inside the Transformer" in a real browser: what it says about the text and its translation."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.app.server.http import inside_page
from tests.app.server.http.inside_page import SENTENCE, opened
from tests.app.server.serving import Running

page = inside_page.page


@pytest.mark.parametrize("text", ["\N{GRINNING FACE}", "   "])
def test_a_text_without_words_is_not_called_too_long(page: Page, server: Running, text: str) -> None:
    opened(page, server, "embedding")
    for typed, said in ((text, "There is nothing here for the model to read"), (SENTENCE, "")):
        page.get_by_label("Sentence", exact=True).fill(typed)
        page.get_by_role("button", name="Look inside").click()
        expect(page.locator("#cut")).to_contain_text(said)
        expect(page.locator("#said")).to_have_text("" if said else re.compile("→"))
        expect(page.locator("#chapter h2")).to_have_count(0 if said else 1)
        expect(page.locator("#cut")).not_to_contain_text("Only the beginning")


def test_another_engine_of_the_first_view_is_named(page: Page, server: Running) -> None:
    opened(page, server, "overview")
    expect(page.locator("#engines")).to_have_count(0)
    models = [{**model, "faster_engine": True} for model in server.ok("/api/models")]
    page.route("**/api/models", lambda route: route.fulfill(json=models))
    opened(page, server, "overview")
    expect(page.locator("#engines")).to_contain_text("“Translate” uses a faster, less exact engine")
