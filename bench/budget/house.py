"""The real hub and relay in this process, with streams and answers whose far ends are held here.

Broadcasts: one event to every stream. Tokens: one token of each answer, from the bytes on its upstream's
socket to those on its reader's. Used by timed.py and counted.py, in processes that gevent has patched; the
sockets here are those it left alone, so nothing waits but in `awaited`.
"""

from __future__ import annotations

import _socket
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import gevent

from app.assembly import make_parts
from app.hub.loop import GeventLoop, epoll
from app.hub.outlets import GeneratorOutlet
from app.hub.peer import Peer
from app.hub.sockets import Sockets
from app.relay.generation import Question
from app.settings import Settings
from bench.paced import DELTA, HEAD, chunk, is_whole, mark

PATIENCE = 20  # seconds, after which a process gives up
MOMENT = 1e-6  # seconds: whoever is ready has a turn, and so has the loop
STREAMS, ANSWERS = 100, 32  # in a piece, which then takes about a millisecond
SIZE = 16_384  # bytes a read, as in app/relay/body.py
NEWS = {"text": "as long as a line of news may be: some sixty bytes of text."}
TOKEN = chunk(DELTA % mark(0, 1_760_000_000_000_000))

Socket = _socket.socket
Made = TypeVar("Made")


class Listener:
    """Makes both ends of TCP connections over loopback. `kind`: of the ends that are accepted."""

    def __init__(self, kind: type[Socket] = Socket) -> None:
        self._kind = kind
        self._listener = Socket(_socket.AF_INET, _socket.SOCK_STREAM)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(128)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]

    def pair(self) -> tuple[Socket, Socket]:
        """The near end, and the far one."""
        far = Socket(_socket.AF_INET, _socket.SOCK_STREAM)
        far.connect(("127.0.0.1", self.port))
        far.setblocking(False)
        return self.accept(), far

    def accept(self) -> Socket:
        """The near end of the next connection, tuned as those of streams are."""
        descriptor, _ = awaited(self._listener._accept)  # type: ignore[attr-defined]
        near = self._kind(_socket.AF_INET, _socket.SOCK_STREAM, 0, fileno=descriptor)
        near.setblocking(False)
        near.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        Peer(near).tune(PATIENCE)
        return near


def awaited(call: Callable[[], Made]) -> Made:
    """What `call` returns as soon as it does not have to wait. Raises gevent.Timeout."""
    with gevent.Timeout(PATIENCE):
        while True:
            with suppress(BlockingIOError):
                return call()
            gevent.sleep(MOMENT)


def until_arrived(readers: list[Socket]) -> None:
    """Has the loop turn until both the first and the last of them can be read, so nearly always all."""
    for reader in (readers[-1], readers[0]):
        awaited(lambda reader=reader: reader.recv(1, _socket.MSG_PEEK))


def emptied(readers: list[Socket]) -> bool:
    """Takes one event from each: whether all were there. SystemExit where one has more, or something else."""
    there = True
    for reader in readers:
        try:
            data = reader.recv(SIZE)
        except BlockingIOError:
            data, there = awaited(lambda reader=reader: reader.recv(SIZE)), False
        if data.count(b"\n\n") != 1:
            raise SystemExit(f"a stream has {data!r} in the place of one event: no measurement")
    return there


class House:
    """Hub and relay as the server has them. `kind`: of the sockets that streams are written to."""

    def __init__(self, kind: type[Socket] = Socket) -> None:
        self._upstream, self._front = Listener(), Listener(kind)
        self.parts = make_parts(Settings.load(upstream_url=f"http://127.0.0.1:{self._upstream.port}/v1"))
        self._sockets = Sockets(GeventLoop(), epoll(), self.parts.hub, send=kind.send)

    def stream(self, client: str) -> Socket:
        """The reader's end of a new stream, whose head is read. Opened as app/web/streams.py does it."""
        hub, (near, far) = self.parts.hub, self._front.pair()
        opened = hub.open(client, close_on_done=False)
        assert opened
        outlet = GeneratorOutlet(*opened, hub.take, hub.leave, Peer(near), chunked=False)
        near.send(next(outlet))
        connection, base = outlet.hand_over()
        self._sockets.adopt(connection, near, base)
        awaited(lambda: far.recv(SIZE))
        return far

    def answer(self, client: str) -> Socket:
        """The upstream's end of an answer that was asked for; its head is sent."""
        question = Question(str(uuid.uuid4()), client, f"talk of {client}", {"content": "hi"})
        self.parts.relay.start(question, lambda: [{"role": "user", "content": "hi"}])
        near, request = self._upstream.accept(), b""
        while not is_whole(request):
            request += awaited(lambda: near.recv(SIZE))
        near.send(HEAD)
        return near


class Broadcasts:
    """One broadcast to `count` streams."""

    def __init__(self, house: House, count: int) -> None:
        self.count, self._hub = count, house.parts.hub
        self.readers = [house.stream(f"listener-{n}") for n in range(count)]

    def ready(self) -> None:
        """Nothing has to be done before."""

    def go(self) -> None:
        self._hub.broadcast(NEWS, "info")
        until_arrived(self.readers)

    def check(self) -> bool:
        return emptied(self.readers)


class Tokens:
    """One token of each of `count` answers."""

    def __init__(self, house: House, count: int) -> None:
        self.count = count
        clients = [f"asker-{n}" for n in range(count)]
        self.readers = [house.stream(client) for client in clients]
        self._upstreams = [house.answer(client) for client in clients]
        emptied(self.readers)  # of `started`

    def ready(self) -> None:
        for upstream in self._upstreams:
            upstream.send(TOKEN)

    def go(self) -> None:
        until_arrived(self.readers)

    def check(self) -> bool:
        return emptied(self.readers)


def frame(piece: Broadcasts | Tokens, times: int = 10) -> bytes:
    """An event of this piece as it is on the wire, after so many of them, by which it has warmed up."""
    for _ in range(times):
        piece.ready()
        piece.go()
        data = piece.readers[0].recv(SIZE, _socket.MSG_PEEK)
        piece.check()
    return data
