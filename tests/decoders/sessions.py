"""Batches as a stream of a real hub makes them: openings, replays, ids with the client, resets, endings.

On a manual clock, so nothing waits. `Session` is told what the hub is told, in the same breath, and works out
from the wire contract what the page must read; of the bytes it knows nothing. All is drawn from the seed but
the epoch and the connection's id: those the hub draws itself, always as long.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from tests.decoders.drawing import dumps, text, value
from tests.decoders.frames import Batch, Put
from tests.hub.kit import HEARTBEAT, Desk

CLIENTS = ["c", "0", "phone-1.a_b~c", "x" * 128]
G = {"generationId": "g"}


class Said(NamedTuple):
    """One entry of the logs the client reads. `text` is a delta's."""

    number: int
    kind: str
    data: str
    text: str = ""


def session(rng: random.Random) -> Batch:
    """One stream of a client, from its opening to its end or to some point before."""
    one = Session(rng)
    if rng.random() < 0.02:
        return one.refused()
    one.others()
    if rng.random() < 0.6:
        one.before()
    one.open()
    for _ in range(rng.randrange(6)):
        one.go_on()
    one.finish()
    return Batch(b"".join(one.writes), one.puts)


class Session:
    """`writes` is what the hub wrote on the stream, `puts` what the page must read of it."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.desk = rng, Desk()
        self.client = rng.choice(CLIENTS)
        self.named, self.as_event, self.close_on_done = (rng.random() < 0.5 for _ in range(3))
        self.suffix = "" if self.named else f".{self.client}"
        self.log: list[Said] = []
        self.count = self.read = self.seq = 0
        self.state = "silent"  # of its one answer, which then is "running", and "done"
        self.over = False
        self.writes: list[bytes] = []
        self.puts: list[Put] = []

    # --- before the stream opens ---

    def refused(self) -> Batch:
        """There is no room: the whole body of such a stream."""
        data = self._body("overloaded", {"retryAfter": 10.0})
        return Batch(self.desk.hub.overloaded(self.client, 10.0), [Put(data, None)])

    def others(self) -> None:
        """What is said to others takes numbers, and is not read."""
        self.desk.meet("another")
        for _ in range(self.rng.randrange(3)):
            self.count = self.desk.send(text(self.rng), client="another")

    def before(self) -> None:
        """What waits for the client: by its first words it becomes known."""
        self._start()
        for _ in range(self.rng.randrange(6)):
            self._say()

    def open(self) -> None:
        """As a new page, as one that comes back with a cursor, or with one that can't be honoured."""
        own = [said.number for said in self.log if said.kind != "broadcast"]
        if own and self.rng.random() < 0.4:
            self._resume(self.rng.randrange(own[0] - 1, self.count + 1))
        else:
            self._afresh(own)

    def _resume(self, number: int) -> None:
        self.close_on_done = False  # where nothing is left to read, the answer is 204 and no stream
        at = f"{self.desk.epoch}.{number}"
        self._open(at + self.rng.choice(["", self.suffix]))
        self._connected(f"{at}{self.suffix}", resumed=True)
        self.read = number

    def _afresh(self, own: list[int]) -> None:
        bogus = self.rng.choice(["", "", text(self.rng), f"{'0' * 8}.1", self.desk.cursor(self.count + 9)])
        self._open(bogus)
        opening = self._opening()
        start = own[0] - 1 if own else self.count
        self._connected(None if bogus or opening else f"{self.desk.epoch}.{start}{self.suffix}")
        if bogus:
            reason = self._reason(bogus)
            self._put(self._body("reset", {"reason": reason, "requested": bogus[:200]}), None)
        self.puts += opening
        self.log = [said for said in self.log if said.kind != "broadcast"]  # those from now on
        self.read = max([start, *(said.number for said in self.log if opening and said.kind == "delta")])

    def _reason(self, cursor: str) -> str:
        if cursor == f"{'0' * 8}.1":
            return "epoch"
        return "unknown" if cursor.startswith(f"{self.desk.epoch}.") else "malformed"

    def _opening(self) -> list[Put]:
        """All up to the last delta, whose place and id the snapshot has; nothing before it has an id."""
        deltas = [said for said in self.log if said.kind == "delta"]
        if not deltas:
            return []
        place = deltas[-1].number
        others = [s for s in self.log if s.number < place and s.kind not in ("delta", "broadcast")]
        fields = {**G, "conversationId": "of-g", "seq": self.seq}
        content = {"content": "".join(said.text for said in deltas)}
        snapshot = self._body("snapshot", {**fields, "data": content})
        return [*(Put(said.data, None) for said in others), Put(snapshot, self._id(place))]

    def _open(self, cursor: str) -> None:
        opened = self.desk.hub.open(
            self.client,
            cursor,
            close_on_done=self.close_on_done,
            beat_as_event=self.as_event,
            named=self.named,
        )
        assert opened, f"no stream for {cursor!r}"
        self.connection = opened.connection
        self.writes.append(opened.head)

    def _connected(self, cursor: str | None, resumed: bool = False) -> None:
        fields = {"connectionId": self.connection.id, "resumed": resumed, "heartbeat": HEARTBEAT}
        self._put(self._body("connected", fields), cursor)

    # --- while it is open ---

    def go_on(self) -> None:
        """Something is said, or nothing for a while; the page reads now and then, so that writes join."""
        if self.over:
            return
        if self.rng.random() < 0.2:
            self.take()
            self._beat()
        elif self.state == "silent":
            self._start()
        else:
            self._say()
        if self.rng.random() < 0.4:
            self.take()

    def take(self) -> None:
        """All that is due, in one write."""
        self.writes.append(self.desk.hub.take(self.connection))
        for said in self.log:
            if said.number > self.read and not self.over:
                self._put(said.data, self._id(said.number))
                self.over = said.kind == "[DONE]" and self.close_on_done
        self.read = self.count

    def finish(self) -> None:
        """`[DONE]` as the last word, somebody closes the stream, the server goes, or it just stays open."""
        self.take()
        end = self.rng.choice(["close", "drain", "stay"])
        if self.over or end == "stay" or (end == "drain" and self.state == "running"):
            return
        if end == "close":
            self.desk.hub.close(self.client)
        else:
            self.desk.hub.drain(return_within=10.0)
        reason = {"close": "closed", "drain": "shutdown"}[end]
        self._put(self._body("closing", {"reason": reason, "reconnect": end == "drain"}), None)
        self.writes.append(self.desk.hub.take(self.connection))

    def _beat(self) -> None:
        if self.over:
            return
        self.desk.clock.advance(HEARTBEAT)
        self.desk.hub.upkeep.beat()
        self.writes.append(self.desk.hub.take(self.connection))
        if self.as_event:
            self._put(dumps({"now": 1_700_000_000.124, "next": HEARTBEAT}), None, "heartbeat")

    # --- saying ---

    def _start(self) -> None:
        self.state = "running"
        fields = {"conversationId": "of-g", "model": "m", "attempt": 1, "data": value(self.rng)}
        self._publish("started", fields)

    def _say(self) -> None:
        kinds = ["send", "broadcast"]
        if self.state == "running":
            kinds += ["delta", "delta", "delta", "done"]
        kind = self.rng.choice(kinds)
        if kind == "delta":
            self._delta(text(self.rng))
        elif kind == "done":
            self._done()
        else:
            self._tell(kind, value(self.rng))

    def _tell(self, kind: str, data: Any) -> None:
        if kind == "send":
            self._note(self.desk.send(data, self.client), "message", self._body("message", {"data": data}))
        else:
            body = dumps({"type": "broadcast", "level": "info", "data": data})
            self._note(self.desk.tell(data), "broadcast", body)

    def _delta(self, content: str) -> None:
        self.seq += 1
        self._publish("delta", {"seq": self.seq, "data": {"content": content}}, content)

    def _done(self) -> None:
        self.state = "done"
        self._publish("done", {"seq": self.seq, "reason": "stop", "usage": value(self.rng)})
        self._note(self.count + 1, "[DONE]", "[DONE]")

    def _publish(self, kind: str, fields: dict[str, Any], content: str = "") -> None:
        number = self.desk.publish(kind, "g", self.client, **fields)
        assert number, f"{kind} was refused"
        self._note(number, kind, self._body(kind, {**G, **fields}), content)

    def _note(self, number: int, kind: str, data: str, content: str = "") -> None:
        self.log.append(Said(number, kind, data, content))
        self.count = number

    # --- helpers ---

    def _put(self, data: str, cursor: str | None, kind: str = "message") -> None:
        self.puts.append(Put(data, cursor, kind))

    def _id(self, number: int) -> str:
        return f"{self.desk.epoch}.{number}{self.suffix}"

    def _body(self, kind: str, fields: dict[str, Any]) -> str:
        return dumps({"type": kind, "clientId": self.client, **fields})
