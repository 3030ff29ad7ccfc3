"""Shows what a model computes for given tokens, whatever its task."""

import tensorflow as tf

from keras_nmt.app.decoding.inside.details import checked, layer_details
from keras_nmt.app.decoding.inside.overview import overview
from keras_nmt.app.decoding.inside.signatures import MOST_SOURCE_TOKENS, MOST_TARGET_TOKENS
from keras_nmt.app.decoding.network.record import Recorder
from keras_nmt.app.decoding.signatures import Tensors
from keras_nmt.layers import AnyModel
from keras_nmt.pipelines.vocabulary.loading import AnyVocabulary


class Inspector:
    """Shows what a model computes for given tokens.

    The tokens are those of the source, int32 [S], if the model has one, and those that the decoder predicts, int32 [T].

    Args:
        model: The model.
        vocabulary: The vocabulary of the model.
        recorder: Records the model.
    """

    def __init__(self, model: AnyModel, vocabulary: AnyVocabulary, recorder: Recorder) -> None:
        self.model = model
        self.vocabulary = vocabulary
        self.recorder = recorder

    def overview(self, *ids: tf.Tensor) -> Tensors:
        """Returns the tensors of all layers for tokens; see `overview.overview`."""
        return overview(self.model, self.vocabulary, self.recorder(*ids), *ids)

    def layer(self, *ids: tf.Tensor, kind: tf.Tensor, layer: tf.Tensor, head: tf.Tensor) -> Tensors:
        """Returns the fields of `LayerDetails` for tokens; see `layer_details`.

        Raises:
            tf.errors.InvalidArgumentError: A number is out of range, or there are too many tokens.
        """
        named = [
            ("target_ids", ids[-1], MOST_TARGET_TOKENS),
            *(("source_ids", one, MOST_SOURCE_TOKENS) for one in ids[:-1]),
        ]
        sizes = [checked(tf.size(one), f"the number of {name}", 1, most) for name, one, most in named]
        with tf.control_dependencies(sizes):
            record = self.recorder(*map(tf.identity, ids))
        return layer_details(self.model, record, kind=kind, layer=layer, head=head)._asdict()
