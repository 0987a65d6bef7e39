"""A reader that never has to wait gives way all the same: among greenlets nobody else would get a turn.

An upstream that sends faster than is read would stop the whole process until its answer is over, and comments
are no answer. Among threads it costs nothing. Used by inlets.py only.
"""

from __future__ import annotations

import time
from collections.abc import Callable

# Seconds of work in one piece; what others do, Stop among it, takes several turns.
TURN = 0.002
# Seconds from which on a read has waited, and others had their turn.
WAITED = 0.001
# Seconds to sleep. Not 0: then gevent goes on without a look at who else has something to read.
MOMENT = 1e-6


class Turns:
    """The turns of one reader. `clock` and `sleep` in seconds."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._rested = clock()

    def read(self, wait: Callable[[], bytes]) -> bytes:
        """The next piece, for which its reader may have to `wait`."""
        before = self._clock()
        if before - self._rested > TURN:
            self._sleep(MOMENT)
            self._rested = before = self._clock()
        piece = wait()
        now = self._clock()
        if now - before > WAITED:
            self._rested = now
        return piece
