"""watch: one thread looks while there is anything to look at; whom nobody reads is given up in time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from app.relay import watch
from app.relay.generation import Generation
from app.relay.watch import Leaving, Watch
from tests.relay import ManualClock, make_generation
from tests.rig.reading import eventually


def alone(name: str, since: float | None = 0.0, **question: str) -> Generation:
    generation = make_generation(0.0, generation_id=name, client_id=f"client-of-{name}", **question)
    generation.alone_since = since
    return generation


def gone(generations: list[Generation], now: float, most: int = 100, there: str = "") -> list[str]:
    leaving = Leaving(lambda client: client == there, grace=60.0, most=most)
    return [generation.id for generation in leaving.gone(generations, now)]


# --- leaving ---------------------------------------------------------------------------------------------


def test_who_wants_to_be_cancelled_is_given_up_after_the_grace() -> None:
    answer = alone("g", on_leave="cancel")
    assert (gone([answer], 60.0), gone([answer], 60.1)) == ([], ["g"])


def test_who_goes_on_goes_on() -> None:
    assert gone([alone("g")], 1e6) == []


def test_of_those_that_go_on_the_ones_longest_alone_are_given_up_beyond_the_cap() -> None:
    answers = [alone("g5", 5.0), alone("g1", 1.0), alone("g3", 3.0)]
    assert gone(answers, 100.0, most=1) == ["g1", "g3"]


def test_who_was_left_just_now_does_not_count_for_the_cap() -> None:
    assert gone([alone("g1", 1.0), alone("g2", 90.0)], 100.0, most=1) == []


def test_the_cancelled_do_not_count_for_the_cap() -> None:
    assert gone([alone("g", 1.0, on_leave="cancel"), alone("h", 2.0)], 100.0, most=1) == ["g"]


def test_being_alone_begins_with_the_first_look_and_ends_with_a_stream() -> None:
    answer = alone("g", None, on_leave="cancel")
    assert (gone([answer], 500.0), answer.alone_since) == ([], 500.0)
    assert (gone([answer], 1000.0, there="client-of-g"), answer.alone_since) == ([], None)


# --- the thread ------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def looks_that_follow_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "PERIOD", 0.001)


class House:
    """A watch over one answer, while `there`."""

    def __init__(self, spawn: Callable[..., None] = watch.thread) -> None:
        self.clock, self.there, self.slow = ManualClock(), True, 0
        self.answer = make_generation(self.clock.now)
        self.watch = Watch(lambda: [self.answer], lambda: self.there, self._slowly, self.clock, spawn)

    def _slowly(self, now: float) -> None:
        self.slow += 1

    def watchers(self) -> int:
        return sum(thread.name == "_look" for thread in threading.enumerate())


def test_one_thread_looks_and_ends_with_the_last_answer() -> None:
    house = House()
    for _ in range(3):
        house.watch.ensure()
    assert house.watchers() == 1
    house.there = False
    eventually(lambda: house.watchers() == 0)
    house.there = True
    house.watch.ensure()
    assert house.watchers() == 1
    house.there = False
    eventually(lambda: house.watchers() == 0)


def test_who_comes_in_while_the_thread_ends_is_looked_at() -> None:
    """Until it has ended it is still taken for looking, and no other one begins."""
    work: list[Callable[[], Any]] = []
    house = House(lambda target: work.append(target))
    answers = iter([False, True, True, False, False])
    house.watch._any = lambda: next(answers)
    house.watch.ensure()
    work[0]()
    assert house.slow == 1
    assert next(answers, None) is None
    assert len(work) == 1


def test_a_look_that_fails_is_logged_and_not_the_last(caplog: pytest.LogCaptureFixture) -> None:
    house = House()

    def fail(now: float) -> None:
        house.slow += 1
        raise ValueError("a bug")

    house.watch._slowly = fail
    house.watch.ensure()
    eventually(lambda: house.slow == 1)
    house.clock.advance(2)
    eventually(lambda: house.slow == 2)
    house.there = False
    eventually(lambda: house.watchers() == 0)
    assert "a bug" in caplog.text


def test_a_clock_that_rings_cuts_the_line() -> None:
    house = House()
    house.watch.look(house.clock.now + 301)
    assert house.answer.line.why == "timeout_first"


def test_who_reads_is_asked_once_a_second_and_not_with_each_look() -> None:
    house = House()
    for i in range(30):
        house.watch.look(1000.0 + i / 10)
    assert house.slow == 3


def test_where_there_is_no_thread_the_next_one_may_try() -> None:
    def full(target: Callable[[], None]) -> None:
        raise RuntimeError("can't start new thread")

    house = House(full)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            house.watch.ensure()
