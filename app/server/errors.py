"""Errors with which the server refuses a request. Each has an HTTP status."""

FAILED = "the server failed on this request; its log has the reason"
CLIENT_GONE = 499  # nginx's status for a client that disconnected before the answer


class RequestError(Exception):
    """A request that the server refuses. The error message is sent to the client."""

    status = 400


class NotFoundError(RequestError):
    """A request for a model, version, signature or file that does not exist."""

    status = 404


class TooLargeError(RequestError):
    """A request that exceeds one of the server's size limits."""

    status = 413


class UnauthorizedError(RequestError):
    """A request without a valid API key."""

    status = 403


class TooManyRequestsError(RequestError):
    """A request of a client that has exceeded its number of requests per minute.

    Args:
        message: Error message, which is sent to the client.
        retry_after: Seconds until the client may try again.
    """

    status = 429

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class BusyError(RequestError):
    """A request that is refused because a queue is full or the server is shutting down.

    The same request may succeed later.

    Args:
        message: Error message, which is sent to the client.
        retry_after: Seconds until the client may try again.
    """

    status = 503

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DeadlineError(RequestError):
    """A request that was not answered before its deadline."""

    status = 504
