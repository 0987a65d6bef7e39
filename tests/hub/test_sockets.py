"""Streams on sockets that were taken: one write a turn, all of it once; who leaves or stalls hurts nobody."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest

from app.hub import rounds
from app.hub.connection import UNCONFIRMED, Connection
from app.hub.peer import Peer
from app.hub.socket_outlet import INPUT
from app.hub.sockets import LINGER, TURN
from tests.hub.ends import connected, reset
from tests.hub.house import MIB, House, Stream
from tests.hub.kit import HEARTBEAT, Clock, types
from tests.rig.reading import eventually


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def house(stack: ExitStack) -> House:
    return House(stack)


def stall(house: House, count: int = 40, size: int = 100_000) -> Stream:
    """A stream whose reader reads nothing, and for which more waits than any kernel takes."""
    stream = house.stream(buffer=4_096)
    for n in range(count):
        house.desk.send([n, "x" * size])
    house.settle()
    assert stream.outlet._rest is not None
    return stream


# --- writing ---


def test_all_that_gathers_in_a_turn_leaves_in_one_send(house: House) -> None:
    stream = house.stream()
    house.settle()
    for n in range(100):
        house.desk.send(n)
    assert stream.wire.sends == []
    house.turn()
    assert len(stream.wire.sends) == 1
    stream.until(lambda: stream.data)
    assert stream.data == list(range(100))


def test_however_often_a_stream_is_marked_it_is_looked_at_once(house: House) -> None:
    stream = house.stream()
    house.settle()
    house.takes.clear()
    for _ in range(5):
        stream.connection.outlet.wake()
    house.settle()
    assert house.takes == [stream.connection]
    assert stream.wire.sends == []


def test_what_is_said_between_the_head_and_the_taking_of_the_socket_is_not_lost(
    house: House, stack: ExitStack
) -> None:
    pair = stack.enter_context(connected())
    begun = house.begin(pair.server)
    house.desk.send("meanwhile")
    stream = house.adopt(begun, *pair)
    stream.until(lambda: stream.data)
    assert types(stream.events) == ["connected", "message"]


def test_every_byte_arrives_once_and_in_order_however_little_the_kernel_takes(house: House) -> None:
    stream, page = house.stream(buffer=4_096), house.desk.tab()
    page.take()
    stream.wire.most = 50_021
    for n, size in enumerate([1, 1 << 20, 100, 65_536, 1 << 20, 3]):
        house.desk.send([n, "ä" * (size // 2)])
        house.turn()
        stream.read(7_001)
    stream.until(lambda: len(stream.data) == 6)
    page.take_all()
    assert stream.bytes.split(b"\n\n", 2)[2] == page.bytes.split(b"\n\n", 2)[2]
    assert stream.connection.wired == len(stream.bytes)


def test_a_backlog_leaves_without_anybody_saying_more(house: House) -> None:
    """More than one write carries, of deltas that are merged to much less."""
    house.desk.start()
    for _ in range(3_000):
        house.desk.delta("x")
    stream = house.stream(cursor=house.desk.cursor(1))
    house.settle()
    stream.until(lambda: True)
    assert sum(len(said.body["data"]["content"]) for said in stream.events[1:]) == 3_000


def test_what_is_written_counts_as_handed_once_the_kernel_has_all_of_it(house: House) -> None:
    stall(house, count=1, size=4 * MIB)
    assert house.desk.hub.client("c")["waiting"] == 1


def test_a_heartbeat_leaves_by_itself(house: House) -> None:
    stream = house.stream()
    house.settle()
    house.desk.clock.advance(HEARTBEAT)
    house.desk.hub.upkeep.beat()
    stream.until(lambda: stream.bytes.endswith(b"\n\n:\n\n"))


# --- a reader that stalls ---


def test_a_reader_that_stalls_holds_nobody_up(house: House) -> None:
    stalled, other = stall(house), house.stream(client="d")
    for n in range(5):
        house.desk.send(n, client="d")
        other.until(lambda n=n: n in other.data)
    assert stalled.outlet._rest is not None


def test_nothing_more_is_taken_for_a_reader_that_stalls(house: House) -> None:
    stalled = stall(house)
    house.takes.clear()
    house.desk.send("more")
    house.settle()
    assert house.takes == []
    assert len(stalled.outlet._rest) <= 65_536 + 100_100


def test_a_reader_that_reads_again_gets_all_of_it_once(house: House) -> None:
    stalled = stall(house)
    house.desk.send([40, "the last"])
    stalled.wake()
    stalled.until(lambda: len(stalled.data) > 40)
    assert [said[0] for said in stalled.data] == list(range(41))
    house.settle()
    assert house.poll.poll(0) == [], "nothing is left to be looked at"


def test_what_a_reader_that_stalls_costs_the_kernel_is_bounded(house: House) -> None:
    stalled = stall(house)
    peer = Peer(stalled.wire)
    house.until(lambda: peer.queued() - peer.acknowledged() <= 128 * 1024)
    assert stalled.outlet._rest is not None


def test_a_reader_that_takes_nothing_for_too_long_is_cut(house: House) -> None:
    stalled = stall(house)
    house.desk.hub.upkeep.beat()
    house.desk.clock.advance(house.desk.limits.slow + 1)
    house.desk.hub.upkeep.beat()
    assert (house.places, stalled.connection.ending) == (0, "slow")


def test_a_reader_that_takes_little_is_waited_for(house: House) -> None:
    stalled = stall(house)
    for _ in range(5):
        before = stalled.connection.outlet.progress()
        stalled.until(lambda before=before: stalled.connection.outlet.progress() > before, most=4_096)
        house.desk.clock.advance(house.desk.limits.slow)
        house.desk.hub.upkeep.beat()
    assert stalled.connection.ending == ""


@pytest.mark.parametrize("wakes", [False, True])
def test_a_reader_that_stalls_and_has_an_end_is_cut_too_unless_it_wakes(house: House, wakes: bool) -> None:
    stalled = stall(house)
    assert house.desk.hub.close("c") == 1
    house.settle()
    assert house.places == 1
    if wakes:
        stalled.wake()
        stalled.until(lambda: stalled.ended)
        assert types(stalled.events)[-2:] == ["message", "closing"]
    else:
        house.desk.hub.upkeep.beat()
        house.desk.clock.advance(house.desk.limits.slow + 1)
        house.desk.hub.upkeep.beat()
        assert (house.places, stalled.connection.ending) == (0, "closed")


# --- a peer that leaves ---


def half_close(sock: socket.socket) -> None:
    """A FIN, and it would still read: who reads events has nothing more to say, so it has left."""
    sock.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("leave", [half_close, socket.socket.close, reset], ids=["half", "FIN", "RST"])
@pytest.mark.parametrize("stalled", [False, True])
def test_the_place_of_a_peer_that_leaves_is_given_back_without_a_write(
    house: House, leave: Callable[[socket.socket], None], stalled: bool
) -> None:
    stream = stall(house) if stalled else house.stream()
    house.settle()
    written = list(stream.wire.sends)
    if not stalled:
        stream.read()
    leave(stream.reader)
    house.until(lambda: house.places == 0)
    assert stream.wire.sends == written
    assert stream.connection.ending == "gone"
    assert stream.wire.fileno() == -1


def test_a_peer_is_noticed_that_leaves_after_it_had_stalled_and_read_on(house: House) -> None:
    stream = stall(house, count=5)
    stream.wake()
    stream.until(lambda: len(stream.data) == 5)
    house.settle()
    half_close(stream.reader)
    house.until(lambda: house.places == 0)


@pytest.mark.parametrize("what", [select.EPOLLERR, select.EPOLLHUP])
def test_a_socket_that_has_failed_is_closed_whatever_can_be_read_from_it(house: House, what: int) -> None:
    """A peer that vanished: the kernel has given up what it did not acknowledge."""
    stream = house.stream()
    stream.outlet.happened(what)
    assert (house.places, stream.wire.fileno()) == (0, -1)


@pytest.mark.parametrize("leave", [socket.socket.close, reset], ids=["FIN", "RST"])
def test_a_peer_that_had_left_before_its_socket_was_taken_is_noticed(
    house: House, stack: ExitStack, leave: Callable[[socket.socket], None]
) -> None:
    pair = stack.enter_context(connected())
    begun = house.begin(pair.server)
    leave(pair.reader)
    eventually(Peer(pair.server).gone)
    house.adopt(begun, *pair)
    house.until(lambda: house.places == 0)


@pytest.mark.parametrize(("reason", "said"), [("gone", []), ("closed", ["closing"])])
def test_a_stream_that_had_ended_before_its_socket_was_taken_ends(
    house: House, stack: ExitStack, reason: str, said: list[str]
) -> None:
    pair = stack.enter_context(connected())
    begun = house.begin(pair.server)
    begun._connection.end(reason)
    stream = house.adopt(begun, *pair)
    stream.until(lambda: stream.ended)
    assert types(stream.events) == ["connected", *said]
    stream.reader.close()
    house.until(lambda: house.places == 0)


def test_what_a_reader_sends_is_dropped(house: House) -> None:
    stream = house.stream()
    stream.reader.sendall(b"x" * (INPUT // 2))
    house.until(lambda: stream.outlet._read == INPUT // 2)
    house.desk.send("hello")
    stream.until(lambda: stream.data)
    assert house.places == 1


def test_a_reader_that_sends_more_than_any_reader_has_to_say_is_cut(house: House) -> None:
    stream = house.stream()
    with suppress(OSError):
        stream.reader.sendall(b"x" * (2 * INPUT))
    house.until(lambda: house.places == 0)


# --- the end ---


def test_the_end_is_said_and_the_socket_closed_once_the_peer_has_read_it(house: House) -> None:
    stream = house.stream()
    house.desk.send("last")
    house.desk.hub.close("c")
    stream.until(lambda: stream.ended)
    assert types(stream.events) == ["connected", "message", "closing"]
    assert house.places == 1
    stream.reader.close()
    house.until(lambda: house.places == 0)
    assert house.desk.hub.client("c")["waiting"] == 0


def test_the_tail_arrives_although_the_peer_had_sent_what_nobody_read(house: House) -> None:
    """Closing with something unread would send a reset, and the peer's kernel would drop the tail."""
    stream = house.stream()
    house.settle()
    house.desk.send("x" * 50_000)
    house.desk.hub.close("c")
    stream.reader.sendall(b"GET /next HTTP/1.1\r\n\r\n")
    house.turn()
    house.turn()
    stream.until(lambda: stream.ended, most=1_000)
    assert types(stream.events)[-2:] == ["message", "closing"]


def test_a_peer_that_never_closes_is_left_after_a_while(house: House) -> None:
    stream = house.stream()
    house.desk.hub.close("c")
    house.settle()
    house.desk.clock.advance(LINGER - 0.1)
    house.turn()
    assert house.places == 1
    later = house.stream(client="d")
    house.desk.hub.close("d")
    house.settle()
    house.desk.clock.advance(0.1)
    house.turn()
    assert (house.places, stream.wire.fileno()) == (1, -1)
    house.desk.clock.advance(LINGER)
    house.turn()
    assert (house.places, later.wire.fileno()) == (0, -1)


def test_a_stream_that_closes_on_done_ends_with_it(house: House) -> None:
    stream = house.stream(close_on_done=True)
    house.desk.answer("Hello")
    stream.until(lambda: stream.ended)
    assert types(stream.events) == ["connected", "started", "delta", "done", "[DONE]"]


def test_closing_twice_gives_one_place_back_and_a_late_mark_does_nothing(house: House) -> None:
    stream = house.stream()
    house.settle()
    stream.outlet.close()
    stream.outlet.close()
    assert house.places == 0
    stream.connection.outlet.wake()
    house.settle()
    assert stream.wire.sends == []


def test_a_stream_that_is_cut_while_it_is_marked_is_not_written(house: House) -> None:
    stream = house.stream()
    house.settle()
    house.desk.send("too late")
    stream.connection.outlet.cut()
    house.settle()
    assert stream.wire.sends == []
    assert house.desk.hub.client("c")["waiting"] == 1


# --- what counts as handed ---


def test_of_a_write_that_was_cut_in_the_middle_of_an_event_those_before_it_are_handed(house: House) -> None:
    stream = house.stream()
    house.settle()
    for n in range(3):
        house.desk.send([n, "x" * 1_000])
    stream.wire.room = 1_800
    house.settle()
    stream.until(lambda: len(stream.bytes) == stream.connection.wired + 1_800)
    peer = Peer(stream.wire)
    eventually(lambda: peer.acknowledged() == peer.queued())
    stream.outlet.close()
    assert stream.data == [[0, "x" * 1_000]]
    assert [said.what[0] for said in house.desk.tab().take_all()] == [1, 2]


def test_a_kernel_that_takes_nothing_is_asked_again_when_it_has_room(house: House) -> None:
    stream = house.stream()
    house.settle()
    stream.wire.room = 0
    house.desk.send("x")
    house.settle()
    assert stream.wire.sends == []
    stream.wire.room = 1_000
    stream.until(lambda: stream.data)


def test_of_a_reader_that_stalls_the_events_that_arrived_are_handed(house: House) -> None:
    stalled = stall(house)
    stalled.until(lambda: len(stalled.data) == 10, most=10_000)
    stalled.outlet.close()
    house.until(lambda: stalled.read() or stalled.ended)
    arrived = len(stalled.data)
    left = house.desk.hub.client("c")["waiting"]
    assert 40 - left >= arrived, "what the reader has is not brought again"
    assert 40 - left <= arrived + 2, "what it has not is, but for what is in its kernel"
    assert [said.what[0] for said in house.desk.tab().take_all()] == list(range(40 - left, 40))


def test_a_reader_that_vanishes_right_after_a_write_was_handed_what_its_kernel_took(house: House) -> None:
    stream = house.stream()
    house.desk.send("one")
    stream.until(lambda: stream.data)
    house.desk.send("two")
    stream.until(lambda: len(stream.data) == 2)
    reset(stream.reader)
    house.until(lambda: house.places == 0)
    assert house.desk.hub.client("c")["waiting"] == 0


def test_acknowledgements_are_asked_for_only_now_and_then(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = house.stream()
    asked: list[Peer] = []
    acknowledged = Peer.acknowledged
    monkeypatch.setattr(Peer, "acknowledged", lambda peer: asked.append(peer) or acknowledged(peer))
    for n in range(3 * UNCONFIRMED):
        house.desk.send("x")
        stream.until(lambda n=n: len(stream.data) > n)
    assert len(asked) < UNCONFIRMED
    assert stream.connection.unconfirmed <= 2 * UNCONFIRMED


# --- one stream's fault ---


def test_a_stream_that_fails_is_cut_and_the_others_are_served(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    before, bad, after = house.stream(client="a"), house.stream(), house.stream(client="b")
    house.settle()
    house.desk.hub.take = _failing_for(bad.connection, house.desk.hub.take)  # type: ignore[method-assign]
    house.desk.send("to all of it")
    house.desk.tell("all")
    house.until(lambda: before.read() or after.read() or (before.data and after.data))
    assert (house.places, bad.connection.ending) == (2, "gone")
    assert "a stream failed and is cut" in caplog.text
    assert "no such luck" in caplog.text


def _failing_for(bad: Connection, take: Callable[[Connection], bytes]) -> Callable[[Connection], bytes]:
    def failing(connection: Connection) -> bytes:
        if connection is bad:
            raise RuntimeError("no such luck")
        return take(connection)

    return failing


def test_a_socket_that_cannot_be_watched_gives_its_place_back(house: House, stack: ExitStack) -> None:
    """epoll refuses where a user watches too much already."""
    pair = stack.enter_context(connected())
    begun = house.begin(pair.server)
    house.sockets._poll = _Refusing()
    with pytest.raises(OSError, match="too many"):
        house.adopt(begun, *pair)
    assert house.places == 0
    assert pair.server.fileno() == -1
    house.settle()


class _Refusing:
    """An epoll that watches nothing more."""

    def register(self, descriptor: int, what: int) -> None:
        raise OSError("too many watches")

    def unregister(self, descriptor: int) -> None:
        raise FileNotFoundError(descriptor)


def test_who_gets_a_descriptor_of_a_stream_just_closed_gets_none_of_its_events(
    house: House, stack: ExitStack
) -> None:
    """Two peers leave at once. With the first its neighbour is closed, whose number is another's at once:
    what was noticed of the neighbour is not for that other."""
    pair = stack.enter_context(connected())
    begun = house.begin(pair.server, "d")
    two = [house.stream(), house.stream()]
    house.settle()
    others: list[Stream] = []

    def leave(connection: Connection, acknowledged: int | None) -> None:
        left(connection, acknowledged)
        (neighbour,) = [stream for stream in two if stream.connection is not connection]
        number = neighbour.wire.fileno()
        if number >= 0:
            neighbour.outlet.close()
            os.dup2(pair.server.fileno(), number)
            others.append(house.adopt(begun, stack.enter_context(socket.socket(fileno=number)), pair.reader))

    left, house.desk.hub.leave = house.desk.hub.leave, leave  # type: ignore[method-assign]
    for stream in two:
        stream.reader.close()
    eventually(lambda: all(Peer(stream.wire).gone() for stream in two))
    house.turn()
    (other,) = others
    house.settle()
    assert (house.places, other.connection.ending) == (1, "")


# --- taking turns ---


class Ticking(Clock):
    """A clock for which each look takes time: as much as one write of a stream does."""

    COST = TURN / 10

    def __call__(self) -> float:
        self.now += self.COST
        return self.now


def crowd(stack: ExitStack, size: int) -> tuple[House, list[Stream]]:
    """A house where a turn has time for a few streams only, and `size` streams that wait for nothing."""
    house = House(stack, Ticking(), connections=1_000, connections_client=1_000)
    streams = [house.stream(client=f"c{n}") for n in range(size)]
    for _ in range(size):
        house.turn()
    return house, streams


def written(streams: list[Stream]) -> int:
    return sum(1 for stream in streams if stream.wire.sends)


def test_a_broadcast_to_many_is_written_over_many_turns_and_reaches_all(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "SLICE", 1)
    house, streams = crowd(stack, 60)
    house.desk.tell("all")
    turns = []
    while written(streams) < 60:
        house.turn()
        turns.append(written(streams))
    assert turns[0] < 30
    assert turns == sorted(set(turns)), "each turn writes some"
    assert [len(stream.wire.sends) for stream in streams] == [1] * 60


def test_who_has_something_new_does_not_stand_in_line_behind_a_broadcast(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "SLICE", 1)
    house, streams = crowd(stack, 60)
    house.desk.tell("all")
    house.turn()
    served = written(streams)
    fresh = next(stream for stream in streams if not stream.wire.sends)
    assert served < 30
    for n in range(3):
        house.desk.send(n, client=fresh.connection.client_id)
        house.turn()
        assert len(fresh.wire.sends) == n + 1
    assert served < written(streams) < 60


def test_who_is_far_behind_has_one_write_a_turn(stack: ExitStack) -> None:
    """It asks for its next turn itself: for ever in the same one, and nobody else would be served."""
    house, streams = crowd(stack, 1)
    for n in range(400):
        house.desk.send("x" * 5_000 + str(n), client="c0")
    for turn in range(1, 10):
        house.turn()  # what was to be done soon, and what is due after that
        assert len(streams[0].wire.sends) <= 2 * turn


def test_a_broadcast_reaches_all_although_others_always_have_something_new(stack: ExitStack) -> None:
    """More than a turn has time for is new in each of them."""
    house, streams = crowd(stack, 60)
    house.desk.tell("all")
    for _ in range(60):
        for n in range(20):
            house.desk.send("new", client=f"c{n}")
        house.turn()
    assert written(streams) == 60


# --- where nothing is known of the peer ---


def test_on_a_unix_socket_a_stream_is_served_and_its_end_noticed_all_the_same(
    house: House, stack: ExitStack
) -> None:
    server, reader = map(stack.enter_context, socket.socketpair())
    stream = house.adopt(house.begin(server), server, reader)
    for n in range(3 * UNCONFIRMED):
        house.desk.send(n)
        house.turn()
    stream.until(lambda: len(stream.data) == 3 * UNCONFIRMED)
    reader.close()
    house.until(lambda: house.places == 0)
    assert house.desk.hub.client("c")["waiting"] > 0, "who knows what arrived"


def test_on_a_unix_socket_who_was_written_a_good_end_was_handed_all_of_it(
    house: House, stack: ExitStack
) -> None:
    server, reader = map(stack.enter_context, socket.socketpair())
    stream = house.adopt(house.begin(server, close_on_done=True), server, reader)
    house.desk.answer("Hello")
    stream.until(lambda: stream.ended)
    reader.close()
    house.until(lambda: house.places == 0)
    assert house.desk.hub.client("c")["waiting"] == 0


def test_on_a_unix_socket_a_reader_that_takes_little_is_waited_for(house: House, stack: ExitStack) -> None:
    server, reader = map(stack.enter_context, socket.socketpair())
    stream = house.adopt(house.begin(server), server, reader)
    house.desk.send("x" * (8 * MIB))
    house.settle()
    for _ in range(5):
        assert stream.connection.ending == ""
        before = len(stream.outlet._rest)
        stream.until(lambda before=before: len(stream.outlet._rest) < before, most=65_536)
        house.desk.clock.advance(house.desk.limits.slow)
        house.desk.hub.upkeep.beat()


# --- telling ---


def test_they_tell_their_state(house: House) -> None:
    stream = house.stream()
    assert repr(house.sockets) == "<Sockets: 1 open, 0 about to close>"
    assert repr(stream.outlet) == f"<SocketOutlet {stream.wire.fileno()} of {stream.connection!r}>"
    house.desk.hub.close("c")
    house.settle()
    assert repr(house.sockets) == "<Sockets: 1 open, 1 about to close>"
    stream.outlet.close()
    assert repr(stream.outlet).startswith("<SocketOutlet closed of ")
