"""Makes glibc's `malloc` keep the memory of freed tensors.

By default glibc returns large blocks to the system when they are freed, and each training step causes page faults to
get its memory again. Up to 40 % of the processor time is then spent in the kernel. TensorFlow makes this worse when it
first reads a generator: `GeneratorDatasetOp` calls `mallopt(M_TRIM_THRESHOLD, 128 KiB)` for the whole process.
"""

import ctypes
import os
import platform
from typing import NamedTuple

MIB = 1 << 20


class Parameter(NamedTuple):
    """A parameter of `mallopt`, the value to set, and the environment variable with which users can set it."""

    number: int  # in malloc.h
    value: int
    variable: str


KEPT = (
    Parameter(-1, 2**31 - 1, "MALLOC_TRIM_THRESHOLD_"),  # M_TRIM_THRESHOLD: the end of the heap stays mapped
    Parameter(-2, 64 * MIB, "MALLOC_TOP_PAD_"),  # M_TOP_PAD: the heap grows in few steps
    Parameter(-3, 32 * MIB, "MALLOC_MMAP_THRESHOLD_"),  # M_MMAP_THRESHOLD: the largest value that glibc accepts
)


def keep_freed_memory() -> bool:
    """Tells glibc to keep freed memory. Does not change parameters that environment variables set.

    A call takes a microsecond. The call is needed again after every op that resets the parameters.

    Returns:
        True if the allocator is that of glibc and accepts the parameters. False without glibc, or if GLIBC_TUNABLES
        sets parameters of the allocator; then nothing is changed.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    if "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(each.number, each.value) for each in KEPT if each.variable not in os.environ)
