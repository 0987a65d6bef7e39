"""What a connection is due: where it starts, replay, opening, reset.

One reading for live and lost alike. Pure; the hub calls it under its lock.
[protocol §2] "Where a connection starts".
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter
from typing import Any, NamedTuple

import orjson

from app.hub.events import LITERAL, Cursor, Event, encode, frame, make_event
from app.hub.log import Log, same_run
from app.hub.mailbox import Fold, Mailbox, Merge

# Bytes of frames read for one write: a reader that is far behind must not cost its whole mailbox over again,
# nor hold the lock while all of it is merged.
AT_ONCE = 64 * 1024
# Events of a log that are looked at for one write: there may be 30,000, and it is done on the event loop.
FEW = 1_000
# A reader with more deltas than this before it lags and gets them merged; anyone else the frames as they are.
LAG = 32
# Bytes of the frames that are merged into one event: a page should not have to wait long for the end of it.
MERGED = 32 * 1024

_by_number = attrgetter("number")


class Position(NamedTuple):
    """What a reader has behind it: own events up to `own`, broadcasts up to `news`; deltas up to `folded`
    are in a snapshot, or of a try that was given up, and don't come one by one."""

    own: int
    news: int
    folded: int = 0


@dataclass(frozen=True, slots=True)
class Start:
    """Where a reader starts. `reset`: why its cursor can't be honoured, "" where it can or there is
    none. `fold`: deltas come as snapshots."""

    position: Position
    fold: bool
    reset: str = ""


class Due(NamedTuple):
    """What to write, and where the reader stands once it is written. `done`: `[DONE]` was among it.

    `numbers` runs beside `frames`: the place a reader has reached that got this frame whole.
    """

    frames: list[bytes]
    numbers: list[int]
    position: Position
    done: bool = False


class Shelf:
    """The two logs one connection reads, at one instant.

    `count` is the number of the newest event of the process; `mark` tells the number up to which the mailbox
    was handed to somebody, and is asked only by who starts afresh; `merge` makes the data of several deltas
    that of one, and is asked only for who lags.
    """

    __slots__ = ("client_id", "count", "epoch", "mailbox", "mark", "merge", "news")

    def __init__(
        self,
        epoch: str,
        client_id: str,
        mailbox: Mailbox,
        news: Log,
        count: int,
        mark: Callable[[], int],
        merge: Merge,
    ) -> None:
        self.epoch, self.client_id, self.mailbox, self.news = epoch, client_id, mailbox, news
        self.count, self.mark, self.merge = count, mark, merge

    def start(self, cursor: str) -> Start:
        """Where a connection starts that brings `cursor` ("": none)."""
        if not cursor:
            return self.afresh()
        parsed = Cursor.parse(cursor)
        if parsed is None:
            return self.afresh("malformed")
        if parsed.epoch != self.epoch:
            return self.afresh("epoch")
        if parsed.client not in ("", self.client_id) or parsed.number > self.count:
            return self.afresh("unknown")
        return self.resume(Position(parsed.number, parsed.number))

    def afresh(self, reset: str = "") -> Start:
        """Without a cursor: at the first event handed to nobody; broadcasts from now on."""
        mark = self.mark()
        own = max(mark, self.mailbox.floor) if self.mailbox.waits(mark) else self.count
        return Start(Position(own, self.count, self.count), fold=True, reset=reset)

    def resume(self, at: Position) -> Start:
        """Right after `at`, if all that followed is still there or was nothing but folded deltas."""
        if at.own < self.mailbox.floor or at.news < self.news.floor:
            return self.afresh("trimmed")
        if at.own < self.mailbox.delta_floor:
            return Start(Position(at.own, at.news, self.count), fold=True)
        return Start(at, fold=False)

    def opening(self, start: Start, suffix: bytes) -> Due:
        """Everything up to and including the last snapshot due; empty where none is.

        Only that snapshot carries an id, so that a cut inside the opening brings it again whole.
        """
        at = start.position
        snapshots = {fold.delta: fold for fold in self._snapshots(at)} if start.fold else {}
        if not snapshots:
            return Due([], [], at)
        place = max(snapshots)
        texts = [(number, self._snapshot(fold)) for number, fold in snapshots.items() if number < place]
        others = [(e.number, e.bare) for e in self._events(at) if e.number < place]
        frames = [body for _, body in sorted(texts + others)]
        end = Position(max(place, at.own), max(place, at.news), at.folded)
        numbers = [at.own] * len(frames) + [end.own]
        frames.append(self._snapshot(snapshots[place], f"{self.epoch}.{end.own}{suffix.decode()}"))
        return Due(frames, numbers, end)

    def following(self, at: Position, suffix: bytes, close_on_done: bool) -> Due:
        """What came after `at`, each event with its id: up to `[DONE]` where that is the end, and no more at
        once than is good for memory. The reader asks again until nothing is left."""
        pending, seen = self._next(at)
        events = portion(pending, len(suffix), close_on_done)
        done = close_on_done and bool(events) and events[-1].kind == LITERAL
        position = Position(self.count, self.count)
        if seen < self.count:
            position = Position(seen, max(seen, at.news), at.folded)
        if done or len(events) < len(pending):
            last = events[-1].number
            position = Position(last, max(last, at.news), at.folded)
        if _lags(pending):
            events = [self._merged(run) for run in _runs(events)]
        frames = [event.for_stream(suffix) for event in events]
        return Due(frames, [event.number for event in events], position, done)

    def reset(self, reason: str, requested: str) -> bytes:
        """The event that says a cursor can't be honoured; `requested` is echoed as far as it is sane."""
        said = requested[:200].encode("utf-8", "replace").decode()
        return frame(encode("reset", self.client_id, {"reason": reason, "requested": said}))

    def finished(self, at: Position) -> bool:
        """Whether a reader that closes on `[DONE]` has nothing to come back for: 204."""
        box = self.mailbox
        return 0 < box.done <= at.own and box.last <= at.own and not box.running

    def _next(self, at: Position) -> tuple[list[Event], int]:
        """The first of what is due one by one after `at`, and up to which number that was looked for."""
        while True:
            own, news = self.mailbox.after(at.own, FEW), self.news.after(at.news, FEW)
            seen = min([self.count, *(log[-1].number for log in (own, news) if len(log) == FEW)])
            events = self._due(own, news, at.folded)
            if seen < self.count:
                events = [event for event in events if event.number <= seen]
            if events or seen == self.count:
                return events, seen
            at = Position(seen, max(seen, at.news), at.folded)

    def _events(self, at: Position) -> list[Event]:
        """All that is due one by one after `at`, of both logs, in order."""
        return self._due(self.mailbox.after(at.own), self.news.after(at.news), at.folded)

    def _due(self, own: list[Event], news: list[Event], folded: int) -> list[Event]:
        both = heapq.merge(own, news, key=_by_number) if own and news else own or news
        start = self.mailbox.start
        return [
            event
            for event in both
            # [protocol §2] a replay leaves out a [DONE] that a later start follows
            if event.number > (folded if event.kind == "delta" else start if event.kind == LITERAL else 0)
        ]

    def _merged(self, run: list[Event]) -> Event:
        """One event that says what a run of deltas says, at the place of the last of them."""
        last = run[-1]
        if len(run) == 1:
            return last
        bodies = _bodies(run)
        # `first`: whoever has read a part of the run elsewhere must be able to tell.
        fields = {**bodies[-1], "first": bodies[0]["seq"], "data": self.merge([b["data"] for b in bodies])}
        body = encode(last.kind, self.client_id, fields)
        return make_event(self.epoch, last.number, last.kind, last.generation, body, last.at)

    def _snapshots(self, at: Position) -> list[Fold]:
        """Whose text is due: has any, and is new to the reader or not yet at its end for it."""
        return [
            fold
            for fold in self.mailbox.folds.values()
            if fold.delta and (fold.last > at.own or not fold.ended)
        ]

    def _snapshot(self, fold: Fold, cursor: str = "") -> bytes:
        return frame(encode("snapshot", self.client_id, fold.snapshot()), cursor)


def named_by(cursor: str) -> str:
    """The client a cursor names, "" for none: how a native EventSource comes back as the same."""
    parsed = Cursor.parse(cursor)
    return parsed.client if parsed else ""


def portion(pending: list[Event], extra: int = 0, close_on_done: bool = False) -> list[Event]:
    """The first of what is pending: AT_ONCE bytes, with `extra` for each frame, or up to `[DONE]`.

    A larger event begins a write: so its frame is everybody's, and no copy for each that stalls in it.
    """
    size = 0
    for position, event in enumerate(pending, 1):
        size += len(event.frame) + extra
        if position > 1 and len(event.frame) > AT_ONCE:
            return pending[: position - 1]
        if size > AT_ONCE or (close_on_done and event.kind == LITERAL):
            return pending[:position]
    return pending


def _lags(pending: list[Event]) -> bool:
    if len(pending) <= LAG:
        return False
    return any(islice((event for event in pending if event.kind == "delta"), LAG, None))


def _runs(events: list[Event]) -> Iterator[list[Event]]:
    """Adjacent deltas of one answer together, as far as MERGED allows; everything else by itself."""
    run: list[Event] = []
    size = 0
    for event in events:
        size += len(event.frame)
        if run and not (same_run(run[-1], event) and size <= MERGED):
            yield run
            run, size = [], len(event.frame)
        run.append(event)
    if run:
        yield run


def _bodies(run: list[Event]) -> list[dict[str, Any]]:
    """The JSON of a run, read back from its frames in one go: only who lags pays for it."""
    texts = [event.frame.split(b"data: ", 1)[1] for event in run]
    bodies: list[dict[str, Any]] = orjson.loads(b"[%b]" % b",".join(texts))
    return bodies
