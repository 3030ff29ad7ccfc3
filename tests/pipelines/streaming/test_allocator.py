"""Freed memory stays with the process, even after TensorFlow resets glibc's parameters."""

import platform
import subprocess
import sys

import pytest

from keras_nmt.pipelines.streaming import allocator
from keras_nmt.pipelines.streaming.allocator import keep_freed_memory

# Allocates and frees many blocks of 1 MiB, like a training step, and prints the page faults after a warm-up.
FAULTS = """
import ctypes, resource
from keras_nmt.pipelines.streaming.allocator import keep_freed_memory
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
libc.mallopt(-1, 128 << 10)  # as the op of Dataset.from_generator does
{keep}
def step():
    blocks = [libc.malloc(1 << 20) for _ in range(64)]
    for block in blocks:
        ctypes.memset(block, 1, 1 << 20)
    for block in reversed(blocks):
        libc.free(block)
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep: str) -> int:
    done = subprocess.run([sys.executable, "-c", FAULTS.format(keep=keep)], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the parameters are glibc's")
def test_memory_freed_in_each_step_stays_mapped() -> None:
    assert faults("") > 1000
    assert faults("keep_freed_memory()") < 100


def test_other_allocators_and_user_settings_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as other:
        other.setattr(platform, "libc_ver", lambda: ("", ""))
        assert not keep_freed_memory()
    with monkeypatch.context() as tuned:
        tuned.setenv("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=1048576")
        assert not keep_freed_memory()
    told = []
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda _: _Library(told))
    monkeypatch.setenv("MALLOC_TOP_PAD_", "0")
    assert keep_freed_memory()
    assert told == [-1, -3]


class _Library:
    def __init__(self, told: list[int]) -> None:
        self.told = told

    def mallopt(self, number: int, value: int) -> int:
        self.told.append(number)
        return 1
