"""Exports of language models, and the server with one: the card, the interfaces, and the page in a real browser."""

import json
import math
import shutil
import subprocess
import sys
import threading
import time
import unicodedata
from ast import literal_eval
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import pytest
import tensorflow as tf
import yaml
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from keras_nmt.app.decoding.generation.generator import Chunk, Part
from keras_nmt.app.exporting import generation
from keras_nmt.app.inside.inspected_run import InspectedRun, loaded_without_dropout
from keras_nmt.app.server.engine.generation import MAX_TEXTS, Writer
from keras_nmt.app.server.engine.limits import ApiKeys, add_api_key
from keras_nmt.app.server.engine.versions import Version
from keras_nmt.app.server.errors import FAILED, BusyError
from tests.app.command_line import Done, nmt, succeeded, train_arguments
from tests.app.conftest import once
from tests.app.server.http.inside_page import PHONE, without_violations
from tests.app.server.serving import Running, events_of, logged_failures, serving
from tests.app.traced_once import exports_loaded_once, on_one_device

VERSE = "The cat sat on the mat,\nthe dog lay by the door.\n\n\tA bird sang  twice.\n"
CHROMIUM = shutil.which("chromium")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium")
pytestmark = pytest.mark.timeout(900)  # the first test may make the run and the export
WARM_UP = Version.warm_up  # the fixtures replace it
ALONE = """
import sys
import tensorflow as tf
import tensorflow_text
model = tf.saved_model.load(sys.argv[1])
print(repr(model.generate([sys.argv[2]], seeds=[7], max_tokens=9)["texts"].numpy()[0, 0].decode()))
print(float(model.score([sys.argv[2]])["log_probabilities"][0]))
assert not any(name.startswith(("keras_nmt", "sentencepiece")) for name in sys.modules)
"""


@pytest.fixture(scope="module")
def verses(road: Path) -> Path:
    """A folder with the run of a small language model."""
    folder = road / "verses"

    def make() -> Done:
        folder.mkdir()
        (folder / "train.txt").write_text(VERSE * 60)
        (folder / "dev.txt").write_text(VERSE)
        specs = ("--corpus", f"text:{folder / 'train.txt'}", "--dev", f"text:{folder / 'dev.txt'}")
        sizes = ("--units", "characters", "--max-tokens", "32", "--skip-filter", "held_out", "--workers", "1")
        succeeded(nmt("prepare", "--task", "language-model", *specs, *sizes, "--out", folder / "data"))
        settings = ("training.max_length=32", "decoding.max_source_tokens=31", "decoding.max_extra_tokens=20")
        with on_one_device():
            succeeded(nmt(*train_arguments(folder / "data", folder / "run", *settings)))
        return nmt("evaluate", folder / "run", "--test-set", f"text:{folder / 'dev.txt'}")

    once(road, "verses", make)
    return folder


@pytest.fixture(scope="module")
def verse_export(road: Path, verses: Path) -> Path:
    """The language model as a SavedModel, version 1."""
    out = verses / "verse"
    with mock.patch.object(generation, "check_in_fresh_process", return_value=None):  # a slow test loads it in one
        once(road, "verse-export", lambda: nmt("export", verses / "run", "--out", out, "--precision", "float32"))
    return out


@pytest.fixture(scope="module")
def server(verse_export: Path) -> Iterator[Running]:
    with exports_loaded_once(), mock.patch.object(Version, "warm_up", return_value=None), serving(verse_export) as one:
        yield one


# The export


def test_an_export_generates_as_its_run(verses: Path, verse_export: Path) -> None:
    options = ("--prompt", "The cat", "--max-tokens", "40", "--seed", "3", "--temperature", "0.7", "--stop", "zz")
    by_run, by_export = (succeeded(nmt("generate", model, *options)).out for model in (verses / "run", verse_export))
    assert by_export == by_run
    assert by_run.startswith("The cat")
    assert len(by_run) > 30


@pytest.mark.slow
def test_the_saved_model_needs_only_tensorflow_and_tensorflow_text(verse_export: Path) -> None:
    given = (sys.executable, "-I", "-c", ALONE, str(verse_export / "1"), "The dog")
    text, score = subprocess.run(given, capture_output=True, text=True, check=True).stdout.splitlines()
    options = ("--prompt", "The dog", "--max-tokens", "9", "--seed", "7")
    assert succeeded(nmt("generate", verse_export, *options)).out == f"The dog{literal_eval(text)}\n"
    assert -8 * 6.0 < float(score) < 0.0


def test_an_ensemble_of_runs_scores_generates_and_is_exported(verses: Path, tmp_path: Path) -> None:
    run, dev = verses / "run", f"text:{verses / 'dev.txt'}"
    both = ("--ensemble", f"{run}:2")
    alone, older, together = (
        json.loads(succeeded(nmt("evaluate", run, *which, "--test-set", dev, "--json")).out)["nats_per_token"]
        for which in ((), ("--checkpoint", "2"), both)
    )
    assert together < (alone + older) / 2  # the logarithm of a mean is above the mean of logarithms
    out, options = tmp_path / "export", ("--prompt", "The cat", "--max-tokens", "9", "--seed", "3")
    with mock.patch.object(generation, "check_in_fresh_process", return_value=None):
        succeeded(nmt("export", run, *both, "--out", out, "--precision", "float32"))
    written = succeeded(nmt("generate", out, *options)).out
    assert written == succeeded(nmt("generate", run, *both, *options)).out != ""


def test_a_member_of_an_ensemble_must_fit(verses: Path, tmp_path: Path) -> None:
    run, short = verses / "run", tmp_path / "short"
    shutil.copytree(run, short)
    configuration = short / "config.toml"
    configuration.write_text(configuration.read_text().replace("max_source_tokens = 31", "max_source_tokens = 15"))
    done = nmt("generate", run, "--ensemble", short)
    expected = f"{short} sees 15 tokens, fewer than the 31 of {run}; give {short} as the model, and the other as its "
    assert done.complaints == [f"nmt generate: {expected}--ensemble"]


def test_the_wrong_verb_names_the_right_one(verse_export: Path) -> None:
    done = nmt("translate", verse_export, stdin=b"a\n")
    assert done.complaints == [f"nmt translate: {verse_export} is a model of language-model; use nmt generate"]


def test_what_a_language_model_does_not_have_is_refused(verses: Path, tmp_path: Path) -> None:
    run = verses / "run"
    done = nmt("export", run, "--out", tmp_path / "export", "--beam-size", "2")
    expected = "--beam-size is for models that search; a language model draws its text"
    assert done.complaints == [f"nmt export: {expected}"]
    done = nmt("export", run, "--out", tmp_path / "export", "--format", "ctranslate2")
    assert done.complaints == ["nmt export: CTranslate2 does not do language-model; use TensorFlow"]


def test_the_card_is_in_the_words_of_language_modelling(verse_export: Path, verses: Path) -> None:
    _, front, body = (verse_export / "1" / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    assert yaml.safe_load(front) == {
        "license": "unknown",
        "pipeline_tag": "text-generation",
        "tags": ["language-model", "transformer", "tensorflow"],
        "metrics": ["perplexity"],
    }
    for expected in (
        "# Language model\n\nA Transformer ",
        "It was not trained to follow instructions",
        "| task | language-model: prompt to text |",
        "up to 20 tokens; each call can change this |\n| context | at most the last 31 tokens; of a longer text, ",
        "between 16 and 31 of its last tokens |\n",
        "## Texts\n\nWritten by the model with the seed 0, each after a beginning of a line of the dev set.",
        "| prompt | text | score |\n| --- | --- | --- |\n",
        f"| train | `text:train.txt` | 1 | {len(VERSE.split()) * 60:,} | {len(VERSE) * 60:,} | ",
        "| test set | words | characters | perplexity | perplexity a word | bits a character |\n",
        f"| `text:dev.txt` | {len(VERSE.split())} | {len(VERSE)} | ",
        "| step | perplexity | bits a character | loss |\n| --- | --- | --- | --- |\n| 4 | ",
        "1 decoder layer of width 32 with 2 heads, 64 wide inside, normalised before each sublayer; there is no ",
        "encoder, and input and output share one embedding. Trained for",
        "- It sees at most the last 31 tokens of a text",
        "model.generate([",
    ):
        assert expected in body
    assert all(unicodedata.category(one) != "Cc" or one in "\n\t" for one in body)
    for foreign in ("ranslat", "beam search", "BLEU", "source", "sentences"):
        assert foreign not in body.replace("check_golden_translations", "").split("<details>")[0]


def test_the_bits_a_character_of_the_dev_set_follow_from_its_perplexity(verse_export: Path) -> None:
    facts = json.loads((verse_export / "1" / "assets.extra" / "nmt.json").read_text())
    (line,) = facts["dev_results"]
    nats = math.log(line["dev_perplexity"]) * (len(VERSE) + 1)
    assert line["dev_bits_per_character"] == pytest.approx(nats / len(VERSE) / math.log(2), abs=1e-3)


# The interfaces


def asked(**changes: Any) -> dict[str, Any]:
    return {"prompt": "The cat", "max_tokens": 12, "seed": 3, **changes}


def test_a_prompt_is_continued(server: Running, verse_export: Path) -> None:
    found = server.ok("/api/generate", asked(samples=2, alternatives=2))
    assert (found["model"], found["version"]) == ("verse", 1)
    for seed, text in zip((3, 4), found["texts"], strict=True):
        by_command = succeeded(
            nmt("generate", verse_export, "--prompt", "The cat", "--max-tokens", "12", "--seed", str(seed))
        )
        assert f"The cat{text['text']}\n" == by_command.out
        assert text["text"] == "".join(part["text"] for part in text["parts"])
        assert (text["seed"], text["reason"]) == (seed, "length")
        assert {len(part["alternatives"]) for part in text["parts"]} == {2}
    first = found["texts"][0]["parts"][0]["alternatives"]
    assert first[0]["probability"] >= first[1]["probability"] > 0
    assert server.metric("nmt_generated_tokens_total") >= 24


def test_a_text_is_streamed_part_by_part(server: Running) -> None:
    whole = server.ok("/api/generate", asked(alternatives=1))["texts"][0]
    answer = server.post("/api/generate", asked(alternatives=1, stream=True))
    assert answer.headers["content-type"].startswith("text/event-stream")
    parts, named = events_of(answer)
    assert parts == whole["parts"]
    assert named == [("end", {"reason": "length", "seed": 3})]


def test_the_greedy_text_has_the_most_probable_alternatives(server: Running) -> None:
    (text,) = server.ok("/api/generate", asked(temperature=0, alternatives=1))["texts"]
    assert text["parts"]
    for part in text["parts"]:
        assert part["alternatives"] == [{"text": part["text"], "probability": part["probability"]}]


def test_a_text_ends_before_a_stop_string(server: Running) -> None:
    (whole,) = server.ok("/api/generate", asked())["texts"]
    stop = whole["text"][5:7]
    _, named = events_of(server.post("/api/generate", asked(stream=True, stop=[stop])))
    (text,) = server.ok("/api/generate", asked(stop=[stop]))["texts"]
    assert text["text"] == whole["text"][: whole["text"].index(stop)]
    assert (text["reason"], named[0][1]["reason"]) == ("stop", "stop")


def test_the_seed_is_random_unless_it_is_given(server: Running) -> None:
    drawn = {server.ok("/api/generate", {"prompt": "", "max_tokens": 1})["texts"][0]["seed"] for _ in range(4)}
    assert len(drawn) > 1


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"temperature": -1}, 400, "temperature: Input should be greater than or equal to 0"),
        ({"top_p": 0}, 400, "top_p: Input should be greater than or equal to 0.0001"),
        ({"max_tokens": 2049}, 400, "max_tokens: Input should be less than or equal to 2048"),
        ({"stop": [""]}, 400, "stop.0: String should have at least 1 character"),
        ({"stream": True, "samples": 2}, 400, "a stream has one text; leave out samples, or set stream to false"),
        ({"prompt": "a" * 50_001}, 413, "50001 characters in one request; at most 50000 are allowed"),
        ({"model": "other"}, 404, "there is no model other; there are: verse"),
    ],
)
def test_bad_input_is_refused(server: Running, changes: dict[str, Any], status: int, message: str) -> None:
    answer = server.post("/api/generate", asked(**changes))
    assert (answer.status_code, answer.json()["error"]) == (status, message)


def test_a_wrong_route_names_the_right_one(server: Running) -> None:
    expected = "no model here translates: verse is a model of language-model; use POST /api/generate"
    for route, fields in (
        ("translate", {"text": "a"}),
        ("stream", {"text": "a"}),
        ("alternatives", {"sentence": "a"}),
        ("align", {"sentence": "a", "translation": "b"}),
        ("explain", {"sentence": "a"}),
    ):
        for source, target in (("prompt", "text"), ("en", "de")):
            answer = server.post(f"/api/{route}", {**fields, "source": source, "target": target})
            assert (answer.status_code, answer.json()["error"]) == (400, expected), route
    answer = server.post("/translate", {"q": "a", "source": "en", "target": "de"})
    assert answer.json()["error"] == expected


def test_the_page_gets_what_a_language_model_computes(server: Running) -> None:
    roles = {"source": "prompt", "target": "text"}
    found = server.ok("/api/inside", {"sentence": "The cat", **roles})
    count, tokens = found["prompt_tokens"], len(found["target_ids"])
    assert "".join(found["target_pieces"][:count]).replace("▁", " ").strip() == "The cat"
    (text,) = server.ok("/api/generate", asked(temperature=0, max_tokens=24))["texts"]
    assert (found["greedy_output"], found["translation"]) == (text["text"], text["text"])
    assert (found["sentence"], found["is_cut"], tokens) == ("The cat", False, count + 24)
    assert found["decoder_norms"]["shape"] == [1, 2, 3, tokens]
    assert not [name for name in found if name.startswith(("source_", "encoder_", "cross_", "beam_", "candidate_"))]
    assert (found["model"]["task"], found["model"]["encoder_layers"]) == ("language-model", 0)
    request = {"target_ids": found["target_ids"], "kind": "decoder", "layer": 0, "head": 1, **roles}
    layer = server.ok("/api/inside/layer", request)
    assert layer["scores"]["shape"] == [tokens, tokens]
    for wrong in ({"kind": "cross"}, {"source_ids": [3]}):
        answer = server.post("/api/inside/layer", {**request, **wrong})
        expected = 'this model has no encoder; use the kind "decoder", and leave out source_ids'
        assert (answer.status_code, answer.json()["error"]) == (400, expected)


def test_a_long_prompt_is_cut_to_what_the_model_attends_to(server: Running) -> None:
    found = server.ok("/api/inside", {"sentence": VERSE, "source": "prompt", "target": "text"})
    assert found["is_cut"]
    assert len(found["target_ids"]) == 32  # the context of the model
    assert found["prompt_tokens"] == 16
    assert VERSE.startswith(found["sentence"])


def test_a_training_step_of_a_language_model_learns_the_prompt(server: Running, verses: Path) -> None:
    server.service.inspected_run = InspectedRun(loaded_without_dropout(verses / "run"))
    body = {"step": 4, "sentence": "The cat", "source": "prompt", "target": "text"}
    found = server.ok("/api/inside/step", body)
    assert (found["source_pieces"], "".join(found["target_pieces"])) == ([], "The cat")
    assert len(found["token_losses"]) == 7
    boxes = {box for weight in found["gradients"] for box in weight["boxes"]}
    assert {"target-embedding", "linear", "decoder-attention"} < boxes
    assert not {"source-embedding", "cross-attention"} & boxes
    empty = server.post("/api/inside/step", {**body, "sentence": ""})
    assert (empty.status_code, empty.json()) == (400, {"error": "the text is empty"})
    server.service.inspected_run = None


def test_models_of_two_routes_are_served_together(verse_export: Path, export: Path, tmp_path: Path) -> None:
    for one in (export, verse_export):
        (tmp_path / one.name).symlink_to(one)
    with exports_loaded_once(), mock.patch.object(Version, "warm_up", return_value=None), serving(tmp_path) as running:
        assert running.ok("/api/generate", asked())["model"] == "verse"
        assert running.ok("/api/translate", {"text": "It rains.", "source": "en", "target": "de"})["source"] == "en"
        answer = running.post("/api/translate", {"text": "a", "source": "prompt", "target": "text"})
        assert answer.json()["error"] == "verse is a model of language-model; use POST /api/generate"
        answer = running.post("/api/generate", asked(model="export"))
        assert answer.json()["error"] == "export is a model of translation; use POST /api/translate"


def test_a_model_that_translates_does_not_generate(export: Path) -> None:
    with exports_loaded_once(), mock.patch.object(Version, "warm_up", return_value=None), serving(export) as running:
        expected = "export is a model of translation; use POST /api/translate"
        answer = running.post("/api/generate", asked())
        assert (answer.status_code, answer.json()["error"]) == (400, f"no model here continues texts: {expected}")
        assert running.post("/api/generate", asked(model="export")).json()["error"] == expected


class Endless:
    """In place of `TextGenerator.chunks`: writes without end."""

    def __init__(self) -> None:
        self.drawn = 0
        self.ended = threading.Event()

    def __call__(self, *_: Any, **__: Any) -> Iterator[Chunk]:
        try:
            while True:
                time.sleep(0.02)
                self.drawn += 1
                yield Chunk((Part("a", 0.5),), 1, None)
        finally:
            self.ended.set()

    def stops(self) -> bool:
        """Waits until nothing more can be drawn; returns False if this does not happen within a minute."""
        return self.ended.wait(60)


@contextmanager
def endless_text(server: Running) -> Iterator[Endless]:
    """Lets the model write without end inside the block."""
    endless = Endless()
    with mock.patch.object(server.service.models.get("verse").generator, "chunks", endless):
        yield endless


def test_a_client_that_leaves_ends_the_generation(server: Running) -> None:
    with endless_text(server) as endless:
        fields = asked(stream=True)
        with httpx.stream("POST", f"{server.url}/api/generate", json=fields, timeout=60) as answer:
            assert next(answer.iter_lines()) == 'data: {"text": "a", "probability": 0.5, "alternatives": []}'
        assert endless.stops()
        assert endless.drawn > 0
    while not has_room(server.service.writer):  # until no text is counted any more
        time.sleep(0.01)


def has_room(writer: Writer) -> bool:
    """Returns True if no text is being written."""
    try:
        writer.check_room(MAX_TEXTS)
    except BusyError:
        return False
    return True


def test_the_deadline_ends_a_text(server: Running) -> None:
    limits = replace(server.service.limits, deadline=0.3)
    for stream in (True, False):
        with endless_text(server) as endless, mock.patch.object(server.service, "limits", limits):
            answer = server.post("/api/generate", asked(stream=stream))
            assert endless.stops()
        if stream:
            parts, named = events_of(answer)
            assert parts
            assert named == [("error", {"error": "not finished within 0.3 s"})]
        else:
            assert (answer.status_code, answer.json()["error"]) == (504, "not answered within 0.3 s")


@contextmanager
def failing_text(server: Running) -> Iterator[tf.errors.OpError]:
    """Lets the model fail after the first part of a text inside the block; yields its error."""
    error = tf.errors.InternalError(None, None, "no memory for a tensor")

    def chunks(*_: Any, **__: Any) -> Iterator[Chunk]:
        yield Chunk((Part("a", 0.5),), 1, None)
        raise error

    with mock.patch.object(server.service.models.get("verse").generator, "chunks", chunks):
        yield error


def test_a_failure_of_the_model_ends_a_stream_with_an_error(server: Running) -> None:
    with failing_text(server) as error, logged_failures() as logged:
        parts, named = events_of(server.post("/api/generate", asked(stream=True)))
        assert server.get("/api/models").status_code == 200  # the log is written by now
    assert [part["text"] for part in parts] == ["a"]
    assert named == [("error", {"error": FAILED})]
    assert logged == [error]
    server.service.writer.check_room(MAX_TEXTS)  # no text is counted any more


def test_too_many_texts_are_refused(server: Running) -> None:
    with mock.patch.object(server.service.writer, "max_texts", 1):
        for stream in (False, True):
            with server.service.writer.admitted(1):
                answer = server.post("/api/generate", asked(stream=stream))
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert answer.json()["error"] == "1 texts are being written already; try again in a moment"


def test_generation_needs_a_key_where_keys_are_used(verse_export: Path, tmp_path: Path) -> None:
    key = add_api_key(tmp_path / "keys", "ann")
    with (
        exports_loaded_once(),
        mock.patch.object(Version, "warm_up", return_value=None),
        serving(verse_export, keys=ApiKeys.read(tmp_path / "keys")) as running,
    ):
        assert running.post("/api/generate", asked()).status_code == 403
        assert running.post("/api/generate", asked(), headers={"x-api-key": key}).status_code == 200


def test_the_rest_interface_of_tensorflow_serving_works(server: Running) -> None:
    (text,) = server.ok("/api/generate", {"prompt": "The cat", "max_tokens": 20, "seed": 0})["texts"]
    (found,) = server.ok("/v1/models/verse:predict", {"instances": ["The cat"]})["predictions"]
    assert found["texts"] == text["text"]
    inputs = {"prompts": ["The cat", "A"], "seeds": [3, 4], "max_tokens": 12, "samples": 2}
    several = server.ok("/v1/models/verse:predict", {"signature_name": "generate", "inputs": inputs})["outputs"]
    assert several["texts"][0][0] == server.ok("/api/generate", asked())["texts"][0]["text"]
    assert [len(row) for row in several["texts"]] == [2, 2]
    (score,) = server.ok("/v1/models/verse:predict", {"signature_name": "score", "instances": ["a"]})["predictions"]
    assert (len(score["pieces"]), score["pieces"][-1]) == (2, "</s>")
    assert "translate" not in server.ok("/v1/models/verse/metadata")["metadata"]["signature_def"]["signature_def"]
    greedy = {**inputs, "temperature": 0, "samples": 1}
    assert server.post("/v1/models/verse:predict", {"signature_name": "generate", "inputs": greedy}).status_code == 200
    for wrong, message in (
        (
            {"max_tokens": 2048, "samples": 32},
            "prompts times samples times max_tokens is 131072; it must be at most 65536",
        ),
        ({"max_tokens": 0}, "max_tokens is 0; it must be from 1 to 2048"),
        ({"temperature": -1}, "temperature is -1.0; it must be from 0.001 to 100"),
    ):
        body = {"signature_name": "generate", "inputs": {**inputs, **wrong}}
        answer = server.post("/v1/models/verse:predict", body)
        assert (answer.status_code, answer.json()["error"]) == (400, message)


def test_a_version_is_warmed_up_by_a_short_text(verse_export: Path) -> None:
    with exports_loaded_once():
        version = Version("verse", verse_export / "1")
        with mock.patch.object(version.generator, "chunks", return_value=iter([])) as chunks:
            WARM_UP(version, ("generate",))
    assert int(chunks.call_args.kwargs["settings"].max_tokens) == 8


def test_an_export_that_lost_its_vocabulary_is_reported(verse_export: Path, tmp_path: Path) -> None:
    copy = tmp_path / "1"
    shutil.copytree(verse_export / "1", copy)
    (copy / "assets.extra" / "vocabulary.model").unlink()
    done = nmt("generate", copy)
    assert "cannot load the export" in done.complaints[0]
    assert "vocabulary.model" in done.complaints[0]


# The page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=60_000)
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
    page.on("console", lambda message: errors.append(message.text) if "Security" in message.text else None)
    page.goto(server.url)
    expect(page.get_by_role("textbox", name="Prompt")).to_be_visible()
    yield page
    context.close()
    assert errors == []


def serious_violations(page: Page) -> list[Any]:
    found = Axe().run(page)
    return [one for one in found.response["violations"] if one["impact"] in ("serious", "critical")]


def write(page: Page, prompt: str, length: int = 12) -> None:
    page.get_by_role("textbox", name="Prompt").fill(prompt)
    page.get_by_label("Length").fill(str(length))
    page.locator("#temperature").fill("0")  # an untrained model may end the text or write bytes, but not likeliest
    page.get_by_role("button", name="Write").click()
    expect(page.locator("#write-status")).to_have_text("The text has the chosen length")


@needs_chromium
def test_a_text_is_written_on_the_page(page: Page) -> None:
    expect(page).to_have_title("nmt: generate")
    expect(page.get_by_label("Text to translate")).to_be_hidden()
    evil = "<img src=x onerror='window.hacked = 1'>"
    write(page, evil)
    text = page.get_by_role("region", name="Text")
    expect(text.locator(".given")).to_have_text(evil)
    assert page.evaluate("window.hacked") is None
    assert text.locator(".token").count() >= 10
    page.get_by_role("button", name="Copy").click()
    expect(page.locator("#write-status")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == text.text_content()
    assert "q=%3Cimg" in page.url


@needs_chromium
@pytest.mark.slow
@pytest.mark.parametrize("width", [PHONE["width"], 1280])
def test_axe_finds_nothing_in_any_chapter_of_a_language_model(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.evaluate("location.hash = '#inside/overview?text=The+cat'")
    expect(page.locator("#chapter h2")).to_be_visible()
    assert len(without_violations(page)) > 8
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@needs_chromium
def test_the_inside_of_a_language_model_has_no_encoder(page: Page) -> None:
    page.get_by_role("textbox", name="Prompt").fill("The sun")
    page.get_by_role("tab", name="Inside the Transformer").click()
    expect(page.locator("#overview a.box")).to_have_count(8)
    expect(page.locator("#said")).to_contain_text("The sun → ")
    expect(page.locator("#overview [data-box^=source], #overview [data-box*=cross]")).to_have_count(0)
    chapters = page.get_by_role("combobox", name="Chapter").first.locator("option").all_text_contents()
    for chapter in chapters:
        expect(page.locator("#chapter h2")).to_have_text(chapter.split(". ")[1])
        expect(page.locator("#chapter .live[aria-busy=true], #chapter .failure")).to_have_count(0)
        page.keyboard.press("]")
    assert not {"Encoder self-attention", "Encoder-decoder attention"} & {name.split(". ")[1] for name in chapters}


@needs_chromium
def test_the_controls_are_sent(page: Page) -> None:
    page.locator("#temperature").fill("0.3")
    expect(page.locator("output[for=temperature]")).to_have_text("0.3")
    page.locator("#top-p").fill("0.5")
    page.get_by_label("Top-k").fill("7")
    page.get_by_label("Length").fill("3")
    page.get_by_role("textbox", name="Prompt").fill("The")
    with page.expect_request("**/api/generate") as sent:
        page.keyboard.press("Control+Enter")
    assert sent.value.post_data_json == {
        **{"model": "verse", "prompt": "The", "temperature": 0.3, "top_p": 0.5, "top_k": 7, "max_tokens": 3},
        **{"stream": True, "alternatives": 8},
    }


@needs_chromium
def test_a_part_of_the_text_shows_what_the_model_might_have_written(page: Page) -> None:
    write(page, "The cat")
    shown = page.get_by_role("tooltip")
    page.locator(".token").nth(2).hover()
    expect(shown).to_be_visible()
    assert shown.locator("li").count() in (8, 9)
    shares = [float(share.removesuffix(" %")) for share in shown.locator(".share").all_text_contents()]
    assert shares[:8] == sorted(shares[:8], reverse=True)
    expect(shown.locator(".drawn")).to_have_count(1)
    assert serious_violations(page) == []
    page.mouse.move(5, 5)
    expect(shown).to_be_hidden()
    page.locator(".token").first.focus()
    expect(shown).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".token").nth(1)).to_be_focused()
    expect(page.locator(".token").nth(1)).to_have_attribute("aria-describedby", "instead")
    page.keyboard.press("Escape")
    expect(shown).to_be_hidden()
    page.keyboard.press("End")
    expect(page.locator(".token").last).to_be_focused()
    assert page.locator(".token[tabindex='0']").count() == 1


@needs_chromium
def test_writing_can_be_stopped(page: Page, server: Running) -> None:
    with endless_text(server) as endless:
        page.get_by_role("button", name="Write").click()
        expect(page.locator(".token").nth(1)).to_be_visible()
        expect(page.locator("#written")).to_have_attribute("aria-busy", "true")
        page.get_by_role("button", name="Stop").click()
        expect(page.locator("#write-status")).to_have_text("Stopped")
        assert endless.stops()
    expect(page.get_by_role("button", name="Write")).to_be_visible()


@needs_chromium
def test_a_text_that_failed_can_be_tried_again(page: Page, server: Running) -> None:
    page.get_by_role("textbox", name="Prompt").fill("The cat")
    page.locator("#temperature").fill("0")
    again = page.get_by_role("button", name="Try again")
    with failing_text(server):
        page.get_by_role("button", name="Write").click()
        expect(page.get_by_role("alert")).to_have_text(f"The text is incomplete: {FAILED}")
        expect(page.locator(".token")).to_have_text(["a"])
        expect(again).to_be_visible()
        assert serious_violations(page) == []
    again.click()
    expect(page.locator("#write-status")).to_have_text("The text has the chosen length")
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(again).to_be_hidden()


@needs_chromium
def test_a_link_opens_the_page_with_a_prompt(page: Page, server: Running) -> None:
    page.goto(f"{server.url}/#source=prompt&target=text&q=It+rains.")
    expect(page.get_by_role("textbox", name="Prompt")).to_have_value("It rains.")
    assert page.locator(".token").count() == 0


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone(page: Page, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 360, "height": 740})
    write(page, "The cat")
    page.locator(".token").last.focus()
    expect(page.get_by_role("tooltip")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert serious_violations(page) == []


@needs_chromium
def test_a_prompt_that_is_too_long_is_not_sent(page: Page) -> None:
    page.get_by_role("textbox", name="Prompt").fill("a" * 50_003)
    page.get_by_role("button", name="Write").click()
    expect(page.locator("#prompt-count")).to_have_text("3 characters too many")
    assert page.get_by_role("button", name="Stop").count() == 0
