"""How the crowd is written: the same bytes to all, a round at a time, in slices.

Used by app/hub/sockets.py, in its turns of the event loop. Nothing stands in the loop over the streams but
the write and a look at how many bytes it took.
"""

from __future__ import annotations

import _socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.hub.sockets import Source

# Of a socket and bytes: how many it took.
Send = Callable[[Any, bytes], int]
# The one that asks no event loop, also where gevent has put its own in the place of all others.
plain_send: Send = _socket.socket.send
# Streams written to between two looks at the clock.
SLICE = 64
# After a round that carried several events this share of its time passes before the next: what comes in a
# flood is joined, at a third more delay; a single event never waits.
REST = 1 / 3


class Rounds:
    """`pending`: there may be something for the crowd. `cut` ends a stream that failed."""

    def __init__(self, hub: Source, cut: Callable[[Any], None], send: Send) -> None:
        self._hub, self._crowd, self._cut, self._send = hub, hub.crowd, cut, send
        self.pending = False
        self._batch = b""
        self._began = self._not_before = 0.0

    def go(self, now: float, end: float, clock: Callable[[], float]) -> float | None:
        """Writes to the crowd until `end`. Seconds until it would go on, None: nothing is left."""
        crowd = self._crowd
        while crowd.left or self._begin(now):
            while crowd.left:
                self._write(crowd.next(SLICE))
                now = clock()
                if now > end and crowd.left:
                    return 0.0
            if crowd.joined:
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

    def _write(self, sockets: list[Any]) -> None:
        batch, size, send = self._batch, len(self._batch), self._send
        short: list[tuple[Any, int]] = []
        for sock in sockets:
            try:
                sent = send(sock, batch)
            except BlockingIOError:
                sent = 0
            except Exception:  # reset, or given up by the kernel; a fault of ours must not cost the others
                sent = -1
            if sent != size:
                short.append((sock, sent))
        if short:
            self._fell_short(sockets, short)

    def _fell_short(self, sockets: list[Any], short: list[tuple[Any, int]]) -> None:
        whose, count = self._crowd.whose, len(sockets)
        for connection, sent in [(whose(sockets.index(sock), count), sent) for sock, sent in short]:
            outlet: Any = connection.outlet
            try:
                outlet.fell_short(self._batch, sent)
            except Exception:
                self._cut(outlet)
