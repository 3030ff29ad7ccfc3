"""A run on disk: configuration, vocabulary, manifest, metrics and checkpoints of one training.

config.toml        the resolved configuration
vocabulary.model   the vocabulary the run was trained with
manifest.json      versions, hashes, seed, languages
metrics.jsonl      one JSON object for each step
dev.jsonl          one JSON object for each evaluation on the dev set
evaluations.jsonl  one JSON object for each evaluation by `nmt evaluate`
checkpoints/       see `checkpoint_folder`
tensorboard/       event files
divergence/        the sentences of bad steps, if the training diverged
"""

import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import tomli_w

from keras_nmt.app.config import Configuration, load_configuration
from keras_nmt.app.errors import UserError
from keras_nmt.app.runs import step_lines
from keras_nmt.app.runs.checkpoint_folder import CheckpointFolder
from keras_nmt.app.runs.checkpoints import Checkpoint
from keras_nmt.app.runs.lock import LOCK
from keras_nmt.app.runs.ranking import LOSS, DevResults, ranked
from keras_nmt.app.runtime.text_files import partial_path, read_lines, replace_file
from keras_nmt.app.tasks.known import task_named
from keras_nmt.app.tasks.task import Task
from keras_nmt.layers import AnyModel, network_of
from keras_nmt.pipelines.preparation.recipes import TRANSLATION
from keras_nmt.pipelines.shards.manifest import Manifest
from keras_nmt.pipelines.sources.corpora import LanguagePair
from keras_nmt.pipelines.vocabulary.loading import AnyVocabulary, load_vocabulary
from keras_nmt.pipelines.vocabulary.tags import Languages

PROGRAM = "nmt"  # the name of this program in a manifest
PACKAGES = (PROGRAM, "tensorflow", "keras", "tensorflow-text", "sentencepiece", "sacrebleu", "numpy")
PROMPT_WORDS = 8  # number of words of an example prompt
EXAMPLES = 8  # number of dev sentences stored in a run; its export must translate them as the run does


@dataclass(frozen=True)
class RunDirectory:
    """An existing run: its folder, its configuration and its manifest."""

    path: Path
    configuration: Configuration
    manifest: dict[str, Any]

    @classmethod
    def create(
        cls, path: Path, configuration: Configuration, data: Manifest, further_facts: Mapping[str, Any]
    ) -> "RunDirectory":
        """Creates the run of a new training: its vocabulary, its manifest and its configuration.

        The manifest has the seed, a description of the data, and the entries `further_facts`. The manifest does not
        change during the training.
        """
        facts = {
            "seed": configuration.training.seed,
            "data": shard_checksums(data),
            "corpora": corpora_facts(data),
            "examples": example_sentences(data),
            "pairs": [asdict(pair) for pair in data.pairs],
            "domains": list(data.domains),
            "task": data.task,
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
        """Creates a run from its configuration, its vocabulary and the entries of its manifest.

        Args:
            path: The folder; created if it is missing.
            configuration: The configuration of the run.
            pair: The main translation direction.
            vocabulary: The vocabulary, which is copied into the run.
            facts: Further entries of the manifest; values that JSON can hold.
        """
        path.mkdir(parents=True, exist_ok=True)
        replace_file(path / "vocabulary.model", vocabulary.model)
        manifest = {
            "pair": asdict(pair),
            "vocabulary_digest": vocabulary.digest,
            **facts,
            "versions": {name: version_of(name) for name in PACKAGES},
        }
        replace_file(path / "manifest.json", json.dumps(manifest, indent=1) + "\n")
        # The configuration is written last, because a folder with a configuration counts as a run.
        return cls(path, configuration, manifest).with_configuration(configuration)

    @classmethod
    def open(cls, path: Path) -> "RunDirectory":
        """Opens an existing run, and reads its configuration and manifest.

        Raises:
            UserError: The folder is missing, is not a run, or is damaged.
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
        """True if the folder is a run."""
        return (path / "config.toml").is_file() and (path / "manifest.json").is_file()

    @staticmethod
    def can_be_created(path: Path) -> bool:
        """True if the folder is missing or empty, or has only files that an interrupted `create` left."""
        finished = ("vocabulary.model", "manifest.json")
        ours = {*finished, LOCK, *(partial_path(path / name).name for name in (*finished, "config.toml"))}
        return not path.exists() or (path.is_dir() and {entry.name for entry in path.iterdir()} <= ours)

    def with_configuration(self, configuration: Configuration) -> "RunDirectory":
        """Writes a new config.toml into the run's folder; returns a copy of this object with the new configuration."""
        replace_file(self.path / "config.toml", tomli_w.dumps(configuration.as_sections()))
        return replace(self, configuration=configuration)

    @property
    def languages(self) -> Languages:
        """The language pairs and domains of the training data."""
        return Languages.of(self.manifest)

    @property
    def task(self) -> Task:
        """The task that the run is trained for."""
        return task_named(self.manifest.get("task", TRANSLATION))

    @property
    def checkpoints(self) -> CheckpointFolder:
        """The run's checkpoints."""
        return CheckpointFolder(self.path / "checkpoints")

    def dev_results(self) -> DevResults:
        """Returns the dev results by evaluated step, also for steps whose checkpoints were removed."""
        return {line["step"]: line for line in step_lines.read(self.path / "dev.jsonl")}

    def evaluations(self, checkpoint: Checkpoint) -> list[dict[str, Any]]:
        """Returns the results of `nmt evaluate` for this checkpoint: the latest result for each evaluated text."""
        lines = step_lines.read(self.path / "evaluations.jsonl")
        return [*{line["text"]: line for line in lines if line["weights"] == checkpoint.weights_digest}.values()]

    def add_evaluation(self, checkpoint: Checkpoint, text: str, evaluation: Mapping[str, Any]) -> None:
        """Appends the evaluation of a checkpoint on the text named `text` to `evaluations.jsonl`.

        Raises:
            OSError: The file cannot be written.
        """
        subject = {"step": checkpoint.step, "weights": checkpoint.weights_digest, "text": text}
        step_lines.append(self.path / "evaluations.jsonl", {**subject, **evaluation})

    def ranked_steps(self) -> list[int]:
        """Returns the evaluated steps, the step with the best dev result first."""
        return ranked(self.dev_results(), self.ranking_metric)

    @property
    def ranking_metric(self) -> str:
        """The name of the dev metric that ranks checkpoints: "loss", or the task's metric, such as "bleu", if any."""
        return LOSS if self.configuration.training.ranked_by == LOSS else self.task.metric or LOSS

    def vocabulary(self) -> AnyVocabulary:
        """Loads the vocabulary the run was trained with.

        Raises:
            DataError: The file is missing or damaged.
            UserError: The file holds another vocabulary than the one that the run was trained with.
        """
        path = self.path / "vocabulary.model"
        vocabulary = load_vocabulary(path)
        if vocabulary.digest != self.manifest["vocabulary_digest"]:
            raise UserError(
                f"{path} is not the vocabulary that the run was trained with; copy vocabulary.model from its data"
            )
        return vocabulary

    def load_transformer(self, checkpoint: Checkpoint, precision: str) -> AnyModel:
        """Builds the model under the Keras dtype policy `precision`, and loads the checkpoint's weights into it."""
        transformer = network_of(self.configuration.model, name="transformer", dtype=precision)
        checkpoint.load_weights(transformer)
        return transformer


def shard_checksums(data: Manifest) -> dict[str, list[str]]:
    """Returns a dictionary that differs if the data differs.

    The entry NAME, the name of a split, has one string for each shard of the split: the SHA-256 of the shard, followed
    by the SHA-256 of its companion files. If the split mixes several corpora, the entry "weights of NAME" has the
    weight of each corpus.
    """
    checksums = {
        name: [shard.sha256 + shard.beside_sha256 for shard in split.shards] for name, split in data.splits.items()
    }
    weights = {f"weights of {name}": [str(c.weight) for c in split.corpora] for name, split in data.splits.items()}
    return checksums | {name: values for name, values in weights.items() if values}


def corpora_facts(data: Manifest) -> dict[str, dict[str, Any]]:
    """Returns a description of each split, by the split's name.

    A description has the origins of the text, the numbers of pairs and tokens, and the number of dropped pairs by
    reason.
    """
    return {
        name: {
            "origins": [without_folders(origin) for origin in split.origins],
            "pairs": split.examples,
            "source_tokens": sum(shard.source_tokens for shard in split.shards),
            "target_tokens": sum(shard.target_tokens for shard in split.shards),
            "dropped": split.cleaning.get("dropped", {}),
            **({"text": asdict(split.text_counts)} if split.text_counts else {}),
        }
        for name, split in data.splits.items()
    }


def without_folders(origin: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a corpus' origin with each path reduced to its file name. Runs are shared, and paths may be private."""
    files = [{**file, "path": Path(file["path"]).name} for file in origin.get("files", [])]
    return {**origin, "spec": spec_without_folders(origin["spec"]), "files": files}


def spec_without_folders(spec: str) -> str:
    """Returns a corpus specification with the path of a local file reduced to its name."""
    *kinds, name = spec.split(":")
    is_local = kinds and kinds[-1] in ("files", "tsv", "jsonl", "tmx", "trees", "text")  # not for gs://…
    return ":".join([*kinds, Path(name).name]) if is_local else spec


def example_sentences(data: Manifest, count: int = EXAMPLES) -> list[str]:
    """Returns `count` different source sentences of the dev set, from the shortest to the longest.

    Their lengths are evenly spaced quantiles of the lengths of all sentences. If the dev set has at most `count`
    different sentences, returns all of them. If the data has no dev text, returns an empty list. For running text, the
    sentences are the first words of lines, which can be prompts.
    """
    sentences = sorted({line for line in _dev_lines(data) if line.strip()}, key=lambda s: (len(s), s))
    if len(sentences) <= count:
        return sentences
    return [sentences[len(sentences) * (2 * i + 1) // (2 * count)] for i in range(count)]


def _dev_lines(data: Manifest) -> list[str]:
    """Returns the lines of dev text that a model of the task can read; none if the data has no dev text."""
    split = data.splits.get("dev")
    if split and split.running_text:
        lines = read_lines(data.data_dir / split.running_text)
        return [" ".join(line.split()[:PROMPT_WORDS]) for line in lines]
    return read_lines(data.text("dev")[0]) if split and split.text else []


def version_of(package: str) -> str:
    """Returns the version of an installed package, or "not installed"."""
    try:
        return importlib.metadata.version("keras-nmt" if package == PROGRAM else package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
