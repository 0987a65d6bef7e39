"""What the kernel knows of the other end of a socket, asked without a read and without waiting.

Used by the outlets; whoever listens may `tune` for all that will be accepted. Every question and option is
tried, none is required: a unix socket knows few of them.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import socket as sockets
import struct
import termios
from socket import AF_INET, AF_INET6, AF_UNIX, IPPROTO_TCP, MSG_DONTWAIT, SHUT_RDWR, SOL_SOCKET
from typing import Any

# Linux's numbers and layout, tcp(7) and linux/tcp.h; elsewhere the socket counts as not at hand.
_TCP_INFO, _ESTABLISHED, _CLOSED, _INFO_SIZE = 11, 1, 7, 216
_ACKED, _UNSENT, _SENT_AND_AGAIN = struct.Struct("=120xQ"), struct.Struct("=144xI"), struct.Struct("=200xQQ")
_USER_TIMEOUT: int | None = getattr(sockets, "TCP_USER_TIMEOUT", None)
# Bytes the kernel holds unsent for one reader. Without a bound it was seen to take 4 MB for one that stalled.
UNSENT = 16_384
# The same where only the whole buffer can be bounded; the kernel doubles it.
BUFFER = 65_536


class Peer:
    """One other end. `counts`: acknowledged bytes can be told from what was written."""

    def __init__(self, sock: Any, counts: bool = True) -> None:
        """`sock`: the stream's socket or None. `counts`: what is written to it is what is yielded, chunk
        heads aside; so not under TLS or HTTP/2."""
        family = getattr(sock, "family", None)
        self._sock = sock if family in (AF_INET, AF_INET6, AF_UNIX) else None
        self._unix = family == AF_UNIX
        self.counts = counts and family in (AF_INET, AF_INET6) and _kernel_counts()

    def gone(self) -> bool:
        """Whether the peer has closed or reset its side. A reader of events has nothing more to send,
        so its FIN means that it left."""
        if self._unix:
            return self._broken()
        info = self._info()
        return bool(info) and info[0] != _ESTABLISHED

    def lost(self) -> bool:
        """Whether it has reset the connection, and nothing can be said to it any more. One that has only
        closed its side may have asked before, and wait for the answer."""
        info = self._info()
        return bool(info) and info[0] == _CLOSED

    def acknowledged(self) -> int:
        """Bytes that the peer's TCP has acknowledged since the connection began."""
        info = self._info()
        return int(_ACKED.unpack_from(info)[0]) if len(info) >= _INFO_SIZE else 0

    def progress(self) -> int:
        """A number that changes when the peer takes something."""
        return -self._unsent() if self._unix else self.acknowledged()

    def queued(self) -> int:
        """Bytes handed to the kernel since the connection began, acknowledged or not."""
        info = self._info()
        if len(info) < _INFO_SIZE:
            return 0
        sent, again = _SENT_AND_AGAIN.unpack_from(info)
        return int(sent - again + _UNSENT.unpack_from(info)[0])

    def cut(self) -> None:
        """Ends whatever read or write hangs on the socket, in whichever thread."""
        if self._sock is not None:
            # Below gevent's socket, which would tell the writer that its descriptor was closed: a server logs
            # that as an error of ours, and a broken pipe as a peer that left.
            with contextlib.suppress(OSError):  # it ended by itself
                getattr(self._sock, "_sock", self._sock).shutdown(SHUT_RDWR)

    def tune(self, patience: float) -> None:
        """Bounds what a reader that stalls costs the kernel, and how long one that vanished is believed in.

        `patience`: seconds in which something must be acknowledged. The kernel waits a little longer than
        we do, so that we can still say why. On a socket that listens it is for all that connect from now on:
        Linux hands the options on, and one question then tells that nothing is left to be done.
        """
        timeout = _bounded(1500 * patience)
        if self._patience() == timeout:
            return
        if not self._set("TCP_NOTSENT_LOWAT", UNSENT):
            self._set("SO_SNDBUF", BUFFER)
        self._set("SO_KEEPALIVE", 1)
        self._set("TCP_KEEPIDLE", _bounded(patience))
        self._set("TCP_KEEPINTVL", _bounded(patience / 3))
        self._set("TCP_KEEPCNT", 3)
        self._set("TCP_USER_TIMEOUT", timeout)  # last: where it is set, the others are

    def _patience(self) -> int:
        """Milliseconds of the last of the options, 0 where it isn't set. Asked for every stream."""
        if self._sock is None or self._unix or _USER_TIMEOUT is None:
            return 0
        try:
            return int(self._sock.getsockopt(IPPROTO_TCP, _USER_TIMEOUT))
        except OSError:  # closed under us
            return 0

    def _set(self, name: str, value: int) -> bool:
        option = getattr(sockets, name, None)
        level = SOL_SOCKET if name.startswith("SO_") else IPPROTO_TCP
        with contextlib.suppress(OSError):
            if self._sock is not None and option is not None:
                self._sock.setsockopt(level, option, value)
                return True
        return False

    def _unsent(self) -> int:
        if self._sock is None:
            return 0
        try:
            answer = fcntl.ioctl(self._sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
        except (OSError, ValueError):  # closed under us
            return 0
        return int(struct.unpack("=i", answer)[0])

    def _broken(self) -> bool:
        """Sending nothing to a unix socket fails where nobody can receive it any more."""
        try:
            self._sock.send(b"", MSG_DONTWAIT)  # type: ignore[union-attr]
        except (BrokenPipeError, ConnectionResetError):
            return True
        except OSError:  # closed under us
            return False
        return False

    def _info(self) -> bytes:
        if self._sock is None or self._unix:
            return b""
        try:
            info: bytes = self._sock.getsockopt(IPPROTO_TCP, _TCP_INFO, 256)
        except OSError:  # closed under us, or not Linux: nothing is known
            return b""
        return info


def _bounded(value: float) -> int:
    """What a kernel can take."""
    return min(max(1, int(value)), 2**31 - 1)


@functools.cache
def _kernel_counts() -> bool:
    """Whether this kernel tells what was sent and what arrived."""
    with contextlib.suppress(OSError), sockets.socket() as sock:
        return len(sock.getsockopt(IPPROTO_TCP, _TCP_INFO, 256)) >= _INFO_SIZE
    return False
