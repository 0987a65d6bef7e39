"""What an idempotency key was answered, for as long as it may be asked again.

Pure; its callers hold the hub's lock.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from app.errors import Overloaded

Answer = TypeVar("Answer")


class Keys(Generic[Answer]):
    """Answers by key, each remembered for `age` seconds, at most `limit` at once."""

    def __init__(self, limit: int, age: float) -> None:
        self._limit, self._age = limit, age
        self._answers: dict[Hashable, tuple[float, Answer]] = {}

    def claim(self, key: Hashable, now: float) -> Answer | None:
        """What `key` was answered; None where it is new, and then there is room to `put` an answer.

        Raises Overloaded where one more can't be remembered: forgetting early would deliver twice.
        """
        self.expire(now)
        if key in self._answers:
            return self._answers[key][1]
        if len(self._answers) >= self._limit:
            raise Overloaded("Too many idempotency keys are in use: try again in a minute", retry_after=60)
        return None

    def put(self, key: Hashable, answer: Answer, now: float) -> None:
        self._answers[key] = (now, answer)

    def expire(self, now: float) -> None:
        """Forgets what is too old. All live equally long, so the oldest stand first."""
        while self._answers:
            key, (at, _) = next(iter(self._answers.items()))
            if now - at <= self._age:
                return
            del self._answers[key]
