"""Converts a transformer to a model for CTranslate2, a C++ engine for CPUs and GPUs that needs no TensorFlow."""

from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from ctranslate2 import specs

from keras_nmt.app.decoding.ctranslate2_graph import VOCABULARY
from keras_nmt.app.decoding.network.protocol import Network
from keras_nmt.layers import Transformer
from keras_nmt.layers.decoder import DecoderLayer
from keras_nmt.layers.encoder import EncoderLayer
from keras_nmt.layers.positions import sinusoids
from keras_nmt.layers.sublayers.normalization import LayerNormalization
from keras_nmt.pipelines.vocabulary.loading import AnyVocabulary
from keras_nmt.pipelines.vocabulary.tokenizer import BOS, EOS, UNK

Quantization = Literal["float32", "int8"]

POSITIONS = 4096  # rows of the table that CTranslate2 reads; no source or translation may have more tokens


def write_ctranslate2(
    transformer: Network, vocabulary: AnyVocabulary, folder: Path, quantization: Quantization
) -> None:
    """Writes the model, in CTranslate2's format, and vocabulary.model into an existing folder.

    Args:
        transformer: A `layers.Transformer`, post-norm or pre-norm.
        vocabulary: The vocabulary that the transformer was trained with.
        folder: The folder to write to.
        quantization: The data type of the matrices. The other weights stay float32.

    Raises:
        TypeError: `transformer` is an ensemble.
        ValueError: `transformer` has a `word_token`, or copies.
    """
    if not isinstance(transformer, Transformer):
        raise TypeError(f"expected a Transformer, got {type(transformer).__name__}")
    if transformer.word_token:
        raise ValueError("CTranslate2 does not support a decoder that is told the next word (word_token)")
    if transformer.copying:
        raise ValueError("CTranslate2 does not support a decoder that copies from the source (copying)")
    pieces = vocabulary.pieces()
    config = transformer.config
    spec = specs.TransformerSpec.from_config(
        (config.encoder_layers, config.decoder_layers),
        config.heads,
        pre_norm=config.normalization == "pre",
        activation=getattr(specs.Activation, config.activation.upper()),
    )
    for tied in (spec.encoder.embeddings[0], spec.decoder.embeddings, spec.decoder.projection):
        tied.weight = _array(transformer.embedding.embeddings)
    if config.logits_bias:
        spec.decoder.projection.bias = _array(transformer.embedding.bias)
    for theirs, ours in ((spec.encoder, transformer.encoder), (spec.decoder, transformer.decoder)):
        theirs.position_encodings.encodings = _array(sinusoids(keras.ops.arange(POSITIONS), config.model_width))
        if ours.final_norm:
            _fill_norm(theirs.layer_norm, ours.final_norm)
        for layer, block in zip(theirs.layer, ours.blocks, strict=True):
            _fill_layer(layer, block)
    spec.config.layer_norm_epsilon = config.normalization_epsilon
    spec.config.add_source_eos = True
    for name, token in (("unk", UNK), ("bos", BOS), ("eos", EOS), ("decoder_start", BOS)):
        setattr(spec.config, f"{name}_token", pieces[token])
    spec.register_source_vocabulary(pieces)
    spec.register_target_vocabulary(pieces)
    spec.validate()
    if quantization != "float32":
        spec.optimize(quantization=quantization)
    spec.save(str(folder))
    vocabulary.save(folder / VOCABULARY)


def _fill_layer(layer: Any, block: EncoderLayer | DecoderLayer) -> None:
    """Copies the weights of an encoder or decoder block into CTranslate2's layer, which fuses the same projections."""
    own = block.self_attention
    sublayers = [(layer.self_attention, layer.self_attention.linear, [own.query_key_value, own.output_projection])]
    if isinstance(block, DecoderLayer):
        cross = block.cross_attention
        projections = [cross.query, cross.key_value, cross.output_projection]
        sublayers.append((layer.attention, layer.attention.linear, projections))
    network = block.feed_forward
    sublayers.append((layer.ffn, [layer.ffn.linear_0, layer.ffn.linear_1], [network.inner, network.outer]))
    for (sublayer, linears, projections), residual in zip(sublayers, block.residuals, strict=True):
        _fill_norm(sublayer.layer_norm, residual.norm)
        for linear, projection in zip(linears, projections, strict=True):
            linear.weight = _array(projection.kernel).T
            if projection.use_bias:
                linear.bias = _array(projection.bias)


def _fill_norm(theirs: Any, ours: LayerNormalization) -> None:
    theirs.gamma, theirs.beta = _array(ours.gamma), _array(ours.beta)


def _array(weight: keras.Variable | keras.KerasTensor) -> np.ndarray:
    return keras.ops.convert_to_numpy(weight)
