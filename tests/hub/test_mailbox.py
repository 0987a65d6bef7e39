"""The log by cursor: what is kept, what leaves first, whom that hurts, what the fold makes up for."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.hub.events import DONE, Event, make_event
from app.hub.log import EVENT_COST, Log, Retention
from app.hub.mailbox import Mailbox
from tests.hub.kit import ROOMY, Text

EPOCH = "0123abcd"


def make(number: int, kind: str = "message", generation: str = "", at: float = 0.0) -> Event:
    body = DONE if kind == "[DONE]" else b'{"n":%d}' % number
    return make_event(EPOCH, number, kind, generation, body, at)


def numbers(events: list[Event]) -> list[int]:
    return [event.number for event in events]


def log(events: int = 1_000, size: int = 1 << 20, age: float = 600.0, floor: int = 0) -> Log:
    return Log(Retention(events, size, age), floor)


class Box:
    """A mailbox and the relay's verbs; each answers the event's number."""

    def __init__(self, events: int = 1_000, size: int = 1 << 20, age: float = 600.0) -> None:
        self.box = Mailbox(Retention(events, size, age), 0, Text)
        self.count = 0

    def add(self, kind: str, g: str = "g", **fields: Any) -> int:
        self.count += 1
        event = make(self.count, kind, g, at=float(self.count))
        self.box.append(event, {"generationId": g, **fields})
        return self.count

    def start(self, g: str = "g", attempt: int = 1) -> int:
        return self.add("started", g, conversationId=f"of-{g}", attempt=attempt)

    def delta(self, text: str, g: str = "g", seq: int = 1) -> int:
        return self.add("delta", g, seq=seq, data={"content": text})

    def end(self, g: str = "g", kind: str = "done") -> int:
        return self.add(kind, g, seq=9)

    def message(self) -> int:
        self.count += 1
        self.box.append(make(self.count, at=float(self.count)))
        return self.count


# --- reading by cursor ---


def test_an_empty_log_gives_nothing_and_stands_at_its_floor() -> None:
    empty = log(floor=7)
    assert (len(empty), empty.last, empty.floor, empty.delta_floor, empty.bytes) == (0, 7, 7, 7, 0)
    assert empty.after(0) == []
    assert empty.trim(now=1e9) == []


@pytest.mark.parametrize(("cursor", "found"), [(0, [2, 5, 9]), (2, [5, 9]), (4, [5, 9]), (9, []), (99, [])])
def test_a_cursor_gets_all_that_is_above_it_oldest_first(cursor: int, found: list[int]) -> None:
    some = log()
    for n in (2, 5, 9):
        some.append(make(n))
    assert numbers(some.after(cursor)) == found
    assert some.last == 9


# --- retention ---


def test_by_count_the_oldest_leaves_first() -> None:
    some = log(events=2)
    for n in (1, 2, 3, 4):
        some.append(make(n))
    assert numbers(some.trim(now=0.0)) == [1, 2]
    assert numbers(some.after(0)) == [3, 4]
    assert some.floor == some.delta_floor == 2


def test_adjacent_deltas_of_one_answer_count_as_one_event() -> None:
    box = Box(events=3)
    box.start()
    for seq in range(1, 101):
        box.delta("x", seq=seq)
    box.end()
    assert box.box.trim(now=0.0) == []
    assert len(box.box) == 102


def test_deltas_of_two_answers_that_alternate_count_one_by_one() -> None:
    box = Box(events=4)
    box.start("a")
    box.start("b")
    for seq in (1, 2):
        box.delta("x", "a", seq)
        box.delta("y", "b", seq)
    assert numbers(box.box.trim(now=0.0)) == [1, 2]


def test_deltas_with_a_message_between_them_are_two_runs() -> None:
    box = Box(events=3)
    box.start()
    box.delta("x")
    box.message()
    box.delta("y", seq=2)
    assert numbers(box.box.trim(now=0.0)) == [1]


def test_a_run_that_is_trimmed_leaves_as_a_whole() -> None:
    box = Box(events=2)
    box.start()
    deltas = [box.delta("x", seq=seq) for seq in (1, 2, 3)]
    assert numbers(box.box.trim(now=0.0)) == []
    box.message()
    assert numbers(box.box.trim(now=0.0)) == [1]
    box.message()
    assert numbers(box.box.trim(now=0.0)) == deltas


def test_by_bytes_of_frames_the_oldest_leaves_first() -> None:
    size = len(make(1).frame)
    some = log(size=2 * size)
    for n in (1, 2, 3):
        some.append(make(n))
    assert some.bytes == 3 * size
    assert numbers(some.trim(now=0.0)) == [1]
    assert some.bytes == 2 * size


def test_an_event_larger_than_the_log_does_not_stay_and_is_not_forgotten_either() -> None:
    some = log(size=10)
    some.append(make(3))
    assert numbers(some.trim(now=0.0)) == [3]
    assert (len(some), some.bytes, some.floor, some.last) == (0, 0, 3, 3)


def test_by_age_what_is_as_old_as_allowed_stays() -> None:
    some = log(age=10.0)
    some.append(make(1, at=0.0))
    some.append(make(2, at=5.0))
    assert some.trim(now=10.0) == []
    assert numbers(some.trim(now=10.1)) == [1]
    assert numbers(some.trim(now=1e9)) == [2]
    assert some.floor == 2


steps = st.lists(
    st.tuples(
        st.sampled_from(["message", "delta", "[DONE]"]),
        st.sampled_from(["a", "b"]),
        st.floats(0, 5),
        st.booleans(),
    ),
    max_size=40,
)


@given(steps=steps, events=st.integers(1, 6), size=st.integers(30, 400), age=st.floats(0.0, 20.0))
def test_a_log_keeps_what_a_plain_list_would(steps: Any, events: int, size: int, age: float) -> None:
    some, plain, now, floor = log(events, size, age), [], 0.0, 0
    for number, (kind, generation, pause, trims) in enumerate(steps, start=1):
        now += pause
        some.append(make(number, kind, generation, now))
        plain.append(make(number, kind, generation, now))
        while trims and plain and (_runs(plain) > events or _bytes(plain) > size or now - plain[0].at > age):
            floor = plain.pop(0).number
        if trims:
            some.trim(now)
        assert some.after(0) == plain
        assert (len(some), some.bytes, some.floor, some.delta_floor) == (
            len(plain),
            _bytes(plain),
            floor,
            floor,
        )
        assert some.last == (plain[-1].number if plain else floor)


def _runs(events: list[Event]) -> int:
    pairs = pairwise(events)
    same = sum(a.kind == b.kind == "delta" and a.generation == b.generation for a, b in pairs)
    return len(events) - same


def _bytes(events: list[Event]) -> int:
    return sum(len(event.frame) for event in events)


# --- the fold ---


def test_deltas_fold_into_the_text_so_far() -> None:
    box = Box()
    box.start()
    box.delta("Hel", seq=1)
    last = box.delta("lo", seq=2)
    fold = box.box.folds["g"]
    assert fold.snapshot() == {
        "generationId": "g",
        "conversationId": "of-g",
        "seq": 2,
        "data": {"content": "Hello"},
    }
    assert (fold.delta, fold.last, fold.ended) == (last, last, False)


def test_a_second_attempt_clears_the_text_and_seq_goes_on() -> None:
    box = Box()
    box.start()
    box.delta("wrong", seq=1)
    box.start(attempt=2)
    assert box.box.folds["g"].snapshot()["data"] == {"content": ""}
    box.delta("right", seq=2)
    snapshot = box.box.folds["g"].snapshot()
    assert (snapshot["data"], snapshot["seq"]) == ({"content": "right"}, 2)


def test_an_answer_that_waited_in_line_still_knows_its_conversation() -> None:
    box = Box()
    box.add("queued", position=1)
    box.start()
    box.delta("x")
    assert box.box.folds["g"].snapshot()["conversationId"] == "of-g"


@pytest.mark.parametrize("kind", ["done", "error"])
def test_the_fold_ends_with_its_terminal_event_leaving_the_log(kind: str) -> None:
    box = Box(age=10.0)
    box.start()
    box.delta("x")
    end = box.end(kind=kind)
    box.box.trim(now=end + 10.0)
    assert (len(box.box), box.box.running) == (1, [])
    assert box.box.folds["g"].ended
    box.box.trim(now=end + 10.1)
    assert box.box.folds == {}


def test_the_fold_of_a_running_answer_outlives_all_its_events() -> None:
    box = Box(age=10.0)
    box.start()
    box.delta("x")
    box.box.trim(now=1e9)
    assert len(box.box) == 0
    assert box.box.running == ["g"]
    assert box.box.folds["g"].snapshot()["data"] == {"content": "x"}


def test_a_cursor_below_trimmed_deltas_is_above_the_floor_while_the_fold_has_their_text() -> None:
    box = Box(events=2)
    start = box.start()
    deltas = [box.delta("x", seq=1), box.delta("y", seq=2)]
    box.message()
    box.message()
    box.box.trim(now=0.0)
    assert (box.box.floor, box.box.delta_floor) == (start, deltas[-1])


def test_anything_else_that_is_trimmed_raises_the_floor() -> None:
    box = Box(events=1)
    box.message()
    gone = box.message()
    box.message()
    box.box.trim(now=0.0)
    assert box.box.floor == box.box.delta_floor == gone


def test_once_the_terminal_event_has_left_nothing_makes_up_for_the_deltas() -> None:
    box = Box(events=1)
    box.start()
    box.delta("x")
    end = box.end()
    box.message()
    box.box.trim(now=0.0)
    assert box.box.floor == end


# --- letting go because memory is short ---


def test_what_was_handed_is_let_go_of_and_nothing_else() -> None:
    box = Box()
    said = [box.message() for _ in range(4)]
    assert numbers(box.box.release(said[1])) == said[:2]
    assert numbers(box.box.after(0)) == said[2:]
    assert box.box.floor == box.box.delta_floor == said[1]
    assert box.box.release(said[1]) == []


def test_what_is_let_go_of_in_the_middle_of_a_run_leaves_the_rest_of_it_one_event() -> None:
    box = Box(events=2)
    box.start()
    deltas = [box.delta("x", seq=seq) for seq in range(1, 6)]
    box.box.release(deltas[2])
    box.message()
    assert box.box.trim(now=0.0) == []
    assert box.box.floor == 1, "a snapshot makes up for deltas"
    assert box.box.delta_floor == deltas[2]
    box.message()
    assert numbers(box.box.trim(now=0.0)) == deltas[3:]


def test_an_answer_that_is_let_go_of_takes_its_text_along() -> None:
    box = Box()
    box.start()
    box.delta("Hello")
    end = box.end()
    box.box.release(end)
    assert (box.box.folds, box.box.weight) == ({}, 0)


# --- what it weighs ---


def test_an_empty_mailbox_weighs_nothing() -> None:
    assert Box().box.weight == 0


def test_it_weighs_its_frames_what_is_around_them_and_its_texts() -> None:
    box = Box()
    box.start()
    for seq in (1, 2):
        box.delta("x", seq=seq)
    box.message()
    deltas = [event for event in box.box.after(0) if event.kind == "delta"]
    assert box.box.texts == sum(len(event.frame) for event in deltas)
    assert box.box.weight == box.box.bytes + box.box.texts + 4 * EVENT_COST


def test_a_text_that_starts_over_weighs_nothing_and_one_that_ended_as_long_as_its_end_is_kept() -> None:
    box = Box(age=10.0)
    box.start()
    box.delta("wrong")
    box.start(attempt=2)
    assert box.box.texts == 0
    box.delta("right", seq=2)
    end = box.end()
    weighs = box.box.texts
    box.box.trim(now=end + 10.0)
    assert box.box.texts == weighs > 0
    box.box.trim(now=end + 10.1)
    assert box.box.texts == 0


# --- what may be said of a generation ---


@pytest.mark.parametrize("kind", ["delta", "done", "error"])
def test_only_a_start_begins_a_generation(kind: str) -> None:
    box = Box().box
    assert not box.accepts(kind, "g")
    assert box.accepts("started", "g")
    assert box.accepts("queued", "g")


@pytest.mark.parametrize("end", ["done", "error"])
def test_nothing_follows_a_terminal_event(end: str) -> None:
    box = Box()
    box.start()
    box.end(kind=end)
    for kind in ("queued", "started", "delta", "done", "error"):
        assert not box.box.accepts(kind, "g")
    assert box.box.accepts("started", "another")


def test_running_are_those_that_began_and_did_not_end() -> None:
    box = Box()
    for g in ("a", "b", "c"):
        box.start(g)
    box.end("b", kind="error")
    assert box.box.running == ["a", "c"]


def test_a_mailbox_knows_its_last_done_and_its_last_start() -> None:
    box = Box()
    assert (box.box.done, box.box.start) == (0, 0)
    start = box.start()
    box.end()
    done = box.add("[DONE]", "")
    assert (box.box.done, box.box.start) == (done, start)
    queued = box.add("queued", "h", position=1)
    assert (box.box.done, box.box.start) == (done, queued)


def test_nothing_is_made_for_a_mailbox_before_its_first_event() -> None:
    box = Mailbox(ROOMY, 3, Text)
    assert box._facts is None
    box.append(make(4))
    box.trim(now=1e9)
    assert box._facts is None


def test_a_mailbox_tells_its_state() -> None:
    box = Box()
    box.message()
    assert repr(box.box) == f"<Mailbox 1 events, {box.box.bytes} bytes, 0 running, floor 0, handed 0>"
