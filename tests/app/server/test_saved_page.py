"""`nmt inside`: a page in one file, opened from the file, and what is refused."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from keras_nmt.app.server.engine.layer_timing import device_name
from keras_nmt.app.server.saved_page import page as page_of_file
from keras_nmt.app.server.saved_page.modules import with_bare_names
from keras_nmt.app.server.saved_page.numbers import MEASURED_LENGTHS, saved_numbers
from tests.app.command_line import nmt, refusal
from tests.app.server.http.inside_page import decoded
from tests.app.server.serving import Running

SENTENCE = "It rains. </script> & <b>"


@pytest.fixture(scope="module")
def file(export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the small export."""
    out = tmp_path_factory.mktemp("inside") / "page.html"
    done = nmt("inside", export, SENTENCE, "--out", out, "--head", "2")
    assert done.code == 0, done.err
    size = out.stat().st_size
    assert f"{out}: {size / 1e6:.1f} MB, with the details of all layers" in done.err
    return out


def numbers_in(file: Path) -> dict[str, Any]:
    (text,) = re.findall(r'<script type="application/json" id="numbers">(.*?)</script>', file.read_text(), re.DOTALL)
    found: dict[str, Any] = json.loads(text)
    return found


def assert_same(held: dict[str, Any], answer: dict[str, Any]) -> None:
    """Asserts that two answers have the same fields, and floats that differ only by rounding."""
    assert held.keys() == answer.keys()
    for name, value in answer.items():
        if isinstance(value, dict) and "shape" in value:
            np.testing.assert_allclose(decoded(held[name]), decoded(value), rtol=2e-3, atol=2e-3, err_msg=name)
        else:
            assert held[name] == value, name


def test_the_file_has_the_answers_of_the_server(file: Path, server: Running) -> None:
    saved, languages = numbers_in(file), {"source": "en", "target": "de"}
    assert saved["overview"].pop("direction") == {**languages, "domain": None}
    assert_same(saved["overview"], server.ok("/api/inside", {"sentence": SENTENCE, **languages}))
    ids = {name: saved["overview"][name] for name in ("source_ids", "target_ids")}
    for kind in ("encoder", "decoder", "cross"):
        for head in (0, 1):
            held = {**saved["layers"][f"{kind}-0"], **saved["layers"][f"{kind}-0-{head}"]}
            layer = {"kind": kind, "layer": 0, "head": head, **ids, **languages}
            assert_same(held, server.ok("/api/inside/layer", layer))
    assert "inner" in saved["layers"]["encoder-0"]  # once for all heads


def test_the_file_has_the_times_of_layers_on_the_machine_that_wrote_it(file: Path) -> None:
    timing = numbers_in(file)["timing"]
    lengths = timing["lengths"]
    assert lengths == list(MEASURED_LENGTHS[: len(lengths)])
    assert lengths
    for name in ("self_attention", "recurrent"):
        assert len(timing[name]) == len(lengths)
        assert min(timing[name]) > 0
    assert timing["device"] == device_name()


def test_the_file_is_shown_without_a_server_and_loads_nothing(file: Path, browser: Browser) -> None:
    saved, timing = (numbers_in(file)[name] for name in ("overview", "timing"))
    page = browser.new_context().new_page()
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{file.as_uri()}#inside/cross-attention?head=2")
    expect(page.locator("#chapter h2")).to_have_text("Encoder-decoder attention")
    assert page.title() == f"Encoder-decoder attention: {saved['sentence']}: inside the Transformer"
    expect(page.locator("#said bdi").first).to_have_text(saved["sentence"])
    expect(page.locator("footer")).to_contain_text(re.compile(r"Model: export, version 1\. Written by nmt \d"))
    cells = page.locator("#attention-map .cells rect")
    assert cells.count() == np.prod(saved["cross_attention"]["shape"][2:])
    page.goto(f"{file.as_uri()}#inside/attention?step=2&kind=cross")  # the details of a head
    expect(page.locator("#keys")).to_be_visible()
    page.goto(f"{file.as_uri()}#inside/why")
    expect(page.get_by_role("heading", name="Measured")).to_have_text("Measured when this file was written")
    expect(page.locator("#times figcaption")).to_contain_text(timing["device"])
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        grounds = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (grounds == "rgb(14, 16, 19)") == (theme == "dark")
    assert errors == []
    assert {url.split(":")[0] for url in asked} <= {"file", "data"}
    page.goto("about:blank")
    page.goto(file.as_uri())
    expect(page.locator("#chapter h2")).to_have_text("The Transformer")
    assert page.url.endswith("#inside/overview?head=2")  # as the command line says
    page.context.close()


def test_a_large_file_has_the_details_of_one_layer(export: Path) -> None:
    direction = page_of_file.direction_of(page_of_file.loaded_version(export, None), None, None)
    found = saved_numbers(direction, "It rains.", 0, most_bytes=1)
    assert not found.has_all_layers
    assert {name.split("-")[1] for name in found.layers} == {"0"}
    html = page_of_file.page_of(direction, found, {}, layer=0, head=0)
    assert 'src="http' not in html
    assert 'href="http' not in html


def test_a_run_is_shown_as_its_export_is(run: Path, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "run.html"
    done = nmt("inside", run, SENTENCE, "--out", out, "--checkpoint", "last")
    assert done.code == 0, done.err
    of_run, of_export = numbers_in(out)["overview"], numbers_in(file)["overview"]
    for name in ("sentence", "source_ids", "target_ids", "translation", "model"):
        assert of_run[name] == of_export[name]
    assert "checkpoint of step 4" in out.read_text()


def test_unusable_input_is_refused_in_one_line(
    export: Path, copies: Path, multilingual_export: Path, tmp_path: Path
) -> None:
    out = tmp_path / "page.html"
    for arguments, reason in (
        ((export, " ", "--out", out), "the sentence is empty; give the text"),
        ((export, "x", "--out", tmp_path), f"{tmp_path} is a folder; name a file"),
        ((export, "x", "--out", tmp_path / "none" / "page.html"), f"there is no folder {tmp_path / 'none'}"),
        ((tmp_path, "x", "--out", out), f"{tmp_path} is not a model: expected a run of `nmt train` or an export"),
        ((tmp_path / "none", "x", "--out", out), "there is no such folder"),
        ((export, "x", "--out", out, "--checkpoint", "last"), "was exported from one checkpoint"),
        ((export, "x", "--out", out, "--layer", "2"), "--layer is 2; this model has 1, so it must be from 1 to 1"),
        ((export, "x", "--out", out, "--head", "0"), "--head is 0; this model has 2, so it must be from 1 to 2"),
        ((export, "x", "--out", out, "--to", "fr"), "there is no translation into 'fr'"),
        ((multilingual_export, "x", "--out", out), "there are several target languages"),
        ((copies, "x", "--out", out), f"{copies} has no signature `inside`"),
    ):
        assert reason in refusal(nmt("inside", *arguments), "inside")
    assert not out.exists()


def test_relative_names_of_modules_become_bare() -> None:
    text = 'import "../a.js";\nimport { b } from "./b.js";\nexport { c } from "../../c.js";\nconst d = "./d.js";\n'
    assert with_bare_names(text, "x/y/z.js") == (
        'import "nmt/x/a.js";\nimport { b } from "nmt/x/y/b.js";\nexport { c } from "nmt/c.js";\nconst d = "./d.js";\n'
    )
