"""Where a connection starts, rule by rule of the protocol, and what it is due from there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.hub import reading
from app.hub.events import encode, make_event
from app.hub.log import Log, Retention
from app.hub.mailbox import Mailbox
from app.hub.reading import LAG, MERGED, Due, Position, Shelf, named_by
from app.relay.deltas import Message, merge
from tests.hub.kit import ROOMY, Desk, Said, Tab, blocks, event, number, types

KEEP_THREE = Retention(events=3, bytes=1 << 20, age=600.0)
FRESH = ["connected"]


def numbers(events: list[Said]) -> list[int]:
    return [said.number for said in events]


def last_id_of(data: bytes) -> str:
    """The cursor a page has that got `data` and then lost its network; "" for none."""
    ids = [said.id for said in map(event, blocks(data)[0]) if said and said.id]
    return ids[-1] if ids else ""


# --- without a cursor ---


def test_a_new_client_starts_here_and_now(desk: Desk) -> None:
    last = desk.tell("before")
    tab = desk.tab(client="new")
    assert types(tab.head) == FRESH
    assert tab.head[0].number == last
    assert tab.head[0].body == {
        "type": "connected",
        "clientId": "new",
        "connectionId": tab.connection.id,
        "resumed": False,
        "heartbeat": 15.0,
    }
    assert tab.take() == []


def test_without_a_cursor_a_stream_starts_at_the_first_event_handed_to_nobody(desk: Desk) -> None:
    waiting = [desk.send("one"), desk.send("two")]
    tab = desk.tab()
    assert tab.head[0].number < waiting[0]
    assert numbers(tab.take()) == waiting
    tab.leave(acknowledged=tab.size)
    third = desk.send("three")
    assert numbers(desk.tab().take()) == [third]


def test_without_a_cursor_broadcasts_come_from_now_on(desk: Desk) -> None:
    desk.tell("before")
    own = desk.send("own")
    desk.tell("before, too")
    tab = desk.tab()
    after = desk.tell("after")
    assert numbers(tab.take()) == [own, after]


def test_where_all_that_waited_has_gone_a_stream_starts_here_and_now() -> None:
    desk = Desk(client_memory=1e9)
    desk.meet()
    desk.send("too old")
    desk.clock.advance(ROOMY.age + 1)
    desk.hub.upkeep.age()
    last = desk.tell("before")
    tab = desk.tab()
    assert tab.head[0].number == last
    assert desk.tab(tab.last_id).take() == []


def test_what_waits_comes_in_order_and_deltas_as_one_snapshot_at_the_place_of_the_last(desk: Desk) -> None:
    desk.start()
    desk.delta("Hel")
    desk.send("between")
    place = desk.delta("lo")
    rest = [desk.end(), desk.send("after")]
    tab = desk.tab()
    assert types(tab.head) == ["connected", "started", "message", "snapshot"]
    assert tab.head[-1].body == {
        "type": "snapshot",
        "clientId": "c",
        "generationId": "g",
        "conversationId": "of-g",
        "seq": 2,
        "data": {"content": "Hello"},
    }
    assert tab.head[-1].number == place
    following = tab.take()
    assert types(following) == ["done", "[DONE]", "message"]
    assert [following[0].number, following[2].number] == rest


def test_of_an_opening_only_the_last_snapshot_carries_an_id(desk: Desk) -> None:
    desk.start("a")
    desk.start("b")
    desk.delta("A", "a")
    desk.end("a")
    desk.send("between")
    place = desk.delta("B", "b")
    tab = desk.tab()
    assert [(s.type, s.what) for s in tab.head[1:]] == [
        ("started", "a"),
        ("started", "b"),
        ("snapshot", "a"),
        ("done", "a"),
        ("message", "between"),
        ("snapshot", "b"),
    ]
    assert [s.id for s in tab.head] == [None] * 6 + [desk.cursor(place)]


def test_a_stream_whose_client_the_server_named_has_it_in_every_id(desk: Desk) -> None:
    desk.start()
    place = desk.delta("x")
    tab = desk.tab(named=False)
    last = desk.send()
    assert tab.head[-1].id == desk.cursor(place, "c")
    assert [said.id for said in tab.take()] == [desk.cursor(last, "c")]
    assert desk.tab(client="d", named=False).head[0].id == desk.cursor(last, "d")


def test_a_second_tab_gets_a_snapshot_of_what_runs_and_nothing_that_others_were_handed(desk: Desk) -> None:
    first = desk.tab()
    desk.send("for the first")
    desk.answer("done with", g="old")
    desk.start()
    desk.delta("Hel")
    first.take()
    second = desk.tab()
    assert [(s.type, s.what) for s in second.head] == [("connected", None), ("snapshot", "g")]
    desk.delta("lo")
    assert types(second.take()) == ["delta"]
    first.take()
    assert first.text == second.text == "Hello"


def test_a_running_answer_without_text_has_no_snapshot(desk: Desk) -> None:
    first = desk.tab()
    desk.start()
    first.take()
    second = desk.tab()
    assert types(second.head) == FRESH
    desk.delta("Hello")
    second.take()
    assert second.text == "Hello"


def test_an_answer_whose_end_waits_for_its_first_reader_comes_with_its_text(desk: Desk) -> None:
    first = desk.tab()
    desk.start()
    desk.delta("Hello")
    first.take()
    first.leave(acknowledged=first.size)
    desk.end()
    page = desk.tab()
    assert types(page.head + page.take()) == ["connected", "snapshot", "done", "[DONE]"]
    assert page.text == "Hello"


def test_an_answer_that_was_handed_to_its_end_is_not_told_again(desk: Desk) -> None:
    first = desk.tab()
    desk.answer("Hello")
    first.take()
    assert types(desk.tab().head) == FRESH
    first.leave(acknowledged=first.size)
    page = desk.tab()
    assert (types(page.head), page.take()) == (FRESH, [])


def test_a_cut_inside_the_opening_brings_it_again_whole() -> None:
    whole = types(_desk_with_an_opening().tab().head)
    head = _desk_with_an_opening().tab().bytes
    assert whole == ["connected", "started", "message", "snapshot", "started", "message", "snapshot"]
    for cut in range(len(head)):
        desk = _desk_with_an_opening()
        first = desk.tab()
        cursor = last_id_of(first.bytes[:cut])
        first.leave(acknowledged=cut)
        assert cursor == ""
        assert types(desk.tab(cursor).head) == whole


def _desk_with_an_opening() -> Desk:
    desk = Desk()
    desk.meet()
    desk.start()
    desk.delta("a")
    desk.send("one")
    desk.delta("b")
    desk.start("other")
    desk.send("two")
    desk.delta("c", "other")
    desk.end()
    return desk


def test_a_page_cut_right_after_its_opening_goes_on_where_it_was(desk: Desk) -> None:
    """The last text of an answer that fell silent stands before what others were handed since."""
    first = desk.tab()
    desk.start("silent")
    desk.delta("Hm", "silent")
    desk.answer("all", "of it", g="old")
    first.take()
    page = desk.tab()
    assert [(s.type, s.what) for s in page.head] == [("connected", None), ("snapshot", "silent")]
    again = desk.tab(page.last_id)
    assert again.head[0].body["resumed"] is True
    assert again.take() == []


def test_a_snapshot_below_the_floor_still_leaves_a_cursor_that_is_honoured() -> None:
    desk = Desk(mailbox=KEEP_THREE)
    first = desk.tab()
    desk.start()
    desk.delta("Hm")
    for n in range(5):
        desk.send(n)
        first.take()
    page = desk.tab()
    assert types(page.head) == ["connected", "snapshot"]
    assert types(desk.tab(page.last_id).head) == ["connected"]


# --- with a cursor ---


def test_with_a_cursor_a_stream_goes_on_right_after_it_in_both_logs(desk: Desk) -> None:
    at = desk.send("read")
    missed = [desk.send(1), desk.tell(2), desk.send(3, client="c"), desk.tell(4)]
    tab = desk.tab(desk.cursor(at))
    assert (tab.head[0].number, tab.head[0].body["resumed"]) == (at, True)
    events = tab.take()
    assert numbers(events) == missed
    assert [said.what for said in events] == [1, 2, 3, 4]


def test_own_events_and_broadcasts_have_one_order_live_and_in_replay(desk: Desk) -> None:
    live, start = desk.tab(), desk.tab().last_id
    said = [desk.send(n) if n % 3 else desk.tell(n) for n in range(12)]
    assert numbers(live.take()) == numbers(desk.tab(start).take()) == said


def test_with_a_cursor_deltas_come_one_by_one_each_with_its_id(desk: Desk) -> None:
    start = desk.start()
    deltas = [desk.delta("a"), desk.delta("b")]
    tab = desk.tab(desk.cursor(start))
    assert types(tab.head) == FRESH
    assert numbers(tab.take()) == deltas


def test_a_replay_cut_anywhere_and_taken_up_again_has_each_event_once() -> None:
    for cut in range(0, 1_000, 3):
        desk = Desk()
        desk.meet()
        tab = desk.tab()
        said = [desk.start(), desk.delta("a"), desk.tell("b"), desk.delta("c"), desk.end()]
        tab.take()
        got = tab.bytes[: tab.bytes.index(b"id: ") + 200 + cut]
        first = [e.number for e in map(event, blocks(got)[0]) if e and e.type != "connected"]
        tab.leave(acknowledged=len(got))
        rest = desk.tab(last_id_of(got))
        assert first + numbers(rest.take()) == [*said, said[-1] + 1]


def test_trimmed_deltas_alone_mean_an_opening_and_no_reset() -> None:
    desk = Desk(mailbox=KEEP_THREE)
    desk.meet()
    at = desk.start()
    desk.delta("Hel")
    desk.delta("lo")
    desk.send(1)
    desk.send(2)
    place = desk.delta("!")
    tab = desk.tab(desk.cursor(at))
    assert types(tab.head) == ["connected", "message", "message", "snapshot"]
    assert tab.head[0].body["resumed"] is True
    assert [said.id for said in tab.head[:-1]] == [None, None, None]
    assert tab.last_id == desk.cursor(place)
    assert tab.text == "Hello!"


def test_a_broadcast_inside_an_opening_comes_once_and_before_its_end() -> None:
    desk = Desk(mailbox=KEEP_THREE)
    desk.meet()
    at = desk.start()
    desk.delta("Hel")
    desk.send(1)
    desk.tell("all")
    desk.send(2)
    desk.delta("lo")
    tab = desk.tab(desk.cursor(at))
    assert [(s.type, s.what) for s in tab.head[1:]] == [
        ("message", 1),
        ("broadcast", "all"),
        ("message", 2),
        ("snapshot", "g"),
    ]
    assert tab.take() == []
    assert desk.tab(tab.last_id).take() == []


def test_anything_else_trimmed_means_reset_and_then_a_stream_as_without_a_cursor() -> None:
    desk = Desk(mailbox=KEEP_THREE)
    desk.meet()
    at = desk.send("read")
    for n in range(5):
        desk.send(n)
    cursor = desk.cursor(at)
    tab = desk.tab(cursor)
    assert types(tab.head) == ["connected", "reset"]
    assert tab.head[0].body["resumed"] is False
    assert tab.head[1].body == {"type": "reset", "clientId": "c", "reason": "trimmed", "requested": cursor}
    assert tab.head[1].id is None
    assert [said.what for said in tab.take()] == [2, 3, 4]


def test_after_reset_a_running_answer_comes_as_a_snapshot() -> None:
    desk = Desk(mailbox=KEEP_THREE)
    first = desk.tab()
    at = desk.send()
    desk.start()
    desk.delta("Hel")
    for n in range(4):
        desk.send(n)
        first.take()
    tab = desk.tab(desk.cursor(at))
    assert types(tab.head) == ["connected", "reset", "snapshot"]
    desk.delta("lo")
    tab.take()
    assert tab.text == "Hello"


def test_a_broadcast_that_was_trimmed_means_reset() -> None:
    desk = Desk(news=Retention(events=2, bytes=1 << 20, age=600.0))
    desk.meet()
    at = desk.send()
    for n in range(3):
        desk.tell(n)
    assert desk.tab(desk.cursor(at)).head[1].body["reason"] == "trimmed"
    assert [s.what for s in desk.tab(desk.cursor(at + 1)).take()] == [1, 2]


@pytest.mark.parametrize(
    ("spell", "reason"),
    [
        (lambda desk: "nonsense", "malformed"),
        (lambda desk: desk.cursor(1) + "\n", "malformed"),
        (lambda desk: desk.epoch + ".0" + "1" * 29, "malformed"),
        (lambda desk: desk.epoch + "." + "1" * 30, "malformed"),
        (lambda desk: "[DONE]", "malformed"),
        (lambda desk: "x" * 10_000, "malformed"),
        (lambda desk: "\0\n\u2028😀", "malformed"),
        (lambda desk: "\ud800", "malformed"),
        (lambda desk: f"{int(desk.epoch, 16) ^ 1:08x}.1", "epoch"),
        (lambda desk: desk.cursor(2), "unknown"),
        (lambda desk: desk.cursor(10**18 - 1), "unknown"),
        (lambda desk: desk.cursor(1, "d"), "unknown"),
    ],
    ids=[
        *("words", "newline", "leading zero", "30 digits", "the literal", "long", "odd", "surrogate"),
        *("other epoch", "ahead by one", "far ahead", "another client's"),
    ],
)
def test_a_cursor_that_cannot_be_honoured_gets_reset_with_the_reason(
    desk: Desk, spell: Any, reason: str
) -> None:
    assert desk.send("handed to nobody") == 1
    cursor = spell(desk)
    tab = desk.tab(cursor)
    assert types(tab.head) == ["connected", "reset"]
    assert tab.head[1].body["reason"] == reason
    assert len(tab.head[1].body["requested"]) <= 200
    assert [said.what for said in tab.take()] == ["handed to nobody"]


def test_a_cursor_at_the_very_last_number_is_honoured_and_one_ahead_of_it_is_not(desk: Desk) -> None:
    last = desk.send()
    assert types(desk.tab(desk.cursor(last)).head) == FRESH
    assert types(desk.tab(desk.cursor(last + 1)).head) == ["connected", "reset"]


def test_a_cursor_from_before_a_client_was_known_is_below_its_floor(desk: Desk) -> None:
    before = desk.send()
    desk.send()
    assert desk.tab(desk.cursor(before), client="new").head[1].body["reason"] == "trimmed"


def test_a_cut_between_connected_and_reset_does_not_swallow_the_reset() -> None:
    cuts = len(_desk_with_a_gap()[1].bytes)
    for cut in range(cuts):
        desk, tab, cursor = _desk_with_a_gap()
        got = tab.bytes[:cut]
        if b'"type":"reset"' in got and got.endswith(b"\n\n"):
            continue
        tab.leave(acknowledged=cut)
        again = desk.tab(last_id_of(got) or cursor)
        assert types(again.head)[:2] == ["connected", "reset"], f"cut after {got!r}"


def _desk_with_a_gap() -> tuple[Desk, Tab, str]:
    """A page has missed what another was handed and the mailbox has let go of."""
    desk = Desk(mailbox=KEEP_THREE)
    at = desk.cursor(desk.tab().head[0].number)
    other = desk.tab()
    for n in range(5):
        desk.send(n)
        other.take()
    return desk, desk.tab(at), at


# --- restarts ---


def test_a_restarted_answer_shows_the_text_of_its_last_attempt_only(desk: Desk) -> None:
    desk.start()
    desk.delta("wrong")
    desk.start(attempt=2)
    desk.delta("right")
    page = desk.tab()
    assert types(page.head) == ["connected", "started", "started", "snapshot"]
    assert page.text == "right"


def test_of_an_attempt_that_was_given_up_no_page_gets_half_the_deltas() -> None:
    desk = Desk(mailbox=Retention(events=4, bytes=1 << 20, age=600.0))
    desk.meet()
    at = desk.start()
    desk.delta("trimmed")
    desk.send(1)
    desk.delta("kept")
    desk.send(2)
    desk.start(attempt=2)
    tab = desk.tab(desk.cursor(at))
    given = tab.head + tab.take()
    assert "reset" not in types(given)
    assert [s for s in given if s.type == "delta"] == []
    assert (types(given).count("message"), types(given).count("started")) == (2, 1)


def test_without_a_cursor_deltas_of_an_attempt_that_was_given_up_do_not_come_one_by_one(desk: Desk) -> None:
    desk.start()
    desk.delta("wrong")
    desk.start(attempt=2)
    tab = desk.tab()
    assert "delta" not in types(tab.head + tab.take())
    desk.delta("right")
    tab.take()
    assert tab.text == "right"


# --- the same text for every page ---


def test_every_page_ends_with_the_same_text_whenever_and_however_it_came() -> None:
    script = ["start", "a", "b", "send", "c", "tell", "restart", "d", "e", "send", "f", "end"]
    for came in range(len(script) + 1):
        for way in ("anew", "with its cursor"):
            desk = Desk()
            desk.meet()
            before = desk.tab()
            for step in script[:came]:
                _do(desk, step)
            if way == "anew":
                before.leave(acknowledged=0)
                late = desk.tab()
            else:
                before.take()
                late = desk.tab(before.last_id)
            for step in script[came:]:
                _do(desk, step)
                late.take()
            late.take()
            shown = late.text if way == "anew" else _shown(before.events + late.events)
            assert shown == "def", f"came {way} before step {came}"


def _do(desk: Desk, step: str) -> None:
    verbs = {
        "start": desk.start,
        "restart": lambda: desk.start(attempt=2),
        "send": desk.send,
        "tell": desk.tell,
        "end": desk.end,
    }
    verbs.get(step, lambda: desk.delta(step))()


def _shown(events: list[Said]) -> str:
    tab = object.__new__(Tab)
    tab.events = events
    return tab.text


# --- a reader that lags ---


WORDS = [f"{n} " for n in range(LAG + 1)]


def _say(desk: Desk, words: list[str] = WORDS, g: str = "g") -> list[int]:
    """Their numbers."""
    return [n for n in (desk.delta(word, g) for word in words) if n is not None]


def _told(events: list[Said]) -> list[tuple[str, Any]]:
    """What each event says, a delta as (generation, text)."""
    return [(e.what, e.body["data"]["content"]) if e.type == "delta" else (e.type, e.what) for e in events]


def test_as_many_deltas_as_a_reader_may_have_before_it_come_byte_by_byte_as_to_one_that_keeps_up(
    desk: Desk,
) -> None:
    live = desk.tab()
    at = desk.start()
    live.take()
    live.bytes = b""
    for word in WORDS[:LAG]:
        desk.delta(word)
        assert len(live.take()) == 1
    late = desk.tab(desk.cursor(at))
    late.bytes = b""
    assert len(late.take()) == LAG
    assert late.bytes == live.bytes


def test_one_delta_more_and_they_come_as_one_with_the_seq_and_the_id_of_the_last(desk: Desk) -> None:
    start = desk.start()
    deltas = _say(desk)
    (merged,) = desk.tab(desk.cursor(start)).take()
    assert merged.id == desk.cursor(deltas[-1])
    assert list(merged.body) == ["type", "clientId", "generationId", "seq", "data", "first"]
    assert merged.body == {
        "type": "delta",
        "clientId": "c",
        "generationId": "g",
        "seq": LAG + 1,
        "first": 1,
        "data": {"content": "".join(WORDS)},
    }


def test_beside_a_reader_that_lags_one_that_keeps_up_gets_every_delta(desk: Desk) -> None:
    quick, slow = desk.tab(), desk.tab()
    desk.start()
    for word in WORDS:
        desk.delta(word)
        quick.take()
    slow.take()
    assert (types(quick.events).count("delta"), types(slow.events).count("delta")) == (LAG + 1, 1)
    assert quick.text == slow.text
    desk.delta("on")
    assert quick.take() == slow.take()


def test_what_comes_between_deltas_stays_between(desk: Desk) -> None:
    start = desk.start()
    _say(desk)
    desk.send("to one")
    _say(desk, ["a", "b"])
    desk.tell("to all")
    _say(desk, ["c", "d"])
    desk.start("other")
    _say(desk, ["e", "f"])
    desk.end()
    assert _told(desk.tab(desk.cursor(start)).take()) == [
        ("g", "".join(WORDS)),
        ("message", "to one"),
        ("g", "ab"),
        ("broadcast", "to all"),
        ("g", "cd"),
        ("started", "other"),
        ("g", "ef"),
        ("done", "g"),
    ]


def test_two_answers_at_once_are_merged_only_as_far_as_each_goes_on_by_itself(desk: Desk) -> None:
    desk.start("a")
    start = desk.start("b")
    for g in "aababbba" * 5:
        desk.delta(g, g)
    tab = desk.tab(desk.cursor(start))
    assert _told(tab.take())[:6] == [
        ("a", "aa"),
        ("b", "b"),
        ("a", "a"),
        ("b", "bbb"),
        ("a", "aaa"),
        ("b", "b"),
    ]
    assert "".join(said.body["data"]["content"] for said in tab.events[1:]) == "aababbba" * 5


def test_a_new_try_is_never_merged_with_the_one_that_was_given_up(desk: Desk) -> None:
    start = desk.start()
    _say(desk)
    desk.start(attempt=2)
    _say(desk, ["right", "!"])
    tab = desk.tab(desk.cursor(start))
    assert _told(tab.take()) == [("g", "".join(WORDS)), ("started", "g"), ("g", "right!")]
    assert tab.text == "right!"


def test_deltas_that_an_opening_has_told_make_no_reader_lag(desk: Desk) -> None:
    desk.start()
    _say(desk)
    tab = desk.tab()
    assert types(tab.head)[-1] == "snapshot"
    _say(desk, WORDS[:LAG])
    assert types(tab.take()) == ["delta"] * LAG


def test_deltas_of_a_try_that_was_given_up_before_it_came_make_no_reader_lag(desk: Desk) -> None:
    desk.start()
    _say(desk)
    desk.start(attempt=2)
    tab = desk.tab()
    _say(desk, WORDS[:LAG])
    assert types(tab.take()) == ["started", "started", *["delta"] * LAG]


def test_merged_deltas_name_the_client_where_the_stream_does(desk: Desk) -> None:
    start = desk.start()
    deltas = _say(desk)
    end = desk.end()
    tab = desk.tab(desk.cursor(start or 0, "c"), named=False)
    assert [said.id for said in tab.take()][:2] == [desk.cursor(deltas[-1], "c"), desk.cursor(end or 0, "c")]


def test_a_page_goes_on_exactly_from_any_place_within_what_another_got_merged(desk: Desk) -> None:
    start = desk.start()
    deltas = _say(desk, WORDS * 2)
    whole = WORDS * 2
    assert len(desk.tab(desk.cursor(start)).take()) == 1
    for position, place in enumerate(deltas, 1):
        page = desk.tab(desk.cursor(place))
        rest = page.take()
        page.leave()
        assert "".join(said.body["data"]["content"] for said in rest) == "".join(whole[position:])
        assert len(rest) == (1 if len(whole) - position > LAG else len(whole) - position)


def test_a_merged_replay_cut_anywhere_and_taken_up_again_has_each_event_once() -> None:
    for cut in range(0, 800, 7):
        desk = Desk()
        desk.meet()
        page = desk.tab()
        desk.start()
        _say(desk)
        desk.send("between")
        _say(desk, ["a", "b"])
        desk.end()
        page.take()
        got = page.bytes[: len(page.head) + cut]
        page.events = [said for said in map(event, blocks(got)[0]) if said]
        page.leave(acknowledged=len(got))
        rest = desk.tab(last_id_of(got) or desk.cursor(0))
        page.events += rest.head + rest.take()
        told = [(e.type, e.what) for e in page.events if e.type not in ("connected", "delta")]
        assert told == [("started", "g"), ("message", "between"), ("done", "g"), ("[DONE]", None)]
        assert page.text == "".join(WORDS) + "ab"


def test_no_merged_delta_is_made_of_more_than_its_share(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "AT_ONCE", 1 << 20)
    long = "x" * 2_000
    start = desk.start()
    deltas = _say(desk, [long] * 100)
    frame = len(desk.hub.take(desk.tab(desk.cursor(deltas[-2])).connection))
    tab = desk.tab(desk.cursor(start))
    merged = tab.take()
    each = MERGED // frame
    pieces = [len(said.body["data"]["content"]) // len(long) for said in merged]
    ends = [*range(each, 100, each), 100]
    assert pieces == [end - start for start, end in zip([0, *ends], ends, strict=False)]
    assert numbers(merged) == [deltas[end - 1] for end in ends]
    assert tab.text == long * 100


def test_a_delta_beyond_its_share_goes_by_itself(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "AT_ONCE", 1 << 20)
    long = "x" * MERGED
    start = desk.start()
    _say(desk, [*WORDS, long, "a", "b"])
    tab = desk.tab(desk.cursor(start))
    assert _told(tab.take()) == [("g", "".join(WORDS)), ("g", long), ("g", "ab")]


def test_a_write_reads_no_more_than_is_good_and_the_next_goes_on_behind_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "AT_ONCE", 5_000)
    start = desk.start()
    numbers_said = _say(desk, WORDS * 3)
    desk.tell("all")
    tab = desk.tab(desk.cursor(start))
    writes = []
    while events := tab.take():
        writes.append(events)
    assert types([said for write in writes for said in write][-2:]) == ["delta", "broadcast"]
    assert 2 < len(writes) < 5
    assert [len(write) for write in writes[:2]] == [1, 1]
    assert set(numbers(tab.events[1:-1])) <= set(numbers_said)
    assert tab.text == "".join(WORDS * 3)


def test_what_is_cut_into_writes_brings_no_broadcast_from_before_the_stream(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "AT_ONCE", 100)
    for n in range(4):
        desk.send(n)
        desk.tell("before")
    tab = desk.tab()
    tab.take_all()
    assert [said.what for said in tab.events[1:]] == [0, 1, 2, 3]


def test_a_write_that_is_cut_brings_no_delta_that_is_in_a_snapshot_or_was_given_up(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "AT_ONCE", 100)
    desk.start()
    desk.delta("Hm")
    desk.start("other")
    desk.send("one")
    desk.delta("given up", "other")
    desk.send("two")
    desk.start("other", attempt=2)
    tab = desk.tab()
    desk.delta("on")
    tab.take_all()
    told = [(said.type, said.what) for said in tab.events[1:]]
    assert told == [
        ("started", "g"),
        ("snapshot", "g"),
        ("started", "other"),
        ("message", "one"),
        ("message", "two"),
        ("started", "other"),
        ("delta", "g"),
    ]


# --- frames and their places ---


class _Log:
    """A mailbox and a broadcast log, told directly, as an answer of the relay's is."""

    def __init__(self) -> None:
        self.box, self.news = Mailbox(ROOMY, 0, Message), Log(ROOMY, 0)
        self.count = 0

    def say(self, kind: str, **fields: Any) -> None:
        self.count += 1
        body = encode(kind, "c", fields)
        generation = fields.get("generationId", "")
        self.box.append(make_event("0123abcd", self.count, kind, generation, body, 0.0), fields)

    def delta(self, **data: Any) -> None:
        self.say("delta", generationId="g", seq=self.count, data=data)

    @property
    def shelf(self) -> Shelf:
        return Shelf("0123abcd", "c", self.box, self.news, self.count, lambda: 0, merge)


@pytest.fixture
def log() -> _Log:
    log = _Log()
    log.say("started", generationId="g")
    return log


def _data(due: Due) -> list[dict[str, Any]]:
    return [said.body["data"] for said in map(event, blocks(b"".join(due.frames))[0]) if said]


def test_who_keeps_up_is_given_the_very_frames_of_the_log(log: _Log) -> None:
    for n in range(LAG):
        log.delta(content=str(n))
    due = log.shelf.following(Position(1, 1), b"", True)
    assert list(map(id, due.frames)) == [id(e.frame) for e in log.box.after(1)]


def test_pieces_of_a_tool_call_are_put_together_as_if_each_had_come_by_itself(log: _Log) -> None:
    arguments = json.dumps({"text": "ü\n\u2028😀" * 20})
    log.delta(reasoning="I'll ", content="Let me ")
    log.delta(tool_calls=[{"index": 0, "id": "1", "type": "function", "function": {"name": "f"}}])
    for n in range(0, len(arguments), 3):
        log.delta(tool_calls=[{"index": 0, "function": {"arguments": arguments[n : n + 3]}}])
    log.delta(tool_calls=[{"index": 1, "id": "2", "function": {"name": "g", "arguments": "{}"}}])
    log.delta(reasoning="see", content="see", refusal="no")
    due = log.shelf.following(Position(1, 1), b"", True)
    (data,) = _data(due)
    message = Message()
    message.add(data)
    assert message.data() == log.box.folds["g"].message.data()
    assert message.data()["tool_calls"][0]["function"]["arguments"] == arguments


def test_each_frame_has_the_number_of_the_last_event_in_it(log: _Log) -> None:
    for _ in range(3):
        log.delta(content="x")
    due = log.shelf.following(Position(1, 1), b"", True)
    assert (due.numbers, due.position) == ([2, 3, 4], Position(4, 4))
    for _ in range(LAG):
        log.delta(content="x")
    log.say("message", data="between")
    log.delta(content="y")
    due = log.shelf.following(Position(1, 1), b"", True)
    assert due.numbers == [4 + LAG, 5 + LAG, 6 + LAG]
    assert [e.number for e in map(event, blocks(b"".join(due.frames))[0]) if e] == due.numbers


def test_of_an_opening_only_the_last_snapshot_takes_its_reader_further(log: _Log) -> None:
    log.say("message", data="one")
    log.delta(content="x")
    shelf = log.shelf
    due = shelf.opening(shelf.start(""), b"")
    assert len(due.frames) == 3
    assert (due.numbers, due.position) == ([0, 0, 3], Position(3, 3, 3))
    assert shelf.opening(shelf.start("0123abcd.1"), b"").numbers == []


# --- [DONE] and 204 ---


def test_a_replay_leaves_out_a_done_that_a_later_start_follows(desk: Desk) -> None:
    at = desk.send()
    desk.answer("one", g="a")
    desk.answer("two", g="b")
    tab = desk.tab(desk.cursor(at))
    assert types(tab.take()) == ["started", "delta", "done", "started", "delta", "done", "[DONE]"]


def test_a_replay_leaves_out_a_done_that_an_answer_in_line_follows(desk: Desk) -> None:
    at = desk.send()
    desk.answer("one", g="a")
    desk.publish("queued", "b", position=1)
    assert types(desk.tab(desk.cursor(at)).take()) == ["started", "delta", "done", "queued"]


def test_with_close_on_done_a_stream_ends_after_done_and_what_follows_waits(desk: Desk) -> None:
    tab = desk.tab(close_on_done=True)
    desk.answer("Hello")
    later = desk.send("later")
    assert types(tab.take()) == ["started", "delta", "done", "[DONE]"]
    assert (tab.connection.over, tab.take()) == (True, [])
    tab.leave()
    again = desk.tab(tab.last_id, close_on_done=True)
    assert numbers(again.take()) == [later]


def test_without_close_on_done_a_stream_stays(desk: Desk) -> None:
    tab = desk.tab(close_on_done=False)
    desk.answer("Hello")
    later = desk.send("later")
    assert tab.take()[-1].number == later
    assert not tab.connection.over


def test_who_has_read_done_and_has_nothing_to_come_back_for_is_told_so(desk: Desk) -> None:
    done = desk.answer_and_done()
    assert desk.open(desk.cursor(done)) is None
    assert desk.open(desk.cursor(desk.tell())) is None


@pytest.mark.parametrize(
    "otherwise",
    [
        lambda desk, done: desk.open(desk.cursor(done - 1)),
        lambda desk, done: desk.open(desk.cursor(done), close_on_done=False),
        lambda desk, done: desk.open(),
        lambda desk, done: desk.open(desk.cursor(done)[::-1]),
        lambda desk, done: desk.send() and desk.open(desk.cursor(done)),
        lambda desk, done: desk.start("h") and desk.open(desk.cursor(done)),
        lambda desk, done: desk.start("h") and desk.open(desk.cursor(done + 1)),
        lambda desk, done: desk.publish("queued", "h") and desk.open(desk.cursor(done + 1)),
    ],
    ids=["before", "stays", "no cursor", "malformed", "unread", "running", "running, read", "in line"],
)
def test_everybody_else_gets_a_stream(desk: Desk, otherwise: Any) -> None:
    assert otherwise(desk, desk.answer_and_done()) is not None


def test_who_has_passed_no_done_always_gets_a_stream(desk: Desk) -> None:
    last = desk.send()
    assert desk.open(desk.cursor(last)) is not None


def test_who_has_read_done_is_told_so_also_when_all_of_it_has_left_the_log(desk: Desk) -> None:
    done = desk.answer_and_done()
    desk.clock.advance(ROOMY.age + 1)
    desk.tab()
    desk.hub.upkeep.age()
    assert desk.open(desk.cursor(done)) is None


# --- the client that a cursor names ---


@pytest.mark.parametrize(
    ("cursor", "client"),
    [("0123abcd.7.c", "c"), ("0123abcd.7", ""), ("", ""), ("nonsense", ""), ("0123abcd.7.c\n", "")],
)
def test_a_cursor_names_its_client(cursor: str, client: str) -> None:
    assert named_by(cursor) == client


def test_a_native_event_source_comes_back_as_the_client_the_server_named(desk: Desk) -> None:
    tab = desk.tab(client="issued", named=False)
    missed = desk.send("missed", client="issued")
    again = desk.tab(tab.last_id, client=named_by(tab.last_id), named=False)
    assert [number(said.id) for said in again.take()] == [missed]
