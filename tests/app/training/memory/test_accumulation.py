"""`training.accumulation = 0`: the number of parts, the memory estimate, and the memory of a machine."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keras_nmt.app.config import Configuration, TrainingConfig, load_configuration
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.errors import UserError
from keras_nmt.app.training.memory import accumulation
from keras_nmt.app.training.memory.accumulation import largest_need, shapes_of, with_accumulation
from keras_nmt.app.training.memory.estimate import estimate_memory, parameter_count
from keras_nmt.app.training.memory.machine import available_memory
from keras_nmt.layers import TransformerConfig, network_of
from keras_nmt.pipelines.shards.manifest import Manifest
from keras_nmt.pipelines.streaming.batching import BatchShape
from tests.app.command_line import nmt, succeeded, train_arguments

MODEL = TransformerConfig(
    vocabulary_size=504, model_width=32, inner_width=64, heads=2, encoder_layers=2, decoder_layers=1
)
TRAINING = TrainingConfig(precision="float32", batch_tokens=4096, max_length=64, accumulation=0)
SHAPE = BatchShape(64, 31, 37)


def configured(**training: object) -> Configuration:
    return Configuration(MODEL, replace(TRAINING, **training), DecodingOptions())


def total(configuration: Configuration, shape: BatchShape = SHAPE, replicas: int = 1, parts: int = 1) -> int:
    return estimate_memory(configuration, shape, replicas=replicas, parts=parts).total


@pytest.mark.parametrize(
    "changes",
    [
        {"normalization": "pre"},
        {"normalization": "post"},
        {"attention_bias": True, "logits_bias": True},
        {"normalization": "pre", "encoder_layers": 0},
        {"normalization": "post", "encoder_layers": 0, "attention_bias": True},
        {"word_token": 5},
        {"copying": True},
    ],
)
def test_parameters_are_counted_without_building_the_model(changes: dict[str, Any]) -> None:
    model = network_of(replace(MODEL, **changes))
    assert parameter_count(model.config) == model.count_params()


def test_the_bytes_of_weights_optimizer_and_gradients_follow_from_the_number_of_weights() -> None:
    parameters = parameter_count(MODEL)
    plain = estimate_memory(configured(), SHAPE, replicas=1, parts=1)
    assert (plain.weights, plain.optimizer, plain.averages) == (4 * parameters, 8 * parameters, 0)
    assert plain.gradients == 4 * parameters
    settings = configured(precision="mixed_float16", ema_decay=0.9)
    mixed = estimate_memory(settings, SHAPE, replicas=1, parts=2)
    assert (mixed.weights, mixed.averages, mixed.gradients) == (6 * parameters, 4 * parameters, 16 * parameters)
    assert mixed.total == sum(vars(mixed).values())


def test_the_bytes_of_activations_follow_the_table_in_the_module() -> None:
    """Computed by hand for one encoder row: S = 3, T = 1, float32 without dropout, D = 2, F = 5, H = 1, V = 7."""
    model = TransformerConfig(
        vocabulary_size=7,
        model_width=2,
        inner_width=5,
        heads=1,
        encoder_layers=1,
        decoder_layers=1,
        residual_dropout=0.0,
    )
    configuration = Configuration(model, TRAINING, DecodingOptions())
    norm, self_attention, cross_attention, feed_forward = 12 * 2, 5 * 4 * 2, 3 * 4 * 2, 4 * (2 + 5)
    source = 3 * (2 * norm + self_attention + feed_forward + 2 * 4 * 2 + 16 * 2)
    target = 3 * norm + self_attention + cross_attention + feed_forward + 28 * 2
    pairs = 4 * (3 * 3 + 1 * 1 + 3 * 1) + 12 * 3 * 3
    logits_and_table = 1 * 20 * 7 + 16 * 7 * 2
    estimate = estimate_memory(configuration, BatchShape(1, 3, 1), replicas=1, parts=1)
    assert estimate.activations == int(1.1 * (source + target + pairs + logits_and_table))


def test_a_language_model_needs_no_memory_for_the_source() -> None:
    """Computed by hand as in the test above, T = 2."""
    model = TransformerConfig(7, 2, 5, 1, encoder_layers=0, decoder_layers=1, residual_dropout=0.0)
    configuration = Configuration(model, TRAINING, DecodingOptions())
    target = 2 * (2 * 12 * 2 + 5 * 4 * 2 + 4 * (2 + 5) + 28 * 2)
    pairs, logits_and_table = 4 * 2 * 2 + 12 * 2 * 2, 2 * 20 * 7 + 16 * 7 * 2
    for source_length in (1, 30):
        estimate = estimate_memory(configuration, BatchShape(1, source_length, 2), replicas=1, parts=1)
        assert estimate.activations == int(1.1 * (target + pairs + logits_and_table))


@pytest.mark.parametrize(
    "more",
    [
        {"model": {"residual_dropout": 0.2}},
        {"model": {"attention_dropout": 0.1}},
        {"model": {"inner_dropout": 0.1}},
        {"model": {"copying": True}},
        {"training": {"r_drop": 1.0}},
        {"training": {"clip_norm": 1.0}},
    ],
)
def test_settings_that_need_more_memory_raise_the_estimate(more: dict[str, dict[str, float]]) -> None:
    model = replace(MODEL, residual_dropout=0.0)
    training = replace(TRAINING, **more.get("training", {}))
    plain = Configuration(model, TRAINING, DecodingOptions())
    assert total(Configuration(replace(model, **more.get("model", {})), training, DecodingOptions())) > total(plain)


def test_copying_adds_the_pairs_of_positions_of_each_row() -> None:
    copying = Configuration(replace(MODEL, copying=True), TRAINING, DecodingOptions())
    more, less = (estimate_memory(of, SHAPE, replicas=1, parts=1).activations for of in (copying, configured()))
    assert more - less == pytest.approx(1.1 * 64 * (48 * 37 * 31 + 16 * 31 * 31), abs=1)


def test_two_devices_or_two_parts_halve_the_activations() -> None:
    half = estimate_memory(configured(), SHAPE._replace(rows=32), replicas=1, parts=1).activations
    for division in ({"replicas": 2, "parts": 1}, {"replicas": 1, "parts": 2}):
        assert estimate_memory(configured(), SHAPE, **division).activations == half


@pytest.mark.parametrize(("fitting", "replicas", "parts"), [(1, 1, 1), (2, 1, 2), (3, 1, 4), (8, 1, 8), (4, 2, 4)])
def test_the_smallest_number_of_parts_that_fits_is_chosen(
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    fitting: int,
    replicas: int,
    parts: int,
) -> None:
    """The memory is what `fitting` parts need; the chosen number is a power of two."""
    manifest = Manifest.load(data)
    configuration = configured(batch_tokens=65_536)
    needed = largest_need(configuration, manifest, replicas=replicas, parts=fitting).memory.total
    monkeypatch.setattr(accumulation, "memory_per_replica", lambda: needed / accumulation.USABLE + 1000)
    found = with_accumulation(configuration, manifest, replicas)
    assert found.training.accumulation == parts
    assert replace(found.training, accumulation=0) == configuration.training
    assert f"accumulation: each batch in {parts} part(s)" in capsys.readouterr().err


def test_there_are_no_more_parts_than_rows(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(accumulation, "memory_per_replica", lambda: 0)
    monkeypatch.setattr(accumulation, "HOPELESS", math.inf)
    found = with_accumulation(configured(), Manifest.load(data), 1)
    assert 8 <= found.training.accumulation <= 128
    assert "it may not fit: lower batch_tokens or max_length" in capsys.readouterr().err


def test_a_configured_number_of_parts_is_kept(data: Path) -> None:
    configuration = configured(accumulation=3)
    assert with_accumulation(configuration, Manifest.load(data), 1) is configuration


def test_a_run_resumes_with_as_many_parts_as_the_memory_now_requires(
    data: Path, run_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_configuration(run_copy / "config.toml").training.accumulation == 1
    monkeypatch.setattr(accumulation, "memory_per_replica", lambda: 0)
    monkeypatch.setattr(accumulation, "HOPELESS", math.inf)
    done = succeeded(nmt(*train_arguments(data, run_copy, "training.accumulation=0")))
    parts = load_configuration(run_copy / "config.toml").training.accumulation
    assert parts > 1
    assert done.err.count(f"accumulation: each batch in {parts} part(s), ") == 1


def test_a_step_far_beyond_the_memory_is_refused(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, configuration = Manifest.load(data), configured(accumulation=1)
    need = largest_need(configuration, manifest, replicas=1, parts=1).memory.total
    monkeypatch.setattr(accumulation, "memory_per_replica", lambda: need / 1.9)
    assert with_accumulation(configuration, manifest, 1) is configuration
    monkeypatch.setattr(accumulation, "memory_per_replica", lambda: need / 2.1)
    with pytest.raises(
        UserError, match=r"tokens needs about .* GiB, and .* GiB are free; lower training\.batch_tokens"
    ):
        with_accumulation(configuration, manifest, 1)
    monkeypatch.setattr(accumulation, "memory_per_replica", lambda: 1 << 20)
    with pytest.raises(UserError, match="accumulation=0, or take a smaller model"):
        with_accumulation(configured(accumulation=0), manifest, 1)


def test_a_token_budget_larger_than_the_data_needs_no_more_memory_than_the_data(data: Path) -> None:
    manifest = Manifest.load(data)
    shapes = shapes_of(configured(batch_tokens=10**9).training, manifest.split("train"))
    assert max(shape.rows for shape in shapes) < 1.2 * manifest.split("train").examples


def test_more_parts_than_a_batch_has_rows_are_refused(data: Path) -> None:
    with pytest.raises(UserError, match=r"training\.accumulation is 1000000000, but no batch has more than \d+ rows"):
        with_accumulation(configured(accumulation=10**9), Manifest.load(data), 1)


def linux(folder: Path, available_kib: int, **files: str) -> Path:
    """Returns a root folder with these values in its files."""
    files = {"proc/meminfo": f"MemTotal: 99 kB\nMemAvailable:  {available_kib} kB\n", **files}
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_memory_is_what_linux_calls_available(tmp_path: Path) -> None:
    assert available_memory(linux(tmp_path, 3000)) == 3000 * 1024


def test_a_control_group_or_one_of_its_parents_may_leave_less(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/a/b"
    files = {
        "proc/self/cgroup": "0::/a/b\n",
        f"{group}/memory.max": "max\n",
        f"{group}/memory.current": "5000\n",
        "sys/fs/cgroup/a/memory.max": "1000000\n",
        "sys/fs/cgroup/a/memory.current": "600000\n",
        "sys/fs/cgroup/a/memory.stat": "anon 3\ninactive_file 1000\n",
    }
    assert available_memory(linux(tmp_path, 3000, **files)) == 401_000


def test_a_control_group_v1_that_a_container_sees_as_its_root_may_leave_less(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "9:cpu:/docker/x\n4:memory:/docker/x\n0::/\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "1000000\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": "999000\n",
    }
    assert available_memory(linux(tmp_path, 3000, **files)) == 1000


def test_this_machine_has_memory() -> None:
    assert available_memory() > 1 << 20
