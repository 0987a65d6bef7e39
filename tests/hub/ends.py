"""Both ends of real TCP connections over loopback, and what can happen to them."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple


class Pair(NamedTuple):
    server: socket.socket
    reader: socket.socket


@contextmanager
def connected(buffer: int = 0) -> Iterator[Pair]:
    """A TCP connection; `buffer`: bytes the reader's kernel takes before anybody reads, 0: as usual."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as reader:
        reader.settimeout(5)
        if buffer:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        reader.connect(listener.getsockname())
        server, _ = listener.accept()
        server.settimeout(5)
        with server:
            yield Pair(server, reader)


def reset(sock: socket.socket) -> None:
    """Ends a connection by RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def fill(sock: socket.socket) -> int:
    """Writes until the kernel takes no more; how many bytes that were."""
    sent = 0
    sock.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            sent += sock.send(b"x" * 65_536)
    return sent
