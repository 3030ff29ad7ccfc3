"""Made-up data of two target languages and a domain, small enough that a tiny model learns what the tags mean.

Words are single letters, each with a letter of its own in either language; in the domain "loud", all become z.
"""

import random
from itertools import product
from pathlib import Path

import tensorflow as tf

from keras_nmt.pipelines.shards.manifest import VOCABULARY, Manifest
from keras_nmt.pipelines.shards.records import length_histogram, write_shards
from keras_nmt.pipelines.shards.splits import Split
from keras_nmt.pipelines.sources.corpora import LanguagePair
from keras_nmt.pipelines.vocabulary.tags import Languages
from keras_nmt.pipelines.vocabulary.tokenizer import EOS
from tests.app.decoding.fakes import tagged_vocabulary

LANGUAGES = Languages((LanguagePair("en", "de"), LanguagePair("en", "fr")), ("loud",))
WORDS = {"en": "abcde", "de": "klmno", "fr": "uvwxy"}
LOUD = "z"
DEV = [([0, 1, 3, 2], "de", None), ([2, 0, 3, 3], "fr", None), ([4, 3, 0, 1], "de", "loud"), ([1, 4, 2, 0], "fr", None)]
SETTINGS = (
    *("training.steps=300", "training.checkpoint_every=300", "training.warmup_steps=60", "training.learning_rate=0.3"),
    *("training.label_smoothing=0.0", "model.residual_dropout=0.0"),
)

Numbers = list[int]


def write_data(folder: Path) -> Path:
    """Prepared data, as `nmt prepare` writes it of several pairs."""
    folder.mkdir()
    chance = random.Random(1)
    train = [
        (chance.choices(range(5), k=chance.randint(1, 4)), target, chance.choice((None, None, "loud")))
        for _, target in product(range(1500), LANGUAGES.targets)
    ]
    sentences = [side for row in train for side in texts(*row)]
    vocabulary = tagged_vocabulary(tags=LANGUAGES.tags, sentences=sentences, size=296)
    vocabulary.save(folder / VOCABULARY)
    splits = {}
    for name, rows in (("train", train), ("dev", DEV)):
        sides = [list(side) for side in zip(*(texts(*row) for row in rows), strict=True)]
        encoded = (vocabulary.encode(tf.constant(side)).to_list() for side in sides)
        pairs = [([*source, EOS], [*target, EOS]) for source, target in zip(*encoded, strict=True)]
        shards = write_shards(folder, name, pairs, 1)
        histogram = length_histogram(folder, shards)
        splits[name] = Split(shards, histogram, {"dropped": {}}, ())
    for side, file in zip(sides, ("dev.source", "dev.target"), strict=True):
        (folder / file).write_text("".join(f"{line}\n" for line in side), encoding="utf-8")
    splits["dev"] = Split(shards, histogram, {"dropped": {}}, (), ("dev.source", "dev.target"))
    facts = (vocabulary.size, vocabulary.digest, splits, {}, {})
    Manifest(folder, LANGUAGES.pairs[0], *facts, pairs=LANGUAGES.pairs, domains=LANGUAGES.domains).save()
    return folder


def texts(numbers: Numbers, target: str, domain: str | None) -> tuple[str, str]:
    """A source with its tags, and its translation."""
    source = " ".join(WORDS["en"][number] for number in numbers)
    translation = [LOUD] * len(numbers) if domain else [WORDS[target][number] for number in numbers]
    return LANGUAGES.tagger(target, domain)(source), " ".join(translation)
