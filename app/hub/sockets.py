"""How bytes leave by sockets that are ours: one send, at the end of a turn of the loop, of all that gathered.

A publish only marks a stream, or hands it a delta. Taken sockets share one epoll, which tells who left and
who can take more. There is no lock: all of this runs on one event loop, and nothing in it blocks or switches.
Knows no gevent (app/hub/loop.py is handed in) and no HTTP server (app/web/streams.py hands in the sockets).
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from select import EPOLLIN, EPOLLRDHUP
from typing import Any, Protocol

from app.hub.connection import Connection
from app.hub.crowd import Crowd
from app.hub.rounds import Rounds, Send, plain_send
from app.hub.socket_outlet import NUDGED, SocketOutlet

log = logging.getLogger(__name__)

# Seconds of writing in one turn; then whoever else is ready has one.
TURN = 0.001
# The same for those that were woken: what was published in one go may take as long to be written, or tokens
# would wait for many turns after each pause.
FIRST = 0.005
# Of those that were only nudged as many are written in each turn, however many were woken.
LATE = 4
# Seconds that a stream which has said its last word stays, for its tail to arrive.
LINGER = 2.0


class Loop(Protocol):
    """See app/hub/loop.py."""

    def soon(self, call: Callable[[], None]) -> None: ...
    def later(self, seconds: float, call: Callable[[], None]) -> None: ...
    def readable(self, descriptor: int, call: Callable[[], None]) -> None: ...


class Source(Protocol):
    """See app/hub/hub.py."""

    @property
    def crowd(self) -> Crowd: ...

    def take(self, connection: Connection) -> bytes: ...
    def take_news(self) -> bytes: ...
    def leave(self, connection: Connection, acknowledged: int | None) -> None: ...


class Sockets:
    """All streams whose sockets are ours, on one `loop`."""

    def __init__(
        self,
        loop: Loop,
        poll: Any,
        hub: Source,
        clock: Callable[[], float] = time.monotonic,
        send: Send = plain_send,
    ) -> None:
        """`poll`: an epoll of its own, which this closes never; `send`: how the crowd is written to."""
        self._loop, self._poll = loop, poll
        self.hub, self.clock = hub, clock
        self._by_descriptor: dict[int, SocketOutlet] = {}
        self._woken: deque[SocketOutlet] = deque()
        self._nudged: deque[SocketOutlet] = deque()
        self._lingering: deque[tuple[float, SocketOutlet]] = deque()
        self._turns = False  # whether a turn is to come: never two, or each would bring on its next
        self._rests = False  # whether one is to be expected when the crowd has rested
        self._rounds = Rounds(hub, self._cut, send)
        hub.crowd.wake = self.note_news
        loop.readable(poll.fileno(), self._look)

    def __repr__(self) -> str:
        return f"<Sockets: {len(self._by_descriptor)} open, {len(self._lingering)} about to close>"

    def adopt(
        self, connection: Connection, sock: Any, base: int | None, preface: bytes = b"", head: bytes = b""
    ) -> SocketOutlet:
        """Serves `connection` on `sock` from now on: a plain socket that doesn't block, which is closed here.

        `head`: its first bytes, and `preface` what goes before them on the wire, where they are not written
        yet. `base`: bytes the kernel has been given before the first of `head`, None: can't be told.
        """
        outlet = SocketOutlet(self, connection, sock, base)
        self._by_descriptor[sock.fileno()] = outlet
        try:
            self._poll.register(sock.fileno(), EPOLLIN | EPOLLRDHUP)
        except OSError:  # the system watches no more
            outlet.close()
            raise
        self._safely(outlet.begin, preface, head)
        return outlet

    def note_woken(self, outlet: SocketOutlet) -> None:
        self._woken.append(outlet)
        if not self._turns:
            self._expect_turn()

    def note_nudged(self, outlet: SocketOutlet) -> None:
        self._nudged.append(outlet)
        self._expect_turn()

    def note_news(self) -> None:
        """There is something for the whole crowd."""
        self._rounds.pending = True
        self._expect_turn()

    def watch(self, descriptor: int, also: int) -> None:
        self._poll.modify(descriptor, EPOLLIN | EPOLLRDHUP | also)

    def linger(self, outlet: SocketOutlet) -> None:
        """Closes `outlet` when its peer does, and after LINGER at the latest."""
        if not self._lingering:
            self._loop.later(LINGER, self._close_late)
        self._lingering.append((self.clock() + LINGER, outlet))

    def forget(self, descriptor: int) -> None:
        """Before a descriptor is closed: its number may soon be another's."""
        self._by_descriptor.pop(descriptor, None)
        with suppress(OSError):
            self._poll.unregister(descriptor)

    def _expect_turn(self) -> None:
        if not self._turns:
            self._turns = True
            self._loop.soon(self._turn)

    def _turn(self) -> None:
        """Those that were woken come first: so a token doesn't stand in line behind a broadcast to all."""
        self._turns = False
        now = self.clock()
        end = now + TURN
        self._write_woken(now + FIRST)
        rest = self._rounds.go(now, end, self.clock)
        self._write_nudged(end)
        if self._turns:
            return
        if self._woken or self._nudged or rest == 0.0:
            self._turns = True
            self._loop.later(0.0, self._turn)  # what is ready has its turn in between
        elif rest is not None and not self._rests:
            self._rests = True
            self._loop.later(rest, self._rested)

    def _rested(self) -> None:
        self._rests = False
        self._expect_turn()

    def _write_woken(self, end: float) -> None:
        for _ in range(len(self._woken)):
            outlet = self._woken.popleft()
            try:
                outlet.flush()
            except Exception:
                self._cut(outlet)
            if self.clock() > end:
                break

    def _write_nudged(self, end: float) -> None:
        for position in range(len(self._nudged)):  # who is far behind nudges itself anew: not in this turn
            if position >= LATE and self.clock() > end:
                break
            outlet = self._nudged.popleft()
            outlet.in_line = False
            if outlet.marked == NUDGED:  # else it was woken since
                self._safely(outlet.flush)

    def _look(self) -> None:
        """Looks up who has each descriptor before anything is done: a number that is closed in this round
        may be another's before it ends."""
        found = [(self._by_descriptor.get(descriptor), what) for descriptor, what in self._poll.poll(0, 512)]
        for outlet, what in found:
            if outlet is not None:
                self._safely(outlet.happened, what)

    def _close_late(self) -> None:
        now = self.clock()
        while self._lingering and self._lingering[0][0] <= now:
            self._safely(self._lingering.popleft()[1].close)
        if self._lingering:
            self._loop.later(self._lingering[0][0] - now, self._close_late)

    def _safely(self, call: Callable[..., None], *args: object) -> None:
        """One stream's fault must not cost the others their turn."""
        try:
            call(*args)
        except Exception:
            self._cut(call.__self__)  # type: ignore[attr-defined]

    def _cut(self, outlet: SocketOutlet) -> None:
        """Ends a stream that failed. A log that would have to wait raises here, which must not end more:
        gevent never calls again what has raised, and nobody's leaving would be noticed."""
        with suppress(Exception):
            log.exception("a stream failed and is cut: %r", outlet)
        with suppress(Exception):
            outlet.close()
