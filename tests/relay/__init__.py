"""What the tests of the relay share: a clock turned by hand, a hub that only listens, a hand-played upstream.

The scripted upstream of tests/rig is used wherever a script can say what happens; Puppet where the next byte
must wait for what the relay did with the last one.
"""

from __future__ import annotations

import http.client
import json
import select
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import urllib3
from requests.structures import CaseInsensitiveDict

from app.relay.clocks import Allowed, Clocks
from app.relay.deltas import Said
from app.relay.generation import Generation, Question
from app.relay.line import Line
from app.relay.upstream import Upstream
from tests.rig.reading import eventually
from tests.rig.upstream import ScriptedUpstream

ROOT = Path(__file__).resolve().parents[2]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
UNTIL_CLOSE = HEAD + b"Connection: close\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
DONE = b"data: [DONE]\n\n"
ASKED = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def chunk(text: str = "", finish: str | None = None) -> bytes:
    """One event as an OpenAI-compatible server sends it."""
    choice = {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


def heard(
    upstream: Upstream,
    body: dict[str, Any] = ASKED,
    line: Line | None = None,
    said: list[Said] | None = None,
) -> list[Said]:
    """All that an upstream says; `said` has it as it comes, and before an error."""
    said = [] if said is None else said

    def hear(item: Said) -> bool:
        said.append(item)
        return True

    upstream.ask(body, line or Line(), hear)
    return said


def ended(upstream: ScriptedUpstream, count: int = 1) -> None:
    """Waits until the last bytes of its first `count` answers are out, which follow `[DONE]` by a moment."""

    def how() -> list[str]:
        return [request["ended"] for request in upstream.state()["requests"][:count]]

    eventually(lambda: how() == ["whole"] * count)


def responded(sock: socket.socket) -> requests.Response:
    """What a call gives whose answer comes on this socket: its head is read, and what came along with it."""
    parsed = http.client.HTTPResponse(sock)
    parsed.begin()
    response = requests.Response()
    response.raw = urllib3.HTTPResponse(parsed, headers=parsed.headers.items(), preload_content=False)
    response.headers = CaseInsensitiveDict(response.raw.headers)
    return response


class ManualClock:
    """Seconds that pass when the test says so."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Listener:
    """In the place of the hub: `publish` as the worker is handed it, keeping all that is said in order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards events
        self.events: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, client_id: str, kind: str, fields: dict[str, Any]) -> str:
        with self._lock:
            self.events.append((kind, fields))
            return f"e.{len(self.events)}"

    def of(self, generation_id: str) -> list[tuple[str, dict[str, Any]]]:
        return [event for event in list(self.events) if event[1]["generationId"] == generation_id]

    def kinds(self) -> list[str]:
        return [kind for kind, _ in list(self.events)]

    def text(self) -> str:
        """The text as a page shows it: a further try starts it over."""
        text = ""
        for kind, fields in list(self.events):
            text = "" if kind == "started" else text + fields.get("data", {}).get("content", "")
        return text

    def terminals(self) -> list[tuple[str, dict[str, Any]]]:
        return [(kind, fields) for kind, fields in list(self.events) if kind in ("done", "error")]

    def end(self) -> tuple[str, dict[str, Any]]:
        """The terminal event, of which there must be exactly one, and last."""
        (end,) = self.terminals()
        assert self.kinds()[-1] == end[0], f"something was said after the end: {self.kinds()}"
        return end


class Beside(threading.Thread):
    """Calls `target` in a thread beside the test. `ended_at`: when it was through, in monotonic seconds."""

    def __init__(self, target: Callable[..., Any], *args: Any) -> None:
        super().__init__(daemon=True)
        self._call = (target, args)
        self._value: Any = None
        self._error: BaseException | None = None
        self.ended_at = 0.0
        self.start()

    def run(self) -> None:
        target, args = self._call
        try:
            self._value = target(*args)
        except BaseException as error:
            self._error = error
        self.ended_at = time.monotonic()

    def result(self, within: float = 5.0) -> Any:
        """What the call returned; what it raised is raised here."""
        self.join(within)
        assert not self.is_alive(), f"still at it after {within} s: {self._call}"
        if self._error:
            raise self._error
        return self._value


class Puppet:
    """An upstream played by hand: the test takes the request and sends each byte of the answer itself."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(5)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Puppet:
        return self

    def __exit__(self, *exc: object) -> None:
        self._listener.close()

    def accept(self) -> socket.socket:
        """The next connection, nothing of it read yet."""
        sock, _ = self._listener.accept()
        sock.settimeout(5)
        return sock

    def waits(self) -> bool:
        """Whether somebody has connected who was not accepted yet."""
        return bool(select.select([self._listener], [], [], 0)[0])

    def take(self) -> socket.socket:
        """The next connection, its request read."""
        sock = self.accept()
        read_request(sock)
        return sock


@contextmanager
def encrypted(plain: socket.socket, certificate: Path) -> Iterator[ssl.SSLSocket]:
    """The server's side of TLS on a connection that was taken; `certificate` has its key in the same file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with context.wrap_socket(plain, server_side=True) as sock:
        yield sock


def read_request(sock: socket.socket) -> bytes:
    """One request, head and body."""
    request = b""
    while (size := _size_of(request)) is None or len(request) < size:
        data = sock.recv(65536)
        assert data, f"left in the middle of the request: {request!r}"
        request += data
    return request


def _size_of(request: bytes) -> int | None:
    """Bytes of head and body together, once the head is there."""
    head, end, _ = request.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
    return len(head) + len(end) + int(length) if end else None


class HeldLookup:
    """In the place of socket.getaddrinfo: for NAME it answers 127.0.0.1 once it is let go, not before."""

    NAME = "held.test"

    def __init__(self) -> None:
        self._real = socket.getaddrinfo
        self.asked, self._let_go = threading.Event(), threading.Event()

    def __call__(self, host: Any, *args: Any, **kwargs: Any) -> Any:
        if host != self.NAME:
            return self._real(host, *args, **kwargs)
        self.asked.set()
        assert self._let_go.wait(10), "the test forgot to let the look-up go"
        return self._real("127.0.0.1", *args, **kwargs)

    def let_go(self) -> None:
        self._let_go.set()


def promptly(measure: Callable[[], float], within: float = 0.1) -> None:
    """One of three times that `measure` takes, in seconds, is `within`: a busy machine may delay two."""
    taken: list[float] = []
    while not taken or taken[-1] >= within:
        assert len(taken) < 3, f"promised within {within} s, took {taken}"
        taken.append(measure())


PATCHED = (
    "from gevent import monkey; monkey.patch_all(); import pytest, sys; sys.exit(pytest.main(sys.argv[1:]))"
)


def in_greenlets(file: str, *, but: Iterable[str] = (), only: str = "") -> None:
    """Runs the tests of a file beside this one in a process that gevent has patched, where upstreams are read
    on its loop: but for those with one of these words in their names, or none but those with `only`."""
    chosen = " and ".join([*(f"not {name}" for name in but), *filter(None, [only])])
    arguments = [f"tests/relay/{file}.py", "-k", chosen, "-p", "no:cacheprovider", "-p", "no:playwright"]
    ran = subprocess.run(
        [sys.executable, "-c", PATCHED, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-2000:]


def make_question(generation_id: str = "g", **fields: Any) -> Question:
    defaults = {"client_id": "c", "conversation_id": "talk", "said": {"role": "user", "content": "hi"}}
    return Question(generation_id, **{**defaults, **fields})


def make_generation(
    now: float | None = None, *, cls: type[Generation] = Generation, **question: Any
) -> Generation:
    """A generation that has just begun; `now` for a clock turned by hand."""
    now = time.monotonic() if now is None else now
    made = cls(make_question(**question), "up", "m", Clocks(Allowed(), now), now)
    made.messages = [made.question.said]
    return made
