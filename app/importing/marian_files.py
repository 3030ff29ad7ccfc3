"""Reads the files of a Hugging Face `MarianMTModel`, and rejects models that our layers do not support.

The names of settings and tensors are those of Hugging Face's `MarianConfig` and `MarianMTModel`
(https://huggingface.co/docs/transformers/model_doc/marian).
"""

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from keras_nmt.app.errors import UserError
from keras_nmt.layers.config import Activation
from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.sources.corpora import LanguagePair
from keras_nmt.pipelines.vocabulary.marian import FILES, MarianVocabulary

CONFIG, TOKENIZER_CONFIG, GENERATION_CONFIG = "config.json", "tokenizer_config.json", "generation_config.json"
SAFETENSORS, PYTORCH = "model.safetensors", "pytorch_model.bin"
TABLES = (
    "model.shared.weight",
    "model.encoder.embed_tokens.weight",
    "model.decoder.embed_tokens.weight",
    "lm_head.weight",
)
POSITIONS = ("model.encoder.embed_positions.weight", "model.decoder.embed_positions.weight")
ACTIVATIONS: dict[str, Activation] = {"relu": "relu", "swish": "swish", "silu": "swish"}

# The only supported values of these settings. A setting that is missing in config.json is not checked.
REQUIRED = {
    "model_type": "marian",
    "normalize_before": False,
    "normalize_embedding": False,
    "add_final_layer_norm": False,
    "static_position_embeddings": True,
    "share_encoder_decoder_embeddings": True,
    "tie_word_embeddings": True,
}

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class MarianShape:
    """The sizes and options of a model, from config.json."""

    vocabulary_size: int  # <pad> included
    model_width: int
    inner_width: int
    heads: int
    encoder_layers: int
    decoder_layers: int
    activation: Activation
    scale_embedding: bool
    positions: int  # the maximum number of positions


class MarianFiles:
    """The folder of a Marian model's files.

    Args:
        path: The path of the folder.

    Raises:
        UserError: The folder or a file is missing, a file is damaged, or our layers do not support a setting of the
            model. The message names the file and the setting.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        weights = SAFETENSORS if (path / SAFETENSORS).is_file() or not (path / PYTORCH).is_file() else PYTORCH
        for name in (CONFIG, *FILES, weights):
            if not (path / name).is_file():
                found = f"it has no {name}" if path.is_dir() else "there is no such folder"
                expected = f"{CONFIG}, {', '.join(FILES)}, and {SAFETENSORS} or {PYTORCH}"
                raise UserError(f"{path} is not a Marian model: {found}; expected {expected}")
        self.weights_path = path / weights
        self.config = self._json(CONFIG)
        self.shape = self._shape()

    @property
    def name(self) -> str:
        """The name of the model."""
        return str(self.config.get("_name_or_path") or self.path.resolve().name)

    @cached_property
    def vocabulary(self) -> MarianVocabulary:
        """The model's vocabulary.

        Raises:
            UserError: A file is damaged, or the vocabulary does not match config.json.
        """
        try:
            vocabulary = MarianVocabulary.of_files({name: (self.path / name).read_bytes() for name in FILES})
        except DataError as error:
            raise UserError(f"{self.path}: {error}") from error
        if vocabulary.size - 1 != self.shape.vocabulary_size:
            raise UserError(
                f"{self.path}: vocab.json has {vocabulary.size - 1} pieces, but vocab_size of {CONFIG} is "
                f"{self.shape.vocabulary_size}; take both files from one model"
            )
        pad, _, start, eos = vocabulary.marian_ids[:4]
        for name, wanted in (("pad_token_id", pad), ("eos_token_id", eos), ("decoder_start_token_id", start)):
            if self.settings.get(name) != wanted:
                raise self._unsupported(name, f"in vocab.json it is {wanted}")
        return vocabulary

    def pair(self) -> LanguagePair:
        """Returns the model's languages.

        Raises:
            UserError: tokenizer_config.json does not name the languages.
        """
        named = self._json(TOKENIZER_CONFIG) if (self.path / TOKENIZER_CONFIG).is_file() else {}
        try:
            return LanguagePair(str(named["source_lang"]), str(named["target_lang"]))
        except KeyError as error:
            raise UserError(
                f"{self.path / TOKENIZER_CONFIG} names no languages; give them with --pair, as in en-de"
            ) from error

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The settings of config.json and generation_config.json.

        Newer models store some settings in generation_config.json. If both files have a setting, the value in
        generation_config.json is used.
        """
        generation = self._json(GENERATION_CONFIG) if (self.path / GENERATION_CONFIG).is_file() else {}
        given = {name: value for name, value in self.config.items() if value is not None}
        return {**given, **{name: value for name, value in generation.items() if value is not None}}

    @cached_property
    def tensors(self) -> Mapping[str, Array]:
        """The weights by their names in the file, float32.

        Raises:
            UserError: The file is damaged, or the package that reads it is not installed.
        """
        read = _read_safetensors if self.weights_path.name == SAFETENSORS else _read_pytorch
        tensors = read(self.weights_path)
        return {name: np.asarray(array, np.float32) for name, array in tensors.items()}

    def tensor(self, name: str, *shape: int) -> Array:
        """Returns the weight `name`, which must have the shape `shape`.

        Raises:
            UserError: The file has no weight of this name and shape.
        """
        found = self.tensors.get(name)
        if found is None or found.shape != shape:
            what = "nothing" if found is None else list(found.shape)
            raise UserError(f"{self.weights_path}: expected {name} of shape {list(shape)}, found {what}")
        return found

    def table(self) -> Array:
        """Returns the matrix [V, D] that both embeddings and the projection share.

        Raises:
            UserError: The matrix is missing, or the two embeddings and the projection do not share one matrix.
        """
        names = [name for name in TABLES if name in self.tensors] or [TABLES[0]]
        tables = [self.tensor(name, self.shape.vocabulary_size, self.shape.model_width) for name in names]
        for name, other in zip(names, tables, strict=True):
            if not np.array_equal(tables[0], other):
                differing = f"{self.weights_path}: {names[0]} and {name} differ"
                raise UserError(f"{differing}; only models with one matrix for all embeddings can be imported")
        return tables[0]

    def _json(self, name: str) -> dict[str, Any]:
        try:
            content = json.loads((self.path / name).read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{self.path / name} is damaged: {error}") from error
        if not isinstance(content, dict):
            raise UserError(f"{self.path / name} is damaged: it does not hold a JSON object")
        return content

    def _shape(self) -> MarianShape:
        for name, required in REQUIRED.items():
            if self.config.get(name, required) != required:
                raise self._unsupported(name, f"only models with {json.dumps(required)} can be imported")
        if self.config.get("decoder_vocab_size") not in (None, self.config.get("vocab_size")):
            raise self._unsupported("decoder_vocab_size", "only models with that of vocab_size can be imported")
        for name in ("attention_heads", "ffn_dim"):
            if self.config.get(f"encoder_{name}") != self.config.get(f"decoder_{name}"):
                raise self._unsupported(f"decoder_{name}", f"only models with that of encoder_{name} can be imported")
        activation = str(self.config.get("activation_function"))
        if activation not in ACTIVATIONS:
            raise self._unsupported("activation_function", "only models with relu or swish can be imported")
        return MarianShape(
            vocabulary_size=self._size("vocab_size"),
            model_width=self._size("d_model"),
            inner_width=self._size("encoder_ffn_dim"),
            heads=self._size("encoder_attention_heads"),
            encoder_layers=self._size("encoder_layers"),
            decoder_layers=self._size("decoder_layers"),
            activation=ACTIVATIONS[activation],
            scale_embedding=bool(self.config.get("scale_embedding", False)),
            positions=self._size("max_position_embeddings"),
        )

    def _size(self, name: str) -> int:
        value = self.config.get(name)
        if not isinstance(value, int) or value < 1:
            raise self._unsupported(name, "expected a whole number above 0")
        return value

    def _unsupported(self, name: str, expected: str) -> UserError:
        return UserError(f"{self.path / CONFIG}: {name} is {json.dumps(self.settings.get(name))}; {expected}")


def _read_safetensors(path: Path) -> dict[str, Any]:
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError as error:
        raise UserError("this needs safetensors; install it with pip install 'keras-nmt[marian]'") from error
    try:
        return load_file(path)
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path} is damaged: {error}") from error


def _read_pytorch(path: Path) -> dict[str, Any]:
    try:
        import torch
    except ImportError as error:
        raise UserError(
            f"{path} needs PyTorch: pip install 'torch>=2.6'; or take a model that has {SAFETENSORS}"
        ) from error
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
        return {name: tensor.float().numpy() for name, tensor in tensors.items()}
    except (RuntimeError, EOFError, ValueError, AttributeError, TypeError, KeyError, pickle.UnpicklingError) as error:
        raise UserError(
            f"{path} is damaged: {str(error).splitlines()[0] if str(error) else 'it ends too soon'}"
        ) from error
