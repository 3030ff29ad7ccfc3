"""Settings of the search."""

from dataclasses import dataclass
from typing import TypedDict


@dataclass(frozen=True)
class DecodingOptions:
    """Settings of the search. The defaults are the values of Vaswani et al. (2017, section 6.1), if given there.

    Raises:
        ValueError: A value is out of its range.
    """

    beam_size: int = 4
    length_penalty: float = 0.6  # the exponent alpha; above 0 it favours long translations
    max_extra_tokens: int = 50  # a translation has at most so many tokens more than its source
    max_source_tokens: int = 256  # longer sentences, which are rare, are split
    no_repeat_ngram_size: int = 0  # no n-gram of this size occurs twice in a translation; 0 allows repetition
    repetition_penalty: float = 1.0  # above 1, tokens that a translation already contains become less likely
    min_tokens: int = 0  # a translation of a piece of text has at least so many tokens, if its limit allows them
    max_tokens: int = 0  # a translation of a piece of text has at most so many tokens; 0: no limit of its own

    def __post_init__(self) -> None:
        least_values = {"beam_size": 1, "max_extra_tokens": 0, "max_source_tokens": 1, "no_repeat_ngram_size": 0}
        least_values |= {"min_tokens": 0, "max_tokens": 0}
        for name, least in least_values.items():
            value = getattr(self, name)
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if not abs(self.length_penalty) <= 10:  # also refuses NaN; beyond 10, penalties of long hypotheses overflow
            raise ValueError(f"length_penalty must be between -10 and 10, got {self.length_penalty}")
        if 0 < self.max_tokens < self.min_tokens:
            raise ValueError(f"min_tokens is {self.min_tokens}, which is more than max_tokens, {self.max_tokens}")
        if not 0 < self.repetition_penalty <= 10:
            raise ValueError(f"repetition_penalty must be above 0 and at most 10, got {self.repetition_penalty}")


class DecodingSettings(TypedDict, total=False):
    """Values of `DecodingOptions` fields that replace the values of a model. None keeps the model's value."""

    beam_size: int | None
    length_penalty: float | None
    max_extra_tokens: int | None
    max_source_tokens: int | None
    no_repeat_ngram_size: int | None
    repetition_penalty: float | None
    min_tokens: int | None
    max_tokens: int | None
