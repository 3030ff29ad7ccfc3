"""The HTTP part of the server: the application, request bodies, and the checks that every request must pass."""
