"""What time brings to a hub: heartbeats, an end for who left, letting go of the old; and others between."""

from __future__ import annotations

import logging

import pytest

from app.hub.log import Retention
from app.hub.upkeep import SLICE
from tests.hub.kit import HEARTBEAT, ROOMY, Desk, Stub, count_wakes, types

# --- heartbeats ---


def test_only_the_silent_get_a_heartbeat(desk: Desk) -> None:
    desk.chance = 0.0
    silent, busy = desk.tab(client="silent"), desk.tab(client="busy")
    desk.clock.advance(HEARTBEAT - 1)
    desk.send(client="busy")
    busy.take()
    desk.clock.advance(1)
    desk.hub.upkeep.beat()
    assert desk.hub.take(silent.connection) == b":\n\n"
    assert desk.hub.take(busy.connection) == b""


def test_a_heartbeat_comes_no_earlier_than_it_must_and_once(desk: Desk) -> None:
    desk.chance = 0.0
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
    woken: list[int] = []
    tab.connection.outlet = Stub(gone=lambda: True, wake=lambda: woken.append(1))
    desk.hub.upkeep.beat()
    assert len(woken) == 1
    desk.send()
    assert (desk.hub.take(tab.connection), tab.connection.over) == (b"", True)
    assert types(other.take()) == ["message"]


def test_beats_are_spread_over_time(desk: Desk) -> None:
    """What connected at one moment must not be written at one moment for ever."""
    tabs = []
    for chance in (0.0, 0.5, 0.9999):
        desk.chance = chance
        tabs.append(desk.tab())
    beats = []
    for _ in range(4):
        desk.clock.advance(HEARTBEAT / 20)
        desk.hub.upkeep.beat()
    for _ in range(16):
        desk.clock.advance(HEARTBEAT / 20)
        desk.hub.upkeep.beat()
        beats.append([desk.hub.take(tab.connection) == b":\n\n" for tab in tabs])
    first = [[beat[n] for beat in beats].index(True) for n in range(3)]
    assert first[0] > first[1] > first[2] >= 11


# --- lifetime ---


@pytest.mark.parametrize(("chance", "lives"), [(0.0, 1.0), (0.5, 0.9), (1.0, 0.8)])
def test_a_stream_that_was_open_for_long_enough_ends_and_is_asked_back(chance: float, lives: float) -> None:
    desk = Desk()
    desk.chance = chance
    tab = desk.tab()
    desk.clock.advance(desk.limits.lifetime * lives - 1)
    desk.hub.upkeep.beat()
    assert tab.connection.ending == ""
    woken = count_wakes(tab)
    desk.clock.advance(1)
    last = desk.send()
    desk.hub.upkeep.beat()
    assert len(woken) >= 1
    message, closing = tab.take()
    assert message.number == last
    assert (closing.body["reason"], closing.body["reconnect"]) == ("lifetime", True)
    tab.leave()
    assert types(desk.tab(tab.last_id).head + desk.tab(tab.last_id).take()) == ["connected"]


@pytest.mark.parametrize("kind", ["started", "queued"])
def test_no_stream_grows_too_old_while_an_answer_of_its_client_runs_or_waits(desk: Desk, kind: str) -> None:
    tab, other = desk.tab(), desk.tab(client="other")
    desk.publish(kind, "g", position=1)
    desk.clock.advance(10 * desk.limits.lifetime)
    desk.hub.upkeep.beat()
    assert (tab.connection.ending, other.connection.ending) == ("", "lifetime")
    tab.take()
    desk.end()
    desk.hub.upkeep.beat()
    assert types(tab.take()) == ["done", "[DONE]", "closing"]


def test_a_stream_that_may_not_end_yet_gets_its_heartbeats(desk: Desk) -> None:
    tab = desk.tab()
    desk.start()
    tab.take()
    desk.clock.advance(desk.limits.lifetime)
    desk.hub.upkeep.beat()
    assert desk.hub.take(tab.connection) == b":\n\n"


def test_a_stream_that_has_an_end_does_not_grow_too_old_as_well(desk: Desk) -> None:
    tab = desk.tab()
    desk.hub.close("c")
    desk.clock.advance(desk.limits.lifetime)
    woken = count_wakes(tab)
    desk.hub.upkeep.beat()
    assert (woken, tab.connection.ending) == ([], "closed")


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
    tab.connection.outlet = Stub(cut=lambda: cuts.append(desk.hub._lock.locked()))
    desk.send("x")
    tab.take(written=False)
    desk.clock.advance(desk.limits.slow)
    desk.hub.upkeep.beat()
    assert (cuts, tab.connection.ending) == ([], "")
    desk.clock.advance(1.0)
    desk.hub.upkeep.beat()
    assert (cuts, tab.connection.ending) == ([False], "slow")


def test_a_reader_that_is_slow_but_takes_something_is_waited_for(desk: Desk) -> None:
    tab, acknowledged = desk.tab(), iter(range(1, 100))
    tab.connection.outlet = Stub(progress=lambda: next(acknowledged))
    desk.send("x")
    tab.take(written=False)
    for _ in range(10):
        desk.clock.advance(desk.limits.slow)
        desk.hub.upkeep.beat()
    assert tab.connection.ending == ""


def test_a_reader_that_has_all_it_was_sent_may_be_silent_for_ever() -> None:
    desk = Desk(lifetime=1e9)
    tab = desk.tab()
    desk.clock.advance(100 * desk.limits.slow)
    desk.hub.upkeep.beat()
    assert tab.connection.ending == ""


def test_a_reader_that_has_an_end_and_cannot_be_told_of_it_is_cut_too(desk: Desk) -> None:
    tab, cuts = desk.tab(), []
    tab.connection.outlet = Stub(cut=lambda: cuts.append("cut"))
    desk.send("x")
    tab.take(written=False)
    desk.hub.close("c")
    desk.clock.advance(desk.limits.slow + 1)
    desk.hub.upkeep.beat()
    assert (cuts, tab.connection.ending) == (["cut"], "closed")


def test_who_hears_of_a_peer_that_left_by_itself_is_not_asked(desk: Desk) -> None:
    """A system call for each stream each second would be a tax on all that is written."""
    tab, asked = desk.tab(), []
    tab.connection.owns = True
    tab.connection.outlet = Stub(gone=lambda: asked.append("asked") or True)  # type: ignore[func-returns-value]
    desk.hub.upkeep.beat()
    assert (asked, tab.connection.ending) == ([], "")


def test_a_reader_that_wakes_up_after_all_is_told_to_come_back(desk: Desk) -> None:
    tab = desk.tab()
    desk.send("x")
    tab.take(written=False)
    desk.clock.advance(desk.limits.slow + 1)
    desk.hub.upkeep.beat()
    (closing,) = tab.take()
    assert (closing.body["reason"], closing.body["reconnect"]) == ("slow", True)
