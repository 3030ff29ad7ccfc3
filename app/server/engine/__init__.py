"""The work behind the routes: loading models, batching, translation, language detection, limits and keys."""
