"""One log, many cursors: a bounded log of events, read by number, that folds the deltas it keeps.

Pure: no lock, no clock, no thread; whoever calls holds the hub's lock and brings the time. `Log` is what a
broadcast log and a mailbox share. Two floors tell an honest reader from a lost one: below `floor`
something is gone for good (`reset`); between `floor` and `delta_floor` only deltas are gone, whose text
the fold still has, so a snapshot makes the reader whole.
"""

from __future__ import annotations

import math
import sys
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter
from typing import Any, Protocol

from app.hub.events import ENDS, LITERAL, STARTS, WAITS, Event


class Folded(Protocol):
    """A message that deltas are added to. The hub is handed what makes one: it doesn't know the fields."""

    def add(self, delta: dict[str, Any]) -> None: ...
    def compact(self) -> None: ...
    def data(self) -> dict[str, Any]: ...


# Makes of the `data` of adjacent deltas that of one; folding it gives what folding each of them gives.
Merge = Callable[[list[dict[str, Any]]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Retention:
    """How much a log keeps: events (a run of deltas counts as one), bytes of frames, seconds."""

    events: int
    bytes: int
    age: float


_by_number = attrgetter("number")

# Bytes that Python needs around an event's frame.
EVENT_COST = 200


@dataclass(slots=True)
class Fold:
    """The text so far of one generation, kept until its terminal event leaves the log.

    `delta` is the number of the last delta in it (0: none yet), `last` that of its last event of any
    kind, `seq` the deltas' own count, `begun` whether it waits no more, `ended` whether the terminal event is
    in, `size` its bytes at most.
    """

    generation: str
    conversation: str
    message: Folded
    seq: int = 0
    delta: int = 0
    last: int = 0
    begun: bool = False
    ended: bool = False
    size: int = 0

    def snapshot(self) -> dict[str, Any]:
        """The fields of the event `snapshot`."""
        return {
            "generationId": self.generation,
            "conversationId": self.conversation,
            "seq": self.seq,
            "data": self.message.data(),
        }


class Log:
    """Events in the order of their numbers, the oldest leaving first. `newest`: the number of the last, also
    where it is gone."""

    __slots__ = (
        "_events",
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
        self._events: deque[Event] | None = None

    def __len__(self) -> int:
        return len(self._events) if self._events else 0

    @property
    def last(self) -> int:
        """The number of the newest event; the floor where there is none."""
        return self._events[-1].number if self._events else self.floor

    def append(self, event: Event) -> None:
        """Adds `event`, whose number is above all before it. Trimming is a call of its own."""
        if self._events is None:
            self._events, self._oldest = deque(), event.at
        run = event.generation if event.kind == "delta" else ""
        if not run or run != self._run:
            self._runs += 1
        self._run, self.newest = run, event.number
        self._events.append(event)
        self.bytes += len(event.frame)

    def after(self, cursor: int, most: int = sys.maxsize) -> list[Event]:
        """The events above `cursor`, oldest first, `most` of them; the work is in the size of the answer."""
        found: list[Event] = []
        for event in reversed(self._events or ()):
            if event.number <= cursor:
                break
            if len(found) == most:
                return self._first_after(cursor, most)
            found.append(event)
        found.reverse()
        return found

    def _first_after(self, cursor: int, most: int) -> list[Event]:
        events = self._events or deque()
        start = bisect_right(events, cursor, key=_by_number)
        return list(islice(events, start, start + most))

    def over(self, now: float) -> bool:
        """Whether anything is beyond the retention."""
        keep = self.retention
        return self._runs > keep.events or self.bytes > keep.bytes or now - self._oldest > keep.age

    def trim(self, now: float) -> list[Event]:
        """Lets go of what is beyond the retention and returns it, oldest first."""
        gone: list[Event] = []
        while self._events and self.over(now):
            gone.append(self._drop(self._events))
        return gone

    def _drop(self, events: deque[Event]) -> Event:
        event = events.popleft()
        if not (events and same_run(event, events[0])):
            self._runs -= 1
        self.bytes -= len(event.frame)
        self.delta_floor = event.number
        if not self._still_folded(event):
            self.floor = event.number
        if events:
            self._oldest = events[0].at
        else:
            self._events, self._run, self._oldest = None, "", math.inf
        return event

    def _still_folded(self, event: Event) -> bool:
        return False


def same_run(one: Event, other: Event) -> bool:
    """Whether two neighbours are deltas of one answer."""
    return one.kind == other.kind == "delta" and one.generation == other.generation


class Mailbox(Log):
    """One client's log, with the text so far of each of its generations.

    `handed` is the number up to which some connection that has ended had taken the events;
    `done` is the number of the last `[DONE]`, `start` that of the last `started` or `queued`; `texts` are the
    bytes of its generations' texts.
    """

    __slots__ = ("_new_message", "done", "folds", "handed", "start", "texts")

    def __init__(self, retention: Retention, floor: int, new_message: Callable[[], Folded]) -> None:
        super().__init__(retention, floor)
        self.handed = floor
        self.done = self.start = self.texts = 0
        self.folds: dict[str, Fold] = {}
        self._new_message = new_message

    def __repr__(self) -> str:
        kept = f"{len(self)} events, {self.bytes} bytes, {len(self.running)} running"
        return f"<Mailbox {kept}, floor {self.floor}, handed {self.handed}>"

    @property
    def weight(self) -> int:
        """Bytes of memory it takes, more or less."""
        return self.bytes + self.texts + EVENT_COST * len(self)

    @property
    def running(self) -> list[str]:
        """The generations that run or wait."""
        return [fold.generation for fold in self.folds.values() if not fold.ended]

    def waits(self, mark: int) -> bool:
        """Whether there is an event above `mark`."""
        return self._events is not None and self.newest > mark

    def accepts(self, kind: str, generation: str) -> bool:
        """Whether this may be said of a generation: only a start begins it, nothing follows its end, and
        who has begun waits no more."""
        fold = self.folds.get(generation)
        if fold is None:
            return kind in STARTS
        return not fold.ended and not (kind == WAITS and fold.begun)

    def append(self, event: Event, fields: dict[str, Any] | None = None) -> None:
        """Adds `event`; `fields` are those of its body, from which the fold is kept."""
        Log.append(self, event)
        if event.kind == LITERAL:
            self.done = event.number
        elif event.generation:
            self._fold(event, fields or {})

    def add_delta(self, event: Event, fold: Fold, fields: dict[str, Any]) -> None:
        """The same for a delta of a generation that is known: what is done for each token."""
        Log.append(self, event)
        fold.seq = fields["seq"]
        fold.last = fold.delta = event.number
        fold.message.add(fields["data"])
        size = len(event.frame)
        fold.size += size
        self.texts += size

    def _fold(self, event: Event, fields: dict[str, Any]) -> None:
        fold = self.folds.get(event.generation) or self._new_fold(event, fields)
        if event.kind == "delta":
            self._weigh(fold, fold.size + len(event.frame))
            fold.delta = event.number
            fold.message.add(fields["data"])
        fold.last = event.number
        fold.seq = fields.get("seq", fold.seq)
        if event.kind in STARTS:
            self.start = event.number
            fold.begun = event.kind != WAITS
            fold.conversation = fields.get("conversationId", fold.conversation)
            if fields.get("attempt", 1) > 1:  # [protocol §2] the text starts over
                fold.message, fold.delta = self._new_message(), 0
                self._weigh(fold, 0)
        elif event.kind in ENDS:
            fold.ended = True
            fold.message.compact()

    def _new_fold(self, event: Event, fields: dict[str, Any]) -> Fold:
        fold = Fold(event.generation, fields.get("conversationId", ""), self._new_message())
        self.folds[event.generation] = fold
        return fold

    def release(self, mark: int) -> list[Event]:
        """Lets go of the events up to `mark` and returns them, oldest first: memory is short."""
        gone: list[Event] = []
        while self._events and self._events[0].number <= mark:
            gone.append(self._drop(self._events))
        return gone

    def _weigh(self, fold: Fold, size: int) -> None:
        self.texts += size - fold.size
        fold.size = size

    def _still_folded(self, event: Event) -> bool:
        fold = self.folds.get(event.generation)
        if fold and event.kind in ENDS:
            self._weigh(fold, 0)
            del self.folds[event.generation]
        return event.kind == "delta"
