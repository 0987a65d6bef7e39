"""The wire contract as a reader checks it: bytes in, events out, AssertionError where it is broken.

Pure: no socket, no clock. Used by tests/rig/reading.py; tests may feed it bytes. It knows what the protocol
says: what may stand in a block, which fields each type has, where an `id:` must and must not be.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
DONE = "[DONE]"

# Which types are entries of a log and so carry an id, the opening aside.
LOGGED = {"queued", "started", "delta", "done", "error", "message", "broadcast", DONE}
NEVER = {"reset", "overloaded", "closing", "heartbeat"}

ANSWER = {"generationId"}
TALK = ANSWER | {"conversationId"}
# type: (fields that are always there, fields that may be), beside type and clientId.
FIELDS: dict[str, tuple[set[str], set[str]]] = {
    "connected": ({"connectionId", "resumed", "heartbeat"}, set()),
    "reset": ({"reason", "requested"}, set()),
    "snapshot": (TALK | {"seq", "data"}, set()),
    "queued": (ANSWER | {"position"}, set()),
    "started": (TALK | {"model", "attempt", "data"}, set()),
    "delta": (ANSWER | {"seq", "data"}, {"first"}),
    "done": (ANSWER | {"seq", "reason"}, {"usage", "timing", "attempts", "upstream", "model"}),
    "error": (ANSWER | {"seq", "code", "message", "retryable", "partial"}, set()),
    "message": ({"data"}, set()),
    "broadcast": ({"data", "level"}, set()),
    "overloaded": ({"retryAfter"}, set()),
    "closing": ({"reason", "reconnect"}, set()),
}
DATA = {
    "delta": {"content", "reasoning", "tool_calls", "refusal"},
    "snapshot": {"content", "reasoning", "tool_calls", "refusal"},
}


@dataclass(frozen=True)
class Event:
    """One event as it came. `type` is "[DONE]" for the literal; `id` is None where the block had none."""

    type: str
    json: Json
    id: str | None
    raw: bytes

    def __getitem__(self, field: str) -> Any:
        return self.json[field]


class Dechunker:
    """Chunked transfer coding, strictly: bytes of the connection in, bytes of the body out."""

    def __init__(self) -> None:
        self._rest = b""
        self.finished = False
        self.endless = False

    def feed(self, data: bytes) -> bytes:
        self._rest += data
        body = b""
        while not self.finished:
            line, found, rest = self._rest.partition(b"\r\n")
            size = int(line, 16) if found else 0
            if not found or len(rest) < size + 2:
                break
            assert rest[size : size + 2] == b"\r\n", (
                f"a chunk of {size} bytes ends with {rest[size : size + 2]!r}"
            )
            body += rest[:size]
            self._rest = rest[size + 2 :]
            self.finished = size == 0
        assert not (self.finished and self._rest), f"bytes after the last chunk: {self._rest!r}"
        return body


class Counted:
    """A body with a length, or with none (-1): then it ends with the connection."""

    def __init__(self, length: int) -> None:
        self._length = length
        self.finished = length == 0

    def feed(self, data: bytes) -> bytes:
        if self._length >= 0:
            self._length -= len(data)
            assert self._length >= 0, f"{-self._length} bytes more than Content-Length"
            self.finished = self._length == 0
        return data

    @property
    def endless(self) -> bool:
        return self._length < 0


class Wire:
    """The events of one stream, block by block. `lags`: its reader may fall so far behind that deltas it
    never had are gone, and is given an opening in the middle of the stream."""

    def __init__(self, lags: bool = False) -> None:
        self._lags = lags
        self.rest = b""  # no whole block yet
        self.retry: int | None = None  # milliseconds
        self.comments = 0
        self._fresh = False  # an opening may be under way: nothing has a place yet
        self._unplaced = 0  # events of it so far

    def feed(self, data: bytes) -> None:
        assert b"\r" not in data, f"a raw CR: {data!r}"
        self.rest += data

    def pop(self) -> Event | None:
        """The next event, None when more bytes are needed."""
        while b"\n\n" in self.rest:
            block, _, self.rest = self.rest.partition(b"\n\n")
            if event := self._block(block):
                return event
        return None

    def _block(self, block: bytes) -> Event | None:
        fields: dict[str, str] = {}
        for line in block.decode("utf-8").split("\n"):
            if line.startswith(":"):
                self.comments += 1
                continue
            name, colon, value = line.partition(":")
            known = colon and name in {"data", "id", "event", "retry"}
            assert known, f"a stray line {line!r} in {block!r}"
            assert name not in fields, f"two {name} lines in one block: {block!r}"
            fields[name] = value.removeprefix(" ")
        if "retry" in fields:
            self.retry = int(fields["retry"])
        return self._event(fields, block) if fields.keys() - {"retry"} else None

    def _event(self, fields: dict[str, str], block: bytes) -> Event:
        assert "data" in fields, f"no data in {block!r}"
        event = Event(*_typed(fields), fields.get("id"), block)
        assert event.id is None or (event.id and "\0" not in event.id), f"an unusable id: {block!r}"
        self._placed(event)
        return event

    def _placed(self, event: Event) -> None:
        """Whether its id is where it must be."""
        if event.type in NEVER:
            assert event.id is None, f"{event.type} carries an id: {event.raw!r}"
            self._fresh = self._fresh or event.type == "reset"
        elif event.type == "connected":
            self._fresh = event.id is None
        elif event.id is None:
            assert self._fresh or self._lags, f"no id outside an opening: {event.raw!r}"
            self._fresh = True
            self._unplaced += 1
        else:
            opens = event.type == "snapshot"
            assert opens or not self._unplaced, (
                f"the opening ended without a snapshot that places it: {event.raw!r}"
            )
            assert self._fresh or self._lags or not opens, f"a snapshot outside an opening: {event.raw!r}"
            self._fresh, self._unplaced = False, 0


def _typed(fields: dict[str, str]) -> tuple[str, Json]:
    """The type and the body, checked against the table of the protocol."""
    if fields["data"] == DONE:
        return DONE, {}
    body = json.loads(fields["data"])
    assert isinstance(body, dict), f"not an object: {fields['data']!r}"
    if "event" in fields:
        assert fields["event"] == "heartbeat", f"a named event: {fields['event']!r}"
        assert body.keys() == {"now", "next"}, f"fields of a heartbeat: {sorted(body)}"
        return "heartbeat", body
    kind = body.get("type")
    assert kind in FIELDS, f"an unknown type: {fields['data']!r}"
    _check_fields(kind, body)
    return kind, body


def _check_fields(kind: str, body: Json) -> None:
    always, maybe = FIELDS[kind]
    has = body.keys() - {"type"}
    assert ("clientId" in has) == (kind != "broadcast") or kind == "overloaded", f"clientId in {body}"
    missing, surplus = always - has, has - always - maybe - {"clientId"}
    assert not missing | surplus, f"{kind}: missing {sorted(missing)}, unknown {sorted(surplus)}"
    if kind in DATA:
        assert body["data"].keys() <= DATA[kind], f"unknown fields of data: {body}"
