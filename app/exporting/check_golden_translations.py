"""Checks that a SavedModel still returns the translations that were stored when it was exported (golden translations).

`nmt export` copies this script into the folder assets.extra of each version, and runs it in a new process before it
publishes the version. To run it again: `python EXPORT/VERSION/assets.extra/check_golden_translations.py [TOLERANCE]`.
TOLERANCE is the allowed relative difference of scores, and replaces the stored tolerance. Another processor may need a
larger tolerance, because it rounds sums differently. The script needs TensorFlow and TensorFlow Text, but not the
program that wrote the export.
"""

import json
import sys
from pathlib import Path
from typing import Any

GOLDEN_TRANSLATIONS = "golden_translations.json"


def main() -> None:
    """Prints that all translations are reproduced, or shows the first one that differs and exits with code 1."""
    golden = read_golden_translations(Path(__file__).with_name(GOLDEN_TRANSLATIONS))
    share = float(sys.argv[1]) if len(sys.argv) > 1 else golden["score_tolerance"]
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  # registers the tokeniser's operations

    loaded = tf.saved_model.load(str(Path(__file__).absolute().parents[1]))
    texts = tf.constant([line["text"] for line in golden["translations"]])
    call, output, verb = CALLS[golden.get("signature", "translate")]
    found = call(loaded, texts)
    translations = [text.decode("utf-8", "replace") for text in found[output].numpy().ravel()]
    scores = found["scores"].numpy().ravel()
    for line, translation, score in zip(golden["translations"], translations, scores, strict=True):
        tolerance = share * max(1.0, abs(line["score"]))
        if translation != line["translation"] or not abs(float(score) - line["score"]) <= tolerance:
            stored = (line["translation"], line["score"])
            sys.exit(f"it {verb} {line['text'][:80]!r} as {(translation, float(score))}, not as {stored}")
    plainest = loaded.signatures["serving_default"](texts[:1])
    if plainest[output].numpy()[0] != found[output].numpy().ravel()[0]:
        sys.exit(f"serving_default and {call.__name__} return different {output}")
    print(f"{len(translations)} golden {output} were reproduced")


def translate(loaded: Any, texts: Any) -> Any:
    """Translates the texts."""
    return loaded.translate(texts)


def generate(loaded: Any, texts: Any) -> Any:
    """Continues the texts, one continuation each, with the seed 0."""
    return loaded.generate(texts, [0] * len(texts))


CALLS = {"translate": (translate, "translations", "translates"), "generate": (generate, "texts", "continues")}


def read_golden_translations(file: Path) -> dict[str, Any]:
    """Reads the golden translations that `nmt export` stored. Exits with a message if the file is damaged."""
    try:
        golden = json.loads(file.read_text(encoding="utf-8"))
        tolerance, translations = golden["score_tolerance"], golden["translations"]
        whole = [isinstance(value, str) for line in translations for value in (line["text"], line["translation"])]
        whole += [isinstance(value, float) for value in (tolerance, *(line["score"] for line in translations))]
        if not translations or not all(whole) or golden.get("signature", "translate") not in CALLS:
            raise ValueError("there is no translation, or one is incomplete")
    except (OSError, ValueError, LookupError, TypeError) as error:
        sys.exit(f"{file.name} is damaged: {error}")
    return golden


if __name__ == "__main__":
    main()
