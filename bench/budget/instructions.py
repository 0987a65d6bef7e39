"""How many instructions this thread has executed, by the processor's own count, where there is one to be had.

Many virtual machines have none, and some systems keep it from users.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# [perf_event_open(2)] the number of the call, the kinds of events, and where in its attributes things stand.
_CALLS = {"x86_64": 298, "aarch64": 241}
HARDWARE, SOFTWARE = 0, 1
INSTRUCTIONS, TASK_CLOCK = 1, 1
_SIZE = 112
_EXCLUDE_HYPERVISOR = 1 << 6


@contextmanager
def counter(kind: int = HARDWARE, what: int = INSTRUCTIONS) -> Iterator[Callable[[], int] | None]:
    """What reads the count, of kernel and user code; None where there is none to be had."""
    descriptor = _opened(kind, what)
    try:
        yield (lambda: int.from_bytes(os.read(descriptor, 8), sys.byteorder)) if descriptor >= 0 else None
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _opened(kind: int, what: int) -> int:
    """A descriptor to read the count from; below 0 where the system gives none."""
    call = _CALLS.get(platform.machine())
    if call is None or sys.platform != "linux":
        return -1
    libc = ctypes.CDLL(None)
    attributes = struct.pack("=IIQQQQQ", kind, _SIZE, what, 0, 0, 0, _EXCLUDE_HYPERVISOR).ljust(_SIZE, b"\0")
    this_thread, any_core, no_group, no_flags = 0, -1, -1, 0
    return int(libc.syscall(call, attributes, this_thread, any_core, no_group, no_flags))
