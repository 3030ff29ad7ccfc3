"""The chapter on training of the view "Inside the Transformer", in a real browser."""

import re
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.app.server.http import inside_page
from tests.app.server.http.inside_page import DIRECTION, SENTENCE, near, number, tip, violations
from tests.app.server.http.inside_page import decoded as decoded_answer
from tests.app.server.serving import Running

page = inside_page.page
REFERENCE = "Es regnet."
NOTE_CHECKPOINTS = """() => {
    window.shown = [document.getElementById("checkpoint").textContent];
    const note = () => {
        const text = document.getElementById("checkpoint")?.textContent;
        if (text && text !== window.shown.at(-1)) window.shown.push(text);
    };
    new MutationObserver(note).observe(document.querySelector(".player"), { childList: true, subtree: true });
}"""


def at_step(server: Running, found: dict[str, Any], step: int) -> dict[str, Any]:
    """Returns the numbers of a checkpoint for the target tokens of the served model."""
    fields = {"sentence": SENTENCE, "target_ids": found["target_ids"], "step": step, **DIRECTION}
    answer: dict[str, Any] = decoded_answer(server.ok("/api/inside/checkpoint", fields))
    return answer


def test_the_training_is_shown_with_the_numbers_of_each_checkpoint(page: Page, open_server: Running) -> None:
    found = open_server.ok("/api/inside", {"sentence": SENTENCE, **DIRECTION})
    history = open_server.ok("/api/inside/training")
    page.goto(
        f"{open_server.url}/#inside/training?kind=cross&head=2&query=2&checkpoint=2&text={SENTENCE.replace(' ', '+')}"
    )
    expect(page.locator("#chapter h2")).to_have_text("Training")
    expect(page.locator("#course .mark")).to_be_attached()
    assert number(tip(page, "course", "End")) == near(history["metrics"]["loss"][-1])
    expect(page.locator("#dev-results")).to_contain_text("perplexity")
    slider = page.get_by_role("slider", name="Checkpoint")
    for step, key in ((2, None), (0, "ArrowLeft"), (4, "End")):
        if key:
            slider.press(key)
        expect(page.locator("#checkpoint")).to_have_text(f"step {step}")
        expect(page.locator("#nearest figcaption")).to_contain_text(f"at step {step}, by cosine")
        answer = at_step(open_server, found, step)
        expect(page.locator("#output")).to_have_text(answer["translation"] or "nothing")
        weights = answer["cross_attention"][0, 1]
        said = page.locator("#map .cursor").get_attribute("aria-label") or ""  # of the chosen query and key
        assert number(said) == pytest.approx(100 * weights[1, 0], abs=0.6)
        cosines = [number(text) for text in page.locator("#nearest .value").all_text_contents()]
        assert cosines == near(answer["target_cosines"][1])
    page.evaluate(NOTE_CHECKPOINTS)
    page.get_by_role("button", name="Play").click()  # begins again at the first checkpoint
    while len(page.evaluate("window.shown")) < 4:
        page.wait_for_timeout(200)
    assert page.evaluate("window.shown") == ["step 4", "step 0", "step 2", "step 4"]
    expect(page.get_by_role("button", name="Play")).to_be_enabled()


def test_a_training_step_is_made_on_the_sentence(page: Page, open_server: Running) -> None:
    fields = {"sentence": SENTENCE, **DIRECTION}
    page.goto(f"{open_server.url}/#inside/training?checkpoint=2&text={SENTENCE.replace(' ', '+')}")
    reference = page.get_by_label("Reference")
    expect(reference).to_have_value(open_server.ok("/api/inside", fields)["translation"])
    reference.fill(REFERENCE)
    page.get_by_role("button", name="Make a training step").click()
    expect(page.locator("#losses")).to_be_visible()
    answer = open_server.ok("/api/inside/step", {**fields, "step": 2, "reference": REFERENCE})
    expect(page.locator("#losses figcaption")).to_contain_text("label smoothing ε = 0.1")
    shown = [number(text) for text in page.locator("#losses .value").all_text_contents()]
    assert shown == near(answer["token_losses"])
    both = np.exp([answer["token_log_probabilities"], answer["token_log_probabilities_after"]]).T
    shown = [number(text.removesuffix(" %")) for text in page.locator("#probabilities .value").all_text_contents()]
    assert shown == pytest.approx((100 * both).ravel().tolist(), abs=0.51)
    assert number(tip(page, "probabilities", "ArrowDown")) == pytest.approx(100 * both[0, 1], abs=0.51)
    rows = page.locator("#weights tbody tr")
    assert rows.count() == len(answer["gradients"])
    weight = answer["gradients"][3]
    cells = rows.nth(3).locator("td").all_text_contents()
    names = rows.locator("th").all_text_contents()
    assert {"embeddings", "decoder layer 1, encoder-decoder attention, query, matrix"} <= set(names)
    assert "encoder layer 1, self-attention, normalisation, gamma" in names
    fallen = int((both[:, 1] < both[:, 0]).sum())
    expect(page.locator("#fallen")).to_have_count(int(fallen > 0))
    norms = [weight["norm"], weight["weight_norm"], weight["norm"] / weight["weight_norm"], weight["update_norm"]]
    assert [number(text) for text in cells[1:]] == pytest.approx(norms, rel=0.1, abs=6e-4)
    parts = [one for one in answer["gradients"] if "cross-attention" in one["boxes"]]
    quotient = np.linalg.norm([one["norm"] for one in parts]) / np.linalg.norm([one["weight_norm"] for one in parts])
    assert number(page.locator("[data-share=cross-attention]").text_content() or "") == near(quotient)
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        assert violations(page) == []
    page.set_viewport_size({"width": 360, "height": 740})
    page.locator("#output").evaluate("output => { output.textContent = 'm'.repeat(200); }")  # an untrained model's
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_checkpoint_is_shown_where_a_step_changes_most(page: Page, open_server: Running) -> None:
    history = {**open_server.ok("/api/inside/training"), "learning_rates": [0.0001, 0.02, 0.0]}
    history["dev"] = {"step": [0, 2], "dev_loss": [2.0, 2.0], "dev_perplexity": [7.389, 6.8]}
    page.route("**/api/inside/training", lambda route: route.fulfill(json=history))
    page.goto(
        f"{open_server.url}/#inside/training?step=3&text={SENTENCE.replace(' ', '+')}"
    )  # a step of other chapters
    expect(page.locator("#rate")).to_have_text("At step 2, the learning rate η is 0.020.")
    expect(page.locator("#dev-results")).to_contain_text("includes label smoothing")  # e to the power of 2 is 7.389
    slider = page.get_by_role("slider", name="Checkpoint")
    slider.press("End")
    expect(page.locator("#rate")).to_contain_text("this step changes nothing; choose an earlier checkpoint")
    expect(page).to_have_url(re.compile("checkpoint=4"))
    slider.press("Home")
    expect(page.locator("#rate")).to_contain_text("this step changes little; choose a later checkpoint")
    expect(page).to_have_url(re.compile("checkpoint=0"))
    expect(page.locator("#dev-results")).not_to_contain_text("smoothing")


def test_a_step_that_fails_can_be_tried_again(browser: Browser, open_server: Running) -> None:
    page = browser.new_context().new_page()
    refusal = {"error": "no checkpoint of step 2"}
    page.route("**/api/inside/step", lambda route: route.fulfill(status=404, json=refusal), times=1)
    page.goto(f"{open_server.url}/#inside/training?checkpoint=2&text=It+rains.")
    page.get_by_role("button", name="Make a training step").click()
    expect(page.locator("#step .failure")).to_contain_text("no checkpoint of step 2")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#losses")).to_be_visible()
    page.context.close()


def test_without_an_open_run_there_is_no_such_chapter(page: Page, server: Running) -> None:
    page.goto(f"{server.url}/#inside/training?text=It+rains.")
    expect(page.locator("#chapter h2")).to_have_text("The Transformer")
    options = page.get_by_label("Chapter", exact=True).first.locator("option").all_text_contents()
    assert not [one for one in options if re.search("Training", one)]
