"""What else may come over a socket that a stream has taken, before, with and after its request.

All of it is another's bytes: none may appear in the stream, none may shift what counts as handed over.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import re
import socket
import termios
import threading
import time
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import MakePlace
from tests.e2e.kit import Place, Talk, get, nothing_left
from tests.hub.ends import reset
from tests.rig.reading import eventually
from tests.rig.wire import Wire

OTHER = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(autouse=True)
def all_is_given_back(place: Place) -> Iterator[None]:
    with nothing_left(place):
        yield


def goes_on(place: Place, client: str, stream: Talk) -> None:
    """A stream that has begun carries a message, and ends when it is told to; nothing else is in it."""
    assert stream.until("connected")
    assert place.send(client, "after all") == 200
    assert stream.next()["data"] == "after all"
    place.call("/sse/close", {"clientId": client})
    assert [event.type for event in stream.collect()] == ["connected", "message", "closing"]
    assert not stream.cut


# --- before the stream


@pytest.mark.parametrize("before", [0, 1, 2])
def test_requests_before_it_on_the_same_connection_do_not_count_as_handed(
    place: Place, fresh_client: str, before: int
) -> None:
    """A reader that stalls: what its TCP has acknowledged is exactly what lies in its own buffer."""
    sock = place.connect(receive=32_768)
    for _ in range(before):
        sock.sendall(OTHER.encode())
        read_answer(sock)
    with Talk(sock, get(fresh_client)) as stream:
        stream.next()
        for number in range(100):
            place.send(fresh_client, [number, "x" * 2_000])
        arrived = sock.recv(settled(sock), socket.MSG_PEEK)
        stream.reset()
    wire = Wire()
    wire.feed(arrived)
    whole = list(iter(wire.pop, None))
    place.forgets()
    assert 0 < len(whole) < 100
    assert place.waiting(fresh_client) == 100 - len(whole)


def settled(sock: socket.socket) -> int:
    """Bytes in the kernel's hands, once they have been the same for half a second: ACKs may be late."""
    size, since = 0, time.monotonic()

    def same() -> bool:
        nonlocal size, since
        now = array.array("i", [0])
        fcntl.ioctl(sock, termios.FIONREAD, now)
        if now[0] != size:
            size, since = now[0], time.monotonic()
        return size > 0 and time.monotonic() - since > 0.5

    eventually(same, within=20)
    return size


def read_answer(sock: socket.socket) -> bytes:
    """One answer that has a length."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += sock.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    found = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    assert found, head
    while len(body) < int(found[1]):
        body += sock.recv(65536)
    assert len(body) == int(found[1])
    return body


def test_who_leaves_before_the_head_is_written_leaves_nothing(place: Place, fresh_client: str) -> None:
    for number in range(150):
        with place.connect() as sock:
            sock.sendall(get(fresh_client).encode())
            if number % 3 == 1:
                sock.shutdown(socket.SHUT_WR)
            if number % 3 == 2:
                reset(sock)


# --- with its request


def test_a_second_request_in_the_same_segment_is_never_answered(place: Place, fresh_client: str) -> None:
    with place.stream(fresh_client, get(fresh_client) + OTHER * 3) as stream:
        goes_on(place, fresh_client, stream)


def test_a_second_request_later_is_never_answered(place: Place, fresh_client: str) -> None:
    with place.stream(fresh_client) as stream:
        for _ in range(3):
            stream.say(OTHER.encode())
        goes_on(place, fresh_client, stream)


@pytest.mark.parametrize("headers", [[], ["Connection: keep-alive"]], ids=["", "kept alive"])
def test_http_1_0_is_served_as_it_is(place: Place, fresh_client: str, headers: list[str]) -> None:
    with place.stream(fresh_client, get(fresh_client, *headers, version="1.0")) as stream:
        assert stream.headers["connection"] == "close"
        goes_on(place, fresh_client, stream)


BODIES = {
    "with its length": ("Content-Length: 11", b"hello there"),
    "60 KiB": ("Content-Length: 61440", b"x" * 61_440),
    "in chunks": ("Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n"),
    "announced and not sent": ("Content-Length: 1000000", b""),
}


@pytest.mark.parametrize(("header", "body"), BODIES.values(), ids=BODIES)
def test_a_body_on_the_request_is_dropped(place: Place, fresh_client: str, header: str, body: bytes) -> None:
    with place.stream(fresh_client, get(fresh_client, header).encode() + body) as stream:
        goes_on(place, fresh_client, stream)


@pytest.mark.parametrize("after", [False, True], ids=["as a body", "after the request"])
def test_who_sends_a_megabyte_to_a_stream_is_cut(place: Place, fresh_client: str, after: bool) -> None:
    header = "Accept: */*" if after else "Content-Length: 1048576"
    with place.stream(fresh_client, get(fresh_client, header)) as stream:
        stream.until("connected")
        with contextlib.suppress(ConnectionError):
            stream.say(b"x" * (1 << 20))
        with pytest.raises(EOFError):
            stream.next()


def test_who_expects_100_is_told_to_continue_and_then_answered(place: Place, fresh_client: str) -> None:
    sock = place.connect()
    sock.sendall(get(fresh_client, "Expect: 100-continue", "Content-Length: 5").encode())
    interim = b""
    while not interim.endswith(b"\r\n\r\n"):
        interim += sock.recv(1)
    assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
    with Talk(sock, b"hello") as stream:
        assert stream.status == 200
        goes_on(place, fresh_client, stream)


# --- after it


@pytest.mark.parametrize(
    "garbage",
    [b"\0\xff\r\n\r\n", b"POST / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"x" * 60_000],
)
def test_what_comes_later_is_dropped(place: Place, fresh_client: str, garbage: bytes) -> None:
    with place.stream(fresh_client) as stream:
        stream.until("connected")
        stream.say(garbage)
        goes_on_after(place, fresh_client, stream)


def goes_on_after(place: Place, client: str, stream: Talk) -> None:
    assert place.send(client, "after all") == 200
    assert stream.next()["data"] == "after all"


@pytest.mark.parametrize("leave", [Talk.close, Talk.finish, Talk.reset], ids=["close", "half-close", "reset"])
def test_who_has_nothing_more_to_say_has_left(place: Place, fresh_client: str, leave: object) -> None:
    """Without anything being written to it: the heartbeat is 15 seconds away."""
    with place.stream(fresh_client) as stream:
        stream.until("connected")
        leave(stream)  # type: ignore[operator]
        eventually(lambda: place.send(fresh_client, "too late") == 202, within=5)


def test_the_last_words_arrive_whole_while_the_reader_still_talks(place: Place, fresh_client: str) -> None:
    """Closing a socket with something unread sends a reset, which would destroy them."""
    stop = threading.Event()
    with place.stream(fresh_client) as stream:
        stream.until("connected")
        talking = threading.Thread(target=chatter, args=(stream.sock, stop))
        talking.start()
        place.send(fresh_client, "x" * 900_000)
        place.call("/sse/close", {"clientId": fresh_client})
        types = [event.type for event in stream.collect()]
        stop.set()
        talking.join()
        assert types == ["connected", "message", "closing"]
        assert not stream.cut


def chatter(sock: socket.socket, stop: threading.Event) -> None:
    for _ in range(100):
        with contextlib.suppress(OSError):
            sock.sendall(b"and another thing " * 20)
        if stop.wait(0.01):
            return


def test_a_megabyte_reaches_a_reader_that_takes_it_in_spoonfuls(place: Place, fresh_client: str) -> None:
    data = "".join(f"{number:07} " for number in range(1 << 17))[: (1 << 20) - 2]
    with place.stream(fresh_client, receive=4096) as stream:
        stream.until("connected")
        assert place.send(fresh_client, data) == 200
        assert stream.next(timeout=30)["data"] == data
        assert place.call("/healthz")[0] == 200
    assert place.waiting(fresh_client) == 0


# --- what gunicorn no longer does for it


def test_headers_that_others_add_are_in_its_head(place_at: MakePlace, fresh_client: str) -> None:
    origin = "https://shop.example"
    place = place_at(CORS_ORIGINS=origin)
    with place.stream(fresh_client, get(fresh_client, f"Origin: {origin}")) as stream:
        assert stream.headers["access-control-allow-origin"] == origin
        assert "origin" in stream.headers["vary"].lower()
        assert stream.headers["x-content-type-options"] == "nosniff"
        goes_on(place, fresh_client, stream)


ENDS = re.compile(r'^(\S+) - - "(.*?)" end (\w+) (\d+) "(.*)" ([\d.]+) s$', re.MULTILINE)


def test_the_access_log_has_a_line_for_the_end_of_each_stream(place_at: MakePlace, fresh_client: str) -> None:
    place = place_at("--access-logfile -")
    secret = get(fresh_client, 'User-Agent: a "quoted" one', query="&token=s3cret")
    with place.stream(fresh_client, secret) as stream:
        stream.until("connected")
        assert not ENDS.search(place.log)
        place.call("/sse/close", {"clientId": fresh_client})
        stream.collect()
    with place.stream(fresh_client) as left:
        left.until("connected")
    place.forgets()
    (who, what, *_), gone = ends = ENDS.findall(place.log)
    assert (who, what) == ("127.0.0.1", "GET /sse/createConnect HTTP/1.1")
    assert [end[2] for end in ends] == ["closed", "gone"]
    said = sum(len(event.raw) + 2 for event in stream.transcript)
    assert int(ends[0][3]) == said + len(f"retry: {stream.retry}\n\n")
    assert ends[0][4] == r"a \"quoted\" one"
    assert gone[4] == "-"
    assert "s3cret" not in "".join(line for line in place.log.splitlines() if " end " in line)


def test_the_access_log_has_the_id_that_each_answer_tells_its_caller(place_at: MakePlace) -> None:
    place = place_at("--access-logfile -")
    with place.connect() as sock:
        sock.sendall(OTHER.replace("\r\n\r\n", "\r\nX-Request-ID: mine.7\r\n\r\n").encode())
        assert b"\r\nX-Request-ID: mine.7\r\n" in sock.recv(4096)
    eventually(lambda: re.search(r'"GET /healthz HTTP/1.1" 200 .* mine\.7$', place.log, re.MULTILINE))


def test_without_an_access_log_there_is_no_line(place: Place, fresh_client: str) -> None:
    with place.stream(fresh_client) as stream:
        stream.until("connected")
    place.forgets()
    assert not ENDS.search(place.log)


def test_at_its_most_talkative_gunicorn_sees_nothing_wrong(place_at: MakePlace, fresh_client: str) -> None:
    """It is told that the pipe is broken, once for each stream."""
    place = place_at("--log-level debug", LOG_LEVEL="debug")
    with place.stream(fresh_client) as stream:
        goes_on(place, fresh_client, stream)
    place.forgets()
    assert "Ignoring EPIPE" in place.log
    assert not re.search(r"ERROR|WARNING|\bTraceback|\[error\]", place.log), place.log
