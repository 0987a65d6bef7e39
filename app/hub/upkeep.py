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

from app.hub.connection import Connection, nudge, wake
from app.hub.registry import Registry
from app.hub.signals import Announcer, undelivered

log = logging.getLogger(__name__)

Item = TypeVar("Item")

# Clients or streams looked at before others get their turn: well below a millisecond, also where none of them
# is in a cache.
SLICE = 100


def give_way() -> None:
    """Lets others have their turn. A real wait, however short: without one only those would run that are
    ready, not those whose bytes have arrived meanwhile."""
    time.sleep(1e-6)


def slices(items: Sequence[Item], give_way: Callable[[], None]) -> Iterator[Sequence[Item]]:
    """All of `items`, SLICE at a time, with a turn for others in between."""
    for start in range(0, len(items), SLICE):
        if start:
            give_way()
        yield items[start : start + SLICE]


class Upkeep:
    """`lock` is the hub's and guards `registry`; `give_way` lets other threads run, between two slices.

    `elsewhere` may be set: it tells the bytes of texts that others hold, and that count with the mailboxes.
    """

    def __init__(
        self,
        lock: threading.Lock,
        registry: Registry,
        clock: Callable[[], float],
        announcer: Announcer,
        give_way: Callable[[], None] = give_way,
    ) -> None:
        self._lock, self._registry, self._clock = lock, registry, clock
        self._announcer, self._give_way = announcer, give_way
        self._reported = 0  # of the events nobody was handed, how many the log was told of
        self.elsewhere: Callable[[], int] = lambda: 0

    def beat(self) -> None:
        """A heartbeat to each stream that was silent for long enough; an end to who left, who takes nothing
        and who has lived for long enough."""
        with self._lock:
            streams = list(self._registry.crowd)
        for some in slices(streams, self._give_way):
            self._end_those_gone([c for c in some if not c.owns])
            self._cut_those_stuck([c for c in some if c.unwritten])
            now = self._clock()
            with self._lock:
                awake = [c for c in some if self._is_due(c, now)]
            nudge(awake)

    def age(self) -> None:
        """Lets go of what is too old: events, idempotency keys, clients with nothing left."""
        now, elsewhere = self._clock(), self.elsewhere()
        with self._lock:
            self._registry.memory.elsewhere = elsewhere
            self._registry.news.trim(now)
            self._registry.sent.expire(now)
            self._registry.told.expire(now)
            ids = list(self._registry.clients)
        for some in slices(ids, self._give_way):
            with self._lock:
                self._registry.age(some, now)
        self._report()

    def make_way(self, client_id: str) -> None:
        """Where a client has all its streams: those that a quick reload left behind end at once."""
        with self._lock:
            client = self._registry.clients.get(client_id)
            crowd = client.open if client and self._registry.admission.crowded(client) else []
        self._end_those_gone(crowd)

    def _is_due(self, connection: Connection, now: float) -> bool:
        if connection.ending:
            return False
        if now >= connection.until and not self._registry.answering(connection):
            return self._registry.end(connection, "lifetime")
        silent = now - self._registry.crowd.written_at(connection)
        connection.beat_due = connection.beat_due or silent >= connection.beat
        return connection.beat_due

    def _end_those_gone(self, connections: Sequence[Connection]) -> None:
        left = [c for c in connections if c.outlet.gone()]  # a system call each, so not under the lock
        if left:
            with self._lock:
                awake = [c for c in left if self._registry.end(c, "gone")]
            wake(awake)

    def _cut_those_stuck(self, connections: Sequence[Connection]) -> None:
        """Also those that have an end, and can't be told of it."""
        now, patience = self._clock(), self._registry.limits.slow
        stuck = [c for c in connections if c.stuck(now, patience)]
        if stuck:
            with self._lock:
                for connection in stuck:
                    self._registry.end(connection, "slow")
            for connection in stuck:
                connection.outlet.cut()

    def _report(self) -> None:
        with self._lock:
            lost = self._registry.losses.take()
            count, self._reported = self._registry.losses.count - self._reported, self._registry.losses.count
        if count:
            log.warning("%d events grew too old or too many before anyone was handed them", count)
        for each in lost:
            self._announcer.say(undelivered, each.size, client_id=each.client_id, events=each.events)
