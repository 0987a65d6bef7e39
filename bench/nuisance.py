"""Peers that mean no good: a process that holds requests which never end, and resets connections at a rate.

`python -m bench.nuisance PORT HALF RATE` keeps HALF connections to 127.0.0.1:PORT that have sent half of a
request, each opened anew as soon as the server gives it up. Beside them it connects RATE times a second and
resets the connection at once: with nothing said, in the middle of a request, of a body, or right behind a
request. It prints `ready` when all of the first kind are there; when its stdin ends it prints what it did, as
JSON, and ends. Benches use Nuisance.
"""

from __future__ import annotations

import json
import os
import resource
import selectors
import socket
import struct
import sys
import time
from collections import Counter
from contextlib import suppress

from tests.rig.child import Child

REQUEST = b"GET /sse/createConnect?clientId=reset-%d HTTP/1.1\r\nHost: localhost\r\n\r\n"
HALF = b"GET /sse/createConnect?clientId=half HTTP/1.1\r\nHost: loc"
POST = b"POST /sse/send HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
POST += b"Content-Length: 5000\r\n\r\n{"
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends RST
PATIENCE = 2.0  # seconds for a connection
SOURCES = 8  # loopback addresses to come from: one has ports for fewer than 28,000, closed ones included


class Trouble:
    """All of it, in one selector; `done` counts by name."""

    def __init__(self, port: int, half: int, rate: float) -> None:
        self._port, self._half, self._rate = port, half, rate
        self._selector = selectors.DefaultSelector()
        self._began = 0.0
        self.done: Counter[str] = Counter()

    def hold(self) -> None:
        """Opens all that are to be held."""
        for _ in range(self._half):
            self._hold_one()

    def until(self, stdin: int) -> None:
        """Makes trouble until the end of this descriptor."""
        self._selector.register(stdin, selectors.EVENT_READ, stdin)
        self._began, resets = time.monotonic(), 0
        while True:
            due = int((time.monotonic() - self._began) * self._rate)
            for number in range(resets, due):
                self._reset(number)
            resets = due
            for key, _ in self._selector.select(1 / self._rate if self._rate else None):
                if key.data == stdin:
                    return
                self._lost(key.fileobj)  # type: ignore[arg-type]

    def _hold_one(self) -> None:
        sock = self._connected()
        if sock is None:
            return
        with suppress(OSError):
            sock.sendall(HALF)
        sock.setblocking(False)
        self._selector.register(sock, selectors.EVENT_READ, None)
        self.done["half"] += 1

    def _lost(self, sock: socket.socket) -> None:
        """The server gave it up: another takes its place."""
        self._selector.unregister(sock)
        sock.close()
        self._hold_one()

    def _reset(self, number: int) -> None:
        sock = self._connected()
        if sock is None:
            return
        with sock, suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            sock.sendall((b"", HALF, POST, REQUEST % number)[number % 4])
        self.done["reset"] += 1

    def _connected(self) -> socket.socket | None:
        source = f"127.0.0.{20 + sum(self.done.values()) % SOURCES}"
        try:
            return socket.create_connection(("127.0.0.1", self._port), PATIENCE, (source, 0))
        except OSError:
            self.done["refused"] += 1
            return None


class Nuisance(Child):
    """The process, as a context manager; what it holds is there when this is made."""

    def __init__(self, port: int, half: int, rate: float) -> None:
        super().__init__("bench.nuisance", port, half, rate, patience=20)
        if self.ready != "ready":
            raise SystemExit("those who mean no good could not begin")

    def leave(self) -> dict[str, int]:
        """Ends it; what it did, by name."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        done: dict[str, int] = json.loads(self._process.stdout.read())
        return done


def main() -> None:
    # It shares a core with who measures, and must never hold that up: even the nicest of others would, by a
    # slice of some milliseconds.
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    trouble = Trouble(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
    trouble.hold()
    print("ready", flush=True)
    trouble.until(sys.stdin.fileno())
    print(json.dumps(trouble.done), flush=True)


if __name__ == "__main__":
    main()
