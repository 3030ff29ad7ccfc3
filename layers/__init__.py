"""The Transformer of *Attention Is All You Need* as Keras 3 layers: tensors in, tensors out.

No module here reads files, the clock or a command line. Every layer is written with `keras.ops`, so that it runs on
every Keras backend. Read `sublayers/attention.py` first, then `encoder.py`, `decoder.py` and `transformer.py`.
"""

from keras_nmt.layers.config import TransformerConfig
from keras_nmt.layers.transformer import Transformer

__all__ = ["Transformer", "TransformerConfig"]
