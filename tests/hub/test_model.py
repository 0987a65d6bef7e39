"""The hub against plain lists: any order of calls, any cut, and no page loses or repeats a thing unsaid."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from app.errors import NotFound
from app.hub import reading
from app.hub.events import encode
from app.hub.log import Retention
from tests.hub.kit import HEARTBEAT, Desk, Said, number, read, types
from tests.hub.model import ALL, Entry, Page, Stream, World

NEWS = Retention(events=4, bytes=1_000, age=40.0)
MEMORY = 60.0
PATIENCE = 2 * HEARTBEAT
CLIENTS = st.sampled_from(["a", "a", "a", "a", "b"])
PAGES = 3
TERMINAL = ("done", "error")
ACTIONS = [
    *["deltas"] * 4,
    *["flood"] * 2,
    *["start", "end", "send", "all_catch_up", "write"] * 2,
    *["cut"] * 4,
    *["come_back"] * 3,
    *["restart", "broadcast", "open_a_page", "open_a_page", "close", "pass_time"],
]
Draw = Callable[[st.SearchStrategy[Any]], Any]
WORDS = st.sampled_from(["x", "Hello ", "wörld", "\n", "\u2028", "😀" * 20])


class HubAgainstLists(RuleBasedStateMachine):
    """Calls go to the real hub and to the lists; pages read the hub's bytes and check them by the lists."""

    mailbox = Retention(events=6, bytes=9_000, age=40.0)
    lag = reading.LAG

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk(mailbox=self.mailbox, news=NEWS, client_memory=MEMORY)
        self.world = World(self.desk.epoch, self.mailbox, NEWS, MEMORY, PATIENCE)
        self.pages: list[Page] = []
        self.attempts: Counter[str] = Counter()
        self.seqs: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.serial = 0

    @property
    def now(self) -> float:
        return self.desk.clock()

    @rule(data=st.data(), action=st.sampled_from(ACTIONS))
    def step(self, data: st.DataObject, action: str) -> None:
        """One call of many: as one rule, so that each run has all of them."""
        getattr(self, action)(data.draw)

    # --- saying ---

    def start(self, draw: Draw) -> None:
        client, kind = draw(CLIENTS), draw(st.sampled_from(["started", "started", "started", "queued"]))
        if len(self.world.running(client)) < 3:
            self.serial += 1
            extra = {"attempt": 1} if kind == "started" else {"position": 1}
            self._publish(client, kind, f"g{self.serial}", **extra)

    def deltas(self, draw: Draw) -> None:
        for g in self._one_of(draw, self._running()):
            for word in draw(st.lists(WORDS, min_size=1, max_size=6)):
                self._delta(g, word)

    def flood(self, draw: Draw) -> None:
        """More deltas than a reader may lag behind, or just not."""
        for g in self._one_of(draw, self._running()):
            for n in range(draw(st.integers(self.lag - 2, self.lag + 3))):
                self._delta(g, f"{n} ")

    def restart(self, draw: Draw) -> None:
        for g in self._one_of(draw, self._running()):
            self.attempts[g] += 1
            self._publish(self.world.owner[g], "started", g, attempt=1 + self.attempts[g])

    def end(self, draw: Draw) -> None:
        for g in self._one_of(draw, self._running()):
            self._publish(self.world.owner[g], draw(st.sampled_from(TERMINAL)), g, seq=self.seqs[g])
            late = {"generationId": g, "seq": 99, "data": {"content": "late"}}
            for kind in ("delta", *TERMINAL):
                assert self.desk.hub.publish(self.world.owner[g], kind, late) is None

    def send(self, draw: Draw) -> None:
        client = draw(CLIENTS)
        self.serial += 1
        if client not in self.world.clients:
            with pytest.raises(NotFound):
                self.desk.send(self.serial, client)
            return
        self.world.clients[client].closed = False
        body = encode("message", client, {"data": self.serial})
        said = self.world.say(client, "message", self.serial, body, self.now)
        assert self.desk.send(self.serial, client) == said

    def broadcast(self, draw: Draw) -> None:
        self.serial += 1
        body = encode("broadcast", None, {"level": "info", "data": self.serial})
        assert self.desk.tell(self.serial) == self.world.say(ALL, "broadcast", self.serial, body, self.now)

    # --- pages ---

    def open_a_page(self, draw: Draw) -> None:
        if len(self.pages) < PAGES:
            self.pages.append(Page(self.world, draw(CLIENTS), draw(st.booleans())))
            self._connect(self.pages[-1])

    def come_back(self, draw: Draw) -> None:
        for page in self._one_of(draw, self._without_stream()):
            if page.stopped or draw(st.sampled_from([False, False, False, True])):
                self.pages.remove(page)
                page = Page(self.world, page.client, page.close_on_done)
                self.pages.append(page)
            self._connect(page)

    def all_catch_up(self, draw: Draw) -> None:
        for page in self._with_stream():
            self._take(page)
            self._arrive(page)

    def write(self, draw: Draw) -> None:
        """The kernel gets what is due at once, and keeps it for now."""
        for page in self._one_of(draw, self._with_stream()):
            self._write(page)

    def cut(self, draw: Draw) -> None:
        """The network dies: some bytes arrive, the kernel may know of more, a page sees whole blocks only."""
        for page in self._one_of(draw, self._with_stream()):
            assert page.stream
            if draw(st.booleans()):
                self._write(page, notes=draw(st.booleans()))
            size = draw(_sizes(page.flying))
            missing = len(page.flying) - size
            page.receive(size)
            known = page.stream.sent - draw(st.integers(0, missing))
            self._leave(page, known if draw(st.booleans()) else None)
            if not page.stopped and draw(st.booleans()):
                self._connect(page)

    def close(self, draw: Draw) -> None:
        client = draw(CLIENTS)
        known = self.world.clients.get(client)
        if known:
            known.closed = True
        open_ones = [s for s in known.streams if not s.connection.ending] if known else []
        assert self.desk.hub.close(client) == len(open_ones)

    # --- time ---

    def pass_time(self, draw: Draw) -> None:
        self.desk.clock.advance(draw(st.sampled_from([0.5, 0.5, 5.0, 5.0, 16.0, 31.0, 70.0])))
        self.desk.hub.upkeep.beat()
        self.desk.hub.upkeep.age()
        self.world.age(self.now)

    # --- what always holds ---

    @invariant()
    def counts_are_those_of_the_lists(self) -> None:
        assert self.desk.hub.counts() == {
            "clients": len(self.world.clients),
            "connections": len(self._with_stream()),
            "undelivered": self.world.undelivered,
        }

    @invariant()
    def what_waits_is_what_the_lists_say(self) -> None:
        for client, known in self.world.clients.items():
            waits = [e for e in self.world.kept(client) if e.number > known.mark and e.kind != "[DONE]"]
            view = self.desk.hub.client(client)
            assert view["waiting"] == len(waits)
            assert view["generations"] == self.world.running(client)

    @invariant()
    def an_answer_has_one_end(self) -> None:
        assert set(self.ends.values()) <= {1}

    def teardown(self) -> None:
        """Whoever is connected gets the rest; and then comes one who was not there."""
        for page in self._with_stream():
            self._take(page)
            self._arrive(page)
        for client in self.world.clients:
            late = Page(self.world, client, False)
            self._connect(late)
            self._take(late)
            self._arrive(late)

    # --- helpers ---

    def _one_of(self, draw: Draw, those: list[Any]) -> list[Any]:
        """One of them; none where there is none."""
        return [draw(st.sampled_from(those))] if those else []

    def _running(self) -> list[str]:
        return [g for g in self.world.owner if g not in self.world.ended]

    def _with_stream(self) -> list[Page]:
        return [page for page in self.pages if page.stream]

    def _without_stream(self) -> list[Page]:
        return [page for page in self.pages if not page.stream]

    def _delta(self, g: str, text: str) -> None:
        self.seqs[g] += 1
        self._publish(self.world.owner[g], "delta", g, seq=self.seqs[g], data={"content": text})

    def _publish(self, client: str, kind: str, g: str, **fields: object) -> None:
        if kind in ("started", "queued"):
            fields = {"conversationId": "k", **fields}
        if kind in ("done", "error"):
            self.ends[g] += 1
        said = self.world.publish(client, kind, g, fields, self.now)
        assert self.desk.publish(kind, g, client, **fields) == said

    def _connect(self, page: Page) -> None:
        now, client = self.now, page.client
        self.world.meet(client, now)
        promised = self.world.start(client, number(page.cursor) if page.cursor else None, page.close_on_done)
        opened = self.desk.hub.open(client, page.cursor, close_on_done=page.close_on_done)
        assert (opened is None) == (promised.how == "gone")
        if opened is None:
            page.stopped = True
            return
        head = read(opened.head)
        assert head[0].body["resumed"] == (promised.how == "resumed")
        assert any(said.type == "reset" for said in head) == (promised.how == "reset")
        ids = [said.number for said in head if said.id is not None]
        if head[0].id is not None:
            due = [e.number for e in self.world.kept(client) if e.number > promised.own]
            assert promised.own <= head[0].number < min(due, default=self.world.count + 1)
        stream = Stream(opened.connection, promised.own if promised.how == "resumed" else 0)
        self.world.clients[client].streams.append(stream)
        self.world.clients[client].closed = False
        page.connect(stream, promised)
        at = ids[-1] if ids else promised.own
        self._fly(page, opened.head, [(len(opened.head), at)], at)

    def _take(self, page: Page) -> None:
        """All that is due, in as many writes as it takes."""
        assert page.stream
        while self._write(page):
            pass
        connection = page.stream.connection
        assert connection.ending or connection.position.own == self.world.count

    def _write(self, page: Page, notes: bool = True) -> bool:
        """What is due at once; False where that is nothing."""
        assert page.stream
        connection = page.stream.connection
        above, folded = connection.position.own, connection.position.folded
        kept = [e for e in self.world.kept(page.client) if e.kind == "delta" and e.number > above]
        anew = self.world.anew("reset", page.client)
        data = self.desk.hub.take(connection)
        told = read(data)
        if "reset" in types(told):
            page.promise(anew)
        opened = folded or {"reset", "snapshot"} & set(types(told))
        self._check_frames(page.client, data, lags=len(kept) > self.lag)
        if len(kept) > self.lag and not opened:
            self._check_merged(told, kept)
        if data:
            upto = connection.position.own
            ids = [said.number for said in told if said.id is not None]
            assert upto in (self.world.count, *ids[-1:])
            self._fly(page, data, _ends(data), upto, notes)
        return bool(data)

    def _check_frames(self, client: str, data: bytes, lags: bool) -> None:
        """Only deltas are ever merged, and only for who lags: all else are the frames of the log."""
        frames = {e.frame for e in self.world.entries if e.client in (client, ALL)}
        for block in re.findall(rb"id: .*\n.*\n\n", data):
            if b'"type":"snapshot"' not in block and not (lags and b'"type":"delta"' in block):
                assert block in frames

    def _check_merged(self, told: list[Said], due: list[Entry]) -> None:
        """Each delta stands for as many of those due as it may, and for no more."""
        runs: list[list[Entry]] = []
        for said in told:
            is_delta = said.type == "delta"
            runs.append([e for e in due if is_delta and e.what[0] == said.what and e.seq <= said.body["seq"]])
            due = [e for e in due if e not in runs[-1]]
        for run, after in pairwise([*runs, []]):
            assert len(run) < 2 or sum(e.size for e in run) <= reading.MERGED
            if run and after and run[0].what[0] == after[0].what[0]:
                assert sum(e.size for e in [*run, after[0]]) > reading.MERGED

    def _fly(
        self, page: Page, data: bytes, events: list[tuple[int, int]], upto: int, notes: bool = True
    ) -> None:
        assert page.stream
        page.flying += data
        page.stream.sent += len(data)
        page.stream.unwritten = True
        if notes:
            page.stream.wrote(events, len(data), upto, self.now)

    def _arrive(self, page: Page) -> None:
        """All that flies arrives; a stream that has said its last word is over."""
        assert page.stream
        page.receive()
        page.check(page.stream.written)
        if page.stream.connection.over:
            self._leave(page, page.stream.sent)

    def _leave(self, page: Page, acknowledged: int | None) -> None:
        assert page.stream
        self.desk.hub.leave(page.stream.connection, acknowledged)
        self.world.leave(page.client, page.stream, acknowledged, self.now)
        page.lose()


def _sizes(flying: bytes) -> st.SearchStrategy[int]:
    """How much of it arrives: often just a few whole blocks, at times any number of bytes."""
    blocks = [0, *(found.end() for found in re.finditer(b"\n\n", flying))]
    return st.sampled_from(blocks) | st.integers(0, len(flying))


def _ends(data: bytes) -> list[tuple[int, int]]:
    """Of each event that has a place: where it ends, its number."""
    return [(m.end(), number(m[1].decode())) for m in re.finditer(rb"id: (.*)\n.*\n\n", data)]


class HubInSmallSteps(HubAgainstLists):
    """The same with numbers so small that everything is cut in pieces: logs, writes, runs of deltas."""

    mailbox = Retention(events=8, bytes=2_000, age=40.0)
    lag = 3

    def __init__(self) -> None:
        self._as_shipped = reading.LAG, reading.AT_ONCE, reading.MERGED
        super().__init__()

    @initialize(at_once=st.sampled_from([150, 300, 900]), merged=st.sampled_from([300, 500]))
    def cut_small(self, at_once: int, merged: int) -> None:
        reading.LAG, reading.AT_ONCE, reading.MERGED = self.lag, at_once, merged

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            reading.LAG, reading.AT_ONCE, reading.MERGED = self._as_shipped


TestHubAgainstLists = HubAgainstLists.TestCase
TestHubInSmallSteps = HubInSmallSteps.TestCase
TestHubAgainstLists.settings = TestHubInSmallSteps.settings = settings(
    max_examples=300, stateful_step_count=40
)
