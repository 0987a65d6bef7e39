"""Whether and when a failed answer is tried again: only before its first text, never silently after it.

Pure; the randomness is handed in.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.errors import UpstreamError


@dataclass(frozen=True)
class RetryPolicy:
    """Tries in all, seconds of the first wait (doubled each time), seconds in all, longest wait obeyed."""

    attempts: int = 3
    base: float = 0.5
    budget: float = 60.0
    longest: float = 30.0

    def wait(self, error: UpstreamError, attempt: int, spent: float, chance: float) -> float | None:
        """Seconds to wait after `attempt` failed, None where it is not tried again.

        `spent`: seconds since the first try began; `chance`: uniform in 0..1, the full jitter that keeps
        many clients from coming back together. What the upstream asks for is the least that is waited.
        """
        if not error.retryable or attempt >= self.attempts:
            return None
        asked = error.retry_after or 0.0
        wait = max(asked, chance * self.base * 2 ** (attempt - 1))
        return wait if asked <= self.longest and spent + wait <= self.budget else None
