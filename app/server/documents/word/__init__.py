"""Word documents: finds the texts of a document and writes their translations back. Needs no TensorFlow."""
