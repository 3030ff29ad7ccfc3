"""Finds the files of a corpus. The SPEC names them by a path, a pattern of paths, or the address of a download."""

from dataclasses import dataclass
from glob import escape, has_magic
from typing import Any

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.language_codes import match, spellings
from keras_nmt.pipelines.sources import files
from keras_nmt.pipelines.sources.corpus import CorpusRequest
from keras_nmt.pipelines.sources.downloads import is_address

_ARCHIVES = (".zip", ".7z", ".rar", ".tar", ".tar.gz", ".tgz", ".lz4", ".lzma", ".br", ".Z")


@dataclass(frozen=True)
class TextFile:
    """A local or remote file of text.

    Attributes:
        path: The path of the file.
        url: The address that the SPEC gives for the file; None if the file was not downloaded.
        checksum: The expected SHA-256 of the download; None if the user gave none.
    """

    path: str
    url: str | None = None
    checksum: str | None = None

    def describe(self) -> dict[str, Any]:
        """Returns path, size, address and checksum of the file, for `Corpus.origin`."""
        fetched = {"url": self.url, "sha256": self.checksum}
        return files.describe(self.path) | {name: value for name, value in fetched.items() if value}

    def identify(self) -> list[Any]:
        """Returns values that change when the content of the file changes."""
        return [self.url, self.checksum] if self.checksum else [self.url, *files.identify(self.path)]


def locate(request: CorpusRequest, content: str) -> list[TextFile]:
    """Finds the files of a corpus in which each file has both languages.

    Args:
        request: The request that names the corpus.
        content: A description of what the files should contain, for error messages.

    Raises:
        DataError: No file is found, or a file cannot be read.
    """
    checksums = _checksums(request, 1)
    if is_address(request.name):
        return [_fetched(request, [request.name], request.name, checksums[0])]
    found = files.matches(request.name)
    if not found:
        raise DataError(f"corpus {request.spec}: no file {request.name}; give a file with {content}")
    for path in found:
        files.check_is_text(path)
    return [TextFile(path) for path in found]


def locate_sides(request: CorpusRequest) -> list[tuple[TextFile, TextFile]]:
    """Finds the files of a corpus with one file per language.

    Returns:
        The source file and the target file of each prefix, in alphabetical order of the prefixes.

    Raises:
        DataError: No file is found, a side is missing, or a file cannot be read.
    """
    languages = (request.pair.source, request.pair.target)
    checksums = _checksums(request, 2)
    if is_address(request.name):
        source, target = (
            _fetched(request, _side_names(request.name, *spellings(language)), f"{request.name}.{language}", checksum)
            for language, checksum in zip(languages, checksums, strict=True)
        )
        return [(source, target)]
    found = _by_prefix(request.name, languages)
    wanted = sorted(prefix for prefix, sides in found.items() if any(match(code, sides) for code in languages))
    return [_both_sides(request, prefix, found.get(prefix, {})) for prefix in wanted or [request.name]]


def _checksums(request: CorpusRequest, count: int) -> tuple[str | None, ...]:
    given = request.checksums
    if given and not is_address(request.name):
        raise DataError(f"corpus {request.spec}: sha256 is for files from https://; leave it out")
    if given and len(given) != count:
        form = "one sha256" if count == 1 else "sha256=SOURCE,TARGET"
        raise DataError(f"corpus {request.spec}: expected {form}, got {len(given)}")
    return given or (None,) * count


def _fetched(request: CorpusRequest, urls: list[str], url: str, checksum: str | None) -> TextFile:
    return TextFile(str(request.downloads.fetch(urls, checksum)), url, checksum)


def _side_names(prefix: str, *languages: str) -> list[str]:
    return [f"{prefix}.{language}{compression}" for language in languages for compression in files.COMPRESSIONS]


def _by_prefix(pattern: str, languages: tuple[str, str]) -> dict[str, dict[str, str]]:
    """Returns the files of each matching prefix by suffix: {"news": {"en": "news.en.gz", "de": "news.de"}}."""
    literal = not has_magic(pattern) or any(map(files.is_file, _side_names(pattern, *languages)))
    found: dict[str, dict[str, str]] = {}
    for name in files.matches((escape(pattern) if literal else pattern) + ".*"):
        plain = next((name.removesuffix(end) for end in files.COMPRESSIONS if end and name.endswith(end)), name)
        prefix, _, language = plain.rpartition(".")
        if not literal or prefix == pattern:
            found.setdefault(prefix, {}).setdefault(language, name)
    return found


def _both_sides(request: CorpusRequest, prefix: str, sides: dict[str, str]) -> tuple[TextFile, TextFile]:
    source, target = (
        _side(request, prefix, language, sides) for language in (request.pair.source, request.pair.target)
    )
    if source == target:
        raise DataError(f"corpus {request.spec}: {source.path} would be both sides; name the files by their languages")
    return source, target


def _side(request: CorpusRequest, prefix: str, language: str, sides: dict[str, str]) -> TextFile:
    if name := match(language, sides):
        files.check_is_text(sides[name])
        return TextFile(sides[name])
    names = _side_names(prefix, language)
    packed = next((f"{names[0]}{suffix}" for suffix in _ARCHIVES if files.is_file(f"{names[0]}{suffix}")), None)
    if packed:
        raise DataError(f"corpus {request.spec}: {packed} is not supported; unpack it, and give the text in it")
    raise DataError(f"corpus {request.spec}: found none of {', '.join(names)}; give the path without .{language}")
