"""Which way a stream leaves, and that its place is given back whatever happens on the way to the server.

gunicorn's own response writes to one end of a TCP connection, the reader holds the other; the event loop that
would serve the socket is a list of what it was given. On a real gunicorn: tests/e2e/test_outlets.py.
"""

from __future__ import annotations

import errno
import logging
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from flask import Response as Answer
from gunicorn.config import Config
from gunicorn.http.errors import InvalidResponseHeader
from gunicorn.http.wsgi import Response
from werkzeug.test import EnvironBuilder

from app.hub.connection import Connection
from app.web.streams import Heads
from tests.web.conftest import HOST, STREAM, Edge, MakeEdge

Pair = tuple[socket.socket, socket.socket]


class Taken:
    """In the place of `Sockets`: keeps what it is handed."""

    def __init__(self) -> None:
        self.streams: list[tuple[Connection, Any, int | None]] = []

    def adopt(self, connection: Connection, sock: Any, base: int | None) -> None:
        self.streams.append((connection, sock, base))

    def close(self) -> None:
        for _, sock, _ in self.streams:
            sock.close()


class Encrypted(socket.socket):
    """By this gevent's and Python's own TLS sockets are known."""

    def getpeercert(self) -> None: ...


class Noted(socket.socket):
    """A socket that notes how much was written by each call; `most`: bytes that one send takes."""

    most = 1 << 20

    def __init__(self, fileno: int) -> None:
        super().__init__(fileno=fileno)
        self.calls: list[tuple[str, int]] = []

    def send(self, data: Any, flags: int = 0) -> int:
        self.calls.append(("send", len(data)))
        return super().send(data[: self.most], flags)

    def sendall(self, data: Any, flags: int = 0) -> None:
        self.calls.append(("sendall", len(data)))
        super().sendall(data, flags)


class Worker:
    """One request as gunicorn's worker serves it, step by step. `items` is what the application gave."""

    def __init__(
        self, edge: Edge, sock: Any, query: str = "clientId=a", start: Any = None, **environ: Any
    ) -> None:
        request = SimpleNamespace(version=(1, 1), method="GET", should_close=lambda: False)
        self.response = Response(request, sock, Config())
        self.environ = EnvironBuilder(STREAM, query_string=query, headers=HOST).get_environ()
        self.environ |= {"gunicorn.socket": sock, "SERVER_PROTOCOL": "HTTP/1.1", **environ}
        self.items: Any = edge.app(self.environ, start or self.response.start_response)
        self._iterator = iter(self.items)

    def step(self) -> None:
        """Has the next item written."""
        self.response.write(next(self._iterator))


@pytest.fixture
def pair() -> Iterator[Pair]:
    """(the server's, the reader's) ends of a TCP connection over loopback."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        reader = stack.enter_context(socket.create_connection(listener.getsockname(), timeout=5))
        server, _ = listener.accept()
        yield stack.enter_context(server), reader


@pytest.fixture(autouse=True)
def in_a_gevent_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gunicorn.workers.ggevent", ModuleType("ggevent"))


@pytest.fixture
def taken(edge: Edge) -> Iterator[Taken]:
    taken = Taken()
    edge.parts.streams._sockets = taken
    yield taken
    taken.close()


def streams(edge: Edge) -> int:
    return int(edge.numbers()["connections"])


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [(r.levelno, r.getMessage()) for r in caplog.records if r.name == "app.web.streams"]


# --- by its own socket


def test_once_its_head_is_written_the_socket_is_taken(edge: Edge, pair: Pair, taken: Taken) -> None:
    server, reader = pair
    worker = Worker(edge, server)
    worker.step()
    with pytest.raises(BrokenPipeError) as told:
        worker.step()
    worker.items.close()
    assert told.value.errno == errno.EPIPE  # at any other gunicorn would complain
    ((connection, sock, base),) = taken.streams
    assert (connection.client_id, server.fileno(), streams(edge)) == ("a", -1, 1)
    head, _, body = reader.recv(65536).partition(b"\r\n\r\n")
    assert base == len(head) + 4
    assert connection.wired == len(body)
    assert b'"type":"connected"' in body
    assert b"\r\nConnection: close" in head
    assert b"Transfer-Encoding" not in head
    sock.sendall(b"by ourselves")
    assert reader.recv(100) == b"by ourselves"
    edge.parts.hub.leave(connection, None)


def test_what_was_written_before_on_the_connection_does_not_count(
    edge: Edge, pair: Pair, taken: Taken
) -> None:
    server, reader = pair
    server.sendall(b"an earlier answer")
    worker = Worker(edge, server)
    worker.step()
    with pytest.raises(BrokenPipeError):
        worker.step()
    ((connection, _, base),) = taken.streams
    head = reader.recv(65536).partition(b"\r\n\r\n")[0]
    assert base == len(head) + 4
    edge.parts.hub.leave(connection, None)


def test_on_a_unix_socket_nobody_can_tell_what_was_written(edge: Edge, taken: Taken) -> None:
    server, reader = socket.socketpair()
    with server, reader:
        worker = Worker(edge, server, REMOTE_ADDR="")
        worker.step()
        with pytest.raises(BrokenPipeError):
            worker.step()
    ((connection, _, base),) = taken.streams
    assert base is None
    edge.parts.hub.leave(connection, None)


@pytest.mark.parametrize("most", [1 << 20, 5, 0])
def test_head_and_first_event_leave_by_one_send_as_far_as_the_kernel_takes_them(
    edge: Edge, pair: Pair, taken: Taken, most: int
) -> None:
    with Noted(pair[0].detach()) as server:
        server.most = most
        worker = Worker(edge, server)
        worker.step()
        whole = b""
        while b'"connected"' not in whole:
            whole += pair[1].recv(65536)
        rest = [("sendall", len(whole) - most)] if most < len(whole) else []
        assert server.calls == [("send", len(whole)), *rest]
        worker.items.close()
        assert whole.startswith(b"HTTP/1.1 200 OK\r\nServer: gunicorn\r\nDate: ")


def test_heads_that_are_alike_are_made_once_a_second_in_gunicorns_own_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[str] = []
    words = Response.default_headers
    monkeypatch.setattr(Response, "default_headers", lambda self: made.append(self.status) or words(self))
    now = 1_000.0
    heads = Heads(lambda: now)

    def head(version: tuple[int, int] = (1, 1), *more: tuple[str, str]) -> bytes:
        one, other = socket.socketpair()
        with one, other:
            request = SimpleNamespace(version=version, method="GET", should_close=lambda: False)
            response = Response(request, one, Config())
            response.start_response("200 OK", [("X-Always", "there"), *more])
            response.chunked = False
            heads.put_before(response)
            response.write(b"body")
            return other.recv(65536)

    first = head()
    assert first.startswith(b"HTTP/1.1 200 OK\r\nServer: gunicorn\r\nDate: ")
    assert first.endswith(b"X-Always: there\r\n\r\nbody")
    now = 1_000.9
    assert head() == first
    assert len(made) == 1
    assert head((1, 0)).startswith(b"HTTP/1.0 200 OK\r\n")
    assert head((1, 1), ("X-More", "too")).endswith(b"X-More: too\r\n\r\nbody")
    assert len(made) == 3
    head()
    now = 1_001.0
    head()
    assert len(made) == 5


def held_back(items: Iterable[bytes]) -> Iterator[bytes]:
    """One who is always an item behind."""
    before = b""
    for item in items:
        if before:
            yield before
        before = item
    yield before


def test_a_middleware_that_holds_an_item_back_keeps_the_stream(edge: Edge, pair: Pair, taken: Taken) -> None:
    server, reader = pair
    worker = Worker(edge, server)
    edge.post("/sse/send", {"clientId": "a", "data": "held back"})
    edge.post("/sse/close", {"clientId": "a"})
    for item in held_back(worker.items):
        worker.response.write(item)
    with pytest.raises(StopIteration):  # also asked once more, when all is written
        next(worker.items)
    worker.items.close()
    assert b'"held back"' in reader.recv(65536)
    assert (taken.streams, streams(edge)) == ([], 0)


# --- by the server's generator


def no_epoll(error: Exception) -> Callable[[], Any]:
    def epoll() -> Any:
        raise error

    return epoll


@pytest.mark.parametrize(
    "error",
    [AttributeError("select has none"), OSError(errno.EMFILE, "too many open files")],
    ids=["none", "no file left"],
)
def test_without_an_epoll_the_server_keeps_it(
    edge: Edge,
    pair: Pair,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("app.hub.loop.epoll", no_epoll(error))
    worker = Worker(edge, pair[0])
    worker.step()
    worker.items.close()
    assert said(caplog) == [(logging.INFO, "streams leave by the server's generator: no epoll is to be had")]
    assert streams(edge) == 0


HIDDEN = "HTTP/2, or a middleware that hides gunicorn's response"
OTHER = "not gunicorn's gevent worker"


@pytest.mark.parametrize("outlet", ["auto", "socket"])
@pytest.mark.parametrize(
    ("obstacle", "why"),
    [
        ("another worker", OTHER),
        ("no gunicorn", OTHER),
        ("a write of one's own", HIDDEN),
        ("another", HIDDEN),
    ],
)
def test_where_something_stands_in_the_way_the_server_keeps_it_and_the_log_says_so_once(
    make_edge: MakeEdge,
    pair: Pair,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    outlet: str,
    obstacle: str,
    why: str,
) -> None:
    caplog.set_level(logging.INFO)
    edge = make_edge(outlet=outlet)
    how: dict[str, Any] = {}
    if obstacle == "another worker":
        monkeypatch.delitem(sys.modules, "gunicorn.workers.ggevent")
    elif obstacle == "no gunicorn":
        how["gunicorn.socket"] = None
    elif obstacle == "another socket":
        how["gunicorn.socket"] = pair[1]
    else:
        how["start"] = lambda status, headers: lambda data: None
    for _ in range(3):
        worker = Worker(edge, pair[0], **how)
        assert b'"connected"' in next(worker.items)
        worker.items.close()
    level = logging.WARNING if outlet == "socket" else logging.INFO
    assert said(caplog) == [(level, f"streams leave by the server's generator: {why}")]
    assert streams(edge) == 0


def test_under_tls_the_server_keeps_it(edge: Edge, pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with Encrypted(fileno=pair[0].detach()) as encrypted:
        worker = Worker(edge, encrypted)
        worker.step()
        worker.items.close()
    assert said(caplog) == [(logging.INFO, "streams leave by the server's generator: TLS ends in gunicorn")]


def test_who_wants_the_generator_gets_it(make_edge: MakeEdge, pair: Pair) -> None:
    edge = make_edge(outlet="generator")
    worker = Worker(edge, pair[0])
    worker.step()
    worker.items.close()
    assert b"Transfer-Encoding: chunked" in pair[1].recv(65536)
    assert repr(edge.parts.streams) == "<Streams by generator: none taken>"


# --- nothing is kept of a stream that never came to be


def test_a_stream_that_is_closed_before_it_is_read_gives_back_its_place(
    edge: Edge, pair: Pair, taken: Taken
) -> None:
    for steps in (0, 1):
        worker = Worker(edge, pair[0])
        assert streams(edge) == 1
        for _ in range(steps):
            worker.step()
        worker.items.close()
        worker.items.close()
        assert streams(edge) == 0


def test_a_stream_whose_head_the_server_refuses_gives_back_its_place(edge: Edge, pair: Pair) -> None:
    def spoil(response: Answer) -> Answer:
        response.headers["X-Bell"] = "\a"
        return response

    edge.app.after_request(spoil)
    with pytest.raises(InvalidResponseHeader):
        Worker(edge, pair[0])
    assert streams(edge) == 0


def test_a_stream_whose_response_is_lost_on_its_way_gives_back_its_place(edge: Edge) -> None:
    def fail(response: Answer) -> Answer:
        if response.mimetype == "text/event-stream":
            raise LookupError("in somebody's after_request")
        return response

    edge.app.after_request(fail)
    assert edge.get(f"{STREAM}?clientId=a").status_code == 500
    assert streams(edge) == 0


def test_who_wraps_the_items_gets_them_and_closes_the_stream(edge: Edge, pair: Pair, taken: Taken) -> None:
    """As an extension does that compresses or counts; the stream stays with the server."""
    seen: list[bytes] = []

    def seen_off(items: Iterable[bytes]) -> Iterator[bytes]:
        for item in items:
            seen.append(item)
            yield item

    def watch(response: Answer) -> Answer:
        if response.mimetype == "text/event-stream":
            response.response = seen_off(response.iter_encoded())
        return response

    edge.app.after_request(watch)
    worker = Worker(edge, pair[0])
    worker.step()
    edge.post("/sse/send", {"clientId": "a", "data": "through a wrap"})
    worker.step()
    assert b"connected" in seen[0]
    assert b"through a wrap" in seen[1]
    assert streams(edge) == 1
    worker.items.close()
    assert (streams(edge), taken.streams) == (0, [])


def test_a_request_that_is_refused_before_opens_nothing(edge: Edge) -> None:
    def fail() -> None:
        raise LookupError("in somebody's before_request")

    edge.app.before_request(fail)
    assert edge.get(f"{STREAM}?clientId=a").status_code == 500
    assert (streams(edge), edge.numbers()["clients"]) == (0, 0)


def test_who_finds_no_room_is_told_in_one_piece_and_its_connection_ends(
    make_edge: MakeEdge, pair: Pair
) -> None:
    edge = make_edge(connections_worker=1)
    with edge.listen("clientId=first"):
        worker = Worker(edge, pair[0])
        worker.step()
        worker.items.close()
    head, _, body = pair[1].recv(65536).partition(b"\r\n\r\n")
    assert b'"overloaded"' in body
    assert b"\r\nConnection: close" in head
    assert f"Content-Length: {len(body)}".encode() in head


# --- the line in the access log


@pytest.fixture
def access(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """The lines of gunicorn's access log, as it is where an operator wants one."""
    logger, written = logging.getLogger("gunicorn.access"), []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(record.getMessage())

    kept, before = Kept(), (logger.level, logger.propagate)
    logger.addHandler(kept)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield lambda: written
    logger.removeHandler(kept)
    logger.level, logger.propagate = before


def test_the_end_of_a_taken_stream_is_a_line_without_its_query_that_nobody_can_forge(
    edge: Edge, pair: Pair, taken: Taken, access: Callable[[], list[str]]
) -> None:
    forged = 'x" 200 5 "-" "y'
    worker = Worker(edge, pair[0], "clientId=a&token=s3cret", REMOTE_ADDR="192.0.2.1", HTTP_USER_AGENT=forged)
    worker.step()
    with pytest.raises(BrokenPipeError):
        worker.step()
    ((connection, _, _),) = taken.streams
    assert access() == []
    edge.parts.hub.leave(connection, None)
    (line,) = access()
    assert line.startswith(f'192.0.2.1 - - "GET {STREAM} HTTP/1.1" end gone {connection.wired} "')
    assert line.endswith(" s")
    assert line.count('"') - line.count('\\"') == 4
    assert "s3cret" not in line


def test_the_end_of_any_other_stream_is_the_servers_to_tell(
    make_edge: MakeEdge, pair: Pair, access: Callable[[], list[str]]
) -> None:
    edge = make_edge(outlet="generator")
    worker = Worker(edge, pair[0])
    worker.step()
    worker.items.close()
    assert access() == []
