"""What all interfaces of the server share: the models, the batcher, and the way in for a request."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.requests import Request

from app.server.engine.batching import Batcher
from app.server.engine.languages import Detected, distance, name_of, source_of
from app.server.engine.limits import ApiKeys, Limits, RateLimiter
from app.server.engine.metrics import Metrics
from app.server.engine.processes import Processes
from app.server.engine.side_work import SideWork
from app.server.engine.versions import Direction, Models
from app.server.errors import CLIENT_GONE, DeadlineError, RequestError, UnauthorizedError

Result = TypeVar("Result")
MOST_PAGES = 1024  # requests for HTML that wait; each takes a few milliseconds
WRONG_KEYS_PER_MINUTE = 60
AUTO = "auto"  # in place of a source language: find it out


class ClientGoneError(RequestError):
    """Nobody waits for the answer any more."""

    status = CLIENT_GONE


@dataclass
class Service:
    """One server.

    Attributes:
        models: What it translates with.
        batcher: Runs it.
        metrics: What it tells Prometheus.
        limits: Of a request.
        limiter: Counts the requests of each client.
        keys: Who may ask; everybody if None.
        side_work: Runs what the batcher does not.
        pages: Read and write HTML.
        files: Read and write Word documents, which may take longer, and so cannot keep HTML waiting.
        failures: Counts the wrong keys of each address.
    """

    models: Models
    batcher: Batcher
    metrics: Metrics
    limits: Limits
    limiter: RateLimiter
    keys: ApiKeys | None = None
    side_work: SideWork = field(default_factory=SideWork)
    pages: Processes = field(default_factory=lambda: Processes(most=MOST_PAGES))
    files: Processes = field(default_factory=Processes)
    failures: RateLimiter = field(default_factory=lambda: RateLimiter(WRONG_KEYS_PER_MINUTE))

    def admit(self, request: Request, key: object = None) -> None:
        """Lets a request in, by its key, and counts it.

        Raises:
            UnauthorizedError: It has no key, or a wrong one.
            TooManyRequestsError: Its client has made too many.
        """
        client = request.client.host if request.client else ""
        if self.keys:
            try:
                client = self.keys.holder(key or key_of(request))
            except UnauthorizedError:
                self.failures.count(client)
                raise
        self.limiter.count(client)

    async def answer(self, request: Request, work: Coroutine[Any, Any, Result]) -> Result:
        """The result of the work, unless its time is over or the client has gone: then it is dropped.

        Raises:
            DeadlineError: It took too long.
            ClientGoneError: Nobody waits for it.
        """
        task, gone = asyncio.ensure_future(work), asyncio.ensure_future(disconnected(request))
        try:
            await asyncio.wait({task, gone}, timeout=self.limits.deadline, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            if gone.done():
                raise ClientGoneError("the client has gone")
            raise DeadlineError(f"not answered within {self.limits.deadline:g} s")
        finally:
            task.cancel()
            gone.cancel()

    def stop(self) -> None:
        """Ends everything that works."""
        self.models.stop()
        for processes in (self.pages, self.files):
            processes.stop()
        self.batcher.stop()

    def direction_for(
        self, source: str, target: str, text: str, domain: str | None = None
    ) -> tuple[Direction, Detected | None]:
        """What translates a pair of languages, and the source language if it had to be found out.

        Raises:
            RequestError: There is none.
        """
        if source != AUTO:
            return self.models.for_pair(source, target, domain), None
        into = [one for one in self.models.directions() if distance(target, one.target) is not None]
        if not into:
            raise RequestError(f"there is no model into {target}; there are: {self.models.pairs()}")
        sources = {one.source for one in into}
        found = source_of(text, sources)
        if found.language not in sources:
            raise RequestError(
                f"a text seems to be in {name_of(found.language)}, and there is no model for "
                f"{found.language}-{target}; there are: {self.models.pairs()}"
            )
        return self.models.for_pair(found.language, target, domain), found


def key_of(request: Request) -> str | None:
    """The key in a request's headers."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return request.headers.get("x-api-key") or (token if scheme.lower() == "bearer" else None)


async def disconnected(request: Request) -> None:
    """Comes back when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
