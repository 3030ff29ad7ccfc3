"""Generation and scoring of text: against one pass of the model for each token, and independent of the batch."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_nmt.app.decoding.forced.text_scoring import text_log_probabilities
from keras_nmt.app.decoding.generation import graph as text_generation
from keras_nmt.app.decoding.generation.graph import GenerationGraph
from keras_nmt.app.decoding.generation.settings import GenerationSettings
from keras_nmt.app.decoding.network.block import BlockReader
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.layers import LanguageModel, TransformerConfig
from keras_nmt.pipelines.vocabulary.tokenizer import BOS, EOS, PAD, Vocabulary
from tests.app.decoding.fakes import RecitingModel, small_vocabulary
from tests.eager import eager
from tests.layers.samples import randomise

CONTEXT = 9
OPTIONS = DecodingOptions(max_extra_tokens=14)
PROMPTS = ["", "The cat", "one two three four five six seven eight nine ten", "Übung macht"]


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return small_vocabulary()


@pytest.fixture(scope="module")
def model(vocabulary: Vocabulary) -> LanguageModel:
    config = TransformerConfig(vocabulary.size, 12, 20, 3, encoder_layers=0, decoder_layers=2, normalization="pre")
    made = LanguageModel(config)
    randomise(made)
    for weight in made.weights:  # large weights: the most probable token depends much on the tokens before
        factor = 6.0 if "embeddings" in weight.path else 4.0 if "kernel" in weight.path else 1.0
        weight.assign(weight * factor)
    return made


@pytest.fixture(scope="module")
def graph(model: LanguageModel, vocabulary: Vocabulary) -> GenerationGraph:
    return GenerationGraph(model, vocabulary, OPTIONS, CONTEXT)


def settings(**changes: float) -> GenerationSettings:
    plain = GenerationSettings.of(OPTIONS)
    return plain._replace(**{name: tf.constant(value) for name, value in changes.items()})


GREEDY = {"temperature": 0.0}


def log_probabilities(model: LanguageModel, block: Sequence[int]) -> np.ndarray:
    return tf.nn.log_softmax(model.decode(tf.constant([block], tf.int32))[0, -1]).numpy()


def slid(block: list[int], token: int) -> list[int]:
    """Returns the block after one more token: a full block keeps its last half."""
    return [*block, token] if len(block) < CONTEXT else [BOS, *[*block, token][-(CONTEXT // 2) :]]


def greedy(model: LanguageModel, prompt: Sequence[int], count: int) -> tuple[list[int], list[float]]:
    """Generates the most probable tokens by one pass of the model over the whole block for each token."""
    block, tokens, values = [BOS, *prompt[1 - CONTEXT :]], [], []
    while len(tokens) < count and EOS not in tokens:
        found = log_probabilities(model, block)
        found_allowed = np.where(np.isin(np.arange(len(found)), (PAD, BOS)), -np.inf, found)
        tokens.append(int(found_allowed.argmax()))
        values.append(float(found[tokens[-1]]))
        block = slid(block, tokens[-1])
    return tokens, values


def test_a_continuation_equals_that_of_one_pass_for_each_token(
    graph: GenerationGraph, model: LanguageModel, vocabulary: Vocabulary
) -> None:
    found = graph.generate(tf.constant(PROMPTS), tf.zeros([4], tf.int32), settings(**GREEDY))
    names = vocabulary.pieces()
    for row, prompt in enumerate(vocabulary.encode(tf.constant(PROMPTS)).to_list()):
        tokens, values = greedy(model, prompt, OPTIONS.max_extra_tokens)
        pieces = [piece.decode() for piece in found.pieces[row, 0].numpy() if piece]
        assert pieces == [names[token] for token in tokens]
        np.testing.assert_allclose(found.token_log_probabilities[row, 0, : len(values)], values, rtol=1e-4, atol=1e-5)
        assert float(found.scores[row, 0]) == pytest.approx(sum(values), rel=1e-4)
        assert bool(found.ended[row, 0]) == (tokens[-1] == EOS)
        whole = vocabulary.decode(tf.constant([[*prompt, *tokens]])).numpy()[0]
        assert vocabulary.decode(tf.constant([prompt or [PAD]])).numpy()[0] + found.texts[row, 0].numpy() == whole
    assert len({text for (text,) in found.texts.numpy().tolist()}) == len(PROMPTS)
    assert len(set(found.pieces.numpy().ravel().tolist())) > 15


def test_a_continuation_does_not_depend_on_the_other_rows(graph: GenerationGraph) -> None:
    together = graph.generate(tf.constant(PROMPTS), tf.range(4), settings(), samples=3)
    for row, prompt in enumerate(PROMPTS):
        alone = graph.generate(tf.constant([prompt]), tf.constant([row]), settings())
        assert alone.texts[0, 0] == together.texts[row, 0]
        assert float(alone.scores[0, 0]) == pytest.approx(float(together.scores[row, 0]), rel=1e-4)
    drawn = together.texts.numpy().ravel().tolist()
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("rows", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_continuations_are_drawn_a_few_rows_at_a_time(
    graph: GenerationGraph, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    prompts, few = tf.constant(PROMPTS), settings(max_tokens=6)
    whole = graph.generate(prompts, tf.range(4), few, samples=2)
    begun: list[int] = []
    begin = BlockReader.begin

    def count(reader: BlockReader, ids: tf.RaggedTensor, more: tf.Tensor) -> object:
        begun.append(int(ids.nrows()))
        return begin(reader, ids, more)

    monkeypatch.setattr(BlockReader, "begin", count)
    monkeypatch.setattr(text_generation, "TOKENS_AT_ONCE", rows * CONTEXT)
    with eager():
        found = graph.generate(prompts, tf.range(4), few, samples=2)
    assert begun == {1: [1] * 8, 3: [2, 2, 1]}[rows]  # the prompts of the rows 0-2, 3-5 and 6-7
    assert found.texts.numpy().tolist() == whole.texts.numpy().tolist()
    np.testing.assert_allclose(found.scores, whole.scores, rtol=1e-4)


@pytest.mark.slow
def test_the_settings_have_an_effect(graph: GenerationGraph) -> None:
    prompts, seeds = tf.constant(["The cat"] * 3), tf.constant([5, 5, 6])

    def texts(**changes: float) -> list[bytes]:
        return graph.generate(prompts, seeds, settings(**changes)).texts[:, 0].numpy().tolist()

    first, second, other = texts()
    assert first == second != other
    most_probable = texts(**GREEDY)
    assert len(set(most_probable)) == 1
    assert texts(top_k=1) == texts(top_p=1e-6) == texts(temperature=1e-3) == most_probable != texts()
    assert len(set(texts(top_k=2))) == 2
    short = graph.generate(prompts, seeds, settings(max_tokens=3, **GREEDY))
    assert short.pieces.shape == (3, 1, 3)
    assert most_probable[0].startswith(short.texts[0, 0].numpy())
    assert not tf.reduce_any(short.ended)
    unique = graph.generate(prompts, seeds, settings(no_repeat_ngram_size=1, top_k=3)).pieces[0, 0].numpy().tolist()
    assert len(set(unique)) == len(unique)


def test_no_tokens_are_generated_if_none_are_allowed(graph: GenerationGraph) -> None:
    found = graph.generate(tf.constant(["The cat"]), tf.constant([1]), settings(max_tokens=0))
    assert found.texts.numpy().tolist() == [[b""]]
    assert found.pieces.shape == (1, 1, 0)


def test_a_text_that_the_model_ends_has_no_end_piece_in_its_text(vocabulary: Vocabulary) -> None:
    (ids,) = vocabulary.encode(tf.constant(["The cat sat."])).to_list()
    graph = GenerationGraph(RecitingModel(ids, vocabulary.size), vocabulary, DecodingOptions(), 64)
    found = graph.generate(tf.constant(["", " "]), tf.constant([1, 2]))
    assert found.texts.numpy().tolist() == [[b"The cat sat."]] * 2
    assert found.ended.numpy().tolist() == [[True]] * 2
    assert found.pieces[0, 0].numpy().tolist()[-1] == b"</s>"
    assert found.pieces.shape == (2, 1, len(ids) + 1)
    cut = graph.generate(tf.constant([""]), tf.constant([1]), settings(max_tokens=len(ids)))
    assert (cut.texts[0, 0], bool(cut.ended[0, 0])) == (b"The cat sat.", False)


def test_a_continuation_that_begins_a_word_begins_with_a_space(vocabulary: Vocabulary) -> None:
    (ids,) = vocabulary.encode(tf.constant(["A dog barks"])).to_list()
    (prompt,) = vocabulary.encode(tf.constant(["A dog"])).to_list()
    assert ids[: len(prompt)] == prompt
    graph = GenerationGraph(RecitingModel(ids, vocabulary.size), vocabulary, DecodingOptions(), 64)
    found = graph.generate(tf.constant(["A dog", "A dog "]), tf.constant([1, 2]))
    assert found.texts.numpy().tolist() == [[b" barks"]] * 2


def test_the_score_of_generated_tokens_is_that_which_generation_reported(
    graph: GenerationGraph, vocabulary: Vocabulary
) -> None:
    drawn = graph.generate(tf.constant([""] * 3), tf.range(3), settings(max_tokens=31))
    places = {piece: number for number, piece in enumerate(vocabulary.pieces())}
    ids = [[places[piece.decode()] if piece else PAD for piece in row] for row in drawn.pieces[:, 0].numpy()]
    found = graph.token_log_probabilities(tf.constant(ids))
    np.testing.assert_allclose(found, drawn.token_log_probabilities[:, 0], rtol=1e-4, atol=1e-5)
    assert found.shape[1] > 3 * CONTEXT


TEXTS = ["The cat sat on the mat.", "", "Übung", "one two three four five six seven eight nine ten one two"]


def test_a_score_is_the_probability_of_each_token_after_those_before(
    graph: GenerationGraph, model: LanguageModel, vocabulary: Vocabulary
) -> None:
    found = graph.score(tf.constant(TEXTS))
    for row, ids in enumerate(vocabulary.encode(tf.constant(TEXTS)).to_list()):
        block, expected = [BOS], []
        for token in [*ids, EOS]:
            expected.append(log_probabilities(model, block)[token])
            block = slid(block, token)
        np.testing.assert_allclose(found.token_log_probabilities[row, : len(expected)], expected, rtol=1e-4, atol=1e-5)
        assert not np.any(found.token_log_probabilities[row, len(expected) :])
        assert float(found.log_probabilities[row]) == pytest.approx(float(sum(expected)), rel=1e-4)
        pieces = [piece.decode() for piece in found.pieces[row].numpy() if piece]
        assert pieces == [*(vocabulary.pieces()[token] for token in ids), "</s>"]


@pytest.mark.parametrize(("context", "windows"), [(6, [[0, 1, 2, 3, 4, 5], [3, 4, 5, 6, 7, 8]]), (2, None), (9, None)])
def test_a_long_text_is_read_in_overlapping_windows(context: int, windows: list[list[int]] | None) -> None:
    labels = tf.range(4, 13)[tf.newaxis]  # 9 tokens
    seen: list[list[int]] = []

    def decode(target: tf.Tensor) -> tf.Tensor:
        seen.extend(target.numpy().tolist())
        return tf.one_hot(target + 1, 16, on_value=8.0)

    found = text_log_probabilities(decode, labels, context_tokens=context, vocabulary_size=16).numpy()
    assert found.shape == (1, 9)
    after_previous = np.log(np.exp(8) / (np.exp(8) + 15))
    assert found[0, 1:] == pytest.approx([after_previous] * 8, rel=1e-3)  # each token was read after the one before
    if windows:
        assert seen == [[BOS, *(4 + number for number in window[:-1])] for window in windows]


def test_no_texts_have_no_continuations_and_no_scores(graph: GenerationGraph) -> None:
    nothing = tf.constant([], tf.string)
    drawn = graph.generate(nothing, tf.constant([], tf.int32), samples=2)
    assert drawn.texts.shape == drawn.scores.shape == (0, 2)
    assert graph.score(nothing).log_probabilities.shape == (0,)


@pytest.mark.slow  # the export of a language model does this too
def test_the_signatures_give_what_the_engine_gives_also_after_saving(graph: GenerationGraph, tmp_path: Path) -> None:
    signatures = graph.signatures()
    names = {"serving_default", "generate", "score", "tokenize", "detokenize", "inside", "inside_layer"}
    assert set(signatures) == names
    tf.saved_model.save(graph, str(tmp_path), signatures=signatures)
    loaded = tf.saved_model.load(str(tmp_path)).signatures
    prompts, seeds = tf.constant(PROMPTS[:2]), tf.constant([3, 4])
    expected = graph.generate(prompts, seeds, settings(top_k=5), samples=2)
    given = {**settings(top_k=5)._asdict(), "samples": tf.constant(2)}
    for functions in (signatures, loaded):
        found = functions["generate"](prompts=prompts, seeds=seeds, **given)
        assert found["texts"].numpy().tolist() == expected.texts.numpy().tolist()
        np.testing.assert_allclose(found["scores"], expected.scores, rtol=1e-4)
        plain = functions["serving_default"](prompts=prompts)
        default = graph.generate(prompts, tf.zeros([2], tf.int32))
        assert plain["texts"].numpy().tolist() == default.texts[:, 0].numpy().tolist()
        assert set(plain) == {"texts", "scores"}
        scored = functions["score"](texts=tf.constant(TEXTS))
        np.testing.assert_allclose(scored["log_probabilities"], graph.score(tf.constant(TEXTS))[0], rtol=1e-4)
        ids = functions["tokenize"](texts=tf.constant(["The cat"]))["ids"]
        assert functions["detokenize"](ids=ids)["texts"].numpy().tolist() == [b"The cat"]
        assert functions["serving_default"](prompts=tf.constant([], tf.string))["texts"].shape == (0,)


def test_a_negative_temperature_and_a_context_of_one_token_are_refused(
    graph: GenerationGraph, model: LanguageModel, vocabulary: Vocabulary
) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="the temperature must be above 0"):
        graph.generate(tf.constant(["A"]), tf.constant([1]), settings(temperature=-1.0))
    with pytest.raises(ValueError, match=r"^context_tokens is 1; it must be at least 2$"):
        GenerationGraph(model, vocabulary, OPTIONS, 1)


def test_the_rules_against_repetition_are_those_of_the_options(model: LanguageModel, vocabulary: Vocabulary) -> None:
    options = replace(OPTIONS, no_repeat_ngram_size=3, repetition_penalty=1.5, max_extra_tokens=7)
    chosen = GenerationSettings.of(options)
    assert [float(value) for value in chosen] == [1.0, 0.0, 1.0, 7.0, 3.0, 1.5]


@pytest.mark.parametrize(("prompt", "read"), [("at", None), ("one two three four five", CONTEXT // 2)])
def test_a_model_with_a_small_context_shows_the_prompt(graph: GenerationGraph, prompt: str, read: int | None) -> None:
    ids = graph.vocabulary.encode([prompt])[0, :read].numpy().tolist()
    shown = graph.inspector.inside(tf.constant(prompt))
    expected, _ = greedy(graph.model, ids, CONTEXT - len(ids))
    assert shown["prompt_tokens"] == len(ids)
    assert shown["target_ids"].numpy().tolist() == ids + expected
