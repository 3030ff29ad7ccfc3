"""Cutting off the ends of texts that are too long; Python and the graph agree."""

import subprocess
import sys
from collections.abc import Callable

import pytest
import regex
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_nmt.pipelines.sentences.cutting import cut_at_sentence, sentence_pieces
from keras_nmt.pipelines.sentences.graph_cutting import cut_at_sentence_in_graph
from keras_nmt.pipelines.vocabulary.tokenizer import Vocabulary

Cut = tuple[str, bool]
InGraph = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
PARTS = (
    *("Dr.", "He", "ran", "Tom", "house", "etc.", "2.", "?", "!", "...", '"', "(", ")", "»", "-", "\n", "\u2028"),
    *("\u00a0", "\u3000", "  ", ".", "今天。", "。", "「行く。」", "と", "है।", "ä", "a\u0301\u0323", "😀", "\ufdd0"),
)
in_parts = st.lists(st.sampled_from([*PARTS, " ", " ", ". "]), max_size=16).map("".join)
texts = in_parts | st.text(st.characters(max_codepoint=0x52F), max_size=16)


def count_words(text: str) -> int:
    """Counts each word and each mark of punctuation."""
    return len(regex.findall(r"\w+|[^\w\s]", text))


def count_characters(text: str) -> int:
    return len(text)


def traced(count_tokens: Callable[[tf.Tensor], tf.Tensor]) -> InGraph:
    specs = [tf.TensorSpec([None], tf.string), tf.TensorSpec([], tf.int32)]

    def cut(texts: tf.Tensor, limit: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return cut_at_sentence_in_graph(texts, limit, count_tokens)

    return tf.function(cut, input_signature=specs, autograph=False)


def in_graph(cut: InGraph, texts: list[str], limit: int) -> list[Cut]:
    starts, are_cut = cut(tf.constant(texts, tf.string), tf.constant(limit))
    return [(start.decode(), bool(was_cut)) for start, was_cut in zip(starts.numpy(), are_cut.numpy(), strict=True)]


by_characters = traced(lambda texts: tf.strings.length(texts, unit="UTF8_CHAR"))


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("A dog. It barks. It runs.", 9, ("A dog. It barks. It runs.", False)),
        ("A dog. It barks. It runs.", 8, ("A dog. It barks.", True)),
        ("A dog. It barks. It runs.", 6, ("A dog. It barks.", True)),
        ("A dog. It barks. It runs.", 5, ("A dog.", True)),
        ("A dog. It barks. It runs.", 3, ("A dog.", True)),
        ("A dog. It barks. It runs.", 2, ("A", True)),  # the next word is "dog." with its full stop
        ("Dr. Smith sleeps. He snores.", 6, ("Dr. Smith sleeps.", True)),
        ("Dr. Smith sleeps. He snores.", 4, ("Dr. Smith", True)),
        ("A dog\nIt barks", 3, ("A dog", True)),  # a line end ends a sentence
        ("One.  Two.  ", 2, ("One.", True)),  # spaces after the cut are left out
        ("  One. Two.", 2, ("  One.", True)),
        ("Good dog", 0, ("", True)),
        ("", 0, ("", False)),
    ],
)
def test_a_text_is_cut_after_the_last_sentence_or_word_that_fits(text: str, limit: int, expected: Cut) -> None:
    assert cut_at_sentence(text, limit, count_words) == expected


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("今天很好。我们去公园。", 11, ("今天很好。我们去公园。", False)),
        ("今天很好。我们去公园。", 10, ("今天很好。", True)),
        ("今天很好。我们去公园。", 4, ("今天很好", True)),
        ("Überlänge", 4, ("Über", True)),
        ("ha\u0308user", 2, ("h", True)),  # a mark stays with its letter
        ("ha\u0308user", 3, ("ha\u0308", True)),
    ],
)
def test_a_word_that_is_too_long_is_cut_between_characters(text: str, limit: int, expected: Cut) -> None:
    assert cut_at_sentence(text, limit, count_characters) == expected
    assert in_graph(by_characters, [text], limit) == [expected]


def test_each_text_of_a_batch_is_cut_by_itself() -> None:
    given_texts = ["Yes.", "A dog. It barks.", "", "Überlänge hier", "今天很好。我们去公园。", "One two three"]
    expected = [
        ("Yes.", False),
        ("A dog.", True),
        ("", False),
        ("Überläng", True),
        ("今天很好。", True),
        ("One two", True),
    ]
    assert in_graph(by_characters, given_texts, 8) == expected
    assert [cut_at_sentence(text, 8, count_characters) for text in given_texts] == expected
    assert in_graph(by_characters, [], 8) == []


@settings(max_examples=100, deadline=None)
@given(batch=st.lists(texts, max_size=3), limit=st.integers(0, 30))
def test_python_and_the_graph_cut_at_the_same_place(batch: list[str], limit: int) -> None:
    assert in_graph(by_characters, batch, limit) == [cut_at_sentence(text, limit, count_characters) for text in batch]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=texts, limit=st.integers(0, 12))
def test_python_and_the_graph_agree_on_the_tokens_of_a_vocabulary(
    vocabulary: Vocabulary, by_tokens: InGraph, text: str, limit: int
) -> None:
    def count_tokens(part: str) -> int:
        return len(vocabulary.encode_in_python([part])[0])

    expected = cut_at_sentence(text, limit, count_tokens)
    assert in_graph(by_tokens, [text], limit) == [expected]
    assert count_tokens(expected[0]) <= limit


@pytest.fixture(scope="module")
def by_tokens(vocabulary: Vocabulary) -> InGraph:
    return traced(lambda texts: vocabulary.encode(texts).row_lengths())


@settings(max_examples=200, deadline=None)
@given(text=texts, limit=st.integers(0, 30))
def test_the_longest_run_of_sentences_that_fits_is_kept(text: str, limit: int) -> None:
    start, was_cut = cut_at_sentence(text, limit, count_characters)
    pieces = sentence_pieces(text)
    whole = "".join(pieces)
    assert was_cut == (len(text) > limit)
    if not was_cut:
        assert start == text
        return
    assert whole.startswith(start)
    assert len(start) <= limit
    starts = ["".join(pieces[: i + 1]).rstrip() for i, piece in enumerate(pieces) if piece.strip()]
    fitting = [one for one in starts if len(one) <= limit]
    if fitting:
        assert start == fitting[-1]


def test_cutting_in_python_does_not_import_tensorflow() -> None:
    code = "import sys, keras_nmt.pipelines.sentences.cutting; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
