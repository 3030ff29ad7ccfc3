"""Receives request bodies with a time limit and a size limit, and decompresses gzip."""

import asyncio
import time
import zlib

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope

from keras_nmt.app.server.engine.limits import Limits

GZIP = 31  # value of zlib's `wbits` for the gzip format
MAX_MEMBERS = 64  # gzip members in a body; limited because zlib copies the rest of the chunk after each member
PACKING_HEADERS = (b"content-encoding", b"content-length")  # wrong for the decompressed body


class Body:
    """Wrapper of ASGI's `receive` that limits and decompresses a request's body. The application calls `Body.receive`.

    Attributes:
        received: Number of bytes of the body received so far, counted before decompression.
        is_gone: True if the client disconnected before the end of the body.

    Args:
        scope: ASGI scope of the request.
        receive: The server's ASGI function `receive` for the request.
        limits: The time and size limits of the body. The size limit applies before and after decompression.
    """

    def __init__(self, scope: Scope, receive: Receive, limits: Limits) -> None:
        self.received = 0
        self.is_gone = False
        self.limits = limits
        self._receive = receive
        self._begun = time.perf_counter()
        self._is_whole = False
        self._gunzip = Gunzip(limits.body_bytes) if is_gzip(scope) else None

    async def receive(self) -> Message:
        """Waits for the next ASGI message and returns the message with its part of the body decompressed.

        Raises:
            HTTPException: The body arrives too slowly, is too large, or is not valid gzip.
        """
        left = None if self._is_whole else self.limits.arrival - (time.perf_counter() - self._begun)
        try:
            async with asyncio.timeout(left):
                message = await self._receive()
        except TimeoutError as error:
            raise HTTPException(408, f"the body did not arrive within {self.limits.arrival:g} s") from error
        if message["type"] != "http.request":
            self.is_gone = not self._is_whole
            return message
        chunk = message.get("body", b"")
        self.received += len(chunk)
        check_size(self.received, self.limits.body_bytes)
        self._is_whole = not message.get("more_body", False)
        if self._gunzip:
            chunk = self._gunzip.feed(chunk, is_last=self._is_whole)
        return {**message, "body": chunk}


class Gunzip:
    """Incremental gzip decompressor with a size limit.

    Args:
        max_bytes: Maximum number of bytes after decompression.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._unpacked = 0
        self._members = 0
        self._member = zlib.decompressobj(GZIP)
        self._is_between = True  # True before the first gzip member and after each one

    def feed(self, chunk: bytes, *, is_last: bool) -> bytes:
        """Decompresses the next chunk of the body.

        Raises:
            HTTPException: The body is not valid gzip, is incomplete, is too large, or has too many gzip members.
        """
        unpacked = b""
        while chunk:
            unpacked += self._decompress(chunk)
            check_size(self._unpacked, self.max_bytes)
            chunk = self._member.unconsumed_tail or self._member.unused_data
            self._is_between = self._member.eof
            if self._member.eof:
                self._member = zlib.decompressobj(GZIP)
                self._members += 1
        if self._members > MAX_MEMBERS or (is_last and not self._is_between):
            raise HTTPException(400, "the body is not a complete gzip file")
        return unpacked

    def _decompress(self, chunk: bytes) -> bytes:
        if self._members > MAX_MEMBERS:
            raise HTTPException(400, "the body is not a complete gzip file")
        try:
            part = self._member.decompress(chunk, self.max_bytes - self._unpacked + 1)
        except zlib.error as error:
            raise HTTPException(400, "the body is not valid gzip") from error
        self._unpacked += len(part)
        return part


def encodings_of(scope: Scope) -> list[bytes]:
    """Returns the content encodings of a body except "identity", in lower case, in the order of their application."""
    values = [value for name, value in scope["headers"] if name == b"content-encoding"]
    return [
        one for value in values for one in value.lower().replace(b" ", b"").split(b",") if one not in (b"", b"identity")
    ]


def is_gzip(scope: Scope) -> bool:
    """Returns True if the body is compressed once, with gzip, which is the only supported encoding."""
    return encodings_of(scope) in ([b"gzip"], [b"x-gzip"])


def refusal(scope: Scope, limits: Limits) -> tuple[int, str] | None:
    """Checks the content length and the content encoding in a request's headers.

    Returns:
        The HTTP status and the error message if the request is refused, or None if the request is accepted.
    """
    length = dict(scope["headers"]).get(b"content-length", b"0")
    if length.isdigit() and int(length) > limits.body_bytes:
        return 413, too_large_message(limits.body_bytes)
    if (packed := encodings_of(scope)) and not is_gzip(scope):
        return 415, f"the encoding {b', '.join(packed).decode('latin-1')} is not supported; send gzip or no encoding"
    return None


def check_size(size: int, max_bytes: int) -> None:
    """Raises an `HTTPException` if `size` is greater than `max_bytes`."""
    if size > max_bytes:
        raise HTTPException(413, too_large_message(max_bytes))


def too_large_message(max_bytes: int) -> str:
    """Returns the error message for a body that is too large."""
    return f"the body of a request may have at most {max_bytes} bytes"
