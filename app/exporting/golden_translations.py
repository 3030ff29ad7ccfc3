"""Golden translations: sentences and the run's translations of them, which an export stores and must reproduce.

The script `check_golden_translations` runs in a separate process and compares new translations with the stored ones.
"""

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf

from keras_nmt.app.decoding.signatures import TRANSLATE, Signature
from keras_nmt.app.errors import UserError
from keras_nmt.app.exporting import check_golden_translations
from keras_nmt.app.models.export_layout import EXTRA
from keras_nmt.app.models.loading import WeightPrecision
from keras_nmt.pipelines.vocabulary.tags import Languages, tagged
from keras_nmt.pipelines.vocabulary.tokenizer import Vocabulary

# The allowed difference of scores, relative to max(1, |score|): on the exporting machine, and on other machines.
SCORE_TOLERANCE = 1e-4
TOLERANCES_ELSEWHERE: dict[WeightPrecision, float] = {"float32": 1e-4, "bfloat16": 1e-2}
MADE_UP_LENGTHS = (1, 3, 10, 30)  # in words


class GoldenTranslation(NamedTuple):
    """A text, its translation and the score of the translation."""

    text: str
    translation: str
    score: float


def golden_translations(
    translate: Signature, sentences: Sequence[str], languages: Languages, max_source_tokens: int
) -> list[GoldenTranslation]:
    """Translates the texts that `golden_texts` returns, with the signature `translate` of an export."""
    texts = golden_texts(sentences, max_source_tokens, languages)
    found = translate(texts=tf.constant(texts))
    translations = [text.decode("utf-8", "replace") for text in found["translations"].numpy()]
    return [*map(GoldenTranslation, texts, translations, found["scores"].numpy().tolist())]


def golden_texts(sentences: Sequence[str], max_source_tokens: int, languages: Languages) -> list[str]:
    """Returns the sentences, an empty text, and a text of more than `max_source_tokens` words.

    The long text must be split to be translated. It repeats the words of all sentences, and begins with the tags of the
    first sentence.
    """
    tags, _ = languages.split(sentences[0])
    words = " ".join(languages.split(sentence)[1] for sentence in sentences).split()
    return [*sentences, "", tagged(" ".join(words * (1 + max_source_tokens // len(words))), tags)]


def made_up_sentences(vocabulary: Vocabulary) -> list[str]:
    """Makes sentences of random words of the vocabulary, for a run that contains no sentences."""
    chance = random.Random(0)
    words = [piece[1:] for piece in vocabulary.pieces() if piece[:1] == "▁" and piece[1:].isalpha()] or ["a"]
    return [" ".join(chance.choices(words, k=length)) + "." for length in MADE_UP_LENGTHS]


def write_golden_translations(
    version: Path, translations: Sequence[GoldenTranslation], precision: WeightPrecision, signature: str = TRANSLATE
) -> None:
    """Writes the translations and the script that checks them into the export.

    Args:
        version: The folder of the version.
        translations: The outputs of `signature`.
        precision: The precision of the weights, which decides how exact the scores must be on other machines.
        signature: The signature that the script calls: `translate` or `generate`.
    """
    golden = {
        "signature": signature,
        "score_tolerance": TOLERANCES_ELSEWHERE[precision],
        "translations": [translation._asdict() for translation in translations],
    }
    extra = version / EXTRA
    extra.mkdir(exist_ok=True)
    file = extra / check_golden_translations.GOLDEN_TRANSLATIONS
    file.write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    script = Path(check_golden_translations.__file__)
    shutil.copyfile(script, extra / script.name)


def check_in_fresh_process(version: Path) -> None:
    """Runs the check script of an export in a new process, which imports only TensorFlow and TensorFlow Text.

    Raises:
        UserError: The golden translations were not reproduced; the message shows the first one that differs.
    """
    script = version / EXTRA / Path(check_golden_translations.__file__).name
    done = subprocess.run(
        [sys.executable, "-I", str(script), str(SCORE_TOLERANCE)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise UserError(f"a fresh process does not reproduce the export: {lines[-1]}; not published")
