"""Decompresses text as a stream. The suffix of a file determines the format.

If the suffix is unknown, the first bytes of the file determine the format. Archives and other files that do not contain
lines of text are recognised by their first bytes and rejected. Without this check, the content of such a file would be
read as one odd line.
"""

import bz2
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import IO, Any

import zstandard

from keras_nmt.pipelines.errors import DataError

SUFFIXES = (".gz", ".xz", ".zst", ".bz2")

_CHUNK_BYTES = 1 << 17
_FIRST_BYTES = 512
_DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, zstandard.ZstdError)
_UNPACK = "unpack it, and give the text in it"
_REFUSED_NAMES = {".br": "compressed by Brotli", ".lzma": "compressed by the old lzma"}
_REFUSED = {
    rb"PK(\x03\x04|\x05\x06)": ("a zip archive", _UNPACK),
    rb"7z\xbc\xaf\x27\x1c": ("a 7z archive", _UNPACK),
    rb"Rar!\x1a\x07": ("a rar archive", _UNPACK),
    rb".{257}ustar(\0|  \0)": ("a tar archive", _UNPACK),
    rb"\x04\x22\x4d\x18": ("compressed by lz4", _UNPACK),
    rb"\x1f\x9d": ("compressed by compress", _UNPACK),
    rb"PAR1\x15|ARROW1\0\0": ("a table of columns", "write its pairs as JSON lines or TSV first"),
    rb"%PDF-\d\.\d[\r\n]": ("a PDF", "give text"),
}


@contextmanager
def explained_damage(name: str) -> Iterator[None]:
    """Converts the error of any decompressor to a `DataError` that names the file."""
    try:
        yield
    except _DAMAGE as error:
        reason = next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__)
        raise DataError(f"{name} is damaged or cut short ({reason}); fetch it again") from error


def decompressed(name: str, file: Any) -> Any:
    """Returns the decompressed content of a file or pipe as a stream.

    No byte of the file or pipe may have been read before.

    Raises:
        DataError: The file is an archive, or its compression is not supported.
    """
    suffix = PurePath(name).suffix
    if suffix in _REFUSED_NAMES:
        raise _refused(name, _REFUSED_NAMES[suffix], _UNPACK)
    if suffix not in SUFFIXES:
        file = _with_peek(file)
        first = file.peek(_FIRST_BYTES)
        suffix = next((suffix for magic, suffix in _MAGIC.items() if re.match(magic, first)), "")
    stream = _READERS[suffix](file) if suffix else file
    first = stream.peek(_FIRST_BYTES)
    for magic, (what, advice) in _REFUSED.items():
        if re.match(magic, first, re.DOTALL):
            raise _refused(name, what, advice)
    return stream


def _refused(name: str, what: str, advice: str) -> DataError:
    return DataError(f"{name} is {what}, which is not supported; {advice}")


def _with_peek(file: Any) -> Any:
    """Returns the file, with a method `peek` if it has none. Some files of remote stores have none."""
    return file if hasattr(file, "peek") else _reader(iter(lambda: file.read(_CHUNK_BYTES), b""))


def _reader(chunks: Iterator[bytes]) -> IO[bytes]:
    return io.BufferedReader(_Chunks(chunks), _CHUNK_BYTES)


def _streams(file: IO[bytes], decompressor: Callable[[], Any]) -> Iterator[bytes]:
    """Yields the content of all compressed streams of a file, and raises an error if one is damaged.

    Python's own readers would silently stop before a damaged second stream.
    """
    stream, left = None, b""
    while chunk := left or file.read(_CHUNK_BYTES):
        if stream is None:
            chunk, left = chunk.lstrip(b"\0"), b""  # padding between streams
            if not chunk:
                continue
            stream = decompressor()
        yield _decompress(stream, chunk)
        while not (stream.eof or stream.needs_input):
            yield _decompress(stream, b"")
        left = stream.unused_data if stream.eof else b""
        stream = None if stream.eof else stream
    if stream is not None:
        raise EOFError("it ends within a stream")


def _decompress(stream: Any, data: bytes) -> bytes:
    try:
        return stream.decompress(data, _CHUNK_BYTES)
    except OSError as error:  # bz2 raises it for damaged data; must not be confused with an error of the disk
        raise EOFError(str(error)) from error


def _frames(file: IO[bytes]) -> Iterator[bytes]:
    """Yields the content of all zstd frames of a file. Unlike the reader of zstandard, detects a truncated file."""
    frame, left = None, b""
    while chunk := left or file.read(_CHUNK_BYTES):
        frame = frame or zstandard.ZstdDecompressor().decompressobj()
        yield frame.decompress(chunk)
        left = frame.unused_data if frame.eof else b""
        frame = None if frame.eof else frame
    if frame is not None:
        raise EOFError("it ends within a frame")


_READERS: dict[str, Callable[[IO[bytes]], Any]] = {
    ".gz": lambda file: gzip.GzipFile(fileobj=file),
    ".xz": lambda file: _reader(_streams(file, lzma.LZMADecompressor)),
    ".bz2": lambda file: _reader(_streams(file, bz2.BZ2Decompressor)),
    ".zst": lambda file: _reader(_frames(file)),
}
_MAGIC = {
    rb"\x1f\x8b\x08": ".gz",
    rb"\xfd7zXZ\0": ".xz",
    rb"\x28\xb5\x2f\xfd": ".zst",
    rb"BZh[1-9](1AY&SY|\x17rE8P\x90)": ".bz2",
}


class _Chunks(io.RawIOBase):
    """A raw file that reads from an iterator of bytes."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = memoryview(b"")

    def readable(self) -> bool:
        """Returns True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Reads from the current chunk into `buffer`. Returns the number of bytes read; 0 at the end of all chunks."""
        while not self._left:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._left = memoryview(chunk)
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size
