from typing import Any

import pytest
import tensorflow as tf

from keras_nmt.app.decoding import whole_texts
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.decoding.translation_graph import TranslationGraph
from keras_nmt.pipelines.sentences.graph_cutting import cut_at_sentence_in_graph
from tests.app.decoding.fakes import SENTENCES, CopyingTransformer, small_vocabulary


def test_a_text_that_is_too_long_is_cut_once_and_its_output_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(texts: tf.Tensor, *arguments: Any) -> tuple[tf.Tensor, tf.Tensor]:
        calls.append(texts)
        return cut_at_sentence_in_graph(texts, *arguments)

    monkeypatch.setattr(whole_texts, "cut_at_sentence_in_graph", counted)
    vocabulary = small_vocabulary()
    limit = int(vocabulary.encode(tf.constant(SENTENCES[:1])).row_lengths()[0])
    options = DecodingOptions(beam_size=1, max_source_tokens=limit)
    copying: Any = CopyingTransformer(vocabulary.size)
    graph = TranslationGraph(copying, vocabulary, options, whole_texts.WholeTextPipeline(vocabulary, options))
    found = graph.translate(tf.constant([" ".join(SENTENCES), SENTENCES[0]]))
    assert found.translations[:, 0].numpy().tolist() == [SENTENCES[0].encode()] * 2
    assert found.warnings[:, 0].numpy().tolist() == [b"cut", b""]
    assert len(calls) == 1
