"""turns: who never has to wait gives way every two milliseconds, who waits never."""

from __future__ import annotations

from collections.abc import Iterator

from app.relay.turns import MOMENT, Turns
from tests.relay import ManualClock


class Slept:
    """In the place of time.sleep: keeps how long."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.times.append(seconds)


def pieces(clock: ManualClock, count: int, wait: float) -> Iterator[bytes]:
    """Each after `wait` seconds."""
    for number in range(count):
        clock.advance(wait)
        yield b"%d" % number


def read(count: int, wait: float, work: float) -> tuple[list[bytes], list[float]]:
    """What is read of so many pieces with `work` seconds spent on each, and the sleeps in between."""
    clock, slept, got = ManualClock(), Slept(), []
    for piece in Turns(clock, slept).each(pieces(clock, count, wait)):
        got.append(piece)
        clock.advance(work)
    return got, slept.times


def test_a_reader_that_never_waits_sleeps_a_moment_every_two_milliseconds() -> None:
    got, slept = read(count=100, wait=0.0, work=0.001)
    assert got == [b"%d" % number for number in range(100)]
    assert 30 <= len(slept) <= 50
    assert set(slept) == {MOMENT}
    assert MOMENT > 0


def test_a_reader_that_waits_for_each_piece_never_sleeps() -> None:
    assert read(count=100, wait=0.025, work=0.001)[1] == []


def test_long_work_on_one_piece_can_be_parted() -> None:
    clock, slept = ManualClock(), Slept()
    turns = Turns(clock, slept)
    for _ in range(100):
        clock.advance(0.0005)
        turns.give_way()
    assert 15 <= len(slept.times) <= 25
