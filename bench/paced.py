"""An upstream that keeps a pace: many answers at once from one selector, each delta a write of its own.

`python -m bench.paced RATE DELTAS` prints its port as the first line, answers every POST with DELTAS deltas
at RATE a second, and ends when its stdin does; benches use Paced. The upstream of the tests can be told
anything, for which it takes a thread a connection; this one takes a tenth of a core for 8,000 deltas/s.

The text of each delta is `mark`: which of its answer it is, and the CLOCK_MONOTONIC time of its sending.
"""

from __future__ import annotations

import heapq
import re
import selectors
import socket
import sys
import time
from collections.abc import Callable
from functools import partial

from tests.rig.child import Child

MARK = re.compile(rb"w(\d+)@(\d+) ")

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
# As long as those of the great providers, about 270 bytes with a mark: what surrounds a token is what costs.
EVENT = (
    b'data: {"id":"chatcmpl-C1aB2cD3eF4gH5iJ6kL7mN8oP9qR","object":"chat.completion.chunk",'
    b'"created":1760000000,"model":"paced-2026-01-01","system_fingerprint":"fp_0123456789","choices":%b}\n\n'
)
DELTA = EVENT % b'[{"index":0,"delta":{"content":"%b"},"logprobs":null,"finish_reason":null}]'
STOP = EVENT % b'[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]'
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def mark(number: int, now: int) -> bytes:
    """The text of one delta: `number` counts from 0, `now` is in ns. MARK finds it."""
    return b"w%d@%d " % (number, now)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def is_whole(request: bytes | bytearray) -> bool:
    """Whether the body that the head announces is there."""
    head, end, body = request.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    return bool(end) and len(body) >= (int(length[1]) if length else 0)


class Pace:
    """Every connection that asks gets its deltas on time; one that can't take them at once is dropped."""

    def __init__(
        self, listener: socket.socket, rate: float, deltas: int, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._listener, self._deltas, self._clock = listener, deltas, clock
        self._gap = int(1e9 / rate)
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        # (when, which socket, which delta); the descriptor keeps two of one moment from comparing sockets.
        self._due: list[tuple[int, int, int, socket.socket]] = []

    def until(self, stdin: int) -> None:
        """Serves until the end of this descriptor."""
        self._selector.register(stdin, selectors.EVENT_READ, None)
        while True:
            wait = (self._due[0][0] - self._clock()) / 1e9 if self._due else None
            for key, _ in self._selector.select(wait if wait is None else max(wait, 0)):
                if key.data is None:
                    return
                key.data()
            self._send_due()

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._await(sock)

    def _await(self, sock: socket.socket) -> None:
        """The next request of a connection, or its end."""
        self._selector.register(sock, selectors.EVENT_READ, partial(self._read, sock, bytearray()))

    def _read(self, sock: socket.socket, request: bytearray) -> None:
        try:
            data = sock.recv(65536)
        except ConnectionError:
            data = b""
        request += data
        if data and not is_whole(request):
            return
        self._selector.unregister(sock)
        if not data:
            sock.close()
        elif self._sent(sock, HEAD):
            heapq.heappush(self._due, (self._clock() + self._gap, sock.fileno(), 0, sock))

    def _send_due(self) -> None:
        while self._due and self._due[0][0] <= (now := self._clock()):
            when, fileno, number, sock = self._due[0]
            if number == self._deltas:
                heapq.heappop(self._due)
                if self._sent(sock, chunk(STOP) + chunk(b"data: [DONE]\n\n") + chunk(b"")):
                    self._await(sock)
            elif self._sent(sock, chunk(DELTA % mark(number, now))):
                heapq.heapreplace(self._due, (when + self._gap, fileno, number + 1, sock))
            else:
                heapq.heappop(self._due)

    def _sent(self, sock: socket.socket, data: bytes) -> bool:
        """False where the peer left, or is so far behind that its buffer of megabytes is full: then its
        answer is cut, which whoever checks answers will see."""
        try:
            if sock.send(data) == len(data):
                return True
        except OSError:
            pass
        sock.close()
        return False


class Paced(Child):
    """The process, as a context manager: `url` is what UPSTREAM_URL takes."""

    def __init__(self, rate: float, deltas: int) -> None:
        super().__init__("bench.paced", rate, deltas)
        self.port = int(self.ready)
        self.url = f"http://127.0.0.1:{self.port}/v1"


def main() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        print(listener.getsockname()[1], flush=True)
        Pace(listener, float(sys.argv[1]), int(sys.argv[2])).until(sys.stdin.fileno())


if __name__ == "__main__":
    main()
