"""Translated files, which can be fetched for some minutes under names that nobody can guess."""

import tempfile
import threading
import time
import uuid
from pathlib import Path
from urllib.parse import quote

from app.server.errors import NotFoundError

FILES_LIVE_SECONDS = 600
FILES_BYTES = 256 * 1024 * 1024  # of all of them


class TranslatedFiles:
    """The files of a server, in a folder that goes with the process; requests in several threads may use it."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="nmt-files-")
        self._names: dict[str, str] = {}  # for people, by the names that nobody can guess
        self._lock = threading.Lock()

    def keep(self, name: str, content: bytes) -> str:
        """Keeps a file under a name that nobody can guess, and gives that."""
        made = f"{uuid.uuid4()}{Path(name).suffix.lower()}"
        with self._lock:
            if not Path(self.folder.name).is_dir():  # something has tidied up /tmp
                self.close()
                self.folder = tempfile.TemporaryDirectory(prefix="nmt-files-")
            (Path(self.folder.name) / made).write_bytes(content)
            self._names[made] = Path(name).name
            self._forget_old()
        return made

    def get(self, made: str) -> tuple[str, bytes]:
        """What a kept file is called where it is saved, and its content.

        Raises:
            NotFoundError: There is none of this name, or no longer.
        """
        with self._lock:
            self._forget_old()
            if made in self._names:
                return self._names[made], (Path(self.folder.name) / made).read_bytes()
        raise NotFoundError("there is no such file, or no longer")

    def close(self) -> None:
        """Forgets all."""
        self.folder.cleanup()

    def _forget_old(self) -> None:
        """Those that are too old, the oldest of those that are too much, and those that are gone."""
        folder = Path(self.folder.name)
        kept = {file: file.stat() for file in (folder.iterdir() if folder.is_dir() else ())}
        size = 0
        for file, about in sorted(kept.items(), key=lambda item: -item[1].st_mtime):
            size += about.st_size
            if size > FILES_BYTES or time.time() - about.st_mtime > FILES_LIVE_SECONDS:
                file.unlink(missing_ok=True)
        self._names = {made: name for made, name in self._names.items() if (folder / made).is_file()}


def as_attachment(name: str) -> str:
    """The header by which a browser saves a file under its name."""
    quoted = quote(name)
    return f'attachment; filename="{name}"' if quoted == name else f"attachment; filename*=utf-8''{quoted}"
