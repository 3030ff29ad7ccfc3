"""The hyperparameters of a Transformer: one column of the paper's Table 3.

Not here: anything about training or decoding. Vaswani et al. 2017, sections 3 and 5.4. Where Marian's models differ
from the paper (Junczys-Dowmunt et al. 2018), a setting says so; its default is the paper's.
"""

import math
from dataclasses import dataclass
from typing import Literal

Normalization = Literal["post", "pre"]
Activation = Literal["relu", "swish"]

EPSILON = 1e-6  # Tensor2Tensor's; small beside the variance of a residual stream


@dataclass(frozen=True)
class TransformerConfig:
    """The shape of a Transformer; the defaults are the paper's base model.

    Attributes:
        vocabulary_size: Pieces in the vocabulary shared by both languages (V).
        model_width: Width of every sublayer's output, d_model (D).
        inner_width: Width inside the feed-forward sublayer, d_ff.
        heads: Attention heads (H); they divide `model_width`.
        encoder_layers: Layers of the encoder, N in the paper.
        decoder_layers: Layers of the decoder; the paper has as many as in the encoder.
        normalization: "post" normalises after the residual sum, as the paper does; "pre" normalises a
            sublayer's input and the stack's output, which trains deep stacks more calmly (Xiong et al. 2020).
        residual_dropout: Share dropped of each sublayer's output and of the embedded input (section 5.4).
        attention_dropout: Share dropped of the attention weights; the paper has none.
        inner_dropout: Share dropped inside the feed-forward sublayer; the paper has none.
        activation: Inside the feed-forward sublayer: "relu", max(0, x), is the paper's; "swish" is x * sigmoid(x)
            (Ramachandran et al. 2017), as in most of Marian's models.
        attention_bias: Whether attention's projections add a bias; Marian's do, the paper's do not.
        logits_bias: Whether each piece has a bias of its own before the softmax; Marian's have, the paper's have not.
        normalization_epsilon: What layer normalisation adds to the variance; PyTorch's default is 1e-5.

    Raises:
        ValueError: A value is out of range, or the heads do not divide the width.
    """

    vocabulary_size: int
    model_width: int = 512
    inner_width: int = 2048
    heads: int = 8
    encoder_layers: int = 6
    decoder_layers: int = 6
    normalization: Normalization = "post"
    residual_dropout: float = 0.1
    attention_dropout: float = 0.0
    inner_dropout: float = 0.0
    activation: Activation = "relu"
    attention_bias: bool = False
    logits_bias: bool = False
    normalization_epsilon: float = EPSILON

    def __post_init__(self) -> None:
        for name in (
            "vocabulary_size",
            "model_width",
            "inner_width",
            "heads",
            "encoder_layers",
            "decoder_layers",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.model_width % self.heads:
            step = math.lcm(self.heads, 2)
            nearest = max(1, round(self.model_width / step)) * step
            raise ValueError(
                f"model width {self.model_width} is not a multiple of {self.heads} heads; "
                f"use {nearest} or change heads in [model]"
            )
        if self.model_width % 2:
            raise ValueError(
                f"model width {self.model_width} is odd; sinusoidal positions come in pairs, use an even width"
            )
        if self.normalization not in ("post", "pre"):
            raise ValueError(f'normalization is "{self.normalization}"; it is "post" (the paper) or "pre"')
        if self.activation not in ("relu", "swish"):
            raise ValueError(f'activation is "{self.activation}"; it is "relu" (the paper) or "swish"')
        if not 0 < self.normalization_epsilon < 1:
            raise ValueError(f"normalization_epsilon is {self.normalization_epsilon}; it must be between 0 and 1")
        for name in ("residual_dropout", "attention_dropout", "inner_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 0 and less than 1")
