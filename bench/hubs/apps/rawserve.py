"""The limit of one core in plain Python: one epoll; a broadcast is sock.send() of a ready frame in a loop.

    python rawserve.py PORT

GET anything is a stream; POST anything sends its body to all streams as one event.
"""

from __future__ import annotations

import contextlib
import resource
import select
import socket
import sys

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n: ok\n\n"
DONE = b"HTTP/1.1 204 No Content\r\n\r\n"


class Raw:
    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", port), backlog=4096)
        self._listener.setblocking(False)
        self._epoll = select.epoll()
        self._epoll.register(self._listener.fileno(), select.EPOLLIN)
        self._sockets: dict[int, socket.socket] = {}
        self._streams: dict[int, socket.socket] = {}

    def serve(self) -> None:
        while True:
            for fd, _ in self._epoll.poll(maxevents=512):
                if fd == self._listener.fileno():
                    self._accept()
                else:
                    self._answer(fd, self._sockets[fd])

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                sock, _ = self._listener.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets[sock.fileno()] = sock
                self._epoll.register(sock.fileno(), select.EPOLLIN)

    def _answer(self, fd: int, sock: socket.socket) -> None:
        try:
            request = sock.recv(8192)
        except ConnectionResetError:
            request = b""
        if not request:
            self._epoll.unregister(fd)
            self._streams.pop(fd, None)
            self._sockets.pop(fd).close()
        elif request.startswith(b"GET"):
            sock.send(HEAD)
            self._streams[fd] = sock
        else:
            self._broadcast(b"data: %b\n\n" % request.split(b"\r\n\r\n", 1)[1])
            sock.send(DONE)

    def _broadcast(self, frame: bytes) -> None:
        for sock in self._streams.values():
            try:
                sock.send(frame)
            except OSError:  # it has just hung up
                continue


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    Raw(int(sys.argv[1])).serve()
