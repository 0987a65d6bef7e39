"""The crowd: who joins it, what each is given back that parts with it, and that nobody is in two places."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.hub.connection import Connection
from app.hub.crowd import Crowd
from tests.hub.kit import Stub

BATCH = 100  # bytes of a round, in most tests


def enter(crowd: Crowd, name: str = "c", own: int = 0, news: int = 0, wired: int = 0) -> Connection:
    """A new stream, whose outlet is nothing but a socket, which is nothing but a name."""
    outlet: Any = Stub()
    outlet.sock = f"socket of {name}"
    connection = Connection(name, name, own=own, news=news, wired=wired, outlet=outlet)
    crowd.enter(connection)
    return connection


def joined(crowd: Crowd, name: str = "c", count: int = 10, wired: int = 0) -> Connection:
    """A stream that has all there is up to `count`, in the crowd."""
    connection = enter(crowd, name, count, count, wired)
    crowd.join(connection, crowd.mark.number, count)
    assert connection.place >= 0
    return connection


def write_all(crowd: Crowd) -> None:
    """What a round does with streams that take all they are given."""
    crowd.next(crowd.left)


def write_one(crowd: Crowd) -> Connection:
    """The next to whom a round comes."""
    (sock,) = crowd.next(1)
    connection = crowd.whose(0, 1)
    assert connection.outlet.sock == sock
    return connection


def is_behind(crowd: Crowd, connection: Connection) -> bool:
    """Whether the round has yet to come to it, as all the sockets tell that are next."""
    again = copy.copy(crowd)  # which shares the rows
    return connection.outlet.sock in again.next(again.left)


def standing(connection: Connection) -> tuple[int, int, int]:
    return connection.own, connection.news, connection.wired


@pytest.fixture
def crowd() -> Crowd:
    return Crowd()


# --- who is here ---


def test_a_new_stream_stands_apart(crowd: Crowd) -> None:
    connection = enter(crowd)
    assert list(crowd.apart) == [connection]
    assert connection.place < 0


def test_it_counts_and_names_all_wherever_they_stand(crowd: Crowd) -> None:
    streams = [joined(crowd, "a"), joined(crowd, "b")]
    crowd.begin(11, 1, BATCH, 1.0)
    write_one(crowd)
    streams.append(enter(crowd, "apart"))
    assert len(crowd) == 3
    assert set(crowd) == set(streams)
    assert repr(crowd) == "<Crowd at 11: 2 together, 1 of them left, 1 apart>"


@pytest.mark.parametrize("place", ["apart", "level", "behind"])
def test_who_leaves_is_gone_from_wherever_it_stood(crowd: Crowd, place: str) -> None:
    connection = enter(crowd) if place == "apart" else joined(crowd)
    if place == "behind":
        crowd.begin(11, 1, BATCH, 1.0)
    crowd.leave(connection)
    assert (len(crowd), list(crowd)) == (0, [])
    assert connection.place < 0
    with pytest.raises(KeyError):
        crowd.leave(connection)


def test_where_nobody_writes_to_the_crowd_nobody_is_woken(crowd: Crowd) -> None:
    crowd.wake()


# --- joining ---


def test_who_joins_stands_with_its_outlet_and_no_longer_apart(crowd: Crowd) -> None:
    connection = joined(crowd, "c")
    assert crowd.members == [connection]
    assert not crowd.apart
    crowd.begin(11, 1, BATCH, 1.0)
    assert crowd.next(5) == ["socket of c"]


def test_the_first_to_join_takes_the_mark_along(crowd: Crowd) -> None:
    """An empty crowd was written nothing: what was said meanwhile the first to join has been given."""
    connection = enter(crowd, own=40, news=40)
    crowd.join(connection, 37, 40)
    assert connection.place >= 0
    assert crowd.mark.number == 40


def test_the_mark_stays_where_somebody_stands_at_it(crowd: Crowd) -> None:
    joined(crowd, count=10)
    late = enter(crowd, own=40, news=40)
    crowd.join(late, 10, 40)
    assert late.place >= 0
    assert crowd.mark.number == 10, "the others have yet to be asked for what came after"


def test_nobody_joins_who_has_a_broadcast_that_the_crowd_has_yet_to_be_given(crowd: Crowd) -> None:
    """It would be written that once more."""
    joined(crowd, count=10)
    ahead = enter(crowd, own=11, news=11)
    crowd.join(ahead, 11, 11)
    assert ahead.place < 0
    assert ahead in crowd.apart


@pytest.mark.parametrize("rounds", [1, 2])
def test_who_joins_in_the_middle_of_a_round_is_not_come_to_by_it(crowd: Crowd, rounds: int) -> None:
    others = [joined(crowd, name, count=10) for name in "abc"]
    for _ in range(rounds):
        write_all(crowd)
        crowd.begin(11, 1, BATCH, 1.0)
    first = write_one(crowd)
    has_it = enter(crowd, "late", own=11, news=11)
    crowd.join(has_it, 11, 11)
    assert [is_behind(crowd, c) for c in (has_it, *others)] == [False, *(c is not first for c in others)]


def test_the_mark_stays_while_a_round_has_yet_to_come_to_somebody(crowd: Crowd) -> None:
    joined(crowd, count=10)
    crowd.begin(11, 1, BATCH, 1.0)
    late = enter(crowd, own=12, news=12)
    crowd.join(late, 11, 12)
    assert crowd.mark.number == 11


def test_joining_twice_is_joining_once(crowd: Crowd) -> None:
    connection = joined(crowd, wired=5)
    crowd.join(connection, 10, 10)
    assert len(crowd) == 1
    crowd.part(connection)
    assert connection.wired == 5


# --- parting ---


def test_who_parts_without_a_round_has_what_it_came_with(crowd: Crowd) -> None:
    connection = joined(crowd, count=10, wired=1_234)
    crowd.part(connection)
    assert standing(connection) == (10, 10, 1_234)
    assert connection.written_at == 0.0
    assert list(crowd.apart) == [connection]


def test_who_parts_after_rounds_stands_where_the_crowd_does_and_has_all_their_bytes(crowd: Crowd) -> None:
    connection = joined(crowd, count=10, wired=1_000)
    for number, size in ((11, 100), (15, 70)):
        crowd.begin(number, 1, size, float(number))
        write_all(crowd)
    crowd.part(connection)
    assert standing(connection) == (15, 15, 1_170)
    assert connection.written_at == 15.0


def test_who_parts_before_the_round_comes_to_it_stands_where_it_was_before(crowd: Crowd) -> None:
    connection = joined(crowd, count=10, wired=1_000)
    crowd.begin(11, 1, 100, 1.0)
    write_all(crowd)
    crowd.begin(12, 1, 70, 2.0)
    crowd.part(connection)
    assert standing(connection) == (11, 11, 1_100)
    assert connection.written_at == 1.0
    assert not crowd.left


def test_what_was_written_before_it_joined_is_not_its_own(crowd: Crowd) -> None:
    early = joined(crowd, "early", count=10)
    crowd.begin(11, 1, BATCH, 1.0)
    write_all(crowd)
    late = joined(crowd, "late", count=11, wired=7)
    crowd.begin(12, 1, 30, 2.0)
    write_all(crowd)
    for connection in (early, late):
        crowd.part(connection)
    assert (early.wired, late.wired) == (BATCH + 30, 37)


def test_who_was_further_than_the_crowd_in_its_own_log_stays_so(crowd: Crowd) -> None:
    joined(crowd, "other", count=10)
    connection = enter(crowd, own=20, news=20)
    crowd.join(connection, 10, 20)
    crowd.part(connection)
    assert standing(connection)[:2] == (20, 20)


def test_who_was_written_to_later_than_the_crowd_stays_so(crowd: Crowd) -> None:
    connection = joined(crowd)
    connection.written_at = 5.0
    crowd.part(connection)
    assert connection.written_at == 5.0


def test_who_stands_apart_keeps_its_standing(crowd: Crowd) -> None:
    joined(crowd, "other", count=10)
    crowd.begin(99, 1, BATCH, 1.0)
    connection = enter(crowd, own=3, news=4, wired=5)
    crowd.part(connection)
    assert standing(connection) == (3, 4, 5)


def test_a_crowd_that_scatters_names_all_its_members_and_each_stands_for_itself(crowd: Crowd) -> None:
    members = [joined(crowd, "a"), joined(crowd, "b")]
    apart = enter(crowd, "apart")
    crowd.begin(11, 1, BATCH, 1.0)
    write_one(crowd)
    assert set(crowd.scatter()) == set(members)
    assert set(crowd.apart) == {*members, apart}
    assert {c.own for c in members} == {10, 11}
    assert crowd.scatter() == []


# --- rounds ---


def test_a_round_is_to_come_to_all_that_are_level(crowd: Crowd) -> None:
    members = {joined(crowd, "a"), joined(crowd, "b")}
    enter(crowd, "apart")
    crowd.begin(11, 1, BATCH, 1.0)
    assert crowd.left == 2
    assert {write_one(crowd), write_one(crowd)} == members
    assert crowd.left == 0


def test_whom_one_round_came_to_last_the_next_comes_to_first(crowd: Crowd) -> None:
    for name in "abcde":
        joined(crowd, name)
    orders = []
    for number in (11, 12, 13):
        crowd.begin(number, 1, BATCH, 1.0)
        orders.append([*crowd.next(2), *crowd.next(2), *crowd.next(2)])
    assert orders[0] == orders[1][::-1] == orders[2]
    assert len(set(orders[0])) == 5


@pytest.mark.parametrize("rounds", [1, 2])
def test_each_of_those_written_to_is_told_by_its_position(crowd: Crowd, rounds: int) -> None:
    for name in "abcde":
        joined(crowd, name)
    for number in range(rounds):
        write_all(crowd)
        crowd.begin(11 + number, 1, BATCH, 1.0)
    crowd.next(2)
    sockets = crowd.next(3)
    assert [crowd.whose(position, 3).outlet.sock for position in range(3)] == sockets


@pytest.mark.parametrize(("events", "several"), [(1, False), (2, True)])
def test_it_tells_whether_a_round_carries_several_events(crowd: Crowd, events: int, several: bool) -> None:
    crowd.begin(11, events, BATCH, 1.0)
    assert crowd.joined is several


def test_it_tells_when_each_was_written_to(crowd: Crowd) -> None:
    member, apart = joined(crowd, "a"), enter(crowd, "apart")
    member.written_at = apart.written_at = 1.0
    crowd.begin(11, 1, BATCH, 7.0)
    assert [crowd.written_at(c) for c in (member, apart)] == [7.0, 1.0], "the round is about to come to it"
    write_all(crowd)
    member.written_at = 9.0
    assert crowd.written_at(member) == 9.0


# --- any order ---

STEPS = st.lists(
    st.tuples(st.sampled_from(["join", "part", "leave", "begin", "write", "own"]), st.integers(0, 4)),
    max_size=60,
)


@given(STEPS)
def test_in_any_order_each_has_as_many_bytes_as_it_was_written(steps: list[tuple[str, int]]) -> None:
    """Against a plain list of what each was written: five streams; a round carries what was told last."""
    crowd, count = Crowd(), 0
    streams = [enter(crowd, f"c{n}") for n in range(5)]
    was = dict.fromkeys(streams, 0)
    size = 0
    for what, n in steps:
        connection = streams[n]
        if what == "leave":
            crowd.leave(connection)
            streams[n] = enter(crowd, f"c{n}", count, count)
            was[streams[n]] = 0
        elif what == "join" and connection in crowd.apart:
            connection.own = connection.news = count  # it was given all there is, one by one
            crowd.join(connection, crowd.mark.number, count)
        elif what == "part":
            crowd.part(connection)
        elif what == "own" and connection in crowd.apart:
            connection.wired += 3
            was[connection] += 3
        elif what == "begin" and not crowd.left:
            count, size = count + 1, n + 1
            crowd.begin(count, 1, size, float(count))
        elif what == "write" and crowd.left:
            was[write_one(crowd)] += size
        assert len(crowd) == len(set(crowd)) == 5
        assert [c.place for c in crowd.members] == list(range(len(crowd.members)))
        assert all(c.place < 0 for c in crowd.apart)
    crowd.scatter()
    assert {c: c.wired for c in streams} == {c: was[c] for c in streams}
