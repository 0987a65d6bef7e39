"""turns: who never has to wait gives way every two milliseconds, who waits never."""

from __future__ import annotations

import pytest

from app.relay.turns import MOMENT, Turns
from tests.relay import ManualClock


class Slept:
    """In the place of time.sleep: keeps how long, and takes its time."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.times: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.times.append(seconds)
        self._clock.advance(0.0001)


def read(count: int, wait: float, work: float) -> list[float]:
    """The sleeps of a reader who waits so long for each of so many pieces, and works so long on it."""
    clock = ManualClock()
    slept = Slept(clock)
    turns = Turns(clock, slept)

    def piece() -> bytes:
        clock.advance(wait)
        return b"a piece"

    for _ in range(count):
        assert turns.read(piece) == b"a piece"
        clock.advance(work)
    return slept.times


def test_a_reader_that_never_waits_sleeps_a_moment_every_two_milliseconds() -> None:
    slept = read(count=100, wait=0.0, work=0.001)
    assert 30 <= len(slept) <= 50
    assert set(slept) == {MOMENT}
    assert MOMENT > 0


def test_a_reader_that_waits_for_each_piece_never_sleeps() -> None:
    assert read(count=100, wait=0.025, work=0.001) == []


def test_a_wait_too_short_for_others_to_have_had_their_turn_counts_for_none() -> None:
    assert len(read(count=100, wait=0.0005, work=0.001)) >= 30


def test_who_works_long_on_each_piece_gives_way_after_each() -> None:
    assert len(read(count=100, wait=0.0, work=0.005)) == 99  # before each but the first


def test_what_the_wait_raises_is_raised() -> None:
    def broken() -> bytes:
        raise OSError("cut")

    with pytest.raises(OSError, match="cut"):
        Turns().read(broken)
