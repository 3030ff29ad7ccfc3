import numpy as np
import pytest
import tensorflow as tf

from keras_nmt.app.decoding.network.ensemble import Ensemble
from keras_nmt.app.decoding.network.protocol import Network
from keras_nmt.app.decoding.network.traced import TracedNetwork
from keras_nmt.app.decoding.search.tree_search import TreeSymbols, tree_length_limit, tree_search
from keras_nmt.layers import Transformer, TransformerConfig
from keras_nmt.pipelines.vocabulary.tokenizer import BOS, PAD

WORD, VOCABULARY = 4, 23
SYMBOLS = TreeSymbols([WORD], [5, 6], [7, 8])
SENTENCES = [[WORD, 11, 12, WORD, 13, WORD, 14, WORD, 15], [WORD, 16], [], [WORD, 17, WORD, 18, 19]]
BEAMS = 3


def parser(**changes: int) -> Transformer:
    config = {"model_width": 12, "inner_width": 20, "heads": 3, "encoder_layers": 1, "decoder_layers": 2, **changes}
    return Transformer(TransformerConfig(VOCABULARY, **config, word_token=WORD))


def ensemble() -> Ensemble:
    return Ensemble([parser(), parser(heads=2, decoder_layers=1)])


@pytest.mark.parametrize("make", [parser, pytest.param(ensemble, marks=pytest.mark.slow)])
def test_a_parser_scores_its_trees_as_whole_targets(make: type[Network]) -> None:
    """So each beam keeps its number of words read, through reordering and the removal of sentences that stopped."""
    network = TracedNetwork(make())
    pieces = tf.ragged.constant(SENTENCES, tf.int32)
    words = tf.constant([sentence.count(WORD) for sentence in SENTENCES])

    specs = tf.RaggedTensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)

    @tf.function(input_signature=specs, autograph=False)
    def parse(pieces: tf.RaggedTensor, words: tf.Tensor) -> dict[str, tf.Tensor]:
        step, state = network.begin(pieces, BEAMS)
        limits = tree_length_limit(words, 8)
        options = {"length_limits": limits, "beam_size": BEAMS, "length_penalty": 0.6, "hypotheses": BEAMS}
        return tree_search(step, state, words=words, symbols=SYMBOLS, **options)._asdict()

    found = parse(pieces, words)
    for beam in range(BEAMS):
        labels = found["tokens"][:, beam]
        exists = found["lengths"][:, beam].numpy() > 0
        target = tf.concat([tf.fill([len(SENTENCES), 1], BOS), labels[:, :-1]], axis=1)
        log_probabilities = tf.nn.log_softmax(tf.cast(network.logits(pieces, target), tf.float32))
        of_labels = tf.where(labels == PAD, 0.0, tf.gather(log_probabilities, labels, batch_dims=2))
        expected = tf.reduce_sum(of_labels, axis=1).numpy()[exists]
        np.testing.assert_allclose(found["log_probabilities"][:, beam].numpy()[exists], expected, rtol=1e-4)
    assert [tokens.tolist().count(WORD) for tokens in found["tokens"][:, 0].numpy()] == words.numpy().tolist()
