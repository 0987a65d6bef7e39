"""Who wants to know hears it, in order and from a thread of its own; nobody waits for who listens."""

from __future__ import annotations

import _thread
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from blinker import Signal

from app.hub import signals
from app.hub.log import Retention
from app.hub.signals import Announcer, connected, disconnected, undelivered
from tests.hub.kit import ROOMY, Desk, Tab
from tests.rig.reading import eventually

Heard = list[tuple[str, dict[str, Any]]]
ALL = {"connected": connected, "disconnected": disconnected, "undelivered": undelivered}


@pytest.fixture
def heard() -> Iterator[Heard]:
    """All that is said while it listens: the signal's name and its fields."""
    heard: Heard = []
    receivers = {name: _noting(heard, name) for name in ALL}
    for name, receiver in receivers.items():
        ALL[name].connect(receiver)
    yield heard
    for name, receiver in receivers.items():
        ALL[name].disconnect(receiver)


@pytest.fixture
def desk(heard: Heard) -> Desk:
    """A hub that knows client `c`, of whom all that was said has been heard."""
    desk = Desk()
    desk.meet()
    said(heard, 2)
    heard.clear()
    return desk


def _noting(heard: Heard, name: str) -> Callable[..., None]:
    return lambda sender, **fields: heard.append((name, fields))


def said(heard: Heard, count: int) -> Heard:
    """The first `count` signals."""
    eventually(lambda: len(heard) >= count)
    return heard[:count]


# --- what is said ---


def test_a_stream_that_opens_and_ends_is_said_to(heard: Heard, desk: Desk) -> None:
    tab = desk.tab()
    tab.leave()
    who = {"client_id": "c", "connection_id": tab.connection.id}
    assert said(heard, 2) == [("connected", who), ("disconnected", {**who, "reason": "gone"})]


@pytest.mark.parametrize(
    ("reason", "ends"),
    [
        ("gone", lambda desk, tab: None),
        ("closed", lambda desk, tab: desk.hub.close("c")),
        ("shutdown", lambda desk, tab: desk.hub.drain(10.0)),
        ("done", lambda desk, tab: desk.answer("Hello")),
        ("lifetime", lambda desk, tab: (desk.clock.advance(desk.limits.lifetime), desk.hub.upkeep.beat())),
        ("slow", lambda desk, tab: _stall(desk, tab)),
    ],
)
def test_why_a_stream_ended_is_said(
    heard: Heard, desk: Desk, reason: str, ends: Callable[[Desk, Any], Any]
) -> None:
    tab = desk.tab(close_on_done=True)
    ends(desk, tab)
    tab.take()
    tab.leave()
    who = {"client_id": "c", "connection_id": tab.connection.id}
    assert said(heard, 2)[1] == ("disconnected", {**who, "reason": reason})


def _stall(desk: Desk, tab: Tab) -> None:
    desk.send()
    tab.take(written=False)
    desk.clock.advance(desk.limits.slow + 1)
    desk.hub.upkeep.beat()


def test_who_is_not_let_in_is_not_said_to_be_there(heard: Heard, desk: Desk) -> None:
    desk.hub.close("c")
    assert desk.open(desk.cursor(0)) is None
    desk.tab(client="d")
    assert [fields["client_id"] for _, fields in said(heard, 1)] == ["d"]


@pytest.mark.parametrize("limits", [{}, {"mailbox": Retention(2, 1 << 20, 600.0)}], ids=["age", "count"])
def test_what_nobody_was_handed_before_it_went_is_said_with_its_events(heard: Heard, limits: Any) -> None:
    desk = Desk(**limits)
    desk.meet()
    sent = [desk.send(n) for n in range(3)]
    if not limits:
        desk.clock.advance(ROOMY.age + 1)
    desk.hub.upkeep.age()
    (lost,) = [fields for name, fields in said(heard, 3) if name == "undelivered"]
    gone = sent if not limits else sent[:1]
    assert lost["client_id"] == "c"
    assert [event.number for event in lost["events"]] == gone


def test_the_sender_is_the_hub_and_who_wants_one_hub_hears_only_that(desk: Desk) -> None:
    heard: list[object] = []

    def receiver(hub: object, **_: Any) -> None:
        heard.append(hub)

    with connected.connected_to(receiver, sender=desk.hub):
        other = Desk()
        other.tab()
        desk.tab()
        eventually(lambda: heard)
    assert heard == [desk.hub]


def test_all_is_heard_in_the_order_in_which_it_happened(heard: Heard, desk: Desk) -> None:
    tabs = []
    for n in range(100):
        tabs.append(desk.tab(client=f"c{n}"))
        if n % 2:
            tabs.pop(0).leave()
    happened = said(heard, 150)
    assert [name for name, _ in happened] == ["connected", "connected", "disconnected"] * 50
    opened = [fields["client_id"] for name, fields in happened if name == "connected"]
    assert opened == [f"c{n}" for n in range(100)]


# --- who listens ---


def test_a_receiver_that_takes_its_time_holds_nobody_up(desk: Desk) -> None:
    goes_on, heard = threading.Event(), []

    def slow(hub: object, **fields: Any) -> None:
        assert goes_on.wait(10)
        heard.append(fields["client_id"])

    with connected.connected_to(slow):
        for client in ("a", "b", "c"):
            desk.tab(client=client)
        assert heard == []
        goes_on.set()
        eventually(lambda: heard == ["a", "b", "c"])


def test_a_receiver_that_fails_is_logged_and_the_others_hear_it(
    heard: Heard, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(hub: object, **_: Any) -> None:
        raise RuntimeError("no such luck")

    with caplog.at_level(logging.ERROR), connected.connected_to(failing):
        desk.tab()
        desk.tab()
        said(heard, 2)
        eventually(lambda: caplog.text.count("a receiver of a signal failed") == 2)
    assert "no such luck" in caplog.text


def test_a_receiver_may_use_the_hub(desk: Desk) -> None:
    def greet(hub: Any, client_id: str, **_: Any) -> None:
        hub.send(client_id, "welcome")
        hub.broadcast("somebody came", "info")
        hub.close("nobody")

    with connected.connected_to(greet):
        tab = desk.tab()
        eventually(lambda: [event.what for event in tab.take()] and len(tab.events) > 2)
    assert {event.what for event in tab.events[1:]} == {"welcome", "somebody came"}


def test_without_a_receiver_nothing_is_kept_and_nothing_starts() -> None:
    announcer = Announcer("sender")
    for _ in range(100):
        announcer.say(connected, client_id="c")
    assert (len(announcer._waiting), announcer._started) == (0, False)


def test_where_no_thread_can_be_had_streams_open_all_the_same_and_signals_wait(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    desk = Desk()
    with monkeypatch.context() as patched:
        patched.setattr(_thread, "start_new_thread", refuse)
        tab = desk.tab()
    tab.leave()
    assert [name for name, _ in said(heard, 2)] == ["connected", "disconnected"]


def test_there_is_one_thread_however_many_say_something_at_once() -> None:
    signal, heard = Signal(), []
    announcer = Announcer("sender")
    together = threading.Barrier(8)

    def receiver(sender: object, n: int) -> None:
        heard.append((n, threading.get_ident()))

    def say(n: int) -> None:
        together.wait(5)
        announcer.say(signal, n=n)

    with signal.connected_to(receiver):
        callers = [threading.Thread(daemon=True, target=say, args=(n,)) for n in range(8)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(5)
        eventually(lambda: len(heard) == 8)
    assert {n for n, _ in heard} == set(range(8))
    assert len({ident for _, ident in heard}) == 1


def test_a_receiver_that_hangs_costs_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "WAITING", 10)
    signal, heard, hangs, goes_on = Signal(), [], threading.Event(), threading.Event()
    announcer = Announcer("sender")

    def receiver(sender: object, n: int) -> None:
        hangs.set()
        assert goes_on.wait(10)
        heard.append(n)

    with signal.connected_to(receiver):
        announcer.say(signal, n=0)
        assert hangs.wait(5)
        for n in range(1, 31):
            announcer.say(signal, n=n)
        assert (len(announcer._waiting), announcer.dropped) == (10, 20)
        goes_on.set()
        eventually(lambda: len(heard) == 11)
    assert heard == [0, *range(21, 31)]
