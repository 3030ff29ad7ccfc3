"""Text that is yielded as it is generated: the same text, whole characters, and no part of a stop string."""

from itertools import accumulate

import pytest
import tensorflow as tf

from keras_nmt.app.decoding.generation.generator import TextGenerator, stop_place
from keras_nmt.app.decoding.generation.graph import GenerationGraph, GenerationSettings
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.layers import LanguageModel, TransformerConfig
from keras_nmt.pipelines.vocabulary.tokenizer import Vocabulary
from tests.app.decoding.fakes import RecitingModel, small_vocabulary

OPTIONS = DecodingOptions(max_extra_tokens=21)


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return small_vocabulary()


@pytest.fixture(scope="module")
def generator(vocabulary: Vocabulary) -> TextGenerator:
    config = TransformerConfig(vocabulary.size, 12, 20, 3, encoder_layers=0, decoder_layers=2)
    return TextGenerator(GenerationGraph(LanguageModel(config), vocabulary, OPTIONS, context_tokens=9))


def reciting(text: str, vocabulary: Vocabulary, tokens_at_once: int = 1) -> TextGenerator:
    (ids,) = vocabulary.encode(tf.constant([text])).to_list()
    graph = GenerationGraph(RecitingModel(ids, vocabulary.size), vocabulary, DecodingOptions(), context_tokens=64)
    return TextGenerator(graph, tokens_at_once)


@pytest.mark.parametrize("prompt", ["", "The cat", "one two three four five six seven eight nine ten"])
def test_the_joined_parts_are_the_text_that_generate_gives(generator: TextGenerator, prompt: str) -> None:
    seeds = range(4)
    expected = generator.graph.generate(tf.constant([prompt] * len(seeds)), tf.range(len(seeds))).texts[:, 0].numpy()
    counts = []
    for seed in seeds:
        parts = list(generator.generate(prompt, seed=seed))
        assert "".join(parts) == expected[seed].decode()
        assert all(parts)
        counts.append(len(parts))
    assert max(counts) > 3


def test_the_settings_have_an_effect(generator: TextGenerator) -> None:
    greedy = GenerationSettings.of(OPTIONS)._replace(temperature=tf.constant(0.0), max_tokens=tf.constant(5))
    first, second = ("".join(generator.generate("A dog", seed=seed, settings=greedy)) for seed in (1, 2))
    expected = generator.graph.generate(tf.constant(["A dog"]), tf.constant([0]), greedy)
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
    parts = list(TextGenerator(graph, 1).generate(""))
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
