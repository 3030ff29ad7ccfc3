"""Bracketing scores by the rules of EVALB (Sekine and Collins, 1997) with its parameters COLLINS.prm.

The counts and the printed figures are those of the C program. Brackets are compared by label and span. Punctuation
(words with the tags `,`, `:`, `` `` ``, `''`, `.`) and empty elements are left out first, and `TOP` is not counted. So
the trees need real tags: a wrong tag of punctuation makes a sentence an error, as in the C program.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from keras_nmt.pipelines.trees.tree import End, Leaf, Tree

SHORT_WORDS = 40  # CUTOFF_LEN: the second set of scores is for sentences of at most so many words
_DELETED = frozenset({"TOP", "-NONE-", ",", ":", "``", "''", "."})  # DELETE_LABEL
_NOT_IN_LENGTH = "-NONE-"  # DELETE_LABEL_FOR_LENGTH


class Status(IntEnum):
    """What became of a sentence; the numbers are those that EVALB prints.

    Attributes:
        SCORED: The sentence counts.
        ERROR: The words of the two trees differ, without those that are left out; the sentence does not count.
        SKIPPED: There is no parse, or it has no words; the sentence does not count.
    """

    SCORED = 0
    ERROR = 1
    SKIPPED = 2


@dataclass(frozen=True)
class SentenceScore:
    """The counts of a sentence, which are 0 unless it is scored.

    Attributes:
        length: The number of words of the reference with punctuation, without empty elements.
        status: If the sentence counts.
        matched: The number of brackets that are in both trees.
        gold: The number of brackets of the reference.
        test: The number of brackets of the output.
        crossing: The number of brackets of the output that overlap one of the reference without nesting.
        words: The number of words without punctuation.
        correct_tags: The number of those words that have the right tag.
    """

    length: int
    status: Status
    matched: int = 0
    gold: int = 0
    test: int = 0
    crossing: int = 0
    words: int = 0
    correct_tags: int = 0

    @property
    def is_complete(self) -> bool:
        """True if all brackets are right and none is missing."""
        return self.gold == self.test == self.matched


@dataclass(frozen=True)
class Scores:
    """The scores of a set of sentences. All but `average_crossing` and the four numbers of sentences are per cent.

    Attributes:
        sentences: The number of sentences.
        errors: The number of sentences whose words differ between the two trees.
        skipped: The number of sentences without a parse.
        valid: The number of sentences that are scored.
        recall: Labelled recall.
        precision: Labelled precision.
        f1: The harmonic mean of recall and precision; 0 if both are 0, where the C program prints "nan".
        complete_match: Sentences whose brackets are all right.
        average_crossing: The number of crossing brackets per sentence.
        no_crossing: Sentences without crossing brackets.
        two_or_less_crossing: Sentences with at most two crossing brackets.
        tagging_accuracy: Words with the right tag, punctuation left out.
    """

    sentences: int
    errors: int
    skipped: int
    valid: int
    recall: float
    precision: float
    f1: float
    complete_match: float
    average_crossing: float
    no_crossing: float
    two_or_less_crossing: float
    tagging_accuracy: float

    def as_dict(self) -> dict[str, float]:
        """Returns the scores by name, not rounded."""
        return dict(vars(self))


@dataclass(frozen=True)
class Evaluation:
    """The scores of a corpus.

    Attributes:
        all: The scores of all sentences.
        short: The scores of the sentences of at most 40 words.
        rows: The counts of each sentence.
    """

    all: Scores
    short: Scores
    rows: tuple[SentenceScore, ...]

    def lines(self) -> list[str]:
        """Returns the scores as a table for people, with two decimals as in EVALB."""
        table = [f"{'EVALB, COLLINS.prm':28}{'all':>8}{f'<= {SHORT_WORDS} words':>13}"]
        for name, whole in self.all.as_dict().items():
            form = "d" if isinstance(whole, int) else ".2f"
            label = _LABELS.get(name, name.replace("_", " "))
            table.append(f"{label:28}{whole:>8{form}}{self.short.as_dict()[name]:>13{form}}")
        return table

    def as_dict(self) -> dict[str, Any]:
        """Returns the scores as JSON values, not rounded: {"all": {"f1": …, …}, "at_most_40_words": {…}}."""
        return {"all": self.all.as_dict(), f"at_most_{SHORT_WORDS}_words": self.short.as_dict()}


def evaluate(gold: Iterable[Tree], test: Iterable[Tree | None]) -> Evaluation:
    """Scores the output of a parser.

    Args:
        gold: The references.
        test: The outputs in the same order; None if there is no parse, which skips the sentence.

    Raises:
        ValueError: The numbers of trees differ.
    """
    rows = tuple(score_sentence(reference, parse) for reference, parse in zip(gold, test, strict=True))
    return Evaluation(total(rows), total([row for row in rows if row.length <= SHORT_WORDS]), rows)


def score_sentence(gold: Tree, test: Tree | None) -> SentenceScore:
    """Counts what two trees of a sentence have in common."""
    length = sum(leaf.tag != _NOT_IN_LENGTH for leaf in gold.leaves())
    wanted, found = _Brackets(gold), _Brackets(test)
    if not found.leaves:
        return SentenceScore(length, Status.SKIPPED)
    if [leaf.word for leaf in wanted.leaves] != [leaf.word for leaf in found.leaves]:
        return SentenceScore(length, Status.ERROR)
    return SentenceScore(
        length,
        Status.SCORED,
        matched=(Counter(wanted.labelled) & Counter(found.labelled)).total(),
        gold=len(wanted.labelled),
        test=len(found.labelled),
        crossing=_crossing(wanted.spans, found.spans),
        words=len(wanted.leaves),
        correct_tags=sum(
            _equal_label(one.tag) == _equal_label(other.tag)
            for one, other in zip(wanted.leaves, found.leaves, strict=True)
        ),
    )


def total(rows: Sequence[SentenceScore]) -> Scores:
    """Computes the scores of a set of sentences from their counts."""
    scored = [row for row in rows if row.status is Status.SCORED]
    matched = sum(row.matched for row in scored)
    recall = _percent(matched, sum(row.gold for row in scored))
    precision = _percent(matched, sum(row.test for row in scored))
    return Scores(
        sentences=len(rows),
        errors=sum(row.status is Status.ERROR for row in rows),
        skipped=sum(row.status is Status.SKIPPED for row in rows),
        valid=len(scored),
        recall=recall,
        precision=precision,
        f1=2 * precision * recall / (precision + recall) if matched else 0.0,
        complete_match=_percent(sum(row.is_complete for row in scored), len(scored)),
        average_crossing=sum(row.crossing for row in scored) / len(scored) if scored else 0.0,
        no_crossing=_percent(sum(row.crossing == 0 for row in scored), len(scored)),
        two_or_less_crossing=_percent(sum(row.crossing <= 2 for row in scored), len(scored)),
        tagging_accuracy=_percent(sum(row.correct_tags for row in scored), sum(row.words for row in scored)),
    )


_LABELS = {
    "f1": "F1",
    "errors": "errors (other words)",
    "skipped": "skipped (no parse)",
    "two_or_less_crossing": "2 or less crossing",
}


class _Brackets:
    """The words and brackets of a tree that count; spans are counted in the words that count."""

    def __init__(self, tree: Tree | None) -> None:
        self.leaves: list[Leaf] = []
        self.labelled: list[tuple[str, int, int]] = []
        starts: list[int] = []
        for node in tree.walk() if tree else ():
            if isinstance(node, Tree):
                starts.append(len(self.leaves))
            elif isinstance(node, End):
                self._close(node.label, starts.pop())
            elif node.tag not in _DELETED:
                self.leaves.append(node)
        self.spans = [(start, end) for _, start, end in self.labelled]

    def _close(self, label: str, start: int) -> None:
        plain = _equal_label(label.replace("=", "-").partition("-")[0])
        if start < len(self.leaves) and plain not in _DELETED:
            self.labelled.append((plain, start, len(self.leaves)))


def _equal_label(label: str) -> str:
    """Returns the same label for labels that count as equal (EQ_LABEL)."""
    return "ADVP" if label == "PRT" else label


def _crossing(gold: Iterable[tuple[int, int]], test: Iterable[tuple[int, int]]) -> int:
    distinct = set(gold)
    return sum(
        any(a < start < b < end or start < a < end < b for a, b in distinct)  # overlap without nesting
        for start, end in test
    )


def _percent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else 0.0
