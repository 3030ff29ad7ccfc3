"""Random input does not make the server fail."""

import subprocess
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_nmt.app.exporting.signature_definitions import signature_definitions
from keras_nmt.app.server.documents.html.pages import read_html, write_html
from keras_nmt.app.server.documents.spans import Span
from keras_nmt.app.server.engine.translation import split_sentences
from keras_nmt.app.server.errors import RequestError
from keras_nmt.app.server.http.routes.tensors_as_json import inputs_of_body
from tests.app.server.serving import Running

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["texts", "b64", "beam_size"]), inner),
    max_leaves=12,
)


@pytest.mark.slow
def test_no_request_of_the_openapi_description_is_a_server_error(server: Running) -> None:
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"]
    checks = ["--checks", "not_a_server_error", "--max-examples", "30", "--seed", "1"]
    done = subprocess.run([*command, *checks], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout[-5000:]
    assert "passed" in done.stdout


@given(text=st.text())
def test_joined_sentences_are_any_text(text: str) -> None:
    assert "".join(s.before + s.source + s.after for s in split_sentences(text)) == text


@settings(max_examples=300)
@given(inputs=JSON, by_rows=st.booleans())
def test_any_json_is_read_or_refused(copies: Path, inputs: object, by_rows: bool) -> None:
    definition = signature_definitions(copies / "1")["translate"]
    try:
        found, _ = inputs_of_body({"instances" if by_rows else "inputs": inputs}, definition)
    except RequestError:
        return
    assert found["texts"].ndim == 1


@given(html=st.text(alphabet="<>/ab p&;!-'\"= \n", max_size=60))
def test_any_markup_is_read_and_written(html: str) -> None:
    texts = read_html(html, True)
    as_it_was = [[Span(number, span) for number, span in enumerate(text)] for text in texts]
    written = write_html(html, True, as_it_was)
    assert (
        BeautifulSoup(written, "html.parser").get_text().split()
        == BeautifulSoup(html, "html.parser").get_text().split()
    )
