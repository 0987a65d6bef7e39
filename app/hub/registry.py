"""Who is known, and the one numbering of all that is said: clients, their mailboxes, the broadcast log.

No lock, no clock, no thread: the hub holds its lock and brings the time.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from app.errors import NotFound, Overloaded
from app.hub.connection import Connection
from app.hub.events import LITERAL, STARTS, Event, make_event
from app.hub.keys import Keys
from app.hub.mailbox import Folded, Log, Mailbox, Retention
from app.hub.reading import Shelf

# An idempotency key lives as long as its event, and at least this many seconds.
KEY_AGE = 300.0


@dataclass(frozen=True)
class Limits:
    """The numbers the hub lives by; defaults and their reasons are in app/settings.py. Seconds and bytes."""

    mailbox: Retention
    news: Retention
    clients: int = 50_000
    connections: int = 10_000
    connections_client: int = 10
    heartbeat: float = 15.0
    slow: float = 30.0
    retry_ms: int = 2_000
    client_memory: float = 60.0
    keys: int = 100_000


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
    """How a stream begins: whether its cursor was honoured, the cursor where it starts, and what it is sent
    first. The cursor is "" where `reset` or an opening follows: a cut before that must bring it again."""

    resumed: bool
    at: str
    frames: list[bytes]


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


class Registry:
    """All clients of a process. `epoch` and `count` are the two halves of every cursor."""

    def __init__(self, limits: Limits, new_message: Callable[[], Folded]) -> None:
        self.limits = limits
        self.epoch = secrets.token_hex(4)
        self.count = 0
        self.open = 0
        self.lost = 0
        self.clients: dict[str, Client] = {}
        self.news = Log(limits.news, 0)
        self.sent: Keys[Sent] = Keys(limits.keys, max(KEY_AGE, limits.mailbox.age))
        self.told: Keys[Told] = Keys(limits.keys, max(KEY_AGE, limits.news.age))
        self._new_message = new_message

    def cursor(self, event: Event) -> str:
        return f"{self.epoch}.{event.number}"

    def crowded(self, client: Client) -> bool:
        """Whether a client has all the streams it may have; those that end already don't count."""
        return len(client.open) >= self.limits.connections_client

    def known(self, client_id: str) -> Client:
        """The client; raises NotFound."""
        client = self.clients.get(client_id)
        if client is None:
            raise NotFound(f"No client {client_id} is known here", field="clientId")
        return client

    def join(self, client_id: str, now: float) -> Client:
        """The client, made where it is new. Raises Overloaded where nobody can be forgotten for it."""
        client = self.clients.get(client_id)
        if client is None:
            if len(self.clients) >= self.limits.clients:
                del self.clients[self._least_missed()]
            mailbox = Mailbox(self.limits.mailbox, self.count, self._new_message)
            client = self.clients[client_id] = Client(client_id, mailbox, now)
        return client

    def check_room(self, client_id: str) -> None:
        """Raises Overloaded where a new client could not join."""
        if client_id not in self.clients and len(self.clients) >= self.limits.clients:
            self._least_missed()

    def streams(self) -> list[Connection]:
        """All streams that are not about to end."""
        return [connection for client in self.clients.values() for connection in client.open]

    def speaker(self, client_id: str, kind: str, generation: str, now: float) -> Client | None:
        """The client to whom this may be said of a generation; None, and nobody is made, where it may not."""
        client = self.clients.get(client_id)
        if client is None and kind in STARTS:
            client = self.join(client_id, now)
        if client is None or not client.mailbox.accepts(kind, generation):
            return None
        if generation not in client.mailbox.folds:
            client.closed = False  # [protocol §2] who asks is there again
        return client

    def append(
        self, client: Client, kind: str, body: bytes, now: float, fields: dict[str, Any] | None = None
    ) -> Event:
        """One more event in a client's log; `fields` are those of an event of a generation."""
        event = self._number(kind, (fields or {}).get("generationId", ""), body, now)
        client.mailbox.append(event, fields)
        self.trim(client, now)
        return event

    def tell(self, body: bytes, now: float) -> Event:
        """One more event in the broadcast log."""
        event = self._number("broadcast", "", body, now)
        self.news.append(event)
        self.news.trim(now)
        return event

    def enter(self, connection: Connection, cursor: str, now: float) -> Entry | None:
        """Gives a new stream its place; None where there is nothing to come back for. Raises Overloaded."""
        client = self._admit(connection.client_id)
        if client and client.closed and cursor:
            return None
        client = client or self.join(connection.client_id, now)
        shelf = self._shelf(client)
        start = shelf.start(cursor)
        resumed = bool(cursor) and not start.reset
        if resumed and connection.close_on_done and shelf.finished(start.position):
            return None
        opening = shelf.opening(start, connection.suffix)
        connection.begin(start.position, opening.position, resumed)
        client.connections.append(connection)
        client.closed = False
        self.open += 1
        at = f"{self.epoch}.{start.position.own}{connection.suffix.decode()}"
        frames = [*([shelf.reset(start.reset, cursor)] if start.reset else []), *opening.frames]
        return Entry(resumed, "" if frames else at, frames)

    def due(self, connection: Connection) -> list[bytes]:
        """What a stream is written next."""
        return connection.due(self._shelf(self.clients[connection.client_id]))

    def settled(self, connection: Connection) -> bool:
        """Whether a stream has been given all there is, and no answer of its client runs."""
        running = self.clients[connection.client_id].mailbox.running
        return not running and connection.position.own == self.count

    def detach(self, connection: Connection, handed: int, now: float) -> None:
        client = self.clients[connection.client_id]
        client.connections.remove(connection)
        client.mailbox.handed = max(client.mailbox.handed, handed)
        client.idle_since = now
        self.clients[client.id] = self.clients.pop(client.id)  # so the longest idle stand first
        self.open -= 1

    def trim(self, client: Client, now: float) -> None:
        """Lets go of what is beyond the mailbox's retention; counts what nobody was handed."""
        gone = client.mailbox.trim(now)
        if gone:
            mark = client.mark
            self.lost += sum(e.number > mark and e.kind != LITERAL for e in gone)

    def age(self, client_ids: Iterable[str], now: float) -> None:
        """Trims what is too old; forgets clients that have had nothing here for long enough."""
        for client in filter(None, map(self.clients.get, client_ids)):
            self.trim(client, now)
            empty = client.idle and not len(client.mailbox)
            if empty and now - client.idle_since > self.limits.client_memory:
                del self.clients[client.id]

    def text(self, client_id: str, generation: str) -> Text | None:
        """See `Hub.text`."""
        client = self.clients.get(client_id)
        fold = client.mailbox.folds.get(generation) if client else None
        if fold is None:
            return None
        return Text(fold.message.data(), fold.seq, f"{self.epoch}.{fold.last}", fold.ended)

    def _admit(self, client_id: str) -> Client | None:
        """The client, if it is known, where there is room for one more stream. Raises Overloaded."""
        client = self.clients.get(client_id)
        if self.open >= self.limits.connections:
            raise Overloaded("Too many streams are open", retry_after=10)
        if client and self.crowded(client):
            raise Overloaded("Too many streams of this client are open", retry_after=10)
        return client

    def _shelf(self, client: Client) -> Shelf:
        """What a connection of this client reads, as it stands now."""
        return Shelf(self.epoch, client.id, client.mailbox, self.news, self.count, lambda: client.mark)

    def _number(self, kind: str, generation: str, body: bytes, now: float) -> Event:
        self.count += 1
        return make_event(self.epoch, self.count, kind, generation, body, now)

    def _least_missed(self) -> str:
        """[protocol §1] the longest idle without connection, answer or unhanded event goes first."""
        for client in self.clients.values():
            if client.idle and not client.mailbox.waits(client.mark):
                return client.id
        raise Overloaded("Too many clients are known", retry_after=30)
