"""The hub's verbs: saying, ending, asking; and that many may call them at once."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest

from app.errors import NotFound, Overloaded
from app.hub import hub
from app.hub.log import Retention
from app.hub.outlets import GeneratorOutlet
from app.hub.peer import Peer
from app.hub.upkeep import SLICE
from tests.hub.kit import ROOMY, Desk, Stub, count_wakes, number, read, types

# --- the first bytes ---


def test_a_stream_begins_with_retry_and_connected(desk: Desk) -> None:
    head = desk.tab().bytes
    assert re.match(rb'retry: 2000\n\nid: [0-9a-f]{8}\.0\ndata: \{"type":"connected",', head)


def test_every_connection_has_an_id_of_its_own(desk: Desk) -> None:
    ids = {desk.tab().head[0].body["connectionId"] for _ in range(5)}
    assert len(ids) == 5


# --- publish ---


def test_nothing_follows_a_terminal_event(desk: Desk) -> None:
    tab = desk.tab()
    desk.answer("Hello")
    late = [desk.delta(), desk.end(), desk.end(kind="error"), desk.start(), desk.start(attempt=2)]
    assert late == [None] * 5
    assert types(tab.take()) == ["started", "delta", "done", "[DONE]"]


def test_an_answer_that_never_began_says_nothing(desk: Desk) -> None:
    tab = desk.tab()
    assert [desk.delta(), desk.end()] == [None, None]
    assert tab.take() == []


@pytest.mark.parametrize("kind", ["done", "error"])
def test_the_literal_follows_the_end_of_the_last_running_answer(desk: Desk, kind: str) -> None:
    tab = desk.tab()
    desk.start("a")
    desk.start("b")
    desk.publish("queued", "c", position=1)
    desk.end("a", kind=kind)
    desk.end("b", kind=kind)
    assert "[DONE]" not in types(tab.take())
    last = desk.end("c", kind=kind)
    events = tab.take()
    assert types(events) == [kind, "[DONE]"]
    assert [event.number for event in events] == [last, (last or 0) + 1]


def test_the_literal_follows_only_the_answers_of_the_same_client(desk: Desk) -> None:
    desk.start("other", client="d")
    tab = desk.tab()
    desk.answer("Hello")
    assert types(tab.take())[-1] == "[DONE]"


def test_an_event_carries_its_fields_its_type_and_its_client(desk: Desk) -> None:
    tab = desk.tab()
    desk.start()
    desk.delta("Hello")
    assert tab.take()[1].body == {
        "type": "delta",
        "clientId": "c",
        "generationId": "g",
        "seq": 1,
        "data": {"content": "Hello"},
    }


def test_what_is_not_json_changes_nothing(desk: Desk) -> None:
    for say in (
        lambda: desk.send("\ud800"),
        lambda: desk.tell({1, 2}),
        lambda: desk.publish("started", "g", data=object()),
    ):
        with pytest.raises(TypeError):
            say()
    assert desk.tab().take() == []
    assert desk.send() == 1


# --- send ---


def test_a_message_goes_to_every_stream_of_its_client_and_to_no_other(desk: Desk) -> None:
    mine, also_mine, other = desk.tab(), desk.tab(), desk.tab(client="d")
    sent = desk.hub.send("c", {"a": [1]})
    assert sent.connections == 2
    for tab in (mine, also_mine):
        (said,) = tab.take()
        assert said.id == sent.id
        assert said.body == {"type": "message", "clientId": "c", "data": {"a": [1]}}
    assert other.take() == []


def test_a_message_that_nobody_reads_waits(desk: Desk) -> None:
    assert desk.hub.send("c", "later").connections == 0
    assert desk.hub.client("c")["waiting"] == 1
    assert [said.what for said in desk.tab().take()] == ["later"]


@pytest.mark.parametrize("empty", [None, 0, "", False, [], {}])
def test_any_json_is_a_message(desk: Desk, empty: Any) -> None:
    tab = desk.tab()
    desk.send(empty)
    assert tab.take()[0].body["data"] == empty


def test_a_stream_whose_peer_left_does_not_count_as_open(desk: Desk) -> None:
    """Its outlet may hang in a write for minutes: what is sent meanwhile waits, and is said to wait."""
    tab = desk.tab()
    tab.connection.outlet = Stub(gone=lambda: True)
    desk.hub.upkeep.beat()
    assert desk.hub.send("c", "hello").connections == 0
    assert desk.hub.broadcast("all", "info")[1:] == (0, 0)
    assert desk.hub.client("c")["connections"] == 0
    assert not desk.hub.listening("c")


def test_the_same_key_again_is_the_same_message(desk: Desk) -> None:
    tab = desk.tab()
    first = desk.hub.send("c", "hello", "key")
    tab.leave(acknowledged=0)
    assert desk.hub.send("c", "hello", "key") == first
    assert [said.what for said in desk.tab().take()] == ["hello"]


def test_without_a_key_the_same_words_are_two_messages(desk: Desk) -> None:
    assert desk.send("hello") != desk.send("hello")


def test_a_key_belongs_to_one_client(desk: Desk) -> None:
    desk.meet("d")
    assert desk.send("hello", "c", "key") != desk.send("hello", "d", "key")


@pytest.mark.parametrize(("age", "kept"), [(600.0, 600.0), (10.0, 300.0)])
def test_a_key_lives_as_long_as_its_event_and_at_least_five_minutes(age: float, kept: float) -> None:
    desk = Desk(mailbox=Retention(1_000, 1 << 20, age), client_memory=1e9)
    desk.meet()
    first = desk.send("hello", key="key")
    desk.clock.advance(kept)
    desk.hub.upkeep.age()
    assert desk.send("hello", key="key") == first
    desk.clock.advance(0.1)
    desk.hub.upkeep.age()
    assert desk.send("hello", key="key") != first


def test_where_no_key_can_be_remembered_keyed_calls_are_refused_and_others_are_not() -> None:
    desk = Desk(keys=1)
    desk.meet()
    desk.send(key="a")
    desk.tell(key="a")
    with pytest.raises(Overloaded):
        desk.send(key="b")
    with pytest.raises(Overloaded):
        desk.tell(key="b")
    assert desk.send()
    assert desk.send(key="a") == 1
    assert [said.what for said in desk.tab().take()] == ["hello", "hello"]


# --- broadcast ---


def test_a_broadcast_goes_to_every_open_stream_in_one_body(desk: Desk) -> None:
    desk.meet("away")
    tabs = [desk.tab(), desk.tab(), desk.tab(client="d")]
    told = desk.hub.broadcast({"a": 1}, "warning")
    assert told[1:] == (2, 3)
    frames = {desk.hub.take(tab.connection) for tab in tabs}
    assert len(frames) == 1
    (said,) = read(frames.pop())
    assert said.id == told.id
    assert said.body == {"type": "broadcast", "level": "warning", "data": {"a": 1}}


def test_a_broadcast_reaches_who_comes_back_with_a_cursor_from_before_it(desk: Desk) -> None:
    at = desk.tab().last_id
    desk.tell("missed")
    assert [said.what for said in desk.tab(at).take()] == ["missed"]
    assert desk.tab().take() == []


def test_a_broadcast_of_the_same_key_is_told_once(desk: Desk) -> None:
    tab = desk.tab()
    first = desk.hub.broadcast("all", "info", "key")
    desk.tab(client="d")
    assert desk.hub.broadcast("all", "info", "key") == first
    assert len(tab.take()) == 1


def test_the_broadcast_log_forgets_by_age(desk: Desk) -> None:
    at = desk.tab().last_id
    desk.tell()
    desk.clock.advance(ROOMY.age + 0.1)
    desk.hub.upkeep.age()
    assert types(desk.tab(at).head) == ["connected", "reset"]


@pytest.mark.parametrize("verb", ["broadcast", "drain"])
def test_who_wakes_very_many_lets_others_have_their_turn(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    turns: list[tuple[int, bool]] = []
    streams = [desk.tab(client=f"c{n}") for n in range(2 * SLICE + 1)]
    woken: list[int] = []
    for stream in streams:
        stream.connection.outlet = Stub(nudge=lambda: woken.append(1))
    monkeypatch.setattr(hub, "give_way", lambda: turns.append((len(woken), desk.hub._lock.locked())))
    desk.tell() if verb == "broadcast" else desk.hub.drain(10.0)
    assert turns == [(SLICE, False), (2 * SLICE, False)]
    assert len(woken) == len(streams)


def test_what_is_sent_while_a_broadcast_gives_way_comes_after_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = [desk.tab(client=f"c{n}") for n in range(SLICE + 1)]
    monkeypatch.setattr(hub, "give_way", lambda: desk.send("meanwhile", client=f"c{SLICE}"))
    desk.tell("all")
    assert [said.what for said in streams[-1].take()] == ["all", "meanwhile"]


# --- close ---


def test_close_ends_the_streams_of_one_client_and_says_that_it_is_for_good(desk: Desk) -> None:
    tabs, other = [desk.tab(), desk.tab()], desk.tab(client="d")
    last = desk.send("last")
    assert desk.hub.close("c") == 2
    for tab in tabs:
        events = tab.take()
        assert types(events) == ["message", "closing"]
        assert events[0].number == last
        assert (events[1].body["reason"], events[1].body["reconnect"]) == ("closed", False)
        assert b"retry:" not in tab.bytes[len(b"retry: 2000\n\n") :]
        assert tab.connection.over
    assert other.take() == []
    assert desk.hub.close("c") == 0


def test_close_of_nobody_is_nothing(desk: Desk) -> None:
    assert desk.hub.close("c") == desk.hub.close("unknown") == 0


def test_after_close_who_comes_back_with_a_cursor_is_sent_away(desk: Desk) -> None:
    tab = desk.tab()
    desk.hub.close("c")
    tab.take()
    tab.leave()
    for cursor in (tab.last_id, "nonsense", desk.cursor(99)):
        assert desk.open(cursor) is None
        assert desk.open(cursor, close_on_done=False) is None


@pytest.mark.parametrize(
    "wanted",
    [lambda desk: desk.tab(), lambda desk: desk.send(), lambda desk: desk.start()],
    ids=["it connects anew", "it is sent something", "it asks"],
)
def test_after_close_a_cursor_is_welcome_again_once(desk: Desk, wanted: Callable[[Desk], Any]) -> None:
    at = desk.tab().last_id
    desk.hub.close("c")
    wanted(desk)
    assert desk.open(at)


def test_after_close_a_broadcast_brings_nobody_back(desk: Desk) -> None:
    at = desk.tab().last_id
    desk.hub.close("c")
    desk.tell()
    assert desk.open(at) is None


def test_after_close_the_answers_go_on_and_bring_nobody_back(desk: Desk) -> None:
    desk.start()
    tab = desk.tab()
    tab.take()
    desk.hub.close("c")
    tab.take()
    tab.leave()
    desk.delta("more")
    assert desk.open(tab.last_id) is None
    desk.start(attempt=2)
    assert desk.open(tab.last_id) is None
    desk.end()
    assert desk.open(tab.last_id) is None
    assert "done" in types(desk.tab().take())


# --- drain ---


def test_draining_lets_nobody_in(desk: Desk) -> None:
    desk.hub.drain(10.0)
    with pytest.raises(Overloaded) as refusal:
        desk.tab()
    assert refusal.value.retry_after


def test_draining_ends_idle_streams_at_once_and_asks_them_back(desk: Desk) -> None:
    tab = desk.tab()
    last = desk.send()
    desk.hub.drain(10.0)
    events = tab.take()
    assert types(events) == ["message", "closing"]
    assert events[0].number == last
    assert events[1].body["reason"] == "shutdown"
    assert events[1].body["reconnect"] is True
    assert tab.connection.over


def test_draining_ends_a_stream_with_a_running_answer_after_the_answer(desk: Desk) -> None:
    desk.start()
    tab = desk.tab()
    desk.hub.drain(10.0)
    desk.delta("Hello")
    assert types(tab.take()) == ["started", "delta"] or tab.text == "Hello"
    assert not tab.connection.over
    desk.end()
    assert types(tab.take()) == ["done", "[DONE]", "closing"]
    assert tab.connection.over


def test_draining_waits_for_a_reader_that_lags_until_it_has_it_all(desk: Desk) -> None:
    """More than leaves in one write: the farewell must not come before the end of the answer."""
    tab = desk.tab()
    desk.start()
    for _ in range(10):
        desk.delta("x" * 100_000)
    desk.end()
    desk.hub.drain(10.0)
    said: list[str] = []
    while not tab.connection.over:
        said += types(tab.take())
    assert said == ["started", *["delta"] * 10, "done", "[DONE]", "closing"]


def test_those_that_a_drain_ends_come_back_over_all_the_seconds_given(desk: Desk) -> None:
    tabs = [desk.tab(client=f"c{n}") for n in range(10)]
    desk.hub.drain(20.0)
    back = []
    for n, tab in enumerate(tabs):
        desk.chance = n / 10
        back.append(re.findall(rb"^retry: (\d+)", desk.hub.take(tab.connection), re.MULTILINE))
    assert [int(milliseconds) for (milliseconds,) in back[1:]] == list(range(2_000, 20_000, 2_000))
    assert int(back[0][0]) > 0


def test_draining_wakes_everybody(desk: Desk) -> None:
    woken = [count_wakes(desk.tab(client=client)) for client in ("c", "d")]
    desk.hub.drain(10.0)
    assert [len(w) for w in woken] == [1, 1]


# --- asking ---


def test_a_text_and_its_cursor_are_of_one_instant(desk: Desk) -> None:
    desk.start()
    desk.delta("Hel")
    last = desk.delta("lo")
    desk.send("after")
    text = desk.hub.text("c", "g")
    assert text == ({"content": "Hello"}, 2, desk.cursor(last or 0), False)
    desk.delta("!")
    tab = desk.tab(text.cursor)
    assert types(tab.take()) == ["message", "delta"]
    assert desk.end() == number(_text(desk).cursor)
    assert _text(desk).ended


def _text(desk: Desk) -> Any:
    return desk.hub.text("c", "g")


def test_a_text_is_there_until_its_end_leaves_the_log(desk: Desk) -> None:
    desk.answer("Hello")
    desk.clock.advance(ROOMY.age)
    desk.hub.upkeep.age()
    assert _text(desk).data == {"content": "Hello"}
    desk.clock.advance(0.1)
    desk.hub.upkeep.age()
    assert _text(desk) is None
    assert desk.hub.text("c", "unknown") is None


def test_a_hub_tells_its_state(desk: Desk) -> None:
    desk.tab()
    desk.send("x" * 10_000)
    assert repr(desk.hub) == f"<Hub {desk.epoch}.1: 1 clients, 1 connections, 10 KiB>"
    desk.hub.drain(10.0)
    assert " draining: " in repr(desk.hub)


# --- the lock ---


def test_nobody_is_woken_asked_or_logged_about_under_the_lock(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[str] = []

    def note(what: str) -> None:
        if desk.hub._lock.locked():
            held.append(what)

    monkeypatch.setattr(logging.Logger, "handle", lambda self, record: note(record.getMessage()))
    monkeypatch.setattr(logging.Logger, "isEnabledFor", lambda self, level: True)
    tab = desk.tab()
    told = lambda: note("wake")  # noqa: E731
    tab.connection.outlet = Stub(wake=told, nudge=told, gone=lambda: note("gone"))
    desk.answer("Hello")
    desk.send()
    desk.tell()
    desk.clock.advance(ROOMY.age + 1)
    desk.hub.upkeep.beat()
    desk.hub.upkeep.age()
    desk.hub.close("c")
    desk.hub.drain(10.0)
    tab.leave()
    assert held == []


def test_an_error_leaves_the_lock_free(desk: Desk) -> None:
    with pytest.raises(NotFound):
        desk.send(client="unknown")
    desk.hub.drain(10.0)
    with pytest.raises(Overloaded):
        desk.tab()
    assert not desk.hub._lock.locked()


# --- at once ---


def test_many_writers_and_readers_at_once_lose_and_repeat_nothing() -> None:
    """Four writers, three streams of one client that are reopened with their cursor, a sweep in between."""
    desk = Desk(mailbox=Retention(100_000, 1 << 30, 1e9), news=Retention(100_000, 1 << 30, 1e9))
    desk.meet()
    each = 150
    pages = [_Page(desk) for _ in range(3)]
    writers = [threading.Thread(daemon=True, target=_write, args=(desk, name, each)) for name in "abcd"]
    sweep = threading.Thread(
        daemon=True, target=lambda: [(desk.hub.upkeep.beat(), desk.hub.upkeep.age()) for _ in range(50)]
    )
    threads = [*writers, sweep, *(threading.Thread(daemon=True, target=page.read) for page in pages)]
    for thread in threads:
        thread.start()
    for thread in [*writers, sweep]:
        thread.join(timeout=20)
    desk.send("enough")
    for thread in threads:
        thread.join(timeout=20)
        assert not thread.is_alive()
    for page in pages:
        assert page.numbers == sorted(set(page.numbers))
        for name in "abcd":
            assert [n for writer, n in page.told if writer == name] == list(range(each))


class _Page:
    """A stream drained through its outlet and reopened with its cursor every few items."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.numbers: list[int] = []
        self.told: list[tuple[str, int]] = []

    def read(self) -> None:
        cursor = self._desk.cursor(0)
        while cursor:
            cursor = self._stream(cursor)

    def _stream(self, cursor: str) -> str:
        hub = self._desk.hub
        opened = hub.open("c", cursor, close_on_done=False)
        assert opened
        outlet = GeneratorOutlet(*opened, hub.take, hub.leave, Peer(None), chunked=True)
        for n, data in enumerate(outlet):
            for said in read(data):
                if said.what == "enough":
                    outlet.close()
                    return ""
                if said.type in ("message", "broadcast"):
                    self.told.append(tuple(said.what))
                    self.numbers.append(said.number)
                cursor = said.id or cursor
            if n == 5:
                break
        outlet.close()
        return cursor


def _write(desk: Desk, name: str, times: int) -> None:
    for n in range(times):
        if n % 5:
            desk.send([name, n])
        else:
            desk.tell([name, n])


def test_while_it_drains_a_message_is_taken_only_for_who_still_listens(desk: Desk) -> None:
    desk.start()
    tab = desk.tab()
    desk.meet("absent")
    desk.hub.drain(10.0)
    with pytest.raises(Overloaded):
        desk.send("waits in vain", client="absent")
    desk.send("arrives")
    assert "message" in types(tab.take())


def test_a_cursor_that_is_answered_204_proves_what_was_handed(desk: Desk) -> None:
    done = desk.answer_and_done()
    tab = desk.tab(desk.cursor(0))
    tab.take()
    tab.leave(acknowledged=0)  # the last acknowledgement was lost
    assert desk.open(desk.cursor(done)) is None
    desk.clock.advance(desk.limits.mailbox.age + 1)
    desk.hub.upkeep.age()
    assert desk.hub.counts()["undelivered"] == 0
