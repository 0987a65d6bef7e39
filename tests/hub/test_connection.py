"""One stream: how it ends, what a reader that fell behind is told, what counts as handed."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from app.hub.connection import UNCONFIRMED, Connection
from app.hub.endings import ENDINGS
from app.hub.log import Retention
from app.hub.outlets import GeneratorOutlet
from app.hub.peer import Peer
from app.hub.reading import Position
from tests.hub.kit import HEARTBEAT, Desk, types

KEEP_THREE = Retention(events=3, bytes=1 << 20, age=600.0)
PATIENCE = 2 * HEARTBEAT


def written(*numbers: int, size: int = 100, every: float = 1.0) -> Connection:
    """A stream that was written `size` bytes `every` second, after which its reader stood at each number."""
    connection = Connection("id", "c")
    for n, number in enumerate(numbers):
        connection.position = Position(number, number)
        connection.taken = [(size, number)]
        connection.wrote(size, now=n * every)
    return connection


def waiting(desk: Desk) -> list[Any]:
    """What the next page without a cursor is given."""
    tab = desk.tab()
    return [said.what for said in tab.head[1:] + tab.take()]


# --- how a stream ends ---


def test_a_stream_has_one_end() -> None:
    connection = Connection("id", "c")
    assert connection.end("closed")
    assert not connection.end("gone")
    assert connection.ending == "closed"


def test_every_way_to_end_says_whether_to_come_back() -> None:
    assert {name: tuple(ending) for name, ending in ENDINGS.items() if ending.said} == {
        "closed": (True, False),
        "shutdown": (True, True),
        "lifetime": (True, True),
        "slow": (True, True),
    }


@pytest.mark.parametrize("reason", sorted(ENDINGS))
def test_nothing_is_written_after_the_last_word(reason: str) -> None:
    connection = Connection("id", "c")
    connection.end(reason)
    assert connection.over is (reason == "gone")
    connection.said = True
    assert connection.over


def test_a_stream_tells_its_state() -> None:
    connection = Connection("id", "c")
    assert repr(connection) == "<Connection id of c: writing, at 0, handed 0, 0 bytes>"
    connection = written(6, 7)
    connection.confirm(100)
    assert repr(connection) == "<Connection id of c: open, at 7, handed 6, 200 bytes>"
    connection.end("done")
    assert repr(connection) == "<Connection id of c: done, at 7, handed 6, 200 bytes>"


# --- a reader that falls behind ---


def test_a_reader_that_lags_gets_all_it_missed_in_one_write(desk: Desk) -> None:
    tab = desk.tab()
    said = [desk.send(n) for n in range(20)]
    assert [event.number for event in tab.take()] == said
    assert tab.take() == []


def test_a_reader_too_far_behind_is_told_so_and_goes_on_as_one_that_comes_anew() -> None:
    desk = Desk(mailbox=KEEP_THREE)
    tab = desk.tab()
    for n in range(5):
        desk.send(n)
    events = tab.take()
    assert types(events) == ["reset", "message", "message", "message"]
    assert events[0].body["reason"] == "trimmed"
    assert events[0].id is None
    assert [event.what for event in events[1:]] == [2, 3, 4]
    desk.send(5)
    assert types(tab.take()) == ["message"]


def test_a_reader_that_missed_only_deltas_gets_their_text_and_no_reset() -> None:
    desk = Desk(mailbox=KEEP_THREE)
    tab = desk.tab()
    desk.start()
    tab.take()
    desk.delta("Hel")
    desk.send(1)
    desk.send(2)
    place = desk.delta("lo")
    events = tab.take()
    assert types(events) == ["message", "message", "snapshot"]
    assert events[-1].number == place
    assert tab.text == "Hello"
    desk.delta("!")
    tab.take()
    assert tab.text == "Hello!"


def test_a_reader_that_missed_broadcasts_is_told_so() -> None:
    desk = Desk(news=KEEP_THREE)
    tab = desk.tab()
    for n in range(5):
        desk.tell(n)
    assert types(tab.take()) == ["reset"]
    desk.tell(5)
    assert [said.what for said in tab.take()] == [5]


def test_it_is_known_whether_a_take_was_all_there_is(desk: Desk) -> None:
    tab = desk.tab()
    for _ in range(3):
        desk.send("x" * 50_000)
    takes = []
    while tab.take():
        takes.append(tab.connection.more)
    assert takes == [True, False]


def test_it_is_known_too_where_deltas_were_merged_to_much_less(desk: Desk) -> None:
    desk.start()
    tab = desk.tab()
    for _ in range(1_000):
        desk.delta("x")
    tab.take()
    assert tab.connection.more
    tab.take_all()
    assert not tab.connection.more
    assert len(tab.text) == 1_000


# --- what counts as handed: by acknowledged bytes ---


@pytest.mark.parametrize(
    ("acknowledged", "handed"), [(0, 0), (99, 0), (100, 1), (199, 1), (200, 2), (300, 3), (9_999, 3)]
)
def test_handed_is_what_was_acknowledged_to_its_last_byte(acknowledged: int, handed: int) -> None:
    connection = written(1, 2, 3)
    connection.end("gone")
    assert connection.settle(acknowledged, now=0.0) == handed


def test_of_a_write_of_several_events_those_are_handed_that_arrived_whole() -> None:
    connection = Connection("id", "c")
    connection.position = Position(3, 3)
    connection.taken = [(100, 1), (150, 2), (400, 3)]
    connection.wrote(450, now=0.0)
    for acknowledged, handed in ((99, 0), (100, 1), (399, 2), (400, 3)):
        connection.confirm(acknowledged)
        assert connection.handed == handed
    assert (connection.wired, connection.writes) == (450, ())


def test_the_head_of_a_chunk_stands_before_its_events() -> None:
    connection = written(1)
    connection.taken = [(50, 2)]
    connection.wrote(57, now=0.0, before=5)
    connection.confirm(154)
    assert connection.handed == 1
    connection.confirm(155)
    assert connection.handed == 2


def test_each_event_of_what_is_taken_is_noted_where_it_ends(desk: Desk) -> None:
    tab = desk.tab()
    for n in range(3):
        desk.send("x" * n)
    data = desk.hub.take(tab.connection)
    ends = [position for position in range(1, len(data) + 1) if data[:position].endswith(b"\n\n")]
    assert tab.connection.taken == list(zip(ends, (1, 2, 3), strict=True))


def test_a_reset_and_a_farewell_are_no_events_but_take_their_room() -> None:
    desk = Desk(mailbox=KEEP_THREE)
    tab = desk.tab()
    for n in range(4):
        desk.send(n)
    desk.hub.close("c")
    data = desk.hub.take(tab.connection)
    ends = [position for position in range(1, len(data) + 1) if data[:position].endswith(b"\n\n")]
    assert tab.connection.taken == list(zip(ends[1:-1], (2, 3, 4), strict=True))


def test_a_heartbeat_hands_nothing_over(desk: Desk) -> None:
    tab = desk.tab()
    desk.clock.advance(HEARTBEAT)
    desk.hub.upkeep.beat()
    desk.hub.take(tab.connection)
    assert tab.connection.taken == ()
    tab.connection.wrote(3, now=0.0)
    assert tab.connection.wired == tab.size + 3


def test_of_a_write_that_its_own_socket_cut_those_events_are_handed_that_arrived() -> None:
    connection = written(1)
    connection.owns = True
    connection.position = Position(3, 3)
    connection.taken = [(50, 2), (100, 3)]
    connection.end("slow")
    assert connection.settle(150, now=0.0) == 2


@pytest.mark.parametrize(("acknowledged", "handed"), [(199, 1), (200, 2), (None, 2)])
def test_who_stayed_to_see_what_arrived_believes_only_that_where_it_can_be_seen(
    acknowledged: int | None, handed: int
) -> None:
    connection = written(1, 2)
    connection.owns = connection.said = True
    connection.end("closed")
    assert connection.settle(acknowledged, now=0.0) == handed


def test_what_was_not_acknowledged_waits_for_the_next_page(desk: Desk) -> None:
    tab = desk.tab()
    sizes = []
    for n in (1, 2, 3):
        desk.send(n)
        tab.take()
        sizes.append(tab.size)
    tab.leave(acknowledged=sizes[1] - 1)
    assert waiting(desk) == [2, 3]


def test_an_event_of_which_the_kernel_never_got_the_whole_is_not_handed(desk: Desk) -> None:
    tab = desk.tab()
    desk.send(1)
    tab.take(written=False)
    tab.leave(acknowledged=tab.size - 1)
    assert waiting(desk) == [1]


def test_a_close_hands_nothing_over_that_the_peer_did_not_acknowledge(desk: Desk) -> None:
    """Somebody closes the streams of a client whose network is dead: nothing of it was read."""
    tab = desk.tab()
    head = tab.size
    desk.send(1)
    tab.take()
    assert desk.hub.close("c") == 1
    tab.leave(acknowledged=head)
    assert waiting(desk) == [1]


def test_an_end_that_never_got_out_hands_nothing_over_that_was_not_acknowledged(desk: Desk) -> None:
    tab = desk.tab(close_on_done=True)
    head = tab.size
    desk.send(1)
    tab.take()
    desk.answer("Hello")
    tab.take(written=False)
    tab.leave(acknowledged=head)
    assert waiting(desk)[0] == 1


def test_who_was_written_a_good_end_was_handed_all_of_it(desk: Desk) -> None:
    tab = desk.tab(close_on_done=True)
    desk.answer("Hello")
    tab.take()
    tab.leave(acknowledged=0)
    assert waiting(desk) == []


def test_acknowledged_writes_are_forgotten(desk: Desk) -> None:
    connection = written(1, 2, 3)
    connection.confirm(250)
    assert (connection.handed, connection.written, connection.unconfirmed) == (2, 3, 1)
    connection.confirm(250)
    connection.confirm(300)
    assert (connection.handed, connection.written, connection.unconfirmed) == (3, 3, 0)


# --- what counts as handed: by time ---


def test_without_a_socket_what_was_written_in_the_last_two_heartbeats_was_not_handed() -> None:
    connection = written(1, 2, 3, every=10.0)
    connection.end("gone")
    assert connection.settle(None, now=45.0) == 2


def test_without_a_socket_a_cut_brings_the_last_events_to_the_next_page(desk: Desk) -> None:
    tab = desk.tab()
    for n in (1, 2, 3):
        desk.send(n)
        tab.take()
        desk.clock.advance(HEARTBEAT)
    tab.leave(acknowledged=None)
    assert waiting(desk) == [2, 3]


def test_without_a_socket_a_clean_end_means_that_all_was_handed(desk: Desk) -> None:
    tab = desk.tab()
    desk.send(1)
    tab.take()
    desk.hub.close("c")
    tab.take()
    tab.leave(acknowledged=None)
    assert waiting(desk) == []


def test_without_a_socket_the_memory_of_writes_is_bounded_by_time() -> None:
    """Behind a Unix socket or TLS nobody ever confirms: half an hour of tokens must not pile up."""
    desk = Desk()
    outlet = _outlet_without_a_socket(desk)
    for _ in range(20 * UNCONFIRMED):
        desk.send("x")
        next(outlet)
        desk.clock.advance(1.0)
    assert outlet._connection.unconfirmed <= 2 * UNCONFIRMED


def _outlet_without_a_socket(desk: Desk) -> Any:
    opened = desk.hub.open("c")
    assert opened
    outlet = GeneratorOutlet(*opened, desk.hub.take, desk.hub.leave, Peer(None), True, desk.clock)
    next(outlet)
    return outlet


# --- the mark of a mailbox ---


def test_who_brings_a_cursor_that_is_honoured_has_been_handed_all_before_it(desk: Desk) -> None:
    desk.send(1)
    at = desk.send(2)
    desk.send(3)
    desk.tab(desk.cursor(at)).leave(acknowledged=0)
    assert waiting(desk) == [3]


def test_who_brings_a_cursor_that_is_not_honoured_has_not(desk: Desk) -> None:
    desk.send(1)
    desk.tab("nonsense").leave(acknowledged=0)
    assert waiting(desk) == [1]


def test_while_a_stream_is_open_what_it_was_written_is_not_given_to_another(desk: Desk) -> None:
    tab = desk.tab()
    desk.send(1)
    assert waiting(desk) == [1]
    tab.take()
    assert waiting(desk) == []


def test_of_several_streams_the_one_that_was_handed_most_moves_the_mark(desk: Desk) -> None:
    ahead, behind = desk.tab(), desk.tab()
    desk.send(1)
    behind.take()
    desk.send(2)
    ahead.take()
    ahead.leave(acknowledged=ahead.size)
    behind.leave(acknowledged=0)
    assert waiting(desk) == []


def test_only_a_whole_opening_moves_the_mark(desk: Desk) -> None:
    desk.send(1)
    desk.start()
    desk.delta("Hello")
    cut = desk.tab()
    cut.leave(acknowledged=cut.size - 1)
    whole = desk.tab()
    assert types(whole.head) == ["connected", "message", "started", "snapshot"]
    whole.leave(acknowledged=whole.size)
    assert types(desk.tab().head) == ["connected", "snapshot"]


def test_a_connection_and_its_outlet_go_without_a_look_for_garbage(desk: Desk) -> None:
    """Each knows the other; looks for garbage are rare where streams are many."""
    opened = desk.hub.open("c")
    assert opened
    outlet = GeneratorOutlet(*opened, desk.hub.take, desk.hub.leave, Peer(None), chunked=True)
    gone = weakref.ref(outlet)
    del opened
    gc.disable()
    try:
        outlet.close()
        del outlet
        assert gone() is None
    finally:
        gc.enable()
