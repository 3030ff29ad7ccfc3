"""Recipes: how a task turns pairs of text into examples, which are pairs of token ids.

Every corpus yields pairs of a source and a target. A recipe says what the two sides are, which filters apply to them,
which text the vocabulary is trained on, and how pairs are encoded. `Recipe` itself is the recipe of translation. Worker
processes receive recipes, so a recipe must be picklable and must not import TensorFlow.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import sentencepiece

from keras_nmt.pipelines.cleaning.filters import Cleaner, CleaningOptions, CleaningReport, TextPair
from keras_nmt.pipelines.sentences.cutting import cut_at_sentence
from keras_nmt.pipelines.shards.records import IdPair
from keras_nmt.pipelines.shards.splits import TextCounts
from keras_nmt.pipelines.vocabulary.encoding import encode_with_eos
from keras_nmt.pipelines.vocabulary.normalization import DEFAULT

TRANSLATION = "translation"

Clean = Callable[[bytes, bytes, CleaningReport], TextPair | None]


class Example(NamedTuple):
    """An example to train on.

    Attributes:
        pair: The index of the pair that the example comes from.
        ids: The token ids of the source and the target.
    """

    pair: int
    ids: IdPair


@dataclass(frozen=True)
class Recipe:
    """The recipe of translation, and the base class of other recipes.

    Attributes:
        task: The name of the task, which the manifest records.
        unused_filters: The names of the filters that do not apply to the pairs of this task.
        cuts_sources: True to cut a source that is too long at the end of a sentence; False to drop its pair.
        keeps_text: True if the pairs are running text without sources, which must be kept exactly: `text:`, or a
            sample of it.
        counted: What the reports count.
        normalization: The normalisation of a new vocabulary if the user names none.
    """

    task: str = TRANSLATION
    unused_filters: tuple[str, ...] = ()
    cuts_sources: bool = False
    keeps_text: bool = False
    counted: str = "pairs"
    normalization: str = DEFAULT

    def cleaner(self, options: CleaningOptions, languages: tuple[str, str]) -> Clean:
        """Returns the function that cleans the pairs in these languages; it works like `Cleaner`."""
        return Cleaner(options, languages)

    def remaining(self, pairs: Iterable[TextPair | None]) -> list[TextPair]:
        """Returns the pairs that are kept of consecutive pairs, in which None stands for a dropped pair."""
        return [pair for pair in pairs if pair is not None]

    def has_text(self, source: str, target: str) -> bool:
        """Returns True if a pair has the text that a dev set needs."""
        return bool(source.strip() and target.strip())

    def text_counts(self, pairs: Iterable[TextPair]) -> TextCounts | None:
        """Returns the size of running text, or None if the pairs are no running text."""
        return None

    def fitting(
        self, processor: sentencepiece.SentencePieceProcessor, pairs: Sequence[TextPair], max_tokens: int
    ) -> tuple[list[TextPair], int]:
        """Cuts the sources of more than `max_tokens` tokens, EOS included, if the recipe does so.

        Returns:
            The pairs, and the number of sources that were cut.
        """
        if not self.cuts_sources:
            return list(pairs), 0
        cut = [cut_at_sentence(source, max_tokens - 1, lambda text: len(processor.encode(text))) for source, _ in pairs]
        fitting = [(source, target) for (source, _), (_, target) in zip(cut, pairs, strict=True)]
        return fitting, sum(is_cut for _, is_cut in cut)

    def symbols(self, pairs: Iterable[TextPair]) -> tuple[str, ...]:
        """Returns the pieces that the vocabulary needs beside those of the text. They never occur in encoded text.

        Args:
            pairs: The pairs that the vocabulary is trained on.
        """
        return ()

    def vocabulary_text(self, pairs: Iterable[TextPair]) -> Iterator[str]:
        """Yields the text of `pairs` that the vocabulary is trained on."""
        return chain.from_iterable(pairs)

    def encode(self, processor: sentencepiece.SentencePieceProcessor, pairs: Sequence[TextPair]) -> list[IdPair]:
        """Returns the token ids of each pair, EOS included. A side without text has only EOS.

        Args:
            processor: The SentencePiece model.
            pairs: The sources, with their tags, and the targets.
        """
        sources, targets = (encode_with_eos(processor, [pair[side] for pair in pairs]) for side in (0, 1))
        return list(zip(sources, targets, strict=True))

    def examples(
        self, processor: sentencepiece.SentencePieceProcessor, pairs: Sequence[TextPair], max_tokens: int
    ) -> list[Example]:
        """Returns the examples of consecutive pairs: here one for each pair, in order, of any length.

        Args:
            processor: The SentencePiece model.
            pairs: The sources, with their tags, and the targets.
            max_tokens: The maximum length of a block, for recipes that cut text into blocks.
        """
        return [Example(i, ids) for i, ids in enumerate(self.encode(processor, pairs))]
