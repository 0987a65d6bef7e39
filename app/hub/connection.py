"""One open event stream: where its reader stands, how it ends, and what of it was handed over.

Made by the hub, drained by an outlet, which decides nothing: it asks for bytes and writes them. The hub's
lock guards every field but those that `wrote`, `confirm` and `expire` set, and `swift`, which are its
outlet's alone. Nothing here is touched for a stream that is silent.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

from app.hub.reading import Due, Position, Shelf

# Acknowledgements are asked for only when this many events are unconfirmed: one system call for 128 events.
UNCONFIRMED = 128


# Of an event that was written, see Connection.writes.
FACTS = 3


class Outlet(Protocol):
    """Who writes a stream. `sock`: by which the crowd is written to; None where the stream is none of it."""

    sock: Any

    def push(self, frame: bytes) -> None:
        """Here is what comes next. Only where the connection is `swift`."""

    def wake(self) -> None:
        """There is something to take. Never called under the hub's lock."""

    def nudge(self) -> None:
        """The same, after those that were woken."""

    def gone(self) -> bool:
        """Whether the peer left."""

    def progress(self) -> int:
        """Changes when the peer takes something."""

    def cut(self) -> None:
        """Ends a write that hangs."""


class Unplugged:
    """Where no outlet is: nobody to wake, and a peer of whom nothing is known."""

    sock = None

    def push(self, frame: bytes) -> None:
        """Nobody listens."""

    def wake(self) -> None:
        """Nobody listens."""

    nudge = cut = wake

    def gone(self) -> bool:
        return False

    def progress(self) -> int:
        return 0


UNPLUGGED = Unplugged()


@dataclass(slots=True, eq=False)
class Connection:
    """The state of one stream.

    `owns`: its outlet has the socket to itself: it hears at once of a peer that left, and closes
    only when what was said has arrived. `address`: whom it counts against, "" for nobody; `beat`: seconds of
    silence until a heartbeat; `until`: when it has lived for long enough; `patience`: seconds after which
    what was written counts as handed where nobody confirms; `on_end` is told its ending and its bytes.
    `place`: in the crowd (app/hub/crowd.py), which then knows where it stands; -1: apart. `swift`: its outlet
    writes at the end of this turn what it is pushed, so that a delta needs no second look at the log.
    """

    id: str
    client_id: str
    close_on_done: bool = True
    beat_as_event: bool = False
    suffix: bytes = b""
    address: str = ""
    beat: float = 15.0
    until: float = float("inf")
    patience: float = 30.0
    owns: bool = False
    place: int = -1
    swift: bool = False
    own: int = 0
    news: int = 0
    folded: int = 0
    written_at: float = 0.0
    ending: str = ""
    said: bool = False
    beat_due: bool = False
    more: bool = False  # the last take was a portion
    unwritten: bool = True
    handed: int = 0
    written: int = 0
    wired: int = 0
    outlet: Outlet = UNPLUGGED
    on_end: Callable[[str, int], None] | None = None
    progressed: int = 0
    progressed_at: float = 0.0
    # Tuples where there is nothing: most streams are silent, and an empty list takes 56 bytes.
    taken: Sequence[tuple[int, int]] = ()  # of the last take: bytes up to a number
    # Of each event that was written: where it ended on the wire, its number, when. In one row, for the same
    # reason as in a log: what is made for each token and stays must be nothing the collector looks at.
    writes: list[Any] | tuple[()] = ()

    def __repr__(self) -> str:
        state = self.ending or ("open" if not self.unwritten else "writing")
        own = f"at {self.own}, handed {self.handed}, {self.wired} bytes"
        where = own if self.place < 0 else "with the crowd"
        return f"<Connection {self.id} of {self.client_id}: {state}, {where}>"

    def begin(self, start: Position, opened: Position, resumed: bool) -> None:
        """Takes its place: at `opened`, once its first bytes are written. Who brings a cursor that is
        honoured has been handed all before it."""
        self.position = opened
        if resumed:
            self.handed = self.written = start.own

    def head(self, size: int, hands: bool) -> None:
        """The first bytes, an opening among them, count as one: cut in there, they come again whole. `hands`:
        who got them was handed something by it."""
        self.taken = ((size, self.own),) if hands else ()

    def end(self, reason: str) -> bool:
        """Gives the stream its end; False where it has one already. The outlet finds it at its next turn."""
        if self.ending:
            return False
        self.ending = reason
        self.swift = False
        return True

    @property
    def position(self) -> Position:
        """Where its reader stands, once what was taken is written."""
        return Position(self.own, self.news, self.folded)

    @position.setter
    def position(self, position: Position) -> None:
        self.own, self.news, self.folded = position

    def push(self, number: int, size: int, now: float) -> None:
        """Notes that its outlet gets the last event of the process, its next, at once: it counts as written,
        though the kernel has yet to take it."""
        self.own = self.news = self.written = number
        self.written_at = now
        self.wired += size
        if self.writes:
            self.writes.extend((self.wired, number, now))
        else:
            self.writes = [self.wired, number, now]

    def due(self, shelf: Shelf) -> list[bytes]:
        """The frames to write next, after which the reader stands at `position`.

        A reader that fell so far behind that events it never had are gone is told so, and goes on as
        one that connects anew.
        """
        frames: list[bytes] = []
        self.taken = ()
        before = self.own
        start = shelf.resume(self.position)
        if start.reset:
            frames.append(shelf.reset(start.reset, f"{shelf.epoch}.{before}"))
        if start.fold:
            self._take(shelf.opening(start, self.suffix), frames)
        rest = shelf.following(self.position, self.suffix, self.close_on_done)
        self._take(rest, frames)
        self.more = not rest.done and rest.position.own < shelf.count
        if rest.done:
            self.end("done")
        return frames

    def _take(self, due: Due, frames: list[bytes]) -> None:
        """Adds what is due to `frames`, and notes where each event ends."""
        size = sum(map(len, frames))
        ends = list(accumulate(map(len, due.frames), initial=size))[1:]
        self.taken = [*self.taken, *zip(ends, due.numbers, strict=True)]
        frames += due.frames
        self.position = due.position

    @property
    def unconfirmed(self) -> int:
        """How many events were written of which it is not known that they arrived."""
        return len(self.writes) // FACTS

    @property
    def over(self) -> bool:
        """Whether nothing more is to be written."""
        return self.said or self.ending == "gone"

    def unplug(self) -> None:
        """Forgets its outlet, which is through with it: each knows the other, and so neither would go."""
        self.outlet = UNPLUGGED
        self.swift = False

    def wrote(self, size: int, now: float, before: int = 0) -> None:
        """Notes that the bytes last taken were given to the kernel: `size` on the wire, `before` of them
        before the first byte of what was taken."""
        start = self.wired + before
        if self.taken:
            self.writes = list(self.writes)
            for end, number in self.taken:
                self.writes += (start + end, number, now)
        self.taken = ()
        self.wired += size
        self.written = self.own
        self.unwritten = False

    def stuck(self, now: float, patience: float) -> bool:
        """Whether what was last taken has not got out, and nothing of it was acknowledged for `patience`."""
        if not self.unwritten:
            return False
        progress = self.outlet.progress()
        if progress != self.progressed:
            self.progressed, self.progressed_at = progress, now
        return now - max(self.written_at, self.progressed_at) > patience

    def confirm(self, acknowledged: int) -> None:
        """Forgets the events that the peer's TCP has acknowledged, up to `acknowledged` bytes."""
        places = range(0, len(self.writes), FACTS)
        self._forget(bisect_right(places, acknowledged, key=lambda place: self.writes[place]))

    def expire(self, now: float) -> None:
        """Forgets the events written longer ago than the patience, where nobody ever confirms any."""
        places = range(2, len(self.writes), FACTS)
        self._forget(bisect_left(places, now - self.patience, key=lambda place: self.writes[place]))

    def _forget(self, count: int) -> None:
        if count:
            self.handed = self.writes[FACTS * count - 2]
            self.writes = list(self.writes[FACTS * count :]) or ()

    def settle(self, acknowledged: int | None, now: float) -> int:
        """The number up to which this connection was handed its events, once it has ended.

        [protocol §1] by what TCP acknowledged; without a socket at hand all but what was written in the
        last `patience` seconds; and all of it where the end was said and got out, unless the outlet stayed to
        see what arrived.
        """
        if self.said and not self.unwritten and not (self.owns and acknowledged is not None):
            self.handed = max(self.handed, self.written)
        elif acknowledged is not None:
            if self.owns:  # of a write that was cut some events may have got through
                self.wrote(0, now)
            self.confirm(acknowledged)
        else:
            self.expire(now)
        return self.handed


def wake(connections: Iterable[Connection]) -> None:
    """Tells outlets that there is something to take; never under the hub's lock."""
    for connection in connections:
        connection.outlet.wake()


def nudge(connections: Iterable[Connection]) -> None:
    """Tells outlets that there is something for very many, and that tokens go before it."""
    for connection in connections:
        connection.outlet.nudge()
