"""Streams on sockets of our own against plain lists: crowd, rounds and pushes in any order, cut anywhere.

Beside tests/hub/test_model.py, which takes for its pages what is due: here an event loop that is turned by
hand decides what is written when, and each kernel takes as much as the example says. Every page comes back
with its cursor, so what the lists expect is simple: all that was ever said, once, in the order of the ids.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from app.hub import rounds, socket_outlet
from app.hub.events import encode
from tests.hub import model
from tests.hub.house import HTTP, MIB, VAST, House, Wire
from tests.hub.kit import HEARTBEAT, Clock
from tests.hub.model import ALL, World
from tests.rig.reading import eventually

CLIENTS = ("a", "b", "c")
PAGES = 6
ROOM = 1 << 30
ACTIONS = [
    *["turn"] * 6,
    *["deltas"] * 4,
    *["broadcast"] * 3,
    *["starve", "feed", "cut", "come_back", "settle"] * 2,
    *["end", "send", "beat", "close"],
]
Draw = Callable[[st.SearchStrategy[Any]], Any]


class Ticking(Clock):
    """Each look at it takes a little time: a turn is over after a few of them."""

    def __call__(self) -> float:
        self.now += 0.0002
        return self.now


class Page(model.Page):
    """A page with a stream on a socket that is ours, which it leaves and comes back to."""

    def __init__(self, house: House, world: World, client: str) -> None:
        super().__init__(world, client, close_on_done=False)
        self._house = house
        self.cursor = house.desk.cursor(0)

    def connect_to_house(self) -> None:
        """Opens a stream, and has its socket taken."""
        server, self._reader = self._house.pair()
        begun = self._house.begin(server, self.client, cursor=self.cursor)
        connection, base = begun.hand_over()
        server.setblocking(False)
        self._reader.setblocking(False)
        self.wire, self._before, self.got, self.ended = Wire(server), len(HTTP), 0, False
        self.outlet = self._house.sockets.adopt(connection, self.wire, base)
        self.connect(model.Stream(connection, 0), model.Start("resumed"))

    def read(self, most: int | None = None) -> None:
        """What has arrived is read; of a stream that is being cut only `most` bytes."""
        with suppress(BlockingIOError, ConnectionResetError):
            data = self._reader.recv(MIB)
            self.ended = not data
            data, self._before = data[self._before :], max(0, self._before - len(data))
            self.got += len(data)
            self.flying += data
        self.receive(most)

    def leave(self) -> None:
        """The reader closes; its cursor stays."""
        self._reader.close()
        self.lose()

    @property
    def whole(self) -> bool:
        """Whether it was told the last that was ever said to it."""
        said = [e.number for e in self.world.entries if e.client in (self.client, ALL)]
        return not said or self.cursor == self._house.desk.cursor(said[-1])


class CrowdAgainstLists(RuleBasedStateMachine):
    """What is said goes to a hub and to the lists; pages read the bytes that leave, and check them."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self._as_shipped = rounds.SLICE, socket_outlet.PUSHES
        rounds.SLICE, socket_outlet.PUSHES = 1, 3
        self.house = House(self.stack, Ticking(), news=VAST, connections_client=100)
        self.desk = self.house.desk
        self.world = World(self.desk.epoch, VAST, VAST, 60.0, 2 * HEARTBEAT)
        self.seqs: Counter[str] = Counter()
        self.serial = 0
        for client in CLIENTS:
            self.desk.meet(client)
            self.world.meet(client, 0.0)
        self.pages = [Page(self.house, self.world, CLIENTS[n % len(CLIENTS)]) for n in range(PAGES)]
        for page in self.pages:
            page.connect_to_house()

    @rule(data=st.data(), action=st.sampled_from(ACTIONS))
    def step(self, data: st.DataObject, action: str) -> None:
        getattr(self, action)(data.draw)

    # --- saying ---

    def deltas(self, draw: Draw) -> None:
        """A few more of an answer, fewer or more than are pushed in a turn; the answer begins with them."""
        client = draw(st.sampled_from(CLIENTS))
        running = self.world.running(client)
        for _ in range(draw(st.integers(1, 5))):
            if not running:
                self.serial += 1
                self._publish(client, "started", f"g{self.serial}", attempt=1, conversationId="k")
                running = self.world.running(client)
            self.seqs[running[0]] += 1
            word = draw(st.sampled_from(["x", "Hello ", "y" * 3_000]))
            self._publish(client, "delta", running[0], seq=self.seqs[running[0]], data={"content": word})

    def end(self, draw: Draw) -> None:
        client = draw(st.sampled_from(CLIENTS))
        for g in self.world.running(client):
            self._publish(client, "done", g, seq=self.seqs[g])

    def send(self, draw: Draw) -> None:
        client = draw(st.sampled_from(CLIENTS))
        self.serial += 1
        body = encode("message", client, {"data": self.serial})
        said = self.world.say(client, "message", self.serial, body, 0.0)
        assert self.desk.send(self.serial, client) == said

    def broadcast(self, draw: Draw) -> None:
        for _ in range(draw(st.integers(1, 3))):
            self.serial += 1
            body = encode("broadcast", None, {"level": "info", "data": self.serial})
            assert self.desk.tell(self.serial) == self.world.say(ALL, "broadcast", self.serial, body, 0.0)

    # --- the loop, and the kernels ---

    def turn(self, draw: Draw) -> None:
        self.house.turn()

    def settle(self, draw: Draw) -> None:
        for _ in range(30):
            self.house.turn()

    def beat(self, draw: Draw) -> None:
        self.desk.clock.advance(HEARTBEAT)
        self.desk.hub.upkeep.beat()

    def starve(self, draw: Draw) -> None:
        """A kernel that takes so many bytes more, or so many at once."""
        page = draw(st.sampled_from(self.pages))
        page.wire.room = draw(st.sampled_from([0, 1, 90, 200, ROOM]))
        page.wire.most = draw(st.sampled_from([7, 150, ROOM]))

    def feed(self, draw: Draw) -> None:
        for page in self.pages:
            page.wire.room = page.wire.most = ROOM

    # --- pages ---

    def cut(self, draw: Draw) -> None:
        """The network dies: a page sees some of the bytes that arrived."""
        page = draw(st.sampled_from(self.pages))
        if page.stream:
            page.read(draw(st.integers(0, 400)))
            page.leave()
            if draw(st.booleans()):
                page.connect_to_house()

    def close(self, draw: Draw) -> None:
        """The server ends a stream in the middle of whatever it does."""
        page = draw(st.sampled_from(self.pages))
        if page.stream:
            page.outlet.cut()
            page.read()
            page.leave()

    def come_back(self, draw: Draw) -> None:
        for page in self.pages:
            if not page.stream:
                page.connect_to_house()

    # --- what always holds ---

    @invariant()
    def each_stream_stands_in_one_place(self) -> None:
        crowd = self.desk.hub.crowd
        assert len(set(crowd)) == len(crowd)
        assert all((connection.place < 0) == (connection in crowd.apart) for connection in crowd)

    @invariant()
    def nobody_stands_in_the_crowd_who_has_a_rest_to_write(self) -> None:
        for page in self.pages:
            connection = page.outlet.connection
            assert not (connection.place >= 0 and (page.outlet._rest or page.outlet._pushed))

    @invariant()
    def what_waits_in_line_is_bounded(self) -> None:
        nudged = self.house.sockets._nudged
        assert len(set(nudged)) == len(nudged)
        assert len(self.house.loop._soon) <= 1

    def teardown(self) -> None:
        """All kernels take what there is, all pages come back: then each has been told everything, once."""
        try:
            self.feed(lambda _: None)
            self.come_back(lambda _: None)
            eventually(self._all_are_whole, every=0.0)
            for page in self.pages:
                page.outlet.close()
                eventually(lambda page=page: page.read() or page.ended, every=0.0)
                page.check(self.world.count)
                assert page.outlet.connection.wired == page.got
        finally:
            self._tidy_up()

    def _all_are_whole(self) -> bool:
        self.house.turn()
        for page in self.pages:
            page.read()
        return all(page.whole for page in self.pages)

    def _tidy_up(self) -> None:
        for page in self.pages:
            page.outlet.close()
        self.stack.close()
        rounds.SLICE, socket_outlet.PUSHES = self._as_shipped

    def _publish(self, client: str, kind: str, g: str, **fields: Any) -> None:
        said = self.world.publish(client, kind, g, fields, 0.0)
        assert self.desk.publish(kind, g, client, **fields) == said


TestCrowdAgainstLists = CrowdAgainstLists.TestCase
TestCrowdAgainstLists.settings = settings(max_examples=150, stateful_step_count=40)
