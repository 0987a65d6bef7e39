"""One client over many connections, as a stress scenario sees it: what it was told, and where the faults are.

Pure: bytes in, numbers out. What may come is checked by tests/rig/wire.py. Each log a member reads (its own
messages, the broadcasts, each answer) is told to it as the numbers 0, 1, 2, … in what is sent, so that a gap,
a duplicate or a wrong order shows in the list of numbers that came.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import orjson

from tests.rig.wire import Counted, Dechunker, Event, Wire

OWN, NEWS = "own", "news"
_TRICKY = 'delta\n\r\0"\\\u2028\ufeff é😀 data: x\n\nid: 1 '
_WORD = re.compile(r"w(\d+) ")


class Faults(NamedTuple):
    """How many; written as "0 / 0 / 0"."""

    gaps: int = 0
    duplicates: int = 0
    reorderings: int = 0

    def __add__(self, other: Any) -> Faults:
        return Faults(*map(sum, zip(self, other, strict=True)))

    def __str__(self) -> str:
        return " / ".join(f"{each:,}" for each in self)


def faults(told: list[int], due: Sequence[int]) -> Faults:
    """What is wrong with `told` where the numbers `due` were to come, in rising order."""
    once = set(told)
    backwards = sum(after < before for before, after in pairwise(told))
    return Faults(len(set(due) - once), len(told) - len(once), backwards)


@dataclass(eq=False)
class Member:
    """One client. How it behaves:

    `bites` gives the bytes until it next loses its connection, wherever that cuts; None: it never does.
    `returns`: it comes back after every end, until it is told not to. `pace`: bytes and seconds between two
    reads; (0, 0): as fast as it can. `buffer`: of its socket, 0 as the system likes. `source`: its address.
    `version`, `headers`, `surplus`: what its request looks like and what follows it.

    `due` is what it is to be told, by log. `fault` is the first number that came out of turn: the next one
    must be one higher, except after `reset`.
    """

    client_id: str
    query: str = "closeOnDone=false"
    bites: Callable[[], int] | None = None
    returns: bool = True
    pace: tuple[int, float] = (0, 0)
    buffer: int = 0
    source: str = "127.0.0.1"
    version: str = "1.1"
    headers: str = ""
    surplus: bytes = b""
    cursor: str = ""
    due: dict[str, Sequence[int]] = field(default_factory=dict)
    logs: dict[str, list[int]] = field(default_factory=dict)
    ends: dict[str, Event] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    events: list[Event] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    torn: int = 0  # streams that ended in the middle of something, and not by its own doing
    finished: bool = False
    fault: str = ""
    _jumps: set[str] = field(default_factory=set)
    _opening: list[Event] = field(default_factory=list)

    def __repr__(self) -> str:
        had = {log: f"{len(told)} to {told[-1:]}" for log, told in self.logs.items()}
        said = [self.fault] if self.fault else []
        said += [f"told {had} of {self.due}", f"seen {dict(self.seen)}", f"answered {self.statuses[-10:]}"]
        return f"<Member {self.client_id}: {', '.join(said)}>"

    @property
    def connections(self) -> int:
        return len(self.statuses)

    def expects(self, numbers: Sequence[int], log: str = OWN) -> None:
        self.due[log] = numbers

    def whole(self) -> bool:
        """Whether all it is due has come, or as much as will."""
        return all(self._came(log, due) for log, due in self.due.items())

    def _came(self, log: str, due: Sequence[int]) -> bool:
        if log not in (OWN, NEWS):
            return log in self.ends
        told = self.logs.get(log, [])
        return not due or len(told) >= len(due) or (bool(told) and told[-1] == due[-1])

    def faults(self) -> Faults:
        """Of all logs that are due."""
        return sum((faults(self.logs.get(log, []), due) for log, due in self.due.items()), Faults())

    def request(self, port: int) -> bytes:
        cursor = f"Last-Event-ID: {self.cursor}\r\n" if self.cursor else ""
        first = f"GET /sse/createConnect?clientId={self.client_id}&{self.query} HTTP/{self.version}\r\n"
        head = f"{first}Host: 127.0.0.1:{port}\r\n{cursor}{self.headers}\r\n"
        self._opening = []
        return head.encode() + self.surplus

    def answered(self, status: int) -> None:
        """The head of the answer has come."""
        self.statuses.append(status)
        self.finished = self.finished or status == 204

    def take(self, event: Event) -> None:
        """One event as it came; what belongs to an opening counts once its end is there."""
        self.seen[event.type] += 1
        if event.type in ("connected", "heartbeat", "reset", "overloaded", "closing"):
            self.cursor = event.id or self.cursor
            self.events.append(event)
            self.finished = self.finished or (event.type == "closing" and not event["reconnect"])
            if event.type == "reset":
                self._jumps = set(self.logs)
            return
        self._opening.append(event)
        if event.id is not None:
            self.cursor = event.id
            for each in self._opening:
                self._fold(each)
            self._opening = []

    def _fold(self, event: Event) -> None:
        if event.type == "message":
            self._told(OWN, [number(event["data"])])
        elif event.type == "broadcast":
            self._told(NEWS, [number(event["data"])])
        elif event.type == "started":
            self.logs[event["generationId"]] = []
        elif event.type == "delta":
            self._told(event["generationId"], words(event))
        elif event.type == "snapshot":
            self.logs[event["generationId"]] = words(event)
        elif event.type in ("done", "error"):
            assert event["generationId"] not in self.ends, f"a second terminal event: {event.raw!r}"
            self.ends[event["generationId"]] = event

    def _told(self, log: str, numbers: list[int]) -> None:
        told = self.logs.setdefault(log, [])
        for n in numbers:
            if told and n != told[-1] + 1 and log not in self._jumps:
                self.fault = self.fault or f"{log}: {n} after {told[-1]}"
            self._jumps.discard(log)
            told.append(n)


def message(n: int, size: int = 0) -> Any:
    """Data with the number `n` in it, of `size` bytes of JSON, or of as few as it takes."""
    bare = len(orjson.dumps({"n": n, "pad": ""}))
    return n if size < bare else {"n": n, "pad": padding(size - bare)}


def number(data: Any) -> int:
    """The number in a message; its padding must be what was sent."""
    if isinstance(data, int):
        return data
    size = len(orjson.dumps(data["pad"])) - 2
    assert data["pad"] == padding(size), f"message {data['n']} came garbled"
    return int(data["n"])


def padding(size: int) -> str:
    """So many bytes of a JSON string, full of what JSON must escape and SSE must not take for its own."""
    times, rest = divmod(size, len(orjson.dumps(_TRICKY)) - 2)
    return _TRICKY * times + "x" * rest


def words(event: Event) -> list[int]:
    """The numbers in the text "w0 w1 w2 …"."""
    text = event["data"].get("content") or ""
    found = _WORD.findall(text)
    assert len(text) == sum(map(len, found)) + 2 * len(found), f"not a text of words: {event.raw!r}"
    return [int(each) for each in found]


class Answer:
    """The bytes of one connection: head, then events. `feed` raises AssertionError for what may not come."""

    def __init__(self) -> None:
        self.status = 0
        self.body = b""  # of a refusal
        self._head = b""
        self._coding: Dechunker | Counted | None = None
        self._wire: Wire | None = None

    @property
    def ended(self) -> bool:
        return self._coding is not None and self._coding.finished

    @property
    def torn(self) -> bool:
        """Whether the connection's end, if it came now, would tear a stream that has begun."""
        if self._coding is None or self._wire is None:
            return False
        return bool(self._wire.rest) or not (self._coding.finished or self._coding.endless)

    def feed(self, data: bytes) -> Iterator[Event]:
        if self._coding is None:
            data = self._read_head(data)
        if self._coding is None:
            return
        body = self._coding.feed(data)
        if self._wire is None:
            self.body += body
            return
        self._wire.feed(body)
        while event := self._wire.pop():
            yield event

    def _read_head(self, data: bytes) -> bytes:
        """What follows the head, once that is there."""
        self._head += data
        head, found, rest = self._head.partition(b"\r\n\r\n")
        if not found:
            return b""
        first, *lines = head.decode("latin-1").split("\r\n")
        status = int(first.split()[1])
        if status < 200:  # [RFC 9110 §15.2] an interim answer; the real one follows
            self._head = b""
            return self._read_head(rest)
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        self.status = status
        if headers.get("transfer-encoding") == "chunked":
            self._coding = Dechunker()
        else:
            self._coding = Counted(0 if status == 204 else int(headers.get("content-length", -1)))
        if status == 200 and headers.get("content-type", "").startswith("text/event-stream"):
            self._wire = Wire()
        return rest
