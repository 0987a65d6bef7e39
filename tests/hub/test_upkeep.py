"""What time brings to a hub: heartbeats, an end for who left, letting go of the old; and others between."""

from __future__ import annotations

import logging

import pytest

from app.hub.mailbox import Retention
from app.hub.upkeep import SLICE
from tests.hub.kit import HEARTBEAT, ROOMY, Desk, count_wakes, types


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.meet()
    return desk


# --- heartbeats ---


def test_only_the_silent_get_a_heartbeat(desk: Desk) -> None:
    silent, busy = desk.tab(client="silent"), desk.tab(client="busy")
    desk.clock.advance(HEARTBEAT - 1)
    desk.send(client="busy")
    busy.take()
    desk.clock.advance(1)
    desk.hub.upkeep.beat()
    assert desk.hub.take(silent.connection) == b":\n\n"
    assert desk.hub.take(busy.connection) == b""


def test_a_heartbeat_comes_no_earlier_than_it_must_and_once(desk: Desk) -> None:
    tab = desk.tab()
    desk.clock.advance(HEARTBEAT - 0.1)
    desk.hub.upkeep.beat()
    assert desk.hub.take(tab.connection) == b""
    desk.clock.advance(0.1)
    desk.hub.upkeep.beat()
    desk.hub.upkeep.beat()
    assert desk.hub.take(tab.connection) == b":\n\n"
    assert desk.hub.take(tab.connection) == b""
    desk.clock.advance(HEARTBEAT)
    desk.hub.upkeep.beat()
    assert desk.hub.take(tab.connection) == b":\n\n"


def test_an_event_takes_the_place_of_a_heartbeat(desk: Desk) -> None:
    tab = desk.tab()
    desk.clock.advance(HEARTBEAT)
    desk.hub.upkeep.beat()
    desk.send()
    assert types(tab.take()) == ["message"]
    assert tab.take() == []


def test_a_heartbeat_is_an_event_where_it_was_asked_for(desk: Desk) -> None:
    tab = desk.tab(beat_as_event=True)
    before = tab.last_id
    desk.clock.advance(HEARTBEAT)
    desk.hub.upkeep.beat()
    (beat,) = tab.take()
    assert beat.name == "heartbeat"
    assert beat.body == {"now": 1_700_000_000.124, "next": HEARTBEAT}
    assert tab.last_id == before


def test_a_stream_that_ended_gets_no_heartbeat(desk: Desk) -> None:
    tab = desk.tab()
    desk.hub.close("c")
    tab.take()
    desk.clock.advance(HEARTBEAT)
    woken = count_wakes(tab)
    desk.hub.upkeep.beat()
    assert (woken, desk.hub.take(tab.connection)) == ([], b"")


def test_a_stream_whose_peer_left_is_ended_and_written_nothing_more(desk: Desk) -> None:
    tab, other = desk.tab(), desk.tab()
    woken = count_wakes(tab)
    tab.connection.gone = lambda: True
    desk.hub.upkeep.beat()
    assert len(woken) == 1
    desk.send()
    assert (desk.hub.take(tab.connection), tab.connection.over) == (b"", True)
    assert types(other.take()) == ["message"]


# --- age ---


def test_all_clients_are_aged_however_many_there_are() -> None:
    desk = Desk(clients=5_000)
    for n in range(1_234):
        desk.start(f"g{n}", client=f"c{n}")
        desk.end(f"g{n}", client=f"c{n}")
    desk.clock.advance(ROOMY.age + 61)
    desk.hub.upkeep.age()
    assert desk.hub.counts()["clients"] == 0


def test_what_grew_too_old_unread_is_logged(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.send()
    desk.send()
    desk.clock.advance(ROOMY.age + 1)
    with caplog.at_level(logging.WARNING):
        desk.hub.upkeep.age()
    assert "2 events grew too old" in caplog.text


def test_what_went_unread_for_want_of_room_is_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(mailbox=Retention(2, 1 << 20, 600.0))
    desk.meet()
    with caplog.at_level(logging.WARNING):
        for n in range(5):
            desk.send(n)
        desk.hub.upkeep.age()
    assert "3 events" in caplog.text


# --- giving way ---


@pytest.mark.parametrize(("clients", "ways"), [(1, 0), (SLICE, 0), (SLICE + 1, 1), (3 * SLICE, 2)])
def test_others_get_their_turn_between_two_slices(clients: int, ways: int) -> None:
    desk, given = Desk(clients=10_000, connections=10_000), []
    for n in range(clients):
        desk.tab(client=f"c{n}")
    desk.hub.upkeep._give_way = lambda: given.append(desk.hub._lock.locked())
    desk.hub.upkeep.beat()
    assert given == [False] * ways
    desk.hub.upkeep.age()
    assert given == [False] * 2 * ways


# --- readers that take nothing ---


def test_a_reader_that_takes_nothing_for_too_long_is_cut(desk: Desk) -> None:
    tab, cuts = desk.tab(), []
    tab.connection.cut = lambda: cuts.append(desk.hub._lock.locked())
    desk.send("x")
    tab.take(written=False)
    desk.clock.advance(desk.limits.slow)
    desk.hub.upkeep.beat()
    assert (cuts, tab.connection.ending) == ([], "")
    desk.clock.advance(1.0)
    desk.hub.upkeep.beat()
    desk.hub.upkeep.beat()
    assert (cuts, tab.connection.ending) == ([False], "slow")


def test_a_reader_that_is_slow_but_takes_something_is_waited_for(desk: Desk) -> None:
    tab, acknowledged = desk.tab(), iter(range(1, 100))
    tab.connection.progress = lambda: next(acknowledged)
    desk.send("x")
    tab.take(written=False)
    for _ in range(10):
        desk.clock.advance(desk.limits.slow)
        desk.hub.upkeep.beat()
    assert tab.connection.ending == ""


def test_a_reader_that_has_all_it_was_sent_may_be_silent_for_ever(desk: Desk) -> None:
    tab = desk.tab()
    desk.clock.advance(100 * desk.limits.slow)
    desk.hub.upkeep.beat()
    assert tab.connection.ending == ""


def test_a_reader_that_wakes_up_after_all_is_told_to_come_back(desk: Desk) -> None:
    tab = desk.tab()
    desk.send("x")
    tab.take(written=False)
    desk.clock.advance(desk.limits.slow + 1)
    desk.hub.upkeep.beat()
    (closing,) = tab.take()
    assert (closing.body["reason"], closing.body["reconnect"]) == ("slow", True)
