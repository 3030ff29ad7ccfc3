"""What a request can be refused for; each knows the status that HTTP has for it."""

CLIENT_GONE = 499  # for a request whose client left before the answer, as nginx counts it


class RequestError(Exception):
    """A request that is not answered: the message is for who made it."""

    status = 400


class NotFoundError(RequestError):
    """There is no such model, version, signature or pair of languages."""

    status = 404


class TooLargeError(RequestError):
    """More than the server takes at once."""

    status = 413


class UnauthorizedError(RequestError):
    """A key is missing or wrong."""

    status = 403


class TooManyRequestsError(RequestError):
    """More requests in a minute than this client may make."""

    status = 429

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class BusyError(RequestError):
    """The queue is full, or the server is about to stop; the same request may succeed later."""

    status = 503

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DeadlineError(RequestError):
    """It was not answered in time."""

    status = 504
