"""retry: whether, and when, a failed try is followed by another."""

from __future__ import annotations

import random

import pytest

from app.errors import UpstreamError
from app.relay.retry import RetryPolicy

POLICY = RetryPolicy(attempts=3, base=0.5, budget=60.0, longest=30.0)


def failed(retry_after: float | None = None, *, retryable: bool = True) -> UpstreamError:
    return UpstreamError("upstream_status", "no", retryable=retryable, retry_after=retry_after)


# error, tries so far, seconds spent, chance: seconds to wait
WAITS: dict[str, tuple[UpstreamError, int, float, float, float | None]] = {
    "the first wait, at its longest": (failed(), 1, 0, 1.0, 0.5),
    "the first wait, half by chance": (failed(), 1, 0, 0.5, 0.25),
    "the first wait, none by chance": (failed(), 1, 0, 0.0, 0.0),
    "the second wait is twice as long": (failed(), 2, 0, 1.0, 1.0),
    "no fourth try": (failed(), 3, 0, 1.0, None),
    "no retry can help": (failed(retryable=False), 1, 0, 0.0, None),
    "no retry can help, though a wait was named": (failed(1, retryable=False), 1, 0, 0.0, None),
    "Retry-After is obeyed": (failed(7), 1, 0, 1.0, 7.0),
    "Retry-After is obeyed, whatever chance says": (failed(7), 1, 0, 0.0, 7.0),
    "Retry-After of 0 leaves chance its say": (failed(0), 1, 0, 1.0, 0.5),
    "Retry-After shorter than the wait": (failed(0.1), 1, 0, 1.0, 0.5),
    "Retry-After at the limit": (failed(30), 1, 0, 0.0, 30.0),
    "Retry-After beyond the limit": (failed(30.5), 1, 0, 0.0, None),
    "the last moment of the budget": (failed(10), 1, 50, 0.0, 10.0),
    "beyond the budget by Retry-After": (failed(10), 1, 50.5, 0.0, None),
    "beyond the budget by chance": (failed(), 1, 59.9, 1.0, None),
    "within the budget by chance": (failed(), 1, 59.9, 0.1, 0.05),
    "the budget is spent": (failed(), 1, 60.1, 0.0, None),
}


@pytest.mark.parametrize(("error", "tries", "spent", "chance", "wait"), WAITS.values(), ids=WAITS)
def test_the_wait_for_another_try(
    error: UpstreamError, tries: int, spent: float, chance: float, wait: float | None
) -> None:
    assert POLICY.wait(error, tries, spent, chance) == wait


def test_many_clients_do_not_come_back_together() -> None:
    chance = random.Random(1)
    waits = sorted(POLICY.wait(failed(), 2, 0, chance.random()) or 0.0 for _ in range(1000))
    assert waits[0] < 0.05
    assert waits[-1] > 0.95
    assert 0.4 < waits[500] < 0.6


def test_one_try_is_never_followed_by_another() -> None:
    assert RetryPolicy(attempts=1).wait(failed(), 1, 0, 0.0) is None


def test_the_policy_as_shipped_is_that_of_the_table_of_defaults() -> None:
    assert RetryPolicy() == RetryPolicy(attempts=3, base=0.5, budget=60.0, longest=30.0)
