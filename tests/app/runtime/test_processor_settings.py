"""TensorFlow's configuration for the processor: before its import, in every process, unless the user has set it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from keras_nmt.app.runtime import processor_settings
from keras_nmt.app.runtime.processor_settings import ProcessorSettings, apply_processor_settings
from keras_nmt.app.runtime.processors import processor_name

SHOW = (
    "import json, os, sys; from keras_nmt.app.runtime.processor_settings import apply_processor_settings as apply; "
    "found = apply(); assert 'tensorflow' not in sys.modules; "
    "print(json.dumps([os.environ.get('TF_ENABLE_ONEDNN_OPTS'), found.from_user, str(found)]))"
)


def chosen(**environment: str) -> tuple[str, bool, str]:
    """Returns what a new process chooses: the variable, whether the user had set it, and the line about it."""
    inherited = {name: value for name, value in os.environ.items() if name != processor_settings.ONEDNN}
    done = subprocess.run(
        [sys.executable, "-c", SHOW], env=inherited | environment, capture_output=True, text=True, check=True
    )
    variable, from_user, line = json.loads(done.stdout)
    return variable, from_user, line


@pytest.mark.skipif(not processor_settings.is_x86(), reason="oneDNN is chosen for x86 processors")
def test_an_x86_processor_uses_onednn_unless_the_user_has_set_the_variable() -> None:
    assert chosen()[:2] == ("1", False)
    variable, from_user, line = chosen(TF_ENABLE_ONEDNN_OPTS="0")
    assert (variable, from_user) == ("0", True)
    assert "oneDNN off (TF_ENABLE_ONEDNN_OPTS=0 is set)" in line


def test_on_another_processor_tensorflow_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(processor_settings.ONEDNN, raising=False)
    monkeypatch.setattr(processor_settings, "is_x86", lambda: False)
    found = apply_processor_settings.__wrapped__()
    assert found.onednn == ""
    assert processor_settings.ONEDNN not in os.environ
    assert "as TensorFlow chooses" in str(found)


def test_the_line_says_what_was_chosen_and_why() -> None:
    assert str(ProcessorSettings("1", from_user=False, keeps_memory=True)) == (
        "oneDNN on (an x86 processor); freed memory is kept (glibc)"
    )
    assert "the allocator is left as it is" in str(ProcessorSettings("1", from_user=False, keeps_memory=False))


def test_a_processor_is_named_with_its_notable_instruction_sets(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("model name\t: Some   CPU @ 2 GHz\nflags\t\t: fpu avx2 avx512f avx512_vnni\n\nflags\t: fpu\n")
    assert processor_name(cpuinfo) == "Some CPU @ 2 GHz (avx2, avx512f, avx512_vnni)"
    assert processor_name(tmp_path / "none")  # the system does not tell; the architecture stands for it
