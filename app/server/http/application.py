"""The whole server as one ASGI application."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

import tensorflow as tf
from fastapi import FastAPI, Request
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

from app.server.engine.languages import detect
from app.server.engine.service import Service
from app.server.errors import CLIENT_GONE, BusyError, RequestError, TooManyRequestsError, UnauthorizedError
from app.server.http.gate import Gate
from app.server.http.libretranslate import libretranslate_routes
from app.server.http.origins import ANY, Origins
from app.server.http.page_api import page_routes
from app.server.http.proxies import Proxies
from app.server.http.tf_serving import tf_serving_routes
from app.server.http.translated_files import TranslatedFiles

PAGE = Path(__file__).parents[1] / "page"
# Of OpenTelemetry, which looks for its settings at every request, a fifth of the time that HTTP takes.
NO_TELEMETRY = {"tracing": False, "metrics": False, "logs": False}
DESCRIPTION = (
    "Translates with the SavedModels that `nmt export` writes. Speaks TensorFlow Serving's REST interface, "
    "LibreTranslate's, and its own, which the page uses."
)


def application(
    service: Service, hosts: Collection[str] = (ANY,), pages: Collection[str] = (), proxies: Proxies | None = None
) -> ASGIApp:
    """All interfaces, the page, the metrics, behind the gate that every request passes.

    Args:
        service: What answers.
        hosts: The names that the server answers to.
        pages: The origins whose pages may use it.
        proxies: What stands between the server and its clients.
    """
    files = TranslatedFiles()

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        service.models.watch()
        detect("", ())  # loads what it needs
        yield
        files.close()
        service.stop()

    app = FastAPIOffline(
        title="nmt",
        version=version_of("nmt"),
        description=DESCRIPTION,
        lifespan=life,
        redoc_url=None,
        telemetry=NO_TELEMETRY,
    )
    for routes in (tf_serving_routes(service), libretranslate_routes(service, files), page_routes(service)):
        app.include_router(routes)
    app.mount("/page", StaticFiles(directory=PAGE), name="page")

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    @app.get("/metrics", include_in_schema=False)
    def metrics() -> Response:
        return Response(service.metrics.page(), media_type=CONTENT_TYPE_LATEST)

    answer_errors(app)
    if service.keys:
        describe_keys(app)
    if pages:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(pages), allow_methods=["GET", "POST"], allow_headers=[ANY]
        )
    return Gate(app, service.metrics, service.limits, Origins(hosts, pages), proxies)


def describe_keys(app: FastAPI) -> None:
    """Tells the readers of `/openapi.json`, `/docs` among them, where a key goes."""
    describe = app.openapi

    def described() -> dict[str, Any]:
        schema = describe()
        scheme = {"type": "apiKey", "in": "header", "name": "X-API-Key"}
        schema.setdefault("components", {})["securitySchemes"] = {"key": scheme}
        schema["security"] = [{"key": []}]
        return schema

    app.openapi = described  # type: ignore[method-assign]  # as FastAPI's documentation has it


def first_line(error: Exception) -> str:
    """What an error says, in a line that JSON can hold."""
    return (str(error).splitlines() or [""])[0].encode("utf-8", "replace").decode()


def answer_errors(app: FastAPI) -> None:
    """Every error is answered as `{"error": …}`, as both borrowed interfaces do."""

    @app.exception_handler(RequestError)
    async def refused(_: Request, error: RequestError) -> JSONResponse:
        headers = {}
        if isinstance(error, BusyError | TooManyRequestsError):
            headers = {"Retry-After": str(error.retry_after)}
        elif isinstance(error, UnauthorizedError):
            headers = {"WWW-Authenticate": "Bearer"}  # by which the page knows that a key helps
        return JSONResponse({"error": first_line(error)}, error.status, headers=headers)

    @app.exception_handler(ClientDisconnect)
    async def left(_: Request, __: ClientDisconnect) -> Response:
        return Response(status_code=CLIENT_GONE)  # which nobody reads

    @app.exception_handler(tf.errors.InvalidArgumentError)
    @app.exception_handler(tf.errors.OutOfRangeError)
    async def not_computed(_: Request, error: tf.errors.OpError) -> JSONResponse:
        return JSONResponse({"error": first_line(error)}, 400)

    @app.exception_handler(Exception)
    async def broken(_: Request, __: Exception) -> JSONResponse:
        return JSONResponse({"error": "the server failed at this request; its log says more"}, 500)

    @app.exception_handler(HTTPException)
    async def not_there(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    @app.exception_handler(ValidationError)
    async def not_understood(_: Request, error: Any) -> JSONResponse:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            return JSONResponse({"error": "the body is no JSON"}, 400)
        where = ".".join(str(place) for place in first["loc"] if place != "body")
        return JSONResponse({"error": f"{where}: {first['msg']}" if where else first["msg"]}, 400)
