"""A listener that takes every connection, reads nothing of it and never says a word: no handshake, no head.

For phases of a call that an upstream which answers never shows. For tests and benches, on loopback; a thread
of theirs watches, so the moments are noted by their process.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from dataclasses import dataclass, replace

from tests.rig.playing import LEFT


@dataclass
class Peer:
    """One connection that was taken. Moments are seconds of time.monotonic(), None while there is none.

    `port`: the peer's; `heard_at`: its first byte lies there; `closed_at`: it closed, or reset.
    """

    port: int
    heard_at: float | None = None
    closed_at: float | None = None


class Mute:
    """`with Mute() as mute:` … `mute.url`, or `mute.tls_url` where a handshake is to hang.

    `receive`: about how many bytes the kernel takes of what nobody reads; 0: as it likes.
    """

    def __init__(self, receive: int = 0) -> None:
        self._listener = socket.socket()
        if receive:  # before it listens: connections inherit it
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(512)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self.tls_url = f"https://127.0.0.1:{self.port}/v1"
        self._lock = threading.Lock()  # guards _peers
        self._peers: dict[int, Peer] = {}  # by descriptor
        self._sockets: list[socket.socket] = []  # of the thread, until it has ended
        self._poll = select.poll()
        self._wake, self._woken = os.pipe()
        self._thread = threading.Thread(target=self._watch, name="mute", daemon=True)

    def __enter__(self) -> Mute:
        self._poll.register(self._listener, select.POLLIN)
        self._poll.register(self._wake, select.POLLHUP)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self._woken)
        self._thread.join()
        os.close(self._wake)
        with contextlib.ExitStack() as stack:
            for sock in [self._listener, *self._sockets]:
                stack.enter_context(sock)

    def peers(self) -> list[Peer]:
        """All connections so far, in the order in which they came."""
        with self._lock:
            return [replace(peer) for peer in self._peers.values()]

    def _watch(self) -> None:
        while True:
            ready, now = self._poll.poll(), time.monotonic()
            for descriptor, what in ready:
                if descriptor == self._wake:
                    return
                if descriptor == self._listener.fileno():
                    self._take()
                else:
                    self._note(descriptor, what, now)

    def _take(self) -> None:
        sock, (_, port) = self._listener.accept()
        self._sockets.append(sock)
        with self._lock:
            self._peers[sock.fileno()] = Peer(port)
        self._poll.register(sock, select.POLLIN | LEFT)

    def _note(self, descriptor: int, what: int, now: float) -> None:
        peer = self._peers[descriptor]
        with self._lock:
            if what & select.POLLIN and not what & LEFT:
                peer.heard_at = now
            if what & LEFT:
                peer.closed_at = now
        if what & LEFT:
            self._poll.unregister(descriptor)
        else:
            self._poll.modify(descriptor, LEFT)  # it stays readable, since nobody reads
