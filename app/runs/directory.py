"""A RUN on disk: configuration, vocabulary, manifest, metrics and checkpoints of one training.

RUN/config.toml      the resolved configuration          RUN/metrics.jsonl   one object a step
RUN/vocabulary.model the vocabulary it was trained with  RUN/dev.jsonl       one object a dev evaluation
RUN/manifest.json    versions, hashes, seed, languages   RUN/checkpoints/    RUN/tensorboard/
RUN/evaluations.jsonl  one object each time that `nmt evaluate` scored the run
RUN/divergence/      the sentences of bad steps, if the training diverged
"""

import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import tomli_w

from app.config import Configuration, load_configuration
from app.errors import UserError
from app.runs import step_lines
from app.runs.checkpoint_folder import CheckpointFolder
from app.runs.checkpoints import Checkpoint
from app.runs.lock import LOCK
from app.runs.ranking import DevResults, ranked
from app.runtime.text_files import read_lines, replace_file
from layers import Transformer
from pipelines.shards.manifest import Manifest
from pipelines.sources.corpora import LanguagePair
from pipelines.vocabulary.loading import AnyVocabulary, load_vocabulary
from pipelines.vocabulary.tags import Languages

PACKAGES = ("nmt", "tensorflow", "keras", "tensorflow-text", "sentencepiece", "sacrebleu", "numpy")
EXAMPLES = 8  # dev sentences that a run keeps, for its export to be held to


@dataclass(frozen=True)
class RunDirectory:
    """An existing run."""

    path: Path
    configuration: Configuration
    manifest: dict[str, Any]

    @classmethod
    def create(
        cls, path: Path, configuration: Configuration, data: Manifest, further_facts: Mapping[str, Any]
    ) -> "RunDirectory":
        """Makes the folder and everything in it that does not change while training."""
        facts = {
            "seed": configuration.training.seed,
            "data": shard_checksums(data),
            "corpora": corpora_facts(data),
            "examples": example_sentences(data),
            "pairs": [asdict(pair) for pair in data.pairs],
            "domains": list(data.domains),
            **further_facts,
        }
        return cls.create_with(path, configuration, data.pair, data.vocabulary(), facts)

    @classmethod
    def create_with(
        cls,
        path: Path,
        configuration: Configuration,
        pair: LanguagePair,
        vocabulary: AnyVocabulary,
        facts: Mapping[str, Any],
    ) -> "RunDirectory":
        """Makes the same with a vocabulary and what else the manifest shall say."""
        path.mkdir(parents=True, exist_ok=True)
        replace_file(path / "vocabulary.model", vocabulary.model)
        manifest = {
            "pair": asdict(pair),
            "vocabulary_digest": vocabulary.digest,
            **facts,
            "versions": {name: _version(name) for name in PACKAGES},
        }
        replace_file(path / "manifest.json", json.dumps(manifest, indent=1) + "\n")
        # Last: a folder with a configuration is a run.
        return cls(path, configuration, manifest).with_configuration(configuration)

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

    @staticmethod
    def may_be_made(path: Path) -> bool:
        """Whether nothing is in the way of a new run there, but what `create` left when it was interrupted."""
        finished = ("vocabulary.model", "manifest.json")
        ours = {*finished, LOCK, *(f".{name}.partial" for name in (*finished, "config.toml"))}
        return not path.exists() or (path.is_dir() and {entry.name for entry in path.iterdir()} <= ours)

    def with_configuration(self, configuration: Configuration) -> "RunDirectory":
        """The same run, to go on with these settings."""
        replace_file(self.path / "config.toml", tomli_w.dumps(configuration.as_sections()))
        return replace(self, configuration=configuration)

    @property
    def languages(self) -> Languages:
        """The pairs and the domains of the data that it was trained on."""
        return Languages.of(self.manifest)

    @property
    def checkpoints(self) -> CheckpointFolder:
        """The run's checkpoints."""
        return CheckpointFolder(self.path / "checkpoints")

    def dev_results(self) -> DevResults:
        """What was measured at each checkpoint, also at those that are gone."""
        return {line["step"]: line for line in step_lines.read(self.path / "dev.jsonl")}

    def evaluations(self, checkpoint: Checkpoint) -> list[dict[str, Any]]:
        """What `nmt evaluate` found for a checkpoint, the last time for each text."""
        lines = step_lines.read(self.path / "evaluations.jsonl")
        return [*{line["text"]: line for line in lines if line["weights"] == checkpoint.weights_digest}.values()]

    def add_evaluation(self, checkpoint: Checkpoint, text: str, evaluation: Mapping[str, Any]) -> None:
        """Keeps what was found for a checkpoint on a text.

        Raises:
            OSError: It cannot be written.
        """
        of = {"step": checkpoint.step, "weights": checkpoint.weights_digest, "text": text}
        step_lines.append(self.path / "evaluations.jsonl", {**of, **evaluation})

    def ranked_steps(self) -> list[int]:
        """The evaluated steps, the best on the dev set first."""
        return ranked(self.dev_results(), self.configuration.training.ranked_by)

    def vocabulary(self) -> AnyVocabulary:
        """The vocabulary that the run was trained with.

        Raises:
            DataError: The file is missing or damaged.
            UserError: It is another vocabulary.
        """
        path = self.path / "vocabulary.model"
        vocabulary = load_vocabulary(path)
        if vocabulary.digest != self.manifest["vocabulary_digest"]:
            raise UserError(
                f"{path} is not the vocabulary that the run was trained with; copy vocabulary.model from its data"
            )
        return vocabulary

    def load_transformer(self, checkpoint: Checkpoint, precision: str) -> Transformer:
        """The model with the checkpoint's weights, computing under Keras' policy `precision`."""
        transformer = Transformer(self.configuration.model, name="transformer", dtype=precision)
        transformer.build()
        checkpoint.load_weights(transformer)
        return transformer


def shard_checksums(data: Manifest) -> dict[str, list[str]]:
    """The SHA-256 of every shard and of what lies beside it, by split, and the weights of mixed corpora."""
    checksums = {
        name: [shard.sha256 + shard.beside_sha256 for shard in split.shards] for name, split in data.splits.items()
    }
    weights = {f"weights of {name}": [str(c.weight) for c in split.corpora] for name, split in data.splits.items()}
    return checksums | {name: of_split for name, of_split in weights.items() if of_split}


def corpora_facts(data: Manifest) -> dict[str, dict[str, Any]]:
    """Where the text of each split comes from, what is left of it, and why pairs were dropped."""
    return {
        name: {
            "origins": [without_folders(origin) for origin in split.origins],
            "pairs": split.examples,
            "source_tokens": sum(shard.source_tokens for shard in split.shards),
            "target_tokens": sum(shard.target_tokens for shard in split.shards),
            "dropped": split.cleaning.get("dropped", {}),
        }
        for name, split in data.splits.items()
    }


def without_folders(origin: Mapping[str, Any]) -> dict[str, Any]:
    """A corpus' origin with the names of its files alone: runs and exports travel, and folders tell of people."""
    *kinds, name = origin["spec"].split(":")
    is_local = kinds and kinds[-1] in ("files", "tsv", "jsonl", "tmx")  # of an address in a store the last is "gs"
    spec = ":".join([*kinds, Path(name).name]) if is_local else origin["spec"]
    files = [{**file, "path": Path(file["path"]).name} for file in origin.get("files", [])]
    return {**origin, "spec": spec, "files": files}


def example_sentences(data: Manifest, count: int = EXAMPLES) -> list[str]:
    """Source sentences of the dev set, from short to long, none of them among its extremes if it has enough."""
    if "dev" not in data.splits or not data.split("dev").text:
        return []
    sentences = sorted({line for line in read_lines(data.text("dev")[0]) if line.strip()}, key=lambda s: (len(s), s))
    if len(sentences) <= count:
        return sentences
    return [sentences[len(sentences) * (2 * i + 1) // (2 * count)] for i in range(count)]  # quantiles of the length


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
