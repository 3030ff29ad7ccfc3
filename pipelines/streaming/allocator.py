"""Makes glibc's `malloc` keep the memory of freed tensors.

By default, glibc returns large blocks of memory to the operating system when they are freed. Each training step must
then get its memory again, which causes page faults. Up to 40 % of the processor time is spent in the kernel. TensorFlow
makes this worse when it reads a generator for the first time: `GeneratorDatasetOp` calls `mallopt(M_TRIM_THRESHOLD, 128
KiB)` for the whole process.
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

    Some TensorFlow ops reset the parameters. After each such op, this function must be called again. A call takes a
    microsecond.

    Returns:
        True if the allocator is that of glibc and accepts the parameters. If there is no glibc, or if GLIBC_TUNABLES
        sets parameters of the allocator, changes nothing and returns False.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    if "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(each.number, each.value) for each in KEPT if each.variable not in os.environ)
