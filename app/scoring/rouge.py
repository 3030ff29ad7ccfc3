"""Scores summaries with ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004), computed by the package rouge-score of Google.

rouge-score reads only the letters a to z, so text in other languages is divided by a tokenizer of this module.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import regex
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import DefaultTokenizer, Tokenizer

from keras_nmt.app.errors import UserError
from keras_nmt.pipelines.language_codes import base_of

_MEASURES = ("rouge1", "rouge2", "rougeL")
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}ー\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
_TOKEN = regex.compile(rf"[[{_UNSPACED}]&&\p{{L}}]\p{{M}}*|[\w--_--[[{_UNSPACED}]&&\p{{L}}]]+", regex.V1)


@dataclass(frozen=True)
class RougeScores:
    """F-measures in percent, and a signature of how they were computed.

    Attributes:
        rouge1: The overlap of words.
        rouge2: The overlap of pairs of adjacent words.
        rougeL: The longest common subsequence of words.
        signature: The number of references, the tokenizer, the stemmer and the version of rouge-score.
    """

    rouge1: float
    rouge2: float
    rougeL: float  # the name in rouge-score and in papers
    signature: str

    def as_dict(self) -> dict[str, Any]:
        """Returns the fields as values for JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Returns one line for each measure: its name, value and signature."""
        values = (("ROUGE-1", self.rouge1), ("ROUGE-2", self.rouge2), ("ROUGE-L", self.rougeL))
        return [f"{name} {value:6.2f}  {self.signature}" for name, value in values]


class WordTokenizer(Tokenizer):
    """Divides lower-cased text of any script into words.

    A word is a run of letters, marks and digits. In scripts without spaces between words, such as Chinese, Japanese and
    Thai, each letter is a word. Words are not stemmed.
    """

    def tokenize(self, text: str) -> list[str]:
        """Returns the words of a text.

        Example: "Schöne Häuser, 2 Autos: 猫です" becomes schöne, häuser, 2, autos, 猫, で, す.
        """
        return _TOKEN.findall(unicodedata.normalize("NFC", text.lower()))


def score(
    summaries: Sequence[str],
    references: Sequence[str],
    *further_references: Sequence[str],
    language: str = "en",
) -> RougeScores:
    """Scores summaries against one or more references.

    The score of a measure is the mean over the summaries. If a summary has several references, the reference with the
    highest F-measure counts, for each measure separately. A summary without words scores 0.

    Args:
        summaries: The summaries of the model.
        references: One reference for each summary.
        further_references: More sequences of references; each has one reference for each summary.
        language: The language of the summaries. English words are stemmed by Porter's algorithm, as in most papers;
            words of other languages are not stemmed.

    Returns:
        The scores.

    Raises:
        UserError: There are no summaries, or the numbers of summaries and references differ.
    """
    for each in (references, *further_references):
        if len(summaries) != len(each):
            raise UserError(
                f"{len(summaries)} summaries but {len(each)} references: expected one reference a summary;"
                " check that both files have the same number of lines"
            )
    if not summaries:
        raise UserError("nothing to score: expected at least one summary, got none")
    is_english = base_of(language) == "en"
    tokenizer = DefaultTokenizer(use_stemmer=True) if is_english else WordTokenizer()
    scorer = RougeScorer(_MEASURES, tokenizer=tokenizer)
    sums = dict.fromkeys(_MEASURES, 0.0)
    for summary, *targets in zip(summaries, references, *further_references, strict=True):
        found = scorer.score_multi(targets, summary)
        for name in _MEASURES:
            sums[name] += found[name].fmeasure
    return RougeScores(
        **{name: 100 * total / len(summaries) for name, total in sums.items()},
        signature=_signature(1 + len(further_references), is_english=is_english),
    )


def _signature(references: int, *, is_english: bool) -> str:
    """Returns a signature in the form of sacreBLEU's, to be published with the scores."""
    method = "tok:a-z0-9|stem:porter" if is_english else "tok:words|stem:no"
    return f"nrefs:{references}|{method}|version:rouge-score-{version('rouge-score')}"
