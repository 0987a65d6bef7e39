"""How an answer's bytes come in: each read by the thread that waits for them, or all on one event loop.

Among greenlets a thread for each is a switch, a timer and a failed read for each token, and one epoll for all
the sockets is none of these. The thread then waits for the end, and what arrives is fed on the loop. Knows no
gevent: loop and epoll are handed in (app/hub/loop.py). There is no lock: all of it runs on the loop's thread.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from app.relay.body import NOTHING_YET, READ_SIZE, Body
from app.relay.turns import TURN, Turns

READABLE = 1  # EPOLLIN, which not every system's `select` has
# Sockets that are read between two looks at what else there is to do.
FEW = 64

# Reads a body to its end, or until it wants no more; raises what it raises.
Read = Callable[[Body], None]


class Loop(Protocol):
    """Calls back each time something can be read; what it calls must not wait."""

    def readable(self, descriptor: int, call: Callable[[], None]) -> None: ...


def in_thread(body: Body) -> None:
    """Reads in the thread that calls, which waits for each piece."""
    if body.sock is not None:
        # The clocks of an answer watch over it from here.
        body.sock.settimeout(None)
    turns = Turns()
    while body.received(turns.read(body.wait)):
        pass


class Inlet:
    """One body that is read on the loop, `over` and `done` once it is through, by `error` if there is one."""

    def __init__(self, body: Body) -> None:
        self.body = body
        self.over = False
        self.done = threading.Event()
        self.error: BaseException | None = None
        self._received = body.received
        # TLS may hold decrypted bytes of which epoll knows nothing.
        self._pending: Callable[[], int] | None = getattr(body.sock, "pending", None)
        self._recv: Callable[[int], bytes] = _recv_of(body.sock)

    def begin(self) -> bool:
        """Takes what came with the head, and what TLS has decrypted of the rest. Whether more is wanted."""
        try:
            rest = self.body.rest_of_head()
        except NOTHING_YET:
            rest = b""
        if rest and not self.body.received(rest):
            return False
        self.go_on()
        return not self.over

    def go_on(self) -> None:
        """Takes what has arrived."""
        try:
            while not self.over:
                try:
                    data = self._recv(READ_SIZE)
                except NOTHING_YET:  # here only: what is fed may raise the same, and mean it
                    return
                self.over = not self._received(data)
                if self._pending is None or not self._pending():
                    break
        except BaseException as error:  # the loop would never call again, for anybody
            self.over, self.error = True, error
        if self.over:
            self.done.set()


def _recv_of(sock: Any) -> Callable[[int], bytes]:
    """How to read what is there: a greenlet's socket would first see whether it may wait, and passes it on to
    the one inside. TLS has one inside as well, whose bytes are not those that are meant."""
    inside = None if isinstance(sock, ssl.SSLSocket) else getattr(sock, "_sock", None)
    recv: Callable[[int], bytes] = (inside or sock).recv
    return recv


class Inlets:
    """All answers that are read on one loop; `make` gives it and an epoll of its own, when first needed."""

    def __init__(
        self, make: Callable[[], tuple[Loop, Any]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._make, self._clock = make, clock
        self._poll: Any = None
        self._by_descriptor: dict[int, Inlet] = {}
        self._due: deque[tuple[int, int]] = deque()  # descriptors that can be read, and how

    def __repr__(self) -> str:
        return f"<Inlets: {len(self._by_descriptor)} open>"

    def read(self, body: Body) -> None:
        """Returns at the end of `body`, which is fed on the loop: what it calls must not wait."""
        if body.sock is None or not self._ready() or not self._watched(body.sock):
            in_thread(body)
            return
        inlet, descriptor = Inlet(body), body.sock.fileno()
        try:
            body.sock.settimeout(0.0)
            if inlet.begin():
                self._by_descriptor[descriptor] = inlet
                inlet.done.wait()
        finally:
            # Before the socket is closed: its number may soon be another's.
            self._by_descriptor.pop(descriptor, None)
            self._poll.unregister(descriptor)
        error, inlet.error = inlet.error, None
        try:
            if error:
                raise error
        finally:
            # What was raised knows the frames it went through, and those all that the answer was asked.
            del error

    def _ready(self) -> bool:
        if self._poll is None:
            try:
                loop, self._poll = self._make()
            except (AttributeError, OSError):  # no epoll here, or no file left for one
                return False
            loop.readable(self._poll.fileno(), self._look)
        return True

    def _watched(self, sock: Any) -> bool:
        """Has it watched, if the system does."""
        try:
            self._poll.register(sock.fileno(), READABLE)
        except OSError:
            return False
        return True

    def _look(self) -> None:
        """Reads some of those that can be. The others come first the next time, after whoever else has a
        turn: epoll would begin with the same ones again."""
        clock, due = self._clock, self._due
        end = clock() + TURN
        if not due:
            due.extend(self._poll.poll(0, FEW))
        while due:
            inlet = self._by_descriptor.get(due.popleft()[0])
            if inlet is not None:
                inlet.go_on()
            if clock() > end:
                return
