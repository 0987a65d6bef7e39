"""Servers at every kind of address, and streams that are asked for byte by byte.

For tests of how bytes leave: what stands before the hub is real there, gunicorn, its workers, TLS, a socket.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from tests.conftest import SETTINGS
from tests.rig.reading import Stream, eventually
from tests.rig.serving import KEPT, ROOT, Server

PROBE = "tests.rig.probe:app"
BY_SOCKET = "streams leave by their own sockets: gunicorn's gevent worker, plain HTTP/1"
BY_GENERATOR = "streams leave by the server's generator: "


class Place(Server):
    """A server that tells what it holds, at a TCP port; `certificate`: with TLS; `unix`: at that path.

    `options`: gunicorn's, as on a command line. Other names are settings.
    """

    def __init__(
        self,
        options: str = "",
        *,
        app: str = PROBE,
        certificate: Path | None = None,
        unix: Path | None = None,
        upstream_url: str | None = None,
        shutdown: float = 10.0,
        **env: str,
    ) -> None:
        self._certificate, self._unix = certificate, unix
        options = f"{SETTINGS['GUNICORN_CMD_ARGS']} {options}"
        options += f" --certfile {certificate} --keyfile {certificate}" if certificate else ""
        options += f" --bind unix:{unix}" if unix else ""
        env = {**SETTINGS, **env, "GUNICORN_CMD_ARGS": options}
        super().__init__(env, upstream_url=upstream_url, app=app, shutdown=shutdown)

    def connect(self, receive: int = 0) -> socket.socket:
        """A connection; `receive`: about how many bytes its kernel holds for us unread."""
        sock = socket.socket(socket.AF_UNIX if self._unix else socket.AF_INET)
        if receive:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        sock.settimeout(10)
        try:
            sock.connect(str(self._unix) if self._unix else ("127.0.0.1", self.port))
            return self._encrypted(sock) if self._certificate else sock
        except BaseException:
            sock.close()
            raise

    def stream(self, client: str, request: str = "", **how: Any) -> Talk:
        """An open stream that is not closed on done. `request`: all of it, where that matters."""
        return Talk(self.connect(**how), request or get(client))

    def call(self, path: str, body: object = None, *, timeout: float = 10.0) -> tuple[int, Any]:
        """(status, JSON) of a GET, or of a POST where there is a body."""
        with contextlib.closing(self.connect()) as sock:
            sock.settimeout(timeout)
            connection = HTTPConnection("localhost")
            connection.sock = sock
            data = None if body is None else json.dumps(body)
            headers = {"Content-Type": "application/json", "Connection": "close"}
            connection.request("GET" if data is None else "POST", path, data, headers)
            with connection.getresponse() as response:
                return response.status, json.loads(response.read() or "null")

    def send(self, client: str, data: object) -> int:
        return self.call("/sse/send", {"clientId": client, "data": data})[0]

    def waiting(self, client: str) -> int:
        """How many events of a client were handed to nobody."""
        return int(self.call(f"/sse/clients/{client}")[1]["waiting"])

    def holds(self) -> dict[str, int]:
        """What its process holds: see tests/rig/probe.py."""
        held: dict[str, int] = self.call("/probe")[1]
        return held

    def forgets(self, within: float = 10.0) -> None:
        """Waits until no stream is left in it."""
        eventually(lambda: self.holds()["connections"] == 0, within)

    def ways_out(self) -> list[str]:
        """What the log says of how streams leave."""
        return re.findall(r"app\.web\.streams: (.*)", self.log)

    def _encrypted(self, sock: socket.socket) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=str(self._certificate))
        return context.wrap_socket(sock, server_hostname="127.0.0.1")

    def _healthy(self) -> bool:
        with contextlib.suppress(OSError, HTTPException):
            return self.call("/healthz", timeout=2)[0] == 200
        return False


class Development(Place):
    """`flask run`, Flask's own server: a thread for each connection, and its socket out of reach."""

    def _start(self) -> subprocess.Popen[bytes]:
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        return subprocess.Popen(
            [sys.executable, "-m", "flask", "--app", PROBE, "run", "--port", str(self.port)],
            cwd=ROOT,
            env={**kept, **self._env},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


class Talk(Stream):
    """A stream on a socket that is open already, asked for with these bytes."""

    def __init__(self, sock: socket.socket, request: str | bytes) -> None:
        self._given = sock
        self._request = request if isinstance(request, bytes) else request.encode()
        super().__init__("")

    def say(self, data: bytes) -> None:
        """More bytes to the server."""
        self._sock.sendall(data)

    def finish(self) -> None:
        """FIN: nothing more will be said; what comes can still be read."""
        self._sock.shutdown(socket.SHUT_WR)

    @property
    def sock(self) -> socket.socket:
        return self._sock

    def _ask(self, *_: str) -> None:
        self._sock = self._given
        try:
            self._sock.sendall(self._request)
            self._head()
        except BaseException:
            self.close()
            raise


Leave = Callable[[Talk], None]


def get(
    client: str, *headers: str, path: str = "/sse/createConnect", version: str = "1.1", query: str = ""
) -> str:
    """The bytes of a request for a stream."""
    target = f"{path}?clientId={client}&closeOnDone=false{query}"
    return "\r\n".join([f"GET {target} HTTP/{version}", "Host: localhost", *headers, "\r\n"])


@contextlib.contextmanager
def nothing_left(place: Place) -> Iterator[None]:
    """What is done inside leaves no stream and no file open behind, and is no surprise to the server."""
    place.stream("first").close()  # it brings along what all streams share
    place.forgets()
    before, written = place.holds()["descriptors"], len(place.log)
    yield
    place.forgets()
    eventually(lambda: place.holds()["descriptors"] <= before)
    assert "Traceback" not in place.log[written:], place.log[written:]


def exercise(
    place: Place, client: str, leave: Sequence[Leave] = (Talk.close, Talk.reset, Talk.finish)
) -> dict[str, str]:
    """A stream does all it can do: begin, carry, be closed, be left. Returns the head's headers."""
    with place.stream(client) as stream:
        assert stream.next().type == "connected"
        for data in ("one", {"two": 2}, "x" * 100_000):
            assert place.send(client, data) == 200
            assert stream.next()["data"] == data
        assert place.call("/sse/close", {"clientId": client}) == (200, {"closed": 1})
        assert [event.type for event in stream.collect()][-1] == "closing"
        assert not stream.cut
    for each in leave:
        with place.stream(client) as stream:
            stream.until("connected")
            each(stream)
            place.forgets()
    return stream.headers
