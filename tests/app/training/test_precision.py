"""The precision "auto", as chosen from the machine's properties."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import tensorflow as tf

from keras_nmt.app.training import precision
from keras_nmt.app.training.precision import processor_flags, resolve_precision

CPUINFO = "processor\t: 0\nmodel name\t: some processor\nflags\t\t: fpu sse2 {}\n\nprocessor\t: 1\nflags\t\t: fpu\n"


@pytest.mark.parametrize(
    ("flag", "resolved"),
    [("avx512_bf16", "mixed_bfloat16"), ("amx_bf16", "mixed_bfloat16"), ("avx2", "float32"), ("xamx_bf16", "float32")],
)
def test_auto_is_bfloat16_on_processors_with_its_instructions(
    flag: str, resolved: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(CPUINFO.format(flag))
    flags = processor_flags(tmp_path / "cpuinfo")
    assert flags == {"fpu", "sse2", flag}
    monkeypatch.setattr(precision, "processor_flags", lambda: flags)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    assert resolve_precision("auto") == resolved


def test_without_cpuinfo_there_are_no_flags(tmp_path: Path) -> None:
    assert processor_flags(tmp_path / "none") == set()
    (tmp_path / "cpuinfo").write_text("Features : asimd\n")
    assert processor_flags(tmp_path / "cpuinfo") == set()


@pytest.mark.parametrize(
    ("capability", "resolved"), [((7, 5), "float32"), ((8, 0), "mixed_bfloat16"), (None, "float32")]
)
def test_auto_is_bfloat16_on_a_gpu_from_ampere_on(
    capability: tuple[int, int] | None, resolved: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    details = {"compute_capability": capability} if capability else {}
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [SimpleNamespace(name=kind)])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: details)
    monkeypatch.setattr(precision, "processor_flags", lambda: {"amx_bf16"})  # of no matter
    assert resolve_precision("auto") == resolved


@pytest.mark.parametrize("chosen", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_an_explicit_precision_is_used(chosen: precision.PrecisionPolicy) -> None:
    assert resolve_precision(chosen) == chosen
