"""Training steps of models of each task besides translation, as the page of `nmt serve --inside` shows them."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_nmt.app.decoding.inside.signatures import MOST_SOURCE_TOKENS, MOST_TARGET_TOKENS
from keras_nmt.app.errors import UserError
from keras_nmt.app.inside.inspected_run import InspectedRun, loaded_without_dropout
from keras_nmt.app.models.loading import RunModel
from tests.app.tasks.corpora import LONG
from tests.eager import eager

WORDS = "The cat sleeps ."
TREE = "(TOP (S (NP (DT The) (NN cat)) (VP (VBZ sleeps)) (. .)))"
pytestmark = pytest.mark.timeout(900)  # the first test may make the runs


def test_a_step_of_a_parser_learns_the_actions_of_a_tree(parser_run: Path) -> None:
    inspected = InspectedRun(loaded_without_dropout(parser_run))
    example, figures = inspected.take_step(4, WORDS, TREE)
    pieces = inspected.pieces(example.labels)
    assert [piece for piece in pieces if piece[1] in "()/"] == [
        "<(S>",
        "<(NP>",
        "<)NP>",
        "<(VP>",
        "<)VP>",
        "<)S>",
        "</s>",
    ]
    given = inspected.run.task.given(WORDS, TREE)
    scored = RunModel(parser_run).engine.score(tf.constant([WORDS]), tf.constant([given]))
    np.testing.assert_allclose(figures.before, scored.token_log_probabilities[0], rtol=1e-4)
    assert figures.after.sum() > figures.before.sum()
    places = {weight.name: weight.place.boxes for weight in figures.weights}
    assert places["word_pointer/projection/kernel"] == ("target-embedding",)
    with pytest.raises(UserError, match="the words of the tree are 'It rains', those of the source 'The cat sleeps"):
        inspected.take_step(4, WORDS, "(TOP (S (X It) (X rains)))")
    own, _ = inspected.take_step(4, WORDS)
    assert inspected.pieces(own.labels)[-1] == "</s>"


def test_a_step_of_a_summarizer_learns_to_copy_and_reads_no_more_than_is_shown(summary_run: Path) -> None:
    inspected = InspectedRun(loaded_without_dropout(summary_run))
    text, summary = "On day 3 we saw a cat in the house.", "cat seen"
    _, figures = inspected.take_step(4, text, summary)
    scored = RunModel(summary_run).engine.score(tf.constant([text]), tf.constant([summary]))
    np.testing.assert_allclose(figures.before, scored.token_log_probabilities[0], rtol=1e-4)
    boxes = {weight.name: weight.place.boxes for weight in figures.weights if weight.gradient}
    assert boxes["copy_attention/gate/kernel"] == ("softmax",)
    long, _ = inspected.take_step(4, LONG, LONG)
    assert (len(long.source), long.source[-1]) == (MOST_SOURCE_TOKENS, 3)
    assert len(long.labels) == MOST_TARGET_TOKENS
    assert long.labels[-1] != 3


def test_a_step_of_a_language_model_learns_the_text(language_model_run: Path) -> None:
    inspected = InspectedRun(loaded_without_dropout(language_model_run))
    example, figures = inspected.take_step(40, "Citizen 1:", "ignored")
    assert "".join(inspected.pieces(example.labels)) == "Citizen 1:"
    assert not inspected.has_source
    scored = RunModel(language_model_run).engine.score(tf.constant(["Citizen 1:"]))
    np.testing.assert_allclose(figures.before, scored.token_log_probabilities[0, :-1], rtol=1e-4)  # without </s>
    assert figures.after.sum() > figures.before.sum()
    with eager():
        own, of_given = inspected.overview(20, "Citizen 1:", example.labels.tolist())
    assert own["target_ids"].tolist() != example.labels.tolist()
    assert of_given["target_ids"].tolist() == example.labels.tolist()
    assert of_given["decoder_attention"].shape == (1, 2, 10, 10)
    assert not [name for name in (*own, *of_given) if "source" in name or "encoder" in name]
    with pytest.raises(UserError, match="the text is empty"):
        inspected.take_step(40, "")
    long, _ = inspected.take_step(40, "Speak, " * 9)
    assert len(long.labels) == 16  # as many as the model attends to
