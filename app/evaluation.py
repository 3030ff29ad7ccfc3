"""Scores translations by sacreBLEU with the signatures that make scores comparable (Post 2018), and loads test sets."""

import difflib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import sacrebleu
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

from keras_nmt.app.errors import UserError
from keras_nmt.app.runtime.text_files import read_lines
from keras_nmt.pipelines.language_codes import base_of
from keras_nmt.pipelines.sources.corpora import LanguagePair, open_corpus
from keras_nmt.pipelines.vocabulary.tags import Languages

CHINESE = {"yue", "wuu", "nan", "hak", "gan", "hsn", "lzh"}  # other languages that are written in Chinese characters


@dataclass(frozen=True)
class CorpusScores:
    """Corpus scores in percent, and sacreBLEU's signature of each score. For TER, lower is better."""

    bleu: float
    chrf: float
    ter: float
    signatures: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Returns the fields as values for JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Returns one line for each metric: its name, value and signature."""
        values = (("BLEU", self.bleu), ("chrF", self.chrf), ("TER", self.ter))
        return [f"{name:<4} {value:6.2f}  {self.signatures[name.lower()]}" for name, value in values]


def score(
    hypotheses: Sequence[str],
    references: Sequence[str],
    *further_references: Sequence[str],
    target_language: str = "",
    tokenizer: str | None = None,
) -> CorpusScores:
    """Scores translations against one or more references.

    Args:
        hypotheses: The detokenized translations.
        references: One reference for each translation.
        further_references: More sequences of references; each has one reference for each translation.
        target_language: A language code such as `de` or `zh-Hant`. For Chinese, Japanese and Korean, sacreBLEU has
            special tokenizers for BLEU; other languages use `13a`.
        tokenizer: The name of a sacreBLEU tokenizer for BLEU; None for the tokenizer of the target language.

    Returns:
        The scores.

    Raises:
        UserError: There are no translations, the numbers of translations and references differ, or the language needs a
            package that is not installed.
    """
    for each in (references, *further_references):
        if len(hypotheses) != len(each):
            raise UserError(
                f"{len(hypotheses)} translations but {len(each)} references: expected one reference a translation;"
                " check that both files have the same number of lines"
            )
    if not hypotheses:
        raise UserError("nothing to score: expected at least one translation, got none")
    metrics = {"bleu": bleu_metric(target_language, tokenizer), "chrf": CHRF(), "ter": TER()}
    every = [references, *further_references]
    values = {name: metric.corpus_score(hypotheses, every).score for name, metric in metrics.items()}
    signatures = {name: str(metric.get_signature()) for name, metric in metrics.items()}
    return CorpusScores(**values, signatures=signatures)


def test_set(name: str, pair: str) -> tuple[list[str], list[str]]:
    """Returns the source lines and the reference lines of a test set.

    Args:
        name: A test set of sacreBLEU (`wmt14`, `wmt14/full`), downloaded at its first use, or the SPEC of a corpus,
            such as `sample:NAME`.
        pair: The translation direction, such as `en-de`.

    Returns:
        The source lines and the reference lines. If the test set has several references, the first is used.

    Raises:
        UserError: There is no such test set or pair, or the download fails.
        DataError: There is no such corpus, or `pair` is not a language pair.
    """
    direction = LanguagePair.parse(pair)
    if ":" in name:
        return corpus_lines(name, direction)
    known = sacrebleu.get_available_testsets()
    if name not in known:
        raise UserError(f"unknown test set {name!r}; {_nearest(name, known)}")
    pairs = sacrebleu.get_langpairs_for_testset(name)
    known_pair = Languages(tuple(map(LanguagePair.written, pairs))).find(direction)
    if known_pair is None:
        raise UserError(f"test set {name} has no pair {pair!r}; {_nearest(pair, pairs)}")
    return _downloaded(name, str(known_pair))


def corpus_lines(spec: str, pair: LanguagePair) -> tuple[list[str], list[str]]:
    """Returns the source lines and the reference lines of a corpus, split `test` if it has splits.

    Bytes that are not UTF-8 become U+FFFD.

    Raises:
        DataError: The corpus cannot be read.
    """
    raw = list(open_corpus(spec, pair, split="test"))
    sides = [pair.source for pair in raw], [pair.target for pair in raw]
    sources, references = ([text.decode("utf-8", "replace") for text in side] for side in sides)
    return sources, references


test_set.__test__ = False  # type: ignore[attr-defined]  # for pytest, which collects by name


def bleu_metric(target_language: str, tokenizer: str | None = None) -> BLEU:
    """Returns sacreBLEU's BLEU metric. If `tokenizer` is None, uses the tokenizer of the target language.

    Raises:
        UserError: There is no such tokenizer, or the tokenizer needs a package that is not installed.
    """
    language = tokenized_as(target_language)
    if tokenizer is not None and tokenizer not in BLEU.TOKENIZERS:
        raise UserError(f"there is no tokenizer {tokenizer}; sacreBLEU has {', '.join(BLEU.TOKENIZERS)}")
    try:
        return BLEU(trg_lang=language, tokenize=tokenizer)
    except (RuntimeError, ImportError) as error:
        package = {"ja-mecab": "ja", "ko-mecab": "ko"}.get(tokenizer or "", language)
        raise UserError(
            f"BLEU for {tokenizer or target_language} needs another package; run: pip install 'sacrebleu[{package}]'"
        ) from error


def tokenized_as(language: str) -> str:
    """Returns the code by which sacreBLEU chooses the tokenizer of a language.

    Examples: zh_CN, zho and yue become zh; ja-JP becomes ja; pt-BR becomes pt; "" stays "".
    """
    code = base_of(language)
    return "zh" if code in CHINESE else code


def _nearest(name: str, known: Sequence[str]) -> str:
    """Returns the known names that are most similar to an unknown name, for an error message."""
    near = difflib.get_close_matches(name, known, n=5, cutoff=0.5) or sorted(known)[:12]
    return f"nearest known: {', '.join(near)}"


def _downloaded(name: str, pair: str) -> tuple[list[str], list[str]]:
    """Downloads a test set of sacreBLEU, and returns its source lines and the lines of its first reference."""
    try:
        source = sacrebleu.get_source_file(name, pair)
        reference = sacrebleu.get_reference_files(name, pair)[0]
    except (Exception, SystemExit) as error:  # sacreBLEU has no error classes, and exits on a wrong checksum
        reason = "damaged" if isinstance(error, SystemExit) else " ".join(str(error).split())
        raise UserError(
            f"cannot download test set {name} {pair} ({reason}); give the files with --source and --reference"
        ) from error
    return read_lines(Path(source)), read_lines(Path(reference))
