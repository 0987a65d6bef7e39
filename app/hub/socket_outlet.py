"""One stream on a socket of its own: what is due is sent, what finds no room waits, the tail of it arrives.

Runs in callbacks of the event loop: nothing here may block. Made by app/hub/sockets.py, which has its turns.
"""

from __future__ import annotations

from contextlib import suppress
from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP
from socket import SHUT_WR
from typing import TYPE_CHECKING, Any

from app.hub.connection import UNCONFIRMED, Connection
from app.hub.peer import Peer

if TYPE_CHECKING:
    from app.hub.sockets import Sockets

# Bytes a reader of events may send, which are dropped; a body on its GET, say. Beyond, it is cut.
INPUT = 64 * 1024
HUNG_UP = EPOLLERR | EPOLLHUP
# How a stream is marked: not, to be written last, with what it was pushed, with all that is due.
NOT, NUDGED, PUSHED, WOKEN = range(4)
# What is pushed in one turn beyond so many events is read from the log, where a flood is merged.
PUSHES = 32


NOTHING: list[bytes] = []  # never changed: most streams are silent


class SocketOutlet:
    """One stream. `_rest` is what of the last take the kernel had no room for, `_pushed` what goes before the
    next take. `in_line`: it stands among those that were nudged."""

    __slots__ = (
        "_base",
        "_pushed",
        "_read",
        "_rest",
        "_size",
        "_sockets",
        "connection",
        "in_line",
        "marked",
        "sock",
    )

    def __init__(self, sockets: Sockets, connection: Connection, sock: Any, base: int | None) -> None:
        self._sockets, self.connection, self.sock, self._base = sockets, connection, sock, base
        self._rest: memoryview | None = None
        self._pushed: list[bytes] = NOTHING
        self._size = self._read = 0
        self.marked, self.in_line = NOT, False
        connection.owns = True
        connection.outlet = self
        # What arrived must be told by its bytes, and ids must be those of the log.
        connection.swift = base is not None and not connection.suffix

    def __repr__(self) -> str:
        return (
            f"<SocketOutlet {'closed' if self.sock is None else self.sock.fileno()} of {self.connection!r}>"
        )

    def begin(self, preface: bytes, head: bytes) -> None:
        """Writes the first bytes, and what is due by now."""
        if head:
            self._size = len(head)
            self._send(preface + head)
        self.flush()

    def push(self, frame: bytes) -> None:
        """Has `frame` written at the end of this turn. For every token."""
        if self._pushed:
            self._pushed.append(frame)
            self.connection.swift = len(self._pushed) < PUSHES
        else:
            self._pushed = [frame]
        if self.marked < PUSHED:
            self._sockets.note_woken(self)
            self.marked = PUSHED if self.marked == NOT else WOKEN

    def wake(self) -> None:
        """Has it written at the end of this turn. Cheap, and called for every event."""
        if self.marked < PUSHED:
            self._sockets.note_woken(self)
        self.marked = WOKEN

    def nudge(self) -> None:
        """Has it written when those that were woken have been."""
        if self.marked == NOT:
            self.marked = NUDGED
            if not self.in_line:  # from when it was nudged last, and then woken
                self.in_line = True
                self._sockets.note_nudged(self)
        elif self.marked == PUSHED:
            self.marked = WOKEN

    def flush(self) -> None:
        """Writes what is due, if the kernel has taken what was due before."""
        marked, self.marked = self.marked, NOT
        if self.sock is None or self._rest is not None:
            return
        data, self._size = b"", 0
        if self._pushed:
            data = self._pushed[0] if len(self._pushed) == 1 else b"".join(self._pushed)
            self._pushed = NOTHING
        if marked != PUSHED:
            taken = self._sockets.hub.take(self.connection)
            self._size = len(taken)
            data = data + taken if data else taken
        if self.connection.ending == "gone":
            self.close()
        elif data:
            self._send(data)
            if marked == NUDGED:
                self.nudge()  # with nothing left to take it goes with the crowd
        elif self.connection.writes:
            self._confirm()  # who falls silent keeps no list of what it was written

    def fell_short(self, batch: bytes, sent: int) -> None:
        """The kernel had no room for all that the crowd is written, or no peer: -1."""
        self._sockets.hub.crowd.part(self.connection)
        self.connection.wired -= len(batch)  # it counts once it is through
        self.connection.unwritten = True
        self._size = len(batch)
        if sent < 0:
            self.close()
        else:
            self._keep(batch, sent)

    def happened(self, what: int) -> None:
        """What epoll says of the socket; of one that was closed meanwhile it says nothing more."""
        if what & HUNG_UP:
            self.close()
        if self.sock is not None and what & (EPOLLIN | EPOLLRDHUP):
            self._drop_input()
        if what & EPOLLOUT and self._rest is not None:
            self._send(self._rest)

    def cut(self) -> None:
        """Ends a write that hangs: nothing is left to be written."""
        self.close()

    def close(self) -> None:
        """Lets go of the socket and gives the stream's place back; a second call does nothing."""
        if self.sock is None:
            return
        acknowledged = None if self._base is None else self._peer().acknowledged() - self._base
        sock, self.sock, self._rest = self.sock, None, None
        self._sockets.forget(sock.fileno())
        sock.close()
        self.connection.unplug()
        self._sockets.hub.leave(self.connection, acknowledged)

    def gone(self) -> bool:
        """Whether the peer has closed its side."""
        return self._peer().gone()

    def progress(self) -> int:
        """Grows as the peer takes something; a unix socket acknowledges nothing, but its kernel takes."""
        return self._peer().acknowledged() - len(self._rest or b"")

    def _send(self, data: bytes | memoryview) -> None:
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:  # reset, or given up by the kernel: nobody reads what is left
            self.close()
            return
        if sent == len(data):
            self._sent_all()
        else:
            self._keep(data, sent)

    def _keep(self, data: bytes | memoryview, sent: int) -> None:
        """Waits until the kernel can take what is left, apart from the crowd: nothing may go before that."""
        self._sockets.hub.crowd.part(self.connection)
        if self._rest is None:
            self._sockets.watch(self.sock.fileno(), EPOLLOUT)
        self._rest = memoryview(data)[sent:]
        self.connection.swift, self.connection.unwritten = False, True

    def _sent_all(self) -> None:
        connection = self.connection
        if self._rest is not None:
            self._rest = None
            self._sockets.watch(self.sock.fileno(), 0)
            self.wake()  # more may have gathered
        if connection.unwritten:
            connection.wrote(self._size, self._sockets.clock())
            self._after_a_take()
        connection.swift = self._base is not None and not (connection.suffix or connection.ending)
        if connection.unconfirmed > UNCONFIRMED:
            self._confirm()

    def _after_a_take(self) -> None:
        if self.connection.over:
            self._finish()
        elif self.connection.more:
            self.nudge()  # a reader that is far behind is in no hurry

    def _peer(self) -> Peer:
        """Made when it is asked, which is rarely: there may be very many streams."""
        return Peer(self.sock, counts=False)

    def _confirm(self) -> None:
        if self._base is None:
            self.connection.expire(self._sockets.clock())
        else:
            self.connection.confirm(self._peer().acknowledged() - self._base)

    def _finish(self) -> None:
        """Says that nothing more comes, and waits for the peer to close: closing with something unread would
        send a reset, which destroys what is still on its way."""
        with suppress(OSError):
            self.sock.shutdown(SHUT_WR)
        self._sockets.linger(self)

    def _drop_input(self) -> None:
        try:
            data = self.sock.recv(INPUT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._read += len(data)
        if not data or self._read > INPUT:  # a FIN: who reads events and has nothing more to say has left
            self.close()
