"""HTML: finds the texts of a page and writes their translations back. Needs no TensorFlow."""
