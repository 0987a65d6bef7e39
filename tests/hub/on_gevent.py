"""What tests/hub/test_loop.py has done in a process of its own, which gevent has patched: one task by name.

    python -m tests.hub.on_gevent TASK

Prints the task's result as JSON.
"""

from gevent import monkey

monkey.patch_all()

import _socket  # noqa: E402  # the one that nobody patched: what is taken from a server is one of these
import json  # noqa: E402
import select  # noqa: E402
import socket  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable  # noqa: E402
from contextlib import ExitStack  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402

from app.hub.loop import GeventLoop, epoll  # noqa: E402
from app.hub.signals import disconnected  # noqa: E402
from app.hub.sockets import Sockets  # noqa: E402
from tests.hub.kit import Desk, read  # noqa: E402

PATIENCE = 10  # seconds, after which a task is given up
OPEN = ExitStack()  # what is closed at the end


def soon() -> list[str]:
    """Two greenlets whose bytes arrive at once; each asks for something to be done soon."""
    loop, order = GeventLoop(), []

    def wait(name: str, reader: socket.socket) -> None:
        reader.recv(1)
        order.append(name)
        loop.soon(lambda: order.append("soon"))

    pairs = [_pair(), _pair()]
    waiting = [gevent.spawn(wait, "ready", reader) for _, reader in pairs]
    gevent.sleep(0.01)
    for writer, _ in pairs:
        writer.send(b"x")
    gevent.joinall(waiting, timeout=PATIENCE)
    gevent.sleep(0.01)
    return order


def _pair() -> list[socket.socket]:
    return [OPEN.enter_context(end) for end in socket.socketpair()]


def later() -> dict[str, Any]:
    """What is done over and over, each time later by nothing, and a greenlet whose byte arrives meanwhile."""
    loop, order = GeventLoop(), []
    writer, reader = _pair()

    def again() -> None:
        order.append("again")
        if len(order) == 5:
            writer.send(b"x")
        if len(order) < 50:
            loop.later(0, again)

    def wait() -> None:
        reader.recv(1)
        order.append("read")

    waiting = gevent.spawn(wait)
    gevent.sleep(0)
    loop.later(0, again)
    gevent.joinall([waiting], timeout=PATIENCE)
    before = order.index("read")
    _until(lambda: len(order) == 50)
    return {"before": before, "all": len(order)}


def readable() -> dict[str, Any]:
    """An epoll of its own, looked at when the loop says so: once for each of three bytes."""
    loop, poll, heard = GeventLoop(), OPEN.enter_context(epoll()), []
    writer, reader = _pair()
    poll.register(reader.fileno(), 1)

    def look() -> None:
        heard.append([what for _, what in poll.poll(0, 10)])
        reader.recv(1)

    loop.readable(poll.fileno(), look)
    for n in range(3):
        writer.send(b"x")
        _until(lambda n=n: len(heard) > n)
    gevent.sleep(0.01)
    return {"patched": hasattr(select, "epoll"), "heard": heard}


def streams() -> dict[str, Any]:
    """Three streams on taken sockets: what they read, and the one signal that somebody wants to hear."""
    desk, heard = Desk(), []

    def hear(hub: object, client_id: str, reason: str, **_: Any) -> None:
        heard.append([client_id, reason])

    disconnected.connect(hear)
    poll = OPEN.enter_context(epoll())
    sockets = Sockets(GeventLoop(), poll, desk.hub)
    readers = [_stream(desk, sockets, f"c{n}") for n in range(3)]
    for n in range(100):
        desk.send(n, client="c0")
    desk.tell("all")
    got = [_events(reader, least) for reader, least in zip(readers, (101, 1, 1), strict=True)]
    readers[1].close()
    _until(lambda: len(heard) == 1)
    desk.hub.close("c2")
    last = _events(readers[2], 1)
    readers[2].close()
    _until(lambda: len(heard) == 2)
    desk.hub.close("c0")
    readers[0].close()
    _until(lambda: len(heard) == 3)
    return {"got": [len(events) for events in got], "last": last, "heard": heard, "left": desk.hub.counts()}


def _stream(desk: Desk, sockets: Sockets, client: str) -> socket.socket:
    """The reader of a stream whose head is written and whose socket is taken."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        reader = OPEN.enter_context(socket.create_connection(listener.getsockname()))
        taken, _ = listener.accept()
    opened = desk.hub.open(client, close_on_done=False)
    assert opened
    opened.connection.taken = ()
    sockets.adopt(opened.connection, _socket.socket(fileno=taken.detach()), 0)
    return reader


def _events(reader: socket.socket, least: int) -> list[str]:
    """Reads so many events, or what there is until the end."""
    data = b""
    with gevent.Timeout(PATIENCE):
        while data.count(b"data: ") < least:
            data += reader.recv(65_536)
    return [said.type for said in read(data)]


def _until(predicate: Callable[[], Any]) -> None:
    with gevent.Timeout(PATIENCE):
        while not predicate():
            gevent.sleep(0.001)


if __name__ == "__main__":
    with OPEN:
        sys.stdout.write(json.dumps(globals()[sys.argv[1]]()))
