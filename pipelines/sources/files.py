"""The only place where a corpus' files are opened: local ones and those of gs:// and s3://, decompressed as a stream.

Addresses on the web are not opened here but fetched first (`pipelines.downloads`). Of epath's backends the one of
fsspec is named outright for the stores: epath itself prefers TensorFlow's, which knows no S3 and takes seconds to load.
"""

import gzip
import io
import lzma
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from glob import has_magic
from pathlib import Path
from typing import IO, Any

import zstandard
from etils.epath import backend as epath_backend

from pipelines.errors import DataError

COMPRESSIONS = ("", ".gz", ".xz", ".zst")

_STORES = {"gs": "gcsfs", "s3": "s3fs"}  # and the package that knows each
_DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, zstandard.ZstdError)
_CHUNK_BYTES = 1 << 17


@contextmanager
def open_stream(name: str) -> Iterator[IO[bytes]]:
    """Opens the text of a plain, `.gz`, `.xz` or `.zst` file.

    Raises:
        DataError: if it cannot be read or is damaged, on opening or while it is read within the context.
    """
    with _explained(name), _backend(name).open(name, "rb") as file, _decompressed(name, file) as stream:
        yield stream


def read_lines(name: str) -> Iterator[bytes]:
    """Yields the lines of a file without their ends; only `\\n` or `\\r\\n` ends one."""
    with open_stream(name) as file:
        for line in file:
            yield line.removesuffix(b"\n").removesuffix(b"\r")


def is_file(name: str) -> bool:
    """Tells whether there is such a file."""
    with _explained(name):
        backend = _backend(name)
        return backend.exists(name) and not backend.isdir(name)


def matches(pattern: str) -> list[str]:
    """Gives the files that match, sorted; a name that is there as it is written is not a pattern."""
    if not has_magic(pattern) or is_file(pattern):
        return [pattern] if is_file(pattern) else []
    with _explained(pattern):
        return sorted(name for name in _backend(pattern).glob(pattern) if is_file(name))


def describe(name: str) -> dict[str, Any]:
    """Gives the full path and the size of a file, for people."""
    path = name if _is_remote(name) else str(Path(name).resolve())
    with _explained(name):
        return {"path": path, "bytes": _backend(name).stat(name).length}


def identify(name: str) -> list[Any]:
    """Gives values that change when the file does, without reading it."""
    with _explained(name):
        if _is_remote(name):
            return [name, _backend(name).fs(name).ukey(name)]
        stat = os.stat(name)
        return [str(Path(name).resolve()), stat.st_size, stat.st_mtime_ns]


def first_line(error: BaseException) -> str:
    """Gives what an error says in one line."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _is_remote(name: str) -> bool:
    return "://" in name


def _backend(name: str) -> Any:
    if not _is_remote(name):
        return epath_backend.os_backend
    if name.partition("://")[0] not in _STORES:
        raise DataError(
            f"cannot open {name}; expected a local path, {', '.join(f'{s}://' for s in _STORES)} or https://"
        )
    return epath_backend.fsspec_backend


@contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except _DAMAGE as error:
        raise DataError(f"{name} is damaged or cut short ({first_line(error)}); fetch it again") from error
    except OSError as error:
        raise DataError(f"cannot read {name}: {error.strerror or first_line(error)}") from error
    except Exception as error:
        if not _is_remote(name):
            raise
        raise _store_error(name, error) from error


def _store_error(name: str, error: Exception) -> DataError:
    scheme = name.partition("://")[0]
    if isinstance(error, ImportError):
        return DataError(f"cannot open {name}: {scheme}:// needs another package; run: pip install {_STORES[scheme]}")
    return DataError(f"cannot read {name} ({first_line(error)}); check the name and your credentials for {scheme}://")


def _decompressed(name: str, file: IO[bytes]) -> IO[bytes]:
    if name.endswith(".gz"):
        return gzip.GzipFile(fileobj=file)  # type: ignore[return-value]
    if name.endswith(".xz"):
        return io.BufferedReader(_Chunks(_xz_chunks(file)), _CHUNK_BYTES)
    return io.BufferedReader(_Chunks(_zstd_chunks(file)), _CHUNK_BYTES) if name.endswith(".zst") else file


def _xz_chunks(file: IO[bytes]) -> Iterator[bytes]:
    """Yields the text of all streams; Python's own reader takes a damaged second one for the end of the file."""
    stream, left = None, b""
    while chunk := left or file.read(_CHUNK_BYTES):
        if stream is None:
            chunk, left = chunk.lstrip(b"\0"), b""  # between streams there may be padding
            if not chunk:
                continue
            stream = lzma.LZMADecompressor()
        yield stream.decompress(chunk, _CHUNK_BYTES)
        while not (stream.eof or stream.needs_input):
            yield stream.decompress(b"", _CHUNK_BYTES)
        left = stream.unused_data if stream.eof else b""
        stream = None if stream.eof else stream
    if stream is not None:
        raise EOFError("it ends within a stream")


def _zstd_chunks(file: IO[bytes]) -> Iterator[bytes]:
    """Yields the text of all frames; unlike the package's own reader it notices a file that is cut short."""
    frame, left = None, b""
    while chunk := left or file.read(_CHUNK_BYTES):
        frame = frame or zstandard.ZstdDecompressor().decompressobj()
        yield frame.decompress(chunk)
        left = frame.unused_data if frame.eof else b""
        frame = None if frame.eof else frame
    if frame is not None:
        raise EOFError("it ends within a frame")


class _Chunks(io.RawIOBase):
    """Pieces of bytes as a file to read."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = memoryview(b"")

    def readable(self) -> bool:
        """Tells that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fills `buffer` with what there is of the present piece; 0 at the end."""
        while not self._left:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._left = memoryview(chunk)
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size
