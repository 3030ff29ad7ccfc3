"""Presets, settings that change them, and messages about wrong ones."""

import math
import tomllib
from dataclasses import asdict
from pathlib import Path

import pytest
import tomli_w

from keras_nmt.app import config
from keras_nmt.app.config import (
    Configuration,
    TrainingConfig,
    load_configuration,
    load_preset,
    nearest_preset,
    parse_setting,
    preset_names,
)
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.errors import UserError
from keras_nmt.layers.config import TransformerConfig

MODEL = {"vocabulary_size": 8000}


def configured(preset: str, *settings: str) -> Configuration:
    sections = load_preset(preset, settings)
    return Configuration.from_sections({**sections, "model": MODEL | sections.get("model", {})}, "here")


PRESETS = [
    *("demo", "tiny", "small", "base", "big", "paper-base", "paper-big"),
    *("summaries", "treebank", "paper-parsing", "language-model"),
]


def test_presets_are_listed_from_small_to_large() -> None:
    assert preset_names() == PRESETS
    presets = Path(config.__file__).parent / "presets"
    assert {path.stem for path in presets.glob("*.toml")} == set(preset_names())


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_is_a_configuration_and_is_restored_from_a_file(name: str, tmp_path: Path) -> None:
    configuration = configured(name)
    assert configuration.model.vocabulary_size == 8000
    assert configuration.training.steps >= 1000
    path = tmp_path / "config.toml"
    path.write_text(tomli_w.dumps(configuration.as_sections()), encoding="utf-8")
    assert load_configuration(path) == configuration


def test_the_papers_presets_follow_the_papers_recipe() -> None:
    base, big = configured("paper-base"), configured("paper-big")
    assert base == Configuration(TransformerConfig(8000), TrainingConfig(), DecodingOptions())
    assert (big.model.model_width, big.model.inner_width, big.model.heads) == (1024, 4096, 16)
    assert (big.model.residual_dropout, big.training.steps) == (0.3, 300_000)
    assert (big.training.warmup_steps, big.training.label_smoothing, big.model.normalization) == (4000, 0.1, "post")
    assert (big.decoding.beam_size, big.decoding.length_penalty, big.decoding.max_extra_tokens) == (4, 0.6, 50)


def test_a_setting_replaces_one_value_and_the_last_one_counts() -> None:
    settings = ("training.steps=7", "model.heads=2", "training.steps=9", "decoding.beam_size=3")
    plain, changed = asdict(configured("tiny")), asdict(configured("tiny", *settings))
    different = {
        (section, key): changed[section][key]
        for section in plain
        for key in plain[section]
        if plain[section][key] != changed[section][key]
    }
    assert different == {("training", "steps"): 9, ("model", "heads"): 2, ("decoding", "beam_size"): 3}


@pytest.mark.parametrize(
    ("setting", "parsed"),
    [
        ("training.steps=1000", ("training", "steps", 1000)),
        ("training.learning_rate=1e-3", ("training", "learning_rate", 0.001)),
        ("training.precision=float32", ("training", "precision", "float32")),
        ('training.precision = "float32"', ("training", "precision", "float32")),
        ("training.steps=1_000", ("training", "steps", 1000)),
    ],
)
def test_a_setting_is_read_as_toml_or_else_as_text(setting: str, parsed: tuple[str, str, object]) -> None:
    assert parse_setting(setting) == parsed


@pytest.mark.parametrize("setting", ["steps=4", "training.steps", "training.steps=", ".steps=4", "training.=4"])
def test_a_setting_in_another_form_is_answered_with_an_example(setting: str) -> None:
    with pytest.raises(UserError, match=r"cannot read the setting .*; write section.key=value, as in training.steps="):
        parse_setting(setting)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("trainig.steps=4", "here: there is no section [trainig] (did you mean training?)"),
        ("training.warmup=4", "here: [training] has no setting warmup (did you mean warmup_steps?)"),
        ("model.qqq=4", "here: [model] has no setting qqq"),
        ("training.steps=1.5", "here: [training] steps is 1.5; it must be a whole number"),
        ("training.steps=true", "here: [training] steps is True; it must be a whole number"),
        ("training.learning_rate=high", "here: [training] learning_rate is 'high'; it must be a number"),
        ("training.precision=16", "here: [training] precision is 16; it must be text"),
        ("training.steps=0", "here: [training] steps is 0; it must be at least 1"),
        ("training.batch_tokens=0", "batch_tokens is 0; it must be at least 1"),
        ("training.max_length=0", "max_length is 0; it must be at least 1"),
        ("training.warmup_steps=0", "warmup_steps is 0; it must be at least 1"),
        ("training.checkpoint_every=0", "checkpoint_every is 0; it must be at least 1"),
        ("training.keep_checkpoints=0", "keep_checkpoints is 0; it must be at least 1"),
        ("training.dev_sentences=-1", "dev_sentences is -1; it must be at least 0"),
        ("training.keep_best=-1", "keep_best is -1; it must be at least 0"),
        ("training.patience=-1", "patience is -1; it must be at least 0"),
        ("training.max_rollbacks=-1", "max_rollbacks is -1; it must be at least 0"),
        ("training.storm_steps=0", "storm_steps is 0; it must be at least 1"),
        ("training.spike_factor=1", "spike_factor is 1; it must be more than 1, or 0 for none"),
        ("training.spike_factor=-2", "spike_factor is -2; it must be more than 1, or 0 for none"),
        ("training.best_by=chrf", 'best_by is "chrf"; it is one of auto, score, bleu, loss'),
        ("training.deterministic=1", "here: [training] deterministic is 1; it must be true or false"),
        ("training.deterministic=yes", "here: [training] deterministic is 'yes'; it must be true or false"),
        ("training.label_smoothing=1.0", "label_smoothing is 1.0; it must be at least 0 and less than 1"),
        ("training.sampling_alpha=-0.1", "sampling_alpha is -0.1; it must be at least 0"),
        ("training.sampling_temperature=0", "sampling_temperature is 0; it must be a number above 0"),
        ("training.r_drop=-1", "r_drop is -1; it must be at least 0"),
        ("training.clip_norm=inf", "clip_norm is inf; it must be at least 0"),
        ("training.ema_decay=1", "ema_decay is 1; it must be at least 0 and less than 1"),
        ("training.max_length=1000001", "max_length is 1000001; it must be at most 1000000"),
        ("training.accumulation=-1", "accumulation is -1; it must be at least 0"),
        ('training.freeze="encoder"', "here: [training] freeze is 'encoder'; it must be a list of texts, as in"),
        ("training.learning_rate=0", "learning_rate is 0; it must be a number above 0"),
        ("training.learning_rate=nan", "learning_rate is nan; it must be a number above 0"),
        ("training.learning_rate=inf", "learning_rate is inf; it must be a number above 0"),
        ("training.seed=-1", "seed is -1; it must be at least 0 and less than 4294967296"),
        ("training.seed=4294967296", "seed is 4294967296; it must be at least 0 and less than"),
        (
            "training.precision=float16",
            'precision is "float16"; it is one of auto, float32, mixed_bfloat16, mixed_float16',
        ),
        ("training.schedule=linear", 'schedule is "linear"; it is one of noam, inverse_sqrt, cosine'),
        ("model.heads=7", "here: [model] model width 128 is not a multiple of 7 heads; use"),
        ("decoding.beam_size=0", "here: [decoding] beam_size must be at least 1, got 0"),
    ],
)
def test_a_wrong_setting_is_explained(setting: str, message: str) -> None:
    with pytest.raises(UserError) as refused:
        configured("tiny", setting)
    assert message in str(refused.value)


def test_an_integer_is_accepted_for_a_float() -> None:
    assert configured("tiny", "training.learning_rate=2").training.learning_rate == 2


@pytest.mark.parametrize(
    ("best_by", "sentences", "ranked_by"),
    [("auto", 4, "score"), ("auto", 0, "loss"), ("loss", 4, "loss"), ("bleu", 4, "score")],
)
def test_checkpoints_are_ranked_by_the_score_if_dev_sentences_are_translated(
    best_by: str, sentences: int, ranked_by: str
) -> None:
    settings = (f"training.best_by={best_by}", f"training.dev_sentences={sentences}")
    assert configured("tiny", *settings).training.ranked_by == ranked_by


@pytest.mark.parametrize("best_by", ["score", "bleu"])
def test_checkpoints_cannot_be_ranked_by_a_score_without_dev_sentences(best_by: str) -> None:
    with pytest.raises(UserError, match=f'best_by is "{best_by}", which needs dev_sentences above 0; raise it, or use'):
        configured("tiny", f"training.best_by={best_by}", "training.dev_sentences=0")


def test_an_unknown_preset_is_answered_with_the_nearest_and_all_names() -> None:
    with pytest.raises(UserError) as refused:
        load_preset("papr-big")
    names = ", ".join(preset_names())
    assert str(refused.value) == f'there is no preset "papr-big" (did you mean paper-big?); the presets are {names}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps = ", "config.toml is not TOML: "),
        ("model = 3", "config.toml: model is 3; it must be a section [model] of settings"),
        ("[model]\nheads = 2", "config.toml: [model] has no vocabulary_size, which has no default; set it"),
    ],
)
def test_a_damaged_configuration_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(UserError) as refused:
        load_configuration(tmp_path / "config.toml")
    assert message in str(refused.value)


def test_a_run_stores_the_configuration_of_its_command(run: Path) -> None:
    sections = tomllib.loads((run / "config.toml").read_text())
    assert sections["model"]["vocabulary_size"] == 504
    assert sections["model"]["normalization"] == "pre"  # from the preset
    assert math.isclose(sections["training"]["learning_rate"], 0.02)  # from a setting
    assert sections["training"]["label_smoothing"] == TrainingConfig().label_smoothing  # from neither
    assert Configuration.from_sections(sections, "run") == load_configuration(run / "config.toml")


@pytest.mark.parametrize("name", preset_names())
def test_the_nearest_preset_of_a_run_is_found(name: str) -> None:
    sections = configured(name).as_sections()
    assert nearest_preset(sections) == name
    sections["training"] |= {"seed": 7, "batch_tokens": 1024}
    assert nearest_preset(sections) == name
