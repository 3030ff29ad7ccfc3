"""Chooses how TensorFlow computes on this machine's processor, before TensorFlow is imported.

By default, TensorFlow enables oneDNN's kernels only on processors with AVX512-VNNI, AVX-VNNI or AMX. But on other x86
processors, too, these kernels halve the processor time of a training step. oneDNN also allocates large tensors from a
memory pool. If glibc also keeps freed memory, the operating system spends hardly any time on allocating memory.
"""

import os
from dataclasses import dataclass
from functools import cache

from keras_nmt.app.runtime.processors import is_x86
from keras_nmt.pipelines.streaming.allocator import keep_freed_memory

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"


@dataclass(frozen=True)
class ProcessorSettings:
    """The chosen settings.

    Attributes:
        onednn: The value of `TF_ENABLE_ONEDNN_OPTS`; "" leaves the choice to TensorFlow.
        from_user: True if the user had set `TF_ENABLE_ONEDNN_OPTS`.
        keeps_memory: True if glibc keeps freed memory for the next step.
    """

    onednn: str
    from_user: bool
    keeps_memory: bool

    def __str__(self) -> str:
        if self.from_user:
            onednn = f"oneDNN {'off' if self.onednn == '0' else 'on'} ({ONEDNN}={self.onednn} is set)"
        elif self.onednn:
            onednn = "oneDNN on (an x86 processor)"
        else:
            onednn = "oneDNN as TensorFlow chooses (not an x86 processor)"
        memory = "freed memory is kept (glibc)" if self.keeps_memory else "the allocator is left as it is"
        return f"{onednn}; {memory}"


@cache
def apply_processor_settings() -> ProcessorSettings:
    """At the first call, sets `TF_ENABLE_ONEDNN_OPTS` and makes glibc keep freed memory. Returns the settings.

    Must be called before TensorFlow is imported, because TensorFlow reads the environment only once. An environment
    variable that the user has set is not changed.
    """
    from_user = ONEDNN in os.environ
    if is_x86():
        os.environ.setdefault(ONEDNN, "1")
    return ProcessorSettings(os.environ.get(ONEDNN, ""), from_user, keep_freed_memory())
