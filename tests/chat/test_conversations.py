"""Conversations in memory: the client's own, in order, so many and no more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from app.chat.conversations import Conversations
from app.errors import NotFound


@pytest.fixture
def kept() -> Conversations:
    """At most three; the clock goes one second a look, from 100."""
    seconds: Iterator[int] = count(100)
    return Conversations(3, wall=lambda: float(next(seconds)))


def user(text: object) -> dict[str, object]:
    return {"role": "user", "content": text}


def test_what_is_asked_is_added_and_all_of_it_returned(kept: Conversations) -> None:
    kept.create("c", "a")
    assert kept.ask("c", "a", [user("1?")], anew=False) == [user("1?")]
    kept.add("c", {"role": "assistant", "content": "1"})
    assert kept.ask("c", "a", [user("2?"), user("3?")], anew=False) == [
        user("1?"),
        {"role": "assistant", "content": "1"},
        user("2?"),
        user("3?"),
    ]


def test_what_is_asked_anew_takes_the_place_of_all(kept: Conversations) -> None:
    kept.create("c", "a")
    kept.ask("c", "a", [user("old")], anew=False)
    assert kept.ask("c", "a", [user("new")], anew=True) == [user("new")]
    assert kept.get("c", "a")["messages"] == [user("new")]


def test_what_is_given_out_is_no_hand_on_what_is_stored(kept: Conversations) -> None:
    asked = [user("1?")]
    kept.create("c", "a")
    kept.ask("c", "a", asked, anew=True).append(user("slipped in"))
    kept.get("c", "a")["messages"].append(user("slipped in"))
    asked.append(user("slipped in"))
    assert kept.get("c", "a")["messages"] == [user("1?")]


CALLS: dict[str, Callable[[Conversations], object]] = {
    "get": lambda kept: kept.get("c", "b"),
    "ask": lambda kept: kept.ask("c", "b", [user("?")], anew=False),
    "delete": lambda kept: kept.delete("c", "b"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_anothers_conversation_is_as_unknown_as_none(
    kept: Conversations, call: Callable[[Conversations], object]
) -> None:
    with pytest.raises(NotFound) as none:
        call(kept)
    kept.create("c", "a")
    with pytest.raises(NotFound) as theirs:
        call(kept)
    assert (theirs.value.detail, theirs.value.field) == (none.value.detail, "conversationId")
    assert kept.get("c", "a")["messages"] == []


def test_a_deleted_one_is_gone_and_what_is_added_later_is_dropped(kept: Conversations) -> None:
    kept.create("c", "a")
    kept.delete("c", "a")
    kept.add("c", user("late"))
    assert (len(kept), kept.list("a")) == (0, [])


def test_the_list_is_the_clients_own_the_latest_first(kept: Conversations) -> None:
    for name, client in (("one", "a"), ("two", "a"), ("theirs", "b")):
        kept.create(name, client)
        kept.ask(name, client, [user(f"{name}?")], anew=False)
    kept.add("one", {"role": "assistant", "content": "x"})
    listed = kept.list("a")
    assert [(c["id"], c["title"], c["messages"]) for c in listed] == [("one", "one?", 2), ("two", "two?", 1)]
    assert listed[0]["created"] == 100.0
    assert listed[0]["updated"] > listed[1]["updated"] > listed[1]["created"]


@pytest.mark.parametrize(
    ("messages", "title"),
    [
        ([], ""),
        ([user("  a\n\tb  ")], "a b"),
        ([user("x" * 200)], "x" * 80),
        ([{"role": "system", "content": "s"}, user("q")], "q"),
        ([user([{"type": "image_url"}])], ""),
        ([user(None)], ""),
        ([{"role": "user"}], ""),
    ],
)
def test_the_title_is_the_first_thing_asked(
    kept: Conversations, messages: list[dict[str, object]], title: str
) -> None:
    kept.create("c", "a")
    kept.ask("c", "a", messages, anew=True)
    assert kept.list("a")[0]["title"] == title


USES: dict[str, Callable[[Conversations], object]] = {
    "looked at": lambda kept: kept.get("c0", "a"),
    "asked in": lambda kept: kept.ask("c0", "a", [user("?")], anew=False),
    "answered in": lambda kept: kept.add("c0", {"role": "assistant", "content": "x"}),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_beyond_the_limit_the_least_recently_used_goes(
    kept: Conversations, use: Callable[[Conversations], object]
) -> None:
    for i in range(3):
        kept.create(f"c{i}", "a")
    use(kept)
    kept.create("c3", "a")
    assert {c["id"] for c in kept.list("a")} == {"c0", "c2", "c3"}


def test_looking_at_the_list_uses_none(kept: Conversations) -> None:
    for i in range(3):
        kept.create(f"c{i}", "a")
    kept.list("a")
    kept.create("c3", "a")
    assert {c["id"] for c in kept.list("a")} == {"c1", "c2", "c3"}


def test_many_threads_at_once_lose_no_message(kept: Conversations) -> None:
    kept.create("c", "a")

    def add(name: int) -> None:
        for i in range(200):
            kept.add("c", user(f"{name}-{i}"))
            kept.list("a")

    threads = [threading.Thread(target=add, args=[name]) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    messages = [m["content"] for m in kept.get("c", "a")["messages"]]
    assert len(set(messages)) == len(messages) == 800
