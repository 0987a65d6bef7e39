"""How bytes leave by way of a server: head first, joined, woken from anywhere, ended once, handed by byte."""

from __future__ import annotations

import socket
import threading
from itertools import islice
from typing import Any

import pytest
from gunicorn.util import write_chunk

from app.hub.connection import UNCONFIRMED, Connection
from app.hub.outlets import GeneratorOutlet
from app.hub.peer import Peer
from tests.hub.ends import Pair, reset
from tests.hub.kit import HEARTBEAT, Desk, read, types
from tests.rig.reading import eventually


def outlet(desk: Desk, sock: Any = None, chunked: bool = True, **how: Any) -> GeneratorOutlet:
    opened = desk.hub.open("c", **how)
    assert opened
    return GeneratorOutlet(*opened, desk.hub.take, desk.hub.leave, Peer(sock), chunked, desk.clock)


def connections(desk: Desk) -> int:
    return desk.hub.counts()["connections"]


# --- the iterable ---


def test_the_head_comes_first_and_alone_whatever_waits(desk: Desk) -> None:
    desk.send("waits")
    stream = outlet(desk)
    desk.send("came since")
    assert types(read(next(stream))) == ["connected"]
    assert [said.what for said in read(next(stream))] == ["waits", "came since"]


def test_all_that_has_gathered_leaves_as_one_bytes_object(desk: Desk) -> None:
    stream = outlet(desk)
    next(stream)
    for n in range(100):
        desk.send(n)
    item = next(stream)
    assert type(item) is bytes
    assert [said.what for said in read(item)] == list(range(100))


def test_the_stream_ends_after_its_last_word(desk: Desk) -> None:
    stream = outlet(desk)
    next(stream)
    desk.hub.close("c")
    assert types(read(next(stream))) == ["closing"]
    with pytest.raises(StopIteration):
        next(stream)


def test_the_stream_of_a_peer_that_left_ends_without_a_word(desk: Desk) -> None:
    stream = outlet(desk)
    next(stream)
    stream._connection.end("gone")
    assert list(stream) == []


def test_a_heartbeat_is_an_item_of_its_own(desk: Desk) -> None:
    stream = outlet(desk)
    next(stream)
    desk.clock.advance(HEARTBEAT)
    desk.hub.upkeep.beat()
    assert next(stream) == b":\n\n"


def test_close_gives_the_place_back_once(desk: Desk) -> None:
    stream = outlet(desk)
    next(stream)
    assert connections(desk) == 1
    stream.close()
    stream.close()
    assert connections(desk) == 0


def test_close_gives_the_place_back_of_a_stream_that_never_started(desk: Desk) -> None:
    desk.send("waits")
    outlet(desk).close()
    assert connections(desk) == 0
    assert [said.what for said in desk.tab().take()] == ["waits"]


def test_close_gives_the_place_back_of_a_stream_that_ended(desk: Desk) -> None:
    stream = outlet(desk)
    desk.hub.close("c")
    list(stream)
    stream.close()
    assert connections(desk) == 0


def test_who_is_woken_before_it_waits_looks_all_the_same(desk: Desk) -> None:
    """Nothing to wait by is made for a stream whose socket is taken before it waits."""
    stream = outlet(desk)
    stream.wake()
    next(stream)
    desk.send("came since")
    assert stream._awake is None
    assert [said.what for said in read(next(stream))] == ["came since"]


# --- giving the connection away ---


def test_who_gives_its_connection_away_has_nothing_more_to_do_with_it(desk: Desk, pair: Pair) -> None:
    stream = outlet(desk, pair.server, chunked=False)
    before = stream._peer.queued()
    head = next(stream)
    pair.server.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + head)
    connection, base = stream.hand_over()
    assert connection is stream._connection
    assert base == before + len(b"HTTP/1.1 200 OK\r\n\r\n"), "what stands before the first byte of the stream"
    assert connection.wired == len(head)
    stream.close()
    assert connections(desk) == 1


def test_where_nothing_is_known_of_the_socket_nobody_can_tell_where_the_stream_begins(desk: Desk) -> None:
    one, other = socket.socketpair()
    with one, other:
        stream = outlet(desk, one, chunked=False)
        head = next(stream)
        connection, base = stream.hand_over()
    assert (base, connection.wired) == (None, len(head))


# --- waking ---


@pytest.mark.parametrize("what", ["send", "broadcast", "publish", "close", "drain", "heartbeat", "gone"])
def test_a_waiting_stream_is_woken_from_another_thread(desk: Desk, what: str) -> None:
    stream = outlet(desk)
    next(stream)
    got: list[list[str]] = []
    waiter = threading.Thread(
        daemon=True, target=lambda: got.append([_kinds(item) for item in islice(stream, 1)])
    )
    waiter.start()
    _wake_by(what, desk, stream)
    waiter.join(timeout=5)
    assert not waiter.is_alive()
    words = {"send": "message", "publish": "started", "close": "closing", "drain": "closing"}
    assert got == [[words.get(what, what)] if what != "gone" else []]


def _wake_by(what: str, desk: Desk, stream: GeneratorOutlet) -> None:
    if what == "heartbeat":
        desk.clock.advance(HEARTBEAT)
    if what == "gone":
        stream.gone = lambda: True
    {
        "send": desk.send,
        "broadcast": desk.tell,
        "publish": desk.start,
        "close": lambda: desk.hub.close("c"),
        "drain": lambda: desk.hub.drain(10.0),
    }.get(what, desk.hub.upkeep.beat)()


def _kinds(item: bytes) -> str:
    return "heartbeat" if item == b":\n\n" else read(item)[0].type


def test_what_is_said_between_two_looks_is_not_slept_through(desk: Desk) -> None:
    """The event comes after `take` found nothing and before the wait."""
    opened = desk.hub.open("c")
    assert opened
    looks: list[bytes] = []

    def take(connection: Connection) -> bytes:
        looks.append(desk.hub.take(connection))
        if len(looks) == 1:
            desk.send("just now")
        return looks[-1]

    stream = GeneratorOutlet(*opened, take, desk.hub.leave, Peer(None), True, desk.clock)
    next(stream)
    assert [said.what for said in read(next(stream))] == ["just now"]
    assert looks[0] == b""


# --- what is on the wire ---


class Wire:
    """A socket that keeps what gunicorn writes to it."""

    def __init__(self) -> None:
        self.written = 0

    def sendall(self, data: bytes) -> None:
        self.written += len(data)


@pytest.mark.parametrize("size", [1, 15, 16, 255, 256, 4_095, 4_096, 70_000])
def test_the_overhead_of_a_chunk_is_what_gunicorn_writes(size: int) -> None:
    wire = Wire()
    write_chunk(wire, b"x" * size)
    items = iter([b"x" * size, b""])
    connection = Connection("id", "c")
    stream = GeneratorOutlet(connection, b"", lambda c: next(items), lambda c, a: None, Peer(None), True)
    next(stream)
    connection.end("gone")
    assert list(stream) == []
    assert connection.wired == wire.written


def test_without_chunks_there_is_no_overhead(desk: Desk) -> None:
    stream = outlet(desk, chunked=False)
    size = len(next(stream))
    desk.send()
    next(stream)
    assert stream._connection.wired == size


def test_an_item_counts_as_written_when_the_server_asks_for_the_next(desk: Desk) -> None:
    stream = outlet(desk)
    next(stream)
    desk.send("one")
    next(stream)
    assert desk.hub.client("c")["waiting"] == 1
    desk.send("two")
    next(stream)
    assert desk.hub.client("c")["waiting"] == 1


# --- what was handed, end to end ---


HTTP = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def _begin(stream: GeneratorOutlet, server: socket.socket) -> None:
    """Writes the first item as gunicorn does: behind the head of the response."""
    head = next(stream)
    server.sendall(HTTP)
    write_chunk(server, head)


def test_what_a_reader_got_before_its_network_died_is_handed_to_the_byte(desk: Desk, pair: Pair) -> None:
    server, reader = pair
    stream = outlet(desk, server)
    _begin(stream, server)
    for n in range(3):
        desk.send(n)
        write_chunk(server, next(stream))
    reader.recv(65_536)
    stream._note_written()  # what the server does by asking for the next item
    eventually(lambda: stream._acknowledged() == stream._connection.wired)
    reset(reader)
    stream.close()
    assert desk.hub.client("c")["waiting"] == 0


def test_what_a_stalled_reader_never_took_off_the_network_waits_for_the_next(desk: Desk, pair: Pair) -> None:
    server, reader = pair
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    stream = outlet(desk, server)
    _begin(stream, server)
    for n in range(10):
        desk.send([n, "x" * 20_000])
        write_chunk(server, next(stream))
    stream._note_written()
    stream.close()
    waiting = desk.hub.client("c")["waiting"]
    assert 0 < waiting < 10
    assert [said.what[0] for said in desk.tab().take_all()] == list(range(10 - waiting, 10))


def test_acknowledgements_are_asked_for_only_now_and_then(
    desk: Desk, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, reader = pair
    stream = outlet(desk, server)
    asked: list[int] = []
    acknowledged = stream._peer.acknowledged
    monkeypatch.setattr(stream._peer, "acknowledged", lambda: asked.append(1) or acknowledged())
    _begin(stream, server)
    for _ in range(3 * UNCONFIRMED):
        desk.send()
        write_chunk(server, next(stream))
        reader.recv(65_536)
    assert len(asked) < UNCONFIRMED
    assert stream._connection.unconfirmed <= UNCONFIRMED
    stream.close()
