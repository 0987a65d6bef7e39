"""clocks: each rings by its own code, and only what it measures keeps it quiet."""

from __future__ import annotations

import pytest

from app.relay.clocks import AFTERWORD, FINISHED, SENTENCES, Allowed, Clocks

ALLOWED = Allowed(first=10.0, content=5.0, bytes=20.0, total=100.0)
BEGAN = 1000.0
A_LITTLE = 0.001


class Watched(Clocks):
    """Clocks, and the count of the pieces that have arrived."""

    pieces = 0

    def byte(self, now: float) -> None:
        """One more has arrived by `now`, when somebody looks."""
        self.pieces += 1
        self.rang(now)

    def rang(self, now: float) -> str:
        self.heard(self.pieces, now)
        return super().rang(now)


@pytest.fixture
def clocks() -> Watched:
    return Watched(ALLOWED, BEGAN)


def test_none_rings_at_the_beginning(clocks: Watched) -> None:
    assert clocks.rang(BEGAN) == ""


def test_the_first_content_may_take_as_long_as_is_allowed_and_no_longer(clocks: Watched) -> None:
    assert clocks.rang(BEGAN + ALLOWED.first) == ""
    assert clocks.rang(BEGAN + ALLOWED.first + A_LITTLE) == "timeout_first"


def test_a_silence_after_content_is_told_from_one_before_it(clocks: Watched) -> None:
    clocks.said = BEGAN + 1
    assert clocks.rang(BEGAN + 1 + ALLOWED.content) == ""
    assert clocks.rang(BEGAN + 1 + ALLOWED.content + A_LITTLE) == "timeout_content"


def test_each_content_winds_the_clock_of_content_up(clocks: Watched) -> None:
    for second in range(0, 90, 5):
        clocks.byte(BEGAN + second)
        clocks.said = BEGAN + second
    assert clocks.rang(BEGAN + 85 + ALLOWED.content) == ""


@pytest.mark.parametrize(("content", "code"), [(False, "timeout_first"), (True, "timeout_content")])
def test_comments_prove_a_connection_and_no_answer(clocks: Watched, content: bool, code: str) -> None:
    if content:
        clocks.said = BEGAN
    for second in range(12):
        clocks.byte(BEGAN + second)
    assert clocks.rang(BEGAN + 11) == code


def test_a_connection_without_a_byte_is_dead() -> None:
    clocks = Watched(Allowed(first=100, content=100, bytes=20, total=1000), BEGAN)
    clocks.byte(BEGAN + 3)
    assert clocks.rang(BEGAN + 23) == ""
    assert clocks.rang(BEGAN + 23 + A_LITTLE) == "timeout_bytes"


def test_an_answer_that_never_ends_is_ended_however_lively_it_is(clocks: Watched) -> None:
    end = BEGAN + ALLOWED.total
    clocks.byte(end)
    clocks.said = end
    assert clocks.rang(end) == ""
    assert clocks.rang(end + A_LITTLE) == "timeout_total"


def test_another_try_winds_all_up_but_the_total(clocks: Watched) -> None:
    clocks.said = BEGAN + 1
    clocks.attempt(BEGAN + 95)
    assert clocks.rang(BEGAN + 100) == ""
    assert clocks.rang(BEGAN + 100 + A_LITTLE) == "timeout_total"


def test_another_try_waits_for_its_own_first_content(clocks: Watched) -> None:
    clocks.said = BEGAN + 1
    clocks.attempt(BEGAN + 50)
    assert clocks.rang(BEGAN + 60) == ""
    assert clocks.rang(BEGAN + 60 + A_LITTLE) == "timeout_first"


def test_a_try_that_had_finished_leaves_no_afterword_to_the_next(clocks: Watched) -> None:
    clocks.finish(BEGAN + 1)
    clocks.attempt(BEGAN + 2)
    assert clocks.rang(BEGAN + 8) == ""


def test_after_the_last_word_only_the_afterword_is_waited_for(clocks: Watched) -> None:
    clocks.finish(BEGAN + 99)
    assert clocks.rang(BEGAN + 99 + AFTERWORD) == ""
    assert clocks.rang(BEGAN + 99 + AFTERWORD + A_LITTLE) == FINISHED


def test_comments_do_not_lengthen_the_afterword(clocks: Watched) -> None:
    clocks.finish(BEGAN)
    clocks.byte(BEGAN + AFTERWORD)
    assert clocks.rang(BEGAN + AFTERWORD + A_LITTLE) == FINISHED


def test_a_piece_counts_from_the_look_that_finds_it() -> None:
    clocks = Watched(Allowed(first=100, content=100, bytes=20, total=1000), BEGAN)
    clocks.pieces += 5
    assert clocks.rang(BEGAN + 30) == ""
    assert clocks.rang(BEGAN + 50) == ""
    assert clocks.rang(BEGAN + 50 + A_LITTLE) == "timeout_bytes"


def test_the_wait_in_line_counts_for_no_clock(clocks: Watched) -> None:
    clocks.begin(BEGAN + 1000)
    assert clocks.rang(BEGAN + 1000 + ALLOWED.first) == ""


def test_the_clocks_as_shipped_are_those_of_the_table_of_defaults() -> None:
    assert Allowed() == Allowed(first=300, content=120, bytes=300, total=1800, waiting=300)
    assert AFTERWORD == 2.0


def test_every_clock_has_its_sentence_for_people() -> None:
    codes = {"timeout_first", "timeout_content", "timeout_bytes", "timeout_total", "interrupted"}
    assert codes <= SENTENCES.keys()
