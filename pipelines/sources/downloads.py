"""Downloads files over HTTP into a folder: resumes interrupted downloads, verifies checksums, keeps complete files.

A file that is already in the folder is not downloaded again. Users may also put files into the folder themselves.
"""

import hashlib
import os
import re
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse, InvalidURL
from pathlib import Path
from time import sleep
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

from keras_nmt.pipelines.errors import DataError

ByteProgress = Callable[[int, int | None], None]

_WAITS = (1, 2, 4, 8)  # seconds to wait after consecutive attempts without new bytes; after the last one, give up
_SILENCE_SECONDS = 60
_CHUNK_BYTES = 1 << 18
_IN_ADDRESSES = "%/:=&?~#+!$,;'@()*[]"  # these characters have a meaning in URLs, so they are not quoted
_ABSENT = (401, 403, 404, 410)
_PERMANENT = (socket.gaierror, ssl.SSLCertVerificationError)


def default_folder() -> Path:
    """Returns the default folder for downloads: `nmt/downloads` in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "nmt" / "downloads"


def is_address(name: str) -> bool:
    """Returns True if `name` is a web address."""
    return name.startswith(("https://", "http://"))


@dataclass(frozen=True)
class Downloads:
    """A folder of downloaded files, each stored at HOST/PATH.

    Attributes:
        folder: The folder.
        progress: A function that is called during a download with two arguments: the number of bytes received so far,
            and the size of the file, or None if the host does not report the size.
    """

    folder: Path = field(default_factory=default_folder)
    progress: ByteProgress = lambda *_: None

    def place(self, url: str) -> Path:
        """Returns the path where the file of an address is stored; raises a `DataError` if the address is malformed."""
        try:
            address = urlsplit(url)
        except ValueError as error:
            raise DataError(f"{url} is not an address ({error}); expected https://HOST/PATH") from error
        path = address.path + (f"?{address.query}" if address.query else "")
        parts = [re.sub(r"[^\w.,=+-]", "_", part) for part in path.split("/") if part not in ("", ".", "..")]
        if not parts:
            raise DataError(f"{url} has no file name; expected https://HOST/PATH")
        return self.folder.joinpath(address.netloc.rpartition("@")[2].replace(":", "_"), *parts)

    def fetch(self, urls: Sequence[str], sha256: str | None = None) -> Path:
        """Returns the path of a file that is available at any of the addresses `urls`. Downloads it if necessary.

        If the file is already in the folder, either at HOST/PATH or directly under its name, this file is returned.
        Otherwise the file is downloaded from the first of the addresses that exists. An incomplete download is kept
        with the suffix `.part`. The next call resumes it if the host confirms that the file has not changed.

        Raises:
            DataError: No address exists, the network fails, or the content does not have the checksum `sha256`.
        """
        for url in urls:
            for path in (self.place(url), self.folder / self.place(url).name):
                if path.is_file():
                    _check_kept(path, sha256)
                    return path
        answers = []
        for url in urls:
            try:
                return _download(url, self.place(url), sha256, self.progress)
            except _AbsentError as error:
                answers.append(f"{url} ({error})")
        raise DataError(
            f"found no {' nor '.join(answers)}; check the address, or put the file at {self.place(urls[0])}"
        )


class _AbsentError(Exception):
    """The error raised if the host does not have the file. Some hosts answer 403 for files that do not exist."""


class _CutShortError(OSError):
    """The error raised if the connection ended before the file was complete."""


def _download(url: str, path: Path, sha256: str | None, progress: ByteProgress) -> Path:
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _receive_all(url, part, progress)
        if sha256 and (found := _digest(part)) != sha256:
            _discard(part)
            raise DataError(
                f"{url} has unexpected content: expected sha256 {sha256}, found {found}; the download was removed; "
                f"correct sha256, or put the right file at {path}"
            )
        part.replace(path)
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        code = f"HTTP {error.code} " if isinstance(error, HTTPError) else ""
        raise DataError(f"cannot fetch {url} ({code}{reason}); try again later, or put the file at {path}") from error
    _discard(part)
    return path


def _receive_all(url: str, part: Path, progress: ByteProgress) -> None:
    """Downloads the missing bytes of `part`. Raises an error after several consecutive attempts without new bytes."""
    failures, most = 0, _size(part)
    while True:
        try:
            _receive(url, part, progress)
            return
        except (OSError, HTTPException) as error:
            if isinstance(error, HTTPError) and error.code in _ABSENT:
                raise _AbsentError(f"HTTP {error.code}") from error
            failures = 0 if _size(part) > most else failures
            most = max(most, _size(part))
            if failures == len(_WAITS) or not _is_temporary(error):
                raise
            sleep(_WAITS[failures])
            failures += 1


def _receive(url: str, part: Path, progress: ByteProgress) -> None:
    headers = {"User-Agent": "nmt", "Accept-Encoding": "identity"}
    start, version = _size(part), _version_file(part)
    if start and version.is_file():
        headers |= {"Range": f"bytes={start}-", "If-Range": version.read_text()}
    try:
        with urlopen(Request(quote(url, safe=_IN_ADDRESSES), headers=headers), timeout=_SILENCE_SECONDS) as response:
            _write(response, part, progress)
    except HTTPError as error:
        if error.code != 416:
            raise
        if error.headers.get("Content-Range") != f"bytes */{start}":
            _discard(part)
            raise _CutShortError("the file on the host is now smaller than the part already received") from error


def _write(response: HTTPResponse, part: Path, progress: ByteProgress) -> None:
    start = _size(part) if response.status == 206 else 0
    if start and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        _discard(part)
        raise _CutShortError("the host sent another range than requested")
    total = _total_bytes(response, start)
    _version_file(part).unlink(missing_ok=True)
    with part.open("ab" if start else "wb") as file:
        if version := _strong_version(response):
            _version_file(part).write_text(version)
        while chunk := response.read(_CHUNK_BYTES):
            file.write(chunk)
            progress(file.tell(), total)
    if total is not None and _size(part) != total:
        raise _CutShortError(f"the connection ended after {_size(part)} of {total} bytes")


def _total_bytes(response: HTTPResponse, start: int) -> int | None:
    length = response.headers.get("Content-Length")
    return start + int(length) if length and length.isdecimal() else None


def _strong_version(response: HTTPResponse) -> str | None:
    """Returns the validator for If-Range. A weak ETag is not used, because it does not guarantee equal bytes."""
    tag = response.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")


def _is_temporary(error: OSError | HTTPException) -> bool:
    if isinstance(error, HTTPError):
        return error.code >= 500 or error.code in (408, 429)
    if isinstance(error, URLError):
        return isinstance(error.reason, OSError) and not isinstance(error.reason, _PERMANENT)
    broken = isinstance(error, HTTPException | TimeoutError | ConnectionError | ssl.SSLError | _CutShortError)
    return broken and not isinstance(error, InvalidURL)


def _check_kept(path: Path, sha256: str | None) -> None:
    if sha256 and (found := _digest(path)) != sha256:
        raise DataError(f"{path} has sha256 {found}, not {sha256}; delete it to fetch it again, or correct sha256")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _version_file(part: Path) -> Path:
    return part.with_name(part.name + ".version")


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _version_file(part).unlink(missing_ok=True)
