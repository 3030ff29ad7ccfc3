"""Measures the loss of a run of this program on a text of characters, in two ways; see benchmarks/README.md."""

import argparse
import json
from pathlib import Path

from keras_nmt.app.runtime.tensorflow_start import import_tensorflow

ROWS_AT_ONCE = 256


def losses(run: Path, text: str) -> dict[str, float]:
    """Returns the losses of a text in nats a token.

    "block_loss" cuts the text into blocks of the length of training, and reads each block without the text before it:
    BOS and all tokens of the block but the last.
    "sliding_loss" is that of `nmt evaluate`, without EOS.
    """
    import tensorflow as tf

    from keras_nmt.app.decoding.generation.graph import GenerationGraph
    from keras_nmt.app.models.loading import RunModel

    engine = RunModel(run).engine
    if not isinstance(engine, GenerationGraph):
        raise SystemExit(f"{run} is no language model")
    measure = tf.function(engine.token_log_probabilities, input_signature=[tf.TensorSpec([None, None], tf.int32)])
    ids = engine.vocabulary.encode(tf.constant([text])).to_tensor()  # int32 [1, T]
    tokens, block = int(ids.shape[1]), engine.reader.context_tokens
    blocks = tf.reshape(tf.pad(ids, [[0, 0], [0, -tokens % block]]), [-1, block])
    by_block = sum(
        float(tf.reduce_sum(measure(blocks[first : first + ROWS_AT_ONCE])))
        for first in range(0, len(blocks), ROWS_AT_ONCE)
    )
    sliding = float(tf.reduce_sum(tf.cast(measure(ids), tf.float64)))
    return {"block_loss": -by_block / tokens, "sliding_loss": -sliding / tokens}


def main() -> None:
    """Prints the losses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--text", type=Path, required=True)
    arguments = parser.parse_args()
    import_tensorflow()
    import keras
    import tensorflow as tf

    versions = {"tensorflow": tf.__version__, "keras": keras.__version__}
    print(json.dumps({**losses(arguments.run, arguments.text.read_text(encoding="utf-8")), "versions": versions}))


if __name__ == "__main__":
    main()
