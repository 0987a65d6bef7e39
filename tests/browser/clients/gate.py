"""A gate before the real server: lets streams through as they are, or does to one of them what networks do.

Everything but an event stream passes untouched. What is to happen to the next streams is said by rules, one a
request, in order; then they pass. Used by test_contract.py.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.browser.line import RESET
from tests.rig.serving import Server

STREAM = "/sse/createConnect"


@dataclass(frozen=True)
class Refuse:
    """The gate answers itself."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Pass:
    """The server answers. after: how the event that holds these bytes is the last; how: "reset", "end", or
    "silence" until the browser leaves. sliced: byte by byte. crlf: other line ends. bom: one in front."""

    after: bytes = b""
    how: str = ""
    sliced: bool = False
    crlf: bool = False
    bom: bool = False


Rule = Refuse | Pass


class Asked(NamedTuple):
    """A request for a stream as it came to the gate."""

    method: str
    path: str
    headers: dict[str, str]
    at: float  # s, by the clock that dates are told by


class Gate:
    """`with Gate(server) as gate:` … `gate.url`, `gate.next(Refuse(503))`, `gate.asked`."""

    def __init__(self, server: Server) -> None:
        self._server, self._rules = server, deque[Rule]()
        self.asked: list[Asked] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Gate:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def next(self, *rules: Rule) -> None:
        """What happens to the next streams; forgets what was asked before."""
        self._rules = deque(rules)
        self.asked = []

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                near, _ = self._listener.accept()
                near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        """One request a connection: no browser minds."""
        with near, contextlib.suppress(OSError):
            raw, rest = _head(near)
            method, path, _ = raw.split(b"\r\n", 1)[0].decode().split(" ", 2)
            rule: Rule = Pass()
            if path.startswith(STREAM):
                headers = dict(
                    re.findall(r"(?m)^([^:\r\n]+): *([^\r\n]*)", raw.decode().partition("\r\n")[2])
                )
                lowered = {name.lower(): value for name, value in headers.items()}
                self.asked.append(Asked(method, path, lowered, time.time()))
                rule = self._rules.popleft() if self._rules else rule
            if isinstance(rule, Refuse):
                near.sendall(_answer(rule))
            else:
                self._through(near, raw, rest, rule)

    def _through(self, near: socket.socket, raw: bytes, rest: bytes, rule: Pass) -> None:
        with socket.create_connection(("127.0.0.1", self._server.port)) as far:
            far.sendall(
                re.sub(rb"(?mi)^connection: .*\r\n", b"", raw)[:-2] + b"Connection: close\r\n\r\n" + rest
            )
            over = threading.Event()
            watching = threading.Thread(target=_leave_with, args=(near, far, over), daemon=True)
            watching.start()
            head, body = _head(far)
            near.sendall(head)
            if rule.bom:
                near.sendall(b"\xef\xbb\xbf")
            try:
                _carry(near, far, body, rule)
            finally:
                over.set()
                watching.join()


def _carry(near: socket.socket, far: socket.socket, body: bytes, rule: Pass) -> None:
    """The body, to its end or to that of the event the rule names."""
    seen = b""
    while True:
        if rule.after:
            seen += body
            if (at := seen.find(rule.after)) >= 0 and (end := seen.find(b"\n\n", at)) >= 0:
                _send(near, body[: len(body) - (len(seen) - end - 2)], rule)
                _break(near, rule.how)
                return
        _send(near, body, rule)
        if not (body := far.recv(65536)):
            return


def _break(near: socket.socket, how: str) -> None:
    if how == "reset":
        near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    while how == "silence" and select.select([near], [], [], 10)[0] and near.recv(65536):
        pass


def _send(near: socket.socket, data: bytes, rule: Pass) -> None:
    data = data.replace(b"\n", b"\r\n") if rule.crlf else data
    if not rule.sliced:
        near.sendall(data)
        return
    for i in range(len(data)):
        near.sendall(data[i : i + 1])


def _leave_with(near: socket.socket, far: socket.socket, over: threading.Event) -> None:
    """Where the browser leaves, the server is told so. Looks now and then: who waits in recv() keeps a socket
    open that another thread closes."""
    with contextlib.suppress(OSError):
        while not over.is_set():
            if select.select([near], [], [], 0.05)[0] and not near.recv(65536):
                break
        far.shutdown(socket.SHUT_RDWR)


def _head(sock: socket.socket) -> tuple[bytes, bytes]:
    """The head of what comes, and what came with it. Raises OSError where there is none."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            raise OSError("it left")
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", rest


def _answer(rule: Refuse) -> bytes:
    headers = {"Content-Length": str(len(rule.body)), "Connection": "close", **rule.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {rule.status} Told\r\n{lines}\r\n".encode() + rule.body
