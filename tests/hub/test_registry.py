"""Who is known: how a client comes to be and is forgotten, what is counted, what there is no room for."""

from __future__ import annotations

import re

import pytest

from app.errors import NotFound, Overloaded
from app.hub import registry
from app.hub.log import Retention
from tests.hub.kit import ROOMY, Desk, Stub, number, types

MEMORY = 60.0


@pytest.fixture
def desk() -> Desk:
    return Desk()


def known(desk: Desk) -> int:
    return desk.hub.counts()["clients"]


def undelivered(desk: Desk) -> int:
    return desk.hub.counts()["undelivered"]


# --- one numbering ---


def test_an_epoch_is_random_and_short() -> None:
    epochs = {Desk().epoch for _ in range(20)}
    assert len(epochs) == 20
    assert all(re.fullmatch("[0-9a-f]{8}", epoch) for epoch in epochs)


def test_one_number_counts_every_event_of_every_log(desk: Desk) -> None:
    for client in ("a", "b"):
        desk.meet(client)
    assert [desk.send(client="a"), desk.tell(), desk.send(client="b"), desk.start(client="a")] == [1, 2, 3, 4]
    assert desk.end(client="a") == 5
    assert desk.send(client="b") == 7, "[DONE] has a number like any other"


def test_a_mailbox_is_born_with_its_floor_at_the_number_of_that_moment(desk: Desk) -> None:
    desk.tell()
    last = desk.tell()
    desk.meet("new")
    assert number(desk.hub.client("new")["lastEventId"]) == last


# --- how a client comes to be ---


def test_a_client_comes_to_be_by_connecting(desk: Desk) -> None:
    desk.tab(client="c")
    assert desk.hub.client("c") == {
        "clientId": "c",
        "connections": 1,
        "waiting": 0,
        "lastEventId": desk.cursor(0),
        "generations": [],
    }


def test_a_client_comes_to_be_by_asking(desk: Desk) -> None:
    desk.start()
    assert desk.hub.client("c")["generations"] == ["g"]


def test_nobody_comes_to_be_by_being_sent_something(desk: Desk) -> None:
    with pytest.raises(NotFound) as refusal:
        desk.send()
    assert refusal.value.field == "clientId"
    desk.tell()
    assert desk.hub.close("c") == 0
    assert known(desk) == 0


@pytest.mark.parametrize("kind", ["delta", "done", "error"])
def test_nobody_comes_to_be_by_what_is_refused(desk: Desk, kind: str) -> None:
    assert desk.publish(kind, "over", seq=1, data={"content": "late"}) is None
    assert known(desk) == 0


def test_what_is_refused_makes_nobody_go() -> None:
    desk = Desk(clients=1)
    desk.meet("idle")
    desk.publish("delta", "over", client="late", seq=1, data={"content": "late"})
    assert desk.hub.client("idle")


def test_who_asks_about_a_client_nobody_knows_is_told_so(desk: Desk) -> None:
    with pytest.raises(NotFound):
        desk.hub.client("c")
    assert desk.hub.text("c", "g") is None
    assert not desk.hub.listening("c")


def test_what_waits_is_counted_without_the_literal(desk: Desk) -> None:
    desk.answer("Hello")
    assert desk.hub.client("c")["waiting"] == 3


# --- how a client is forgotten ---


def test_a_client_is_forgotten_a_minute_after_its_last_connection(desk: Desk) -> None:
    tab = desk.tab()
    desk.clock.advance(1_000.0)
    tab.leave()
    desk.clock.advance(MEMORY)
    desk.hub.upkeep.age()
    assert known(desk) == 1
    desk.clock.advance(0.1)
    desk.hub.upkeep.age()
    assert known(desk) == 0


def test_a_client_with_an_open_stream_is_not_forgotten(desk: Desk) -> None:
    desk.tab()
    desk.clock.advance(1e6)
    desk.hub.upkeep.age()
    assert known(desk) == 1


def test_a_client_with_a_running_answer_is_not_forgotten(desk: Desk) -> None:
    desk.start()
    desk.clock.advance(1e6)
    desk.hub.upkeep.age()
    assert known(desk) == 1
    desk.end()
    desk.clock.advance(1e6)
    desk.hub.upkeep.age()
    assert known(desk) == 0


def test_a_client_with_a_retained_event_is_not_forgotten(desk: Desk) -> None:
    desk.meet()
    desk.clock.advance(MEMORY + 1)
    desk.send()
    desk.clock.advance(ROOMY.age)
    desk.hub.upkeep.age()
    assert known(desk) == 1
    desk.clock.advance(0.1)
    desk.hub.upkeep.age()
    assert known(desk) == 0


def test_who_comes_back_after_being_forgotten_is_told_so(desk: Desk) -> None:
    tab = desk.tab()
    desk.send()
    tab.take()
    tab.leave()
    desk.clock.advance(ROOMY.age + MEMORY)
    desk.hub.upkeep.age()
    assert known(desk) == 0
    desk.tell()
    assert types(desk.tab(tab.last_id).head) == ["connected", "reset"]


# --- what is let go of unread ---


def test_what_was_handed_to_nobody_is_counted_when_it_goes(desk: Desk) -> None:
    desk.meet()
    desk.send()
    desk.send()
    desk.clock.advance(ROOMY.age + 1)
    desk.hub.upkeep.age()
    assert undelivered(desk) == 2


def test_what_was_handed_is_not(desk: Desk) -> None:
    tab = desk.tab()
    desk.send()
    tab.take()
    tab.leave(acknowledged=tab.size)
    desk.clock.advance(ROOMY.age + 1)
    desk.hub.upkeep.age()
    assert undelivered(desk) == 0


def test_what_goes_by_count_or_bytes_is_counted_too() -> None:
    desk = Desk(mailbox=Retention(events=2, bytes=300, age=600.0))
    desk.meet()
    for n in range(5):
        desk.send(n)
    assert undelivered(desk) == 3
    desk.send("x" * 200)
    assert undelivered(desk) == 5


def test_the_literal_is_nothing_to_lose(desk: Desk) -> None:
    desk.answer("Hello")
    desk.clock.advance(ROOMY.age + 1)
    desk.hub.upkeep.age()
    assert undelivered(desk) == 3


# --- no room ---


def test_beyond_the_streams_of_a_process_nobody_gets_in() -> None:
    desk = Desk(connections=2)
    first = desk.tab(client="a")
    desk.tab(client="b")
    with pytest.raises(Overloaded) as refusal:
        desk.tab(client="c")
    assert refusal.value.retry_after
    assert known(desk) == 2
    first.leave()
    desk.tab(client="c")


def test_beyond_the_streams_of_a_client_only_that_client_is_refused() -> None:
    desk = Desk(connections_client=2)
    first = desk.tab()
    desk.tab()
    with pytest.raises(Overloaded):
        desk.tab()
    desk.tab(client="d")
    first.leave()
    desk.tab()


def test_streams_that_a_reload_left_behind_do_not_count_against_a_client() -> None:
    desk = Desk(connections_client=2)
    for _ in range(2):
        desk.tab().connection.outlet = Stub(gone=lambda: True)
    assert desk.tab()


def test_at_the_cap_the_longest_idle_goes_first() -> None:
    desk = Desk(clients=2)
    for client in ("first", "second"):
        desk.meet(client)
        desk.clock.advance(1.0)
    desk.meet("third")
    assert {c for c in ("first", "second", "third") if _is_known(desk, c)} == {"second", "third"}


@pytest.mark.parametrize(
    "held",
    [
        lambda desk: desk.tab(client="held"),
        lambda desk: desk.start(client="held"),
        lambda desk: (desk.meet("held"), desk.send(client="held")),
    ],
    ids=["a connection", "an answer", "an unhanded event"],
)
def test_at_the_cap_nobody_goes_who_has_something_here(held: object) -> None:
    desk = Desk(clients=2)
    held(desk)  # type: ignore[operator]
    desk.clock.advance(1.0)
    desk.meet("idle")
    desk.meet("new")
    assert _is_known(desk, "held")
    assert not _is_known(desk, "idle")


def test_a_handed_event_keeps_nobody_at_the_cap() -> None:
    desk = Desk(clients=1)
    tab = desk.tab(client="read")
    desk.send(client="read")
    tab.take()
    tab.leave(acknowledged=tab.size)
    desk.meet("new")
    assert not _is_known(desk, "read")


def test_an_event_that_grew_too_old_keeps_nobody_at_the_cap() -> None:
    desk = Desk(clients=1, client_memory=1e9)
    desk.meet("sent to")
    desk.send(client="sent to")
    desk.clock.advance(ROOMY.age + 1)
    desk.hub.upkeep.age()
    desk.meet("new")
    assert not _is_known(desk, "sent to")


def test_where_nobody_can_go_the_new_one_is_refused() -> None:
    desk = Desk(clients=1)
    desk.tab(client="a")
    with pytest.raises(Overloaded):
        desk.tab(client="b")
    with pytest.raises(Overloaded):
        desk.start(client="b")
    assert desk.hub.counts() == {"clients": 1, "connections": 1, "undelivered": 0}


def test_a_search_for_who_can_go_looks_at_some_only_and_the_next_one_at_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With 50,000 clients nobody's tokens may wait for a look at all of them."""
    monkeypatch.setattr(registry, "SEARCH", 10)
    desk = Desk(clients=36)
    for n in range(35):
        desk.meet(f"c{n}")
        desk.send(client=f"c{n}")
    desk.meet("idle")
    for _ in range(3):
        with pytest.raises(Overloaded):
            desk.tab(client="new")
    desk.tab(client="new")
    assert not _is_known(desk, "idle")


def _is_known(desk: Desk, client: str) -> bool:
    try:
        return bool(desk.hub.client(client))
    except NotFound:
        return False


# --- whom a broadcast goes to ---


def listeners(desk: Desk) -> tuple[int, int]:
    """(clients, connections)"""
    told = desk.hub.broadcast("all", "info")
    return told.clients, told.connections


def test_a_broadcast_counts_the_clients_with_a_stream_and_their_streams(desk: Desk) -> None:
    desk.meet("absent")
    tabs = [desk.tab(client="a"), desk.tab(client="a"), desk.tab(client="b")]
    assert listeners(desk) == (2, 3)
    tabs[0].leave()
    assert listeners(desk) == (2, 2)
    tabs[1].leave()
    assert listeners(desk) == (1, 1)


def test_streams_that_are_about_to_end_are_not_counted_nor_are_clients_that_have_no_other(desk: Desk) -> None:
    tabs = [desk.tab(client="a"), desk.tab(client="a"), desk.tab(client="b")]
    for tab, left in zip(tabs, [(2, 2), (1, 1), (0, 0)], strict=True):
        desk.hub._registry.end(tab.connection, "closed")
        assert listeners(desk) == left
    again = desk.tab(client="a")
    assert listeners(desk) == (1, 1)
    for tab in [*tabs, again]:
        tab.leave()
    assert listeners(desk) == (0, 0)
    assert not desk.hub._registry.admission.ending


def test_a_stream_that_ended_with_its_literal_is_not_counted(desk: Desk) -> None:
    tab = desk.tab(close_on_done=True)
    desk.answer("Hello")
    assert listeners(desk) == (1, 1)
    tab.take_all()
    assert listeners(desk) == (0, 0)
