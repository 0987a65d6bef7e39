"""What a scripted upstream is to answer next, and all it has seen, from one reset to the next.

Used by tests/rig/upstream.py only, from the threads of all its connections.
"""

from __future__ import annotations

import socket
import threading
import time

from tests.rig import script
from tests.rig.script import Json

CHAT = "/v1/chat/completions"


class Ledger:
    """`_lock` guards every field."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: list[Json] = []
        self._default: Json = script.deltas(["Hello", " world"])
        self._requests: list[Json] = []
        self._open: set[socket.socket] = set()
        self._opened = 0
        self._closed_at: list[float] = []
        self.path = CHAT

    def told(self, order: Json) -> None:
        with self._lock:
            self._queue = list(order.get("queue", []))
            self._default = order.get("default") or self._default
            self.path = order.get("path", CHAT)

    def asked(self, sock: socket.socket, request: Json) -> Json:
        """Notes the request; the answer it gets."""
        with self._lock:
            self._opened += sock not in self._open
            self._open.add(sock)
            self._requests.append(request)
            for answer in self._queue:
                if answer.get("when", "") in request["raw"]:
                    self._queue.remove(answer)
                    return answer
            return self._default

    def sent(self, request: Json) -> None:
        with self._lock:
            request["sent"] += 1

    def reached(self, request: Json, step: int) -> None:
        with self._lock:
            request["step"] = step

    def ended(self, request: Json, how: str) -> None:
        with self._lock:
            request.update(ended=how, ended_at=time.monotonic())

    def closed(self, sock: socket.socket) -> None:
        with self._lock:
            if sock in self._open:
                self._open.remove(sock)
                self._closed_at.append(time.monotonic())

    def still_open(self) -> list[socket.socket]:
        with self._lock:
            return list(self._open)

    def state(self) -> Json:
        with self._lock:
            return {
                "requests": [{k: v for k, v in r.items() if k != "raw"} for r in self._requests],
                "open": len(self._open),
                "opened": self._opened,
                "closed": len(self._closed_at),
                "closed_at": list(self._closed_at),
                "sent": sum(r["sent"] for r in self._requests),
            }
