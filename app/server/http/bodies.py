"""The body of a request as it comes in: within its time, no larger than it may be, and unpacked."""

import asyncio
import time
import zlib

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope

from app.server.engine.limits import Limits

GZIP = 31  # zlib's number for it
MOST_MEMBERS = 64  # of a body; each costs a copy of what is behind it
OF_PACKING = (b"content-encoding", b"content-length")  # headers that are not true of what was unpacked


class Body:
    """Receives a request's body; the application calls `receive` in place of the server's own.

    Attributes:
        received: Bytes so far, as they were sent.
        is_gone: Whether the client left before all was there.

    Args:
        scope: Of the request.
        receive: The server's.
        limits: On the body, packed and unpacked, and the time within which it must be there.
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
        """The next part.

        Raises:
            HTTPException: The time is over, it is too much, or it is damaged.
        """
        left = None if self._is_whole else self.limits.arrival - (time.perf_counter() - self._begun)
        try:
            async with asyncio.timeout(left):
                message = await self._receive()
        except TimeoutError as error:
            raise HTTPException(408, f"the body was not there within {self.limits.arrival:g} s") from error
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
    """Unpacks gzip, and never more than may be.

    Args:
        most_bytes: Of what is unpacked.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._unpacked = 0
        self._members = 0
        self._member = zlib.decompressobj(GZIP)
        self._is_between = True  # two members, or before the first

    def feed(self, chunk: bytes, *, is_last: bool) -> bytes:
        """What a part of it unpacks to.

        Raises:
            HTTPException: It is no gzip, damaged, or too much.
        """
        found = b""
        while chunk:
            found += self._next(chunk)
            check_size(self._unpacked, self.most_bytes)
            chunk = self._member.unconsumed_tail or self._member.unused_data
            self._is_between = self._member.eof
            if self._member.eof:
                self._member = zlib.decompressobj(GZIP)
                self._members += 1
        if self._members > MOST_MEMBERS or (is_last and not self._is_between):
            raise HTTPException(400, "the body is no whole gzip")
        return found

    def _next(self, chunk: bytes) -> bytes:
        if self._members > MOST_MEMBERS:
            raise HTTPException(400, "the body is no whole gzip")
        try:
            part = self._member.decompress(chunk, self.most_bytes - self._unpacked + 1)
        except zlib.error as error:
            raise HTTPException(400, "the body is no gzip, or it is damaged") from error
        self._unpacked += len(part)
        return part


def encodings_of(scope: Scope) -> list[bytes]:
    """How a body is packed, the last packing last."""
    named = [value for name, value in scope["headers"] if name == b"content-encoding"]
    return [
        one for value in named for one in value.lower().replace(b" ", b"").split(b",") if one not in (b"", b"identity")
    ]


def is_gzip(scope: Scope) -> bool:
    """Whether a body is packed once, in the one way that is known."""
    return encodings_of(scope) in ([b"gzip"], [b"x-gzip"])


def refusal(scope: Scope, limits: Limits) -> tuple[int, str] | None:
    """The status and the message with which a body is refused by its headers; None if it is not."""
    length = dict(scope["headers"]).get(b"content-length", b"0")
    if length.isdigit() and int(length) > limits.body_bytes:
        return 413, too_large(limits.body_bytes)
    if (packed := encodings_of(scope)) and not is_gzip(scope):
        return 415, f"a body in {b', '.join(packed).decode('latin-1')} is not taken; pack it as gzip, or not at all"
    return None


def check_size(size: int, most_bytes: int) -> None:
    """Refuses a body that is too large."""
    if size > most_bytes:
        raise HTTPException(413, too_large(most_bytes))


def too_large(most_bytes: int) -> str:
    """What a client with too large a body is told."""
    return f"the body of a request may have {most_bytes} bytes"
