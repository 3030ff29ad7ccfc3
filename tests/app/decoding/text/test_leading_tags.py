"""Tags before a text control its translation and are not translated."""

import numpy as np
import pytest
import tensorflow as tf

from keras_nmt.app.decoding.forced.alignment import word_numbers
from keras_nmt.app.decoding.given_translations import Aligner
from keras_nmt.app.decoding.glossary import Glossary
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.decoding.search.hypotheses import Hypotheses
from keras_nmt.app.decoding.signatures import ALIGN, TRANSLATE
from keras_nmt.app.decoding.text.found_pieces import found_pieces
from keras_nmt.app.decoding.text.leading_tags import leads, tag_tables, without_tags
from keras_nmt.app.decoding.text.output_checks import find_warnings
from keras_nmt.app.decoding.translation_graph import TranslationGraph
from keras_nmt.app.decoding.translator import TranslationRequest, Translator
from keras_nmt.pipelines.vocabulary.tokenizer import Vocabulary
from tests.app.decoding.fakes import TAGS, CopyingTransformer, tagged_vocabulary, untraced_signatures
from tests.eager import eager

PIECES = ["<pad>", "<unk>", "<s>", "</s>", "▁", "<2fr>", "<news>", "▁x", "x", "▁<2de>", "<0x3C>", ">>fra<<"]
SPACE, FR, NEWS, WORD, LETTER, DE, BYTE, CODE = range(4, 12)


class WithoutTags(CopyingTransformer):
    """Copies the text after the tags."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__(vocabulary.size)
        self.tables = tag_tables(vocabulary.pieces())

    def cross_cache(self, memory: tf.Tensor) -> list[tf.Tensor]:
        (source,) = super().cross_cache(memory)
        shifts = tf.math.count_nonzero(leads(source, self.tables), axis=1, dtype=tf.int32)
        places = tf.range(tf.shape(source)[1]) + shifts[:, tf.newaxis]
        return [tf.gather(tf.pad(source, [[0, 0], [0, tf.reduce_max(shifts)]]), places, batch_dims=1)]


@pytest.fixture(scope="module", params=["", "▁"], ids=["bare", "spaced"])
def graph(request: pytest.FixtureRequest) -> TranslationGraph:
    vocabulary = tagged_vocabulary(request.param)
    options = DecodingOptions(beam_size=2, max_source_tokens=24, max_extra_tokens=8)
    return TranslationGraph(WithoutTags(vocabulary), vocabulary, options)


@pytest.mark.parametrize(
    ("row", "leading"),
    [
        ([SPACE, FR, SPACE, NEWS, WORD, LETTER], 4),
        ([SPACE, FR, SPACE, LETTER], 2),  # the space belongs to the text
        ([DE, NEWS, WORD], 2),
        ([CODE, WORD, FR], 1),
        ([SPACE, FR], 2),
        ([WORD, SPACE, FR, WORD], 0),
        ([SPACE, WORD], 0),
        ([BYTE, FR], 0),
        ([], 0),
    ],
)
def test_leading_tags_end_at_the_first_token_of_text(row: list[int], leading: int) -> None:
    tables, rows = tag_tables(PIECES), tf.ragged.constant([row, [WORD]], tf.int32)
    assert leads(rows.to_tensor(), tables)[0, : len(row)].numpy().tolist() == [i < leading for i in range(len(row))]
    assert without_tags(rows, tables).to_list() == [row[leading:], [WORD]]


def translated(graph: TranslationGraph, *texts: str) -> list[tuple[str, str]]:
    """Returns translations and warnings."""
    found = untraced_signatures(graph)[TRANSLATE](texts=tf.constant(texts))
    return [
        (a.decode(), b.decode()) for a, b in zip(found["translations"].numpy(), found["warnings"].numpy(), strict=True)
    ]


def test_every_piece_of_a_long_text_has_its_tags(graph: TranslationGraph) -> None:
    long = " ".join(["The cat sat on the mat."] * 5)
    pieces = graph.text.cutter.cut(tf.constant([f"<2fr> <news> {long}"])).tokens
    spelt = [b"".join(row).decode() for row in graph.vocabulary.spell(pieces.to_tensor()).numpy()]
    assert len(spelt) > 3
    assert all(piece.startswith("▁<2fr>▁<news>▁The") for piece in spelt)
    assert translated(graph, f"<2fr> <news> {long}")[0][0] == long


def test_tags_cause_no_warnings(graph: TranslationGraph) -> None:
    cat, two = "The cat sat on the mat.", "The 2 cats"
    assert translated(graph, cat, f"<2fr> {cat}", two, f"<2fr> <news> {two}") == [
        *[(cat, "copied")] * 2,
        *[(two, "")] * 2,
    ]


def test_a_digit_in_a_tag_does_not_count_as_a_number(graph: TranslationGraph) -> None:
    sources = graph.vocabulary.encode(tf.constant(["<2fr> 3 cats"]))
    with eager():
        found = Hypotheses(*(values[:, :1] for values in graph.search(sources, 1)))
    wrong = graph.vocabulary.encode(tf.constant(["4 cats"])).to_tensor()
    lengths = tf.fill([1, 1], tf.shape(wrong)[1])
    by_token = tf.zeros(tf.shape(wrong))[:, tf.newaxis]
    found = found._replace(tokens=wrong[:, tf.newaxis], lengths=lengths, token_log_probabilities=by_token)
    tables = {"vocabulary": graph.vocabulary, "tags": graph.text.tables.tags, "checks": find_warnings}
    assert found_pieces(sources, found, 1, False, **tables).warnings.numpy().tolist() == [
        [[False, False, False, True, False, False]]
    ]


def test_a_text_of_tags_alone_is_empty(graph: TranslationGraph) -> None:
    assert translated(graph, "<2fr>", "<2fr> <news> ", "") == [("", "")] * 3


def test_tags_count_as_words_but_no_word_is_aligned_with_them(graph: TranslationGraph) -> None:
    cat = "The cat sat on the mat."
    (plain,) = Aligner(untraced_signatures(graph)).align_lines([(cat, cat)])
    assert plain == "0-0 1-1 2-2 3-3 4-4 5-5"
    ids = graph.vocabulary.encode(tf.constant([f"<2fr> <news> {cat}"])).to_tensor()
    assert sorted(set(word_numbers(ids, graph.text.tables).numpy()[0].tolist())) == list(range(-1, 6))
    found = untraced_signatures(graph)[ALIGN](texts=tf.constant([f"<2fr> <news> {cat}"]), targets=tf.constant([cat]))
    assert not np.any(found["weights"].numpy()[:, :, :2])
    assert all(int(pair.split(b"-")[0]) >= 2 for pair in found["alignments"].numpy()[0].split()[4:])


def test_a_term_of_a_glossary_is_not_found_in_a_tag(graph: TranslationGraph) -> None:
    glossary: Glossary = (("news", "Übung"),)
    translator = Translator(untraced_signatures(graph), request=TranslationRequest(glossary=glossary))
    assert translator.translate(["<2fr> <news> The cat"])[0].text == "The cat"


def test_tags_are_tokens_of_their_own(graph: TranslationGraph) -> None:
    assert {
        graph.vocabulary.pieces()[i].removeprefix("▁") for i in np.flatnonzero(graph.text.tables.tags.is_tag)
    } == set(TAGS)
