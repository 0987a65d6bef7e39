"""One scripted answer, played on one socket: the head, the steps in time, the coding of the body, the end.

Used by tests/rig/upstream.py only. While it waits it watches whether the peer is still there.
"""

from __future__ import annotations

import http.client
import select
import socket
import struct
import time
import zlib
from collections.abc import Callable

from tests.rig import script
from tests.rig.script import Json

# Where the system lacks POLLRDHUP a peer that left is noticed at the next send.
LEFT = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR


class PeerLeft(Exception):
    """The one who asked closed the connection before the answer was over."""


class Cut(Exception):
    """The script ends the connection here."""


class Answer:
    """One answer being played on one socket."""

    def __init__(
        self, sock: socket.socket, order: Json, sent: Callable[[], None], reached: Callable[[int], None]
    ) -> None:
        """`sent` is called after each delta; `reached` with each step's number, once its bytes are out."""
        self._sock, self._order, self._sent, self._reached = sock, order, sent, reached
        self._coding = order.get("chunked", True)
        self._gzip = zlib.compressobj(wbits=31) if self._coding == "gzip" else None
        self._body = b""  # gathered where the length has to be known first
        self._watch = select.poll()
        self._watch.register(sock, LEFT)
        self._due = time.monotonic()

    def play(self) -> bool:
        """True: the connection may carry another request. Raises PeerLeft, Cut, OSError."""
        self._wait(self._order.get("before_head", 0))
        if self._coding != "length" and self._order.get("head", True):
            self._send(self._head())
        for number, step in enumerate(self._order.get("steps", []), 1):
            self._step(step, number)
        return self._end()

    def _head(self) -> bytes:
        status = self._order.get("status", 200)
        headers = {"Content-Type": "text/event-stream", **self._order.get("headers", {})}
        if self._coding == "length":
            headers["Content-Length"] = str(len(self._body))
        elif self._coding:
            headers["Transfer-Encoding"] = "chunked"
        else:
            headers["Connection"] = "close"
        if self._gzip:
            headers["Content-Encoding"] = "gzip"
        lines = [f"HTTP/1.1 {status} {http.client.responses.get(status, 'Unknown')}"]
        return "\r\n".join([*lines, *(f"{k}: {v}" for k, v in headers.items()), "\r\n"]).encode("latin-1")

    def _step(self, step: Json, number: int) -> None:
        self._due = time.monotonic()
        for i in range(step.get("repeat", 1)):
            if data := script.frame(step, i, time.monotonic_ns()):
                self._write(data)
            if "delta" in step:
                self._sent()
            self._reached(number)
            self._wait(step.get("sleep", 0) or step.get("hang", 0))
        if step.get("reset"):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if step.get("reset") or step.get("close"):
            raise Cut

    def _write(self, data: bytes) -> None:
        if self._gzip:
            data = self._gzip.compress(data) + self._gzip.flush(zlib.Z_SYNC_FLUSH)
        if self._coding == "length":
            self._body += data
        else:
            self._send(self._coded(data))

    def _coded(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self._coding else data

    def _send(self, data: bytes) -> None:
        size = self._order.get("slice") or len(data) or 1
        for start in range(0, len(data), size):
            self._sock.sendall(data[start : start + size])

    def _wait(self, seconds: float) -> None:
        """Sleeps until the step's next round is due: by the clock, so that a rate stays a rate."""
        if not seconds:
            return
        self._due += seconds
        left = self._due - time.monotonic()
        if left > 0 and self._watch.poll(left * 1000):
            raise PeerLeft

    def _end(self) -> bool:
        if self._coding == "length":
            self._send(self._head() + self._body)
        elif self._coding:
            last = self._gzip.flush() if self._gzip else b""
            self._send((self._coded(last) if last else b"") + b"0\r\n\r\n")
        return bool(self._coding)
