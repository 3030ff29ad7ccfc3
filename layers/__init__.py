"""The Transformer of *Attention Is All You Need* as Keras 3 layers: tensors in, tensors out.

No module here reads files, the clock or a command line. All layers are written with `keras.ops`, so they run on every
Keras backend. Read `sublayers/attention.py` first, then `encoder.py`, `decoder.py` and `transformer.py`.

Shapes in the docstrings use these letters: B rows of a batch, S source positions, T target positions, D model width, H
attention heads, V pieces in the vocabulary. In attention, T counts the queries and S the keys.
"""

from keras_nmt.layers.config import TransformerConfig
from keras_nmt.layers.transformer import Transformer

__all__ = ["Transformer", "TransformerConfig"]
