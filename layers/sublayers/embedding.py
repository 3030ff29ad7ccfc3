"""The embedding matrix, which is also used for the projection before the softmax.

Vaswani et al. 2017, section 3.4.
"""

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="nmt")
class SharedEmbedding(keras.layers.Layer):
    """Source embedding, target embedding and pre-softmax projection, which share one matrix [V, D].

    The matrix is initialised from N(0, 1/D). So the embeddings, which are multiplied by sqrt(D), have variance 1, and
    the logits are small at the start of training. With `use_bias`, a bias [V] is added to the logits, as in Marian. The
    bias is initialised with 0.
    """

    def __init__(self, vocabulary_size: int, width: int, use_bias: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.use_bias = use_bias
        self.vocabulary_size = vocabulary_size
        self.width = width

    def build(self, input_shape: tuple[Any, ...] | None = None) -> None:
        """Creates the weights, which do not depend on the shape of the ids."""
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.vocabulary_size, self.width),
            initializer=keras.initializers.RandomNormal(stddev=self.width**-0.5),
            autocast=False,  # `call` casts the rows it has looked up, which is cheaper than casting the table
        )
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self.vocabulary_size,), initializer="zeros")

    def call(self, ids: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the embeddings of ids [B, T], multiplied by sqrt(D): [B, T, D]."""
        # To build the metrics, Keras calls the model with a batch averaged over replicas, whose ids are float32.
        ids = keras.ops.cast(ids, "int32")
        rows = keras.ops.take(self.embeddings, ids, axis=0)
        return keras.ops.cast(rows * self.width**0.5, self.compute_dtype)

    def logits(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the score of each piece, in the compute dtype: [N, D] -> [N, V] or [B, T, D] -> [B, T, V]."""
        table = keras.ops.cast(self.embeddings, self.compute_dtype)
        rows = keras.ops.reshape(x, (-1, self.width))  # a 2-D matrix product has a cheaper gradient than a 3-D one
        scores = keras.ops.matmul(rows, keras.ops.transpose(table))
        if self.use_bias:
            scores = scores + keras.ops.cast(self.bias, self.compute_dtype)
        return keras.ops.reshape(scores, (*keras.ops.shape(x)[:-1], self.vocabulary_size))

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "width": self.width,
            "use_bias": self.use_bias,
        }
