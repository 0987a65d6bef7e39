"""A crowd of streams that only listen: one process that tells when a broadcast has reached the last of them.

`python -m bench.crowd URL STREAMS` opens a stream for each of so many clients and prints `ready`; then for
each broadcast a line `<which> <CLOCK_MONOTONIC ns when the last stream had it>`, and `gone` for each stream
that ended. It ends when its stdin does; benches use Crowd. Counting takes one byte: the `data` of the
broadcasts is SIGN, which nothing else on these streams holds.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from urllib.parse import urlsplit

from tests.rig.child import Child

SIGN = "!"
SOURCES = 8  # loopback addresses to come from: one has ports for fewer than 28,000, closed ones included
WINDOW = 64  # streams that open at once
PATIENCE = 60.0  # seconds for one of them


class Arrivals:
    """Which broadcasts have reached how many streams; `tell` is called when one has reached all. Pure."""

    def __init__(self, streams: int, tell: Callable[[int], None]) -> None:
        self._streams, self._tell = streams, tell
        self._had: Counter[int] = Counter()  # by stream, how many
        self._reached: Counter[int] = Counter()  # by broadcast, how many streams

    def read(self, stream: int, data: bytes) -> None:
        """What a stream was sent."""
        for _ in range(data.count(SIGN.encode())):
            self._had[stream] += 1
            which = self._had[stream]
            self._reached[which] += 1
            if self._reached[which] == self._streams:
                self._tell(which)


class Listening:
    """The streams in one epoll."""

    def __init__(self, url: str, streams: int) -> None:
        self._url, self._streams = urlsplit(url), streams
        self._epoll = select.epoll()
        self._opened: set[int] = set()
        self._sockets: list[socket.socket] = []
        self._arrivals = Arrivals(streams, lambda which: print(which, time.monotonic_ns(), flush=True))

    def open_all(self) -> None:
        for number in range(self._streams):
            self._open(number)
            while len(self._opened) < number - WINDOW:
                self._turn()
        while len(self._opened) < self._streams:
            self._turn()

    def until(self, stdin: int) -> None:
        """Listens until the end of this descriptor."""
        self._epoll.register(stdin, select.EPOLLIN)
        while not self._turn(stdin):
            pass

    def _open(self, number: int) -> None:
        address = (self._url.hostname or "", self._url.port or 80)
        source = (f"127.0.0.{2 + number % SOURCES}", 0)
        sock = socket.create_connection(address, timeout=PATIENCE, source_address=source)
        path = f"{self._url.path}/sse/createConnect?clientId=crowd-{number}"
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {self._url.netloc}\r\n\r\n".encode())
        self._sockets.append(sock)
        self._epoll.register(sock.fileno(), select.EPOLLIN)

    def _turn(self, end: int = -1) -> bool:
        """Reads what is there; True when that is the descriptor `end`."""
        ready = [fd for fd, _ in self._epoll.poll(PATIENCE, 1024)]
        for fd in ready:
            if fd != end:
                self._read(fd)
        return end in ready

    def _read(self, fd: int) -> None:
        data = b""
        with contextlib.suppress(ConnectionError):
            data = os.read(fd, 4096)
        if fd not in self._opened:
            if data[9:12] != b"200":
                raise SystemExit(f"no stream: {data[:200]!r}")
            self._opened.add(fd)
        if not data:
            print("gone", flush=True)
            self._epoll.unregister(fd)
        self._arrivals.read(fd, data)


class Crowd(Child):
    """The process, as a context manager; its streams are open when this is made. It is nice to others, so
    that it holds up nobody who measures."""

    def __init__(self, url: str, streams: int) -> None:
        super().__init__("bench.crowd", url, streams, patience=20, prefix=("nice",))
        if self.ready != "ready":
            self._process.wait()
            raise SystemExit("the crowd could not open its streams")

    def leave(self) -> tuple[dict[int, int], int]:
        """Ends it: when each broadcast had reached all, in ns, by its number from 1; and how many streams
        were gone before."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        lines = self._process.stdout.read().split(b"\n")[:-1]
        whole = [line.split() for line in lines if line != b"gone"]
        return {int(which): int(at) for which, at in whole}, lines.count(b"gone")


def main() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    listening = Listening(sys.argv[1], int(sys.argv[2]))
    listening.open_all()
    print("ready", flush=True)
    listening.until(sys.stdin.fileno())
    os._exit(0)  # at once, and with it all the sockets


if __name__ == "__main__":
    main()
