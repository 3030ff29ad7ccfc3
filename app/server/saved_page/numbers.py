"""The numbers of one sentence that a saved page holds: what the page otherwise asks the server for."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from keras_nmt.app.decoding.inside.signatures import INSIDE, INSIDE_LAYER, KINDS
from keras_nmt.app.errors import UserError
from keras_nmt.app.models.architecture import Architecture
from keras_nmt.app.server.engine.batching import call_signature
from keras_nmt.app.server.engine.layer_timing import LayerTimer
from keras_nmt.app.server.engine.versions import Direction
from keras_nmt.app.server.http.routes.inside import sentence_fields, values_fields
from keras_nmt.app.server.http.routes.timing import times_fields

MOST_BYTES = 4 * 2**20  # of the details of all layers; with more, a page holds those of one layer
MEASURED_LENGTHS = (16, 64, 256, 1024)  # of the sequences for which layers are timed

Fields = dict[str, Any]


class SavedNumbers(NamedTuple):
    """The numbers of a sentence.

    Attributes:
        overview: The answer of `/api/inside`, and the languages as `direction`.
        layers: The answers of `/api/inside/layer`, in parts: "cross-0-1" has the fields of one head of a layer (kind,
            layer and head), and "cross-0" those that are the same for all heads of the layer.
        has_all_layers: False if only one layer of each kind is in `layers`.
    """

    overview: Fields
    layers: dict[str, Fields]
    has_all_layers: bool


def saved_numbers(direction: Direction, sentence: str, layer: int, most_bytes: int = MOST_BYTES) -> SavedNumbers:
    """Applies a model to a sentence and returns the numbers.

    Args:
        direction: The model, with the signatures `inside` and `inside_layer`.
        sentence: The sentence; a long one is cut.
        layer: The layer whose details are always returned, from 0. A stack with fewer layers gives its last one.
        most_bytes: The details of the other layers are returned, too, if all together are not larger as JSON.
    """
    version, architecture = direction.version, direction.version.architecture
    text = direction.encoded(sentence)
    found = call_signature(version, INSIDE, {"text": np.array(text, object)})
    languages = {"source": direction.source, "target": direction.target, "domain": direction.domain}
    overview = {**sentence_fields(direction, text, found), "direction": languages}
    ids: dict[str, np.ndarray] = {name: found[name] for name in ("source_ids", "target_ids") if name in found}
    counts = {kind: count for kind in KINDS if (count := layers_of(kind, architecture))}
    chosen = {kind: min(layer, count - 1) for kind, count in counts.items()}
    parts = {kind: layer_fields(direction, ids, kind, chosen[kind]) for kind in counts}
    # All layers of a kind have arrays of the same sizes.
    has_all = sum(counts[kind] * len(json.dumps(part)) for kind, part in parts.items()) <= most_bytes
    layers = {name: fields for part in parts.values() for name, fields in part.items()}
    for kind, count in counts.items() if has_all else ():
        for number in set(range(count)) - {chosen[kind]}:
            layers |= layer_fields(direction, ids, kind, number)
    return SavedNumbers(overview, layers, has_all)


def measured_times(architecture: Architecture) -> Fields:
    """Measures layers of the model's width on this machine, within about 2 seconds; see `LayerTimer.times`.

    Returns:
        The answer of `/api/inside/timing`.
    """
    return times_fields(LayerTimer().times(architecture.model_width, architecture.heads, MEASURED_LENGTHS))


def check_numbers(layer: int, head: int, architecture: Architecture) -> None:
    """Raises `UserError` if the model does not have the layer, in any stack, or the head. Both count from 0."""
    layers = max(architecture.encoder_layers, architecture.decoder_layers)
    for name, number, count in (("layer", layer, layers), ("head", head, architecture.heads)):
        if not 0 <= number < count:
            raise UserError(f"--{name} is {number + 1}; this model has {count}, so it must be from 1 to {count}")


def layers_of(kind: str, architecture: Architecture) -> int:
    """Returns the number of layers with a kind of attention."""
    if kind == "encoder":
        return architecture.encoder_layers
    return 0 if kind == "cross" and not architecture.encoder_layers else architecture.decoder_layers


def layer_fields(direction: Direction, ids: Mapping[str, np.ndarray], kind: str, layer: int) -> dict[str, Fields]:
    """Returns the details of all heads of a layer; see `SavedNumbers.layers`."""
    version = direction.version
    numbers = {"kind": KINDS.index(kind), "layer": layer}
    heads = [
        values_fields(call_signature(version, INSIDE_LAYER, {**ids, **numbers, "head": head}))
        for head in range(version.architecture.heads)
    ]
    shared = {name for name, value in heads[0].items() if all(head[name] == value for head in heads)}
    found = {f"{kind}-{layer}": {name: heads[0][name] for name in shared}}
    for number, head in enumerate(heads):
        found[f"{kind}-{layer}-{number}"] = {name: value for name, value in head.items() if name not in shared}
    return found
