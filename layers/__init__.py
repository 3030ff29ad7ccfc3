"""The Transformer of *Attention Is All You Need* as Keras 3 layers: tensors in, tensors out.

Nothing here reads a file, a clock or a command line. Every layer is written with `keras.ops`, so that it says
nothing about the backend. Read `attention.py` first, then `encoder.py`, `decoder.py` and `transformer.py`.
"""

from layers.config import TransformerConfig
from layers.transformer import Transformer

__all__ = ["Transformer", "TransformerConfig"]
