"""One version of an export in memory, and the folder of exports that is watched for others."""

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from app.decoding.signatures import ALIGN, N_BEST, TOKENIZE, TRANSLATE, Signatures, inputs_of, with_translate
from app.errors import UserError
from app.exporting.signature_definitions import definitions_of, signature_definitions
from app.models.export_layout import WARM_UP, is_ctranslate2, newest_version, versions
from app.models.exports import load_export, reporting_damage
from app.runtime.console import say
from app.runtime.utf8_names import in_utf8
from app.server.engine.languages import pairs_apart
from app.server.engine.metrics import Metrics
from app.server.errors import NotFoundError, RequestError

WARMED_FIRST = (TRANSLATE, N_BEST, ALIGN)  # before anybody is answered; the others right after
POLL_SECONDS = 1.0
NUMBER = re.compile("[1-9][0-9]*")


class Version:
    """One version of an export, loaded.

    Attributes:
        model: The name of its export.
        number: Which version it is.
        languages: What it translates.
        signatures: Its functions, by name.
        definitions: What each of them takes and gives, as TensorFlow Serving tells it.
        examples: Sentences of its dev set with their tags, if it brings some.
    """

    def __init__(self, model: str, folder: Path) -> None:
        self.model = model
        self.folder = folder
        self.number = number_of(folder)
        self.export = load_export(folder, {})
        self.languages = self.export.languages
        self.signatures: Signatures = self.export.signatures
        with reporting_damage(folder):
            of_functions = is_ctranslate2(folder)
            definitions = definitions_of(self.signatures) if of_functions else signature_definitions(folder)
            self.definitions = with_translate(definitions)
        self.examples: list[str] = self.export.examples
        self._defaults = {
            name: {key: tf.make_ndarray(value)[()] for key, value in definition.defaults.items()}
            for name, definition in self.definitions.items()
        }

    def defaults_of(self, signature: str) -> dict[str, Any]:
        """The inputs of a signature that may be left out, and what they are then."""
        return self._defaults[signature]

    def tensor(self, signature: str, name: str, value: Any) -> tf.Tensor:
        """A value as the signature takes its input `name`."""
        return tf.convert_to_tensor(value, tf.as_dtype(self.definitions[signature].inputs[name].dtype))

    def token_counts(self, texts: Sequence[bytes]) -> list[int]:
        """Of texts in UTF-8, EOS not among them."""
        if outside := self.export.vocabulary_outside:
            return [len(ids) for ids in outside.encode_outside([text.decode("utf-8", "replace") for text in texts])]
        lengths: list[int] = self.signatures[TOKENIZE](texts=tf.constant(texts))["lengths"].numpy().tolist()
        return lengths

    def check_knows(self, signature: str) -> None:
        """Refuses a signature that the export does not have, as those for CTranslate2 alone lack some.

        Raises:
            NotFoundError: There is none of this name.
        """
        if signature not in self.definitions:
            known = ", ".join(self.definitions)
            raise NotFoundError(f"{self.model} has no signature {signature}, which this needs; it has: {known}")

    def warm_up(self, names: Mapping[str, Any] | tuple[str, ...]) -> None:
        """Runs these signatures with the requests that the export brings for TensorFlow Serving, once each."""
        if not (self.folder / WARM_UP).is_file():  # CTranslate2's need none
            return
        left = set(names)
        for record in tf.data.TFRecordDataset(f"{in_utf8(self.folder)}/{WARM_UP}").as_numpy_iterator():
            request = PredictionLog.FromString(record).predict_log.request
            name = request.model_spec.signature_name
            if name in left:
                left.remove(name)
                function = self.signatures[name]
                function(**{key: tf.constant(tf.make_ndarray(request.inputs[key])) for key in inputs_of(function)})


@dataclass(frozen=True)
class Direction:
    """One of the pairs of languages that a version translates, and the domain, if one was asked for."""

    version: Version
    source: str
    target: str
    domain: str | None = None

    @property
    def tags(self) -> tuple[str, ...]:
        """What its texts begin with."""
        return self.version.languages.tags_of(self.target, self.domain)

    @property
    def examples(self) -> list[str]:
        """Sentences of the dev set into this language, if the version brings some."""
        parted = map(self.version.languages.split, self.version.examples)
        return [text for tags, text in parted if tags[: len(self.tags)] == self.tags]

    def encoded(self, text: str) -> bytes:
        """A text as the signatures take it, behind its tags; tags that are written in it are text."""
        return self.version.languages.tagger(self.target, self.domain)(text).encode("utf-8", "replace")


@dataclass
class Served:
    """An export by name: what answers, and how loading its versions went.

    Attributes:
        current: What answers.
        failed: Versions that could not be loaded: why, and when their files had last been written.
    """

    current: Version | None = None
    failed: dict[int, tuple[str, float]] = field(default_factory=dict)


class Models:
    """Exports by name, each with its newest version that can be loaded.

    Args:
        path: An export, a version of one, or a folder of these.
        metrics: Is told what was loaded.

    Raises:
        UserError: There is no export, or one of which no version can be loaded.
    """

    def __init__(self, path: Path, metrics: Metrics) -> None:
        self.path = path
        self.metrics = metrics
        self.served: dict[str, Served] = {}
        self._stopping = threading.Event()
        self._watching = threading.Thread(target=self._watch, name="watch", daemon=True)
        self._warming = threading.Thread(target=self._warm_the_rest, name="warm", daemon=True)
        self._trouble = ""  # what was said last of the folder
        if not exports_at(path):
            raise UserError(
                f"{path} holds no export; expected what `nmt export RUN --out EXPORT` wrote, or a folder of such"
            )
        self.refresh(WARMED_FIRST)
        for name, served in self.served.items():
            if served.current is None:
                raise UserError(f"{name}: {next(iter(served.failed.values()))[0]}")

    def watch(self) -> None:
        """From now on looks for versions that come and go, while another thread warms those that there are."""
        self._warming.start()
        self._watching.start()

    def stop(self) -> None:
        """Looks no more."""
        self._stopping.set()
        for thread in (self._warming, self._watching):
            if thread.is_alive():
                thread.join()

    def names(self) -> list[str]:
        """Of the models that answer."""
        return [name for name, served in list(self.served.items()) if served.current]

    def get(self, name: str, number: int | None = None) -> Version:
        """The version that answers for a model.

        Raises:
            NotFoundError: There is none of this name and, where one is given, this number.
        """
        served = self.served.get(name)
        if served is None or served.current is None:
            raise NotFoundError(f"there is no model {name}; there are: {', '.join(self.names())}")
        if number not in (None, served.current.number):
            raise NotFoundError(f"version {number} of {name} is not loaded; version {served.current.number} is")
        return served.current

    def for_pair(self, source: str, target: str, domain: str | None = None) -> Direction:
        """What translates from one language into the other, in a domain if one is given.

        Codes may be written in any way (eng, zh_CN, iw); where no model is for a region, another region's is taken.

        Raises:
            RequestError: There is none.
        """
        apart = [(one, pairs_apart((source, target), (one.source, one.target))) for one in self.directions()]
        least = min((distance for _, distance in apart if distance is not None), default=None)
        if least is None:
            raise RequestError(f"there is no model for {source}-{target}; there are: {self.pairs()}")
        found = [one for one, distance in apart if distance == least]
        for direction in found:
            if domain is None or domain in direction.version.languages.domains:
                return replace(direction, domain=domain)
        domains = dict.fromkeys(name for one in found for name in one.version.languages.domains)
        known = f"there are: {', '.join(domains)}" if domains else "leave it out"
        raise RequestError(f"there is no domain {domain} for {source}-{target}; {known}")

    def pairs(self) -> str:
        """The pairs of languages, to be read."""
        return ", ".join(dict.fromkeys(f"{one.source}-{one.target}" for one in self.directions()))

    def directions(self) -> list[Direction]:
        """All pairs of languages of those that answer."""
        return [
            Direction(version, pair.source, pair.target) for version in self.all() for pair in version.languages.pairs
        ]

    def all(self) -> list[Version]:
        """Those that answer."""
        return [served.current for served in list(self.served.values()) if served.current]

    def refresh(self, warmed_before: tuple[str, ...] | None = None) -> None:
        """Loads what is new, and forgets what is gone.

        Args:
            warmed_before: The signatures that run once before a version answers; all of them if None.
        """
        found = exports_at(self.path)
        for name in self.served.keys() - found.keys():
            self.served.pop(name)
            self.metrics.forget(name)
        for name, folders in found.items():
            self._refresh(name, self.served.setdefault(name, Served()), folders, warmed_before)

    def _refresh(
        self, name: str, served: Served, folders: Sequence[Path], warmed_before: tuple[str, ...] | None
    ) -> None:
        for folder in folders:
            number = number_of(folder)
            if served.current and served.current.number == number:
                return
            written = last_written(folder)
            if served.failed.get(number, ("", -1.0))[1] == written:
                continue
            try:
                version = Version(name, folder)
                version.warm_up(warmed_before or tuple(version.definitions))
            except (UserError, OSError, ValueError, LookupError, DecodeError, tf.errors.OpError) as error:
                reason = " ".join(str(error).split())
                served.failed[number] = (reason, written)
                self.metrics.load_failures.labels(name).inc()
                say(f"{name}: version {number} is refused: {reason}")
                continue
            served.failed.pop(number, None)
            served.current = version
            self.metrics.loaded.labels(name).set(number)
            self.metrics.warm.labels(name).set(warmed_before is None)
            say(f"{name}: version {number} answers")
            return

    def _watch(self) -> None:
        while not self._stopping.wait(POLL_SECONDS):
            self._try(self.refresh)

    def _warm_the_rest(self) -> None:
        for version in self.all():
            self._try(partial(self._warm, version))

    def _warm(self, version: Version) -> None:
        for name in version.definitions.keys() - set(WARMED_FIRST):
            if self._stopping.is_set():
                return
            version.warm_up((name,))
        if version in self.all():
            self.metrics.warm.labels(version.model).set(1)

    def _try(self, work: Callable[[], None]) -> None:
        """Goes on watching whatever happens, such as a folder that is deleted while it is read; says it once."""
        try:
            work()
        except Exception as error:
            trouble = f"looking for versions in {self.path}: {' '.join(str(error).split())}"
            if trouble != self._trouble:
                say(trouble)
            self._trouble = trouble


def exports_at(path: Path) -> dict[str, list[Path]]:
    """The versions of the exports at a path, the newest first, by the name of their export.

    They are those of the export itself, the one version that the path is, or those of the exports in the folder, but
    for folders whose names begin with a dot, which somebody has not finished writing.
    """
    folders = published(path) or [path][: newest_version(path) is not None]
    if folders:
        return {export_of(folders[0]): folders}
    if not path.is_dir():
        return {}
    within = [folder for folder in sorted(path.iterdir()) if not folder.name.startswith(".")]
    return {folder.name: folders for folder in within if (folders := published(folder))}


def published(export: Path) -> list[Path]:
    """The versions of an export, the newest first; none where they cannot be read."""
    try:
        return [export / str(number) for number in reversed(versions(export))]
    except PermissionError:
        return []


def number_of(version: Path) -> int:
    """The number of a version's folder; 1 where it has another name."""
    name = numbered(version).name
    return int(name) if NUMBER.fullmatch(name) else 1


def export_of(version: Path) -> str:
    """The name of the export that a version is of: its folder's, or its own where that is no number."""
    folder = numbered(version)
    return (NUMBER.fullmatch(folder.name) and folder.parent.resolve().name) or folder.name


def numbered(version: Path) -> Path:
    """A version's folder by a name that is a number, if it has such a one."""
    return version if NUMBER.fullmatch(version.name) else version.resolve()


def last_written(folder: Path) -> float:
    """When a version's files were last written; a version that is copied anew is tried anew."""
    return max((file.stat().st_mtime for file in folder.rglob("*")), default=0.0)
