"""FastAPI dependencies with which route handlers get the service and the store of translated files.

The function `application` stores these two objects in `app.state`. The functions below are coroutines, because FastAPI
would run an ordinary function in a thread, which costs time on every request.
"""

from typing import Annotated

from fastapi import Depends, Request

from keras_nmt.app.server.engine.service import Service
from keras_nmt.app.server.http.routes.translated_files import TranslatedFiles


async def service_of(request: Request) -> Service:
    """Returns the service of the application that received the request."""
    service: Service = request.app.state.service
    return service


async def files_of(request: Request) -> TranslatedFiles:
    """Returns the store of translated files of the application that received the request."""
    files: TranslatedFiles = request.app.state.files
    return files


CurrentService = Annotated[Service, Depends(service_of)]
CurrentFiles = Annotated[TranslatedFiles, Depends(files_of)]
