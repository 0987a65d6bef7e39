"""Whether, when and where a failed answer is tried again: before its first text, never silently after it.

Pure; the randomness is handed in.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.errors import UpstreamError

NEVER = float("inf")


@dataclass(frozen=True)
class RetryPolicy:
    """Tries of each upstream, seconds of the first wait (doubled each time), seconds in all, longest wait
    obeyed."""

    attempts: int = 3
    base: float = 0.5
    budget: float = 60.0
    longest: float = 30.0

    def wait(self, error: UpstreamError, attempt: int, chance: float) -> float:
        """Seconds to leave an upstream alone after `attempt` failed there, NEVER where it isn't tried again.

        `chance`: uniform in 0..1, the full jitter that keeps many clients from coming back together. What
        the upstream asks for is the least that is waited.
        """
        asked = error.retry_after or 0.0
        if attempt >= self.attempts or asked > self.longest:
            return NEVER
        return max(asked, chance * self.base * 2.0 ** (attempt - 1))


class Route:
    """The way of one answer over `count` upstreams, the best first; `at` is the one to ask.

    Who failed is left alone for a while, and the best of those that may be asked soonest is next: so another
    one is tried at once, and only where all have failed there is a wait.
    """

    def __init__(self, count: int, policy: RetryPolicy) -> None:
        self.at = 0
        self._policy = policy
        self._tries = [0] * count
        self._ready = [0.0] * count  # seconds since the answer began
        self._since = 0.0

    def begin_anew(self, spent: float) -> None:
        """There was text, and the answer starts over: budget and tries are those of a new beginning, in which
        the one that broke off has none behind it."""
        self._tries, self._since = [-1] * len(self._tries), spent
        self._ready = [0.0 if ready == NEVER else ready for ready in self._ready]

    def after(self, error: UpstreamError, spent: float, chance: float) -> float | None:
        """Seconds to wait before `at` is asked, None where nobody is any more.

        `spent`: seconds since the answer began. An error that no retry can help is the same everywhere, or
        one that the operator must see instead of a bill from the next upstream.
        """
        if not error.retryable:
            return None
        self._tries[self.at] += 1
        self._ready[self.at] = spent + self._policy.wait(error, self._tries[self.at], chance)
        # Of several that may be asked, one that was asked less, whatever chance said; then the best.
        when, _, self.at = min(
            zip((max(r, spent) for r in self._ready), self._tries, range(len(self._tries)), strict=True)
        )
        # Who wasn't asked yet costs no more than a first try, however long another one took to fail.
        allowed = not self._tries[self.at] or when <= self._since + self._policy.budget
        return when - spent if allowed and when < NEVER else None
