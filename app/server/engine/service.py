"""The state that all HTTP interfaces share, and the steps of every request: admission, deadline, model selection."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.requests import Request

from keras_nmt.app.server.engine.batching import Batcher
from keras_nmt.app.server.engine.generation import Writer
from keras_nmt.app.server.engine.languages import Detected, distance, language_name, source_of
from keras_nmt.app.server.engine.layer_timing import LayerTimer
from keras_nmt.app.server.engine.limits import ApiKeys, Limits, RateLimiter
from keras_nmt.app.server.engine.metrics import Metrics
from keras_nmt.app.server.engine.models import Models
from keras_nmt.app.server.engine.pools.processes import ProcessPool
from keras_nmt.app.server.engine.pools.threads import ThreadPool
from keras_nmt.app.server.engine.versions import Direction, Version
from keras_nmt.app.server.errors import CLIENT_GONE, DeadlineError, RequestError, UnauthorizedError
from keras_nmt.app.tasks.task import Route

if TYPE_CHECKING:  # it imports training code
    from keras_nmt.app.inside.inspected_run import InspectedRun

_Result = TypeVar("_Result")
MAX_PENDING_PAGES = 1024  # calls that read or write HTML; each takes a few milliseconds
WRONG_KEYS_PER_MINUTE = 60
AUTO = "auto"  # given as the source language, makes the server identify the language


class ClientGoneError(RequestError):
    """A request whose client disconnected before the answer was sent."""

    status = CLIENT_GONE


@dataclass
class Service:
    """The state of a server.

    Attributes:
        models: Loaded models.
        batcher: Queue and workers for translation.
        metrics: Metrics for Prometheus.
        limits: Limits on a request.
        limiter: Limit on the number of requests per minute of each client.
        keys: Accepted API keys; None admits everybody.
        threads: Threads for signatures that cannot be batched.
        pages: Processes that read and write HTML.
        files: Processes that read and write Word documents. These processes are separate, so that HTML
            does not wait for Word documents.
        timer: Measures layers for the page.
        failures: Limit on the number of requests per minute with a wrong key from each address.
        writer: Threads that continue prompts.
        inspected_run: The run that the page may look into; None without `--inside`.
    """

    models: Models
    batcher: Batcher
    metrics: Metrics
    limits: Limits
    limiter: RateLimiter
    keys: ApiKeys | None = None
    threads: ThreadPool = field(default_factory=ThreadPool)
    pages: ProcessPool = field(default_factory=lambda: ProcessPool(most=MAX_PENDING_PAGES))
    files: ProcessPool = field(default_factory=ProcessPool)
    timer: LayerTimer = field(default_factory=LayerTimer)
    failures: RateLimiter = field(default_factory=lambda: RateLimiter(WRONG_KEYS_PER_MINUTE))
    writer: Writer = field(init=False)
    inspected_run: "InspectedRun | None" = None

    def __post_init__(self) -> None:
        self.writer = Writer(self.metrics)

    def admit(self, request: Request, key: object = None) -> None:
        """Checks the API key of a request and counts the request for the rate limit.

        Args:
            request: The request.
            key: Key from the body; None reads the key from the headers.

        Raises:
            UnauthorizedError: The key is missing or wrong, or the key file cannot be read.
            TooManyRequestsError: The client has made too many requests, or sent too many wrong keys.
        """
        client = request.client.host if request.client else ""
        if self.keys:
            try:
                client = self.keys.holder(key or key_of(request))
            except UnauthorizedError:
                self.failures.count(client)
                raise
        self.limiter.count(client)

    async def answer(self, request: Request, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Runs a coroutine and returns its result. Cancels the coroutine at the deadline or if the client disconnects.

        Args:
            request: The request.
            work: The coroutine that computes the answer.

        Raises:
            DeadlineError: The coroutine took too long.
            ClientGoneError: The client disconnected.
        """
        task, gone = asyncio.ensure_future(work), asyncio.ensure_future(disconnected(request))
        try:
            await asyncio.wait({task, gone}, timeout=self.limits.deadline, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            if gone.done():
                raise ClientGoneError("the client disconnected")
            raise DeadlineError(f"not answered within {self.limits.deadline:g} s")
        finally:
            task.cancel()
            gone.cancel()

    def stop(self) -> None:
        """Stops the threads of `models` and `batcher` and all worker processes."""
        self.models.stop()
        for pool in (self.pages, self.files):
            pool.stop()
        self.batcher.stop()

    def direction_for(
        self, source: str, target: str, text: str, domain: str | None = None
    ) -> tuple[Direction, Detected | None]:
        """Selects the translation direction (a model and one of its language pairs) for a text.

        Args:
            source: Code of the source language, or `AUTO` to identify it.
            target: Code of the target language.
            text: Text to translate; read only if `source` is `AUTO`.
            domain: Domain that the model must know; None allows any model.

        Returns:
            The direction, and the identified language. The identified language is None unless `source` is `AUTO`.

        Raises:
            RequestError: No model translates this pair, or no such model knows the domain.
        """
        if source != AUTO:
            return self.models.for_pair(source, target, domain), None
        into = [one for one in self.models.translating() if distance(target, one.target) is not None]
        if not into:
            raise RequestError(f"there is no model into {target}; there are: {self.models.pairs()}")
        sources = {one.source for one in into}
        found = source_of(text, sources)
        if found.language not in sources:
            raise RequestError(
                f"the text seems to be in {language_name(found.language)}, and there is no model for "
                f"{found.language}-{target}; there are: {self.models.pairs()}"
            )
        return self.models.for_pair(found.language, target, domain), found

    def translation_for(self, source: str, target: str, text: str) -> tuple[Direction, Detected | None]:
        """Selects the direction for a text as `direction_for` does, but only among models that translate.

        Raises:
            RequestError: No model translates this pair.
        """
        if not self.models.translating():
            raise self._none_translates()
        direction, found = self.direction_for(source, target, text)
        if (task := direction.task).roles:
            raise RequestError(f"{source}-{target} is {task.name}, not translation; use POST /api/{task.route}")
        return direction, found

    def outputs_for(self, source: str, target: str, text: str, domain: str | None = None) -> Direction:
        """Selects the direction for a text as `direction_for` does, but only among models that return an output for it.

        Raises:
            RequestError: No model does this, or the pair is that of a language model.
        """
        if all(version.task.route != "translate" for version in self.models.all()):
            raise self._none_translates()
        direction, _ = self.direction_for(source, target, text, domain)
        checked_route(direction.version, "translate")
        return direction

    def generating(self, name: str | None) -> Version:
        """Selects a language model.

        Args:
            name: Name of the model; None selects the first language model.

        Raises:
            NotFoundError: There is no model of this name.
            RequestError: The model is of another task, or there is no language model.
        """
        if name is not None:
            return checked_route(self.models.get(name), "generate")
        for version in self.models.all():
            if version.task.route == "generate":
                return version
        raise RequestError(f"no model here continues texts: {self._tasks()}")

    def _none_translates(self) -> RequestError:
        return RequestError(f"no model here translates: {self._tasks()}")

    def _tasks(self) -> str:
        """Returns the tasks of all models and their routes as text for an error message."""
        versions = self.models.all()
        tasks = ", ".join(f"{one.model} is a model of {one.task.name}" for one in versions)
        return f"{tasks}; use {' or '.join(dict.fromkeys(f'POST /api/{one.task.route}' for one in versions))}"


def checked_route(version: Version, route: Route) -> Version:
    """Returns the version.

    Raises:
        RequestError: Another route applies a model of its task; the message names it.
    """
    task = version.task
    if task.route != route:
        raise RequestError(f"{version.model} is a model of {task.name}; use POST /api/{task.route}")
    return version


def key_of(request: Request) -> str | None:
    """Returns the API key in the header X-API-Key or Authorization: Bearer, or None if there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return request.headers.get("x-api-key") or (token if scheme.lower() == "bearer" else None)


async def disconnected(request: Request) -> None:
    """Waits until the client disconnects. All other messages from the client are discarded."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
