"""Converts the weights of a Marian model to weights of our layers, so that both models compute the same function.

The conversion handles these differences, so that the layers need not:

- Marian's position vectors have all sines first, then all cosines (`MarianSinusoidalPositionalEmbedding`). Our position
  vectors alternate sines and cosines, as in section 3.5 of the paper. The order of the width axis is arbitrary, so the
  conversion permutes this axis in every matrix.
- PyTorch's matrices are [out, in], our matrices are [in, out]. Our self-attention layers have one matrix for queries,
  keys and values, and our cross-attention layers have one matrix for keys and values.
- Our embeddings are always scaled by sqrt(D). If a model has `scale_embedding` false, its embedding table is divided by
  sqrt(D). The projection uses the same table, so the weights of the decoder's last normalization are multiplied by
  sqrt(D).
- The pieces get the ids of `MarianVocabulary`, in which the <pad> of the files has two ids, BOS and PAD. The decoder
  reads BOS before the first token, and must never predict BOS or PAD. So the biases of both make their probability 0.
  (The original Marian program has no <pad>. The conversion to the format of `transformers` adds it, with a score of 0.)
"""

from collections.abc import Callable

import numpy as np

from keras_nmt.app.errors import UserError
from keras_nmt.app.importing.marian_files import POSITIONS, Array, MarianFiles
from keras_nmt.layers import TransformerConfig
from keras_nmt.pipelines.vocabulary.tokenizer import BOS, PAD

IMPOSSIBLE = -1e4  # a bias that makes a probability 0; finite in float16, too
EPSILON = 1e-5  # of PyTorch's layer normalization
POSITION_TOLERANCE = 1e-2  # for a table of positions; in half precision, the error is at most 5e-4

MarianWeights = dict[str, Array]


def model_config(files: MarianFiles) -> TransformerConfig:
    """Returns the configuration of our layers for a Marian model.

    Raises:
        UserError: The model's sizes are inconsistent.
    """
    shape = files.shape
    try:
        return TransformerConfig(
            vocabulary_size=shape.vocabulary_size + 1,  # Marian has only <pad>; we have PAD and BOS
            model_width=shape.model_width,
            inner_width=shape.inner_width,
            heads=shape.heads,
            encoder_layers=shape.encoder_layers,
            decoder_layers=shape.decoder_layers,
            normalization="post",
            activation=shape.activation,
            attention_bias=True,
            logits_bias=True,
            normalization_epsilon=EPSILON,
        )
    except ValueError as error:
        raise UserError(f"{files.path}: {error}") from error


def our_weights(files: MarianFiles) -> MarianWeights:
    """Returns the weights of a `layers.Transformer` with the configuration `model_config`, by their path in the model.

    Raises:
        UserError: A tensor is missing or has another shape, or the positions are not sinusoidal.
    """
    return _Conversion(files).weights()


class _Conversion:
    """Converts the weights of one model."""

    def __init__(self, files: MarianFiles) -> None:
        self.files = files
        self.width = files.shape.model_width
        half = np.arange(self.width // 2)
        self.order = np.stack([half, half + self.width // 2], axis=1).reshape(-1)  # [D]: 0, D/2, 1, D/2 + 1, …
        self.output_scale = 1.0 if files.shape.scale_embedding else self.width**0.5

    def weights(self) -> MarianWeights:
        self.check_positions()
        shape, found = self.files.shape, self.embedding()
        for stack, layers in (("encoder", shape.encoder_layers), ("decoder", shape.decoder_layers)):
            for i in range(layers):
                found |= self.layer(stack, i)
        last = f"transformer/decoder/layer_{shape.decoder_layers - 1}/feed_forward_residual/norm"
        for name in ("gamma", "beta"):
            found[f"{last}/{name}"] = found[f"{last}/{name}"] * np.float32(self.output_scale)
        return found

    def check_positions(self) -> None:
        """Raises `UserError` if the file has position vectors that differ from the formula of our layers."""
        for name in POSITIONS:
            table = self.files.tensors.get(name)
            if table is not None and np.abs(table - _halved_sinusoids(*table.shape)).max() > POSITION_TOLERANCE:
                raise UserError(
                    f"{self.files.weights_path}: {name} is not sinusoidal; learned positions cannot be imported"
                )

    def embedding(self) -> MarianWeights:
        """Returns the embedding table and the bias of each piece, in the order of our ids."""
        ids, pieces = self.files.vocabulary.marian_ids, self.files.shape.vocabulary_size
        bias = self.files.tensor("final_logits_bias", 1, pieces)[0, ids]
        bias[[PAD, BOS]] = IMPOSSIBLE
        table = self.files.table()[ids][:, self.order] / np.float32(self.output_scale)
        return {"transformer/embedding/embeddings": table, "transformer/embedding/bias": bias}

    def layer(self, stack: str, i: int) -> MarianWeights:
        """Returns the weights of one layer of the encoder or decoder."""
        theirs, inner, found = f"model.{stack}.layers.{i}", self.files.shape.inner_width, MarianWeights()
        fused: dict[str, tuple[str, ...]] = {"query_key_value": ("q", "k", "v"), "output_projection": ("out",)}
        attentions = {"self_attention": ("self_attn", fused)}
        if stack == "decoder":
            fused = {"query": ("q",), "key_value": ("k", "v"), "output_projection": ("out",)}
            attentions["cross_attention"] = ("encoder_attn", fused)
        for ours, (attention, fused) in attentions.items():
            for projection, parts in fused.items():
                reorder = self.columns if projection == "output_projection" else self.rows
                dense = [
                    self.dense(f"{theirs}.{attention}.{part}_proj", self.width, self.width, reorder) for part in parts
                ]
                joined = {name: np.concatenate([part[name] for part in dense], axis=-1) for name in ("kernel", "bias")}
                found |= _below(f"{ours}/{projection}", joined)
            found |= _below(f"{ours}_residual/norm", self.norm(f"{theirs}.{attention}_layer_norm"))
        found |= _below("feed_forward/inner", self.dense(f"{theirs}.fc1", self.width, inner, self.rows))
        found |= _below("feed_forward/outer", self.dense(f"{theirs}.fc2", inner, self.width, self.columns))
        found |= _below("feed_forward_residual/norm", self.norm(f"{theirs}.final_layer_norm"))
        return _below(f"transformer/{stack}/layer_{i}", found)

    def dense(
        self, name: str, inputs: int, outputs: int, reorder: Callable[[Array, Array], MarianWeights]
    ) -> MarianWeights:
        """Returns a projection whose inputs or outputs have the model width; `reorder` permutes that side."""
        return reorder(
            self.files.tensor(f"{name}.weight", outputs, inputs).T, self.files.tensor(f"{name}.bias", outputs)
        )

    def rows(self, kernel: Array, bias: Array) -> MarianWeights:
        """Permutes the inputs of a projection whose inputs have the model width."""
        return {"kernel": kernel[self.order], "bias": bias}

    def columns(self, kernel: Array, bias: Array) -> MarianWeights:
        """Permutes the outputs of a projection whose outputs have the model width."""
        return {"kernel": kernel[:, self.order], "bias": bias[self.order]}

    def norm(self, name: str) -> MarianWeights:
        """Returns the permuted weights of a normalization over the model width."""
        gamma, beta = (self.files.tensor(f"{name}.{part}", self.width)[self.order] for part in ("weight", "bias"))
        return {"gamma": gamma, "beta": beta}


def _below(prefix: str, weights: MarianWeights) -> MarianWeights:
    return {f"{prefix}/{path}": weight for path, weight in weights.items()}


def _halved_sinusoids(positions: int, width: int) -> Array:
    """Returns the position vectors [T, D] in Marian's order: all sines of a position, then all cosines."""
    angles = np.arange(positions)[:, np.newaxis] / 10_000 ** (2 * np.arange(width // 2) / width)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
