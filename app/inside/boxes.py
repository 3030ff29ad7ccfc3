"""The boxes of the page's picture (Vaswani et al. 2017, Figure 1) to which each weight of a model belongs."""

import re
from typing import NamedTuple

EMBEDDINGS = ("source-embedding", "target-embedding", "linear")  # the three uses of the shared matrix
SUBLAYERS = {  # names of weights of a layer -> box; "add" boxes are residual connection and layer normalization
    "encoder/self_attention": "encoder-attention",
    "encoder/self_attention_residual": "encoder-add-1",
    "encoder/feed_forward": "encoder-feed-forward",
    "encoder/feed_forward_residual": "encoder-add-2",
    "decoder/self_attention": "decoder-attention",
    "decoder/self_attention_residual": "decoder-add-1",
    "decoder/cross_attention": "cross-attention",
    "decoder/cross_attention_residual": "decoder-add-2",
    "decoder/feed_forward": "decoder-feed-forward",
    "decoder/feed_forward_residual": "decoder-add-3",
}
OTHERS = {  # what the paper's picture does not have is in the box that it changes
    "encoder/final_norm": "encoder-add-2",
    "decoder/final_norm": "decoder-add-3",
    "embedding/bias": "linear",
    "copy_attention": "softmax",
    "word_pointer": "target-embedding",
}


class Place(NamedTuple):
    """The place of a weight in the picture.

    Attributes:
        boxes: The ids of the boxes. Only the shared embeddings belong to several.
        layer: The number of the layer in its stack, from 0; None for a weight that is not in a layer.
    """

    boxes: tuple[str, ...]
    layer: int | None


def place_of(path: str, *, has_source: bool) -> Place:
    """Returns the place of a weight.

    Args:
        path: The path of the weight in the model, such as "transformer/encoder/layer_0/feed_forward/inner/kernel".
        has_source: True if the model has an encoder. Without one, the embeddings are not in the box of the source.
    """
    inside = path.partition("/")[2]
    if inside == "embedding/embeddings":
        return Place(EMBEDDINGS if has_source else EMBEDDINGS[1:], None)
    if match := re.match(r"(encoder|decoder)/layer_(\d+)/(\w+)/", inside):
        stack, layer, sublayer = match.groups()
        return Place((SUBLAYERS[f"{stack}/{sublayer}"],), int(layer))
    return Place((next(box for name, box in OTHERS.items() if inside.startswith(name)),), None)
