"""What a person or a machine runs: configuration, training, decoding, evaluation, export, serving."""
