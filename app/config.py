"""The configuration of a run: the model, training and decoding settings, read from a preset and `--set` options.

A preset is a TOML file in `app/presets`. A run stores its resolved configuration in `config.toml`. Both files have the
sections [model], [training] and [decoding]. The keys of a section are the fields of its dataclass: `TransformerConfig`,
`TrainingConfig` or `DecodingOptions`.
"""

import dataclasses
import difflib
import math
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal, Self

from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.errors import UserError
from keras_nmt.layers.config import TransformerConfig

PrecisionPolicy = Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"]
PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
Packing = Literal["auto", "on", "off"]
BestBy = Literal["score", "loss"]
Sections = Mapping[str, Mapping[str, object]]  # the settings of each section of a TOML file
PACKINGS = ("auto", "on", "off")
OPTIMIZERS = ("adam", "muon")
MOST_LENGTH = 1_000_000
SCHEDULES = ("noam", "inverse_sqrt", "cosine")


@dataclass(frozen=True)
class TrainingConfig:
    """The training settings; the defaults are the paper's base recipe (Vaswani et al. 2017, section 5).

    Attributes:
        steps: Number of updates.
        batch_tokens: Maximum number of source tokens, and maximum number of target tokens, of a global batch, padding
            included.
        max_length: Maximum length of a sentence in tokens, EOS included. Pairs with a longer sentence are skipped and
            counted.
        accumulation: Number of parts into which a batch is split. The parts are computed one after another to save
            memory, which does not change the result. 0 chooses the smallest number of parts that fits the memory.
        optimizer: "adam" is the paper's optimizer. "muon" (Jordan et al. 2024) learns more from each token, but steps
            with few tokens take longer than with Adam.
        schedule: "noam" is the paper's schedule. "inverse_sqrt" has the same curve, but `learning_rate` is its highest
            rate. "cosine" falls to 0 at the last step.
        learning_rate: For "noam", the factor in the paper's formula. For the other schedules, the highest rate.
        warmup_steps: Number of updates over which the rate rises.
        label_smoothing: Share of the target distribution that is spread over the whole vocabulary.
        sampling_alpha: Alpha of subword regularization. Each epoch draws a segmentation of each sentence with a
            probability proportional to P(segmentation)**alpha, so a smaller alpha gives more varied segmentations. 0
            always uses the most probable segmentation.
        sampling_temperature: Temperature T at which corpora are sampled. Above 1, smaller corpora are sampled more
            often than their weights say: the weight of a corpus with a share p of all pairs is multiplied by
            p**(1/T - 1). Then all weights are rescaled, so that the length of an epoch stays the same.
        r_drop: Weight of R-Drop (alpha in Liang et al. 2021): each token is predicted twice under different dropout,
            and the divergence between the two predictions is added to the loss. This doubles the time of a step.
            0 predicts each token once.
        weight_decay: Decoupled weight decay (Loshchilov & Hutter 2019): each update first multiplies all matrices,
            embeddings included, by 1 minus this times the learning rate. Useful where a model sees the same data many
            times. 0 does not.
        clip_norm: Gradients with a larger norm are scaled down to this norm; 0 does not clip.
        ema_decay: Decay of an exponential moving average of the weights. Evaluation and translation use the average.
            0 does not average.
        warm_start: The run whose weights training starts from; "" starts from random weights.
        freeze: Layers that are not trained, such as "encoder" or "decoder/layer_0".
        precision: Keras dtype policy. "auto" is mixed_bfloat16 if the hardware multiplies bfloat16 faster than float32,
            else float32.
        packing: "on" puts several pairs into each row, and all batches have the same shape, which is compiled once.
            "off" puts one pair into a row, and pairs of similar lengths into a batch. "auto" is "on" if there is a GPU,
            because steps are compiled only on a GPU, else "off".
        seed: Seed of the initial weights, the order of the data, the segmentations and dropout.
        checkpoint_every: Number of updates between checkpoints; dev loss and dev BLEU are measured at each checkpoint.
        keep_checkpoints: Number of newest checkpoints to keep. Checkpoints after a signal or a rollback do not count.
        keep_best: Number of checkpoints to keep that are best on the dev set.
        best_by: The dev result that ranks checkpoints: "score" is the metric of the task, such as BLEU, and "loss" is
            the dev loss. "auto" is "score" if `dev_sentences` is above 0, else "loss". "bleu" is an older name of
            "score".
        patience: Number of checkpoints without improvement after which training stops; 0 trains to the last step.
        deterministic: True to use only deterministic kernels, even if they are slower.
        dev_sentences: Number of dev sentences to translate (or of prompts to continue) at a checkpoint; 0 for none.
        spike_factor: Factor above which a loss is too high. A step is bad if its loss is not finite, if its update was
            skipped, or if its loss is above this factor times the median of recent losses and more than 3 standard
            deviations above that median. 0 accepts every finite loss.
        storm_steps: Number of bad steps, among the last 4 * `storm_steps` steps, that count as a divergence. Training
            then returns to the last good checkpoint, skips the batches since that checkpoint, and continues at half the
            learning rate.
        max_rollbacks: Number of divergences from which training recovers; the next divergence ends training with an
            error.
    """

    steps: int = 100_000
    batch_tokens: int = 25_000
    max_length: int = 256
    accumulation: int = 1
    optimizer: Literal["adam", "muon"] = "adam"
    schedule: Literal["noam", "inverse_sqrt", "cosine"] = "noam"
    learning_rate: float = 1.0
    warmup_steps: int = 4_000
    label_smoothing: float = 0.1
    sampling_alpha: float = 0.0
    sampling_temperature: float = 1.0
    r_drop: float = 0.0
    weight_decay: float = 0.0
    clip_norm: float = 0.0
    ema_decay: float = 0.0
    warm_start: str = ""
    freeze: tuple[str, ...] = ()
    precision: PrecisionPolicy = "auto"
    packing: Packing = "auto"
    seed: int = 1
    checkpoint_every: int = 1_000
    keep_checkpoints: int = 5
    keep_best: int = 1
    best_by: Literal["auto", "score", "bleu", "loss"] = "auto"
    patience: int = 0
    deterministic: bool = False
    dev_sentences: int = 500
    # In stable trainings, even with small batches, the fifth highest of 20 losses was at most 1.26 times the median. If
    # a model diverges until it predicts only by word frequency, its loss is about twice the earlier loss.
    spike_factor: float = 1.5
    storm_steps: int = 5
    max_rollbacks: int = 3

    def __post_init__(self) -> None:
        counts = ("steps", "batch_tokens", "max_length", "warmup_steps", "checkpoint_every", "keep_checkpoints")
        self._require((*counts, "storm_steps"), lambda value: value >= 1, "at least 1")
        self._require(("max_length",), lambda value: value <= MOST_LENGTH, f"at most {MOST_LENGTH}")
        not_negative = ("accumulation", "keep_best", "patience", "dev_sentences", "max_rollbacks")
        self._require(not_negative, lambda value: value >= 0, "at least 0")
        shares, weights = ("label_smoothing", "ema_decay"), ("sampling_alpha", "r_drop", "weight_decay", "clip_norm")
        self._require(shares, lambda value: 0 <= value < 1, "at least 0 and less than 1")
        self._require(weights, lambda value: 0 <= value < math.inf, "at least 0")
        positive = ("learning_rate", "sampling_temperature")
        self._require(positive, lambda value: 0 < value < math.inf, "a number above 0")
        self._require(("spike_factor",), lambda value: value == 0 or 1 < value < math.inf, "more than 1, or 0 for none")
        # NumPy accepts no other seeds.
        self._require(("seed",), lambda value: 0 <= value < 2**32, f"at least 0 and less than {2**32}")
        words = {
            "precision": PRECISIONS,
            "packing": PACKINGS,
            "optimizer": OPTIMIZERS,
            "schedule": SCHEDULES,
            "best_by": ("auto", "score", "bleu", "loss"),
        }
        for name, known in words.items():
            if getattr(self, name) not in known:
                raise ValueError(f'{name} is "{getattr(self, name)}"; it is one of {", ".join(known)}')
        if self.best_by in ("score", "bleu") and not self.dev_sentences:
            raise ValueError(f'best_by is "{self.best_by}", which needs dev_sentences above 0; raise it, or use "loss"')

    @property
    def ranked_by(self) -> BestBy:
        """The dev result that ranks checkpoints, "score" or "loss": `best_by` with "auto" resolved."""
        if self.best_by == "auto":
            return "score" if self.dev_sentences else "loss"
        return "loss" if self.best_by == "loss" else "score"

    def _require(self, names: Iterable[str], fits: Callable[[Any], bool], words: str) -> None:
        for name in names:
            if not fits(getattr(self, name)):
                raise ValueError(f"{name} is {getattr(self, name)}; it must be {words}")


@dataclass(frozen=True)
class Configuration:
    """The complete configuration of a run, including the size of its vocabulary."""

    model: TransformerConfig
    training: TrainingConfig
    decoding: DecodingOptions

    @classmethod
    def from_sections(cls, sections: Sections, origin: str) -> Self:
        """Builds and checks the configuration; `origin` names its source in messages.

        Raises:
            UserError: A section or key is unknown (the message names the nearest known one), or a value is invalid.
        """
        kinds = {field.name: field.type for field in dataclasses.fields(cls)}
        for section in sections:
            if section not in kinds:
                raise UserError(f"{origin}: there is no section [{section}]{_nearest(section, kinds)}")
        return cls(**{name: _section(kind, name, sections.get(name, {}), origin) for name, kind in kinds.items()})

    def as_sections(self) -> dict[str, dict[str, Any]]:
        """Returns the configuration as dictionaries, for TOML."""
        return dataclasses.asdict(self)


def preset_names() -> list[str]:
    """Returns the names of the presets, smallest model first."""
    order = (
        *("demo", "tiny", "small", "base", "big", "paper-base", "paper-big"),
        *("summaries", "treebank", "paper-parsing", "language-model"),
    )
    return [name for name in order if _preset_file(name).is_file()]


def load_preset(name: str, settings: Iterable[str] = ()) -> dict[str, dict[str, Any]]:
    """Returns the sections of a preset, changed by `section.key=value` settings.

    Raises:
        UserError: The preset is unknown (the message names the nearest known one), or a setting cannot be read.
    """
    if name not in preset_names():
        known = ", ".join(preset_names())
        raise UserError(f'there is no preset "{name}"{_nearest(name, preset_names())}; the presets are {known}')
    sections = tomllib.loads(_preset_file(name).read_text(encoding="utf-8"))
    for setting in settings:
        section, key, value = parse_setting(setting)
        sections.setdefault(section, {})[key] = value
    return sections


def nearest_preset(sections: Sections) -> str:
    """Returns the name of the preset that differs from `sections` in the fewest settings of [model] and [training].

    `sections` must have all settings of both sections. The vocabulary size is not compared.
    """

    def differing(name: str) -> int:
        defaults = {"model": TransformerConfig(vocabulary_size=1), "training": TrainingConfig()}
        preset = load_preset(name)
        return sum(
            preset.get(section, {}).get(key, getattr(default, key)) != value
            for section, default in defaults.items()
            for key, value in sections[section].items()
            if key != "vocabulary_size"
        )

    return min(preset_names(), key=differing)


def load_configuration(path: Path) -> Configuration:
    """Reads a run's `config.toml`.

    Raises:
        UserError: The file is not TOML, or a section, key or value is invalid.
    """
    try:
        sections = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not TOML: {error}") from error
    if isinstance(training := sections.get("training"), dict):
        training.setdefault("packing", "off")  # for runs that are older than this setting
    return Configuration.from_sections(sections, origin=str(path))


def parse_setting(setting: str) -> tuple[str, str, Any]:
    """Parses a setting: "training.steps=1000" -> ("training", "steps", 1000). A value that is not TOML is a string."""
    name, separator, text = setting.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (separator and dot and section and key and text.strip()):
        raise UserError(f'cannot read the setting "{setting}"; write section.key=value, as in training.steps=1000')
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    return section, key, value


def _preset_file(name: str) -> Traversable:
    return resources.files("keras_nmt.app") / "presets" / f"{name}.toml"


def _section(kind: Any, section: str, values: Mapping[str, Any], origin: str) -> Any:
    """Checks every key and type of a section, and builds the section's dataclass."""
    if not isinstance(values, Mapping):
        raise UserError(f"{origin}: {section} is {values!r}; it must be a section [{section}] of settings")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for key, value in values.items():
        if key not in fields:
            raise UserError(f"{origin}: [{section}] has no setting {key}{_nearest(key, fields)}")
        _check_type(fields[key].type, value, f"{origin}: [{section}] {key}")
    for name, field in fields.items():
        if field.default is dataclasses.MISSING and name not in values:
            raise UserError(f"{origin}: [{section}] has no {name}, which has no default; set it")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    try:
        return kind(**values)
    except ValueError as error:
        raise UserError(f"{origin}: [{section}] {error}") from error


def _check_type(expected: Any, value: Any, where: str) -> None:
    """Checks the type of a TOML value; an integer is accepted for a float, and a list for a tuple."""
    if expected == tuple[str, ...]:
        if not isinstance(value, (list, tuple)) or not all(isinstance(part, str) for part in value):
            raise UserError(f'{where} is {value!r}; it must be a list of texts, as in ["encoder"]')
        return
    words = {int: "a whole number", float: "a number", bool: "true or false"}
    accepted: Any = {int: int, float: (int, float), bool: bool}.get(expected, str)
    if isinstance(value, bool) != (expected is bool) or not isinstance(value, accepted):
        raise UserError(f"{where} is {value!r}; it must be {words.get(expected, 'text')}")


def _nearest(name: str, known: Iterable[str]) -> str:
    """Returns " (did you mean x?)", where x is the most similar known name, or "" if no known name is similar."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]}?)" if close else ""
