"""Chapters of the view "Inside the Transformer": embeddings, positions, heads of attention, its maps, the decoder."""

import base64
import re
import unicodedata
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.app.server.http import inside_page
from tests.app.server.http.inside_page import DIRECTION, SENTENCE, chosen, decoded, head, near, number, opened, tip
from tests.app.server.serving import Running

page, found = inside_page.page, inside_page.found
SHOWN = 10  # products of an entry
AS_TRAINED = 9  # index of temperature 1
LEAST = 0.02  # weight that has a line
NONE = "\N{EN DASH}"


def numbers(cells: Locator) -> list[float]:
    return [number(text) for text in cells.all_text_contents()]


@pytest.fixture
def two_layers(page: Page, server: Running) -> dict[str, Any]:
    """The answer of the server with a second layer, which has the heads, or for "cross" the keys, in reverse order."""
    answer = server.ok("/api/inside", {"sentence": SENTENCE, **DIRECTION})
    changed = decoded(answer)
    for stack, turned in (("encoder", np.s_[:, ::-1]), ("decoder", np.s_[:, ::-1]), ("cross", np.s_[..., ::-1])):
        maps = changed[f"{stack}_attention"]
        changed[f"{stack}_attention"] = maps = np.concatenate([maps, maps[turned]])
        data = base64.b64encode(maps.astype("<f2").tobytes()).decode()
        answer[f"{stack}_attention"] = {"shape": maps.shape, "float16": data}
    answer["model"] |= {"encoder_layers": 2, "decoder_layers": 2}
    page.route("**/api/inside", lambda route: route.fulfill(json=answer))
    return changed


def test_the_embedding_is_that_of_the_token(page: Page, server: Running, found: dict[str, Any]) -> None:
    opened(page, server, "embedding")
    tokens = page.get_by_role("radiogroup", name="Source").get_by_role("radio")
    most_similar = int(found["source_cosines"][:, 0].argmax())
    expect(tokens.nth(most_similar)).to_be_checked()
    for token in (0, 1):
        tokens.nth(token).click()
        expect(page).to_have_url(re.compile(f"query={token + 1}"))
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


def test_positions_are_waves_that_are_added_to_embeddings(page: Page, server: Running, found: dict[str, Any]) -> None:
    encodings = found["positional_encodings"]
    width = encodings.shape[1]
    opened(page, server, "positions", kind="encoder", query=3, dimension=6)
    assert number(tip(page, "positions")) == near(encodings[2, 5])
    assert number(tip(page, "pair", "Home", "ArrowRight")) == near(encodings[1, 4])
    assert number(tip(page, "pair", "ArrowDown")) == near(encodings[1, 5])
    lengths = np.linalg.norm(encodings, axis=1)
    cosines = encodings @ encodings.T / np.outer(lengths, lengths)
    assert number(tip(page, "similar-matrix", "ArrowUp")) == near(cosines[1, 2])
    assert number(tip(page, "similar-positions", "End")) == near(cosines[2, -1])
    before = head(server, found, "encoder", 0)["before"][0, 2]
    read = width**0.5 * found["source_embeddings"][2] + encodings[2]
    assert read.tolist() == pytest.approx(before.tolist(), abs=0.01)
    assert number(tip(page, "sum", "ArrowDown", "ArrowDown", "ArrowRight")) == near(read[1])
    page.locator("#slider-pair").press("End")
    assert number(tip(page, "pair", "Home", "ArrowRight")) == near(encodings[1, width - 2])
    page.get_by_role("radiogroup", name="Target").get_by_role("radio").nth(1).click()
    read = width**0.5 * found["target_embeddings"][1] + encodings[1]
    assert number(tip(page, "sum", "ArrowDown", "ArrowDown", "End")) == near(read[-1])


@pytest.mark.parametrize(("kind", "rows"), [("decoder", (1, 1)), ("cross", (1, 2))])
def test_queries_keys_and_values_are_products(
    page: Page, server: Running, found: dict[str, Any], kind: str, rows: tuple[int, int]
) -> None:
    details = head(server, found, kind, 1)
    opened(page, server, "query-key-value", kind=kind, head=2, query=2, key=3, vector="key", dimension=4)
    letters = "x" if kind != "cross" else "xdecoder"
    expect(page.locator(".equation").first).to_contain_text(f"q={letters}WQ")
    names = {"key": details["key_input"][rows[1]], "query": details["query_input"][rows[0]]}
    for name, x in names.items():
        page.get_by_role("radiogroup", name="Vector").get_by_role("radio", name=name.title()).click()
        result, weights = details[name][rows[name == "key"]], details[f"{name}_matrix"][:, 3]
        products = x * weights
        assert products.sum() == pytest.approx(result[3], abs=0.01)
        figure = "projection-key" if (kind, name) == ("cross", "key") else "projection-query"
        assert number(tip(page, figure)) == near(result[3])  # the cursor is at the chosen number
        assert number(tip(page, figure, "Home", "ArrowRight")) == near(products[1])
        largest = products[np.argsort(-np.abs(products), kind="stable")][:SHOWN]
        assert numbers(page.locator("#products .value")) == near(largest)
        assert numbers(page.locator("#entry td")) == near(
            [largest.sum(), products.sum() - largest.sum(), products.sum()]
        )
        assert number(page.locator(".equation").last.text_content() or "") == near(result[3])
    page.locator("#slider-entry").press("ArrowLeft")
    expect(page).to_have_url(re.compile("dimension=3"))
    assert number(tip(page, "projection-query")) == near(details["query"][rows[0], 2])


def column(page: Page, name: str) -> list[float]:
    """Returns a column of the table of all keys."""
    return [number(text) for text in page.locator(f"#keys tbody td[data-column='{name}']").all_text_contents()]


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
    seen = np.isfinite(scaled)
    both = [np.exp(one[seen]) / np.exp(one[seen]).sum() for one in (scores, scaled)]
    shares = numbers(page.locator("#both-weights .value"))
    assert shares == pytest.approx((100 * np.transpose(both)).ravel().tolist(), abs=0.6)
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


def is_separator(piece: str) -> bool:
    mark = piece.replace("▁", "")
    return piece == "</s>" or (mark != "" and all(unicodedata.category(sign).startswith("P") for sign in mark))


@pytest.mark.parametrize("kind", [pytest.param("encoder", marks=pytest.mark.slow), "decoder", "cross"])
def test_what_heads_do_is_measured(page: Page, server: Running, two_layers: dict[str, Any], kind: str) -> None:
    keys = ["", *two_layers["target_pieces"][:-1]] if kind == "decoder" else two_layers["source_pieces"]
    maps = two_layers[f"{kind}_attention"]
    opened(page, server, "heads", kind=kind, layers="all")
    rows = page.locator("#measures tbody tr")
    expect(rows).to_have_count(maps.shape[0] * maps.shape[1])
    for row, weights in zip(rows.all(), maps.reshape(-1, *maps.shape[2:]), strict=True):
        used = weights[1:] if kind == "decoder" else weights  # the first query of the decoder can only attend to itself
        offset = len(weights) - len(used)
        diagonals = [np.trace(used, offset + shift) / len(used) for shift in (-1, 0, 1)]
        separators = used[:, [is_separator(key) for key in keys]].sum() / len(used)
        shares = [*diagonals, used[:, 0].mean(), separators]
        shown = row.locator("td.number").all_text_contents()
        for text, share in zip(shown[:-1], shares, strict=True):
            assert (0 if text == NONE else number(text)) == pytest.approx(100 * share, abs=0.6)
        entropies = -(used * np.log(np.maximum(used, 1e-30))).sum(axis=1)
        tokens = np.exp(entropies).mean()
        assert number(shown[-1]) == pytest.approx(tokens, abs=0.006)
        doing = row.locator("td").first.text_content() or ""
        assert number(doing) == pytest.approx(100 * max(shares) if max(shares) > 0.5 else tokens, abs=0.6)
        assert doing.startswith("spread over") == (max(shares) <= 0.5)
    page.locator("#heads .cursor").press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert chosen(page, "Head") == "2"
    expect(rows.nth(maps.shape[1] + 1)).to_have_class("chosen")
    page.get_by_role("radiogroup", name="Layer").get_by_role("radio", name="2").click()
    expect(rows).to_have_count(maps.shape[1])
    expect(rows.nth(1)).to_have_class("chosen")


def test_the_attention_maps_show_all_weights(page: Page, server: Running, found: dict[str, Any]) -> None:
    source, target = found["source_pieces"][0], found["target_pieces"][0]
    strong = {"encoder": [source] * 2, "decoder": ["⟨start⟩"] * 2, "cross": [target, source]}  # the row and the key
    first = f"reads ⟨start⟩ and predicts {found['target_pieces'][0]}"
    for kind, chapter in (("encoder", "self-attention"), ("decoder", "masked-attention"), ("cross", "cross-attention")):
        opened(page, server, chapter, head=2)
        for figure in ("attention-map", "attention-lines"):
            caption = page.locator(f"#{figure} figcaption")
            expect(caption).to_contain_text("sums to 1" if figure == "attention-map" else "thicker line")
            assert (first in (caption.text_content() or "")) == (kind != "encoder")
            assert sorted(page.locator(f"#{figure} .strong").all_text_contents()) == sorted(strong[kind])
        weights = found[f"{kind}_attention"][0, 1]
        assert page.locator("#attention-map .cells rect").count() == weights.size
        percent = number(tip(page, "attention-map", "ArrowDown", "ArrowRight"))
        assert percent == pytest.approx(100 * weights[1, 1], abs=0.6)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("query=2&key=2"))


def test_the_mean_of_heads_is_shown_and_the_masks(page: Page, server: Running, found: dict[str, Any]) -> None:
    opened(page, server, "masked-attention", query=2)
    page.get_by_role("radiogroup", name="Head").get_by_role("radio", name="Mean").click()
    mean = found["decoder_attention"][0].mean(axis=0)
    expect(page.locator("#attention-lines .weight")).to_have_count(int((mean >= LEAST).sum()))
    assert number(tip(page, "attention-map", "ArrowDown")) == pytest.approx(100 * mean[2, 0], abs=0.6)
    strongest = np.sort(mean[2])[-3]
    assert number(tip(page, "attention-lines", "ArrowDown")) == pytest.approx(100 * strongest, abs=0.6)
    cells = [text for text in page.locator("#masks text").all_text_contents() if " of " in text]
    source, target = len(found["source_pieces"]), len(found["target_pieces"])
    allowed = np.tril(np.ones((target, target))).sum()
    assert cells == [f"{n} of {m}" for n, m in ((source**2,) * 2, (int(allowed), target**2), (source * target,) * 2)]
    page.locator("#masks .cursor").press("ArrowLeft")
    page.keyboard.press("Enter")
    inside_page.shown(page, "self-attention")
    assert chosen(page, "Head") == "Mean"


def test_the_source_token_that_each_step_looks_at(page: Page, server: Running, two_layers: dict[str, Any]) -> None:
    means = two_layers["cross_attention"].mean(axis=1)  # [layers, queries, keys]
    best, weights = means.argmax(axis=2), means.max(axis=2)
    opened(page, server, "cross-attention", query=2)
    assert numbers(page.locator("#looked-at .share")) == pytest.approx((100 * weights).ravel().tolist(), abs=0.6)
    tips = [tip(page, "looked-at", *["ArrowDown"] * min(step, 1)) for step in range(len(best[0]) - 1)]
    places = [int(re.findall(r"\(place (\d+)\)", text)[0]) - 1 for text in tips]
    assert places == best[0, 1:].tolist()  # from the second step, which is chosen
    expect(page.locator("#looked-at .strong").first).to_have_text("Layer 2")  # the last of two
    moves = np.sign(np.diff(best[1])).tolist()
    expect(page.locator("p", has_text="strongest source token")).to_contain_text("In the mean of the heads of layer 2")
    expect(page.locator("p", has_text="alignments are read")).to_contain_text("Layer 2 often looks")
    answer = page.locator("p", has_text="strongest source token").text_content() or ""
    times = [1 if text == "once" else int(text.split()[0]) for text in re.findall(r"once|\d+ times", answer)]
    assert times == [moves.count(1), moves.count(0), moves.count(-1)]
    page.locator("#looked-at .cursor").press("ArrowRight")
    page.keyboard.press("Enter")
    assert (chosen(page, "Layer"), chosen(page, "Head")) == ("2", "Mean")
    expect(page).to_have_url(re.compile(f"key={best[1, -1] + 1}"))
    assert number(tip(page, "attention-map")) == pytest.approx(100 * weights[1, -1], abs=0.6)


def products(model: dict[str, Any], new: int, length: int, source: int, projected: int) -> int:
    """Multiplications for `new` positions that attend to `length`, if the keys of `projected` source tokens are new."""
    width, inner = model["model_width"], model["inner_width"]
    shapes = [(new, width, width)] * 4 + [(new, width, length), (new, length, width)]
    shapes += [(new, width, width)] * 2 + [(projected, width, width)] * 2
    shapes += [(new, width, source), (new, source, width), (new, width, inner), (new, inner, width)]
    count = sum(int(np.prod(shape)) for shape in shapes)
    return count * model["decoder_layers"] + width * model["vocabulary_size"]


def test_the_decoder_writes_one_token_at_a_time(page: Page, server: Running, found: dict[str, Any]) -> None:
    model, source, layers = found["model"], len(found["source_pieces"]), found["model"]["decoder_layers"]
    opened(page, server, "decoder", query=2)
    tokens = page.get_by_role("list", name="Tokens so far").get_by_role("listitem")
    page.get_by_role("button", name="Next", exact=True).click()  # to the third step
    expect(tokens).to_have_text(["⟨start⟩", *found["target_pieces"][:3]])
    counts = page.locator("#counts tbody").first
    assert numbers(counts.locator("[data-column=with]")) == [2 * layers * n for n in (2, source, 1, 0)]
    assert numbers(counts.locator("[data-column=without]")) == [2 * layers * n for n in (0, 0, 3, source)]
    sums = [products(model, 1, 3, source, 0), products(model, 3, 3, source, source)]
    assert numbers(page.locator("#counts tfoot td")) == sums
    for name in ("with", "without"):
        parts = numbers(page.locator("#counts tbody").last.locator(f"[data-column={name}]"))
        assert sum(parts) == sums[name == "without"]
    details = head(server, found, "decoder", 0)
    assert number(tip(page, "cached-keys", "ArrowDown", "ArrowRight")) == near(details["key"][1, 1])
    assert number(tip(page, "cached-values", "ArrowDown", "ArrowDown")) == near(details["value"][2, 0])
    expect(page.locator("#cached-keys text:not(.axis)")).to_have_count(3)
    assert tip(page, "cache").endswith("computed in this step")
    assert tip(page, "cache", "Home").endswith("computed in step 1, in the cache")
    assert tip(page, "cache", "End").endswith("not computed yet")
    shares = np.exp(found["top_logits"][2] - found["log_normalizers"][2, AS_TRAINED])
    shown = numbers(page.locator("#produced .value"))
    assert shown[:6] == pytest.approx((100 * shares[:6]).tolist(), abs=0.6)
    own = np.exp(found["chosen_logits"][2] - found["log_normalizers"][2, AS_TRAINED])
    expect(page.locator("p", has_text="with a probability of")).to_contain_text(found["target_pieces"][2])
    said = page.locator("p", has_text="with a probability of").text_content() or ""
    assert number(re.findall("probability of ([^%]*)%", said)[0]) == pytest.approx(100 * own, abs=0.6)
