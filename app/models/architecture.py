"""Reads the sizes of an exported model from its description."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from keras_nmt.app.models.export_layout import DESCRIPTION


@dataclass(frozen=True)
class Architecture:
    """The sizes of a model and what its layers compute; see `TransformerConfig`."""

    encoder_layers: int
    decoder_layers: int
    heads: int
    model_width: int
    inner_width: int
    vocabulary_size: int
    normalization: str
    activation: str
    word_token: int
    copying: bool
    parameters: int

    @classmethod
    def of(cls, settings: Mapping[str, Any], parameters: int) -> "Architecture":
        """Selects the fields from the section [model] of a configuration."""
        found = {**settings, "parameters": parameters}
        return cls(**{field.name: found[field.name] for field in fields(cls)})

    @classmethod
    def of_export(cls, version: Path) -> "Architecture":
        """Reads the description in a version of an export, which must have the signature `inside`."""
        description = json.loads((version / DESCRIPTION).read_text(encoding="utf-8"))
        return cls.of(description["model"], description["parameters"])
