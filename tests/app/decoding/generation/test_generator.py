"""Text that is yielded as it is generated: the same text, whole characters, and no part of a stop string."""

import math
import re
from functools import cache
from itertools import accumulate

import numpy as np
import pytest
import tensorflow as tf

from keras_nmt.app.decoding.generation.generator import TextGenerator, stop_place
from keras_nmt.app.decoding.generation.graph import GenerationGraph
from keras_nmt.app.decoding.generation.settings import GenerationSettings
from keras_nmt.app.decoding.generation.stepper import steps_of
from keras_nmt.app.decoding.generation.steps import GenerationSteps
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.layers import LanguageModel, TransformerConfig
from keras_nmt.pipelines.vocabulary.tokenizer import BOS, EOS, PAD, Vocabulary
from keras_nmt.pipelines.vocabulary.words import word_model
from tests.app.decoding.fakes import RecitingModel, small_vocabulary

OPTIONS = DecodingOptions(max_extra_tokens=21)


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return small_vocabulary()


@pytest.fixture(scope="module")
def graph(vocabulary: Vocabulary) -> GenerationGraph:
    config = TransformerConfig(vocabulary.size, 12, 20, 3, encoder_layers=0, decoder_layers=2)
    return GenerationGraph(LanguageModel(config), vocabulary, OPTIONS, context_tokens=9)


@pytest.fixture(scope="module")
def generator(graph: GenerationGraph) -> TextGenerator:
    return TextGenerator(steps_of(graph))


@cache
def reciting_steps(text: str, vocabulary: Vocabulary) -> GenerationSteps:
    """Steps that recite a text; traced once for each text."""
    (ids,) = vocabulary.encode(tf.constant([text])).to_list()
    graph = GenerationGraph(RecitingModel(ids, vocabulary.size), vocabulary, DecodingOptions(), context_tokens=64)
    return steps_of(graph)


def reciting(text: str, vocabulary: Vocabulary, tokens_at_once: int = 1) -> TextGenerator:
    return TextGenerator(reciting_steps(text, vocabulary), tokens_at_once)


@pytest.mark.parametrize("prompt", ["", "The cat", "one two three four five six seven eight nine ten"])
def test_the_joined_parts_are_the_text_that_generate_gives(
    graph: GenerationGraph, generator: TextGenerator, prompt: str
) -> None:
    seeds = range(4)
    expected = graph.generate(tf.constant([prompt] * len(seeds)), tf.range(len(seeds))).texts[:, 0].numpy()
    counts = []
    for seed in seeds:
        parts = list(generator.generate(prompt, seed=seed))
        assert "".join(parts) == expected[seed].decode()
        assert all(parts)
        counts.append(len(parts))
    assert max(counts) > 3


def test_the_settings_have_an_effect(graph: GenerationGraph, generator: TextGenerator) -> None:
    greedy = GenerationSettings.of(OPTIONS)._replace(temperature=tf.constant(0.0), max_tokens=tf.constant(5))
    first, second = ("".join(generator.generate("A dog", seed=seed, settings=greedy)) for seed in (1, 2))
    expected = graph.generate(tf.constant(["A dog"]), tf.constant([0]), greedy)
    assert first == second == expected.texts[0, 0].numpy().decode()


def test_a_character_of_several_bytes_is_yielded_whole(vocabulary: Vocabulary) -> None:
    text = "The €😀 cat"
    spelt = vocabulary.encode(tf.constant([text])).to_list()[0]
    assert len([piece for piece in spelt if vocabulary.pieces()[piece].startswith("<0x")]) == 7
    parts = list(reciting(text, vocabulary).generate(""))
    assert "".join(parts) == text
    assert [part for part in parts if "€" in part] == ["€"]
    assert [part for part in parts if "😀" in part] == ["😀"]
    assert "\ufffd" not in "".join(parts)


def test_bytes_that_are_no_character_are_yielded_as_the_engine_shows_them(vocabulary: Vocabulary) -> None:
    places = {piece: number for number, piece in enumerate(vocabulary.pieces())}
    ids = [places[piece] for piece in ("<0xE2>", "<0xE2>", "<0x82>", "<0xAC>", "<0x80>", "<0xF0>", "<0x9F>")]
    graph = GenerationGraph(RecitingModel(ids, vocabulary.size), vocabulary, DecodingOptions(), context_tokens=64)
    expected = graph.generate(tf.constant([""]), tf.constant([0])).texts[0, 0].numpy().decode()
    parts = list(TextGenerator(steps_of(graph), 1).generate(""))
    assert "".join(parts) == expected
    assert parts[1] == "€"


@pytest.mark.parametrize("tokens_at_once", [1, 5])
@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        (["six"], "one two three four five "),
        (["five six", "three"], "one two "),
        (["seven nine", "eighty", "tenth"], "one two three four five six seven eight nine ten"),
        (["o"], ""),
    ],
)
def test_the_text_ends_before_a_stop_string(
    vocabulary: Vocabulary, stop: list[str], expected: str, tokens_at_once: int
) -> None:
    text = "one two three four five six seven eight nine ten"
    parts = list(reciting(text, vocabulary, tokens_at_once).generate("", stop=stop))
    assert "".join(parts) == expected
    for so_far in accumulate(parts):
        assert expected.startswith(so_far)


def test_a_stop_string_in_the_prompt_does_not_end_the_text(vocabulary: Vocabulary) -> None:
    assert "".join(reciting("A dog barks", vocabulary).generate("A dog", stop=["dog"])) == " barks"


def test_an_empty_stop_string_is_refused(generator: TextGenerator) -> None:
    with pytest.raises(ValueError, match=r"^a stop string is empty; remove it, or write the text to stop at$"):
        generator.generate("", stop=["x", ""])


@pytest.mark.parametrize(
    ("text", "stop", "expected"),
    [
        ("a cat.\n", ["\n\n"], (6, False)),
        ("a cat.\n\nA", ["\n\n"], (6, True)),
        ("a cat", ["dog", "at", "cat"], (2, True)),
        ("aab", ["ab", "bcd", "aabc"], (1, True)),
        ("xab", ["abc", "bd"], (1, False)),
        ("text", [], (4, False)),
        ("", ["a"], (0, False)),
    ],
)
def test_the_place_where_a_growing_text_ends(text: str, stop: list[str], expected: tuple[int, bool]) -> None:
    assert stop_place(text, stop) == expected


def test_each_token_has_its_probability_and_the_alternatives_of_the_model(
    graph: GenerationGraph, generator: TextGenerator, vocabulary: Vocabulary
) -> None:
    chunks = list(generator.chunks("The cat", seed=2, alternatives=3))
    parts = [part for chunk in chunks for part in chunk.parts]
    found = graph.generate(tf.constant(["The cat"]), tf.constant([2]))
    log_probability = sum(math.log(part.probability) for part in parts)
    ids = vocabulary.encode(tf.constant(["The cat"])).to_list()[0]
    assert log_probability == pytest.approx(float(tf.reduce_sum(found.token_log_probabilities[0, 0, :21])), rel=1e-4)
    logits = np.array(graph.model.decode(tf.constant([[BOS, *ids]]))[0, -1], np.float64)
    shares = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    shares[[PAD, BOS]] = 0.0
    best = np.argsort(-shares)[:3]
    assert [one.probability for one in parts[0].alternatives] == pytest.approx(shares[best].tolist(), rel=1e-4)
    for one, place in zip(parts[0].alternatives, best, strict=True):
        piece = vocabulary.pieces()[place]
        byte = int(piece[3:5], 16) if piece.startswith("<0x") else 255
        expected = "" if place == EOS else chr(byte) if byte < 128 else piece.replace("▁", " ")
        assert one.text == expected  # a byte that is a character is shown as such
    assert {len(part.alternatives) for part in parts} == {3}


def test_a_model_in_bfloat16_has_alternatives_too(vocabulary: Vocabulary) -> None:
    config = TransformerConfig(vocabulary.size, 12, 20, 3, encoder_layers=0, decoder_layers=1)
    graph = GenerationGraph(LanguageModel(config, dtype="bfloat16"), vocabulary, OPTIONS, context_tokens=9)
    chunks = list(TextGenerator(steps_of(graph)).chunks("The cat", alternatives=3))
    assert {len(part.alternatives) for chunk in chunks for part in chunk.parts} == {3}


def test_a_long_text_is_the_same_as_decoded_at_once(vocabulary: Vocabulary) -> None:
    text = " ".join(f"The cat sat on {number} mats, and € {number}." for number in range(12))
    (ids,) = vocabulary.encode_in_python([text])
    options = DecodingOptions(max_extra_tokens=len(ids) + 1)
    graph = GenerationGraph(RecitingModel(ids, vocabulary.size), vocabulary, options, context_tokens=len(ids) + 2)
    assert len(ids) > 200
    assert "".join(TextGenerator(steps_of(graph)).generate("")) == text


def test_the_first_word_of_a_text_has_alternatives_without_a_space(vocabulary: Vocabulary) -> None:
    word = next(number for number, piece in enumerate(vocabulary.pieces()) if re.fullmatch("▁[a-z]+", piece))
    model = RecitingModel([word, word], vocabulary.size)
    graph = GenerationGraph(model, vocabulary, DecodingOptions(), context_tokens=64)
    (chunk,) = TextGenerator(steps_of(graph), 8).chunks("", alternatives=1)
    text = vocabulary.pieces()[word][1:]
    assert [part.text for part in chunk.parts] == [text, f" {text}"]
    assert [part.alternatives[0].text for part in chunk.parts] == [text, f" {text}"]


def test_alternatives_have_a_space_only_where_the_text_would_have_it() -> None:
    generator = reciting("dogs the\n\ncat dogs\ndogs , cat", Vocabulary(word_model(["the", ",", "cat"])), 16)
    parts = ["<unk>", " the", "\n", "\n", "cat", " <unk>", "\n", "<unk>", " ,", " cat"]
    # The model says the text with certainty; UNK has the lowest id of the other tokens, and then EOS.
    others = ["", " <unk>", " <unk>", "<unk>", "<unk>", "", " <unk>", "", " <unk>", " <unk>"]
    for prompt, begin in (("", 0), ("dogs", 1), ("dogs the\n\n", 4)):
        (chunk,) = generator.chunks(prompt, alternatives=2)
        assert [part.text for part in chunk.parts] == parts[begin:]
        assert [[one.text for one in part.alternatives] for part in chunk.parts] == [
            [*pair] for pair in zip(parts[begin:], others[begin:], strict=True)
        ]


def test_a_character_of_several_bytes_is_one_part(vocabulary: Vocabulary) -> None:
    (chunk,) = reciting("€", vocabulary, 8).chunks("", alternatives=1)
    (part,) = chunk.parts
    assert (part.text, chunk.reason) == ("€", "end")
    assert part.alternatives[0].text in ("▁", " ", "<0xE2>")


def test_the_last_chunk_says_why_the_text_ends(vocabulary: Vocabulary) -> None:
    generator = reciting("A dog barks at the cat", vocabulary, 4)
    for stop, most, expected in ((["cat"], 40, "stop"), ([], 2, "length"), ([], 40, "end"), (["xyz"], 40, "end")):
        settings = generator.steps.settings.changed({"max_tokens": most})
        chunks = list(generator.chunks("", settings=settings, stop=stop))
        assert (chunks[-1].reason, {chunk.reason for chunk in chunks[:-1]} - {None}) == (expected, set())
        assert sum(chunk.tokens for chunk in chunks) <= most
