"""A loss for Keras' `compile` under a distribution strategy: the mean over the tokens of all replicas."""

import keras
import tensorflow as tf

from keras_nmt.layers.losses import ReplicaCrossEntropy, token_weights


@keras.saving.register_keras_serializable(package="nmt", name="GlobalLabelSmoothedCrossEntropy")
class LabelSmoothedCrossEntropy(ReplicaCrossEntropy):
    """Label-smoothed cross entropy in nats, averaged over the real target tokens of the global batch.

    Keras' own reduction averages the means of the replicas. If the replicas have different numbers of tokens, that
    average is not the mean over all tokens. This loss divides the sum of the token losses by the number of tokens of
    all replicas, as `nmt train` does. So a step on several devices gives the same result as on one device.

    Args:
        smoothing: The share of the target distribution that is spread over all pieces; 0.1 in the paper.

    Raises:
        ValueError: `smoothing` is not in [0, 1).
    """

    def __call__(self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor | None = None) -> tf.Tensor:
        """Returns this replica's share of the mean loss, a float32 scalar. The mean loss is the sum of all shares.

        Args:
            y_true: The labels, int32 [B, T]; padding is ignored.
            y_pred: The logits [B, T, V].
            sample_weight: The weights of the rows [B] or of the tokens [B, T]; None for a weight of 1 for each token.
        """
        weights = token_weights(y_true, sample_weight)
        total = tf.reduce_sum(weights)
        replica = tf.distribute.get_replica_context()
        if replica is not None and replica.num_replicas_in_sync > 1:
            total = replica.all_reduce(tf.distribute.ReduceOp.SUM, total)
        return tf.math.divide_no_nan(tf.reduce_sum(self.call(y_true, y_pred) * weights), total)
