"""LibreTranslate's HTTP interface, so that clients and plug-ins of LibreTranslate work with this server."""

import mimetypes
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, BeforeValidator, Field
from pydantic_core import PydanticCustomError
from starlette.datastructures import UploadFile

from keras_nmt.app.server.documents.documents import FORMATS, translate_document, translate_html
from keras_nmt.app.server.engine.languages import detect, language_name, text_of_html
from keras_nmt.app.server.engine.service import AUTO, Service
from keras_nmt.app.server.engine.translation import TranslatedText, translate
from keras_nmt.app.server.engine.versions import Direction
from keras_nmt.app.server.errors import RequestError
from keras_nmt.app.server.http.routes.dependencies import CurrentFiles, CurrentService
from keras_nmt.app.server.http.routes.surrogates import replace_lone_surrogates
from keras_nmt.app.server.http.routes.translated_files import attachment_header

FRONTEND_TIMEOUT_MS = 500

routes = APIRouter(tags=["LibreTranslate"])


def check_texts(value: Any) -> Any:
    """Returns `value` unchanged if it is a string or a list of strings.

    This check runs before pydantic's own check of `str | list[str]`, whose first error mentions only `str`.

    Raises:
        PydanticCustomError: `value` is neither a string nor a list of strings.
    """
    if isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value)):
        return value
    raise PydanticCustomError("texts", "expected a text or a list of texts")


class TranslateRequest(BaseModel):
    """A request to translate one text or several texts."""

    q: Annotated[str | list[str], BeforeValidator(check_texts)] = Field(examples=["Good morning."])
    source: str = Field(examples=["en"], description='A language code, or "auto".')
    target: str = Field(examples=["de"])
    format: Literal["text", "html", ""] = "text"  # LibreTranslate reads "" as "text"
    alternatives: int = Field(default=0, ge=0, le=16)
    attributes: bool = Field(
        default=False,
        description="Also translate `alt`, `title`, `placeholder`, `aria-label` and `aria-description` in HTML.",
    )
    api_key: str | None = None


class DetectRequest(BaseModel):
    """A request to identify the language of a text."""

    q: str = Field(examples=["Good morning."])
    api_key: str | None = None


class FileOptions(BaseModel):
    """Optional fields of a form that uploads a file."""

    attributes: bool = Field(default=False, description="Also translate descriptions of pictures and similar texts.")


class UploadedFile(NamedTuple):
    """A file that was uploaded in a form."""

    name: str
    content: bytes


def request_body_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Returns the OpenAPI description of a body that is either JSON or a form with the same fields."""
    schema = model.model_json_schema()
    return {
        "requestBody": {
            "required": True,
            "content": {kind: {"schema": schema} for kind in ("application/json", "application/x-www-form-urlencoded")},
        }
    }


FILE_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "source", "target"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "source": {"type": "string"},
                        "target": {"type": "string"},
                        **FileOptions.model_json_schema()["properties"],
                        "api_key": {"type": "string"},
                    },
                }
            }
        },
    }
}


@routes.get("/languages")
def languages(service: CurrentService) -> list[dict[str, Any]]:
    """Lists the languages. The entry of a language lists the languages that it can be translated into."""
    targets: dict[str, list[str]] = {}
    for direction in service.models.translating():
        targets.setdefault(direction.source, []).append(direction.target)
        targets.setdefault(direction.target, [])
    return [
        {"code": code, "name": language_name(code), "targets": list(dict.fromkeys(into))}
        for code, into in sorted(targets.items())
    ]


@routes.post("/translate", openapi_extra=request_body_schema(TranslateRequest))
async def translate_texts(request: Request, service: CurrentService) -> dict[str, Any]:
    """Translates a text, or a list of texts."""
    body = TranslateRequest.model_validate(await fields_of(request))
    service.admit(request, body.api_key)
    texts = [body.q] if isinstance(body.q, str) else body.q
    service.limits.check(texts)
    visible_text = text_of_html if body.source == AUTO and body.format == "html" else str
    chosen = [service.translation_for(body.source, body.target, visible_text(text)) for text in texts]
    work = translations(service, texts, [direction for direction, _ in chosen], body)
    answers = await service.answer(request, work)
    is_list = isinstance(body.q, list)
    answer: dict[str, Any] = {"translatedText": [a[0] for a in answers] if is_list else answers[0][0]}
    if body.source == AUTO:
        detected = [found._asdict() for _, found in chosen if found]
        answer["detectedLanguage"] = detected if is_list else detected[0]
    if body.alternatives:
        answer["alternatives"] = [a[1:] for a in answers] if is_list else answers[0][1:]
    return answer


@routes.post("/detect", openapi_extra=request_body_schema(DetectRequest))
async def detect_language(request: Request, service: CurrentService) -> list[dict[str, Any]]:
    """Returns the likely languages of a text and all served languages, the most likely first.

    For a text without letters, returns only one served language, with confidence 0.
    """
    body = DetectRequest.model_validate(await fields_of(request))
    service.admit(request, body.api_key)
    service.limits.check([body.q])
    served = {code for one in service.models.translating() for code in (one.source, one.target)}
    return [found._asdict() for found in detect(body.q, served)]


@routes.post("/translate_file", openapi_extra=FILE_BODY)
async def translate_file(request: Request, service: CurrentService, files: CurrentFiles) -> dict[str, str]:
    """Translates a file and returns a link to the translation. The link works for at most 10 minutes."""
    stored_name = files.keep(*await translated_file(service, request))
    return {"translatedFileUrl": str(request.url_for("download_file", name=stored_name))}


@routes.get("/download_file/{name}")
def download_file(name: str, files: CurrentFiles) -> Response:
    """Returns a translated file."""
    download_name, content = files.get(name)
    kind = mimetypes.guess_type(download_name)[0] or "application/octet-stream"
    return Response(content, media_type=kind, headers={"Content-Disposition": attachment_header(download_name)})


@routes.get("/health")
def health() -> dict[str, str]:
    """Answers as long as the server runs."""
    return {"status": "ok"}


@routes.get("/frontend/settings")
def settings(service: CurrentService) -> dict[str, Any]:
    """Returns the settings that a web page needs, such as limits, file formats and default languages."""
    first = next(iter(service.models.translating()), None)
    pair = {"source": first.source, "target": first.target} if first else {}
    return {
        "apiKeys": service.keys is not None,
        "filesTranslation": first is not None,
        "charLimit": service.limits.characters,
        "bodyLimit": service.limits.body_bytes,  # not in LibreTranslate's answer
        "frontendTimeout": FRONTEND_TIMEOUT_MS,
        "keyRequired": service.keys is not None,
        "language": {side: {"code": code, "name": language_name(code)} for side, code in pair.items()},
        "suggestions": False,
        "supportedFilesFormat": list(FORMATS),
    }


async def translated_file(service: Service, request: Request) -> tuple[str, bytes]:
    """Translates the file that was uploaded in a form.

    Returns:
        The name of the translated file, such as report.de.docx, and its content.

    Raises:
        RequestError: A field is missing, or the source language is "auto".
    """
    fields = await fields_of(request)
    service.admit(request, fields.get("api_key"))
    file, source, target = (fields.get(name) for name in ("file", "source", "target"))
    if not isinstance(file, UploadedFile) or not isinstance(source, str) or not isinstance(target, str):
        raise RequestError("expected a form with the fields file, source and target")
    if source == AUTO:
        raise RequestError('a file needs a source language other than "auto"')
    direction, _ = service.translation_for(source, target, "")
    options = FileOptions.model_validate(fields)
    work = translate_document(service, direction, file.name, file.content, attributes=options.attributes)
    name = PurePath(file.name)
    return f"{name.stem}.{direction.target}{name.suffix}", await service.answer(request, work)


async def fields_of(request: Request) -> Mapping[str, Any]:
    """Returns the fields of a request's body, which is JSON or a form.

    A form field that occurs several times has a list of values. In JSON, lone surrogates are replaced.

    Raises:
        RequestError: The body is neither a form nor a JSON object.
    """
    try:
        kind = request.headers.get("content-type", "").lower()
        if kind.startswith(("application/x-www-form-urlencoded", "multipart/")):
            async with request.form() as form:
                given = {name: [await form_value(value) for value in form.getlist(name)] for name in form}
            return {name: values if len(values) > 1 else values[0] for name, values in given.items()}
        fields = await request.json()
    except (ValueError, RecursionError) as error:
        raise RequestError("the body is neither JSON nor a form") from error
    if not isinstance(fields, Mapping):
        raise RequestError("the body must be a JSON object")
    return {name: replace_lone_surrogates(value) for name, value in fields.items()}


async def form_value(value: UploadFile | str) -> UploadedFile | str:
    """Returns the value of a form field: a string, or the name and content of an uploaded file."""
    return value if isinstance(value, str) else UploadedFile(value.filename or "", await value.read())


async def translations(
    service: Service, texts: Sequence[str], directions: Sequence[Direction], body: TranslateRequest
) -> list[list[str]]:
    """Translates texts. Each text has its own translation direction.

    Returns:
        For each text, a list of its translation and the alternatives. HTML has no alternatives.
    """
    answers: list[list[str]] = [[] for _ in texts]
    for direction in dict.fromkeys(directions):
        indices = [i for i, of_text in enumerate(directions) if of_text == direction]
        own_texts = [texts[i] for i in indices]
        if body.format == "html":
            pages = await translate_html(service, direction, own_texts, attributes=body.attributes)
            for i, page in zip(indices, pages, strict=True):
                answers[i] = [page]
            continue
        found = await translate(service.batcher, direction, own_texts, alternatives=body.alternatives)
        for i, text in zip(indices, found, strict=True):
            answers[i] = [text.text, *alternatives_of(text, body.alternatives)]
    return answers


def alternatives_of(text: TranslatedText, count: int) -> list[str]:
    """Returns up to `count` alternative translations of a whole text, without duplicates."""
    others = dict.fromkeys(text.alternative(number) for number in range(count))
    return [other for other in others if other != text.text]
