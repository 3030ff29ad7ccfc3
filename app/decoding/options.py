"""How a trained model is decoded."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DecodingOptions:
    """The settings of the search; the paper's where it gives them (Vaswani et al. 2017, section 6.1).

    Raises:
        ValueError: if a value is out of its range.
    """

    beam_size: int = 4
    length_penalty: float = 0.6  # the exponent alpha; above 0 it favours long translations
    max_extra_tokens: int = 50  # a translation may be so much longer than its source
    max_source_tokens: int = 256  # longer input is split; hardly a sentence is longer
    no_repeat_ngram_size: int = 0  # so many tokens in a row do not come twice; 0 lets them
    repetition_penalty: float = 1.0  # above 1 it makes rarer what a translation has said before

    def __post_init__(self) -> None:
        least_values = {"beam_size": 1, "max_extra_tokens": 0, "max_source_tokens": 1, "no_repeat_ngram_size": 0}
        for name, least in least_values.items():
            value = getattr(self, name)
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if not abs(self.length_penalty) <= 10:  # beyond, the penalty of a long hypothesis leaves float32; NaN too
            raise ValueError(f"length_penalty must be between -10 and 10, got {self.length_penalty}")
        if not 0 < self.repetition_penalty <= 10:
            raise ValueError(f"repetition_penalty must be above 0 and at most 10, got {self.repetition_penalty}")
