"""One client's log, read by many cursors, that folds the deltas it keeps.

Pure: no lock, no clock, no thread; whoever calls holds the hub's lock and brings the time. Of deltas that are
gone from the log the fold still has the text, so that a snapshot makes a reader whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from app.hub.events import ENDS, LITERAL, STARTS, WAITS, Event
from app.hub.log import EVENT_COST, Log, Retention


class Folded(Protocol):
    """A message that deltas are added to. The hub is handed what makes one: it doesn't know the fields."""

    def add(self, delta: dict[str, Any]) -> None: ...
    def compact(self) -> None: ...
    def data(self) -> dict[str, Any]: ...


# Makes of the `data` of adjacent deltas that of one; folding it gives what folding each of them gives.
Merge = Callable[[list[dict[str, Any]]], dict[str, Any]]


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
        return self._facts is not None and self.newest > mark

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

    def add_delta(
        self, number: int, fold: Fold, frame: bytes, at: float, seq: int, data: dict[str, Any]
    ) -> None:
        """The same for a delta of a generation that is known: what is done for each token."""
        self.add(number, "delta", fold.generation, frame, at)
        fold.seq = seq
        fold.last = fold.delta = number
        fold.message.add(data)
        size = len(frame)
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
        while self._facts and self._facts[0] <= mark:
            gone.append(self._drop(self._facts))
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
