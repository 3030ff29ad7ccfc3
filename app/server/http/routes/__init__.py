"""Route handlers of the three HTTP interfaces: TensorFlow Serving's, LibreTranslate's and the server's own."""
