"""Loads a SavedModel with nothing but TensorFlow and TensorFlow Text and translates what stdin gives.

Run as a script by `export`: VERSION as the argument, a JSON list of texts on stdin, a JSON list of
[translation, score] as the last line of stdout. It imports nothing of this program.
"""

import json
import sys


def main() -> None:
    """Translates stdin."""
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  # registers the tokeniser's operations

    texts = json.load(sys.stdin)
    loaded = tf.saved_model.load(sys.argv[1])  # its functions alone would not keep the weights
    found = loaded.translate(tf.constant(texts))
    translations = [text.decode("utf-8", "replace") for text in found["translations"].numpy()]
    print(json.dumps(list(zip(translations, found["scores"].numpy().tolist(), strict=True))))


if __name__ == "__main__":
    main()
