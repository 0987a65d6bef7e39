"""The scripted upstream: a process of its own that answers chat completions as told, and tells what it saw.

`python -m tests.rig.upstream` prints its port as the first line, serves loopback, and ends when its stdin
does, so that it never outlives who started it. A file with a certificate and its key as argument: over TLS.
What it can be told: script.py. Tests use ScriptedUpstream.

    PUT /script    {"queue": […answers for the next requests], "default": answer, "path": of the chat}
    GET /state     {"requests": […], "open", "opened", "closed", "closed_at": […], "sent"}
    POST /reset    forgets scripts and counts, cuts what is still being answered
    POST /refuse   {"seconds": s}: refuses connections for that long; it has begun when this returns

A request tells `method`, `path`, `headers`, `body`, `at`, `sent` (deltas), `step` (the last one whose bytes
are out, from 1), `ended` ("whole", "cut" by the script, "peer": the asker left) and `ended_at`. open, opened,
closed count sockets that carried a chat. Times are seconds of time.monotonic(), the same clock in all
processes of a machine.

A thread per connection. While it waits it watches for the peer's leaving, so `open` drops at once.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import ssl
import sys
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO

from tests.rig.child import Child
from tests.rig.ledger import CHAT, Ledger
from tests.rig.playing import Answer, Cut, PeerLeft
from tests.rig.script import Json


class House:
    """The listener and the ledger that counts now. Only `converse` and the accept loop touch it."""

    def __init__(self, certificate: str = "") -> None:
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if certificate else None
        if self._tls:
            self._tls.load_cert_chain(certificate)
        # Bound and never listening: keeps the port ours while connections are to be refused.
        self._holder = _bound(0)
        self.port: int = self._holder.getsockname()[1]
        self.ledger = Ledger()
        self._listener = self._listen()
        self._refused_until = 0.0

    def _listen(self) -> socket.socket:
        listener = _bound(self.port)
        listener.listen(512)
        return listener

    def accept_forever(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:  # refuse() shut it down
                self._listener.close()
                time.sleep(max(0.0, self._refused_until - time.monotonic()))
                self._listener = self._listen()
                continue
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=converse, args=(sock, self), daemon=True).start()

    def encrypted(self, sock: socket.socket) -> socket.socket:
        """The connection to talk on: over TLS where there is a certificate. Raises OSError."""
        return self._tls.wrap_socket(sock, server_side=True) if self._tls else sock

    def refuse(self, seconds: float) -> None:
        self._refused_until = time.monotonic() + seconds
        self._listener.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        old, self.ledger = self.ledger, Ledger()
        for sock in old.still_open():
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def _bound(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", port))
    return sock


def converse(plain: socket.socket, house: House) -> None:
    """All requests of one connection, one after the other."""
    ledger = house.ledger
    with contextlib.suppress(OSError), plain, house.encrypted(plain) as sock, sock.makefile("rb") as file:
        try:
            while request := read_request(file):
                ledger = house.ledger
                if request["path"] == ledger.path:
                    if not answer(sock, request, ledger):
                        return
                else:
                    sock.sendall(control(request, house))
        finally:
            ledger.closed(sock)


def read_request(file: BinaryIO) -> Json | None:
    """The next request, or None at the end of the connection."""
    line = file.readline(65536).split()
    if len(line) != 3:
        return None
    headers = dict(http.client.parse_headers(file).items())
    length = next((int(v) for k, v in headers.items() if k.lower() == "content-length"), 0)
    raw = file.read(length).decode(errors="replace")
    body: Any = raw
    with contextlib.suppress(ValueError):
        body = json.loads(raw)
    request = {"method": line[0].decode(), "path": line[1].decode().split("?")[0], "headers": headers}
    return {**request, "body": body, "raw": raw, "at": time.monotonic(), "sent": 0, "step": 0, "ended": None}


def answer(sock: socket.socket, request: Json, ledger: Ledger) -> bool:
    """Plays the answer that is due; True where the connection may go on."""
    how = "peer"
    try:
        order = ledger.asked(sock, request)
        play = Answer(sock, order, lambda: ledger.sent(request), lambda step: ledger.reached(request, step))
        again = play.play()
        how = "whole"
        return again
    except Cut:
        how = "cut"
        return False
    except PeerLeft:
        return False
    finally:
        ledger.ended(request, how)


def control(request: Json, house: House) -> bytes:
    """Does what a call of the control API asks; its whole response."""
    call, status, result = f"{request['method']} {request['path']}", 200, {}
    if call == "PUT /script":
        house.ledger.told(request["body"])
    elif call == "GET /state":
        result = house.ledger.state()
    elif call == "POST /reset":
        house.reset()
    elif call == "POST /refuse":
        house.refuse(request["body"]["seconds"])
    elif call == "GET /v1/models":
        result = {"object": "list", "data": [{"id": "scripted", "object": "model"}]}
    else:
        status, result = 404, {"error": {"message": f"no {call} here", "type": "not_found"}}
    body = json.dumps(result).encode()
    head = f"HTTP/1.1 {status} {http.client.responses[status]}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class ScriptedUpstream(Child):
    """The process, as a context manager: `url` is what UPSTREAM_URL takes. `certificate`: a file with a
    certificate for 127.0.0.1 and its key, for TLS.

    upstream.script(deltas(["a", "b"], gap=0.02))     what the next request gets
    upstream.script(default=failure(503))             what every request gets
    upstream.state()["open"]                          chat sockets open at this moment
    """

    def __init__(self, certificate: Path | None = None) -> None:
        super().__init__("tests.rig.upstream", *([certificate] if certificate else []))
        self._tls = ssl.create_default_context(cafile=certificate) if certificate else None
        self.port = int(self.ready)
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}/v1"

    def script(self, *queue: Json, default: Json | None = None, path: str = CHAT) -> None:
        """Answers for the next requests, in order, and one for all others; replaces what was there."""
        self._call("PUT", "/script", {"queue": queue, "default": default, "path": path})

    def state(self) -> Json:
        return self._call("GET", "/state")

    def reset(self) -> None:
        self._call("POST", "/reset")

    def refuse(self, seconds: float) -> None:
        """From now on, and for this long, connections are refused; this API included."""
        self._call("POST", "/refuse", {"seconds": seconds})

    def _call(self, method: str, path: str, body: Json | None = None) -> Json:
        address = ("127.0.0.1", self.port)
        connection = http.client.HTTPConnection(*address, timeout=10)
        if self._tls:
            connection = http.client.HTTPSConnection(*address, timeout=10, context=self._tls)
        with contextlib.closing(connection):
            connection.request(method, path, json.dumps(body) if body is not None else None)
            return dict(json.load(connection.getresponse()))


def main() -> None:
    house = House(*sys.argv[1:])
    # A thread that has slept must not wait long for one that works: the default is 5 ms.
    sys.setswitchinterval(0.0005)
    threading.Thread(target=house.accept_forever, daemon=True).start()
    sys.stdout.write(f"{house.port}\n")
    sys.stdout.flush()
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
