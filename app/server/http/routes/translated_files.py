"""Temporary store of translated files. A client can download a stored file under an unguessable name."""

import tempfile
import threading
import time
import uuid
from pathlib import Path
from urllib.parse import quote

from keras_nmt.app.server.errors import NotFoundError

LIFETIME_SECONDS = 600
MAX_TOTAL_BYTES = 256 * 1024 * 1024


class TranslatedFiles:
    """Thread-safe store of files in a temporary folder. The folder is deleted by `close` or when Python exits.

    Each call of `keep` or `get` deletes the files that are older than `LIFETIME_SECONDS`. If the other files together
    are larger than `MAX_TOTAL_BYTES`, the call also deletes the oldest of them.
    """

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="nmt-files-")
        self._download_names: dict[str, str] = {}  # by the name in the store
        self._lock = threading.Lock()

    def keep(self, name: str, content: bytes) -> str:
        """Stores a file.

        Args:
            name: File name under which a browser saves the file.
            content: Bytes of the file.

        Returns:
            The unguessable name of the file in the store.
        """
        stored_name = f"{uuid.uuid4()}{Path(name).suffix.lower()}"
        with self._lock:
            if not Path(self.folder.name).is_dir():  # the system's clean-up of temporary files has deleted the folder
                self.close()
                self.folder = tempfile.TemporaryDirectory(prefix="nmt-files-")
            (Path(self.folder.name) / stored_name).write_bytes(content)
            self._download_names[stored_name] = Path(name).name
            self._evict()
        return stored_name

    def get(self, stored_name: str) -> tuple[str, bytes]:
        """Returns the download name and the content of a stored file.

        Raises:
            NotFoundError: The store never had this file, or has deleted it.
        """
        with self._lock:
            self._evict()
            if stored_name in self._download_names:
                return self._download_names[stored_name], (Path(self.folder.name) / stored_name).read_bytes()
        raise NotFoundError("this file does not exist, or no longer")

    def close(self) -> None:
        """Deletes all files and their folder."""
        self.folder.cleanup()

    def _evict(self) -> None:
        """Deletes expired files. If the other files together are too large, also deletes the oldest of these files."""
        folder = Path(self.folder.name)
        stats = {file: file.stat() for file in (folder.iterdir() if folder.is_dir() else ())}
        size = 0
        for file, stat in sorted(stats.items(), key=lambda item: -item[1].st_mtime):
            size += stat.st_size
            if size > MAX_TOTAL_BYTES or time.time() - stat.st_mtime > LIFETIME_SECONDS:
                file.unlink(missing_ok=True)
        self._download_names = {
            stored: name for stored, name in self._download_names.items() if (folder / stored).is_file()
        }


def attachment_header(name: str) -> str:
    """Returns the Content-Disposition header with which a browser saves a file under `name`."""
    quoted = quote(name)
    return f'attachment; filename="{name}"' if quoted == name else f"attachment; filename*=utf-8''{quoted}"
