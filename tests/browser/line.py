"""The line between browser and server, which a test can cut, and lead to another server."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from types import TracebackType

from tests.rig.serving import Server

RESET = struct.pack(
    "ii", 1, 0
)  # SO_LINGER: close with RST, as a network that goes away looks to the other side


class Line:
    """`with Line(server) as line:` a port that leads to the server. `_lock` guards `_open` and `_dead`."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._dead = False
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Line:
        self._run(self._accept)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(5)

    def cut(self, *, dead: bool = False) -> None:
        """Resets every connection; with `dead` also each that is tried from now on, until `mend`."""
        with self._lock:
            self._dead = dead
            cut = list(self._open)
        for sock in cut:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                sock.shutdown(socket.SHUT_RDWR)

    def mend(self, server: Server | None = None) -> None:
        """Connections get through again, to another server if one is given."""
        self.server = server or self.server
        with self._lock:
            self._dead = False

    def _run(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                near, _ = self._listener.accept()
                self._run(self._carry, near)

    def _carry(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError):
            if self._dead:
                near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                return
            with socket.create_connection(("127.0.0.1", self.server.port)) as far:
                ends = {near, far}
                with self._lock:
                    self._open |= ends
                try:
                    self._pump(near, far)
                finally:
                    with self._lock:
                        self._open -= ends

    @staticmethod
    def _pump(near: socket.socket, far: socket.socket) -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(near, selectors.EVENT_READ, far)
            ready.register(far, selectors.EVENT_READ, near)
            while True:
                for key, _ in ready.select():
                    data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                    if not data:
                        return
                    key.data.sendall(data)
