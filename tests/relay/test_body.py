"""body: the same bytes however they are cut into chunks and pieces, each handed on the moment it arrives."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import io
import socket
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3.exceptions import HTTPError, ProtocolError

from app.relay.body import READ_SIZE, Body, Chunks
from tests.relay import CHUNKED, HEAD, UNTIL_CLOSE, chunk, responded
from tests.relay.test_frames import MIB, bytewise, pieces_of

LAST = b"0\r\n\r\n"


# --- chunks, as they are cut -----------------------------------------------------------------------------


def coded(*parts: bytes) -> bytes:
    """A body in these chunks."""
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + LAST


def decoded(pieces: Iterable[bytes]) -> tuple[bytes, bool]:
    """What a body holds that comes in these pieces, and whether it came to its end."""
    chunks = Chunks()
    body = b"".join(chunks.feed(piece) for piece in pieces if not (chunks.ended or chunks.error))
    if chunks.error:
        raise chunks.error
    return body, chunks.ended


class Played:
    """In the place of a socket: something for http.client to read."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def by_http_client(stream: bytes) -> bytes:
    sock: Any = Played(CHUNKED + stream)
    response = http.client.HTTPResponse(sock)
    response.begin()
    return response.read()


EVENTS = chunk("Hel") + chunk("lo")
CODED = {
    "an event a chunk": (coded(chunk("Hel"), chunk("lo")), EVENTS),
    "an event in several chunks": (coded(EVENTS[:1], EVENTS[1:9], EVENTS[9:]), EVENTS),
    "several events in a chunk": (coded(EVENTS), EVENTS),
    "nothing": (LAST, b""),
    "line ends and sizes inside of chunks": (coded(b"\r\n", b"5\r\n", b"0\r\n\r\n"), b"\r\n5\r\n0\r\n\r\n"),
    "upper case": (b"A\r\n0123456789\r\nB\r\n0123456789a\r\n" + LAST, b"01234567890123456789a"),
    "lower case": (b"a\r\n0123456789\r\nb\r\n0123456789a\r\n" + LAST, b"01234567890123456789a"),
    "leading zeros": (b"0005\r\nhello\r\n" + LAST, b"hello"),
    "more leading zeros than a size line is long as a rule": (b"0" * 50 + b"5\r\nhello\r\n" + LAST, b"hello"),
    "many zeros for the end": (b"5\r\nhello\r\n000000\r\n\r\n", b"hello"),
    "extensions": (b'5;name=value\r\nhello\r\n2; a="b"\r\n !\r\n0;last\r\n\r\n', b"hello !"),
    "space around the size": (b"5 \r\nhello\r\n2 \t;a\r\n !\r\n" + LAST, b"hello !"),
    "trailers": (coded(b"hello")[:-2] + b"X-Sum: 5\r\nX-More: 5\r\n\r\n", b"hello"),
}
every_coding = pytest.mark.parametrize(("stream", "body"), CODED.values(), ids=CODED)


@every_coding
def test_a_body_is_the_same_whole_and_byte_by_byte(stream: bytes, body: bytes) -> None:
    assert decoded([stream]) == (body, True)
    assert decoded(bytewise(stream)) == (body, True)
    assert by_http_client(stream) == body


@every_coding
def test_a_body_is_the_same_cut_in_two_anywhere(stream: bytes, body: bytes) -> None:
    for at in range(len(stream) + 1):
        assert decoded([stream[:at], stream[at:]]) == (body, True), f"cut at {at}"


@every_coding
def test_a_body_that_breaks_off_has_not_ended(stream: bytes, body: bytes) -> None:
    end = stream.rindex(b"\r\n0") + 2 if body else 0  # where the line of the last chunk begins
    for at in range(end):
        came, ended = decoded([stream[:at]])
        assert not ended, f"broken off at {at}"
        assert body.startswith(came)


def cut_at(stream: bytes, places: Iterable[int]) -> list[bytes]:
    at = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[a:b] for a, b in pairwise(at)]


PART = st.binary(min_size=1, max_size=300) | st.sampled_from([b"\r\n", LAST, b"f\r\n"])


@given(
    st.lists(PART, max_size=20),
    st.lists(st.integers(0, 10_000), max_size=20),
    st.sampled_from(["%x", "%X", "%04x", "%x;a=b", "%x "]),
)
def test_any_body_is_the_same_in_any_chunks_and_pieces(
    parts: list[bytes], places: list[int], size_line: str
) -> None:
    sized = [(size_line % len(part)).encode() + b"\r\n" + part + b"\r\n" for part in parts]
    stream = b"".join(sized) + LAST
    assert decoded(cut_at(stream, places)) == (b"".join(parts), True)
    assert by_http_client(stream) == b"".join(parts)


BITS = [b"5", b"a", b"\r\n", b"\r", b"\n", b";", b" ", b"hello", b"5\r\nhello\r\n", LAST, b"-", b"x" * 1_000]


@given(
    st.lists(st.sampled_from(BITS), max_size=10).map(b"".join), st.lists(st.integers(0, 2_000), max_size=5)
)
def test_of_what_may_be_no_body_comes_the_same_in_any_pieces(stream: bytes, places: list[int]) -> None:
    def came(pieces: Iterable[bytes]) -> tuple[bytes, bool]:
        chunks, body = Chunks(), b""
        for piece in pieces:
            if not (chunks.ended or chunks.error):
                body += chunks.feed(piece)
        return body, chunks.ended

    assert came(cut_at(stream, places)) == came([stream])


def test_what_came_before_a_broken_chunk_is_good_however_it_is_cut() -> None:
    stream = b"5\r\nhello\r\nHTTP/1.1 500 Oh no\r\n\r\n"
    for pieces in ([stream], bytewise(stream)):
        chunks = Chunks()
        assert b"".join(chunks.feed(piece) for piece in pieces if not chunks.error) == b"hello"
        assert chunks.error


def test_what_comes_with_the_end_is_given_with_it() -> None:
    chunks = Chunks()
    assert chunks.feed(b"5\r\nhello\r\n") == b"hello"
    assert not chunks.ended
    assert chunks.feed(b"2\r\n !\r\n0\r\n\r\n") == b" !"
    assert chunks.ended


def test_nothing_is_read_behind_the_end() -> None:
    assert decoded([coded(b"hello") + coded(b"another answer")]) == (b"hello", True)


def test_each_byte_of_a_chunk_is_there_before_the_next_one_comes() -> None:
    chunks = Chunks()
    assert chunks.feed(b"5\r\n") == b""
    assert [chunks.feed(bytes([letter])) for letter in b"hello"] == [b"h", b"e", b"l", b"l", b"o"]
    assert chunks.feed(b"\r") + chunks.feed(b"\n") == b""


REFUSED = {
    "no size": b"\r\nhello\r\n",
    "an extension without a size": b";a\r\nhello\r\n",
    "a word": b"hello\r\n",
    "a plus": b"+5\r\nhello\r\n",
    "a minus": b"-5\r\nhello\r\n",
    "an underscore": b"1_0\r\n0123456789abcdef\r\n",
    "a prefix": b"0x5\r\nhello\r\n",
    "a prefix and nothing": b"0x\r\n",
    "two numbers": b"5 5\r\nhello\r\n",
    "a space within": b"1 0\r\n0123456789abcdef\r\n",
    "a digit of another alphabet": "٥\r\nhello\r\n".encode(),
    "a fraction": b"5.0\r\nhello\r\n",
    "a bare line feed in an extension": b"5;\nhello\r\n",
    "a chunk longer than its size": b"5\r\nhello!!\r\n",
    "a line end too many": b"5\r\nhello\r\n\r\n5\r\nhello\r\n",
}


@pytest.mark.parametrize("stream", REFUSED.values(), ids=REFUSED)
def test_what_is_no_size_is_refused(stream: bytes) -> None:
    for pieces in ([stream + LAST], bytewise(stream + LAST)):
        with pytest.raises(ProtocolError, match="chunk"):
            decoded(pieces)


def test_a_size_below_nothing_is_refused_also_where_it_is_all_that_was_read(opened: Opened) -> None:
    body = opened(CHUNKED).body()
    with pytest.raises(ProtocolError, match="chunk"):
        body.received(b"-3\r\n")


def test_a_size_line_is_no_longer_than_1024_bytes() -> None:
    def stream(length: int) -> bytes:
        return b"5;" + b"x" * (length - 4) + b"\r\nhello\r\n" + LAST

    for cut in (lambda stream: [stream], bytewise):
        assert decoded(cut(stream(1_024))) == (b"hello", True)
        with pytest.raises(ProtocolError):
            decoded(cut(stream(1_025)))


def test_a_size_line_without_an_end_is_not_waited_for() -> None:
    with pytest.raises(ProtocolError):
        decoded([b"0" * 100] * 100)


@pytest.mark.parametrize("size", [16 * MIB, 2**63, 2**64 + 5, 16**900])
def test_of_a_huge_chunk_each_piece_is_given_and_nothing_is_kept(size: int) -> None:
    chunks = Chunks()
    assert chunks.feed(b"%x\r\n" % size) == b""
    for _ in range(10):
        assert chunks.feed(b"x" * READ_SIZE) == b"x" * READ_SIZE
    assert not chunks.ended


def test_a_huge_chunk_comes_to_its_end() -> None:
    body = bytes(range(256)) * (4 * MIB // 256)
    stream = coded(body, b"after")
    assert decoded(pieces_of(stream, READ_SIZE)) == (body + b"after", True)


# --- a body, as it comes over a socket -------------------------------------------------------------------


class Arriving:
    """A socket with a response on it whose head has been read, and `server`, which sends its body."""

    def __init__(self, stack: contextlib.ExitStack, sent: bytes) -> None:
        self.server, self.client = (stack.enter_context(end) for end in socket.socketpair())
        self.client.settimeout(5)
        self.server.sendall(sent)
        self.response = stack.enter_context(contextlib.closing(responded(self.client)))
        self.got: list[bytes] = []

    def body(self, enough: int = 1_000_000) -> Body:
        """Its body, fed into `got`; who is fed wants so many pieces."""

        def feed(data: bytes) -> bool:
            self.got.append(data)
            return len(self.got) < enough

        return Body(self.response, feed)


Opened = Callable[[bytes], Arriving]


@pytest.fixture
def opened() -> Iterator[Opened]:
    """`opened(head)`: a response that has come so far."""
    with contextlib.ExitStack() as stack:
        yield lambda sent: Arriving(stack, sent)


def read(body: Body) -> None:
    while body.received(body.wait()):
        pass


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data)


LENGTH = HEAD + b"Content-Length: %d\r\n\r\n"
CODINGS: dict[str, tuple[bytes, Callable[[bytes], bytes], bool]] = {
    "in chunks": (CHUNKED, coded, True),
    "until the end of the connection": (UNTIL_CLOSE, bytes, True),
    "in chunks, said to be what it is": (
        CHUNKED[:-2] + b"Content-Encoding: identity\r\n\r\n",
        coded,
        True,
    ),
    "with its length": (LENGTH % len(EVENTS), bytes, False),
    "compressed": (UNTIL_CLOSE[:-2] + b"Content-Encoding: gzip\r\n\r\n", gzipped, False),
    "compressed, in chunks": (
        CHUNKED[:-2] + b"Content-Encoding: GZIP\r\n\r\n",
        lambda data: coded(gzipped(data)),
        False,
    ),
}
every_body = pytest.mark.parametrize(("head", "code", "by_socket"), CODINGS.values(), ids=CODINGS)


@every_body
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_body_is_read_to_its_end(
    opened: Opened, head: bytes, code: Callable[[bytes], bytes], by_socket: bool, size: int
) -> None:
    """Where it is read from the socket, each piece before the next is sent."""
    arriving = opened(head)
    body = arriving.body()
    assert (body.sock is arriving.client) == by_socket
    for piece in pieces_of(code(EVENTS), size):
        arriving.server.sendall(piece)
        # What goes through http.client waits until it can give some.
        if by_socket and not body.received(body.wait()):
            break
    else:
        arriving.server.shutdown(socket.SHUT_WR)
        read(body)
    assert b"".join(arriving.got) == EVENTS


@every_body
def test_what_came_along_with_the_head_is_not_lost(
    opened: Opened, head: bytes, code: Callable[[bytes], bytes], by_socket: bool
) -> None:
    arriving = opened(head + code(EVENTS))
    arriving.server.shutdown(socket.SHUT_WR)
    read(arriving.body())
    assert b"".join(arriving.got) == EVENTS


@pytest.mark.parametrize(("head", "code"), [(CHUNKED, coded), (UNTIL_CLOSE, bytes)])
def test_more_than_a_buffer_that_came_along_with_the_head_keeps_its_order(
    opened: Opened, head: bytes, code: Callable[[bytes], bytes]
) -> None:
    events = b"".join(chunk(str(n)) for n in range(500))
    arriving = opened(head + code(events))
    arriving.server.shutdown(socket.SHUT_WR)
    read(arriving.body())
    assert len(events) > 2 * READ_SIZE
    assert b"".join(arriving.got) == events


def test_the_rest_of_the_head_is_taken_once_and_without_a_wait(opened: Opened) -> None:
    arriving = opened(UNTIL_CLOSE + b"came along")
    arriving.client.settimeout(0.0)
    body = arriving.body()
    assert body.rest_of_head() == b"came along"
    arriving.server.sendall(b"came later")
    assert body.rest_of_head() == b""
    assert body.sock.recv(100) == b"came later"


def test_where_nothing_came_along_with_the_head_nothing_is_waited_for(opened: Opened) -> None:
    arriving = opened(UNTIL_CLOSE)
    arriving.client.settimeout(0.0)
    assert arriving.body().rest_of_head() == b""


@pytest.mark.parametrize("head", [CHUNKED, UNTIL_CLOSE])
def test_each_piece_is_read_as_it_comes(opened: Opened, head: bytes) -> None:
    arriving = opened(head)
    body = arriving.body()
    for n in range(20):
        event = chunk(str(n))
        arriving.server.sendall(coded(event)[: -len(LAST)] if head == CHUNKED else event)
        assert body.received(body.wait())
        assert arriving.got[-1] == event


def test_nobody_is_fed_with_what_holds_nothing(opened: Opened) -> None:
    """The size of a chunk, or its line end."""
    arriving = opened(CHUNKED)
    body = arriving.body()
    for piece in (b"5", b"\r\n", b"hello", b"\r", b"\n0\r"):
        assert body.received(piece)
    assert not body.received(b"\n\r\n")
    assert arriving.got == [b"hello"]


BROKEN_OFF = {
    "at once": b"",
    "in a size": b"5",
    "behind a size": b"5\r\n",
    "in a chunk": b"5\r\nhel",
    "before the end of a chunk": b"5\r\nhello",
    "between two chunks": b"5\r\nhello\r\n",
    "in the last size": b"5\r\nhello\r\n0",
}


@pytest.mark.parametrize("stream", BROKEN_OFF.values(), ids=BROKEN_OFF)
def test_an_end_before_the_last_chunk_is_no_end(opened: Opened, stream: bytes) -> None:
    arriving = opened(CHUNKED + stream)
    arriving.server.shutdown(socket.SHUT_WR)
    with pytest.raises(ProtocolError, match="before the last chunk"):
        read(arriving.body())
    assert b"".join(arriving.got) == (b"hello" if b"o" in stream else b"hel" if b"l" in stream else b"")


@pytest.mark.parametrize("head", [LENGTH % 100, UNTIL_CLOSE[:-2] + b"Content-Encoding: gzip\r\n\r\n"])
def test_an_end_before_the_announced_one_is_no_end(opened: Opened, head: bytes) -> None:
    arriving = opened(head + b"hello")
    arriving.server.shutdown(socket.SHUT_WR)
    with pytest.raises((HTTPError, zlib.error)):
        read(arriving.body())


@pytest.mark.parametrize(
    "stream",
    [CHUNKED + coded(b"a", b"b", b"c"), UNTIL_CLOSE + b"abc", LENGTH % 3 + b"abc"],
    ids=["in chunks", "until the end of the connection", "with its length"],
)
def test_who_wants_no_more_is_fed_no_more(opened: Opened, stream: bytes) -> None:
    arriving = opened(stream)
    body = arriving.body(enough=1)
    assert not body.received(body.wait())
    assert len(arriving.got) == 1


def test_what_the_one_who_is_fed_raises_goes_through(opened: Opened) -> None:
    arriving = opened(CHUNKED + coded(b"a"))

    def feed(data: bytes) -> bool:
        raise OSError("cut")

    body = Body(arriving.response, feed)
    with pytest.raises(OSError, match="cut"):
        body.received(body.wait())
