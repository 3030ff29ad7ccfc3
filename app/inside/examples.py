"""Turns a text and its reference into an example to train on."""

import numpy as np
import tensorflow as tf

from keras_nmt.app.decoding.generation.graph import GenerationGraph
from keras_nmt.app.decoding.text.texts import row_lengths
from keras_nmt.app.decoding.translation_graph import TranslationGraph
from keras_nmt.app.errors import UserError
from keras_nmt.app.inside.step import Example
from keras_nmt.app.tasks.task import Task
from keras_nmt.pipelines.vocabulary.tokenizer import EOS

MAX_SOURCE_TOKENS, MAX_TARGET_TOKENS = 64, 96  # with EOS; the rest is cut off, as in the other pictures


def example_of(task: Task, engine: TranslationGraph | GenerationGraph, text: str, reference: str) -> Example:
    """Returns the example of a text; of several sentences, that of the first one.

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
    if not reference.strip():
        return _own_output(engine, text)
    pairs = engine.text.pair(tf.constant([text]), tf.constant([task.given(text, reference)]))
    labels = pairs.labels.with_row_splits_dtype(pairs.tokens.row_splits.dtype)
    number = _first_with_tokens(pairs.tokens)
    return _example(pairs.tokens[number], labels[number].numpy())


def _running_text(engine: GenerationGraph, text: str) -> Example:
    """Returns the text as labels, without EOS: a block of the training data begins and ends anywhere in a document."""
    (ids,) = engine.vocabulary.encode(tf.constant([text])).to_list()
    if not ids:
        raise UserError("the text is empty")
    most = min(MAX_TARGET_TOKENS, engine.reader.context_tokens)
    return Example(np.array([EOS], np.int32), np.array(ids[:most], np.int32))


def _own_output(engine: TranslationGraph, text: str) -> Example:
    pieces = engine.text.cut(tf.constant([text])).tokens
    source = pieces[_first_with_tokens(pieces)][: MAX_SOURCE_TOKENS - 1]
    found = engine.search(tf.RaggedTensor.from_tensor(source[tf.newaxis]), 1)
    return _example(source, found.tokens[0, 0, : found.lengths[0, 0]].numpy()[:-1])


def _example(source: tf.Tensor, labels: np.ndarray) -> Example:
    """Adds EOS to both sides, and cuts them."""
    sides = [*source.numpy()[: MAX_SOURCE_TOKENS - 1], EOS], [*labels, EOS][:MAX_TARGET_TOKENS]
    return Example(*(np.array(side, np.int32) for side in sides))


def _first_with_tokens(pieces: tf.RaggedTensor) -> int:
    lengths = row_lengths(pieces).numpy()
    if not lengths.any():
        raise UserError("the sentence has nothing that the model reads")
    return int((lengths > 0).argmax())
