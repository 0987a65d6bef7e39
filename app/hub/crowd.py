"""All open streams of a process, and among them the crowd: those that have been given all there is.

A broadcast goes to the whole crowd as the same bytes, and nothing of a stream is touched when it is written
to: where it stands, how much it was sent and when is the crowd's, and becomes its own again when it parts.
Pure; the hub holds its lock. Only streams of one event loop are in a crowd, and app/hub/rounds.py, which
writes to them, moves them from `behind` to `level` in the thread of that loop, where all else here happens.
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
    """`apart`: streams that stand where they say themselves; `level`: those that stand at `mark`, with their
    outlets; `behind`: those that this round has yet to come to. `joined`: it carries more than one event.
    `wake` is set by who writes to the crowd, and called when there is something for it."""

    def __init__(self) -> None:
        self.apart: dict[Connection, None] = {}
        self.level: dict[Connection, Any] = {}
        self.behind: dict[Connection, Any] = {}
        self.mark = self._before = Mark(0, 0, 0.0)
        self.joined = False
        self.wake: Callable[[], None] = _nobody

    def __repr__(self) -> str:
        parts = f"{len(self.level)} level, {len(self.behind)} behind, {len(self.apart)} apart"
        return f"<Crowd at {self.mark.number}: {parts}>"

    def __len__(self) -> int:
        return len(self.apart) + len(self.level) + len(self.behind)

    def __iter__(self) -> Iterator[Connection]:
        return chain(self.apart, self.level, self.behind)

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
        if not (self.level or self.behind):
            self.mark = Mark(count, self.mark.bytes, self.mark.at)
        if news > self.mark.number or connection.level:
            return
        connection.level = True
        connection.wired -= self.mark.bytes
        self.level[connection] = connection.outlet
        del self.apart[connection]

    def part(self, connection: Connection) -> None:
        """Gives a stream its own standing back; one that stands apart keeps it."""
        if not connection.level:
            return
        mark = self.mark
        if connection in self.behind:
            del self.behind[connection]
            mark = self._before
        else:
            del self.level[connection]
        connection.level = False
        connection.own = max(connection.own, mark.number)
        connection.news = max(connection.news, mark.number)
        connection.wired += mark.bytes
        connection.written_at = max(connection.written_at, mark.at)
        self.apart[connection] = None

    def scatter(self) -> list[Connection]:
        """Parts all of them, and returns them."""
        members = [*self.level, *self.behind]
        for connection in members:
            self.part(connection)
        return members

    def begin(self, number: int, events: int, size: int, now: float) -> None:
        """A round begins, of `size` bytes in so many events; after it all stand at `number`."""
        self._before, self.mark = self.mark, Mark(number, self.mark.bytes + size, now)
        self.level, self.behind = self.behind, self.level  # the last round has come to all
        self.joined = events > 1

    def written_at(self, connection: Connection) -> float:
        """When a stream was last written to, or will have been when this round is over."""
        return max(connection.written_at, self.mark.at) if connection.level else connection.written_at
