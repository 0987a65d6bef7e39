"""Who is known, and the one numbering of all that is said: clients, their mailboxes, the broadcast log.

No lock, no clock, no thread: the hub holds its lock and brings the time.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from app.errors import NotFound, Overloaded
from app.hub.admission import Admission
from app.hub.client import Client, Entry, Sent, Text, Told
from app.hub.connection import Connection
from app.hub.events import STARTS, Event, make_event
from app.hub.keys import Keys
from app.hub.limits import Limits
from app.hub.log import EVENT_COST, Log
from app.hub.losses import Losses
from app.hub.mailbox import Folded, Mailbox, Merge
from app.hub.memory import Memory
from app.hub.reading import FEW, Shelf, portion

# An idempotency key lives as long as its event, and at least this many seconds.
KEY_AGE = 300.0
# Clients that are looked at for one that can make room: with 50,000 a call would hold up every token.
SEARCH = 500
# Bytes of a frame that may be pushed: a larger one is read from the log by whoever has room for it.
SHORT = 2_048


# A delta: its number, its frame, the streams that are pushed it and those that are woken for it.
Said = tuple[int, bytes, list[Connection], list[Connection]]


class Registry:
    """All clients of a process. `epoch` and `count` are the two halves of every cursor."""

    def __init__(
        self, limits: Limits, new_message: Callable[[], Folded], merge: Merge, mourned: Callable[[], bool]
    ) -> None:
        self.limits = limits
        self.epoch = secrets.token_hex(4)
        self._id = b"id: %b." % self.epoch.encode()
        self.count = 0
        self.losses = Losses(mourned)
        self.clients: dict[str, Client] = {}
        self._absent: dict[str, Client] = {}  # those without a stream, the longest idle first
        self.admission = Admission(limits)
        self.crowd = self.admission.streams
        self.memory = Memory(limits.memory)
        self.news = Log(limits.news, 0)
        self.sent: Keys[Sent] = Keys(limits.keys, max(KEY_AGE, limits.mailbox.age))
        self.told: Keys[Told] = Keys(limits.keys, max(KEY_AGE, limits.news.age))
        self._new_message, self._merge = new_message, merge

    def cursor(self, event: Event) -> str:
        return f"{self.epoch}.{event.number}"

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
                self._forget(self._least_missed())
            mailbox = Mailbox(self.limits.mailbox, self.count, self._new_message)
            client = self.clients[client_id] = self._absent[client_id] = Client(client_id, mailbox, now)
        return client

    def check_room(self, client_id: str = "") -> None:
        """Raises Overloaded where the mailboxes weigh too much, or `client_id` is new and could not join."""
        if self.memory.full:
            self.memory.relieve(self._line())
        if self.memory.full:
            raise Overloaded("The mailboxes are full: too much waits to be read", retry_after=30)
        if client_id and client_id not in self.clients and len(self.clients) >= self.limits.clients:
            self._least_missed()

    def end(self, connection: Connection, reason: str) -> bool:
        """Gives a stream its end; False where it has one already."""
        if not connection.end(reason):
            return False
        self.admission.ending.add(connection)
        return True

    def listeners(self) -> tuple[int, int]:
        """How many clients have a stream that is not about to end, and how many such streams there are."""
        ending = self.admission.ending
        without = sum(not self.clients[name].open for name in {c.client_id for c in ending})
        return len(self.clients) - len(self._absent) - without, len(self.crowd) - len(ending)

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

    def delta(self, client_id: str, fields: dict[str, Any], body: bytes, now: float) -> Said | None:
        """One more delta of a generation; None where it may not be said. What `speaker` and `append` do, for
        each token."""
        client = self.clients.get(client_id)
        fold = client.mailbox.folds.get(fields["generationId"]) if client else None
        if client is None or fold is None or fold.ended:
            return None
        box, seq, data = client.mailbox, fields["seq"], fields["data"]
        before, news = box.newest, self.news.newest
        self.count = number = self.count + 1
        frame = b"%b%d\ndata: %b\n\n" % (self._id, number, body)
        box.add_delta(number, fold, frame, now, seq, data)
        size = len(frame)
        self.memory.used += size + size + EVENT_COST  # the frame, and its text in the fold
        pushed, woken = [], []
        for connection in client.connections:
            if connection.place >= 0:
                self.crowd.part(connection)
            if connection.swift and connection.own >= before and connection.news >= news and size <= SHORT:
                connection.push(number, size, now)
                pushed.append(connection)
            elif not connection.ending:
                woken.append(connection)
        if box.over(now):
            self.trim(client, now)
        return number, frame, pushed, woken

    def append(
        self, client: Client, kind: str, body: bytes, now: float, fields: dict[str, Any] | None = None
    ) -> Event:
        """One more event in a client's log; `fields` are those of an event of a generation."""
        event = self._number(kind, fields["generationId"] if fields else "", body, now)
        for connection in client.connections:
            self.crowd.part(connection)  # before a broadcast is written to it that comes after this
        box = client.mailbox
        before = box.bytes + box.texts
        box.append(event, fields)
        self.memory.used += box.bytes + box.texts - before + EVENT_COST
        if box.over(now):
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
        client = self.clients.get(connection.client_id)
        self.admission.check(client, connection.address)
        if client and client.closed and cursor:
            return None
        client = client or self.join(connection.client_id, now)
        entry = self._entry(client, connection, cursor)
        if entry:
            client.connections.append(connection)
            self._absent.pop(client.id, None)
            client.closed = False
            self.admission.enter(connection)
        return entry

    def _entry(self, client: Client, connection: Connection, cursor: str) -> Entry | None:
        box = client.mailbox
        if not cursor and box.newest <= box.handed and not box.folds:  # as nearly always: nothing waits
            connection.own = connection.news = self.count
            box.handed = self.count  # there was nothing for it up to here
            return Entry(False, f"{self.epoch}.{self.count}{connection.suffix.decode()}", [], False)
        shelf = self._shelf(client)
        start = shelf.start(cursor)
        resumed = bool(cursor) and not start.reset
        if resumed and connection.close_on_done and shelf.finished(start.position):
            box.handed = max(box.handed, start.position.own)  # its cursor proves it
            return None
        opening = shelf.opening(start, connection.suffix)
        connection.begin(start.position, opening.position, resumed)
        at = f"{self.epoch}.{start.position.own}{connection.suffix.decode()}"
        frames = [*([shelf.reset(start.reset, cursor)] if start.reset else []), *opening.frames]
        hands = bool(frames) or opening.position.own > max(box.handed, connection.handed)
        return Entry(resumed, "" if frames else at, frames, hands)

    def due(self, connection: Connection) -> list[bytes]:
        """What a stream is written next; empty where it has all there is. It stands apart from then on."""
        self.crowd.part(connection)
        client = self.clients[connection.client_id]
        if client.mailbox.newest <= connection.own and self.news.newest <= connection.news:
            connection.own = connection.news = self.count
            return []
        frames = connection.due(self._shelf(client))
        if connection.ending:
            self.admission.ending.add(connection)
        return frames

    def level(self, connection: Connection) -> None:
        """A stream that is due nothing goes with the crowd, if it can."""
        if connection.owns and not connection.suffix:
            self.crowd.join(connection, self.news.newest, self.count)

    def news_due(self, now: float) -> tuple[bytes, list[Connection]]:
        """What the crowd is written next, as one bytes object, and with whom it had to part: all of them
        where broadcasts that it was not yet given are gone, which is said to each."""
        since, news = self.crowd.mark.number, self.news
        if not self.crowd.members:
            return b"", []
        if since < news.floor:
            return b"", self.crowd.scatter()
        pending = news.after(since, FEW)
        events = portion(pending)
        batch = b"".join([event.frame for event in events])
        if events:
            number = self.count if len(events) == len(pending) < FEW else events[-1].number
            self.crowd.begin(number, len(events), len(batch), now)
        return batch, []

    def answering(self, connection: Connection) -> bool:
        """Whether an answer of its client runs or waits."""
        return bool(self.clients[connection.client_id].mailbox.running)

    def settled(self, connection: Connection) -> bool:
        """Whether a stream has been given all there is, and no answer of its client runs."""
        return connection.own == self.count and not self.answering(connection)

    def detach(self, connection: Connection, handed: int, now: float) -> None:
        client = self.clients[connection.client_id]
        client.connections.remove(connection)
        client.mailbox.handed = max(client.mailbox.handed, handed)
        client.idle_since = now
        if not client.connections:
            self._absent[client.id] = client
        self.admission.leave(connection)

    def trim(self, client: Client, now: float) -> None:
        """Lets go of what is beyond the mailbox's retention; notes what nobody was handed."""
        before = client.mailbox.weight
        gone = client.mailbox.trim(now)
        if gone:
            self.memory.used += client.mailbox.weight - before
            self.losses.note(client, gone)

    def age(self, client_ids: Iterable[str], now: float) -> None:
        """Trims what is too old; forgets clients that have had nothing here for long enough."""
        for client in filter(None, map(self.clients.get, client_ids)):
            if client.mailbox.over(now):
                self.trim(client, now)
            quiet = not client.connections and not len(client.mailbox)
            if quiet and client.idle and now - client.idle_since > self.limits.client_memory:
                self._forget(client)

    def text(self, client_id: str, generation: str) -> Text | None:
        """See `Hub.text`."""
        client = self.clients.get(client_id)
        fold = client.mailbox.folds.get(generation) if client else None
        if fold is None:
            return None
        return Text(fold.message.data(), fold.seq, f"{self.epoch}.{fold.last}", fold.ended)

    def _shelf(self, client: Client) -> Shelf:
        """What a connection of this client reads, as it stands now."""
        return Shelf(
            self.epoch, client.id, client.mailbox, self.news, self.count, lambda: client.mark, self._merge
        )

    def _number(self, kind: str, generation: str, body: bytes, now: float) -> Event:
        self.count += 1
        return make_event(self.epoch, self.count, kind, generation, body, now)

    def _forget(self, client: Client) -> None:
        self.memory.used -= client.mailbox.weight
        del self.clients[client.id], self._absent[client.id]

    def _least_missed(self) -> Client:
        """[protocol §1] the longest idle without connection, answer or unhanded event goes first."""
        for client in self._line():
            if client.idle and not client.mailbox.waits(client.mark):
                return client
        raise Overloaded("Too many clients are known", retry_after=30)

    def _line(self) -> Iterator[Client]:
        """The longest idle first, SEARCH of them at most; those passed over go to the end of the line: the
        next search is among others. Who has a stream stands in no line."""
        for client in list(islice(self._absent.values(), SEARCH)):
            yield client
            self._absent[client.id] = self._absent.pop(client.id)
