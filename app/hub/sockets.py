"""How bytes leave by sockets that are ours: one send, at the end of a turn of the loop, of all that gathered.

A publish only marks a stream. Taken sockets share one epoll, which tells who left and who can take more.
There is no lock: all of this runs on one event loop, and nothing in it blocks or switches. Knows no gevent
(app/hub/loop.py is handed in) and no HTTP server (app/web/streams.py hands in the sockets).
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP
from socket import SHUT_WR
from typing import Any, Protocol

from app.hub.connection import UNCONFIRMED, Connection
from app.hub.outlets import Leave, Take
from app.hub.peer import Peer

log = logging.getLogger(__name__)

# Seconds of writing in one turn; then whoever else is ready has one. So long a token waits at most.
TURN = 0.001
# Of those that were only nudged as many have a turn, however many were woken.
LATE = 4
# Seconds that a stream which has said its last word stays, for its tail to arrive.
LINGER = 2.0
# Bytes a reader of events may send, which are dropped; a body on its GET, say. Beyond, it is cut.
INPUT = 64 * 1024
HUNG_UP = EPOLLERR | EPOLLHUP
# How a stream is marked.
NOT, NUDGED, WOKEN = 0, 1, 2


class Loop(Protocol):
    """See app/hub/loop.py."""

    def soon(self, call: Callable[[], None]) -> None: ...
    def later(self, seconds: float, call: Callable[[], None]) -> None: ...
    def readable(self, descriptor: int, call: Callable[[], None]) -> None: ...


class SocketOutlet:
    """One stream. `_rest` is what of the last take the kernel had no room for."""

    __slots__ = ("_base", "_peer", "_read", "_rest", "_size", "_sock", "_sockets", "connection", "marked")

    def __init__(self, sockets: Sockets, connection: Connection, sock: Any, base: int | None) -> None:
        self._sockets, self.connection, self._sock, self._base = sockets, connection, sock, base
        self._peer = Peer(sock)
        self._rest: memoryview | None = None
        self._size = self._read = 0
        self.marked = NOT
        connection.owns = True
        connection.wake, connection.nudge, connection.cut = self.wake, self.nudge, self.close
        connection.gone, connection.progress = self._peer.gone, self._progress

    def __repr__(self) -> str:
        return (
            f"<SocketOutlet {'closed' if self._sock is None else self._sock.fileno()} of {self.connection!r}>"
        )

    def wake(self) -> None:
        """Has it written at the end of this turn. Cheap, and called for every event."""
        if self.marked != WOKEN:
            self.marked = WOKEN
            self._sockets.woken(self)

    def nudge(self) -> None:
        """Has it written when those that were woken have been."""
        if self.marked == NOT:
            self.marked = NUDGED
            self._sockets.nudged(self)

    def flush(self) -> None:
        """Writes what is due, if the kernel has taken what was due before."""
        self.marked = NOT
        if self._sock is None or self._rest is not None:
            return
        data = self._sockets.take(self.connection)
        if data:
            self._size = len(data)
            self._send(memoryview(data))
        elif self.connection.ending == "gone":
            self.close()

    def happened(self, what: int) -> None:
        """What epoll says of the socket; of one that was closed meanwhile it says nothing more."""
        if what & HUNG_UP:
            self.close()
        if self._sock is not None and what & (EPOLLIN | EPOLLRDHUP):
            self._drop_input()
        if what & EPOLLOUT and self._rest is not None:
            self._send(self._rest)

    def close(self) -> None:
        """Lets go of the socket and gives the stream's place back; a second call does nothing."""
        if self._sock is None:
            return
        acknowledged = None if self._base is None else self._peer.acknowledged() - self._base
        sock, self._sock, self._rest = self._sock, None, None
        self._sockets.forget(sock.fileno())
        sock.close()
        self.connection.unplug()
        self._sockets.leave(self.connection, acknowledged)

    def _progress(self) -> int:
        """Grows as the peer takes something; a unix socket acknowledges nothing, but its kernel takes."""
        return self._peer.acknowledged() - len(self._rest or b"")

    def _send(self, data: memoryview) -> None:
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:  # reset, or given up by the kernel: nobody reads what is left
            self.close()
            return
        if sent == len(data):
            self._sent_all()
        else:
            if self._rest is None:
                self._sockets.watch(self._sock.fileno(), EPOLLOUT)
            self._rest = data[sent:]

    def _sent_all(self) -> None:
        if self._rest is not None:
            self._rest = None
            self._sockets.watch(self._sock.fileno(), 0)
            self.wake()  # more may have gathered
        connection = self.connection
        connection.wrote(self._size, self._sockets.clock())
        if connection.over:
            self._finish()
        elif connection.more:
            self.nudge()  # a reader that is far behind is in no hurry
        elif len(connection.writes) > UNCONFIRMED:
            self._confirm()

    def _confirm(self) -> None:
        if self._base is None:
            self.connection.expire(self._sockets.clock())
        else:
            self.connection.confirm(self._peer.acknowledged() - self._base)

    def _finish(self) -> None:
        """Says that nothing more comes, and waits for the peer to close: closing with something unread would
        send a reset, which destroys what is still on its way."""
        with suppress(OSError):
            self._sock.shutdown(SHUT_WR)
        self._sockets.linger(self)

    def _drop_input(self) -> None:
        try:
            data = self._sock.recv(INPUT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._read += len(data)
        if not data or self._read > INPUT:  # a FIN: who reads events and has nothing more to say has left
            self.close()


class Sockets:
    """All streams whose sockets are ours, on one `loop`."""

    def __init__(
        self, loop: Loop, poll: Any, take: Take, leave: Leave, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`poll`: an epoll of its own, which this closes never. `take`, `leave`: the hub's."""
        self._loop, self._poll = loop, poll
        self.take, self.leave, self.clock = take, leave, clock
        self._by_descriptor: dict[int, SocketOutlet] = {}
        self._woken: deque[SocketOutlet] = deque()
        self._nudged: deque[SocketOutlet] = deque()
        self._lingering: deque[tuple[float, SocketOutlet]] = deque()
        self._turns = False  # whether a turn is to come
        loop.readable(poll.fileno(), self._look)

    def __repr__(self) -> str:
        return f"<Sockets: {len(self._by_descriptor)} open, {len(self._lingering)} about to close>"

    def adopt(self, connection: Connection, sock: Any, base: int | None) -> SocketOutlet:
        """Serves `connection` on `sock` from now on: a plain socket, not gevent's, which is closed here.

        Its head is written; `base`: bytes the kernel had been given before that, None: can't be told.
        """
        sock.setblocking(False)
        outlet = SocketOutlet(self, connection, sock, base)
        self._by_descriptor[sock.fileno()] = outlet
        try:
            self._poll.register(sock.fileno(), EPOLLIN | EPOLLRDHUP)
        except OSError:  # the system watches no more
            outlet.close()
            raise
        outlet.wake()
        return outlet

    def woken(self, outlet: SocketOutlet) -> None:
        self._woken.append(outlet)
        self._expect_turn()

    def nudged(self, outlet: SocketOutlet) -> None:
        self._nudged.append(outlet)
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
        del self._by_descriptor[descriptor]
        with suppress(OSError):
            self._poll.unregister(descriptor)

    def _expect_turn(self) -> None:
        if not self._turns:
            self._turns = True
            self._loop.soon(self._turn)

    def _turn(self) -> None:
        """Those that were woken come first: so a token doesn't stand in line behind a broadcast to all."""
        self._turns = False
        end = self.clock() + TURN
        for _ in range(len(self._woken)):
            self._safely(self._woken.popleft().flush)
            if self.clock() > end:
                break
        for position in range(len(self._nudged)):  # who is far behind nudges itself anew: not in this turn
            if position >= LATE and self.clock() > end:
                break
            outlet = self._nudged.popleft()
            if outlet.marked == NUDGED:  # else it was woken since
                self._safely(outlet.flush)
        if (self._woken or self._nudged) and not self._turns:
            self._turns = True
            self._loop.later(0, self._turn)  # what is ready has its turn in between

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

    def _safely(self, call: Callable[..., None], *args: int) -> None:
        """One stream's fault must not cost the others their turn; nor may a log that would have to wait,
        which raises here: gevent never calls again what has raised, and nobody's leaving would be noticed."""
        try:
            call(*args)
        except Exception:
            outlet: SocketOutlet = call.__self__  # type: ignore[attr-defined]
            with suppress(Exception):
                log.exception("a stream failed and is cut: %r", outlet)
            with suppress(Exception):
                outlet.close()
