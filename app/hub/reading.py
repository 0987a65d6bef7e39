"""What a connection is due: where it starts, replay, opening, reset.

One reading for live and lost alike. Pure; the hub calls it under its lock.
[protocol §2] "Where a connection starts".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import merge
from operator import attrgetter

from app.hub.events import LITERAL, Cursor, Event, encode, frame
from app.hub.mailbox import Fold, Log, Mailbox

# Bytes joined for one write: a reader that is far behind must not cost its whole mailbox over again.
AT_ONCE = 256 * 1024

_by_number = attrgetter("number")


@dataclass(frozen=True, slots=True)
class Position:
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


@dataclass(frozen=True, slots=True)
class Due:
    """What to write, and where the reader stands once it is written. `done`: `[DONE]` was among it."""

    frames: list[bytes]
    position: Position
    done: bool = False


class Shelf:
    """The two logs one connection reads, at one instant.

    `count` is the number of the newest event of the process; `mark` tells the number up to which the mailbox
    was handed to somebody, and is asked only by who starts afresh.
    """

    __slots__ = ("client_id", "count", "epoch", "mailbox", "mark", "news")

    def __init__(
        self, epoch: str, client_id: str, mailbox: Mailbox, news: Log, count: int, mark: Callable[[], int]
    ) -> None:
        self.epoch, self.client_id, self.mailbox, self.news = epoch, client_id, mailbox, news
        self.count, self.mark = count, mark

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
            return Due([], at)
        place = max(snapshots)
        texts = [(number, self._snapshot(fold)) for number, fold in snapshots.items() if number < place]
        others = [(e.number, e.bare) for e in self._events(at) if e.number < place and e.kind != "delta"]
        frames = [body for _, body in sorted(texts + others)]
        end = Position(max(place, at.own), max(place, at.news), at.folded)
        frames.append(self._snapshot(snapshots[place], f"{self.epoch}.{end.own}{suffix.decode()}"))
        return Due(frames, end)

    def following(self, at: Position, suffix: bytes, close_on_done: bool) -> Due:
        """What came after `at`, each event with its id: up to `[DONE]` where that is the end, and no more at
        once than is good for memory. The reader asks again until nothing is left."""
        frames: list[bytes] = []
        size = 0
        for event in self._events(at):
            if event.kind == "delta" and event.number <= at.folded:
                continue
            frames.append(event.for_stream(suffix))
            if event.kind == LITERAL and close_on_done:
                return Due(frames, Position(event.number, event.number), done=True)
            size += len(frames[-1])
            if size > AT_ONCE:
                return Due(frames, Position(event.number, event.number, at.folded))
        return Due(frames, Position(self.count, self.count))

    def reset(self, reason: str, requested: str) -> bytes:
        """The event that says a cursor can't be honoured; `requested` is echoed as far as it is sane."""
        said = requested[:200].encode("utf-8", "replace").decode()
        return frame(encode("reset", self.client_id, {"reason": reason, "requested": said}))

    def finished(self, at: Position) -> bool:
        """Whether a reader that closes on `[DONE]` has nothing to come back for: 204."""
        box = self.mailbox
        return 0 < box.done <= at.own and box.last <= at.own and not box.running

    def _events(self, at: Position) -> Iterator[Event]:
        own, news = self.mailbox.after(at.own), self.news.after(at.news)
        for event in merge(own, news, key=_by_number) if news else own:
            # [protocol §2] a replay leaves out a [DONE] that a later start follows
            if event.kind != LITERAL or event.number > self.mailbox.start:
                yield event

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
