"""The least that plain Python needs for the same: what the hub and the relay are held against.

News: the same bytes to each socket. Words: epoll, a read, the chunk taken off, JSON in, JSON out, a log of
what was said, a send. Words are more than system calls because Python and the kernel do not slow down
together: while others fill the caches one takes twice as long, the other a third more, and beside system
calls alone a token would seem to have become dearer.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import orjson

from app.hub.loop import epoll
from bench.budget.house import SIZE, TOKEN, Listener, Socket, emptied

READABLE = 1  # EPOLLIN
KEPT = 2_000  # events of one log, as a mailbox keeps


class News:
    """The same `frame` to `count` sockets."""

    def __init__(self, count: int, frame: bytes) -> None:
        self.count, self._frame = count, frame
        listener = Listener()
        pairs = [listener.pair() for _ in range(count)]
        self._writers, self._readers = [near for near, _ in pairs], [far for _, far in pairs]

    def ready(self) -> None:
        """Nothing has to be done before."""

    def go(self) -> None:
        frame = self._frame
        for sock in self._writers:
            sock.send(frame)

    def check(self) -> bool:
        return emptied(self._readers)


class Words:
    """One token of each of `count` upstreams, read and sent on in an event of the length of `frame`."""

    def __init__(self, count: int, frame: bytes) -> None:
        self.count = count
        listener = Listener()
        pairs = [(listener.pair(), listener.pair()) for _ in range(count)]
        self._upstreams = [far for (_, far), _ in pairs]
        self._readers = [far for _, (_, far) in pairs]
        self._poll, self._number = epoll(), 0
        self._ways: dict[int, tuple[Socket, Socket, deque[Any]]] = {}
        for (upstream, _), (reader, _) in pairs:
            self._poll.register(upstream.fileno(), READABLE)
            self._ways[upstream.fileno()] = upstream, reader, deque(maxlen=KEPT)
        self._id = "x" * (len(frame) - len(said("", 0, "w0@1760000000000000 ")))

    def ready(self) -> None:
        for upstream in self._upstreams:
            upstream.send(TOKEN)

    def go(self) -> None:
        left, ways, ident, number = self.count, self._ways, self._id, self._number
        while left:
            for descriptor, _ in self._poll.poll(0, 64):
                upstream, reader, log = ways[descriptor]
                text = heard(upstream.recv(SIZE))
                number += 1
                event = said(ident, number, text)
                log.append((number, event, text))
                reader.send(event)
                left -= 1
        self._number = number

    def check(self) -> bool:
        return emptied(self._readers)


def heard(data: bytes) -> str:
    """The text of one chunk that holds one event."""
    _, _, data = data.partition(b"\r\ndata: ")
    text: str = orjson.loads(data[:-4])["choices"][0]["delta"]["content"]
    return text


def said(ident: str, number: int, text: str) -> bytes:
    """The event that says so, numbered."""
    body = {"type": "delta", "generationId": ident, "seq": number, "data": {"content": text}}
    return b"id: %d\ndata: %b\n\n" % (number, orjson.dumps(body))
