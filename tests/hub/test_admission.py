"""Who may still come in: what counts against whom, and that nobody goes for a newcomer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Overloaded
from app.hub.admission import Admission
from app.hub.client import Client
from app.hub.connection import Connection
from app.hub.limits import Limits
from app.hub.mailbox import Mailbox
from tests.hub.kit import ROOMY, Desk, Text


def admission(all: int = 100, client: int = 100, address: int = 100) -> Admission:
    limits = Limits(ROOMY, ROOMY, connections=all, connections_client=client, connections_address=address)
    return Admission(limits)


def come(door: Admission, client: Client | None = None, address: str = "") -> Connection:
    """One more stream, if there is room."""
    door.check(client, address)
    connection = Connection("id", client.id if client else "c", address=address)
    door.enter(connection)
    if client:
        client.connections.append(connection)
    return connection


def test_a_process_has_room_for_so_many_streams() -> None:
    door = admission(all=2)
    first = come(door)
    come(door)
    with pytest.raises(Overloaded, match="streams are open") as refusal:
        come(door)
    assert refusal.value.retry_after
    door.leave(first)
    come(door)


def test_an_address_has_room_for_so_many_streams() -> None:
    door = admission(address=2)
    first = come(door, address="198.51.100.1")
    come(door, address="198.51.100.1")
    with pytest.raises(Overloaded, match="of this address"):
        come(door, address="198.51.100.1")
    come(door, address="198.51.100.2")
    door.leave(first)
    come(door, address="198.51.100.1")


def test_where_addresses_are_not_told_apart_none_is_full() -> None:
    door = admission(address=1)
    for _ in range(5):
        come(door, address="")


def test_streams_that_are_about_to_end_do_not_count_against_a_client() -> None:
    door, client = admission(client=2), Client("c", Mailbox(ROOMY, 0, Text), 0.0)
    first = come(door, client)
    assert not door.crowded(client)
    come(door, client)
    assert door.crowded(client)
    with pytest.raises(Overloaded, match="of this client"):
        come(door, client)
    first.end("closed")
    come(door, client)


def test_they_do_count_against_the_process_for_their_files_are_still_open() -> None:
    door = admission(all=1)
    come(door).end("closed")
    with pytest.raises(Overloaded):
        come(door)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["", "a", "b"])), max_size=60))
def test_what_is_counted_is_what_is_open_and_nothing_stays_behind(steps: list[tuple[bool, str]]) -> None:
    door, inside = admission(all=6, address=2), []
    for comes, address in steps:
        if comes:
            room = len(inside) < 6 and (not address or [c.address for c in inside].count(address) < 2)
            try:
                inside.append(come(door, address=address))
                assert room
            except Overloaded:
                assert not room
        elif inside:
            door.leave(inside.pop(0))
        assert list(door.streams) == inside
    for connection in inside:
        door.leave(connection)
    assert (len(door.streams), len(door._addresses)) == (0, 0)


# --- by way of the hub ---


def test_a_full_address_keeps_others_out_and_nobody_in() -> None:
    desk = Desk(connections_address=2)
    first = desk.tab(client="a", address="198.51.100.1")
    desk.tab(client="b", address="198.51.100.1")
    with pytest.raises(Overloaded):
        desk.tab(client="c", address="198.51.100.1")
    assert first.connection.ending == ""
    desk.tab(client="d", address="198.51.100.2")
    first.leave()
    desk.tab(client="c", address="198.51.100.1")


def test_who_is_refused_for_its_address_is_not_known_by_that() -> None:
    desk = Desk(connections_address=1)
    desk.tab(client="a", address="198.51.100.1")
    with pytest.raises(Overloaded):
        desk.tab(client="b", address="198.51.100.1")
    assert desk.hub.counts() == {"clients": 1, "connections": 1, "undelivered": 0}
