"""Deltas that are pushed: to streams at the end of the log only, in order, and handed when they arrived."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from app.hub.connection import UNCONFIRMED
from app.hub.peer import Peer
from app.hub.reading import LAG
from app.hub.registry import SHORT
from app.hub.socket_outlet import PUSHES
from tests.hub.ends import reset
from tests.hub.house import House, Stream
from tests.hub.kit import types
from tests.rig.reading import eventually


@pytest.fixture
def house() -> Iterator[House]:
    with ExitStack() as stack:
        yield House(stack)


def reading(house: House, client: str = "c", **how: object) -> Stream:
    """A stream whose client's answer `g` has begun, and that has all there is. What is taken and sent is
    noted from now on."""
    stream = house.stream(client=client, **how)
    house.desk.start(client=client)
    stream.until(lambda: types(stream.events)[-1] == "started")
    house.settle()
    house.takes.clear()
    stream.wire.sends.clear()
    return stream


def text(stream: Stream) -> str:
    return "".join(said.body["data"]["content"] for said in stream.events if said.type == "delta")


def contents(stream: Stream) -> list[str]:
    """What was said, in its order: the text of a delta, else the type."""
    return [
        said.body["data"]["content"] if said.type == "delta" else str(said.what or said.type)
        for said in stream.events[2:]
    ]


def in_order(stream: Stream) -> bool:
    numbers = [said.number for said in stream.events]
    return numbers == sorted(set(numbers))


# --- what is pushed ---


def test_a_delta_is_one_send_at_the_end_of_the_turn_without_a_look_at_the_log(house: House) -> None:
    stream = reading(house)
    house.desk.delta("Hello")
    assert stream.wire.sends == []
    house.turn()
    assert len(stream.wire.sends) == 1
    assert house.takes == []
    stream.until(lambda: text(stream))
    assert text(stream) == "Hello"
    house.settle()
    assert (house.takes, len(stream.wire.sends)) == ([], 1)


def test_deltas_of_one_turn_are_one_send(house: House) -> None:
    stream = reading(house)
    for n in range(5):
        house.desk.delta(f"{n} ")
    house.turn()
    assert (len(stream.wire.sends), house.takes) == (1, [])
    stream.until(lambda: contents(stream) == [f"{n} " for n in range(5)])
    assert in_order(stream)


def test_all_streams_of_a_client_are_pushed_the_same_frame(house: House) -> None:
    streams = [reading(house), house.stream(cursor=house.desk.cursor(0))]
    house.settle()
    house.takes.clear()
    house.desk.delta("Hello")
    assert streams[0].outlet._pushed[0] is streams[1].outlet._pushed[0]
    for stream in streams:
        stream.until(lambda stream=stream: text(stream) == "Hello")
    assert house.takes == []


def test_what_was_pushed_is_behind_the_reader_when_it_comes_back(house: House) -> None:
    stream = reading(house)
    house.desk.delta("Hel")
    stream.until(lambda: text(stream))
    at = stream.events[-1].id
    stream.outlet.close()
    house.desk.delta("lo")
    again = house.stream(cursor=at)
    again.until(lambda: text(again))
    assert text(again) == "lo"


def test_a_member_of_the_crowd_is_pushed_its_deltas_too(house: House) -> None:
    stream = reading(house)
    stream.outlet.nudge()
    house.settle()
    assert stream.connection.place >= 0
    house.takes.clear()
    house.desk.delta("Hello")
    house.turn()
    assert house.takes == []
    assert stream.connection.place < 0
    stream.until(lambda: text(stream) == "Hello")
    assert stream.connection.wired == len(stream.bytes)


# --- what is not ---


def test_a_flood_in_one_turn_is_pushed_in_part_and_the_rest_is_merged(house: House) -> None:
    stream = reading(house)
    words = [f"{n} " for n in range(PUSHES + LAG + 50)]
    for word in words:
        house.desk.delta(word)
    assert len(stream.outlet._pushed) == PUSHES
    house.turn()
    assert len(stream.wire.sends) == 1
    stream.until(lambda: text(stream) == "".join(words))
    assert len(stream.events) - 2 == PUSHES + 1
    house.desk.delta("again")
    assert len(stream.outlet._pushed) == 1, "once all of it is out it is pushed to anew"


def test_a_large_frame_is_read_from_the_log_and_what_follows_it_too(house: House) -> None:
    stream = reading(house)
    house.desk.delta("small ")
    house.desk.delta("x" * SHORT)
    house.desk.delta(" small")
    assert len(stream.outlet._pushed) == 1
    house.turn()
    assert house.takes == [stream.connection]
    stream.until(lambda: text(stream).endswith(" small"))
    assert contents(stream) == ["small ", "x" * SHORT, " small"]


def test_a_stream_that_has_yet_to_be_given_a_broadcast_is_pushed_nothing(house: House) -> None:
    stream = reading(house)
    house.desk.tell("all")
    house.desk.delta("Hello")
    assert not stream.outlet._pushed
    stream.until(lambda: text(stream))
    assert contents(stream) == ["all", "Hello"]


@pytest.mark.parametrize("last", [1, PUSHES - 1])
def test_what_is_no_delta_comes_after_what_was_pushed_before_it_in_the_same_turn(
    house: House, last: int
) -> None:
    stream = reading(house)
    before = [f"{n} " for n in range(last)]
    for word in before:
        house.desk.delta(word)
    house.desk.send("own")
    house.desk.delta("between")
    house.desk.tell("all")
    house.desk.end()
    house.turn()
    assert len(stream.wire.sends) == 1
    stream.until(lambda: types(stream.events)[-1] == "[DONE]")
    assert contents(stream) == [*before, "own", "between", "all", "g", "[DONE]"]
    assert in_order(stream)
    assert stream.connection.wired == len(stream.bytes)


def test_a_stream_that_closes_on_done_ends_after_what_was_pushed(house: House) -> None:
    stream = reading(house, close_on_done=True)
    house.desk.delta("Hel")
    house.desk.delta("lo")
    house.desk.end()
    stream.until(lambda: stream.ended)
    assert contents(stream) == ["Hel", "lo", "g", "[DONE]"]
    stream.reader.close()
    house.until(lambda: house.places == 0)
    assert house.desk.hub.client("c")["waiting"] == 0


def test_a_farewell_comes_after_what_was_pushed(house: House) -> None:
    stream = reading(house)
    house.desk.delta("Hello")
    house.desk.hub.close("c")
    house.desk.delta("too late to be pushed")
    assert len(stream.outlet._pushed) == 1
    stream.until(lambda: stream.ended)
    assert types(stream.events)[2:] == ["delta", "delta", "closing"]


def test_a_heartbeat_that_is_due_meanwhile_comes_after_what_was_pushed(house: House) -> None:
    stream = reading(house)
    house.desk.clock.advance(stream.connection.beat)
    house.desk.hub.upkeep.beat()
    house.desk.delta("Hello")
    house.settle()
    stream.until(lambda: stream.bytes.endswith(b"\n\n:\n\n"))
    assert text(stream) == "Hello"
    assert stream.connection.wired == len(stream.bytes)


def test_a_reader_that_stalls_is_pushed_nothing_until_it_reads_again(house: House) -> None:
    stream = reading(house)
    stream.wire.room = 10
    house.desk.delta("0 ")
    house.turn()
    assert stream.outlet._rest is not None
    for n in range(1, 5):
        house.desk.delta(f"{n} ")
    assert not stream.outlet._pushed
    stream.wire.room = 1 << 30
    stream.until(lambda: text(stream) == "0 1 2 3 4 ")
    assert stream.connection.wired == len(stream.bytes)
    house.settle()
    house.takes.clear()
    house.desk.delta("5 ")
    stream.until(lambda: text(stream).endswith("5 "))
    assert house.takes == [], "now it is"


def test_nothing_goes_before_the_rest_of_what_was_pushed(house: House) -> None:
    """It was looked at for more in the same turn, and there was none: a stream to which the crowd's next
    batch must not go in the middle of a frame."""
    stream = reading(house)
    stream.connection.outlet.wake()
    stream.wire.room = 10
    house.desk.delta("Hello")
    house.turn()
    house.desk.tell("all")
    house.settle()
    stream.wire.room = 1 << 30
    stream.until(lambda: len(stream.events) > 3)
    assert contents(stream) == ["Hello", "all"]
    assert stream.connection.wired == len(stream.bytes)


def test_a_stream_whose_ids_carry_the_client_is_pushed_nothing(house: House) -> None:
    stream = reading(house, named=False)
    house.desk.delta("Hello")
    assert not stream.outlet._pushed
    stream.until(lambda: text(stream))
    assert stream.events[-1].id == house.desk.cursor(2, "c")


def test_a_unix_socket_is_pushed_nothing_for_it_tells_not_what_arrived(house: House) -> None:
    with ExitStack() as stack:
        server, reader = map(stack.enter_context, socket.socketpair())
        stream = house.adopt(house.begin(server), server, reader)
        house.desk.start()
        house.settle()
        house.desk.delta("Hello")
        assert not stream.outlet._pushed
        stream.until(lambda: text(stream))
        stream.outlet.close()


# --- who was handed it ---


def test_what_was_pushed_and_never_sent_was_handed_to_nobody(house: House) -> None:
    stream = reading(house)
    house.desk.delta("too late")
    stream.connection.outlet.cut()
    house.settle()
    assert stream.wire.sends == []
    assert house.desk.hub.client("c")["waiting"] == 1


def test_of_what_was_pushed_only_what_arrived_whole_was_handed(house: House) -> None:
    stream = reading(house)
    for n in range(3):
        house.desk.delta(f"{n}" * 100)
    stream.wire.room = 2 * len(stream.outlet._pushed[0]) + 5
    house.turn()
    peer = Peer(stream.wire)
    eventually(lambda: peer.acknowledged() == peer.queued())
    stream.outlet.close()
    assert house.desk.hub.client("c")["waiting"] == 1


def test_of_what_was_pushed_and_taken_in_one_send_only_what_arrived_whole_was_handed(house: House) -> None:
    stream = reading(house)
    house.desk.delta("a")
    house.desk.send("one")
    house.desk.send("two")
    sizes = [len(event.frame) for event in house.desk.hub._registry.clients["c"].mailbox.after(1)]
    stream.wire.room = sum(sizes[:2]) + 5
    house.turn()
    peer = Peer(stream.wire)
    eventually(lambda: peer.acknowledged() == peer.queued())
    stream.outlet.close()
    assert house.desk.hub.client("c")["waiting"] == 1


def test_what_arrived_before_the_peer_vanished_was_handed(house: House) -> None:
    stream = reading(house)
    house.desk.delta("Hello")
    stream.until(lambda: text(stream))
    reset(stream.reader)
    house.until(lambda: house.places == 0)
    assert house.desk.hub.client("c")["waiting"] == 0


def test_a_peer_that_was_seen_to_leave_is_pushed_no_more_and_its_place_is_given_back(house: House) -> None:
    stream = reading(house)
    house.desk.delta("Hello")
    house.desk.hub._registry.end(stream.connection, "gone")
    house.settle()
    stream.outlet.flush()
    assert (house.places, stream.wire.sends) == (0, [])


def test_the_list_of_what_was_pushed_is_bounded_and_goes_when_the_stream_falls_silent(house: House) -> None:
    stream = reading(house)
    for n in range(3 * UNCONFIRMED):
        house.desk.delta(f"{n} ")
        stream.until(lambda n=n: text(stream).endswith(f"{n} "))
    assert stream.connection.unconfirmed <= UNCONFIRMED + 1
    house.desk.clock.advance(stream.connection.beat)
    house.desk.hub.upkeep.beat()
    peer = Peer(stream.wire)
    eventually(lambda: peer.acknowledged() == peer.queued())
    house.settle()
    assert stream.connection.writes == ()
    assert stream.connection.place >= 0
