"""The hyperparameters of a Transformer, as in one row of Table 3 in Vaswani et al. 2017 ("the paper").

See sections 3 and 5.4 of the paper. Some settings exist only for models of Marian (Junczys-Dowmunt et al. 2018), which
differ from the paper. The settings of training and decoding are defined in `app/`.
"""

import math
from dataclasses import dataclass
from typing import Literal

Normalization = Literal["post", "pre"]
Activation = Literal["relu", "swish"]

EPSILON = 1e-6  # Tensor2Tensor's value; small compared with the variance of a residual stream


@dataclass(frozen=True)
class TransformerConfig:
    """The hyperparameters of a Transformer.

    The defaults are those of the base model in Vaswani et al. 2017, which is called "the paper" below.

    Attributes:
        vocabulary_size: Number of subword pieces in the vocabulary that both languages share (V).
        model_width: Width of every sublayer's output, d_model (D). It must be even.
        inner_width: Width inside the feed-forward sublayer, d_ff.
        heads: Number of attention heads (H). `model_width` must be a multiple of this number.
        encoder_layers: Number of encoder layers, N in the paper. 0 for a `LanguageModel`, which has only a decoder,
            without attention to an encoder.
        decoder_layers: Number of decoder layers, also N in the paper.
        normalization: Place of layer normalisation. "post" normalises after the residual sum, as in the paper. "pre"
            normalises each sublayer's input and the stack's output, which makes the training of deep stacks more stable
            (Xiong et al. 2020).
        residual_dropout: Dropout rate of each sublayer's output, and of the sum of embeddings and positional encodings
            (section 5.4).
        attention_dropout: Dropout rate of the attention weights; 0 in the paper.
        inner_dropout: Dropout rate inside the feed-forward sublayer; 0 in the paper.
        activation: Activation inside the feed-forward sublayer: "relu", max(0, x), as in the paper, or "swish",
            x * sigmoid(x) (Ramachandran et al. 2017), as in most Marian models.
        attention_bias: True if the linear projections of attention have a bias, as in Marian. In the paper, they have
            none.
        logits_bias: True if each piece has a bias in the logits, as in Marian. In the paper, there is no such bias.
        normalization_epsilon: Number that layer normalisation adds to the variance. The default is Tensor2Tensor's
            value. The paper gives no value, and PyTorch's default is 1e-5.
        word_token: Id of the piece that stands for a word in both source and target, as in parsing. With it, the
            decoder is told the encoder's output at the next unread word (see `WordPointer`). 0 if there is no such
            piece.
        word_tags: Number of ids directly after `word_token` that stand for a word in the target too, with a tag each.
        copying: True if the decoder can copy tokens of the source (See et al. 2017; see `CopyAttention`). Needs an
            encoder.

    Raises:
        ValueError: A value is not allowed, or `model_width` is odd or not a multiple of `heads`.
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
    word_token: int = 0
    word_tags: int = 0
    copying: bool = False

    def __post_init__(self) -> None:
        sizes = ("vocabulary_size", "model_width", "inner_width", "heads", "encoder_layers", "decoder_layers")
        for name in sizes:
            least = 0 if name == "encoder_layers" else 1
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least {least}")
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
        if not 0 <= self.word_token < self.vocabulary_size:
            raise ValueError(
                f"word_token is {self.word_token}; it must be the id of a piece, less than {self.vocabulary_size}, or 0"
            )
        most_tags = self.vocabulary_size - self.word_token - 1 if self.word_token else 0
        if not 0 <= self.word_tags <= most_tags:
            raise ValueError(f"word_tags is {self.word_tags}; with word_token {self.word_token}, at most {most_tags}")
        if self.copying and not self.encoder_layers:
            raise ValueError("copying is true, but there is no encoder to copy from; set copying = false in [model]")
        for name in ("residual_dropout", "attention_dropout", "inner_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 0 and less than 1")
