"""Batches of single frames: whatever app/hub/events.py can make, in any order, joined into one write.

Pure. Much of it the hub would never say in this order, or at all, and a decoder must not mind. What the hub
does say is in sessions.py.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any, NamedTuple

from app.hub.events import DONE, encode, heartbeat_frame, make_event, retry_frame
from tests.decoders.drawing import dumps, line, long_text, text, value

KINDS = ["message", "delta", "started", "done", "error", "reset", "connected"]
HEARTBEAT = 15.0


class Put(NamedTuple):
    """One event that was put in. `id` is None where its frame has none; `type` is the SSE event's."""

    data: str
    id: str | None
    type: str = "message"


class Batch(NamedTuple):
    """Joined bytes, and the events a reader must find in them."""

    joined: bytes
    puts: list[Put]


class Place(NamedTuple):
    """Where an event stands: epoch, number, and the client that its id carries ("": none)."""

    epoch: str
    number: int
    suffix: str

    @property
    def id(self) -> str:
        return f"{self.epoch}.{self.number}{self.suffix}"


def frames(rng: random.Random) -> list[Batch]:
    """One to six frames, each as a batch of its own, to be joined."""
    epoch, first = f"{rng.getrandbits(32):08x}", rng.choice([1, 98, rng.randrange(10**17)])
    suffix = rng.choice(["", "", ".c", ".0", ".phone-1.a_b~c", "." + "x" * 128])
    places = [Place(epoch, first + i, suffix) for i in range(rng.randrange(1, 7))]
    return [rng.choice(PARTS)(rng, place) for place in places]


def big(rng: random.Random, size: int) -> Batch:
    """An event whose body is exactly `size` bytes, between two heartbeats, and a small one after it."""
    place = Place("0123abcd", 7, "")
    around = len(encode("message", "c", {"data": ""})) - 2
    event = _json(place, "message", "c", {"data": long_text(rng, size - around)})
    after = _message(rng, place._replace(number=8))
    return join([_comment(rng, place), event, _beat(rng, place), after])


def join(batches: Iterable[Batch]) -> Batch:
    batches = list(batches)
    return Batch(b"".join(b.joined for b in batches), [put for b in batches for put in b.puts])


def _event(place: Place, body: bytes, data: str) -> Batch:
    event = make_event(place.epoch, place.number, "message", "", body, 0.0)
    return Batch(event.for_stream(place.suffix.encode()), [Put(data, place.id)])


def _json(place: Place, kind: str, client: str | None, fields: dict[str, Any]) -> Batch:
    named = {} if client is None else {"clientId": client}
    return _event(place, encode(kind, client, fields), dumps({"type": kind, **named, **fields}))


def _message(rng: random.Random, place: Place) -> Batch:
    return _json(place, rng.choice(KINDS), "c", {"data": value(rng), text(rng): text(rng)})


def _broadcast(rng: random.Random, place: Place) -> Batch:
    return _json(place, "broadcast", None, {"level": "info", "data": value(rng)})


def _line(rng: random.Random, place: Place) -> Batch:
    found = line(rng)
    return _event(place, found.encode(), found)


def _done(rng: random.Random, place: Place) -> Batch:
    return _event(place, DONE, "[DONE]")


def _bare(rng: random.Random, place: Place) -> Batch:
    """As in an opening: the same without its id."""
    fields = {"data": value(rng)}
    event = make_event(place.epoch, place.number, "message", "", encode("message", "c", fields), 0.0)
    return Batch(event.bare, [Put(dumps({"type": "message", "clientId": "c", **fields}), None)])


def _comment(rng: random.Random, place: Place) -> Batch:
    return Batch(heartbeat_frame(False, 0.0, HEARTBEAT), [])


def _beat(rng: random.Random, place: Place) -> Batch:
    now = rng.randrange(2**34) / 8
    said = dumps({"now": now, "next": HEARTBEAT})
    return Batch(heartbeat_frame(True, now, HEARTBEAT), [Put(said, None, "heartbeat")])


def _retry(rng: random.Random, place: Place) -> Batch:
    return Batch(retry_frame(rng.choice([0, 1, 2_000, 10**9])), [])


PARTS = [
    *[_message] * 6,
    *[_broadcast, _line, _bare, _comment, _beat] * 2,
    *[_done, _retry],
]
