"""How bytes leave by way of a WSGI server: an iterable that any of them can drain.

It is handed two calls of the hub (`take`, `leave`) and one connection. It waits without a time-out and
without work: the hub wakes it, also for the heartbeat. The other way out is app/hub/sockets.py.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from app.hub.connection import UNCONFIRMED, Connection
from app.hub.peer import Peer

Take = Callable[[Connection], bytes]
Leave = Callable[[Connection, "int | None"], None]


class GeneratorOutlet:
    """One connection as a WSGI iterable: each item is all that has gathered, as one bytes object.

    Not a generator: `close()` must also run for a stream that was never started, where a generator
    skips its `finally` and leaks its slot.
    """

    sock = None  # the server has it

    def __init__(
        self,
        connection: Connection,
        head: bytes,
        take: Take,
        leave: Leave,
        peer: Peer,
        chunked: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection, self._head = connection, head
        self._take, self._leave = take, leave
        self._peer, self.chunked, self._clock = peer, chunked, clock
        self._awake: threading.Event | None = None  # made when there is something to wait for
        self._yielded = 0  # bytes of the item the server is writing, 0 before the first
        self._chunk_head = 0  # how many of them stand before its first byte
        self._base: int | None = None  # where on the wire the first item ended
        self.gone, self.progress, self.cut = peer.gone, peer.progress, peer.cut
        connection.outlet = self

    def __iter__(self) -> Iterator[bytes]:
        return self

    def wake(self) -> None:
        """Has it look again at what is due; who has not waited yet looks anyway."""
        if self._awake is not None:
            self._awake.set()

    nudge = wake

    def __next__(self) -> bytes:
        self._note_written()
        if self._head:
            data, self._head = self._head, b""
        else:
            data = self._next()
        self._chunk_head = len(f"{len(data):x}") + 2 if self.chunked else 0
        # [RFC 9112 §7.1] a chunk is its size in hexadecimal, CRLF, the data, CRLF.
        self._yielded = len(data) + self._chunk_head + (2 if self.chunked else 0)
        return data

    def _next(self) -> bytes:
        """What is due, as soon as there is something. Raises StopIteration at the end."""
        awake = self._awake = self._awake or threading.Event()
        while True:
            awake.clear()
            data = self._take(self._connection)
            if data:
                return data
            if self._connection.over:
                raise StopIteration
            awake.wait()

    def push(self, frame: bytes) -> None:
        """Nobody does: only who has the socket to itself can tell what of it has arrived."""
        self.wake()

    def close(self) -> None:
        """Called by the server however the response ended; a second call does nothing."""
        if self._leave is not _already_left:
            leave, self._leave = self._leave, _already_left
            acknowledged = self._acknowledged()
            self._connection.unplug()
            leave(self._connection, acknowledged)

    def hand_over(self) -> tuple[Connection, int | None]:
        """Gives the connection away once its head is written, and with it how many bytes the kernel had been
        given before (None: can't be told). Nothing is left to be done here, not even in `close()`."""
        self._note_written()
        self._leave = _already_left
        return self._connection, self._base

    def _note_written(self) -> None:
        """A server asks for the next item when it has handed the last one to the kernel."""
        if not self._yielded:
            return
        if self._base is None and self._peer.counts:
            self._base = self._peer.queued() - self._yielded
        self._connection.wrote(self._yielded, self._clock(), self._chunk_head)
        self._yielded = 0
        if self._connection.unconfirmed < UNCONFIRMED:
            return
        if self._base is None:
            self._connection.expire(self._clock())
        else:
            self._connection.confirm(self._peer.acknowledged() - self._base)

    def _acknowledged(self) -> int | None:
        return None if self._base is None else self._peer.acknowledged() - self._base


def _already_left(connection: Connection, acknowledged: int | None) -> None:
    """What `close` calls the second time."""
