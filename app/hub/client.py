"""One client: its log, its open streams, and what a caller is told of them.

Pure; the hub holds its lock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from app.hub.connection import Connection
from app.hub.events import LITERAL
from app.hub.mailbox import Mailbox


class Sent(NamedTuple):
    """What `send` answers: the event's cursor, and how many open connections it goes to."""

    id: str
    connections: int


class Told(NamedTuple):
    """What `broadcast` answers: the event's cursor, and the clients and connections it goes to."""

    id: str
    clients: int
    connections: int


class Text(NamedTuple):
    """A generation's message, its `seq`, the cursor right after it and whether it has ended: one instant."""

    data: dict[str, Any]
    seq: int
    cursor: str
    ended: bool


class Entry(NamedTuple):
    """How a stream begins: whether its cursor was honoured, where it starts, what it is sent first,
    and whether who gets that has been handed more than anyone before. `at` is "" where `reset` or an
    opening follows: a cut before that must bring it again."""

    resumed: bool
    at: str
    frames: list[bytes]
    hands: bool


@dataclass(slots=True, eq=False)
class Client:
    """One client: its log and its open streams. `closed`: by `close`, until it is wanted again."""

    id: str
    mailbox: Mailbox
    idle_since: float
    connections: list[Connection] = field(default_factory=list)
    closed: bool = False

    @property
    def mark(self) -> int:
        """The number up to which some connection was handed the events, or is just being."""
        return max([self.mailbox.handed, *(c.written for c in self.connections)])

    @property
    def open(self) -> list[Connection]:
        """The streams that are not about to end: an outlet may hang in a write for minutes after."""
        return [c for c in self.connections if not c.ending]

    @property
    def idle(self) -> bool:
        return not self.connections and not self.mailbox.running

    def view(self, epoch: str) -> dict[str, Any]:
        """`{clientId, connections, waiting, lastEventId, generations}`."""
        return {
            "clientId": self.id,
            "connections": len(self.open),
            "waiting": sum(event.kind != LITERAL for event in self.mailbox.after(self.mark)),
            "lastEventId": f"{epoch}.{self.mailbox.last}",
            "generations": self.mailbox.running,
        }
