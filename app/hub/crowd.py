"""All open streams of a process, and among them the crowd: those that have been given all there is.

A broadcast goes to the whole crowd as the same bytes, and nothing of a stream is touched when it is written
to: where it stands, how much it was sent and when is the crowd's, and becomes its own again when it parts.
Pure; the hub holds its lock. Only streams of one event loop are in a crowd, and app/hub/rounds.py, which
writes to them, goes through the rows in the thread of that loop, where all else here happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, NamedTuple

from app.hub.connection import Connection


class Mark(NamedTuple):
    """Where a crowd stands: both logs read up to `number`, `bytes` written to each since the crowd began, the
    last of them at `at` (monotonic seconds)."""

    number: int
    bytes: int
    at: float


def _nobody() -> None:
    """Where nobody writes to a crowd there is none."""


class Crowd:
    """`apart`: streams that stand where they say themselves. All others are `members`, in a row; beside it
    their sockets in another: to write to them touches nothing of a stream but that. A round goes from one end
    of the row to the other and the next one back: whoever was written to last, whom the caches still know,
    comes first. `joined`: it carries more than one event. `wake` is set by who writes to the crowd, and
    called when there is something for it."""

    def __init__(self) -> None:
        self.apart: dict[Connection, None] = {}
        self.members: list[Connection] = []
        self._sockets: list[Any] = []
        self._at = 0  # where in the rows the round has come to
        self._onward = True  # it goes from the first to the last; else back
        self.mark = self._before = Mark(0, 0, 0.0)
        self.joined = False
        self.wake: Callable[[], None] = _nobody

    def __repr__(self) -> str:
        parts = f"{len(self.members)} together, {self.left} of them left, {len(self.apart)} apart"
        return f"<Crowd at {self.mark.number}: {parts}>"

    def __len__(self) -> int:
        return len(self.apart) + len(self.members)

    def __iter__(self) -> Iterator[Connection]:
        return chain(self.apart, self.members)

    @property
    def left(self) -> int:
        """How many members this round has yet to come to."""
        return len(self.members) - self._at if self._onward else self._at

    def enter(self, connection: Connection) -> None:
        """A new stream, apart at first."""
        self.apart[connection] = None

    def leave(self, connection: Connection) -> None:
        """A stream has ended."""
        self.part(connection)
        del self.apart[connection]

    def join(self, connection: Connection, news: int, count: int) -> None:
        """`connection` has all there is, and goes with the crowd, unless that has yet to be given the last
        broadcast, `news`. `count`: the number of the last event."""
        if not self.members:
            self.mark = Mark(count, self.mark.bytes, self.mark.at)
        if news > self.mark.number or connection.place >= 0:
            return
        connection.wired -= self.mark.bytes
        del self.apart[connection]
        connection.place = len(self.members)
        self.members.append(connection)
        self._sockets.append(connection.outlet.sock)
        if self._onward:  # this round has nothing for it: it goes with those who had theirs
            self._swap(connection.place, self._at)
            self._at += 1

    def part(self, connection: Connection) -> None:
        """Gives a stream its own standing back; one that stands apart keeps it."""
        place = connection.place
        if place < 0:
            return
        mark = self._before if (place >= self._at) == self._onward else self.mark
        self._take_out(connection)
        connection.own = max(connection.own, mark.number)
        connection.news = max(connection.news, mark.number)
        connection.wired += mark.bytes
        connection.written_at = max(connection.written_at, mark.at)
        self.apart[connection] = None

    def scatter(self) -> list[Connection]:
        """Parts all of them, and returns them."""
        members = list(self.members)
        for connection in reversed(members):
            self.part(connection)
        return members

    def begin(self, number: int, events: int, size: int, now: float) -> None:
        """A round begins, of `size` bytes in so many events, once the last one has come to all; after it all
        stand at `number`."""
        self._before, self.mark = self.mark, Mark(number, self.mark.bytes + size, now)
        self._onward = not self._onward
        self.joined = events > 1

    def next(self, count: int) -> list[Any]:
        """The sockets of so many to whom this round comes next; from now on they count as written to."""
        if self._onward:
            first, self._at = self._at, min(self._at + count, len(self.members))
            return self._sockets[first : self._at]
        last, self._at = self._at, max(self._at - count, 0)
        return self._sockets[self._at : last][::-1]

    def whose(self, position: int, count: int) -> Connection:
        """The member at this position of the `next`, which were so many. Before anybody parts."""
        place = self._at - count + position if self._onward else self._at + count - 1 - position
        return self.members[place]

    def written_at(self, connection: Connection) -> float:
        """When a stream was last written to, or will have been when this round is over."""
        return max(connection.written_at, self.mark.at) if connection.place >= 0 else connection.written_at

    def _take_out(self, connection: Connection) -> None:
        """Whoever fills its place stays on its side of where the round is."""
        place = connection.place
        if place < self._at:
            self._at -= 1
            self._swap(place, self._at)
            place = self._at
        self._swap(place, len(self.members) - 1)
        self.members.pop()
        self._sockets.pop()
        connection.place = -1

    def _swap(self, one: int, other: int) -> None:
        members, sockets = self.members, self._sockets
        members[one], members[other] = members[other], members[one]
        sockets[one], sockets[other] = sockets[other], sockets[one]
        members[one].place, members[other].place = one, other
