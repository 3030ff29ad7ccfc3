"""The Transformer of *Attention Is All You Need* as Keras 3 layers: tensors in, tensors out.

No module here reads files, the clock or a command line. All layers are written with `keras.ops`, so they run on every
Keras backend. Read `sublayers/attention.py` first, then `encoder.py`, `decoder.py` and `transformer.py`.

Shapes in the docstrings use these letters: B rows of a batch, S source positions, T target positions, D model width, H
attention heads, V pieces in the vocabulary. In attention, T counts the queries and S the keys.
"""

from typing import Any

from keras_nmt.layers.config import TransformerConfig
from keras_nmt.layers.language_model import LanguageModel
from keras_nmt.layers.transformer import Transformer

__all__ = ["AnyModel", "LanguageModel", "Transformer", "TransformerConfig", "network_of"]

AnyModel = Transformer | LanguageModel


def network_of(config: TransformerConfig, **kwargs: Any) -> AnyModel:
    """Returns a new model with random weights: a `LanguageModel` if there are no encoder layers, else a `Transformer`.

    `kwargs` are the keyword arguments of `keras.Model`.
    """
    return Transformer(config, **kwargs) if config.encoder_layers else LanguageModel(config, **kwargs)
