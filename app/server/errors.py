"""Errors with which the server refuses a request. Each has an HTTP status."""

CLIENT_GONE = 499  # nginx's status for a client that disconnected before the answer


class RequestError(Exception):
    """A request that is refused. The message is sent to the client."""

    status = 400


class NotFoundError(RequestError):
    """No such model, version, signature or language pair."""

    status = 404


class TooLargeError(RequestError):
    """A request that exceeds one of the server's size limits."""

    status = 413


class UnauthorizedError(RequestError):
    """A missing or wrong API key."""

    status = 403


class TooManyRequestsError(RequestError):
    """A client that exceeded its number of requests per minute.

    Args:
        message: Reason for the client.
        retry_after: Seconds until the client may try again.
    """

    status = 429

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class BusyError(RequestError):
    """A full queue, or a server that is shutting down. The same request may succeed later.

    Args:
        message: Reason for the client.
        retry_after: Seconds until the client may try again.
    """

    status = 503

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DeadlineError(RequestError):
    """A request that was not answered in time."""

    status = 504
