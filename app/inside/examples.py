"""Turns a text and its reference into an example to train on."""

import numpy as np
import tensorflow as tf

from keras_nmt.app.decoding.generation.graph import GenerationGraph
from keras_nmt.app.decoding.inside.signatures import MOST_SOURCE_TOKENS, MOST_TARGET_TOKENS
from keras_nmt.app.decoding.text.cutting import first_piece
from keras_nmt.app.decoding.text.texts import row_lengths
from keras_nmt.app.decoding.translation_graph import TranslationGraph
from keras_nmt.app.errors import UserError
from keras_nmt.app.inside.step import Example
from keras_nmt.app.tasks.task import Task
from keras_nmt.pipelines.vocabulary.tokenizer import EOS


def example_of(task: Task, engine: TranslationGraph | GenerationGraph, text: str, reference: str) -> Example:
    """Returns the example of a text; of several sentences, that of the first one. Long sides are cut, as on the page.

    Args:
        task: The task of the model.
        engine: The engine of the model.
        text: The text in the form that the task demands, with its tags. For a language model, the text to learn.
        reference: The output to learn; the model's own output if it is blank. Language models ignore it.

    Raises:
        UserError: The text has nothing to read, or the reference is not an output for it.
    """
    if isinstance(engine, GenerationGraph):
        return _running_text(engine, text)
    if reference.strip():
        source, labels = _given_pair(engine, text, task.given(text, reference))
    else:
        source, labels = _own_output(engine, text)
    if not source.size:
        raise UserError("the sentence has nothing that the model reads")
    sides = [*source[: MOST_SOURCE_TOKENS - 1], EOS], [*labels, EOS][:MOST_TARGET_TOKENS]
    return Example(*(np.array(side, np.int32) for side in sides))


def _running_text(engine: GenerationGraph, text: str) -> Example:
    """Returns the text as labels, without EOS: a block of the training data begins and ends anywhere in a document."""
    ids = engine.vocabulary.encode(tf.constant([text])).values.numpy()
    if not ids.size:
        raise UserError("the text is empty")
    return Example(np.array([EOS], np.int32), ids[: min(MOST_TARGET_TOKENS, engine.context_tokens)].astype(np.int32))


def _given_pair(engine: TranslationGraph, text: str, output: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the tokens of the first sentence with tokens, and of its part of the output, both without EOS."""
    pairs = engine.text.pair(tf.constant([text]), tf.constant([output]))
    first = int(tf.argmax(row_lengths(pairs.tokens) > 0))
    return pairs.tokens[first].numpy(), pairs.labels[first].numpy()


def _own_output(engine: TranslationGraph, text: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the tokens of the sentence that the page shows, and of the best output for it, both without EOS."""
    piece = first_piece(engine.text.cut(tf.constant([text])))[:, : MOST_SOURCE_TOKENS - 1]
    found = engine.search(piece, 1)
    return piece.values.numpy(), found.tokens[0, 0, : found.lengths[0, 0] - 1].numpy()
