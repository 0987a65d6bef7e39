"""What the hub promises, as plain lists: all that was ever said, and what follows from that for a page.

Nothing here is clever: each answer is worked out from the whole list. `World` is the server as the protocol
describes it, `Page` a browser that knows only the bytes that reached it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from app.hub.connection import Connection
from app.hub.events import STARTS, encode, frame
from app.hub.log import Retention
from tests.hub.kit import Said, blocks, event, number

ALL = ""  # whom a broadcast goes to
TERMINAL = ("done", "error")
ANSWERS = ("queued", "started", "delta", *TERMINAL)


@dataclass(frozen=True)
class Entry:
    """One event of a log. `what` tells it from others of its kind."""

    number: int
    kind: str
    client: str
    what: Any
    at: float
    frame: bytes
    seq: int = 0

    @property
    def size(self) -> int:
        return len(self.frame)


@dataclass
class Stream:
    """What a connection was written: of each event (bytes so far, number, when), and where it began."""

    connection: Connection
    began: int
    sent: int = 0
    written: int = 0
    writes: list[tuple[int, int, float]] = field(default_factory=list)
    unwritten: bool = True

    def wrote(self, events: list[tuple[int, int]], size: int, upto: int, now: float) -> None:
        """That `size` bytes were given to the kernel: `events` are (where in them it ends, number)."""
        self.connection.wrote(size, now)
        self.unwritten = False
        self.written = upto
        self.writes += [(self.sent - size + end, number, now) for end, number in events]

    def handed(self, acknowledged: int | None, now: float, patience: float) -> int:
        if self.connection.said and not self.unwritten:
            return max(self.began, self.written)
        if acknowledged is None:
            known = [number for _, number, at in self.writes if at < now - patience]
        else:
            known = [number for offset, number, _ in self.writes if offset <= acknowledged]
        return max([self.began, *known])


@dataclass
class Known:
    """A client; `born` is the number of that moment, `trimmed` that of the last event that went."""

    born: int
    idle_since: float
    trimmed: int
    handed: int
    closed: bool = False
    streams: list[Stream] = field(default_factory=list)

    @property
    def mark(self) -> int:
        return max([self.handed, *(max(s.began, s.written) for s in self.streams)])


@dataclass(frozen=True)
class Start:
    """How a connection must begin: "gone" is 204. What it is due lies above `own` and `news`."""

    how: str
    own: int = 0
    news: int = 0


class World:
    """All that was said, to whom, and who was handed what."""

    def __init__(
        self, epoch: str, mailbox: Retention, news: Retention, memory: float, patience: float
    ) -> None:
        self.epoch = epoch
        self.count = self.news_trimmed = self.undelivered = 0
        self.entries: list[Entry] = []
        self.clients: dict[str, Known] = {}
        self.owner: dict[str, str] = {}
        self.ended: set[str] = set()
        self.texts: dict[str, list[tuple[int, int, str]]] = {}  # (number, seq, text after it), all attempts
        self._mailbox, self._news, self._memory, self._patience = mailbox, news, memory, patience

    # --- saying ---

    def meet(self, client: str, now: float) -> Known:
        if client not in self.clients:
            self.clients[client] = Known(self.count, now, self.count, self.count)
        return self.clients[client]

    def say(self, client: str, kind: str, what: Any, body: bytes, now: float, seq: int = 0) -> int:
        self.count += 1
        whole = frame(body, f"{self.epoch}.{self.count}")
        self.entries.append(Entry(self.count, kind, client, what, now, whole, seq))
        self.trim(client, now)
        return self.count

    def publish(self, client: str, kind: str, g: str, fields: dict[str, Any], now: float) -> int:
        known = self.meet(client, now)
        seq = fields.get("seq", 0)
        if g not in self.owner:
            known.closed = False
            self.owner[g], self.texts[g] = client, [(0, 0, "")]
        if kind == "delta":
            self.texts[g].append((self.count + 1, seq, self.text(g) + fields["data"]["content"]))
        elif kind == "started":
            self.texts[g].append((self.count + 1, self.texts[g][-1][1], ""))
        body = encode(kind, client, {"generationId": g, **fields})
        said = self.say(client, kind, (g, fields.get("attempt", 0), seq), body, now, seq)
        if kind in TERMINAL:
            self.ended.add(g)
            if not self.running(client):
                self.say(client, "[DONE]", None, b"[DONE]", now)
        return said

    def trim(self, client: str, now: float) -> None:
        kept = self.kept(client)
        keep = self._mailbox if client else self._news
        while kept and not _fits(kept, keep, now):
            gone = kept.pop(0)
            if client:
                self.clients[client].trimmed = gone.number
                self.undelivered += gone.number > self.clients[client].mark and gone.kind != "[DONE]"
            else:
                self.news_trimmed = gone.number

    def age(self, now: float) -> None:
        self.trim(ALL, now)
        for client, known in list(self.clients.items()):
            self.trim(client, now)
            here = known.streams or self.running(client) or self.kept(client)
            if not here and now - known.idle_since > self._memory:
                del self.clients[client]

    # --- asking ---

    def text(self, g: str, upto: int | None = None) -> str:
        """The text of an answer, as it was when `upto` was said."""
        return [text for number, _, text in self.texts[g] if upto is None or number <= upto][-1]

    def running(self, client: str) -> list[str]:
        return [g for g, owner in self.owner.items() if owner == client and g not in self.ended]

    def kept(self, client: str) -> list[Entry]:
        trimmed = self.clients[client].trimmed if client else self.news_trimmed
        return [e for e in self.entries if e.client == client and e.number > trimmed]

    def deltas(self, g: str, above: int, upto: int) -> list[Entry]:
        """The deltas of the try of an answer that `upto` belongs to."""
        of_g = [e for e in self.entries if e.number <= upto and e.kind in ANSWERS and e.what[0] == g]
        begun = max(e.number for e in of_g if e.kind in STARTS)
        return [e for e in of_g if e.kind == "delta" and e.number > max(begun, above)]

    def above(self, client: str, start: Start) -> list[Entry]:
        """All that was said to a client above a start, whether it is still there or not."""
        own = [e for e in self.entries if e.client == client and e.number > start.own]
        news = [e for e in self.entries if e.client == ALL and e.number > start.news]
        return sorted(own + news, key=lambda e: e.number)

    def floor(self, client: str) -> int:
        """The number below which something is gone for good."""
        known = self.clients[client]
        gone = [e for e in self.entries if e.client == client and known.born < e.number <= known.trimmed]
        over = {e.what[0] for e in gone if e.kind in TERMINAL}
        lost = [e.number for e in gone if e.kind != "delta" or e.what[0] in over]
        return max([known.born, *lost])

    def start(self, client: str, cursor: int | None, close_on_done: bool) -> Start:
        """How a connection begins that brings the cursor `cursor`."""
        known = self.clients[client]
        if cursor is None:
            return self.anew("anew", client)
        if known.closed:
            return Start("gone")
        if cursor < self.floor(client) or cursor < self.news_trimmed:
            return self.anew("reset", client)
        if close_on_done and self._finished(client, cursor):
            known.handed = max(known.handed, cursor)  # whoever brings it has read up to there
            return Start("gone")
        return Start("resumed", cursor, cursor)

    def anew(self, how: str, client: str) -> Start:
        """Where a page begins that has no cursor, or is told that its own can't be honoured."""
        known = self.clients[client]
        waits = [e for e in self.kept(client) if e.number > known.mark]
        own = max(known.mark, self.floor(client)) if waits else self.count
        return Start(how, own, self.count)

    def _finished(self, client: str, cursor: int) -> bool:
        own = [e for e in self.entries if e.client == client and e.number > self.clients[client].born]
        done = [e.number for e in own if e.kind == "[DONE]"]
        read = bool(done) and done[-1] <= cursor and own[-1].number <= cursor
        return read and not self.running(client)

    def last_done(self, client: str) -> int:
        return [e.number for e in self.entries if e.client == client and e.kind == "[DONE]"][-1]

    def find(self, client: str, said: Said) -> Entry:
        """The entry that a page was told of."""
        if said.type == "[DONE]":
            found = [e for e in self.entries if e.client == client and e.kind == "[DONE]"]
            found = [e for e in found if said.id is None or e.number == said.number]
        else:
            what: Any = said.what
            if said.type not in ("message", "broadcast"):
                what = (what, said.body.get("attempt", 0), said.body.get("seq", 0))
            to = ALL if said.type == "broadcast" else client
            found = [e for e in self.entries if (e.client, e.kind, e.what) == (to, said.type, what)]
        assert found, f"{said} was never said to {client}"
        return found[0]

    # --- streams ---

    def leave(self, client: str, stream: Stream, acknowledged: int | None, now: float) -> None:
        known = self.clients[client]
        known.streams.remove(stream)
        known.idle_since = now
        known.handed = max(known.handed, stream.handed(acknowledged, now, self._patience))


def _fits(kept: list[Entry], keep: Retention, now: float) -> bool:
    runs = 1 + sum(not (a.kind == b.kind == "delta" and a.what[0] == b.what[0]) for a, b in pairwise(kept))
    size = sum(e.size for e in kept)
    return runs <= keep.events and size <= keep.bytes and now - kept[0].at <= keep.age


class Page:
    """A browser's page: what it shows, the last id it saw, and what it may hold against the server.

    An opening counts only once its last snapshot has come, for a cut before that brings it again whole.
    """

    def __init__(self, world: World, client: str, close_on_done: bool) -> None:
        self.world, self.client, self.close_on_done = world, client, close_on_done
        self.cursor = ""
        self.texts: dict[str, str] = {}
        self.stream: Stream | None = None
        self.flying = b""  # on its way to the page
        self.start = Start("")
        self.stopped = False  # told not to come back
        self._promised: list[Start] = []  # where it begins anew, at `connected` or at each `reset`
        self._anew = False
        self._began = False  # on this stream, not on one before
        self._buffer = b""
        self._seen: dict[int, str] = {}
        self._staged: dict[int, str] = {}
        self._covered: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<Page of {self.client} at {self.cursor or 'nothing'}, {len(self.flying)} bytes under way>"

    def connect(self, stream: Stream, promised: Start) -> None:
        self.stream, self._anew = stream, promised.how == "anew"
        self._promised = [promised] if promised.how != "resumed" else []
        self.flying, self._buffer, self._staged, self._began = b"", b"", {}, False

    def promise(self, start: Start) -> None:
        """It is told to begin anew, and will know when the bytes arrive."""
        self._promised.append(start)

    def lose(self) -> None:
        self.stream, self.flying, self._buffer, self._staged = None, b"", b"", {}

    def receive(self, size: int | None = None) -> None:
        """What is on its way arrives; of a stream that is being cut only `size` bytes."""
        arrived = self.flying[:size]
        self.flying = self.flying[len(arrived) :]
        found, self._buffer = blocks(self._buffer + arrived)
        for lines in found:
            said = event(lines)
            if said:
                self._hear(said)

    def _hear(self, said: Said) -> None:
        read = number(self.cursor) if self.cursor else 0
        if said.id is not None:
            assert number(said.id) >= number(self.cursor or said.id), f"{said} moves {self.cursor} back"
            self.cursor = said.id
        if said.type == "connected":
            if self._anew:
                self._begin()
        elif said.type == "reset":
            assert said.id is None
            self._begin()
        elif said.type == "closing":
            self.stopped = self.stopped or not said.body["reconnect"]
        elif said.type == "snapshot":
            self._show(said)
        elif not said.name:
            self._tell(said, read)

    def _begin(self) -> None:
        """From here on nothing may be missing; what was before, the page loads from elsewhere."""
        self.start, self._began = self._promised.pop(0), True
        self.texts, self._seen, self._staged, self._covered = {}, {}, {}, {}

    def _show(self, said: Said) -> None:
        seq, text = said.body["seq"], said.body["data"]["content"]
        were = [(seq, text) for _, seq, text in self.world.texts[said.what]]
        assert (seq, text) in were, f"{said} was never the text"
        own = [e for e in self.world.above(self.client, self.start) if e.client == self.client]
        news = [e for e in own if e.kind in ANSWERS and e.what[0] == said.what]
        assert news or said.what not in self.world.ended, f"{said} is no news"
        self.texts[said.what] = text
        self._covered[said.what] = seq
        if said.id is not None:
            self._commit()

    def _tell(self, said: Said, read: int) -> None:
        """An event of a log, to a page that has read it up to a number; a delta may stand for several."""
        entry = self.world.find(self.client, said)
        assert said.id is None or number(said.id) == entry.number, f"{said} is {entry}"
        told = self._merged(said, entry, read) if said.type == "delta" else [entry]
        before = [*self._seen, *self._staged]
        assert entry.number not in before, f"{said} came twice"
        assert not before or told[0].number > before[-1], f"{said} came after {before[-1]}"
        old = entry.kind in ("broadcast", "delta") and told[0].number <= self.start.news
        assert not (self._began and old), f"{said} was said before the page began"
        self._staged |= dict.fromkeys((e.number for e in told), said.type)
        if said.type in STARTS:
            self.texts[said.what] = ""
        elif said.type == "delta":
            self.texts[said.what] = self.texts.get(said.what, "") + said.body["data"]["content"]
        if said.id is not None:
            self._commit()

    def _merged(self, said: Said, last: Entry, read: int) -> list[Entry]:
        """The deltas that one stands for: all of its answer that the page has not read, and they alone."""
        assert said.id is not None, f"{said} in an opening"
        covered = self._covered.get(said.what, 0)
        assert last.seq > covered, f"{said} came after a snapshot of {covered}"
        run = [e for e in self.world.deltas(said.what, read, last.number) if e.seq > covered]
        text = self.world.text(said.what, run[0].number - 1) + said.body["data"]["content"]
        assert text == self.world.text(said.what, last.number), f"{said} is not what {run} say"
        return run

    def _commit(self) -> None:
        self._seen |= self._staged
        self._staged = {}

    def check(self, upto: int) -> None:
        """That a page which got every byte has missed nothing up to a number, and shows the right text."""
        said = [e for e in self.world.above(self.client, self.start) if e.number <= upto]
        for entry in said:
            assert entry.number in self._seen or self._made_up_for(entry), f"{entry} is missing"
        known = {e.what[0] for e in said if e.seq or e.kind in STARTS} | self.texts.keys()
        for g in known | set(self.world.running(self.client)):
            assert self.texts.get(g, "") == self.world.text(g, upto), f"the text of {g}"

    def _made_up_for(self, entry: Entry) -> bool:
        later = [e for e in self.world.entries if e.client == self.client and e.number > entry.number]
        if entry.kind == "[DONE]":
            return any(e.kind in STARTS for e in later)
        if entry.kind != "delta":
            return False
        g = entry.what[0]
        given_up = any(e.kind == "started" and e.what[0] == g for e in later)
        return given_up or self._covered.get(g, 0) >= entry.seq
