"""Streams on sockets of our own: real connections, a real epoll, and an event loop that is turned by hand."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

from app.hub.connection import Connection
from app.hub.log import Retention
from app.hub.outlets import GeneratorOutlet
from app.hub.peer import Peer
from app.hub.socket_outlet import SocketOutlet
from app.hub.sockets import Sockets
from tests.hub.ends import Pair, connected
from tests.hub.kit import Clock, Desk, Said, blocks, event
from tests.rig.reading import eventually

MIB = 1 << 20
HTTP = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Long: %b\r\n\r\n" % (b"x" * 4_000)
VAST = Retention(events=100_000, bytes=1 << 30, age=600.0)


class Loop:
    """An event loop that turns when told to."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._soon: list[Callable[[], None]] = []
        self._timers: list[tuple[float, Callable[[], None]]] = []
        self._poll = select.poll()
        self._readable: dict[int, Callable[[], None]] = {}

    def soon(self, call: Callable[[], None]) -> None:
        self._soon.append(call)

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        self._timers.append((self._clock() + seconds, call))

    def readable(self, descriptor: int, call: Callable[[], None]) -> None:
        self._poll.register(descriptor, select.POLLIN)
        self._readable[descriptor] = call

    def turn(self) -> None:
        """What was to be done soon; then what is ready; then what is due."""
        soon, self._soon = self._soon, []
        for call in soon:
            call()
        for descriptor, _ in self._poll.poll(0):
            self._readable[descriptor]()
        now = self._clock()
        due = [call for at, call in self._timers if at <= now]
        self._timers = [(at, call) for at, call in self._timers if at > now]
        for call in due:
            call()

    @property
    def idle(self) -> bool:
        return not self._soon


class Wire:
    """The server's end, and what was written to it; `most`: bytes it takes at once, `room`: in all."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.sends: list[int] = []
        self.most = self.room = 1 << 30

    def send(self, data: memoryview) -> int:
        if not self.room:
            raise BlockingIOError
        sent = self._sock.send(data[: min(self.most, self.room)])
        self.room -= sent
        self.sends.append(sent)
        return sent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class Stream:
    """One stream on a socket that was taken, and its reader."""

    def __init__(self, house: House, outlet: SocketOutlet, wire: Wire, reader: socket.socket) -> None:
        self._house = house
        self.outlet, self.wire, self.reader = outlet, wire, reader
        self.connection = outlet.connection
        self.bytes = bytearray()
        self.events: list[Said] = []
        self.ended = False
        self._before = len(HTTP)  # bytes that come before the stream
        self._rest = b""

    @property
    def data(self) -> list[Any]:
        return [said.what for said in self.events if said.type in ("message", "broadcast")]

    def read(self, most: int = MIB) -> None:
        """Reads what is there."""
        self.reader.setblocking(False)
        with suppress(BlockingIOError):
            data = self.reader.recv(most)
            self.ended = self.ended or not data
            data, self._before = data[self._before :], max(0, self._before - len(data))
            self.bytes += data
            whole, self._rest = blocks(self._rest + data)
            self.events += [said for said in map(event, whole) if said]

    def wake(self) -> None:
        """Its kernel takes more at once from now on: else each window would be shorter than a segment."""
        self.reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)

    def until(self, predicate: Callable[[], Any], most: int = MIB) -> None:
        """Reads on, the loop turning, until `predicate` holds."""
        self._house.until(lambda: self.read(most) or predicate())


class House:
    """A hub whose streams leave by sockets that are ours."""

    def __init__(self, stack: ExitStack, clock: Clock | None = None, **limits: Any) -> None:
        self._stack = stack
        self.desk = Desk(**{"mailbox": VAST, **limits})
        self.desk.meet()
        self.clock = clock or self.desk.clock
        self.loop = Loop(self.clock)
        self.poll = stack.enter_context(select.epoll())
        self.takes: list[Connection] = []
        self._take, self.desk.hub.take = self.desk.hub.take, self._noted  # type: ignore[method-assign]
        self.sockets = Sockets(self.loop, self.poll, self.desk.hub, self.clock, Wire.send)

    def _noted(self, connection: Connection) -> bytes:
        self.takes.append(connection)
        return self._take(connection)

    def stream(self, client: str = "c", buffer: int = 0, tuned: bool = True, **how: Any) -> Stream:
        """A stream that was begun as a server begins it, and then taken."""
        pair = self.pair(buffer)
        begun = self.begin(pair.server, client, tuned, **how)
        return self.adopt(begun, pair.server, pair.reader)

    def pair(self, buffer: int = 0) -> Pair:
        """Both ends of a connection, closed with the house."""
        return self._stack.enter_context(connected(buffer))

    def begin(self, server: socket.socket, client: str = "c", tuned: bool = True, **how: Any) -> Any:
        opened = self.desk.hub.open(client, **{"close_on_done": False, **how})
        assert opened
        peer = Peer(server)
        if tuned:
            peer.tune(self.desk.limits.slow)
        begun = GeneratorOutlet(*opened, self.desk.hub.take, self.desk.hub.leave, peer, False, self.clock)
        server.sendall(HTTP + next(begun))
        return begun

    def adopt(self, begun: GeneratorOutlet, server: socket.socket, reader: socket.socket) -> Stream:
        connection, base = begun.hand_over()
        server.setblocking(False)
        wire = Wire(server)
        return Stream(self, self.sockets.adopt(connection, wire, base), wire, reader)

    def turn(self) -> None:
        self.loop.turn()

    def until(self, predicate: Callable[[], Any]) -> None:
        """Turns the loop until `predicate` holds."""
        eventually(lambda: self.loop.turn() or predicate(), every=0.001)

    def settle(self) -> None:
        """Turns the loop until nothing is to be done."""
        self.turn()
        while not self.loop.idle:
            self.turn()

    @property
    def places(self) -> int:
        return self.desk.hub.counts()["connections"]
