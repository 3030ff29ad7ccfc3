"""Answers that are server-sent events, if the model fails in the middle of them."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import tensorflow as tf

from keras_nmt.app.server.engine.translation import Sentence
from keras_nmt.app.server.errors import FAILED
from keras_nmt.app.server.http.routes import page_api
from tests.app.server.serving import Running, events_of, logged_failures

TWO_SENTENCES = {"text": "It rains. We are here.", "source": "en", "target": "de"}


@pytest.mark.parametrize(
    "failure",
    [
        RuntimeError("a bug"),
        tf.errors.InternalError(None, None, "no memory for a tensor"),
        tf.errors.InvalidArgumentError(None, None, "a shape"),  # which other answers report as a bad request
    ],
)
def test_a_failure_is_the_last_event_and_is_logged_once(
    copying_server: Running, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    async def only_first_sentence(*_: Any, **__: Any) -> AsyncIterator[tuple[int, Sentence]]:
        yield 0, Sentence("It rains.", "Es regnet.")
        raise failure

    monkeypatch.setattr(page_api, "stream", only_first_sentence)
    with logged_failures() as logged:
        answer = copying_server.post("/api/stream", TWO_SENTENCES)
        sentences, named = events_of(answer)
        assert copying_server.get("/api/models").status_code == 200  # the log is written by now
    assert [sentence["text"] for sentence in sentences] == ["Es regnet."]
    assert named == [("error", {"error": FAILED})]
    assert [failure in (error, error.__cause__) for error in logged] == [True]
    lines = [line for line in copying_server.get("/metrics").text.splitlines() if '"/api/stream",status="500"' in line]
    assert lines
