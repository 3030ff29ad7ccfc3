"""The server's HTTP side: the application, request bodies, and the checks that every request passes first."""
