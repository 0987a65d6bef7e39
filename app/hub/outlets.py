"""How bytes leave: a WSGI iterable that any server can drain, and what the kernel knows of the other end.

An outlet is handed two calls of the hub (`take`, `leave`) and one connection. It waits without a time-out
and without work: the hub wakes it, also for the heartbeat.
"""

from __future__ import annotations

import contextlib
import fcntl
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterator
from socket import AF_INET, AF_INET6, IPPROTO_TCP, SHUT_RDWR, socket
from typing import Any

from app.hub.connection import UNCONFIRMED, Connection

# Linux's number and layout, tcp(7) and linux/tcp.h; elsewhere the socket counts as not at hand.
_TCP_INFO, _ESTABLISHED, _BYTES_ACKED, _INFO_SIZE = 11, 1, 120, 128


class Peer:
    """What the kernel knows of the other end of a socket, asked without a read and without waiting."""

    def __init__(self, sock: Any, counts: bool = True) -> None:
        """`sock`: the stream's socket or None. `counts`: what is written to it is what is yielded, chunk
        heads aside; so not under TLS or HTTP/2."""
        self._sock: socket | None = sock if getattr(sock, "family", None) in (AF_INET, AF_INET6) else None
        self.counts = counts and len(self._info()) >= _INFO_SIZE

    def gone(self) -> bool:
        """Whether the peer has closed or reset its side. A reader of events has nothing more to send,
        so its FIN means that it left."""
        info = self._info()
        return bool(info) and info[0] != _ESTABLISHED

    def acknowledged(self) -> int:
        """Bytes that the peer's TCP has acknowledged since the connection began."""
        info = self._info()
        return int(struct.unpack_from("=Q", info, _BYTES_ACKED)[0]) if len(info) >= _INFO_SIZE else 0

    def queued(self) -> int:
        """Bytes handed to the kernel since the connection began, acknowledged or not."""
        if self._sock is None or self._sock.fileno() < 0:
            return 0
        while True:  # until nothing was acknowledged between the two questions: it would count twice
            before = self.acknowledged()
            unsent = fcntl.ioctl(self._sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
            if self.acknowledged() == before:
                return before + int(struct.unpack("=i", unsent)[0])

    def cut(self) -> None:
        """Ends whatever read or write hangs on the socket, in whichever thread."""
        if self._sock is not None:
            with contextlib.suppress(OSError):  # it ended by itself
                self._sock.shutdown(SHUT_RDWR)

    def _info(self) -> bytes:
        if self._sock is None:
            return b""
        try:
            return self._sock.getsockopt(IPPROTO_TCP, _TCP_INFO, 256)
        except OSError:  # closed under us, or not Linux: nothing is known
            return b""


class GeneratorOutlet:
    """One connection as a WSGI iterable: each item is all that has gathered, as one bytes object.

    Not a generator: `close()` must also run for a stream that was never started, where a generator
    skips its `finally` and leaks its slot.
    """

    def __init__(
        self,
        connection: Connection,
        head: bytes,
        take: Callable[[Connection], bytes],
        leave: Callable[[Connection, int | None], None],
        peer: Peer,
        chunked: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection, self._head = connection, head
        self._take, self._leave = take, leave
        self._peer, self._chunked, self._clock = peer, chunked, clock
        self._awake = threading.Event()
        self._yielded = 0  # bytes of the item the server is writing, 0 before the first
        self._base: int | None = None  # where on the wire the first item ended
        connection.wake = self._awake.set
        connection.gone, connection.progress, connection.cut = peer.gone, peer.acknowledged, peer.cut

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self._note_written()
        while True:
            self._awake.clear()
            data, self._head = self._head or self._take(self._connection), b""
            if data:
                self._yielded = len(data) + self._overhead(len(data))
                return data
            if self._connection.over:
                raise StopIteration
            self._awake.wait()

    def close(self) -> None:
        """Called by the server however the response ended; a second call does nothing."""
        if self._leave is not _already_left:
            leave, self._leave = self._leave, _already_left
            leave(self._connection, self._acknowledged())

    def _note_written(self) -> None:
        """A server asks for the next item when it has handed the last one to the kernel."""
        if not self._yielded:
            return
        if self._base is None and self._peer.counts:
            self._base = self._peer.queued() - self._yielded
        self._connection.wrote(self._yielded, self._clock())
        self._yielded = 0
        if len(self._connection.writes) < UNCONFIRMED:
            return
        if self._base is None:
            self._connection.expire(self._clock())
        else:
            self._connection.confirm(self._peer.acknowledged() - self._base)

    def _acknowledged(self) -> int | None:
        return None if self._base is None else self._peer.acknowledged() - self._base

    def _overhead(self, size: int) -> int:
        """[RFC 9112 §7.1] a chunk is its size in hexadecimal, CRLF, the data, CRLF."""
        return len(f"{size:x}") + 4 if self._chunked else 0


def _already_left(connection: Connection, acknowledged: int | None) -> None:
    """What `close` calls the second time."""
