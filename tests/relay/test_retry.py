"""retry: whether, when and where a failed try is followed by another."""

from __future__ import annotations

import random

import pytest

from app.errors import UpstreamError
from app.relay.retry import NEVER, RetryPolicy, Route

POLICY = RetryPolicy(attempts=3, base=0.5, budget=60.0, longest=30.0)


def failed(retry_after: float | None = None, *, retryable: bool = True) -> UpstreamError:
    return UpstreamError("upstream_status", "no", retryable=retryable, retry_after=retry_after)


# error, tries so far, chance: seconds to wait
WAITS: dict[str, tuple[UpstreamError, int, float, float]] = {
    "the first wait, at its longest": (failed(), 1, 1.0, 0.5),
    "the first wait, half by chance": (failed(), 1, 0.5, 0.25),
    "the first wait, none by chance": (failed(), 1, 0.0, 0.0),
    "the second wait is twice as long": (failed(), 2, 1.0, 1.0),
    "no fourth try": (failed(), 3, 1.0, NEVER),
    "Retry-After is obeyed": (failed(7), 1, 1.0, 7.0),
    "Retry-After is obeyed, whatever chance says": (failed(7), 1, 0.0, 7.0),
    "Retry-After of 0 leaves chance its say": (failed(0), 1, 1.0, 0.5),
    "Retry-After shorter than the wait": (failed(0.1), 1, 1.0, 0.5),
    "Retry-After at the limit": (failed(30), 1, 0.0, 30.0),
    "Retry-After beyond the limit": (failed(30.5), 1, 0.0, NEVER),
}


@pytest.mark.parametrize(("error", "tries", "chance", "wait"), WAITS.values(), ids=WAITS)
def test_how_long_an_upstream_is_left_alone(
    error: UpstreamError, tries: int, chance: float, wait: float
) -> None:
    assert POLICY.wait(error, tries, chance) == wait


def test_many_clients_do_not_come_back_together() -> None:
    chance = random.Random(1)
    waits = sorted(POLICY.wait(failed(), 2, chance.random()) for _ in range(1000))
    assert waits[0] < 0.05
    assert waits[-1] > 0.95
    assert 0.4 < waits[500] < 0.6


def test_one_try_is_never_followed_by_another() -> None:
    assert RetryPolicy(attempts=1).wait(failed(), 1, 0.0) == NEVER


def test_the_policy_as_shipped_is_that_of_the_table_of_defaults() -> None:
    assert RetryPolicy() == RetryPolicy(attempts=3, base=0.5, budget=60.0, longest=30.0)


# --- the way over several --------------------------------------------------------------------------------


def way(count: int, *errors: UpstreamError, chance: float = 1.0, took: float = 0.0) -> list[object]:
    """Which upstream is asked, then for each error how long is waited and who is asked next; each try takes
    `took` seconds."""
    route, spent = Route(count, POLICY), 0.0
    steps: list[object] = [route.at]
    for error in errors:
        spent += took
        wait = route.after(error, spent, chance)
        steps += [wait] if wait is None else [wait, route.at]
        spent += wait or 0.0
    return steps


def test_one_upstream_is_asked_again_after_its_waits_and_then_no_more() -> None:
    assert way(1, failed(), failed(), failed()) == [0, 0.5, 0, 1.0, 0, None]


def test_the_next_upstream_is_asked_at_once_and_only_then_is_there_a_wait() -> None:
    assert way(2, *[failed()] * 6) == [0, 0.0, 1, 0.5, 0, 0.0, 1, 1.0, 0, 0.0, 1, None]


def test_the_best_of_those_that_may_be_asked_is_next() -> None:
    """The first one has had its rest when the third has failed; the second hasn't."""
    assert way(3, failed(), failed(10), failed(), took=0.3) == [0, 0.0, 1, 0.0, 2, 0.0, 0]


def test_who_asks_to_be_left_alone_for_long_is_passed_over() -> None:
    assert way(2, failed(5), failed(), failed()) == [0, 0.0, 1, 0.5, 1, 1.0, 1]


def test_who_asks_for_more_than_is_obeyed_is_not_asked_again() -> None:
    assert way(2, failed(31), failed(31)) == [0, 0.0, 1, None]


def test_what_no_retry_can_help_ends_the_way_wherever_it_is() -> None:
    assert way(3, failed(retryable=False)) == [0, None]
    assert way(3, failed(), failed(7, retryable=False)) == [0, 0.0, 1, None]


def test_who_was_not_asked_yet_is_asked_however_long_the_others_took() -> None:
    assert way(2, failed(), failed(), took=300.0) == [0, 0.0, 1, None]


def test_an_answer_that_starts_over_has_tries_and_budget_of_its_own() -> None:
    route = Route(1, RetryPolicy(attempts=1))
    assert route.after(failed(), 900.0, 0.0) is None
    route.begin_anew(900.0)
    assert Route(1, POLICY).after(failed(), 900.0, 0.0) is None
    anew = Route(1, POLICY)
    anew.begin_anew(900.0)
    assert anew.after(failed(), 901.0, 0.0) == 0.0
    spent = Route(2, RetryPolicy(attempts=1))
    assert (spent.after(failed(), 0.0, 0.0), spent.at) == (0.0, 1)
    spent.begin_anew(5.0)
    assert (spent.after(failed(), 5.0, 0.0), spent.at) == (0.0, 0)


@pytest.mark.parametrize(
    ("spent", "retry_after", "wait"), [(50, 10, 10), (50.5, 10, None), (60, None, 0), (60.1, None, None)]
)
def test_no_try_begins_beyond_the_budget(spent: float, retry_after: float, wait: float | None) -> None:
    assert Route(1, POLICY).after(failed(retry_after), spent, 0.0) == wait
