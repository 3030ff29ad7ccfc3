"""For those who train with Keras' own `compile` and `fit`: a loss for several replicas, and callbacks."""
