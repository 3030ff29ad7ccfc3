"""The recipe of language models: documents of running text become blocks of equal length (Radford et al. 2019).

The text is kept exactly: no filter changes it, and line breaks are tokens like others. The tokens of all documents are
joined, with EOS after each document, and cut into blocks. Most blocks begin in the middle of a text; the decoder sees
BOS before each block. With blocks of 4 tokens, the documents `a b c` and `d e` become `a b c EOS | d e EOS`.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import sentencepiece

from keras_nmt.pipelines.cleaning.filters import CleaningOptions, CleaningReport, TextPair, decode
from keras_nmt.pipelines.preparation.recipes import Clean, Example, Recipe
from keras_nmt.pipelines.shards.splits import TextCounts
from keras_nmt.pipelines.sources.monolingual.running_text import CONTINUED
from keras_nmt.pipelines.vocabulary.training import EOS


@dataclass(frozen=True)
class RunningText(Recipe):
    """The recipe of language models, in which a pair is a section of a document.

    The sections come from `pipelines.sources.monolingual.running_text`.
    """

    task: str = "language-model"
    keeps_text: bool = True
    counted: str = "sections"
    normalization: str = "identity"

    def cleaner(self, options: CleaningOptions, languages: tuple[str, str]) -> Clean:
        """Returns a function that drops only undecodable and blank sections, and returns all others unchanged."""
        return kept_exactly

    def remaining(self, pairs: Iterable[TextPair | None]) -> list[TextPair]:
        """Returns the sections that are kept. A document ends before a dropped section, and the rest is another one."""
        every = list(pairs)
        followed = zip(every, [*every[1:], ("", "")], strict=False)
        return [(pair[0] if following else "", pair[1]) for pair, following in followed if pair]

    def has_text(self, source: str, target: str) -> bool:
        """Returns True if a section has text."""
        return bool(target.strip())

    def text_counts(self, pairs: Iterable[TextPair]) -> TextCounts:
        """Returns the numbers of documents, words and characters."""
        counts = TextCounts()
        for mark, text in pairs:
            counts += TextCounts(not mark, len(text.split()), len(text))
        return counts

    def vocabulary_text(self, pairs: Iterable[TextPair]) -> Iterator[str]:
        """Yields the text of the sections."""
        return (text for _, text in pairs)

    def examples(
        self, processor: sentencepiece.SentencePieceProcessor, pairs: Sequence[TextPair], max_tokens: int
    ) -> list[Example]:
        """Returns blocks of exactly `max_tokens` tokens, without overlap, as targets; only the last may be shorter.

        Each source has only EOS. A block comes from the pair in which it begins.
        """
        ids, ends = array("i"), []
        for mark, text in pairs:
            ids.extend(processor.encode(text))
            if mark.encode() != CONTINUED:
                ids.append(EOS)
            ends.append(len(ids))
        begins = range(0, len(ids), max_tokens)
        return [Example(bisect_right(ends, begin), ([EOS], ids[begin : begin + max_tokens])) for begin in begins]


def kept_exactly(source: bytes, target: bytes, report: CleaningReport) -> TextPair | None:
    """Returns the text of a section unchanged, or None if it is undecodable or blank; counts it in `report`."""
    text = decode(source, target)
    if text is None:
        report.drop("undecodable", source, target)
    elif not text[1].strip():
        report.drop("empty", *text)
    else:
        report.kept += 1
        return text
    return None
