"""Measures the time that a self-attention layer and a recurrent layer take on this machine.

Self-attention computes all positions at once, and a recurrent layer one after the other (Vaswani et al. 2017, section
4).
"""

import threading
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_nmt.app.runtime.processors import processor_name

RUNS = 5  # of each layer and length; the fastest is the result, since other programs can only slow a run down
LIMIT = 2.0  # seconds for the measurements of one call
SEED = 0

_Layer = Callable[[tf.Tensor], tf.Tensor]


class LayerTimes(NamedTuple):
    """The milliseconds that layers take for one sequence of a length, forward, in float32."""

    length: int
    self_attention: float
    recurrent: float


class LayerTimer:
    """Measures layers, and keeps what it has measured.

    Only one measurement runs at a time, since two would slow each other down.
    """

    def __init__(self) -> None:
        self._running = threading.Lock()
        self._known: dict[tuple[int, int], dict[int, LayerTimes]] = {}  # by width and heads, then by length

    def times(self, width: int, heads: int, lengths: Iterable[int]) -> list[LayerTimes]:
        """Returns the times of layers with random weights, the shortest sequence first.

        The recurrent layer is an LSTM. If the measurements take longer than `LIMIT`, the longest sequences are left
        out.

        Args:
            width: Width of both layers.
            heads: Number of heads of the self-attention layer.
            lengths: Lengths of the sequences.
        """
        with self._running:
            known = self._known.setdefault((width, heads), {})
            wanted = sorted(set(lengths))
            if missing := [length for length in wanted if length not in known]:
                known |= {times.length: times for times in measured(width, heads, missing)}
            return [known[length] for length in wanted if length in known]


def measured(width: int, heads: int, lengths: list[int]) -> list[LayerTimes]:
    """Measures both layers for sequences of growing lengths, until `LIMIT` is over. Measures at least one length."""
    layers = self_attention(width, heads), recurrent(width)
    for layer in layers:
        layer(tf.zeros([1, 1, width]))  # traces the function
    found: list[LayerTimes] = []
    start = before = time.perf_counter()
    for length in lengths:
        now = time.perf_counter()
        last = found[-1].length if found else length
        # A longer sequence takes longer, at least in proportion to its length.
        if found and now - start + (now - before) * length / last > LIMIT:
            break
        x = tf.constant(np.random.default_rng(SEED).normal(size=(1, length, width)), tf.float32)
        found.append(LayerTimes(length, *(milliseconds(layer, x, start + LIMIT) for layer in layers)))
        before = now
    return found


def milliseconds(layer: _Layer, x: tf.Tensor, deadline: float) -> float:
    """Returns the shortest time of `RUNS` calls of a layer, after one that does not count. Ends at the deadline."""
    found: list[float] = []
    for _ in range(1 + RUNS):
        start = time.perf_counter()
        layer(x).numpy()  # waits for the result
        found.append(1000 * (time.perf_counter() - start))
        if len(found) > 1 and time.perf_counter() > deadline:
            break
    return min(found[1:])


def self_attention(width: int, heads: int) -> _Layer:
    """Returns a multi-head self-attention layer as a function: float32 [1, T, D] -> [1, T, D]."""
    from keras_nmt.layers.sublayers.attention import AttentionContext, SelfAttention

    layer = SelfAttention(heads)
    layer.build((1, None, width))
    may_attend = tf.ones([1, 1, 1, 1], tf.bool)  # every position to every other
    return traced(lambda x: layer(x, context=AttentionContext(may_attend)), width)


def recurrent(width: int) -> _Layer:
    """Returns an LSTM (Hochreiter and Schmidhuber 1997) as a function: float32 [1, T, D] -> [1, T, D]."""
    import keras

    layer = keras.layers.LSTM(width, return_sequences=True)
    layer.build((1, None, width))
    return traced(layer, width)


def traced(layer: _Layer, width: int) -> _Layer:
    """Returns a layer as one TensorFlow function for sequences of any length."""
    function: _Layer = tf.function(layer, input_signature=[tf.TensorSpec([1, None, width], tf.float32)])
    return function


def device_name() -> str:
    """Returns the name of the GPU on which TensorFlow computes, or else that of the processor."""
    if gpus := tf.config.list_physical_devices("GPU"):
        return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU"))
    return processor_name()
