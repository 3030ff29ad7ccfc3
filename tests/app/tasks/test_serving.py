"""The server with models of several tasks: its interfaces, and its page in a real browser."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from keras_nmt.app.inside.inspected_run import InspectedRun, loaded_without_dropout
from keras_nmt.app.models.exports import ExportModel
from keras_nmt.app.server.engine.translation import MAX_SENTENCE_CHARACTERS, SPLITTERS
from keras_nmt.app.server.engine.versions import Version
from keras_nmt.app.server.errors import TooLargeError
from keras_nmt.app.tasks.known import TASKS
from tests.app.server.http.inside_page import shown, without_violations
from tests.app.server.serving import Running, serving
from tests.app.tasks.corpora import LONG, PAIRS
from tests.app.traced_once import exports_loaded_once

TEXT = PAIRS[0][0]  # three sentences
WORDS = {"source": "words", "target": "tree"}
SUMMARY = {"source": "text", "target": "summary"}
CHROMIUM = shutil.which("chromium")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium")
pytestmark = pytest.mark.timeout(900)  # the first test may make both runs and exports

Outputs = Callable[..., list[str]]


@pytest.fixture(scope="module", autouse=True)
def loaded_once() -> Iterator[None]:
    with exports_loaded_once(), mock.patch.object(Version, "warm_up", return_value=None):
        yield


@pytest.fixture(scope="module")
def server(parser_export: Path, summary_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with a parser and a summarizer, and no model that translates."""
    folder = tmp_path_factory.mktemp("tasks")
    for export in (parser_export, summary_export):
        (folder / export.name).symlink_to(export)
    with serving(folder) as running:
        yield running


@pytest.fixture(scope="module")
def summaries(summary_export: Path) -> Outputs:
    translator = ExportModel(summary_export / "1", {}).translator()
    return lambda *texts: [one.text for one in translator.translate(texts)]


@pytest.fixture(scope="module")
def trees(parser_export: Path) -> Outputs:
    translator = ExportModel(parser_export / "1", {}).translator()
    return lambda *texts: [one.text for one in translator.translate(texts)]


# The interfaces


def test_the_list_of_models_says_their_tasks(server: Running) -> None:
    parser, summarizer = server.ok("/api/models")
    assert (parser["name"], parser["source"]["code"], parser["target"]["code"]) == ("parser", "words", "tree")
    assert {name: parser["task"][name] for name in ("name", "verb", "output", "display", "inside")} == {
        "name": "parsing",
        "verb": "parse",
        "output": "tree",
        "display": "tree",
        "inside": True,
    }
    assert summarizer["task"]["heading"] == "Summarize"
    assert (summarizer["task"]["inside"], summarizer["task"]["alternatives"]) == (True, False)
    assert not summarizer["task"]["between_languages"]


def test_a_text_is_summarized_as_a_whole(server: Running, summaries: Outputs) -> None:
    text = TEXT.replace(". ", ".\n\n")
    found = server.ok("/api/translate", {"text": f" {text}\n", "words": False, **SUMMARY})
    (sentence,) = found["sentences"]
    assert sentence["source"] == text
    assert found["translation"] == f" {summaries(text)[0]}\n"
    (cut,) = server.ok("/api/translate", {"text": LONG, **SUMMARY})["sentences"]
    assert "cut" in cut["warnings"]


def test_each_line_is_parsed_as_a_sentence(server: Running, trees: Outputs) -> None:
    found = server.ok("/api/translate", {"text": "They can't sleep. Really.\n\nWhy (not)?", "words": False, **WORDS})
    first, second = trees("They ca n't sleep. Really .", "Why -LRB- not -RRB- ?")
    assert found["translation"] == f"{first}\n\n{second}"
    assert re.search(r"\(\S+ n't\)", first)


def test_trees_are_streamed(server: Running, trees: Outputs) -> None:
    answer = server.post("/api/stream", {"text": "It rains.\nWhy?", "words": False, **WORDS})
    found = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith('data: {"number')]
    assert {one["number"]: one["text"] for one in found} == dict(enumerate(trees("It rains .", "Why ?")))


def test_a_line_that_is_too_long_is_refused(server: Running) -> None:
    answer = server.post("/api/translate", {"text": f"a\n{'a ' * 1001}b", **WORDS})
    assert (answer.status_code, answer.json()["error"]) == (
        413,
        "a line has 2003 characters; at most 2000 can be read at once",
    )
    answer = server.post("/v1/models/parser:predict", {"instances": ["a " * 2001]})
    assert (answer.status_code, answer.json()["error"]) == (413, "a string in texts may have at most 4000 bytes")


@pytest.mark.parametrize("name", TASKS)
def test_the_pieces_of_a_text_joined_are_the_text(name: str) -> None:
    split = SPLITTERS[TASKS[name].piece]
    for text in ("", " \n ", " One. Two.\r\n\n Three.  ", "a\u2028b\n"):
        assert "".join(one.before + one.source + one.after for one in split(text)) == text
    with pytest.raises(TooLargeError):
        SPLITTERS["line"]("a" * (MAX_SENTENCE_CHARACTERS + 1))


@pytest.mark.parametrize(("roles", "shown"), [(WORDS, "They ca n't sleep ."), (SUMMARY, "They can't sleep.")])
def test_the_page_gets_what_a_model_computes(server: Running, roles: dict[str, str], shown: str) -> None:
    sentence = "They can't sleep."
    found = server.ok("/api/inside", {"sentence": sentence, **roles})
    assert (found["sentence"], found["is_cut"]) == (shown, False)
    assert found["translation"] == found["beam_output"]
    steps, candidates = found["candidate_log_probabilities"]["shape"]
    assert (len(found["candidate_parents"]), len(found["candidate_texts"][0])) == (steps, candidates)
    ids = {name: found[name] for name in ("source_ids", "target_ids")}
    layer = server.ok("/api/inside/layer", {**ids, "kind": "cross", "layer": 0, "head": 1, **roles})
    assert layer["weights"]["shape"] == [len(found["target_ids"]), len(found["source_ids"])]
    assert found["model"]["copying"] == (roles is SUMMARY)


def test_the_search_of_trees_is_shown(server: Running, trees: Outputs) -> None:
    found = server.ok("/api/inside", {"sentence": "It rains.", **WORDS})
    assert found["translation"] == trees("It rains .")[0]
    assert found["model"]["task"] == "parsing"
    assert {text[:1] for row in found["candidate_texts"] for text in row} <= {"(", ""}
    cut = server.ok("/api/inside", {"sentence": "It rains and " * 40, **WORDS})
    assert cut["is_cut"]
    assert len(cut["source_ids"]) == 64
    assert cut["sentence"].startswith("It rains and It rains")
    leaves = re.findall(r"\(\S+ [^()]+\)", cut["translation"])
    assert len(leaves) == cut["source_pieces"].count("<XX>") < 120


def test_the_rest_interface_of_tensorflow_serving_works(server: Running, trees: Outputs, summaries: Outputs) -> None:
    for name, text, outputs in (("parser", "it rains .", trees), ("summarizer", TEXT, summaries)):
        (found,) = server.ok(f"/v1/models/{name}:predict", {"instances": [text]})["predictions"]
        assert found["translations"] == outputs(text)[0]


def test_libretranslates_interface_is_for_translation(server: Running) -> None:
    expected = (
        "no model here translates: parser is a model of parsing, summarizer is a model of summarization; "
        "use POST /api/translate"
    )
    for fields in (SUMMARY, {"source": "auto", "target": "de"}):
        answer = server.post("/translate", {"q": TEXT, **fields})
        assert (answer.status_code, answer.json()["error"]) == (400, expected)
    answer = server.post("/translate_file", data=SUMMARY, files={"file": ("a.txt", b"a")})
    assert answer.json()["error"] == expected
    assert server.ok("/languages") == []
    assert not server.ok("/frontend/settings")["filesTranslation"]


def test_a_pair_of_another_task_beside_a_translation_model_is_refused(
    export: Path, summary_export: Path, tmp_path: Path
) -> None:
    for one in (export, summary_export):
        (tmp_path / one.name).symlink_to(one)
    with serving(tmp_path) as running:
        assert running.post("/translate", {"q": "It rains.", "source": "en", "target": "de"}).status_code == 200
        answer = running.post("/translate", {"q": TEXT, **SUMMARY})
        assert answer.json()["error"] == "text-summary is summarization, not translation; use POST /api/translate"
        assert {one["code"] for one in running.ok("/languages")} == {"en", "de"}


# The page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=60_000)  # the first call of a signature is slow
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, server: Running) -> Iterator[Page]:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    context.set_default_timeout(60_000)  # a busy machine loads the page slowly
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(server.url)
    expect(page.locator("#task option")).to_have_text(["Parse", "Summarize"])
    yield page
    context.close()
    assert errors == []


def filled(page: Page, label: str, text: str) -> None:
    """Types a text and waits for the output."""
    with page.expect_request("**/api/stream"):
        page.get_by_label(label).fill(text)
    expect(page.locator("#translation")).to_have_attribute("aria-busy", "false")


def serious_violations(page: Page) -> list[Any]:
    found = Axe().run(page)
    return [one for one in found.response["violations"] if one["impact"] in ("serious", "critical")]


@needs_chromium
def test_a_tree_is_drawn(page: Page, trees: Outputs) -> None:
    expect(page).to_have_title("nmt: parse")
    filled(page, "Sentence to parse", "It (really) rains.\nWhy?")
    drawn = page.get_by_role("region", name="Tree").locator(".parse")
    expect(drawn).to_have_count(2)
    first, second = trees("It -LRB- really -RRB- rains .", "Why ?")
    expect(drawn.first.locator(".leaf")).to_have_text(["It", "(", "really", ")", "rains", "."])
    expect(drawn.first.locator("abbr")).to_have_count(len(re.findall(r"\((?!TOP)\S+ (?=\()", first)))
    expect(drawn.first.locator("code")).to_have_text(first)
    page.get_by_role("button", name="Copy").click()
    expect(page.locator("#status")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == f"{first}\n{second}"
    assert serious_violations(page) == []
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@needs_chromium
@pytest.mark.slow
@pytest.mark.parametrize("task", ["Parse", "Summarize"])
def test_axe_finds_nothing_in_any_chapter_of_another_task(page: Page, server: Running, task: str) -> None:
    page.locator("#task").select_option(label=task)
    page.evaluate("location.hash = '#inside/overview?text=It+rains+today.'")
    expect(page.locator("#chapter h2")).to_be_visible()
    assert len(without_violations(page)) > 10
    page.evaluate("location.hash = '#inside/cross-attention?text=It+rains+today.'")
    shown(page, "cross-attention")
    answer = "It is told." if task == "Parse" else "It keeps no pointer."
    expect(page.locator("#chapter")).to_contain_text(answer)
    expect(page.locator("#chapter")).not_to_contain_text("translated")
    expect(page.locator("#looked-at")).not_to_contain_text("alignment")


DRAW = """async (text) => {
    const { drawTree } = await import("./page/tree.js");
    const outline = (list) => [...list.children].map((item) => item.className === "leaf"
        ? item.textContent : [item.firstChild.textContent, item.firstChild.title, ...outline(item.lastChild)]);
    return outline(drawTree(text).querySelector(".tree"));
}"""


@needs_chromium
def test_the_lists_are_nested_as_the_brackets(page: Page) -> None:
    text = "(TOP (S (NP (XX the) (XX cat)) (VP (XX <b>) (PP (XX on) (NEW (XX -LRB-))))))"
    assert page.evaluate(DRAW, text) == [
        [
            *("S", "clause", ["NP", "noun phrase", "the", "cat"]),
            ["VP", "verb phrase", "<b>", ["PP", "prepositional phrase", "on", ["NEW", "", "("]]],
        ]
    ]


def test_a_training_step_of_a_parser_takes_a_tree(server: Running, parser_run: Path) -> None:
    server.service.inspected_run = InspectedRun(loaded_without_dropout(parser_run))
    step = {"step": 4, "sentence": "It doesn't rain.", **WORDS}
    tree = "(TOP (S (NP (X It)) (VP (X does) (X n't) (X rain)) (. .)))"
    found = server.ok("/api/inside/step", {**step, "reference": tree})
    assert found["target_pieces"][-2:] == ["<)S>", "</s>"]
    assert found["loss"] > 0
    refused = server.post("/api/inside/step", {**step, "reference": "(TOP (S (X It)))"})
    reason = "the words of the tree are 'It', those of the source \"It does n't rain .\""
    assert (refused.status_code, refused.json()) == (400, {"error": reason})
    server.service.inspected_run = None


@needs_chromium
def test_what_only_translations_have_is_hidden(page: Page) -> None:
    for part in ("#languages", "#swap", "#file", "#swap-hint", "#list-hint"):
        expect(page.locator(part)).to_be_hidden()
    page.get_by_label("Task").select_option("Summarize")
    expect(page.get_by_role("tab", name="Summarize")).to_be_visible()
    expect(page.locator("#languages")).to_be_hidden()


@needs_chromium
def test_a_text_is_summarized_on_the_page(page: Page, server: Running, summaries: Outputs) -> None:
    page.get_by_label("Task").select_option("Summarize")
    filled(page, "Text to summarize", TEXT)
    summary = page.get_by_role("region", name="Summary")
    expect(summary).to_have_text(
        " ".join(server.ok("/api/translate", {"text": TEXT, **SUMMARY})["translation"].split())
    )
    expect(page.get_by_role("button", name="Copy")).to_have_attribute("title", "Copy the summary (Alt+C)")
    assert summary.get_by_role("button").count() == 0  # words offer no alternatives
    expect(page).to_have_url(f"{server.url}/#source=text&target=summary&q={TEXT.replace(' ', '+')}")
    filled(page, "Text to summarize", LONG)
    expect(page.locator("#status")).to_contain_text("Check the summary: ")
    expect(page.locator("#status")).to_contain_text("the end of the text was not read")
    assert serious_violations(page) == []
    page.goto(f"{server.url}/#source=words&target=tree&q=It+rains.")  # a link changes the task
    expect(page.get_by_label("Sentence to parse")).to_have_value("It rains.")
    expect(page.locator(".parse .leaf")).to_have_text(["It", "rains", "."])
    page.get_by_text("History").click()
    page.get_by_role("button", name=LONG[:30]).click()
    expect(page.get_by_label("Text to summarize")).to_have_value(LONG)
