"""What all mailboxes weigh together: the sum is exact, and beyond the limit the oldest handed goes first."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Overloaded
from app.hub.log import EVENT_COST, Retention
from app.hub.memory import RELIEF
from tests.hub.kit import Desk, Tab, types

ROOM = 100_000
KIB_10 = "x" * 10_000


@pytest.fixture
def desk() -> Desk:
    """There is room for nine messages of KIB_10."""
    return Desk(memory=ROOM)


def used(desk: Desk) -> int:
    return desk.hub._registry.memory.used


def kept(desk: Desk, client: str) -> int:
    return len(desk.hub._registry.clients[client].mailbox)


def read(desk: Desk, client: str, messages: int) -> Tab:
    """A client that was handed that many messages and left."""
    tab = desk.tab(client=client)
    for _ in range(messages):
        desk.send(KIB_10, client=client)
    tab.take()
    tab.leave(acknowledged=tab.size)
    return tab


def unread(desk: Desk, client: str, messages: int) -> None:
    """A client for which that many messages wait."""
    desk.meet(client)
    for _ in range(messages):
        desk.send(KIB_10, client=client)


# --- the sum ---


def test_an_event_weighs_its_frame_and_what_python_needs_around_it(desk: Desk) -> None:
    tab = desk.tab()
    before = tab.size
    desk.send("hello")
    tab.take()
    assert used(desk) == tab.size - before + EVENT_COST


def test_a_text_weighs_as_long_as_it_is_kept(desk: Desk) -> None:
    desk.start()
    for _ in range(10):
        desk.delta("x")
    with_text = used(desk)
    desk.start(attempt=2)
    assert used(desk) < with_text, "the text starts over"
    desk.end()
    desk.clock.advance(1e6)
    desk.hub.upkeep.age()
    assert used(desk) == 0


def test_a_text_weighs_on_when_its_deltas_are_gone() -> None:
    desk = Desk(mailbox=Retention(1, 1 << 20, 600.0))
    desk.start()
    for _ in range(10):
        desk.delta(KIB_10)
    for n in range(3):
        desk.send(n)
    assert kept(desk, "c") == 1
    assert used(desk) > 100_000


def test_who_is_forgotten_for_another_weighs_nothing_more() -> None:
    desk = Desk(clients=1)
    read(desk, "read", 3)
    assert used(desk) > 30_000
    desk.meet("new")
    assert used(desk) == 0


CLIENTS, ANSWERS = ["a", "b", "c"], ["g", "h"]
step = st.tuples(
    st.sampled_from(["start", "again", "delta", "end", "send", "read", "age", "shrink", "leave"]),
    st.sampled_from(CLIENTS),
    st.sampled_from(ANSWERS),
    st.integers(0, 3_000),
)


@given(steps=st.lists(step, max_size=60), events=st.integers(1, 8), memory=st.integers(1_000, 30_000))
def test_the_sum_is_what_all_mailboxes_weigh_whatever_happens(
    steps: list[Any], events: int, memory: int
) -> None:
    desk = Desk(mailbox=Retention(events, 8_000, 60.0), clients=2, memory=memory, client_memory=5.0)
    tabs: dict[str, Tab] = {}
    for what, client, answer, size in steps:
        with suppress(Overloaded):
            _do(desk, tabs, what, client, answer, size)
        assert used(desk) == sum(c.mailbox.weight for c in desk.hub._registry.clients.values())
        for each in desk.hub._registry.clients.values():
            box = each.mailbox
            assert box.bytes == sum(len(event.frame) for event in box.after(0))
            assert box.texts == sum(fold.size for fold in box.folds.values()) >= 0


def _do(desk: Desk, tabs: dict[str, Tab], what: str, client: str, answer: str, size: int) -> None:
    known = client in desk.hub._registry.clients
    if what == "start":
        desk.start(answer, client=client)
    elif what == "again":
        desk.start(answer, attempt=2, client=client)
    elif what == "delta":
        desk.delta("x" * size, answer, client)
    elif what == "end":
        desk.end(answer, client)
    elif what == "send" and known:
        desk.send("x" * size, client=client)
    elif what == "read" and client not in tabs:
        tabs[client] = desk.tab(client=client)
        tabs[client].take_all()
    elif what == "leave" and client in tabs:
        tabs[client].take_all()
        tabs[client].leave(acknowledged=size)
        del tabs[client]
    elif what == "age":
        desk.clock.advance(size / 40)
        desk.hub.upkeep.age()
    elif what == "shrink":
        desk.hub._registry.memory.relieve(desk.hub._registry.clients.values())


# --- who has to let go ---


def test_the_longest_idle_lets_go_first_and_of_no_more_than_is_needed(desk: Desk) -> None:
    for client, messages in (("first", 3), ("second", 3), ("third", 4)):
        read(desk, client, messages)
    assert used(desk) > ROOM
    desk.meet("new")
    desk.send("hello", client="new")
    assert [kept(desk, client) for client in ("first", "second", "third")] == [0, 3, 4]
    assert used(desk) <= ROOM * (1 - RELIEF)


def test_of_those_who_let_go_the_cursor_gets_a_reset(desk: Desk) -> None:
    idle = read(desk, "idle", 5)
    read(desk, "busy", 5)
    desk.send("hello", client="busy")
    head = desk.tab(idle.last_id, client="idle").head
    assert types(head) == ["connected"], "who was handed all of it has lost nothing"
    first = next(said for said in idle.events if said.id)
    head = desk.tab(str(first.id), client="idle").head
    assert types(head) == ["connected", "reset"]
    assert head[1].body["reason"] == "trimmed"


def test_what_nobody_was_handed_stays_and_is_not_counted_as_lost(desk: Desk) -> None:
    tab = read(desk, "c", 5)
    for _ in range(5):
        desk.send(KIB_10)
    desk.meet("new")
    desk.send("hello", client="new")
    assert kept(desk, "c") == 5
    assert desk.hub.counts()["undelivered"] == 0
    assert [said.what for said in desk.tab(tab.last_id).take_all()] == [KIB_10] * 5


@pytest.mark.parametrize(
    "held",
    [lambda desk: desk.tab(client="held"), lambda desk: desk.start(client="held")],
    ids=["an open stream", "a running answer"],
)
def test_nothing_is_taken_from_who_is_here(desk: Desk, held: Any) -> None:
    read(desk, "held", 5)
    held(desk)
    read(desk, "idle", 5)
    desk.meet("new")
    desk.send("hello", client="new")
    assert kept(desk, "held") >= 5
    assert kept(desk, "idle") == 0


# --- where nothing more can go ---


def test_where_nothing_can_go_messages_are_refused_and_nothing_is_lost(desk: Desk) -> None:
    unread(desk, "c", 10)
    assert used(desk) > ROOM
    with pytest.raises(Overloaded, match="mailboxes are full") as refusal:
        desk.send("one more")
    assert refusal.value.retry_after
    assert kept(desk, "c") == 10
    desk.clock.advance(desk.limits.mailbox.age + 1)
    desk.hub.upkeep.age()
    desk.meet()
    desk.send("there is room again")


def test_new_answers_are_refused_and_running_ones_go_on(desk: Desk) -> None:
    desk.start("g")
    unread(desk, "c", 10)
    with pytest.raises(Overloaded):
        desk.hub.check_room("another")
    assert desk.delta("goes on")
    assert desk.end("g")
    assert types(desk.tab().take_all())[-2:] == ["done", "[DONE]"]


def test_a_key_that_was_refused_may_be_tried_again(desk: Desk) -> None:
    unread(desk, "c", 10)
    with pytest.raises(Overloaded):
        desk.send("mine", key="key")
    tab = desk.tab()
    tab.take_all()
    tab.leave(acknowledged=tab.size)
    sent = desk.send("mine", key="key")
    assert desk.send("mine", key="key") == sent


def test_streams_open_and_broadcasts_arrive_all_the_same(desk: Desk) -> None:
    unread(desk, "c", 10)
    tab = desk.tab(client="new")
    desk.tell("all")
    assert [said.what for said in tab.take()] == ["all"]
