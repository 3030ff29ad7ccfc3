import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_nmt.app.decoding import text_pipeline
from keras_nmt.app.decoding.network.beam_cache import MOST_ROOM
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.decoding.search.beam_state import ROOM
from keras_nmt.app.decoding.search.sampling import Sampling
from keras_nmt.app.decoding.signatures import N_BEST, TOKENIZE, TRANSLATE, Signatures
from keras_nmt.app.decoding.text.found_pieces import best_order
from keras_nmt.app.decoding.text.texts import Search
from keras_nmt.app.decoding.translation_graph import TranslationGraph
from keras_nmt.app.decoding.translator import Translation, TranslationRequest, Translator, batches_of_like_length
from keras_nmt.app.errors import UserError
from keras_nmt.layers.config import TransformerConfig
from keras_nmt.layers.transformer import Transformer
from keras_nmt.pipelines.vocabulary.tokenizer import BOS, EOS, PAD, Vocabulary
from tests.app.decoding.fakes import SENTENCES, CopyingTransformer, small_vocabulary, untraced_signatures
from tests.eager import eager

OPTIONS = DecodingOptions(beam_size=2, max_extra_tokens=3, max_source_tokens=40)
WORDS = " ".join(SENTENCES).split()


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return small_vocabulary()


@pytest.fixture(scope="module")
def graph(vocabulary: Vocabulary) -> TranslationGraph:
    return TranslationGraph(CopyingTransformer(vocabulary.size), vocabulary, OPTIONS)


@pytest.fixture(scope="module")
def signatures(graph: TranslationGraph) -> Signatures:
    """The graph's signatures, each traced once for all tests."""
    return graph.signatures()


@pytest.fixture(scope="module")
def translator(signatures: Signatures) -> Translator:
    return Translator(signatures, request=TranslationRequest(2), batch_tokens=200, window_lines=7)


@pytest.fixture(scope="module")
def saved(graph: TranslationGraph, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The signatures of the graph, loaded from a SavedModel."""
    folder = str(tmp_path_factory.mktemp("saved"))
    signatures = graph.signatures()  # saving traces them again
    few = {name: signatures[name] for name in (TRANSLATE, N_BEST, TOKENIZE)}
    tf.saved_model.save(graph, folder, signatures=few)
    return tf.saved_model.load(folder).signatures


def normalised(vocabulary: Vocabulary, lines: list[str]) -> list[str]:
    ids = vocabulary.encode(tf.constant(lines, tf.string)).to_tensor()
    return [text.decode() for text in vocabulary.decode(ids).numpy()]


lines_of_words = st.lists(st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join), max_size=20)


@settings(max_examples=20, deadline=None)
@given(lines=lines_of_words)
def test_translations_are_in_the_order_of_the_lines(
    lines: list[str], translator: Translator, vocabulary: Vocabulary
) -> None:
    assert [t.text for t in translator.translate(lines)] == normalised(vocabulary, lines)


@settings(max_examples=20, deadline=None)
@given(lines=st.lists(st.text(max_size=12), max_size=6))
def test_any_text_gives_one_line(lines: list[str], translator: Translator) -> None:
    translations = translator.translate(lines)
    assert len(translations) == len(lines)
    assert all("\n" not in t.text and "\r" not in t.text for t in translations)


def test_text_in_any_script_is_copied(translator: Translator) -> None:
    lines = ["Straße 東京 🙂", "Это кот.", "naïve café"]
    assert [t.text for t in translator.translate(lines)] == lines


def test_an_empty_line_gives_an_empty_translation_with_score_0(translator: Translator) -> None:
    empty = Translation("", 0.0)
    assert translator.translate(["", " \t ", "\u2003"]) == [empty] * 3
    beside_others = translator.translate(["The cat sat.", "", "A dog."])
    assert beside_others[1] == empty
    assert beside_others[0].score < 0


def test_a_line_of_5000_words_is_translated_completely(signatures: Signatures, vocabulary: Vocabulary) -> None:
    line = " ".join(WORDS[i % len(WORDS)] for i in range(5000))
    translator = Translator(signatures)
    long, short = translator.translate([line, "The cat sat on the mat."])
    assert long.text == normalised(vocabulary, [line])[0]
    assert short.text == "The cat sat on the mat."


def test_a_very_long_text_is_translated_in_parts_with_the_same_result(
    graph: TranslationGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = tf.constant([" ".join(WORDS * 5), "A dog.", ""])
    whole = graph.translate(texts, hypotheses=2)
    monkeypatch.setattr(text_pipeline, "BEAM_TOKENS_AT_ONCE", 4 * 90)
    parts = graph.translate(texts, hypotheses=2)
    np.testing.assert_array_equal(whole.translations, parts.translations)
    np.testing.assert_allclose(whole.scores, parts.scores, rtol=1e-6)


def test_a_split_line_scores_the_sum_of_its_pieces(graph: TranslationGraph, vocabulary: Vocabulary) -> None:
    first, second = "The cat sat on the mat. A dog barks at night.", "Übung macht den Meister."
    lengths = vocabulary.encode(tf.constant([first, second])).row_lengths().numpy()
    options = replace(OPTIONS, max_source_tokens=int(lengths.max()))
    splitting = TranslationGraph(graph.transformer, vocabulary, options)
    with eager():
        found = splitting.translate(tf.constant([f"{first} {second}", first, second]), hypotheses=2)
    np.testing.assert_allclose(found.scores[0], found.scores[1] + found.scores[2], rtol=1e-6)
    joined = tf.strings.join([found.translations[1], found.translations[2]], separator=" ")
    np.testing.assert_array_equal(found.translations[0], joined)


def test_sentences_are_translated_separately_and_those_without_words_are_copied(
    graph: TranslationGraph, signatures: Signatures
) -> None:
    lines = ["The cat sat. A dog!  ---  The mat. 1. The dog. a@b.example", "2. The cat sat.", "***", "3.5\tund"]
    pieces = graph.text.cutter.cut(tf.constant(lines))
    said = [text.decode() for text in graph.vocabulary.decode(pieces.tokens.to_tensor()).numpy()]
    assert said == ["The cat sat.", "A dog!", "The mat.", "The dog. a@b.example", "The cat sat.", "", "3.5 und"]
    assert [copied.decode() for copied in pieces.copied.numpy()] == ["", "", "---", "1.", "2.", "***", ""]
    assert pieces.owner.numpy().tolist() == [0, 0, 0, 0, 1, 2, 3]
    found = Translator(signatures, request=TranslationRequest(2)).translate(lines)
    expected = ["The cat sat. A dog! --- The mat. 1. The dog. a@b.example", "2. The cat sat.", "***", "3.5 und"]
    assert [one.text for one in found] == expected
    assert [len(one.alternatives) for one in found] == [1, 1, 0, 1]  # a copied text has no alternative
    assert found[0].alternatives[0].text.split(" --- ")[1] != expected[0].split(" --- ")[1]
    assert found[2] == Translation("***", 0.0)
    assert found[0].score == pytest.approx(
        sum(
            one.score
            for one in Translator(signatures).translate(["The cat sat.", "A dog!", "The mat.", "The dog. a@b.example"])
        )
    )


def test_a_prefix_is_divided_among_sentences(signatures: Signatures) -> None:
    lines = ["The cat sat. A dog. The mat.", "1. The cat sat. A dog.", "--- A dog.", "A dog."]
    prefixes = ["Die Katze. Übung", "1. Die", "--- Übung", "Die Katze. Übung macht. Den"]
    found = list(Translator(signatures, request=TranslationRequest(2)).translate_lines(lines, prefixes=prefixes))
    for prefix, translation in zip(prefixes, found, strict=True):
        assert translation.text.startswith(prefix.split(".")[0])
    assert found[0].text.split(". ")[1].startswith("Übung")
    assert found[0].text.endswith(" The mat.")
    assert found[1].text.startswith("1. Die")
    assert "1. 1." not in found[1].text
    assert found[2].text.startswith("--- Übung")
    assert found[3].text.startswith("Die Katze. Übung macht. Den")
    behind = Translator(signatures, request=TranslationRequest(3, at_prefix=True))
    (choice,) = behind.translate_lines(lines[:1], prefixes=["The cat sat. A"])
    texts = [choice.text, *(other.text for other in choice.alternatives)]
    assert len(set(texts)) == 3
    assert all(text.startswith("The cat sat. A") for text in texts)


def test_alternatives_are_the_next_best_translations(translator: Translator) -> None:
    (translation,) = translator.translate(["The cat sat on the mat."])
    assert len(translation.alternatives) == 1
    assert translation.alternatives[0].text != translation.text
    assert translation.alternatives[0].score <= translation.score


def test_asking_for_alternatives_does_not_change_the_best_translation(
    signatures: Signatures, translator: Translator
) -> None:
    best_only = Translator(signatures).translate(SENTENCES)
    n_best = translator.translate(SENTENCES)
    assert [(t.text, t.alternatives) for t in best_only] == [(t.text, ()) for t in n_best]
    np.testing.assert_allclose([t.score for t in best_only], [t.score for t in n_best], rtol=1e-6)


def test_a_translation_may_be_longer_than_the_room_at_first(graph: TranslationGraph, vocabulary: Vocabulary) -> None:
    line = "one two three four five six seven eight nine ten " * 3
    pieces = vocabulary.encode(tf.constant([line])).with_row_splits_dtype(tf.int64)
    assert pieces.row_lengths()[0] > 2 * max(MOST_ROOM, ROOM)
    search = Search.of(replace(OPTIONS, beam_size=3))
    found = graph.traced_search(pieces, vocabulary.encode([""]).with_row_splits_dtype(tf.int64), 1, *search)
    assert vocabulary.decode(found.tokens[:, 0]).numpy()[0].decode() == line.strip()


def test_the_log_probability_is_that_of_the_full_forward_pass(vocabulary: Vocabulary) -> None:
    config = TransformerConfig(
        vocabulary.size, model_width=12, inner_width=20, heads=3, encoder_layers=1, decoder_layers=1
    )
    transformer = Transformer(config)
    transformer.build()
    pieces = vocabulary.encode(tf.constant(["The cat sat on the mat.", "", "A dog"]))
    found = TranslationGraph(transformer, vocabulary, replace(OPTIONS, max_extra_tokens=40)).search(pieces, 2)
    assert int(tf.reduce_max(found.lengths)) > max(MOST_ROOM, ROOM)  # an untrained model hardly ever ends
    source = tf.concat([pieces, tf.fill([3, 1], EOS)], axis=1).to_tensor(PAD)
    for n in range(2):
        labels = found.tokens[:, n]
        target = tf.concat([tf.fill([3, 1], BOS), labels[:, :-1]], axis=1)
        log_probabilities = tf.nn.log_softmax(transformer({"source": source, "target": target}))
        of_labels = tf.where(labels == PAD, 0.0, tf.gather(log_probabilities, labels, batch_dims=2))
        exists = found.lengths[:, n] > 0
        expected = tf.reduce_sum(of_labels, axis=1)[exists]
        np.testing.assert_allclose(found.log_probabilities[:, n][exists], expected, rtol=1e-5)


def test_max_extra_tokens_limits_a_translation_that_never_ends(vocabulary: Vocabulary) -> None:
    class Babbler(CopyingTransformer):
        def decode_step(self, *tokens: Any, **encoded: Any) -> tf.Tensor:
            return super().decode_step(*tokens, **encoded) - 100.0 * tf.one_hot(EOS, self.vocabulary)

    text = tf.constant(["The cat"])
    tokens = vocabulary.encode(text)
    for extra in (0, 5):
        options = replace(OPTIONS, max_extra_tokens=extra)
        with eager():
            found = TranslationGraph(Babbler(vocabulary.size), vocabulary, options).search(tokens, 1)
        assert int(found.lengths[0, 0]) == int(tokens.row_lengths()[0]) + 1 + extra


def test_lines_are_read_a_window_at_a_time(signatures: Signatures) -> None:
    read = []

    def lines() -> Iterator[str]:
        for i in range(6):
            read.append(i)
            yield "A dog."

    translations = Translator(signatures, window_lines=2).translate_lines(lines())
    assert next(translations).text == "A dog."
    assert read == [0, 1]
    assert len(list(translations)) == 5


def test_parallel_batches_give_the_same_translations_as_sequential_ones(
    signatures: Signatures, translator: Translator
) -> None:
    all_there = threading.Barrier(3)
    sizes = []

    def n_best(texts: tf.Tensor, **settings: tf.Tensor) -> Any:
        sizes.append(len(texts))
        all_there.wait(timeout=60)  # or this test fails
        return signatures["translate_nbest"](texts=texts, **settings)

    n_best.input_signature = signatures["translate_nbest"].input_signature  # type: ignore[attr-defined]
    slow = {**signatures, "translate_nbest": n_best}
    progress: list[int] = []
    lines = [WORDS[0]] * 6  # few enough for a single batch
    found = Translator(slow, request=TranslationRequest(2), batches_at_once=3).translate(
        lines, progress=progress.append
    )
    assert [one.text for one in found] == [one.text for one in translator.translate(lines)]
    assert sizes == progress == [2, 2, 2]


def test_a_gpu_gets_one_batch_at_a_time(signatures: Signatures, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [kind] if kind == "GPU" else [])
    sizes: list[int] = []
    translator = Translator(signatures, batches_at_once=3)
    translator.translate([WORDS[0]] * 6, progress=sizes.append)
    assert sizes == [6]


def test_no_lines_give_no_translations(signatures: Signatures, translator: Translator) -> None:
    assert translator.translate([]) == []
    found = signatures["translate_nbest"](texts=tf.constant([], tf.string))
    assert found["translations"].shape == found["scores"].shape == (0, 2)


@pytest.mark.slow
def test_a_saved_model_translates_as_the_graph_does_and_neither_traces_again(
    saved: Any, translator: Translator
) -> None:
    loaded = Translator(saved, OPTIONS, request=TranslationRequest(2), batch_tokens=200, window_lines=7)
    lines = [*SENTENCES, "", " ".join(WORDS * 3)]
    assert loaded.translate(lines) == translator.translate(lines)
    n_best: Any = translator.signatures["translate_nbest"]
    assert n_best.experimental_get_tracing_count() == 1


@pytest.mark.slow
def test_a_saved_model_takes_other_settings_of_the_search(
    graph: TranslationGraph, vocabulary: Vocabulary, saved: Any
) -> None:
    options = DecodingOptions(4, 1.5, 0, 40, no_repeat_ngram_size=1, repetition_penalty=1.2)
    ours = untraced_signatures(TranslationGraph(graph.transformer, vocabulary, options))
    translations = Translator(ours).translate(SENTENCES)
    found = Translator(saved, options).translate(SENTENCES)
    assert [translation.text for translation in found] == [translation.text for translation in translations]
    # A graph may round the last bit differently from eager Python.
    scores = [translation.score for translation in translations]
    np.testing.assert_allclose([translation.score for translation in found], scores, rtol=1e-6)
    assert translations != Translator(saved, OPTIONS).translate(SENTENCES)
    many = Translator(saved, replace(OPTIONS, beam_size=5), request=TranslationRequest(5)).translate(SENTENCES)
    assert {len(translation.alternatives) for translation in many} == {4}


def test_translations_begin_with_their_prefixes(signatures: Signatures, translator: Translator) -> None:
    lines = ["The cat sat on the mat.", "A dog.", "", " ".join(WORDS * 3), "one two three"]
    prefixes = ["Die Katze", "", "Übung", "eins zwei drei vier fünf sechs sieben", "one two three four"]
    found = list(translator.translate_lines(lines, prefixes=prefixes))
    plain = translator.translate(lines)
    assert [found[i] for i in (1, 2)] == [plain[i] for i in (1, 2)]  # one has no prefix, one no token
    for i in (0, 3, 4):
        assert found[i].text.startswith(prefixes[i])
        assert all(other.text.startswith(prefixes[i]) for other in found[i].alternatives)
        assert found[i].score < plain[i].score
    again = Translator(signatures).translate_lines(["", plain[0].text], prefixes=["", plain[0].text])
    assert list(again)[1].text == plain[0].text  # a prefix may be all of it


def test_scores_and_confidence_agree_with_the_tokens(
    signatures: Signatures, vocabulary: Vocabulary, translator: Translator
) -> None:
    lines = ["The cat sat on the mat.", "", " ".join(WORDS * 2)]
    with_tokens = Translator(signatures, request=TranslationRequest(2, with_tokens=True)).translate(lines)
    for plain, translation in zip(translator.translate(lines), with_tokens, strict=True):
        assert (plain.text, plain.tokens) == (translation.text, ())
        for one in (translation, *translation.alternatives):
            pieces, log_probabilities = zip(*one.tokens, strict=True)
            text = "".join(pieces).replace("</s>", "").replace("▁", " ").strip()
            assert text == one.text
            assert one.confidence == pytest.approx(np.exp(np.mean(log_probabilities)), rel=1e-5)
            is_whole = pieces.count("</s>") == 1  # a text of one piece; otherwise the scores are sums
            if is_whole and len(pieces) > 1:
                assert one.score == pytest.approx(sum(log_probabilities) / ((5 + len(pieces)) / 6) ** 0.6, rel=1e-5)
    assert with_tokens[1].tokens == (("</s>", 0.0),)
    assert with_tokens[1].confidence == 1.0
    assert with_tokens[2].tokens[-1][0] == "</s>"


def test_a_copy_is_suspicious(translator: Translator) -> None:
    copied, short = translator.translate(["The cat sat on the mat.", "The cat"])
    assert copied.warnings == ("copied",)
    assert short.warnings == ()


def test_the_second_hypothesis_comes_first_if_it_has_fewer_warnings() -> None:
    warnings = tf.constant([[[1, 1], [1, 0], [0, 0]], [[1, 0], [0, 1], [0, 0]], [[0, 0], [0, 0], [0, 0]]]) == 1
    exists = tf.ones([3, 3], tf.bool)
    order = best_order(warnings, exists, retry=True).numpy().tolist()
    assert order == [[1, 0, 2], [0, 1, 2], [0, 1, 2]]
    assert best_order(warnings, exists, retry=False).numpy().tolist() == [[0, 1, 2]] * 3
    alone = best_order(warnings[:, :1], exists[:, :1], retry=True)
    assert alone.numpy().tolist() == [[0]] * 3
    none_second = tf.constant([[True, False, False]] * 3)
    assert best_order(warnings, none_second, retry=True).numpy().tolist() == [[0, 1, 2]] * 3


def test_a_suspicious_translation_gives_way_to_the_next_best(vocabulary: Vocabulary) -> None:
    class Swapping(CopyingTransformer):
        """Copies, but for each token another one is almost as likely."""

        def logits(self, wanted: tf.Tensor) -> tf.Tensor:
            other = tf.where((wanted == EOS) | (wanted < 10), wanted, 10 + (wanted - 9) % (self.vocabulary - 10))
            return super().logits(wanted) + 8.8 * tf.one_hot(other, self.vocabulary)

    graph = TranslationGraph(Swapping(vocabulary.size), vocabulary, replace(OPTIONS, beam_size=4))
    text = ["one two three 12"]
    signatures = untraced_signatures(graph)
    n_best = Translator(signatures, request=TranslationRequest(2)).translate(text)[0]
    (best,) = Translator(signatures).translate(text)
    assert n_best.warnings == ("copied",)
    expected = n_best if n_best.alternatives[0].warnings else n_best.alternatives[0]
    assert (best.text, best.warnings) == (expected.text, expected.warnings)


@pytest.fixture
def unsure(graph: TranslationGraph) -> Iterator[None]:
    """Makes the graph's transformer copy less surely during a test."""
    sure = graph.transformer.sharpness.numpy()
    graph.transformer.sharpness.assign(4.0)
    yield
    graph.transformer.sharpness.assign(sure)


@pytest.mark.usefixtures("unsure")
def test_samples_depend_on_the_line_and_the_seed_alone(signatures: Signatures) -> None:
    def sampled(lines: list[str], seed: int = 1, **batches: int) -> list[list[str]]:
        request = TranslationRequest(3, sampling=Sampling(), seed=seed)
        found = Translator(signatures, OPTIONS, request=request, **batches).translate(lines)
        return [[t.text, *(other.text for other in t.alternatives)] for t in found]

    lines = ["The cat sat.", "A dog barks at night.", "", " ".join(WORDS * 2), "The cat sat."]
    together = sampled(lines)
    assert together == sampled(lines, batch_tokens=1, window_lines=2)
    assert together != sampled(lines, seed=2)
    assert together[0] != together[4]  # the same text in another line
    assert len(set(together[0])) == 3
    assert together[2] == [""] * 3
    coldest = Translator(signatures, OPTIONS, request=TranslationRequest(sampling=Sampling(top_k=1))).translate(lines)
    greedy = Translator(signatures, replace(OPTIONS, beam_size=1)).translate(lines)
    assert [t.text for t in coldest] == [t.text for t in greedy]
    np.testing.assert_allclose([t.score for t in coldest], [t.score for t in greedy], rtol=1e-4)


def test_alternatives_differ_after_their_prefix(signatures: Signatures, vocabulary: Vocabulary) -> None:
    lines, prefixes = ["The cat sat on the mat.", "A dog.", " ".join(WORDS * 2)], ["The cat", "", "The cat sat"]
    translator = Translator(signatures, request=TranslationRequest(3, at_prefix=True))
    found = list(translator.translate_lines(lines, prefixes=prefixes))
    for line, prefix, translation in zip(lines, prefixes, found, strict=True):
        texts = [translation.text, *(other.text for other in translation.alternatives)]
        assert all(text.startswith(prefix) for text in texts)
        assert len(set(texts)) == 3
        assert texts[0] == normalised(vocabulary, [line])[0]  # the copy is the likeliest


def test_translations_contain_the_terms_of_a_glossary(signatures: Signatures, vocabulary: Vocabulary) -> None:
    glossary = (("cat", "Katze"), ("dog", "one two"), ("mat", "Meister"), ("sat on the", "saß auf der"))
    lines = ["The cat sat on the mat.", "A dog.", "The catalogue.", "", " ".join(WORDS * 2)]
    plain = Translator(signatures).translate(lines)
    found = Translator(signatures, request=TranslationRequest(glossary=glossary)).translate(lines)
    for wanted in ("Katze", "Meister", "saß auf der"):
        assert wanted in found[0].text
    assert "one two" in found[1].text
    assert [found[i].text for i in (2, 3)] == [plain[i].text for i in (2, 3)]
    np.testing.assert_allclose([found[i].score for i in (2, 3)], [plain[i].score for i in (2, 3)], rtol=1e-5)
    assert all(target in found[4].text for _, target in glossary)


def test_a_glossary_term_ends_where_a_word_ends(vocabulary: Vocabulary) -> None:
    class Continuing(CopyingTransformer):
        """Continues words wherever possible."""

        def logits(self, wanted: tf.Tensor) -> tf.Tensor:
            more = tf.constant([not piece.startswith("▁") and piece.isalpha() for piece in vocabulary.pieces()])
            return super().logits(wanted) + tf.where(more, 20.0, 0.0)

    graph = TranslationGraph(Continuing(vocabulary.size), vocabulary, replace(OPTIONS, max_extra_tokens=9))
    translator = Translator(untraced_signatures(graph), request=TranslationRequest(glossary=(("cat", "Katze"),)))
    (found,) = translator.translate(["The cat sat"])
    assert "Katze" in re.findall(r"\w+", found.text)


def test_a_missing_signature_is_refused(signatures: Signatures) -> None:
    few = {name: function for name, function in signatures.items() if "sample" not in name}
    with pytest.raises(UserError, match="this engine does not support sampling"):
        Translator(few, request=TranslationRequest(sampling=Sampling())).translate(["a"])


@pytest.mark.parametrize(
    ("prefixes", "message"), [([""], "fewer prefixes than lines"), ([""] * 3, "more prefixes than")]
)
def test_each_line_has_one_prefix(translator: Translator, prefixes: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        list(translator.translate_lines(["A dog.", "one two"], prefixes=prefixes))


def test_texts_survive_tokenize_and_detokenize(signatures: Signatures, vocabulary: Vocabulary) -> None:
    texts = ["The cat sat.", "", "Übung"]
    found = signatures["tokenize"](texts=tf.constant(texts))
    for row, length in enumerate(found["lengths"].numpy()):
        ids = found["ids"].numpy()[row]
        spelt = [vocabulary.pieces()[i] if i else "" for i in ids]
        assert [piece.decode() for piece in found["pieces"].numpy()[row]] == spelt
        assert np.count_nonzero(ids) == length
    assert [t.decode() for t in signatures["detokenize"](ids=found["ids"])["texts"].numpy()] == texts


@given(lengths=st.lists(st.integers(1, 50), max_size=40), budget=st.integers(1, 120))
def test_every_line_is_in_one_batch_and_no_batch_exceeds_the_budget(lengths: list[int], budget: int) -> None:
    batches = batches_of_like_length(np.array(lengths, int), budget)
    assert sorted(line for batch in batches for line in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[line] for line in batch) <= budget


def test_the_worked_example_of_batches_holds() -> None:
    assert batches_of_like_length(np.array([3, 9, 2, 3]), 8) == [[1], [0, 3], [2]]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"beam_size": 0}, "beam_size must be at least 1, got 0"),
        ({"max_extra_tokens": -1}, "max_extra_tokens must be at least 0, got -1"),
        ({"max_source_tokens": 0}, "max_source_tokens must be at least 1, got 0"),
        ({"length_penalty": float("nan")}, "length_penalty must be between -10 and 10, got nan"),
    ],
)
def test_options_out_of_range_are_refused(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DecodingOptions(**setting)  # type: ignore[arg-type]
