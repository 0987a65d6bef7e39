"""What can be said to a browser, and the bytes that say it: events, cursors, SSE frames.

Pure. Used by the mailbox, the hub and the outlets; the wire contract is docs/protocol.md §2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import orjson

# [protocol §1] 1 to 128 of these; the first a letter or digit. Used with fullmatch: `$` would let "\n" by.
CLIENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}")
# No leading zeros and at most 18 digits: one number has one spelling, and none is costly to read.
_CURSOR = re.compile(r"([0-9a-f]{8})\.(0|[1-9][0-9]{0,17})(?:\.(.+))?")

LITERAL = "[DONE]"
DONE = LITERAL.encode()
WAITS = "queued"
STARTS = frozenset({WAITS, "started"})
ENDS = frozenset({"done", "error"})


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the numbering of one process: everything up to and including `number` was read.

    On the wire `epoch.number`, or `epoch.number.client` on a stream whose client the server named, so
    that a native EventSource, which returns nothing but the last id, comes back as the same client.
    """

    epoch: str
    number: int
    client: str = ""

    @classmethod
    def parse(cls, text: str) -> Cursor | None:
        """The cursor that `text` spells, or None: malformed ones are the caller's to answer."""
        match = _CURSOR.fullmatch(text)
        if not match or (match[3] and not CLIENT_ID.fullmatch(match[3])):
            return None
        return cls(match[1], int(match[2]), match[3] or "")

    def __str__(self) -> str:
        return f"{self.epoch}.{self.number}" + (f".{self.client}" if self.client else "")


@dataclass(slots=True, unsafe_hash=True)  # frozen would double what it costs, and there is one for each token
class Event:
    """One entry of a log, never changed. Its frame is made once, for all readers.

    `kind` is its `type` ("[DONE]" for the literal); `generation` is "" for what belongs to no answer; `at` is
    the monotonic second it was appended. The body is kept in the frame only: what orjson returns holds on
    to 4 KiB, however short it is.
    """

    number: int
    kind: str
    generation: str
    frame: bytes
    at: float

    @property
    def bare(self) -> bytes:
        """The frame without its id: what an opening is made of."""
        return self.frame.split(b"\n", 1)[1]

    def for_stream(self, suffix: bytes) -> bytes:
        """The frame on a stream whose ids carry the client (`suffix` is `.client`)."""
        if not suffix:
            return self.frame
        line, rest = self.frame.split(b"\n", 1)
        return b"%b%b\n%b" % (line, suffix, rest)


def make_event(epoch: str, number: int, kind: str, generation: str, body: bytes, at: float) -> Event:
    """An event with its place and its frame."""
    return Event(number, kind, generation, b"id: %b.%d\ndata: %b\n\n" % (epoch.encode(), number, body), at)


def encode(kind: str, client_id: str | None, fields: dict[str, Any]) -> bytes:
    """The one JSON line of an event; `client_id` None for a broadcast, which has one body for all.

    orjson escapes every control character, so a raw line break can't get in; U+2028 is no line break
    to SSE. Raises TypeError for what is not JSON: callers hand over what they have checked.
    """
    if client_id is None:
        return orjson.dumps({"type": kind, **fields})
    return orjson.dumps({"type": kind, "clientId": client_id, **fields})


def frame(body: bytes, cursor: str = "") -> bytes:
    """One SSE message. [spec] the id takes effect when the blank line dispatches the event, not before."""
    return b"id: %b\ndata: %b\n\n" % (cursor.encode(), body) if cursor else b"data: %b\n\n" % body


def retry_frame(milliseconds: int) -> bytes:
    """[spec] `retry:` takes digits only and needs no data."""
    return b"retry: %d\n\n" % milliseconds


def heartbeat_frame(as_event: bool, now: float, following: float) -> bytes:
    """A comment, which every SSE reader skips; on request also an event, since comments are invisible
    to JavaScript. `now`: Unix seconds; `following`: seconds until the next at the latest."""
    if not as_event:
        return b":\n\n"
    body = orjson.dumps({"now": round(now, 3), "next": following})
    return b":\n\nevent: heartbeat\ndata: %b\n\n" % body
