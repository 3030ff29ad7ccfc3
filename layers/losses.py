"""The training loss for Keras' `compile` and `fit`: label-smoothed cross entropy that ignores padding.

Vaswani et al. 2017, section 5.4; Szegedy et al. 2016. `nmt train` computes the same loss in chunks, so that the
logits of a whole batch are never in memory at once.
"""

from typing import Any

import keras

from keras_nmt.layers.masks import PAD


def token_weights(labels: keras.KerasTensor, sample_weight: keras.KerasTensor | None = None) -> keras.KerasTensor:
    """Returns the weight of each label: float32 [B, T], 0 at padding.

    Args:
        labels: Ids of the target tokens, int32 [B, T].
        sample_weight: Weights of the rows [B] or of the tokens [B, T]. None gives every real token weight 1.
    """
    real = keras.ops.cast(keras.ops.not_equal(labels, PAD), "float32")
    if sample_weight is None:
        return real
    sample_weight = keras.ops.cast(sample_weight, "float32")
    return real * (sample_weight if len(sample_weight.shape) == 2 else sample_weight[:, None])


def token_losses(labels: keras.KerasTensor, logits: keras.KerasTensor, smoothing: float = 0.0) -> keras.KerasTensor:
    """Returns the label-smoothed cross entropy of each token in nats: float32 [B, T].

    The target distribution gives the probability e / V to every piece, and an additional 1 - e to the label. With the
    logits z, the loss is logsumexp(z) - (1 - e) z[label] - e mean(z).

    Args:
        labels: Ids of the target tokens, int32 [B, T].
        logits: Scores of all pieces, [B, T, V].
        smoothing: The number e in the formula, in [0, 1).
    """
    logits = keras.ops.cast(logits, "float32")
    label_logits = keras.ops.take_along_axis(logits, keras.ops.cast(labels, "int32")[..., None], axis=-1)[..., 0]
    loss = keras.ops.logsumexp(logits, axis=-1) - (1.0 - smoothing) * label_logits
    return loss - smoothing * keras.ops.mean(logits, axis=-1) if smoothing else loss


@keras.saving.register_keras_serializable(package="nmt", name="LabelSmoothedCrossEntropy")
class ReplicaCrossEntropy(keras.losses.Loss):
    """Label-smoothed cross entropy in nats, averaged over the real target tokens of a batch.

    With several replicas, Keras averages the mean losses of the replicas. Unlike this class,
    `keras_nmt.LabelSmoothedCrossEntropy` divides the summed loss of all replicas by their total number of real tokens,
    as `nmt train` does.

    Args:
        smoothing: Share of the target distribution that is spread over all pieces; 0.1 in Vaswani et al. 2017.

    Raises:
        ValueError: `smoothing` is not in [0, 1).
    """

    def __init__(self, smoothing: float = 0.1, name: str = "label_smoothed_cross_entropy", **kwargs: Any) -> None:
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing is {smoothing}; it must be at least 0 and less than 1")
        super().__init__(name=name, reduction="mean_with_sample_weight", **kwargs)
        self.smoothing = smoothing

    def __call__(
        self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor, sample_weight: keras.KerasTensor | None = None
    ) -> keras.KerasTensor:
        """Returns the mean loss of the real tokens, weighted by `sample_weight`: a float32 scalar.

        Args:
            y_true: Labels, int32 [B, T]. Padding is ignored.
            y_pred: Logits [B, T, V].
            sample_weight: Weights of the rows [B] or of the tokens [B, T]. None gives every real token weight 1.
        """
        return super().__call__(y_true, y_pred, sample_weight=token_weights(y_true, sample_weight))

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the loss of each token, padding included: float32 [B, T]."""
        return token_losses(y_true, y_pred, self.smoothing)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {"name": self.name, "dtype": self.dtype, "smoothing": self.smoothing}
