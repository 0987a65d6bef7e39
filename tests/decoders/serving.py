"""A server on loopback that sends streams piece by piece to a browser, each piece by a send of its own.

`/` is an empty page, `/streams/<n>` the nth stream, `/next` the next one each time, and 204 after the last;
after its last piece each connection is closed.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from app.hub.events import retry_frame

# Seconds between two pieces, for a browser to read the first. Three in four then reach it by themselves; with
# half of that one in two, without a pause one in a hundred.
APART = 0.001


class Streams(ThreadingHTTPServer):
    """`with Streams([[b"data: 1", b"\\n\\n"], …]) as served:` and then `served.url`.

    `asked`: the Last-Event-ID of each request for `/next`.
    """

    daemon_threads = False  # so that closing waits for them

    def __init__(self, streams: Sequence[list[bytes]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.streams = streams
        self.asked: list[str] = []
        self.pause = threading.Event()  # never set: to wait on
        self.url = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Streams:
        self._thread = threading.Thread(target=self.serve_forever, args=[0.02])
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Streams
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        where, _, number = self.path[1:].partition("/")
        if where == "streams":
            self._stream(self.server.streams[int(number)])
        elif where == "next":
            self._next()
        else:
            self._head(200, "text/html")

    def _next(self) -> None:
        """[spec] A reader that is to come back says the last id it knows; 204 tells it not to."""
        asked = self.server.asked
        asked.append(self.headers.get("Last-Event-ID", ""))
        if len(asked) > len(self.server.streams):
            self._head(204, "text/event-stream")
        else:
            self._stream([retry_frame(1), *self.server.streams[len(asked) - 1]])

    def _stream(self, pieces: list[bytes]) -> None:
        self._head(200, "text/event-stream")
        for piece in pieces:
            self.wfile.write(piece)
            self.server.pause.wait(APART)

    def _head(self, status: int, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass
