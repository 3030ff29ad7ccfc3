"""Chooses how TensorFlow computes on this machine's processor, before TensorFlow is imported.

TensorFlow turns oneDNN's kernels on only for processors with AVX512-VNNI, AVX-VNNI or AMX. On other x86 processors a
training step takes half the processor time with them. They also allocate large tensors from a pool, and with glibc told
to keep what is freed hardly any time is left in the kernel.
"""

import os
from dataclasses import dataclass
from functools import cache

from app.runtime.processors import is_x86
from pipelines.streaming.allocator import keep_freed_memory

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"


@dataclass(frozen=True)
class ProcessorSettings:
    """What was chosen.

    Attributes:
        onednn: The value of `TF_ENABLE_ONEDNN_OPTS`; "" leaves the choice to TensorFlow.
        from_user: True if the user's environment had set it.
        keeps_memory: True if glibc keeps freed memory for the next step.
    """

    onednn: str
    from_user: bool
    keeps_memory: bool

    def __str__(self) -> str:
        if self.from_user:
            of_onednn = f"oneDNN {'off' if self.onednn == '0' else 'on'} ({ONEDNN}={self.onednn} is set)"
        elif self.onednn:
            of_onednn = "oneDNN on (an x86 processor)"
        else:
            of_onednn = "oneDNN as TensorFlow chooses (not an x86 processor)"
        of_memory = "freed memory is kept (glibc)" if self.keeps_memory else "the allocator is left as it is"
        return f"{of_onednn}; {of_memory}"


@cache
def apply_processor_settings() -> ProcessorSettings:
    """Sets the environment and the allocator, once, and returns what was chosen; a variable that is set already stays.

    To be called before TensorFlow is imported, which reads the environment once.
    """
    from_user = ONEDNN in os.environ
    if is_x86():
        os.environ.setdefault(ONEDNN, "1")
    return ProcessorSettings(os.environ.get(ONEDNN, ""), from_user, keep_freed_memory())
