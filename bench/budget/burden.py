"""Work for nothing, of a known length, in each send: to show that the budget would notice it."""

from __future__ import annotations

import _socket
import time
from itertools import repeat
from typing import Any

TRIES, CALLS = 30, 2_000


def burdened(microseconds: float) -> type[_socket.socket]:
    """Sockets whose `send` takes so much longer; 0: those that there are."""
    if not microseconds:
        return _socket.socket
    own = took(slower(bytearray, "extend", 0)) - took(bytearray)
    return slower(_socket.socket, "send", int(1000 * microseconds - own))


def slower(kind: type[Any], method: str, nanoseconds: int) -> type[Any]:
    """`kind` with a method of one argument that first lets so much time pass, and what itself takes."""
    inherited, clock = getattr(kind, method), time.perf_counter_ns

    def slowed(self: Any, data: Any) -> Any:
        until = clock() + nanoseconds
        while clock() < until:
            pass
        return inherited(self, data)

    return type("Slower", (kind,), {method: slowed})


def took(kind: type[bytearray]) -> float:
    """The least ns that `extend` takes."""
    extend, least = kind().extend, float("inf")
    for _ in range(TRIES):
        began = time.perf_counter_ns()
        for _ in repeat(None, CALLS):
            extend(b"")
        least = min(least, (time.perf_counter_ns() - began) / CALLS)
    return least
