"""The program itself: the command line, training, decoding, evaluation, export and serving."""
