"""The bare prototype: a stream's socket is taken from gunicorn's gevent worker, and events are written to it.

No ids, no log, no checks, no limits: what Flask and gunicorn cost with a hub that does nothing but its job.
"""

from __future__ import annotations

import os
import time

import gevent
from flask import Flask, Response, request
from gevent import monkey
from pacing import beats

HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"X-Accel-Buffering: no\r\nConnection: close\r\n\r\n: ok\n\n"
)
IN, HANG_UP = 1, 0x2000 | 16 | 8  # EPOLLIN; EPOLLRDHUP, EPOLLHUP, EPOLLERR
app = Flask(__name__)
streams: dict[int, None] = {}  # descriptors, in order
close = monkey.get_original("os", "close")


class Watcher:
    """One epoll, and one watcher of it in gevent's loop, for the hang-ups of all streams."""

    def __init__(self) -> None:
        self.epoll = monkey.get_original("select", "epoll")()
        self._watcher = gevent.get_hub().loop.io(self.epoll.fileno(), 1)
        self._watcher.start(self._ready)

    def _ready(self) -> None:
        for stream, events in self.epoll.poll(0, 512):
            if events & HANG_UP or not os.read(stream, 65536):
                self.epoll.unregister(stream)
                del streams[stream]
                close(stream)


class Detached(Response):
    """StopIteration is what gunicorn itself raises where a connection is over."""

    def __call__(self, environ, start_response):
        stream = environ["gunicorn.socket"].detach()
        os.write(stream, HEAD)
        streams[stream] = None
        watcher().epoll.register(stream, IN | HANG_UP)
        raise StopIteration


def watcher(made: list[Watcher] = []) -> Watcher:  # noqa: B006  # made with the first stream
    if not made:
        made.append(Watcher())
    return made[0]


@app.get("/sub")
def sub():
    return Detached()


@app.post("/pub")
def pub():
    frame, write = b"data: %b\n\n" % request.get_data(cache=False), os.write
    for stream in list(streams):
        try:
            write(stream, frame)
        except OSError:  # it has just hung up, or does not read: a hub would have to care
            continue
    return "", 204


@app.post("/produce")
def produce():
    seconds, start = float(request.args["seconds"]), time.monotonic_ns()
    for number, stream in enumerate(list(streams)):
        gevent.spawn(play, stream, number, seconds, start)
    return "", 204


def play(stream: int, number: int, seconds: float, start: int) -> None:
    for due, text in beats(number, seconds, start):
        if (wait := due - time.monotonic_ns()) > 0:
            gevent.sleep(wait / 1e9)
        os.write(stream, b'data: {"content":"%b"}\n\n' % text.encode())
