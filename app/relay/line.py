"""The hand on an upstream's socket from before it connects, so that any thread can end a call in any phase.

A connection that is kept goes from one call to the next, and the hand with it. Used by upstream.py, caller.py
and connections.py.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

# For SO_LINGER: what is not sent yet is thrown away.
_AT_ONCE = struct.pack("ii", 1, 0)


class Line:
    """The hand on one call's socket. `cut(why)` ends the call in every phase; the first `why` stays.

    A second descriptor of the same socket is held, since TLS takes the first one over. `pieces`: how many
    have arrived, by which whoever watches tells that it lives. `kept`: the connection has served before;
    `anew`: it must not have; `answered`: the first line of an answer has come.
    `_lock` guards `_hand` and `why`.
    """

    def __init__(self) -> None:
        self.why = ""
        self.pieces = 0
        self.kept = self.anew = self.answered = False
        self._lock = threading.Lock()
        self._hand: socket.socket | None = None

    def hold(self, sock: socket.socket) -> None:
        """Called with the socket before it connects. Raises OSError where the call was cut already."""
        self._take(sock.dup())

    def take_over(self, hand: socket.socket) -> None:
        """Called with what `spare` gave, where a connection is to serve again. Raises as `hold` does."""
        self.kept = True
        self._take(hand)

    def _take(self, hand: socket.socket) -> None:
        with self._lock:
            self._hand, old = hand, self._hand
        if old:
            old.close()
        self.check()

    def check(self) -> None:
        """Raises OSError once the call is cut: a socket that doesn't connect yet can't be shut down."""
        if self.why:
            raise OSError("cut")

    def cut(self, why: str) -> None:
        """Ends the call from any thread. The reader wakes with an error, finds `why`, and closes."""
        with self._lock:
            self.why = self.why or why
            if self._hand:
                # Under the lock, or `release` could close it meanwhile and another file get its number.
                with contextlib.suppress(OSError):  # not connected yet, or gone already: both are cut
                    # Closing resets it, or the end would wait behind what the upstream hasn't read yet.
                    self._hand.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
                    self._hand.shutdown(socket.SHUT_RDWR)

    def spare(self) -> socket.socket | None:
        """Lets go of the socket, for another call; None where this one was cut, and it serves no more."""
        with self._lock:
            if self.why:
                return None
            hand, self._hand = self._hand, None
        return hand

    def release(self) -> None:
        """Lets go of the socket; the reader's last act."""
        with self._lock:
            hand, self._hand = self._hand, None
        if hand:
            hand.close()


class _Call(threading.local):
    """Whose line the socket made in this thread belongs to: urllib3 has no way to pass it along."""

    line: Line | None = None


_call = _Call()


@contextlib.contextmanager
def calling(line: Line) -> Iterator[None]:
    """Connections that this thread makes or takes inside of the block hang on `line`."""
    _call.line = line
    try:
        yield
    finally:
        _call.line = None


def current() -> Line | None:
    """The line of this thread's call."""
    return _call.line
