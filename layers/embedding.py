"""One matrix for both embeddings and the projection before the softmax. Vaswani et al. 2017, section 3.4."""

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="nmt")
class SharedEmbedding(keras.layers.Layer):
    """Source and target embedding and pre-softmax projection, with tied weights [V, D].

    Weights start as N(0, 1/D), so that a scaled embedding has unit variance and first logits are small. With `use_bias`
    the projection adds a bias [V] (as in Marian), which starts at 0.
    """

    def __init__(self, vocabulary_size: int, width: int, use_bias: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.use_bias = use_bias
        self.vocabulary_size = vocabulary_size
        self.width = width

    def build(self, input_shape: tuple[Any, ...] | None = None) -> None:
        """Makes the matrix, and the bias if there is one; the shape of the ids does not matter."""
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.vocabulary_size, self.width),
            initializer=keras.initializers.RandomNormal(stddev=self.width**-0.5),
            autocast=False,  # look rows up first and cast those, not the whole table
        )
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self.vocabulary_size,), initializer="zeros")

    def call(self, ids: keras.KerasTensor) -> keras.KerasTensor:
        """Embeds: ids [B, T] -> [B, T, D], each row times sqrt(D)."""
        ids = keras.ops.cast(ids, "int32")  # Keras builds metrics from a batch averaged over replicas, in float32
        rows = keras.ops.take(self.embeddings, ids, axis=0)
        return keras.ops.cast(rows * self.width**0.5, self.compute_dtype)

    def logits(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Scores every piece: [N, D] -> [N, V] or [B, T, D] -> [B, T, V], in the compute dtype."""
        table = keras.ops.cast(self.embeddings, self.compute_dtype)
        rows = keras.ops.reshape(x, (-1, self.width))  # a 2-D product has the cheaper gradient
        scores = keras.ops.matmul(rows, keras.ops.transpose(table))
        if self.use_bias:
            scores = scores + keras.ops.cast(self.bias, self.compute_dtype)
        return keras.ops.reshape(scores, (*keras.ops.shape(x)[:-1], self.vocabulary_size))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "width": self.width,
            "use_bias": self.use_bias,
        }
