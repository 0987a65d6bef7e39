"""The hub: a locked dict of clients, each with a mailbox and its connections.

All push goes through here. The verbs are `open`, `publish`, `send`, `broadcast`, `close`, `drain`. The one
lock, `_lock`, guards the registry with all its mailboxes, and the state of every connection. Under it things
are only decided; connections are woken, and bytes joined and written, after it.
"""

from __future__ import annotations

import logging
import random
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from app.errors import Overloaded
from app.hub.connection import Connection, wake
from app.hub.events import DONE, ENDS, LITERAL, encode, frame, heartbeat_frame, retry_frame
from app.hub.mailbox import Folded
from app.hub.registry import Entry, Limits, Registry, Sent, Text, Told
from app.hub.upkeep import Upkeep

log = logging.getLogger(__name__)


class Opened(NamedTuple):
    """A new stream and its first bytes, which leave before anything can block."""

    connection: Connection
    head: bytes


class Hub:
    """Who is connected and what they are sent. `new_message` makes what a generation's deltas fold into."""

    def __init__(
        self,
        limits: Limits,
        new_message: Callable[[], Folded],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.limits = limits
        self._lock = threading.Lock()
        self._registry = Registry(limits, new_message)
        self._draining = False
        self._clock, self._wall, self._jitter = clock, wall, jitter
        self.upkeep = Upkeep(self._lock, self._registry, clock)

    def __repr__(self) -> str:
        known = self._registry
        return f"<Hub {known.epoch}.{known.count}: {len(known.clients)} clients, {known.open} connections>"

    # --- streams: open, take until the end, leave

    def open(
        self,
        client_id: str,
        cursor: str = "",
        *,
        close_on_done: bool = True,
        beat_as_event: bool = False,
        named: bool = True,
    ) -> Opened | None:
        """A new stream of a client; None where the answer is 204, "don't come back". Raises Overloaded.

        `named`: the asker knows the client's id; else the ids on the stream carry it.
        """
        suffix = b"" if named else b"." + client_id.encode()
        connection = Connection(secrets.token_hex(8), client_id, close_on_done, beat_as_event, suffix)
        now = connection.written_at = self._clock()
        connection.patience = 2 * self.limits.heartbeat
        self.upkeep.make_way(client_id)
        with self._lock:
            if self._draining:
                raise Overloaded("The server is about to restart", retry_after=5)
            entry = self._registry.enter(connection, cursor, now)
        if entry is None:
            return None
        head = [self._retry(), self._connected(connection, entry), *entry.frames]
        return Opened(connection, b"".join(head))

    def take(self, connection: Connection) -> bytes:
        """All that a stream is due now, as one bytes object; empty where that is nothing, or its end."""
        now = self._clock()
        with self._lock:
            if connection.over:
                return b""
            frames = self._registry.due(connection)
            if self._draining and self._registry.settled(connection):
                connection.end("shutdown")
            if connection.ending:
                frames.append(connection.farewell(self._retry()))
            elif connection.beat_due and not frames:
                frames.append(heartbeat_frame(connection.beat_as_event, self._wall(), self.limits.heartbeat))
            connection.beat_due = False
            if frames:
                connection.written_at = now
                connection.unwritten = True
        return b"".join(frames)

    def leave(self, connection: Connection, acknowledged: int | None) -> None:
        """A stream has ended. `acknowledged`: its bytes that the peer's TCP had confirmed, None: unknown."""
        now = self._clock()
        with self._lock:
            connection.end("gone")
            handed = connection.settle(acknowledged, now)
            self._registry.detach(connection, handed, now)
        log.info("stream ended: %r", connection)

    def overloaded(self, client_id: str, retry_after: float) -> bytes:
        """The whole body of a stream there is no room for. [protocol §2] sent with status 200, since a
        native EventSource never comes back from any other."""
        retry = retry_frame(int(1000 * retry_after * (0.5 + self._jitter())))
        return retry + frame(encode("overloaded", client_id, {"retryAfter": retry_after}))

    # --- saying: publish, send, broadcast

    def publish(self, client_id: str, kind: str, fields: dict[str, Any]) -> str | None:
        """One event of a generation. Its cursor, or None where nothing more may be said of it.

        The first start makes the client known; the end of its last generation is followed by `[DONE]`.
        """
        body = encode(kind, client_id, fields)
        now = self._clock()
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
            awake = self._registry.streams()
            told = Told(self._registry.cursor(event), len({c.client_id for c in awake}), len(awake))
            if key:
                self._registry.told.put(key, told, now)
        wake(awake)
        return told

    # --- ending: close one, drain all

    def close(self, client_id: str) -> int:
        """Ends all streams of a client for good; its answers go on. Returns how many there were."""
        with self._lock:
            client = self._registry.clients.get(client_id)
            if client is None:
                return 0
            client.closed = True
            ended = [c for c in client.connections if c.end("closed")]
        wake(ended)
        return len(ended)

    def drain(self) -> None:
        """From now on no new streams; each one ends as soon as no answer of its client runs."""
        with self._lock:
            self._draining = True
            awake = self._registry.streams()
        wake(awake)

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
        """Raises Overloaded where this client is not known and could not become so."""
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
            return {"clients": len(known.clients), "connections": known.open, "undelivered": known.lost}

    # --- helpers

    def _retry(self) -> bytes:
        """`retry:` ± 50 %: streams that ended together must not come back together."""
        return retry_frame(int(self.limits.retry_ms * (0.5 + self._jitter())))

    def _connected(self, connection: Connection, entry: Entry) -> bytes:
        fields = {
            "connectionId": connection.id,
            "resumed": entry.resumed,
            "heartbeat": self.limits.heartbeat,
        }
        return frame(encode("connected", connection.client_id, fields), entry.at)
