"""What the hub's tests stand on: a manual clock, a hub with the relay's verbs, a page that reads it all.

Nothing here waits, and nothing here is random.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from app.hub.connection import UNPLUGGED
from app.hub.events import Cursor
from app.hub.hub import Hub, Opened
from app.hub.log import Retention
from app.hub.registry import Limits

ROOMY = Retention(events=1_000, bytes=1 << 20, age=600.0)
HEARTBEAT = 15.0
WALL = 1_700_000_000.1239


class Clock:
    """Monotonic seconds that pass only when told to."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Text:
    """The smallest fold: what the deltas' `content` adds up to."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def add(self, delta: dict[str, Any]) -> None:
        self._parts.append(delta["content"])

    def compact(self) -> None:
        self._parts = ["".join(self._parts)]

    def data(self) -> dict[str, Any]:
        return {"content": "".join(self._parts)}


def merge(deltas: list[dict[str, Any]]) -> dict[str, Any]:
    """One delta that adds to a Text what these add."""
    return {"content": "".join(delta["content"] for delta in deltas)}


class Said(NamedTuple):
    """One event as a page gets it. `name` is the SSE event's, "" for a message; `type` that of its JSON."""

    type: str
    id: str | None
    body: dict[str, Any]
    name: str = ""

    @property
    def number(self) -> int:
        assert self.id is not None, f"{self} has no id"
        return number(self.id)

    @property
    def what(self) -> Any:
        """What tells it from others of its type, in these tests."""
        return (
            self.body.get("data") if self.type in ("message", "broadcast") else self.body.get("generationId")
        )


def number(cursor: str | None) -> int:
    """The number of a cursor that is known to be one."""
    parsed = Cursor.parse(cursor or "")
    assert parsed, f"no cursor: {cursor!r}"
    return parsed.number


def blocks(data: bytes) -> tuple[list[list[str]], bytes]:
    """The whole blocks in `data` as lines, and the bytes of one that is not whole yet."""
    *whole, rest = data.split(b"\n\n")
    assert b"\r" not in data, f"a raw CR: {data!r}"
    return [block.decode().split("\n") for block in whole], rest


def event(lines: list[str]) -> Said | None:
    """The event of one block; None for a comment and for a bare `retry:`."""
    fields = dict(line.split(": ", 1) for line in lines if not line.startswith(":"))
    assert fields.keys() <= {"id", "data", "event", "retry"}, f"a stray line in {lines}"
    if "data" not in fields:
        assert "id" not in fields, f"an id without data: {lines}"
        return None
    body = {} if fields["data"] == "[DONE]" else json.loads(fields["data"])
    kind = "[DONE]" if fields["data"] == "[DONE]" else body.get("type", "")
    return Said(kind, fields.get("id"), body, fields.get("event", ""))


def read(data: bytes) -> list[Said]:
    """The events of a stream that was not cut."""
    whole, rest = blocks(data)
    assert not rest, f"cut in the middle: {rest!r}"
    return [said for said in map(event, whole) if said]


def types(events: list[Said]) -> list[str]:
    return [said.type for said in events]


class Tab:
    """One stream of a client, read by a page that gets all of it at once."""

    def __init__(self, desk: Desk, opened: Opened) -> None:
        self._desk = desk
        self.connection, self.bytes = opened.connection, opened.head
        self.head = read(opened.head)
        self.events = list(self.head)
        self._note(opened.head)

    @property
    def size(self) -> int:
        """Bytes on the wire so far."""
        return len(self.bytes)

    @property
    def last_id(self) -> str:
        """The cursor a browser would come back with."""
        return [said.id for said in self.events if said.id is not None][-1]

    @property
    def text(self) -> str:
        """The text of generation `g`, as a page that folds it shows it."""
        text = ""
        for said in self.events:
            if said.type == "started":
                text = ""
            elif said.type == "delta" and said.what == "g":
                text += said.body["data"]["content"]
            elif said.type == "snapshot" and said.what == "g":
                text = said.body["data"]["content"]
        return text

    def take(self, written: bool = True) -> list[Said]:
        """What is due, given to the kernel; `written` False: the kernel never got it."""
        data = self._desk.hub.take(self.connection)
        self.bytes += data
        if data and written:
            self._note(data)
        events = read(data)
        self.events += events
        return events

    def take_all(self) -> list[Said]:
        """What is due, in as many writes as it needs."""
        events: list[Said] = []
        while some := self.take():
            events += some
        return events

    def leave(self, acknowledged: int | None = None) -> None:
        """The stream ends, whoever ended it; `acknowledged` bytes of it are proven to have arrived."""
        self._desk.hub.leave(self.connection, acknowledged)

    def _note(self, data: bytes) -> None:
        self.connection.wrote(len(data), self._desk.clock())


class Desk:
    """A hub on a manual clock and all that is asked of it, by default about client `c` and generation `g`.

    What is said is answered by its number, None where it was refused.
    """

    def __init__(self, **limits: Any) -> None:
        self.clock = Clock()
        self.chance = 0.5  # what is random is this
        self.limits = Limits(
            **{"mailbox": ROOMY, "news": ROOMY, "heartbeat": HEARTBEAT, "client_memory": 60.0, **limits}
        )
        self.hub = Hub(self.limits, Text, merge, self.clock, wall=lambda: WALL, jitter=lambda: self.chance)
        self._seq: Counter[str] = Counter()

    def start(self, g: str = "g", attempt: int = 1, client: str = "c") -> int | None:
        fields = {"conversationId": f"of-{g}", "model": "m", "attempt": attempt, "data": {}}
        return self.publish("started", g, client, **fields)

    def delta(self, text: str = "x", g: str = "g", client: str = "c") -> int | None:
        self._seq[g] += 1
        return self.publish("delta", g, client, seq=self._seq[g], data={"content": text})

    def end(self, g: str = "g", client: str = "c", kind: str = "done") -> int | None:
        return self.publish(kind, g, client, seq=self._seq[g], reason="stop")

    def answer(self, *texts: str, g: str = "g", client: str = "c") -> None:
        """A whole answer."""
        self.start(g, client=client)
        for text in texts:
            self.delta(text, g, client)
        self.end(g, client)

    def answer_and_done(self) -> int:
        """A whole answer; the number of the `[DONE]` after it."""
        self.start()
        self.delta()
        end = self.end()
        assert end
        return end + 1

    def publish(self, kind: str, g: str, client: str = "c", **fields: Any) -> int | None:
        cursor = self.hub.publish(client, kind, {"generationId": g, **fields})
        return number(cursor) if cursor else None

    def send(self, data: Any = "hello", client: str = "c", key: str = "") -> int:
        return number(self.hub.send(client, data, key).id)

    def tell(self, data: Any = "all", level: str = "info", key: str = "") -> int:
        return number(self.hub.broadcast(data, level, key).id)

    def cursor(self, number: int, client: str = "") -> str:
        """A cursor of this process."""
        return str(Cursor(self.epoch, number, client))

    @property
    def epoch(self) -> str:
        return repr(self.hub).split()[1].partition(".")[0]

    def open(self, cursor: str = "", client: str = "c", **how: Any) -> Tab | None:
        """A new stream; None where the answer is 204."""
        opened = self.hub.open(client, cursor, **how)
        return Tab(self, opened) if opened else None

    def tab(self, cursor: str = "", client: str = "c", **how: Any) -> Tab:
        """A new stream, which by default stays open after `[DONE]`."""
        tab = self.open(cursor, client, **{"close_on_done": False, **how})
        assert tab, "204 instead of a stream"
        return tab

    def meet(self, client: str = "c") -> None:
        """Makes a client known that has been handed all there is."""
        self.tab(client=client).leave(acknowledged=1 << 40)


class Stub:
    """An outlet that does as it is told: `Stub(gone=lambda: True)`."""

    sock = None

    def __init__(self, **calls: Callable[[], Any]) -> None:
        self.wake: Callable[[], Any] = UNPLUGGED.wake
        self.nudge: Callable[[], Any] = UNPLUGGED.nudge
        self.cut: Callable[[], Any] = UNPLUGGED.cut
        self.gone: Callable[[], Any] = UNPLUGGED.gone
        self.progress: Callable[[], Any] = UNPLUGGED.progress
        vars(self).update(calls)


def count_wakes(tab: Any) -> list[int]:
    wakes: list[int] = []
    tab.connection.outlet = Stub(wake=lambda: wakes.append(1), nudge=lambda: wakes.append(1))
    return wakes
