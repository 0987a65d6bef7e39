"""How the crowd is written: the same bytes to all, a round at a time, in slices.

Used by app/hub/sockets.py, in its turns of the event loop. Nothing stands in the loop over the streams but
the write and a look at how many bytes it took.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.hub.sockets import Source

# Streams written to between two looks at the clock.
SLICE = 64
# After a round that carried several events this share of its time passes before the next: what comes in a
# flood is joined, at a third more delay; a single event never waits.
REST = 1 / 3


class Rounds:
    """`pending`: there may be something for the crowd. `cut` ends a stream that failed."""

    def __init__(self, hub: Source, cut: Callable[[Any], None]) -> None:
        self._hub, self._crowd, self._cut = hub, hub.crowd, cut
        self.pending = False
        self._batch = b""
        self._began = self._not_before = 0.0

    def go(self, now: float, end: float, clock: Callable[[], float]) -> float | None:
        """Writes to the crowd until `end`. Seconds until it would go on, None: nothing is left."""
        while self._crowd.behind or self._begin(now):
            while self._crowd.behind:
                self._write(min(SLICE, len(self._crowd.behind)))
                now = clock()
                if now > end and self._crowd.behind:
                    return 0.0
            if self._crowd.joined:
                self._not_before = now + (now - self._began) * REST
            if now > end:
                break
        return max(self._not_before - now, 0.0) if self.pending else None

    def _begin(self, now: float) -> bool:
        """Whether there is something for a next round, and it may begin."""
        if not self.pending or now < self._not_before:
            return False
        self._batch = self._hub.take_news()
        self._began = now
        self.pending = bool(self._batch)
        return self.pending

    def _write(self, count: int) -> None:
        crowd, batch, size = self._crowd, self._batch, len(self._batch)
        behind, level = crowd.behind, crowd.level
        for _ in range(count):
            connection, outlet = behind.popitem()
            level[connection] = outlet
            try:
                sent = outlet.sock.send(batch)
            except BlockingIOError:
                sent = 0
            except OSError:  # reset, or given up by the kernel
                sent = -1
            if sent != size:
                try:
                    outlet.fell_short(batch, sent)
                except Exception:
                    self._cut(outlet)
