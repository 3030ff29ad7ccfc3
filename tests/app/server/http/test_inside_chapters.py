"""Chapters of the view "Inside the Transformer": layers, the decoder's steps, the output, the search, and why."""

import base64
import re
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.app.server.http import inside_page
from tests.app.server.http.inside_page import (
    BLANK,
    DIRECTION,
    SENTENCE,
    SHOW_SAVED,
    head,
    near,
    number,
    opened,
    tip,
)
from tests.app.server.serving import Running

page, found = inside_page.page, inside_page.found
AS_TRAINED = 9  # index of temperature 1
SHOWN = 12  # pieces of a distribution
STEP_MS = 1200  # of the button "Play"
HOUR_MS = 3_600_000


def numbers(cells: Locator) -> list[float]:
    return [number(text) for text in cells.all_text_contents()]


def test_a_sublayer_adds_to_the_vector_which_is_normalised(page: Page, server: Running, found: dict[str, Any]) -> None:
    details = head(server, found, "decoder", 0)
    sublayer, token = 1, 2
    before, added, normalized = (details[name][sublayer, token] for name in ("before", "added", "normalized"))
    gamma, beta = details["gamma"][sublayer], details["beta"][sublayer]
    standard = (before - before.mean()) / before.std()
    assert (gamma * standard + beta).tolist() == pytest.approx(normalized.tolist(), abs=0.01)
    opened(page, server, "residual", kind="decoder", query=token + 1, sublayer=sublayer + 1)
    expect(page.locator(".equation").first).to_contain_text("Sublayer(LayerNorm(x))")  # this model is pre-norm
    expected = [[one.mean(), one.std(), np.linalg.norm(one)] for one in (before, standard, normalized, added)]
    total = before + added
    shown = numbers(page.locator("#statistics td"))
    assert shown == near([*np.ravel(expected), total.mean(), total.std(), np.linalg.norm(total)])
    assert number(tip(page, "sum", "ArrowDown", "ArrowDown", "ArrowRight")) == near(total[1])
    downs = ["ArrowDown"] * 4
    assert number(tip(page, "normalisation", *downs, "End")) == near(normalized[-1])
    norms = found["decoder_norms"][:, :, :, token]
    assert number(tip(page, "lengths", "End")) == near(norms[-1, -1, 2])
    assert number(tip(page, "lengths", "ArrowDown", "Home")) == near(norms[0, 0, 1])
    page.get_by_role("radiogroup", name="Sublayer").get_by_role("radio", name="Feed-forward").click()
    expect(page).to_have_url(re.compile("sublayer=3"))
    assert number(tip(page, "sum", "ArrowDown")) == near(details["added"][2, token, 0])


def test_the_inner_units_of_the_feed_forward_network(page: Page, server: Running, found: dict[str, Any]) -> None:
    inner = head(server, found, "encoder", 0)["inner"]
    values, width = inner[1], inner.shape[1]
    opened(page, server, "feed-forward", query=2)
    active = int((values > 0).sum())
    expect(page.locator(".chapter")).to_contain_text(f"{active} of the {width} units are above 0")
    assert number(tip(page, "units", "ArrowRight", "ArrowRight")) == near(values[2])
    assert number(tip(page, "network", "ArrowDown")) == near(values.max())
    strongest = np.argsort(-values, kind="stable")[:8]
    rows = [text for text in page.locator("#strongest text").all_text_contents() if text.startswith("unit")]
    assert rows == [f"unit {unit + 1}" for unit in strongest]
    assert number(tip(page, "strongest", "Home", "ArrowDown")) == near(inner[0, strongest[1]])
    counts = numbers(page.locator("#distribution .value"))
    assert counts[0] == (values == 0).sum()
    assert sum(counts) == width
    share = re.findall(r"([\d.]+) %", tip(page, "shares", "End"))[0]
    assert float(share) == pytest.approx(100 * found["encoder_active"][0, -1], abs=0.6)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"query={len(inner)}"))
    end = page.locator("#shares .legend text").last.text_content() or ""
    assert end.endswith(" %")
    assert number(end) == pytest.approx(100 * found["encoder_active"].max(), abs=0.6)


def test_the_steps_of_the_decoder_play_only_when_asked(page: Page, server: Running, found: dict[str, Any]) -> None:
    play = page.get_by_role("button", name="Play")
    opened(page, server, "decoder")
    expect(play).to_have_count(0)  # the browser asks for less motion
    page.emulate_media(reduced_motion="no-preference")
    page.clock.install(time=0)
    opened(page, server, "decoder")
    page.clock.pause_at(HOUR_MS)  # else it goes on while the test waits
    steps = page.locator("#slider-step")
    page.clock.run_for(3 * STEP_MS)
    expect(steps).to_have_value("0")
    play.click()
    page.clock.run_for(2 * STEP_MS)
    expect(steps).to_have_value("2")
    page.get_by_role("button", name="Pause").click()
    page.clock.run_for(2 * STEP_MS)
    expect(steps).to_have_value("2")
    steps.press("End")
    play.click()  # begins anew
    expect(steps).to_have_value("0")
    page.clock.run_for(STEP_MS * (len(found["target_pieces"]) + 1))
    expect(steps).to_have_value(str(len(found["target_pieces"]) - 1))
    expect(play).to_be_visible()


def test_the_temperature_changes_the_output_distribution(page: Page, server: Running, found: dict[str, Any]) -> None:
    position, temperature = 1, 4
    opened(page, server, "output", query=position + 1)
    page.get_by_label("Temperature T").fill(str(temperature))
    expect(page.locator("#distribution figcaption")).to_contain_text("temperature 0.5")
    assert found["temperatures"][temperature] == pytest.approx(0.5)
    normalizer = found["log_normalizers"][position, temperature]
    logits = found["top_logits"][position, :SHOWN]
    shares = np.exp(logits / 0.5 - normalizer)
    texts = page.locator("#distribution .value").all_text_contents()
    assert found["target_pieces"][position] in found["top_pieces"][position][:SHOWN]
    assert [number(text.split("%")[0]) for text in texts[:-1]] == pytest.approx(list(100 * shares), abs=0.6)
    assert [number(text) for text in texts[:-1]] == pytest.approx(logits.tolist(), abs=0.006)
    assert number(texts[-1].split("%")[0]) == pytest.approx(100 - 100 * shares.sum(), abs=0.6)
    label = np.exp(found["chosen_logits"][position] / 0.5 - normalizer)
    assert number(tip(page, "distribution", "Home")) == near(label)


def test_a_link_has_the_temperature_and_the_length_that_were_chosen(page: Page, server: Running) -> None:
    for chapter, label, value, field in (
        ("output", "Temperature T", "4", "temperature=0.5"),
        ("why", "Length n", "128", "length=128"),
    ):
        opened(page, server, chapter)
        slider = page.locator("#inside-view").get_by_label(label)
        usual = slider.input_value()
        assert field.split("=")[0] not in page.url
        slider.fill(value)
        expect(page).to_have_url(re.compile(f"[?&]{field}(&|$)"))
        link = page.url
        page.goto("about:blank")
        page.goto(link)
        expect(slider).to_have_value(value)
        expect(page.locator(".slider output").first).to_contain_text(field.split("=")[1])
        slider.fill(usual)
        expect(page).not_to_have_url(re.compile(field.split("=")[0]))
    opened(page, server, "output", temperature=99)  # the nearest one is shown
    expect(page.get_by_label("Temperature T")).to_have_value("19")
    opened(page, server, "why", length=-5)
    expect(page.locator("#inside-view").get_by_label("Length n")).to_have_value("8")


def test_the_perplexity_and_other_outputs(page: Page, server: Running, found: dict[str, Any]) -> None:
    logarithms = found["chosen_logits"] - found["log_normalizers"][:, AS_TRAINED]
    opened(page, server, "output")
    assert number(page.locator(".equation math").nth(1).text_content() or "") == near(np.exp(-logarithms.mean()))
    assert number(tip(page, "labels", "ArrowDown")) == near(logarithms[1])
    written = [found["beam_output"], found["greedy_output"], *found["sampled_outputs"]]
    assert page.locator("#outputs dd").all_text_contents() == [text or "⟨empty⟩" for text in written]


def test_the_search_grows_as_a_tree(page: Page, server: Running, found: dict[str, Any]) -> None:
    sums, pieces = found["candidate_log_probabilities"], found["candidate_pieces"]
    assert found["search"] == {"beam_size": 2, "length_penalty": 2.0}
    opened(page, server, "search", step=2)
    nodes, slider = page.locator("#search-tree .node"), page.get_by_label("Step of the search")
    expect(nodes).to_have_count(1 + int(np.isfinite(sums[:2]).sum()))
    assert numbers(page.locator("#candidates td:nth-child(3)")) == near(sums[1][np.isfinite(sums[1])])
    assert page.locator("#candidates td:nth-child(5)").all_text_contents() == found["candidate_texts"][1]
    first = tip(page, "search-tree", "ArrowRight")
    assert f"log P = {sums[0, 0]:.3f}".replace("-", inside_page.MINUS) in first
    page.get_by_role("button", name="Play").click()
    expect(slider).to_have_value("3")
    page.get_by_role("button", name="Pause").click()
    slider.fill(str(len(pieces)))
    expect(nodes).to_have_count(1 + int(np.isfinite(sums).sum()))
    expect(page.locator("#search-tree .node.result")).to_have_count(1 + len(found["target_pieces"]))
    finished = [
        (sums[step, rank] / ((5 + step + 1) / 6) ** 2.0, sums[step, rank], step + 1)
        for step, row in enumerate(pieces)
        for rank, piece in enumerate(row)
        if piece == "</s>" and np.isfinite(sums[step, rank])
    ]
    best, *_ = ordered = sorted(finished, reverse=True)
    assert numbers(page.locator("#finished td:nth-child(1)")) == near([score for score, _, _ in ordered])
    assert numbers(page.locator("#finished tr.chosen td.number"))[:3] == near(best)
    assert number(page.locator(".equation math").text_content() or "") == near(best[0])
    assert best[2] == len(found["target_pieces"])


def test_a_greedy_search_of_a_parser_is_a_chain_that_builds_a_tree(page: Page, server: Running) -> None:
    answer = server.ok("/api/inside", {"sentence": SENTENCE, **DIRECTION})
    sums = np.array([[-0.5], [-0.75], [-1.0]], "<f2")
    answer["model"]["task"] = "parsing"
    answer["search"]["beam_size"] = 1
    answer["target_pieces"] = ["<(NP>", " ", "</s>"]
    answer["candidate_pieces"] = [[piece] for piece in answer["target_pieces"]]
    answer["candidate_texts"] = [["(TOP (NP"], ["(TOP (NP (NN rain)"], ["(TOP (NP (NN rain)))"]]
    answer["candidate_parents"] = [[-1], [0], [0]]
    packed = base64.b64encode(sums.tobytes()).decode()
    answer["candidate_log_probabilities"] = {"shape": [3, 1], "float16": packed}
    page.route("**/api/inside", lambda route: route.fulfill(json=answer))
    opened(page, server, "search", step=2)
    expect(page.locator(".chapter")).to_contain_text("one beam, which is greedy search")
    expect(page.locator("#search-tree .node.result")).to_have_text(["⟨start⟩", "<(NP>", "␣"])
    expect(page.locator("#growing-tree .tree")).to_have_text("NP rain")
    expect(page.locator("#growing-tree code")).to_have_text("(TOP (NP (NN rain)))")
    probability = page.locator("#candidates td:nth-child(2)")
    assert number(probability.text_content() or "") == pytest.approx(100 * np.exp(-0.25), abs=0.6)
    expect(page.locator("#finished")).to_have_count(0)


def test_why_self_attention(page: Page, server: Running, found: dict[str, Any]) -> None:
    opened(page, server, "why", query=2, key=4)
    page.locator("#inside-view").get_by_label("Length n").fill("128")
    width, length = found["model"]["model_width"], 128
    rows = [
        [length**2 * width, 1, 1],
        [length * width**2, length, length],
        [3 * length * width**2, 1, 5],  # 5 layers of kernel 3 reach 243 tokens
        [16 * length * width, 1, 8],
    ]
    counts = page.locator("#complexity .count")
    expect(counts.nth(1 * 3 + 1)).to_have_text("128")
    assert np.reshape(numbers(counts), [4, 3]).tolist() == rows
    assert numbers(page.locator("#operations .value")) == [row[0] for row in rows]
    expect(page.locator(".chapter")).to_contain_text("a recurrent network needs 2 steps")
    for query, second in ((1, "⟨end⟩"), (len(found["source_pieces"]), found["source_pieces"][0])):
        page.goto(f"{server.url}/#inside/why?query={query}&key={query}&text={SENTENCE.replace(' ', '+')}")
        inside_page.shown(page, "why")
        assert inside_page.chosen(page, "Second token") == second
        expect(page.locator("#paths figcaption")).to_contain_text(f"{found['source_pieces'][0]} to ⟨end⟩")
    opened(page, server, "why", query=2, key=4)
    assert "in 1 step" in tip(page, "paths", "ArrowDown")
    times = server.ok("/api/inside/timing", {"lengths": [8, 16, 32, 64, 128, 256, 512, 1024], **DIRECTION})
    assert number(tip(page, "times", "End")) == near(times["self_attention"][-1])
    assert number(tip(page, "times", "ArrowDown")) == near(times["recurrent"][-1])
    expect(page.locator("#times figcaption")).to_contain_text(times["device"])


def test_a_saved_page_has_the_times_that_were_saved_with_it(page: Page, server: Running) -> None:
    overview = server.ok("/api/inside", {"sentence": SENTENCE, **DIRECTION})
    timing = {"lengths": [8, 16], "self_attention": [1.0, 2.5], "recurrent": [3.0, 6.0], "runs": 5, "device": "Z80"}
    page.route("**/page/saved.html", lambda route: route.fulfill(body=BLANK, content_type="text/html"))
    one_length = {**timing, "lengths": [8], "self_attention": [1.0], "recurrent": [3.0]}
    for fields, figures, points in (({}, 0, 0), ({"timing": one_length}, 1, 2), ({"timing": timing}, 1, 0)):
        page.goto("about:blank")
        page.goto(f"{server.url}/page/saved.html#inside/why")
        page.evaluate(SHOW_SAVED, {"overview": overview, "layers": {}, **fields})
        expect(page.locator("#paths")).to_be_visible()
        expect(page.locator("#times")).to_have_count(figures)
        expect(page.locator("#times circle.point")).to_have_count(points)
    assert number(tip(page, "times", "End")) == 2.5
    expect(page.get_by_role("heading", name="Measured")).to_have_text("Measured when this file was written")
