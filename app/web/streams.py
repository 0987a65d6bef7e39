"""Which way a stream leaves: by its own socket where gunicorn's gevent worker can give it, else as others do.

What is known of gunicorn's inside stands here and nowhere else: its response is found behind
`start_response`, made to write the head of a body that ends with the connection, and told that the pipe is
broken once the socket is ours. Whatever is not exactly as expected leaves the stream to the server.
"""

from __future__ import annotations

import errno
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

from flask import Response, g

from app.hub.hub import Hub, Opened
from app.hub.outlets import GeneratorOutlet
from app.hub.peer import Peer

log = logging.getLogger(__name__)
access = logging.getLogger("gunicorn.access")  # has handlers where the operator wants an access log

# no-transform: a compressor would hold events back; X-Accel-Buffering: nginx would too.
HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}
Environ = dict[str, Any]


class Streams:
    """All streams of one hub. `outlet` is the setting: auto, socket, generator."""

    def __init__(self, hub: Hub, outlet: str = "auto") -> None:
        self._hub, self._outlet = hub, outlet
        self._sockets: Any = None  # made with the first, for only a worker has an event loop
        self._told: set[str] = set()
        self._heads = Heads()

    def __repr__(self) -> str:
        return f"<Streams by {self._outlet}: {self._sockets or 'none taken'}>"

    def begin(self, opened: Opened, environ: Environ) -> GeneratorOutlet:
        """A new stream as what any server can iterate over."""
        version, sock = environ.get("SERVER_PROTOCOL", ""), environ.get("gunicorn.socket")
        plain = version.startswith("HTTP/1") and not _is_encrypted(sock)
        peer = Peer(sock, plain)
        peer.tune(self._hub.limits.slow)
        return GeneratorOutlet(*opened, self._hub.take, self._hub.leave, peer, version == "HTTP/1.1")

    def way_out(self, outlet: GeneratorOutlet, environ: Environ, write: object) -> Iterable[bytes]:
        """What the server is given to iterate over; `write` is what its `start_response` returned."""
        server = getattr(write, "__self__", None)
        obstacle = self._obstacle(environ, server)
        self._tell(obstacle)
        if obstacle:
            return outlet
        outlet.chunked = server.chunked = False  # type: ignore[union-attr]
        server.force_close()  # type: ignore[union-attr]
        return Takeover(outlet, server, environ, self._heads, self._adopt)

    def _adopt(self, outlet: GeneratorOutlet, environ: Environ) -> None:
        """Takes the socket; what gunicorn then closes is empty."""
        import _socket  # not the one that gevent patched: nothing here may wait

        connection, base = outlet.hand_over()
        taken = environ["gunicorn.socket"]
        family, kind = taken.family, taken.type
        sock = _socket.socket(family, kind, 0, fileno=taken.detach())
        if access.hasHandlers():
            connection.on_end = _last_line(environ)
        self._sockets.adopt(connection, sock, base)

    def _obstacle(self, environ: Environ, server: object) -> str:
        """Why the socket can't be had, "" where it can."""
        sock = environ.get("gunicorn.socket")
        if self._outlet == "generator":
            return "OUTLET=generator"
        if "gunicorn.workers.ggevent" not in sys.modules or sock is None:
            return "not gunicorn's gevent worker"
        if _is_encrypted(sock):
            return "TLS ends in gunicorn"
        if type(server).__module__ != "gunicorn.http.wsgi" or getattr(server, "sock", None) is not sock:
            return "HTTP/2, or a middleware that hides gunicorn's response"
        return "" if self._ready() else "no epoll is to be had"

    def _ready(self) -> bool:
        if self._sockets is None:
            try:
                from app.hub.loop import GeventLoop, epoll
                from app.hub.sockets import Sockets

                self._sockets = Sockets(GeventLoop(), epoll(), self._hub)
            except (ImportError, AttributeError, OSError):
                return False
        return True

    def _tell(self, obstacle: str) -> None:
        """Says once which way streams leave, and why."""
        if obstacle in self._told:
            return
        self._told.add(obstacle)
        if not obstacle:
            log.info("streams leave by their own sockets: gunicorn's gevent worker, plain HTTP/1")
        else:
            level = logging.WARNING if self._outlet == "socket" else logging.INFO
            log.log(level, "streams leave by the server's generator: %s", obstacle)


class StreamResponse(Response):
    """A response whose body is decided when the server takes it: all headers are there by then."""

    def __init__(self, streams: Streams, outlet: GeneratorOutlet) -> None:
        super().__init__(outlet, headers=HEADERS, direct_passthrough=True)
        self._streams, self._outlet = streams, outlet
        self.call_on_close(outlet.close)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if self.response is not self._outlet:  # somebody sees or changes what goes out
            self.direct_passthrough = False  # so that we hear of its end
            body = super().__call__(environ, start_response)
        else:
            _, status, headers = self.get_wsgi_response(environ)
            body = self._streams.way_out(self._outlet, environ, start_response(status, headers))
        g.pop("stream", None)  # from here on the server closes it
        return body


class LastResponse(Response):
    """A whole stream in one piece, and the end of its connection where the server can be told so: it is sent
    when there is no room, and gunicorn would hold a descriptor for it as long as it keeps connections."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body, headers=HEADERS)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        body, status, headers = self.get_wsgi_response(environ)
        server = getattr(start_response(status, headers), "__self__", None)
        getattr(server, "force_close", _nothing)()
        return body


class Takeover:
    """The body of a stream whose socket is about to be ours: its head is gunicorn's to write, no more."""

    def __init__(
        self,
        outlet: GeneratorOutlet,
        server: Any,
        environ: Environ,
        heads: Heads,
        adopt: Callable[[GeneratorOutlet, Environ], None],
    ) -> None:
        self._outlet, self._server, self._environ = outlet, server, environ
        self._heads, self._adopt = heads, adopt
        self._head: int | None = None  # bytes of the first item; 0 once the socket can't be had any more

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._head is None:
            self._heads.put_before(self._server)
            data = next(self._outlet)
            self._head = len(data)
            return data
        if self._head and self._server.headers_sent and self._server.sent == self._head:
            self._adopt(self._outlet, self._environ)
            # gunicorn's word for a peer that left: it closes its socket, by now an empty one, and is silent.
            raise BrokenPipeError(errno.EPIPE, "the stream goes on without gunicorn")
        self._head = 0  # a middleware holds back what it is given, and would lose it
        return next(self._outlet)

    def close(self) -> None:
        self._outlet.close()


class Heads:
    """The heads of gunicorn's responses, in its own words, made once a second for all that are alike."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._alike: tuple[object, ...] = ()
        self._head = b""

    def put_before(self, server: Any) -> None:
        """Has the head of a response leave together with the first of its body."""
        pair = server.sock = HeadAndBody(server.sock)
        alike = (int(self._wall()), server.status, server.req.version, *server.headers)
        if alike == self._alike:
            pair.head, server.headers_sent = self._head, True
        else:
            server.send_headers()
            self._alike, self._head = alike, pair.head


class HeadAndBody:
    """In the place of the socket that a response is written to: both in one send."""

    def __init__(self, sock: Any) -> None:
        self._sock, self.head = sock, b""

    def sendall(self, data: bytes) -> None:
        if not self.head:
            self.head = data
            return
        data = self.head + data
        sent = self._sock.send(data)
        if sent < len(data):
            self._sock.sendall(data[sent:])
        self.sendall = self._sock.sendall  # type: ignore[method-assign]


def give_back(error: BaseException | None = None) -> None:
    """At the end of each request: a stream that was opened and never reached the server ends."""
    outlet = g.pop("stream", None)
    if outlet is not None:
        outlet.close()


def _is_encrypted(sock: object) -> bool:
    """Of its class: gevent's sockets are slow to say what they have not."""
    return hasattr(type(sock), "getpeercert")


def _plain(text: str) -> str:
    """What can stand between quotes in a line of a log, and forge nothing."""
    return text.encode("unicode_escape").decode().replace('"', '\\"')


def _nothing() -> None:
    """What is asked of a server that is not gunicorn."""


def _last_line(environ: Environ) -> Callable[[str, int], None]:
    """Writes the line of a stream's end to the access log; gunicorn's own tells of its beginning."""
    began = datetime.now()
    who, agent = environ.get("REMOTE_ADDR") or "-", _plain(environ.get("HTTP_USER_AGENT", "-"))
    what = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} {environ['SERVER_PROTOCOL']}"

    def write(reason: str, size: int) -> None:
        lasted = (datetime.now() - began).total_seconds()
        access.info('%s - - "%s" end %s %d "%s" %.3f s', who, what, reason, size, agent, lasted)

    return write
