"""The hub: a locked dict of clients, each with a mailbox and its connections.

All push goes through here. The verbs are `open`, `publish`, `send`, `broadcast`, `close`, `drain`. The one
lock, `_lock`, guards the registry with all its mailboxes, and the state of every connection. Under it things
are only decided; connections are woken, and bytes joined and written, after it.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from app.errors import Overloaded
from app.hub.client import Sent, Text, Told
from app.hub.connection import Connection, nudge, wake
from app.hub.control import Control
from app.hub.events import DONE, ENDS, LITERAL, encode
from app.hub.limits import Limits
from app.hub.mailbox import Folded, Merge
from app.hub.registry import Registry
from app.hub.signals import Announcer, connected, disconnected, undelivered
from app.hub.upkeep import Upkeep, give_way, slices

log = logging.getLogger(__name__)


class Opened(NamedTuple):
    """A new stream and its first bytes, which leave before anything can block."""

    connection: Connection
    head: bytes


class Hub:
    """Who is connected and what they are sent. It knows no field of an answer: `new_message` makes what a
    generation's deltas fold into, `merge` makes the data of one delta of that of several."""

    def __init__(
        self,
        limits: Limits,
        new_message: Callable[[], Folded],
        merge: Merge,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.limits = limits
        self._lock = threading.Lock()
        self._registry = Registry(limits, new_message, merge, lambda: bool(undelivered.receivers))
        self.crowd = self._registry.crowd
        self._draining = False
        self._patience = 2 * limits.heartbeat
        self._clock, self._control = clock, Control(limits, wall, jitter)
        self._announcer = Announcer(self)
        self.upkeep = Upkeep(self._lock, self._registry, clock, self._announcer)

    def __repr__(self) -> str:
        known, state = self._registry, " draining" if self._draining else ""
        streams = f"{len(known.clients)} clients, {len(known.crowd)} connections"
        return f"<Hub {known.epoch}.{known.count}{state}: {streams}, {known.memory.used >> 10} KiB>"

    # --- streams: open, take until the end, leave

    def open(
        self,
        client_id: str,
        cursor: str = "",
        *,
        close_on_done: bool = True,
        beat_as_event: bool = False,
        named: bool = True,
        address: str = "",
    ) -> Opened | None:
        """A new stream of a client; None where the answer is 204, "don't come back". Raises Overloaded.

        `named`: the asker knows the client's id; else the ids on the stream carry it. `address`: whom the
        stream counts against, "" where addresses are not told apart.
        """
        suffix = b"" if named else b"." + client_id.encode()
        connection = self._connection(client_id, close_on_done, beat_as_event, suffix, address)
        if client_id in self._registry.clients:
            self.upkeep.make_way(client_id)
        with self._lock:
            if self._draining:
                raise Overloaded("The server is about to restart", retry_after=5)
            entry = self._registry.enter(connection, cursor, connection.written_at)
        if entry is None:
            return None
        head = self._control.hello(connection, entry)
        connection.head(len(head), entry.hands)
        self._announcer.say(connected, client_id=client_id, connection_id=connection.id)
        return Opened(connection, head)

    def take(self, connection: Connection) -> bytes:
        """All that a stream is due now, as one bytes object; empty where that is nothing, or its end."""
        now = self._clock()
        with self._lock:
            if connection.over:
                return b""
            frames = self._registry.due(connection)
            if self._draining or connection.ending or connection.beat_due:
                self._say_the_rest(connection, frames)
            elif not frames:
                self._registry.level(connection)
            if frames:
                connection.written_at = now
                connection.unwritten = True
        return frames[0] if len(frames) == 1 else b"".join(frames)

    def take_news(self) -> bytes:
        """What is next for the whole crowd, as one bytes object: its next round begins. Empty where that is
        nothing."""
        now = self._clock()
        with self._lock:
            batch, apart = self._registry.news_due(now)
        nudge(apart)
        return batch

    def leave(self, connection: Connection, acknowledged: int | None) -> None:
        """A stream has ended. `acknowledged`: its bytes that the peer's TCP had confirmed, None: unknown."""
        now = self._clock()
        with self._lock:
            self._registry.crowd.part(connection)
            self._registry.end(connection, "gone")
            handed = connection.settle(acknowledged, now)
            self._registry.detach(connection, handed, now)
        ident, why = connection.id, connection.ending
        self._announcer.say(disconnected, client_id=connection.client_id, connection_id=ident, reason=why)
        # Last, for a log may fail: in a callback of the event loop one that has to wait does.
        if connection.on_end:
            connection.on_end(connection.ending, connection.wired)
        log.debug("stream ended: %r", connection)

    def overloaded(self, client_id: str, retry_after: float) -> bytes:
        """The whole body of a stream there is no room for; seconds."""
        return self._control.overloaded(client_id, retry_after)

    # --- saying: publish, send, broadcast

    def publish(self, client_id: str, kind: str, fields: dict[str, Any]) -> str | None:
        """One event of a generation. Its cursor, or None where nothing more may be said of it.

        The first start makes the client known; the end of its last generation is followed by `[DONE]`.
        """
        body = encode(kind, client_id, fields)
        now = self._clock()
        if kind == "delta":
            return self._publish_delta(client_id, fields, body, now)
        with self._lock:
            client = self._registry.speaker(client_id, kind, fields["generationId"], now)
            if client is None:
                return None
            event = self._registry.append(client, kind, body, now, fields)
            if kind in ENDS and not client.mailbox.running:
                self._registry.append(client, LITERAL, DONE, now)
            awake = client.open
        wake(awake)
        return self._registry.cursor(event)

    def send(self, client_id: str, data: Any, key: str = "") -> Sent:
        """One message to one client; it waits in the mailbox where nobody listens.

        `data`: any JSON. The same `key` again is the same message. Raises NotFound, Overloaded.
        """
        body = encode("message", client_id, {"data": data})
        now = self._clock()
        with self._lock:
            client = self._registry.known(client_id)
            before = self._registry.sent.claim((client_id, key), now) if key else None
            if before:
                return before
            if self._draining and not client.open:  # it would wait in a mailbox that is about to go
                raise Overloaded("The server is about to restart", retry_after=5)
            self._registry.check_room()
            event = self._registry.append(client, "message", body, now)
            client.closed = False
            awake = client.open
            sent = Sent(self._registry.cursor(event), len(awake))
            if key:
                self._registry.sent.put((client_id, key), sent, now)
        wake(awake)
        return sent

    def broadcast(self, data: Any, level: str, key: str = "") -> Told:
        """One message to every open stream, and to each that comes back with a cursor from before it."""
        body = encode("broadcast", None, {"level": level, "data": data})
        now = self._clock()
        with self._lock:
            before = self._registry.told.claim(key, now) if key else None
            if before:
                return before
            event = self._registry.tell(body, now)
            told = Told(self._registry.cursor(event), *self._registry.listeners())
            if key:
                self._registry.told.put(key, told, now)
            apart = list(self.crowd.apart)
        self.crowd.wake()
        self._fan_out(apart)
        return told

    # --- ending: close one, drain all

    def close(self, client_id: str) -> int:
        """Ends all streams of a client for good; its answers go on. Returns how many there were."""
        with self._lock:
            client = self._registry.clients.get(client_id)
            if client is None:
                return 0
            client.closed = True
            ended = [c for c in client.connections if self._registry.end(c, "closed")]
        wake(ended)
        return len(ended)

    def drain(self, return_within: float) -> None:
        """From now on no new streams; each one ends as soon as no answer of its client runs, and is asked
        back at some moment of the next `return_within` seconds: all at once would be a storm."""
        with self._lock:
            self._draining, self._control.return_within = True, return_within
            streams = list(self.crowd)
        self._fan_out(streams)

    def cut(self) -> None:
        """Ends what is left after a drain: streams that hang in a write, and can't be told of their end."""
        with self._lock:
            left = list(self.crowd)
        for connection in left:
            connection.outlet.cut()

    # --- asking

    def client(self, client_id: str) -> dict[str, Any]:
        """`{clientId, connections, waiting, lastEventId, generations}`. Raises NotFound."""
        with self._lock:
            return self._registry.known(client_id).view(self._registry.epoch)

    def text(self, client_id: str, generation: str) -> Text | None:
        """A generation's message so far; None where the mailbox no longer has it."""
        with self._lock:
            return self._registry.text(client_id, generation)

    def check_room(self, client_id: str) -> None:
        """Raises Overloaded where the mailboxes are full, or this client is new and could not join."""
        with self._lock:
            self._registry.check_room(client_id)

    def listening(self, client_id: str) -> bool:
        """Whether a client has an open stream."""
        with self._lock:
            client = self._registry.clients.get(client_id)
            return bool(client and client.open)

    def counts(self) -> dict[str, int]:
        """`{clients, connections, undelivered}`: the last are events that nobody was ever handed."""
        with self._lock:
            known = self._registry
            streams = len(known.crowd)
            return {"clients": len(known.clients), "connections": streams, "undelivered": known.losses.count}

    # --- helpers

    def _publish_delta(self, client_id: str, fields: dict[str, Any], body: bytes, now: float) -> str | None:
        """Streams that are pushed to are those of one event loop, and nothing switches between the lock and
        the push: so frames keep their order."""
        with self._lock:
            said = self._registry.delta(client_id, fields, body, now)
        if said is None:
            return None
        number, frame, pushed, woken = said
        for connection in pushed:
            connection.outlet.push(frame)
        wake(woken)
        return f"{self._registry.epoch}.{number}"

    def _say_the_rest(self, connection: Connection, frames: list[bytes]) -> None:
        """Adds what is no entry of a log: a farewell, or a heartbeat where nothing else is due."""
        if self._draining and self._registry.settled(connection):
            self._registry.end(connection, "shutdown")
        if connection.ending and not connection.more:
            connection.said = True
            frames.append(self._control.farewell(connection))
        elif connection.beat_due and not frames:
            frames.append(self._control.heartbeat(connection))
        connection.beat_due = False

    def _connection(
        self, client_id: str, close_on_done: bool, beat_as_event: bool, suffix: bytes, address: str
    ) -> Connection:
        now, spread = self._clock(), self._control.spread
        return Connection(
            f"{random.getrandbits(64):016x}",  # told, never taken: unique is enough
            client_id,
            close_on_done,
            beat_as_event,
            suffix,
            address,
            beat=spread(self.limits.heartbeat),
            until=now + spread(self.limits.lifetime),
            patience=self._patience,
            written_at=now,
        )

    def _fan_out(self, connections: list[Connection]) -> None:
        """Wakes very many, and lets others have their turn in between."""
        for some in slices(connections, give_way):
            nudge(some)
