"""What an export must translate, and how: real sentences with the run's own translations, stored in the export.

`check_golden_translations` compares, in a process of its own. Nothing is loaded here.
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

from app.decoding.signatures import TRANSLATE
from app.decoding.translation_graph import TranslationGraph
from app.errors import UserError
from app.exporting import check_golden_translations
from app.models.export_layout import EXTRA
from app.models.loading import Precision
from pipelines.vocabulary.tags import Languages, tagged
from pipelines.vocabulary.tokenizer import Vocabulary

# By which share of itself, or of 1 if that is more, a score may differ: where it was exported, and elsewhere.
SCORE_TOLERANCE = 1e-4
TOLERANCES_ELSEWHERE: dict[Precision, float] = {"float32": 1e-4, "bfloat16": 1e-2}
MADE_UP_LENGTHS = (1, 3, 10, 30)  # in words


class GoldenTranslation(NamedTuple):
    """A text with its translation and the score of that."""

    text: str
    translation: str
    score: float


def golden_translations(
    graph: TranslationGraph, sentences: Sequence[str], languages: Languages
) -> list[GoldenTranslation]:
    """The sentences, an empty text and one that must be split, as the graph translates them."""
    texts = golden_texts(sentences, graph.options.max_source_tokens, languages)
    found = graph.signatures()[TRANSLATE](texts=tf.constant(texts))
    translations = [text.decode("utf-8", "replace") for text in found["translations"].numpy()]
    return [*map(GoldenTranslation, texts, translations, found["scores"].numpy().tolist())]


def golden_texts(sentences: Sequence[str], max_source_tokens: int, languages: Languages) -> list[str]:
    """The sentences, an empty text, and one with more words than the model takes tokens, which is split.

    The long one has the tags of the first sentence.
    """
    tags, _ = languages.split(sentences[0])
    words = " ".join(languages.split(sentence)[1] for sentence in sentences).split()
    return [*sentences, "", tagged(" ".join(words * (1 + max_source_tokens // len(words))), tags)]


def made_up_sentences(vocabulary: Vocabulary) -> list[str]:
    """Random words of the vocabulary, for a run that holds no sentences of its own."""
    chance = random.Random(0)
    words = [piece[1:] for piece in vocabulary.pieces() if piece[:1] == "▁" and piece[1:].isalpha()] or ["a"]
    return [" ".join(chance.choices(words, k=length)) + "." for length in MADE_UP_LENGTHS]


def write_golden_translations(version: Path, translations: Sequence[GoldenTranslation], precision: Precision) -> None:
    """Writes them into the export, and the script that holds it to them beside them."""
    golden = {
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
    """Has a process with nothing but TensorFlow and TensorFlow Text reproduce an export's golden translations.

    Raises:
        UserError: It does not; the message shows the first translation that differs.
    """
    script = version / EXTRA / Path(check_golden_translations.__file__).name
    done = subprocess.run(
        [sys.executable, "-I", str(script), str(SCORE_TOLERANCE)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise UserError(f"a fresh process does not reproduce the export: {lines[-1]}; not published")
