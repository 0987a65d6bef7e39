"""A bounded log of events, read by number: what the broadcast log and each mailbox share.

Pure: no lock, no clock, no thread; whoever calls holds the hub's lock and brings the time. Two floors tell an
honest reader from a lost one: below `floor` something is gone for good (`reset`); between `floor` and
`delta_floor` only deltas are gone, whose text a mailbox still has.
"""

from __future__ import annotations

import math
import sys
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from app.hub.events import Event


@dataclass(frozen=True, slots=True)
class Retention:
    """How much a log keeps: events (a run of deltas counts as one), bytes of frames, seconds."""

    events: int
    bytes: int
    age: float


# Bytes that Python needs around an event's frame.
EVENT_COST = 200
# Of an event: number, kind, generation, frame, at.
FACTS = 5


class Log:
    """Events in the order of their numbers, the oldest leaving first. `newest`: the number of the last, also
    where it is gone.

    They are kept as facts in one row, and made when they are read: each object of its own would be one more
    for the collector of garbage to look at, for each token.
    """

    __slots__ = (
        "_facts",
        "_oldest",
        "_run",
        "_runs",
        "bytes",
        "delta_floor",
        "floor",
        "newest",
        "retention",
    )

    def __init__(self, retention: Retention, floor: int) -> None:
        self.retention = retention
        self.floor = self.delta_floor = self.newest = floor
        self.bytes = 0
        self._runs = 0
        self._run = ""  # whose deltas are at the end
        self._oldest = math.inf  # when the first event came: a look at it would be one at memory long cold
        # An empty deque costs 760 bytes, and most clients wait in silence.
        self._facts: deque[Any] | None = None

    def __len__(self) -> int:
        return len(self._facts) // FACTS if self._facts else 0

    @property
    def last(self) -> int:
        """The number of the newest event; the floor where there is none."""
        return self.newest if self._facts else self.floor

    def add(self, number: int, kind: str, generation: str, frame: bytes, at: float) -> None:
        """One more event, whose number is above all before it. Trimming is a call of its own."""
        if self._facts is None:
            self._facts, self._oldest = deque(), at
        run = generation if kind == "delta" else ""
        if not run or run != self._run:
            self._runs += 1
        self._run, self.newest = run, number
        self._facts.extend((number, kind, generation, frame, at))
        self.bytes += len(frame)

    def append(self, event: Event) -> None:
        """The same for an event that was made."""
        self.add(event.number, event.kind, event.generation, event.frame, event.at)

    def after(self, cursor: int, most: int = sys.maxsize) -> list[Event]:
        """The events above `cursor`, oldest first, `most` of them; the work is in the size of the answer."""
        found: list[Event] = []
        for at, frame, generation, kind, number in _by_event(reversed(self._facts or ())):
            if number <= cursor:
                break
            if len(found) == most:
                return self._first_after(cursor, most)
            found.append(Event(number, kind, generation, frame, at))
        found.reverse()
        return found

    def _first_after(self, cursor: int, most: int) -> list[Event]:
        facts = self._facts or deque()
        start = bisect_right(range(len(self)), cursor, key=lambda place: facts[FACTS * place])
        return [Event(*each) for each in islice(_by_event(facts), start, start + most)]

    def over(self, now: float) -> bool:
        """Whether anything is beyond the retention."""
        keep = self.retention
        return self._runs > keep.events or self.bytes > keep.bytes or now - self._oldest > keep.age

    def trim(self, now: float) -> list[Event]:
        """Lets go of what is beyond the retention and returns it, oldest first."""
        gone: list[Event] = []
        while self._facts and self.over(now):
            gone.append(self._drop(self._facts))
        return gone

    def _drop(self, facts: deque[Any]) -> Event:
        event = Event(*[facts.popleft() for _ in range(FACTS)])
        if event.kind != "delta" or not facts or (facts[1], facts[2]) != (event.kind, event.generation):
            self._runs -= 1
        self.bytes -= len(event.frame)
        self.delta_floor = event.number
        if not self._still_folded(event):
            self.floor = event.number
        if facts:
            self._oldest = facts[FACTS - 1]
        else:
            self._facts, self._run, self._oldest = None, "", math.inf
        return event

    def _still_folded(self, event: Event) -> bool:
        return False


def same_run(one: Event, other: Event) -> bool:
    """Whether two neighbours are deltas of one answer."""
    return one.kind == other.kind == "delta" and one.generation == other.generation


def _by_event(facts: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
    return zip(*[iter(facts)] * FACTS, strict=True)
