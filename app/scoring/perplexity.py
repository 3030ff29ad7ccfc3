"""Perplexity of text under a language model: a token, a word, and bits a character."""

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Perplexity:
    """How well a language model predicts a text; lower is better.

    Words are the strings between white space. The end of a document counts as a token, and neither as a word nor as a
    character. A figure without its count is NaN, and is not shown.

    Attributes:
        perplexity: exp of the mean negative log-probability of a token.
        word_perplexity: exp of the negative log-probability of the text divided by its number of words.
        bits_per_character: The negative binary logarithm of the probability divided by the number of characters.
        nats_per_token: The mean negative log-probability of a token.
        tokens: The number of tokens.
        words: The number of words.
        characters: The number of characters; 0 if the model cannot spell all of them.
    """

    perplexity: float
    word_perplexity: float
    bits_per_character: float
    nats_per_token: float
    tokens: int
    words: int
    characters: int

    @classmethod
    def of(cls, log_probability: float, *, tokens: int, words: int, characters: int) -> "Perplexity":
        """Computes the figures from the natural logarithm of the probability of a text, and its counts."""
        nats = -log_probability

        def mean(count: int) -> float:
            return nats / count if count else math.nan

        return cls(
            perplexity=_exp(mean(tokens)),
            word_perplexity=_exp(mean(words)),
            bits_per_character=mean(characters) / math.log(2),
            nats_per_token=mean(tokens),
            tokens=tokens,
            words=words,
            characters=characters,
        )

    def as_dict(self) -> dict[str, Any]:
        """Returns the fields as values for JSON, without those that are NaN."""
        return {name: value for name, value in asdict(self).items() if not math.isnan(value)}

    def lines(self) -> list[str]:
        """Returns one line for each figure."""
        by_count = {
            f"perplexity a token  {self.perplexity:10.3f}  ({self.nats_per_token:.4f} nats, {self.tokens:,} tokens)": 1,
            f"perplexity a word   {self.word_perplexity:10.3f}  ({self.words:,} words)": self.words,
            f"bits a character    {self.bits_per_character:10.4f}  ({self.characters:,} characters)": self.characters,
        }
        return [line for line, count in by_count.items() if count]


def _exp(nats: float) -> float:
    return math.exp(min(nats, 700.0))
