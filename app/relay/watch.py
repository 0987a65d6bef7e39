"""One thread that looks at all answers while there are any: whose clock rang, and whom nobody reads.

Leaving, stopping and timing out are three things; this is where two of them are noticed. Used by relay.py.
`_lock` guards `_looking`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from app.relay.generation import Generation

log = logging.getLogger(__name__)

# Seconds between two looks at the clocks of all answers.
PERIOD = 0.1
# Seconds between two looks at who reads and who waits: a page shows its place in line no oftener.
SLOW_PERIOD = 1.0

Spawn = Callable[..., None]


def thread(target: Callable[..., None], *args: object) -> None:
    """Runs `target` beside whoever calls. Raises RuntimeError where there is no thread to be had."""
    threading.Thread(target=target, args=args, name=target.__name__, daemon=True).start()


@dataclass(frozen=True)
class Leaving:
    """When an answer is given up that nobody reads: where its asker wants that, after `grace` seconds without
    an open stream of its client; else the ones longest alone, beyond `most` of those."""

    listening: Callable[[str], bool] = lambda client_id: True
    grace: float = 60.0
    most: int = 100

    def gone(self, generations: list[Generation], now: float) -> list[Generation]:
        """Those to give up now."""
        for generation in generations:
            if self.listening(generation.question.client_id):
                generation.alone_since = None
            elif generation.alone_since is None:
                generation.alone_since = now
        alone = sorted((g for g in generations if self._alone(g, now)), key=lambda g: g.alone_since or 0.0)
        cancelled = [g for g in alone if g.question.on_leave == "cancel"]
        going_on = [g for g in alone if g.question.on_leave != "cancel"]
        return cancelled + going_on[: max(0, len(going_on) - self.most)]

    def _alone(self, generation: Generation, now: float) -> bool:
        return generation.alone_since is not None and now - generation.alone_since > self.grace


class Watch:
    """Looks at `running()` each PERIOD while `any()` is true, and calls `slowly` each SLOW_PERIOD."""

    def __init__(
        self,
        running: Callable[[], list[Generation]],
        any_: Callable[[], bool],
        slowly: Callable[[float], None],
        clock: Callable[[], float],
        spawn: Spawn = thread,
    ) -> None:
        self._running, self._any, self._slowly = running, any_, slowly
        self._clock, self._spawn = clock, spawn
        self._lock = threading.Lock()
        self._looking = False
        self._slow_at = 0.0

    def ensure(self) -> None:
        """Sees to it that one thread looks; called once `any` is true. Raises RuntimeError where none
        can be had.
        """
        if not self._begin():
            return
        try:
            self._spawn(self._look)
        except BaseException:
            self._end()
            raise

    def _begin(self) -> bool:
        with self._lock:
            began, self._looking = not self._looking, True
        return began

    def _end(self) -> None:
        with self._lock:
            self._looking = False

    def _look(self) -> None:
        pause, looking = threading.Event(), True
        while looking:
            while self._any():
                try:
                    self.look(self._clock())
                except Exception:  # the next look may succeed, and without one no clock would ring again
                    log.exception("a look at the answers failed")
                pause.wait(PERIOD)
            self._end()
            # Who came in right before that relies on this thread.
            looking = self._any() and self._begin()

    def look(self, now: float) -> None:
        """One look."""
        for generation in self._running():
            line = generation.line  # first: a clock of the last try must not cut the next
            generation.clocks.heard(line.pieces, now)
            code = generation.clocks.rang(now)
            if code:
                line.cut(code)
        if now - self._slow_at >= SLOW_PERIOD:
            self._slow_at = now
            self._slowly(now)
