"""The exports that the server offers. Their folder is polled, so versions can be added and removed at any time."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf
from google.protobuf.message import DecodeError

from keras_nmt.app.decoding.signatures import ALIGN, GENERATE, N_BEST, TRANSLATE
from keras_nmt.app.errors import UserError
from keras_nmt.app.runtime.console import say
from keras_nmt.app.server.engine.export_folders import exports_at, last_modified, version_number, without_export
from keras_nmt.app.server.engine.languages import pair_distance
from keras_nmt.app.server.engine.metrics import Metrics
from keras_nmt.app.server.engine.versions import Direction, Version
from keras_nmt.app.server.errors import NotFoundError, RequestError

WARMED_FIRST = (TRANSLATE, N_BEST, ALIGN, GENERATE)  # before the server answers; other signatures are warmed up later
POLL_SECONDS = 1.0


class LoadFailure(NamedTuple):
    """The reason why a version could not be loaded, and the last modification time of its files at that attempt."""

    reason: str
    modified: float


@dataclass
class ServedModel:
    """The loaded version of an export, and its versions that could not be loaded.

    Attributes:
        current: Version that answers requests; None before the first one is loaded.
        failed: Reason for each version that could not be loaded, by version number.
    """

    current: Version | None = None
    failed: dict[int, LoadFailure] = field(default_factory=dict)


class Models:
    """The served exports by name, each with its newest version that can be loaded.

    Attributes:
        served: Versions of each export, by the name of the export.

    Args:
        path: An export, one version of an export, or a folder of exports.
        metrics: Metrics that record the loaded versions and the failures.

    Raises:
        UserError: There is no export at the path, or there is an export without a version that can be loaded.
    """

    def __init__(self, path: Path, metrics: Metrics) -> None:
        self.path = path
        self.metrics = metrics
        self.served: dict[str, ServedModel] = {}
        self._stopping = threading.Event()
        self._watching = threading.Thread(target=self._watch, name="watch", daemon=True)
        self._warming = threading.Thread(target=self._warm_up_all, name="warm", daemon=True)
        self._last_error = ""  # last error of polling; repetitions of it are not printed
        if not exports_at(path):
            raise UserError(without_export(path))
        self.refresh(WARMED_FIRST)
        for name, served in self.served.items():
            if served.current is None:
                raise UserError(f"{name}: {next(iter(served.failed.values())).reason}")

    def watch(self) -> None:
        """Starts the thread that polls the folder and the thread that warms up the remaining signatures."""
        self._warming.start()
        self._watching.start()

    def stop(self) -> None:
        """Stops the threads that `watch` started, and waits until they end."""
        self._stopping.set()
        for thread in (self._warming, self._watching):
            if thread.is_alive():
                thread.join()

    def names(self) -> list[str]:
        """Returns the names of the models that have a loaded version."""
        return [name for name, served in list(self.served.items()) if served.current]

    def get(self, name: str, number: int | None = None) -> Version:
        """Returns the loaded version of a model.

        Args:
            name: Name of the model.
            number: Number that the version must have; None accepts any number.

        Raises:
            NotFoundError: There is no such model, or its loaded version is not `number`.
        """
        served = self.served.get(name)
        if served is None or served.current is None:
            raise NotFoundError(f"there is no model {name}; there are: {', '.join(self.names())}")
        if number not in (None, served.current.number):
            raise NotFoundError(f"version {number} of {name} is not loaded; version {served.current.number} is")
        return served.current

    def for_pair(self, source: str, target: str, domain: str | None = None) -> Direction:
        """Returns the direction for a language pair.

        Args:
            source: Code of the source language in any notation, such as eng, zh_CN or iw. If there is no model for the
                region in the code, a model for another region of the language is used.
            target: Code of the target language. The same rule for regions applies.
            domain: Domain that the model must know; None allows any model.

        Raises:
            RequestError: No model translates the pair, or no model for the pair knows the domain.
        """
        distances = [(one, pair_distance((source, target), (one.source, one.target))) for one in self.directions()]
        least = min((distance for _, distance in distances if distance is not None), default=None)
        if least is None:
            raise RequestError(f"there is no model for {source}-{target}; there are: {self.pairs()}")
        nearest = [one for one, distance in distances if distance == least]
        for direction in nearest:
            if domain is None or domain in direction.version.languages.domains:
                return replace(direction, domain=domain)
        domains = dict.fromkeys(name for one in nearest for name in one.version.languages.domains)
        known = f"there are: {', '.join(domains)}" if domains else "leave it out"
        raise RequestError(f"there is no domain {domain} for {source}-{target}; {known}")

    def pairs(self) -> str:
        """Returns the language pairs as text for an error message."""
        return ", ".join(dict.fromkeys(f"{one.source}-{one.target}" for one in self.directions()))

    def translating(self) -> list[Direction]:
        """Returns the directions of the loaded versions that translate, not those of models of other tasks."""
        return [one for one in self.directions() if not one.task.roles]

    def directions(self) -> list[Direction]:
        """Returns the directions of all loaded versions."""
        return [
            Direction(version, pair.source, pair.target) for version in self.all() for pair in version.languages.pairs
        ]

    def all(self) -> list[Version]:
        """Returns the loaded versions of all models."""
        return [served.current for served in list(self.served.values()) if served.current]

    def refresh(self, warmed_before: tuple[str, ...] | None = None) -> None:
        """Loads new versions and drops deleted exports.

        Args:
            warmed_before: Signatures to warm up before a new version answers requests; None warms up all signatures.
        """
        found = exports_at(self.path)
        for name in self.served.keys() - found.keys():
            self.served.pop(name)
            self.metrics.forget(name)
        for name, folders in found.items():
            self._load_newest(name, self.served.setdefault(name, ServedModel()), folders, warmed_before)

    def _load_newest(
        self, name: str, served: ServedModel, folders: Sequence[Path], warmed_before: tuple[str, ...] | None
    ) -> None:
        """Loads the version in the first of `folders` that can be loaded, unless this version is loaded already.

        A version that could not be loaded is tried again only after its files have changed.
        """
        for folder in folders:
            number = version_number(folder)
            if served.current and served.current.number == number:
                return
            modified = last_modified(folder)
            if number in served.failed and served.failed[number].modified == modified:
                continue
            try:
                version = Version(name, folder)
                version.warm_up([name for name in version.definitions if not warmed_before or name in warmed_before])
            except (UserError, OSError, ValueError, LookupError, DecodeError, tf.errors.OpError) as error:
                reason = " ".join(str(error).split())
                served.failed[number] = LoadFailure(reason, modified)
                self.metrics.load_failures.labels(name).inc()
                say(f"{name}: version {number} cannot be loaded: {reason}")
                continue
            served.failed.pop(number, None)
            served.current = version
            self.metrics.loaded.labels(name).set(number)
            self.metrics.warm.labels(name).set(warmed_before is None)
            say(f"{name}: version {number} answers")
            return

    def _watch(self) -> None:
        while not self._stopping.wait(POLL_SECONDS):
            self._run_guarded(self.refresh)

    def _warm_up_all(self) -> None:
        for version in self.all():
            self._run_guarded(partial(self._warm_up, version))

    def _warm_up(self, version: Version) -> None:
        """Runs the signatures that were not warmed up before the version answered."""
        for name in version.definitions.keys() - set(WARMED_FIRST):
            if self._stopping.is_set():
                return
            version.warm_up((name,))
        if version in self.all():
            self.metrics.warm.labels(version.model).set(1)

    def _run_guarded(self, work: Callable[[], None]) -> None:
        """Calls a function. If the function raises an error, prints the error, so that the thread continues.

        For example, a folder may be deleted while it is read.
        """
        try:
            work()
        except Exception as error:
            message = f"looking for versions in {self.path}: {' '.join(str(error).split())}"
            if message != self._last_error:
                say(message)
            self._last_error = message
