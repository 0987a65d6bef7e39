"""One thread that has the upkeep of a hub done, second by second.

Started by the first stream, never at import: a process that forks after loading takes no thread along.
"""

from __future__ import annotations

import logging
import threading
from typing import Protocol

log = logging.getLogger(__name__)

# Seconds between two looks: how long a peer that left keeps its place, and how late a heartbeat can be.
PERIOD = 1.0


class Timed(Protocol):
    """What is done each time: `app.hub.upkeep.Upkeep`."""

    def beat(self) -> None: ...
    def age(self) -> None: ...


class Sweep:
    """One daemon thread over `target`. `_lock` guards `_thread`, so that only one is ever started."""

    def __init__(self, target: Timed, period: float = PERIOD) -> None:
        self._target, self._period = target, period
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()

    def ensure(self) -> None:
        """Starts the thread if it doesn't run yet; cheap to call for every stream."""
        if self._thread is not None:
            return
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="hub-sweep", daemon=True)
                thread.start()
                self._thread = thread

    def stop(self) -> None:
        """Ends the thread at its next look."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._period):
            try:
                self._target.beat()
                self._target.age()
            except Exception:  # one bad round must not end heartbeats for all
                log.exception("a sweep failed; the next one follows in %s s", self._period)
