"""The complete server as one ASGI application."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

import tensorflow as tf
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from keras_nmt.app.server.engine.languages import detect
from keras_nmt.app.server.engine.service import Service
from keras_nmt.app.server.errors import (
    CLIENT_GONE,
    FAILED,
    BusyError,
    RequestError,
    TooManyRequestsError,
    UnauthorizedError,
)
from keras_nmt.app.server.http.gate import Gate
from keras_nmt.app.server.http.origins import ANY, Origins
from keras_nmt.app.server.http.proxies import Proxies
from keras_nmt.app.server.http.routes import (
    generation,
    inside,
    inside_training,
    libretranslate,
    page_api,
    tf_serving,
    timing,
)
from keras_nmt.app.server.http.routes.dependencies import CurrentService
from keras_nmt.app.server.http.routes.translated_files import TranslatedFiles

PAGE = Path(__file__).parents[1] / "page"
# Otherwise OpenTelemetry reads its configuration on every request, which takes a fifth of the time spent on HTTP.
NO_TELEMETRY = {"tracing": False, "metrics": False, "logs": False}
DESCRIPTION = (
    "Translates, summarizes, parses or continues texts with the SavedModels that `nmt export` writes. Speaks the REST "
    "interface of TensorFlow Serving, that of LibreTranslate, and its own, which the page uses."
)

routes = APIRouter(include_in_schema=False)


def application(
    service: Service, hosts: Collection[str] = (ANY,), pages: Collection[str] = (), proxies: Proxies | None = None
) -> ASGIApp:
    """Builds the application: all HTTP interfaces, the web page and the metrics, wrapped in `Gate`.

    Args:
        service: The state of the server, such as its models, queue and limits.
        hosts: Host names that the server answers to; `ANY` allows every name.
        pages: Origins of other sites whose web pages may use the server.
        proxies: Trusted proxies and the root path; None if there are no proxies.
    """
    app = FastAPIOffline(
        title="nmt",
        version=version_of("keras-nmt"),
        description=DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
        telemetry=NO_TELEMETRY,
    )
    app.state.service, app.state.files = service, TranslatedFiles()
    for interface in (tf_serving, libretranslate, page_api, inside, inside_training, timing, generation):
        app.include_router(interface.routes)
    app.include_router(routes)
    app.mount("/page", StaticFiles(directory=PAGE), name="page")
    add_error_handlers(app)
    if service.keys:
        describe_keys(app)
    if pages:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(pages), allow_methods=["GET", "POST"], allow_headers=[ANY]
        )
    return Gate(app, service.metrics, service.limits, Origins(hosts, pages), proxies)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Starts the threads of `Models` and loads the language identifier.

    At shutdown, deletes the translated files and stops the service.
    """
    app.state.service.models.watch()
    detect("", ())  # loads the identifier
    yield
    app.state.files.close()
    app.state.service.stop()


@routes.get("/")
def page() -> FileResponse:
    """Returns the web page."""
    return FileResponse(PAGE / "index.html")


@routes.get("/metrics")
def metrics(service: CurrentService) -> Response:
    """Returns the metrics in Prometheus' text format."""
    return Response(service.metrics.page(), media_type=CONTENT_TYPE_LATEST)


def describe_keys(app: FastAPI) -> None:
    """Adds the API key header to `/openapi.json`, which the page `/docs` displays."""
    describe = app.openapi

    def with_keys() -> dict[str, Any]:
        schema = describe()
        scheme = {"type": "apiKey", "in": "header", "name": "X-API-Key"}
        schema.setdefault("components", {})["securitySchemes"] = {"key": scheme}
        schema["security"] = [{"key": []}]
        return schema

    app.openapi = with_keys  # type: ignore[method-assign]  # as in FastAPI's documentation


def printable_first_line(error: Exception) -> str:
    """Returns the first line of an error's message, without characters that UTF-8 cannot encode."""
    return (str(error).splitlines() or [""])[0].encode("utf-8", "replace").decode()


def add_error_handlers(app: FastAPI) -> None:
    """Adds handlers that answer every error with `{"error": …}`, as TensorFlow Serving and LibreTranslate do."""

    @app.exception_handler(RequestError)
    async def refused(_: Request, error: RequestError) -> JSONResponse:
        headers = {}
        if isinstance(error, BusyError | TooManyRequestsError):
            headers = {"Retry-After": str(error.retry_after)}
        elif isinstance(error, UnauthorizedError):
            headers = {"WWW-Authenticate": "Bearer"}  # tells the web page to ask for a key
        return JSONResponse({"error": printable_first_line(error)}, error.status, headers=headers)

    @app.exception_handler(ClientDisconnect)
    async def client_gone(_: Request, __: ClientDisconnect) -> Response:
        return Response(status_code=CLIENT_GONE)  # seen only by the log and the metrics

    @app.exception_handler(tf.errors.InvalidArgumentError)
    @app.exception_handler(tf.errors.OutOfRangeError)
    async def not_computed(_: Request, error: tf.errors.OpError) -> JSONResponse:
        return JSONResponse({"error": printable_first_line(error)}, 400)

    @app.exception_handler(RecursionError)
    async def too_deep(_: Request, __: RecursionError) -> JSONResponse:
        return JSONResponse({"error": "the body is nested too deeply"}, 400)

    @app.exception_handler(Exception)
    async def broken(_: Request, __: Exception) -> JSONResponse:
        return JSONResponse({"error": FAILED}, 500)

    @app.exception_handler(HTTPException)
    async def http_error(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    @app.exception_handler(ValidationError)
    async def invalid(_: Request, error: RequestValidationError | ValidationError) -> JSONResponse:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            return JSONResponse({"error": "the body is not valid JSON"}, 400)
        where = ".".join(str(place) for place in first["loc"] if place != "body")
        return JSONResponse({"error": f"{where}: {first['msg']}" if where else first["msg"]}, 400)
