"""Route handlers of the three HTTP interfaces, and their JSON: TensorFlow Serving, LibreTranslate, the server's own."""
