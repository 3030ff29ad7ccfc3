"""LibreTranslate's interface, so that its clients and plug-ins work with this server."""

import mimetypes
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, BeforeValidator, Field
from pydantic_core import PydanticCustomError
from starlette.datastructures import UploadFile

from app.server.documents.documents import FORMATS, translate_document, translate_html
from app.server.engine.languages import detect, name_of, text_of_html
from app.server.engine.service import AUTO, Service
from app.server.engine.translation import TranslatedText, translate
from app.server.engine.versions import Direction
from app.server.errors import RequestError
from app.server.http.translated_files import TranslatedFiles, as_attachment
from app.server.http.whole_text import whole

FRONTEND_TIMEOUT_MS = 500


def texts_only(value: Any) -> Any:
    """The value, if it is a text or a list of texts: of a union, pydantic would name the first part alone."""
    if isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value)):
        return value
    raise PydanticCustomError("texts", "a text or a list of texts is wanted")


class TranslateRequest(BaseModel):
    """One text, or several."""

    q: Annotated[str | list[str], BeforeValidator(texts_only)] = Field(examples=["Good morning."])
    source: str = Field(examples=["en"], description='A language\'s code, or "auto".')
    target: str = Field(examples=["de"])
    format: Literal["text", "html", ""] = "text"  # LibreTranslate takes none for text
    alternatives: int = Field(default=0, ge=0, le=16)
    attributes: bool = Field(
        default=False, description="Whether `alt`, `title`, `placeholder` and `aria-label` of HTML are translated too."
    )
    api_key: str | None = None


class DetectRequest(BaseModel):
    """A text in a language that is to be found out."""

    q: str = Field(examples=["Good morning."])
    api_key: str | None = None


class FileOptions(BaseModel):
    """What a form says about its file."""

    attributes: bool = Field(
        default=False, description="Whether what is said of pictures and the like is translated too."
    )


class SentFile(NamedTuple):
    """A file in a form."""

    name: str
    content: bytes


def body_of(model: type[BaseModel]) -> dict[str, Any]:
    """For the interface's description: JSON, or a form with the same fields."""
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


def libretranslate_routes(service: Service, files: TranslatedFiles) -> APIRouter:
    """`/translate`, `/languages`, `/detect`, `/translate_file`, `/health` and `/frontend/settings`."""
    routes = APIRouter(tags=["LibreTranslate"])

    @routes.get("/languages")
    def languages() -> list[dict[str, Any]]:
        """Which languages are read, and into which each is translated."""
        targets: dict[str, list[str]] = {}
        for direction in service.models.directions():
            targets.setdefault(direction.source, []).append(direction.target)
            targets.setdefault(direction.target, [])
        return [
            {"code": code, "name": name_of(code), "targets": list(dict.fromkeys(into))}
            for code, into in sorted(targets.items())
        ]

    @routes.post("/translate", openapi_extra=body_of(TranslateRequest))
    async def translate_texts(request: Request) -> dict[str, Any]:
        """Translates a text, or a list of texts."""
        asked = TranslateRequest.model_validate(await fields_of(request))
        service.admit(request, asked.api_key)
        texts = [asked.q] if isinstance(asked.q, str) else asked.q
        service.limits.check(texts)
        read = text_of_html if asked.source == AUTO and asked.format == "html" else str
        chosen = [service.direction_for(asked.source, asked.target, read(text)) for text in texts]
        work = translations(service, texts, [direction for direction, _ in chosen], asked)
        answers = await service.answer(request, work)
        several = isinstance(asked.q, list)
        answer: dict[str, Any] = {"translatedText": [a[0] for a in answers] if several else answers[0][0]}
        if asked.source == AUTO:
            detected = [found._asdict() for _, found in chosen if found]
            answer["detectedLanguage"] = detected if several else detected[0]
        if asked.alternatives:
            answer["alternatives"] = [a[1:] for a in answers] if several else answers[0][1:]
        return answer

    @routes.post("/detect", openapi_extra=body_of(DetectRequest))
    async def detect_language(request: Request) -> list[dict[str, Any]]:
        """How sure it is that a text is in each language that is read or written here, and in others that it may be."""
        asked = DetectRequest.model_validate(await fields_of(request))
        service.admit(request, asked.api_key)
        service.limits.check([asked.q])
        known = {code for one in service.models.directions() for code in (one.source, one.target)}
        return [found._asdict() for found in detect(asked.q, known)]

    @routes.post("/translate_file", openapi_extra=FILE_BODY)
    async def translate_file(request: Request) -> dict[str, str]:
        """Translates a file, and says where the translation can be fetched for some minutes."""
        made = files.keep(*await translated_file(service, request))
        return {"translatedFileUrl": str(request.url_for("download_file", name=made))}

    @routes.get("/download_file/{name}")
    def download_file(name: str) -> Response:
        """A translated file."""
        called, content = files.get(name)
        kind = mimetypes.guess_type(called)[0] or "application/octet-stream"
        return Response(content, media_type=kind, headers={"Content-Disposition": as_attachment(called)})

    @routes.get("/health")
    def health() -> dict[str, str]:
        """Whether the server works."""
        return {"status": "ok"}

    @routes.get("/frontend/settings")
    def settings() -> dict[str, Any]:
        """What a page needs to know."""
        first = next(iter(service.models.directions()), None)
        pair = {"source": first.source, "target": first.target} if first else {}
        return {
            "apiKeys": service.keys is not None,
            "filesTranslation": True,
            "charLimit": service.limits.characters,
            "bodyLimit": service.limits.body_bytes,  # in bytes; LibreTranslate has none
            "frontendTimeout": FRONTEND_TIMEOUT_MS,
            "keyRequired": service.keys is not None,
            "language": {side: {"code": code, "name": name_of(code)} for side, code in pair.items()},
            "suggestions": False,
            "supportedFilesFormat": list(FORMATS),
        }

    return routes


async def translated_file(service: Service, request: Request) -> tuple[str, bytes]:
    """A name for the translation of the file in a form, such as report.de.docx, and the translation."""
    fields = await fields_of(request)
    service.admit(request, fields.get("api_key"))
    file, source, target = (fields.get(name) for name in ("file", "source", "target"))
    if not isinstance(file, SentFile) or not isinstance(source, str) or not isinstance(target, str):
        raise RequestError("a form with file, source and target is wanted")
    if source == AUTO:
        raise RequestError("the source language of a file must be given")
    direction = service.models.for_pair(source, target)
    asked = FileOptions.model_validate(fields)
    work = translate_document(service, direction, file.name, file.content, attributes=asked.attributes)
    name = PurePath(file.name)
    return f"{name.stem}.{direction.target}{name.suffix}", await service.answer(request, work)


async def fields_of(request: Request) -> Mapping[str, Any]:
    """The fields of a request's body, JSON or a form.

    Raises:
        RequestError: It is neither.
    """
    try:
        kind = request.headers.get("content-type", "").lower()
        if kind.startswith(("application/x-www-form-urlencoded", "multipart/")):
            async with request.form() as form:
                given = {name: [await plain(value) for value in form.getlist(name)] for name in form}
            return {name: values if len(values) > 1 else values[0] for name, values in given.items()}
        fields = await request.json()
    except (ValueError, RecursionError) as error:
        raise RequestError("the body is neither JSON nor a form") from error
    if not isinstance(fields, Mapping):
        raise RequestError("the body must be a JSON object")
    return {name: whole(value) for name, value in fields.items()}


async def plain(value: UploadFile | str) -> "SentFile | str":
    """A file of a form, read."""
    return value if isinstance(value, str) else SentFile(value.filename or "", await value.read())


async def translations(
    service: Service, texts: Sequence[str], directions: Sequence[Direction], asked: TranslateRequest
) -> list[list[str]]:
    """The translation of each text, followed by its alternatives."""
    answers: list[list[str]] = [[] for _ in texts]
    for direction in dict.fromkeys(directions):
        places = [i for i, of_text in enumerate(directions) if of_text == direction]
        own = [texts[i] for i in places]
        if asked.format == "html":
            pages = await translate_html(service, direction, own, attributes=asked.attributes)
            for i, page in zip(places, pages, strict=True):
                answers[i] = [page]
            continue
        found = await translate(service.batcher, direction, own, alternatives=asked.alternatives)
        for i, text in zip(places, found, strict=True):
            answers[i] = [text.text, *alternatives_of(text, asked.alternatives)]
    return answers


def alternatives_of(text: TranslatedText, count: int) -> list[str]:
    """Other translations of a whole text, without those that are there already."""
    others = dict.fromkeys(text.alternative(number) for number in range(count))
    return [other for other in others if other != text.text]
