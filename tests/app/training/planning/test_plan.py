"""`nmt train --plan`: the figures of a training that has not started, and that it writes nothing."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from keras_nmt.app.training import building
from keras_nmt.app.training.memory import machine as machine_memory
from keras_nmt.app.training.memory.accumulation import reporting_exhausted_memory
from keras_nmt.app.training.memory.estimate import MemoryEstimate
from keras_nmt.app.training.planning import plan as planning
from keras_nmt.app.training.planning.plan import DataPlan, FrequentShape, MemoryPlan, ModelPlan, Plan, Speed
from keras_nmt.app.training.planning.report import as_text
from keras_nmt.app.training.trainer import Trainer
from keras_nmt.pipelines.streaming.batching import BatchShape
from tests.app.command_line import TINY, Done, nmt, refusal, succeeded, train_arguments, tree
from tests.app.training.small_trainer import ONE, strategy_on

ROOT = Path(__file__).resolve().parents[4]
GIB = 1 << 30
PLAN = Plan(
    ModelPlan(
        {"embedding": 3000, "encoder": 500, "decoder": 700},
        3700,
        "mixed_bfloat16",
        ["CPU"],
        processor="Some CPU (avx2)",
        processor_settings="oneDNN on (an x86 processor)",
    ),
    DataPlan(
        training_pairs=120_000,
        skipped_pairs=7,
        max_length=64,
        batches=800,
        source_tokens=1700.4,
        target_tokens=1796.6,
        padding_share=0.0527,
        shapes=[FrequentShape(BatchShape(8 * n, 40 - n, 100 - n), share=n / 100) for n in (20, 10, 9, 8, 7, 6, 5, 1)],
    ),
    MemoryPlan(
        accumulation=4,
        largest_batch=BatchShape(32, 64, 60),
        program=GIB // 2,
        estimated=2 * GIB,
        estimated_parts=MemoryEstimate(GIB, GIB // 4, 0, GIB // 8, GIB // 16, GIB // 16),
        there=1500 * GIB,
        measured=GIB,
    ),
    Speed(steps=8, seconds=5.5, target_tokens_per_second=2479.6),
    steps=1600,
    epochs=2.0,
    hours=0.322,
)
TEXT = """\
model      4,200 parameters: embedding 3,000, encoder 500, decoder 700; 500 are frozen
           mixed_bfloat16 on 1 CPU
processor  Some CPU (avx2): oneDNN on (an x86 processor)
data       120,000 training pairs, 7 longer than 64 tokens
           1,600 steps are 2.0 epochs of 800 batches
           a step has 1,700 source and 1,797 target tokens; 5.3% of a batch is padding
shapes     8 in an epoch; rows x source x target tokens, and share of the batches:
              160 x  20 x  80   20.0%
               80 x  30 x  90   10.0%
               72 x  31 x  91    9.0%
               64 x  32 x  92    8.0%
               56 x  33 x  93    7.0%
               48 x  34 x  94    6.0%
                     2 others    6.0%
memory     2.00 GiB estimated at most, 1.00 GiB measured, 1,500.00 GiB there
           for a batch of 32 x 64 x 60, in 4 parts one after another:
             0.50 GiB  program
             1.00 GiB  weights
             0.25 GiB  optimizer
             0.12 GiB  gradients
             0.06 GiB  activations
             0.06 GiB  workspace
speed      2,480 target tokens/s, measured over 8 steps
time       19 minutes for 1,600 steps, evaluations on the dev set not counted"""


@pytest.fixture(scope="module")
def planned(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Done, list[int]]]:
    """A plan from a quarter of a second of steps, and the number of times a step was traced."""
    traced: list[int] = []
    step = Trainer.replica_step

    def counted(self: Trainer, *batch: Any) -> Any:
        traced.append(1)
        return step(self, *batch)

    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(tmp_path_factory.mktemp("elsewhere"))
        patched.setattr(planning, "MEASURED_SECONDS", 0.25)
        patched.setattr(Trainer, "replica_step", counted)
        before = tree(data)
        done = nmt(*train_arguments(data, Path("run"), "training.freeze=['encoder']"), "--plan", "--json")
        assert tree(data) == before
        assert list(Path.cwd().iterdir()) == []
        yield succeeded(done), list(traced)


@pytest.fixture(scope="module")
def plan(planned: tuple[Done, list[int]]) -> dict[str, Any]:
    return json.loads(planned[0].out)


def test_the_text_of_a_plan() -> None:
    assert as_text(PLAN) == TEXT


def test_the_text_has_lines_that_only_some_trainings_need() -> None:
    model = replace(PLAN.model, trainable_parameters=4200, devices=["H200", "A100", "A100"])
    memory = replace(PLAN.memory, accumulation=1, program=0)
    speed = replace(PLAN.speed, compilations=280, compile_seconds=31.4)
    lines = as_text(replace(PLAN, model=model, memory=memory, speed=speed, hours=100)).splitlines()
    assert lines[0] == "model      4,200 parameters: embedding 3,000, encoder 500, decoder 700"
    assert lines[1] == "           mixed_bfloat16 on 2 A100, 1 H200"
    assert "           for a batch of 32 x 64 x 60:" in lines
    assert "             1.00 GiB  weights on each of 3 devices" in lines
    assert "           280 compilations of about 31 s, one for each shape" in lines
    assert lines[-1] == "time       4.2 days for 1,600 steps, evaluations on the dev set not counted"
    assert "time       5.3 hours for" in as_text(replace(PLAN, hours=5.3))
    assert "1 compilation of about 31 s, one" in as_text(replace(PLAN, speed=replace(speed, compilations=1)))


def test_the_command_prints_the_text(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "plan_training", lambda *_: PLAN)
    assert succeeded(nmt("train", data, "--plan")).out == f"{TEXT}\n"


def test_parameters_are_counted_by_part(plan: dict[str, Any], training: Done) -> None:
    parts = plan["model"]["parameters"]
    assert set(parts) == {"embedding", "encoder", "decoder"}
    assert parts["embedding"] == 504 * 32
    assert f"{sum(parts.values()):,} parameters" in training.err
    assert plan["model"]["trainable_parameters"] == parts["embedding"] + parts["decoder"]
    assert (plan["model"]["precision"], plan["model"]["devices"]) == ("float32", ["CPU"] * 2)  # two logical ones


def test_the_data_of_the_plan_is_what_a_training_reads(plan: dict[str, Any], run: Path) -> None:
    data = plan["data"]
    assert (data["training_pairs"], data["skipped_pairs"], data["max_length"]) == (598, 2, 64)
    assert sum(shape["share"] for shape in data["shapes"]) == pytest.approx(1.0)
    assert all(shape["rows"] * shape["target_length"] <= 1024 for shape in data["shapes"])
    steps = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert data["target_tokens"] == pytest.approx(sum(step["target_tokens"] for step in steps) / len(steps), rel=0.2)
    assert data["padding_share"] == pytest.approx(sum(step["padding_share"] for step in steps) / len(steps), abs=0.05)
    assert (plan["steps"], plan["epochs"]) == (4, pytest.approx(4 / data["batches"]))


def test_the_hours_follow_from_steps_and_measured_speed(plan: dict[str, Any]) -> None:
    speed = plan["speed"]
    assert speed["steps"] % 4 == 0
    assert speed["seconds"] >= 0.25
    assert speed["compilations"] == 0  # on a CPU
    tokens = plan["steps"] * plan["data"]["target_tokens"]
    assert plan["hours"] == pytest.approx(tokens / speed["target_tokens_per_second"] / 3600)


@pytest.mark.slow
def test_packed_batches_are_compiled_once(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "MEASURED_SECONDS", 0.25)
    monkeypatch.setattr(planning, "mirrored_strategy", lambda: strategy_on(ONE))
    monkeypatch.setattr(building, "Trainer", lambda *given, xla: Trainer(*given, xla=True))
    plan = json.loads(
        succeeded(nmt(*train_arguments(data, Path("run"), "training.packing=on"), "--plan", "--json")).out
    )
    (shape,) = plan["data"]["shapes"]
    assert shape == {**plan["memory"]["largest_batch"], "share": 1.0}
    assert plan["speed"]["compilations"] == 1
    assert plan["speed"]["compile_seconds"] > 0
    learning = plan["steps"] * plan["data"]["target_tokens"] / plan["speed"]["target_tokens_per_second"]
    assert plan["hours"] == pytest.approx((learning + plan["speed"]["compile_seconds"]) / 3600)


def test_the_plan_has_estimated_measured_and_available_memory(plan: dict[str, Any]) -> None:
    memory = plan["memory"]
    assert memory["accumulation"] == 1
    assert memory["estimated"] == memory["program"] + 2 * sum(memory["estimated_parts"].values())  # on two devices
    assert machine_memory.peak_memory() >= memory["measured"] >= memory["program"] > 1 << 20
    assert memory["there"] > memory["program"]
    longest = max(plan["data"]["shapes"], key=lambda shape: shape["source_length"])
    assert memory["largest_batch"]["source_length"] >= longest["source_length"]


def test_the_step_is_traced_once(planned: tuple[Done, list[int]]) -> None:
    assert planned[1] == [1, 1]  # by each device


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "add --out RUN, the folder to train in, or --plan"),
        (["--plan", "--profile", "1,2"], "--profile is for a training; leave --plan out"),
        (["--out", "run", "--json"], "--json prints a plan; add --plan"),
    ],
)
def test_options_that_exclude_each_other_are_a_usage_error(options: list[str], message: str) -> None:
    done = nmt("train", "data", *options)
    assert (done.code, done.out) == (2, "")
    assert done.err.endswith(f"error: {message}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none", "--plan"], "none is not a prepared data directory"),
        (["DATA", "--plan", "--set", "training.stpes=4"], "[training] has no setting stpes (did you mean steps?)"),
        (["DATA", "--plan", "--set", "training.batch_tokens=9"], "a batch of 9 tokens does not hold 8 sentences"),
        (
            ["DATA", "--plan", "--preset", "tiny", "--set", "training.freeze=['enc']"],
            "training.freeze: there is no layer",
        ),
    ],
)
def test_unusable_input_is_refused_in_one_line(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refusal(nmt("train", *(str(data) if a == "DATA" else a for a in arguments)), "train")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", [("--plan",), ()])
def test_a_batch_that_does_not_fit_is_reported_with_what_to_try_next(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: tuple[str, ...]
) -> None:
    def exhausted(self: Trainer, force: bool = False) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[9,9]")

    monkeypatch.setattr(Trainer, "make_train_function", exhausted)
    done = nmt(*train_arguments(data, tmp_path / "run", "training.accumulation=2"), *option)
    assert done.complaints == [
        "nmt train: a batch in 2 part(s) did not fit the memory; start the same command again with --set "
        "training.accumulation=4, which does not change the result"
    ]


def test_a_full_disk_is_not_reported_as_full_memory() -> None:
    with pytest.raises(tf.errors.ResourceExhaustedError), reporting_exhausted_memory(1):
        raise tf.errors.ResourceExhaustedError(None, None, "/runs/x; No space left on device")


@pytest.mark.slow
def test_parts_use_less_memory_than_the_whole_and_no_more_than_estimated(data: Path) -> None:
    """In separate processes, because the peak is measured for a process."""

    def memory(parts: int) -> dict[str, Any]:
        changes = ("training.batch_tokens=16384", "model.model_width=128", "model.inner_width=512")
        settings = [f"--set={setting}" for setting in (*TINY, *changes, f"training.accumulation={parts}")]
        command = [
            sys.executable,
            "-m",
            "keras_nmt",
            "train",
            str(data),
            "--plan",
            "--json",
            "--preset=tiny",
            *settings,
        ]
        return json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)["memory"]

    whole, quarters = memory(1), memory(4)
    assert quarters["measured"] < 0.9 * whole["measured"]
    for each in (whole, quarters):
        assert 0.8 * each["estimated"] < each["measured"] < each["estimated"]
