"""What a person or a machine runs: the command line, training, decoding, evaluation, export and serving."""
