"""A Marian model in NumPy and float64, independent of `layers`; it reads tensors by Hugging Face's names.

Written from the description of `MarianMTModel` (https://huggingface.co/docs/transformers/model_doc/marian): post-norm,
a bias in every projection, positions whose sines come before their cosines, one matrix for all embeddings, and a bias
of the logits. It takes one sentence at a time, so there is no padding.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tests.oracles.transformer import scaled_dot_product_attention

Array = np.ndarray[Any, Any]


class MarianOracle:
    """A model from the settings in config.json and named tensors."""

    def __init__(self, settings: Mapping[str, Any], tensors: Mapping[str, Array]) -> None:
        self.settings = settings
        self.tensors = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
        self.width = settings["d_model"]

    def logits(self, source: Sequence[int], target: Sequence[int]) -> Array:
        """Computes logits [T, V] from source ids with </s> and target ids after <pad>."""
        memory = self.embedded(source)
        for i in range(self.settings["encoder_layers"]):
            memory = self.layer(f"model.encoder.layers.{i}", memory)
        x = self.embedded(target)
        for i in range(self.settings["decoder_layers"]):
            x = self.layer(f"model.decoder.layers.{i}", x, memory)
        logits = x @ self.tensors["model.shared.weight"].T + self.tensors["final_logits_bias"][0]
        logits[:, self.settings["pad_token_id"]] = -1e4  # Marian never predicts padding
        return logits

    def greedy(self, source: Sequence[int], limit: int) -> list[int]:
        """Takes the most probable token each time, never <pad>, up to </s>; the last of `limit` tokens is </s>."""
        pad, found = self.settings["pad_token_id"], []
        for _ in range(limit - 1):
            scores = self.logits(source, [pad, *found])[-1]
            scores[pad] = -np.inf
            found.append(int(scores.argmax()))
            if found[-1] == self.settings["eos_token_id"]:
                return found
        return [*found, self.settings["eos_token_id"]]

    def embedded(self, ids: Sequence[int]) -> Array:
        scale = np.sqrt(self.width) if self.settings["scale_embedding"] else 1.0
        positions = np.zeros((len(ids), self.width))
        for position in range(len(ids)):
            for i in range(self.width // 2):
                angle = position / 10_000 ** (2 * i / self.width)
                positions[position, i], positions[position, self.width // 2 + i] = np.sin(angle), np.cos(angle)
        return self.tensors["model.shared.weight"][list(ids)] * scale + positions

    def layer(self, name: str, x: Array, memory: Array | None = None) -> Array:
        causal = memory is not None
        may_attend = np.tril(np.ones((len(x), len(x)), bool)) if causal else np.ones((len(x), len(x)), bool)
        x = self.norm(f"{name}.self_attn_layer_norm", x + self.attention(f"{name}.self_attn", x, x, may_attend))
        if memory is not None:
            everywhere = np.ones((len(x), len(memory)), bool)
            attended = self.attention(f"{name}.encoder_attn", x, memory, everywhere)
            x = self.norm(f"{name}.encoder_attn_layer_norm", x + attended)
        inner = self.linear(f"{name}.fc1", x)
        swish = self.settings["activation_function"] == "swish"
        inner = inner / (1 + np.exp(-inner)) if swish else np.maximum(0, inner)
        return self.norm(f"{name}.final_layer_norm", x + self.linear(f"{name}.fc2", inner))

    def attention(self, name: str, queries: Array, memory: Array, may_attend: Array) -> Array:
        heads = self.settings["encoder_attention_heads"]
        parts = {"q": queries, "k": memory, "v": memory}
        split = (np.split(self.linear(f"{name}.{part}_proj", x), heads, axis=-1) for part, x in parts.items())
        attended = [scaled_dot_product_attention(q, k, v, may_attend) for q, k, v in zip(*split, strict=True)]
        return self.linear(f"{name}.out_proj", np.concatenate(attended, axis=-1))

    def linear(self, name: str, x: Array) -> Array:
        return x @ self.tensors[f"{name}.weight"].T + self.tensors[f"{name}.bias"]

    def norm(self, name: str, x: Array) -> Array:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return scaled * self.tensors[f"{name}.weight"] + self.tensors[f"{name}.bias"]
