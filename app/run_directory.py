"""A RUN on disk: configuration, vocabulary, manifest, metrics and checkpoints of one training.

RUN/config.toml      the resolved configuration          RUN/metrics.jsonl   one object a step
RUN/vocabulary.model the vocabulary it was trained with  RUN/dev.jsonl       one object a dev evaluation
RUN/manifest.json    versions, hashes, seed, languages   RUN/checkpoints/    RUN/tensorboard/
"""

import importlib.metadata
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tomli_w

from app.config import Configuration, load_configuration
from app.errors import UserError
from app.training.checkpoints import Checkpoint, CheckpointFolder
from layers import Transformer
from pipelines.shards import Manifest
from pipelines.vocabulary import Vocabulary

PACKAGES = ("nmt", "tensorflow", "keras", "tensorflow-text", "sentencepiece", "sacrebleu", "numpy")


@dataclass(frozen=True)
class RunDirectory:
    """An existing run."""

    path: Path
    configuration: Configuration
    manifest: dict[str, Any]

    @classmethod
    def create(cls, path: Path, configuration: Configuration, data: Manifest) -> "RunDirectory":
        """Makes the folder and everything in it that does not change while training."""
        path.mkdir(parents=True, exist_ok=True)
        data.vocabulary().save(path / "vocabulary.model")
        manifest = {
            "pair": asdict(data.pair),
            "seed": configuration.training.seed,
            "vocabulary_digest": data.vocabulary_digest,
            "data": shard_checksums(data),
            "versions": {name: _version(name) for name in PACKAGES},
        }
        (path / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        # Last: a folder with a configuration is a run.
        (path / "config.toml").write_text(tomli_w.dumps(configuration.as_sections()), encoding="utf-8")
        return cls(path, configuration, manifest)

    @classmethod
    def open(cls, path: Path) -> "RunDirectory":
        """Reads a run.

        Raises:
            UserError: The folder is missing or is no run.
        """
        if not cls.is_run(path):
            found = "it has no config.toml" if path.is_dir() else "there is no such folder"
            raise UserError(f"{path} is not a run of `nmt train`: {found}")
        try:
            manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(
                f"{path / 'manifest.json'} is damaged ({error}); train again into another folder"
            ) from error
        return cls(path, load_configuration(path / "config.toml"), manifest)

    @staticmethod
    def is_run(path: Path) -> bool:
        """Whether `nmt train` made this folder."""
        return (path / "config.toml").is_file() and (path / "manifest.json").is_file()

    @property
    def checkpoints(self) -> CheckpointFolder:
        """The run's checkpoints."""
        return CheckpointFolder(self.path / "checkpoints", self.configuration.training.keep_checkpoints)

    def vocabulary(self) -> Vocabulary:
        """The vocabulary that the run was trained with.

        Raises:
            DataError: The file is missing or damaged.
            UserError: It is another vocabulary.
        """
        path = self.path / "vocabulary.model"
        vocabulary = Vocabulary.load(path)
        if vocabulary.digest != self.manifest["vocabulary_digest"]:
            raise UserError(
                f"{path} is not the vocabulary that the run was trained with; copy vocabulary.model from its data"
            )
        return vocabulary

    def checkpoint(self) -> Checkpoint:
        """What to translate with: the average if it was made since the newest step, else the newest step.

        Raises:
            UserError: Training has not reached its first checkpoint.
        """
        latest = self.checkpoints.latest()
        if latest is None:
            raise UserError(f"{self.path} has no checkpoint yet; train it further with the same `nmt train` command")
        if not self.checkpoints.average_path().is_dir():
            return latest
        average = Checkpoint.open(self.checkpoints.average_path())
        return average if average.step >= latest.step else latest

    def load_transformer(self, checkpoint: Checkpoint, precision: str) -> Transformer:
        """The model with the checkpoint's weights, computing under Keras' policy `precision`."""
        transformer = Transformer(self.configuration.model, name="transformer", dtype=precision)
        transformer.build()
        checkpoint.load_weights(transformer)
        return transformer


def shard_checksums(data: Manifest) -> dict[str, list[str]]:
    """The SHA-256 of every shard, by split."""
    return {name: [shard.sha256 for shard in split.shards] for name, split in data.splits.items()}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
