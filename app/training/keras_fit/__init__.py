"""A loss for several replicas, and callbacks, to train a `Transformer` with Keras' own `compile` and `fit`."""
