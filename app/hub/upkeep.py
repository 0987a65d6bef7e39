"""What time brings to a hub: heartbeats, an end for who left or is stuck, letting go of what is old.

Works on the hub's registry under the hub's lock, in slices: with 50,000 clients one piece would hold up every
token for tens of milliseconds. Called by the sweep, and by the hub where a client has no stream left to open.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from app.hub.connection import Connection, wake
from app.hub.registry import Registry

log = logging.getLogger(__name__)

Item = TypeVar("Item")

# Clients or streams looked at before others get their turn: well below a millisecond.
SLICE = 500


def _give_way() -> None:
    time.sleep(0)


class Upkeep:
    """`lock` is the hub's and guards `registry`; `give_way` lets other threads run, between two slices."""

    def __init__(
        self,
        lock: threading.Lock,
        registry: Registry,
        clock: Callable[[], float],
        give_way: Callable[[], None] = _give_way,
    ) -> None:
        self._lock, self._registry, self._clock, self._give_way = lock, registry, clock, give_way
        self._reported = 0  # of the events nobody was handed, how many the log was told of

    def beat(self) -> None:
        """A heartbeat to each stream that was silent for long enough, an end to who left or takes nothing."""
        with self._lock:
            streams = self._registry.streams()
        silent_since = self._clock() - self._registry.limits.heartbeat
        for some in self._slices(streams):
            self._end_those_gone(some)
            self._end_those_stuck(some)
            with self._lock:
                awake = [c for c in some if c.written_at <= silent_since and not c.ending]
                for connection in awake:
                    connection.beat_due = True
            wake(awake)

    def age(self) -> None:
        """Lets go of what is too old: events, idempotency keys, clients with nothing left."""
        now = self._clock()
        with self._lock:
            self._registry.news.trim(now)
            self._registry.sent.expire(now)
            self._registry.told.expire(now)
            ids = list(self._registry.clients)
        for some in self._slices(ids):
            with self._lock:
                self._registry.age(some, now)
        self._report()

    def make_way(self, client_id: str) -> None:
        """Where a client has all its streams: those that a quick reload left behind end at once."""
        with self._lock:
            client = self._registry.clients.get(client_id)
            crowd = client.open if client and self._registry.crowded(client) else []
        self._end_those_gone(crowd)

    def _end_those_gone(self, connections: Sequence[Connection]) -> None:
        left = [c for c in connections if c.gone()]  # a system call each, so not under the lock
        if left:
            with self._lock:
                awake = [c for c in left if c.end("gone")]
            wake(awake)

    def _end_those_stuck(self, connections: Sequence[Connection]) -> None:
        now, patience = self._clock(), self._registry.limits.slow
        stuck = [c for c in connections if c.stuck(now, patience)]
        if stuck:
            with self._lock:
                ended = [c for c in stuck if c.end("slow")]
            for connection in ended:
                connection.cut()

    def _report(self) -> None:
        with self._lock:
            lost, self._reported = self._registry.lost - self._reported, self._registry.lost
        if lost:
            log.warning("%d events grew too old or too many before anyone was handed them", lost)

    def _slices(self, items: Sequence[Item]) -> Iterator[Sequence[Item]]:
        for start in range(0, len(items), SLICE):
            if start:
                self._give_way()
            yield items[start : start + SLICE]
