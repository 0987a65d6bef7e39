"""Thousands of members read by one selector in one thread, over raw sockets.

Each reads, loses its connection and comes back as its Member says.
"""

from __future__ import annotations

import contextlib
import errno
import heapq
import random
import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count

from bench.stress.member import Answer, Member

RECV = 65536
LOOK = 0.01  # seconds between two looks at what is awaited: with thousands of members it costs
_RESET = struct.pack("ii", 1, 0)


@dataclass(eq=False)
class Line:
    """One connection of a member. `left`: bytes until it is lost, None: it isn't."""

    member: Member
    sock: socket.socket
    left: int | None
    answer: Answer = field(default_factory=Answer)
    sent: bool = False


class Crowd:
    """`with Crowd(port, rng) as crowd: crowd.join(members); crowd.read(…)`. Times are seconds."""

    def __init__(self, port: int, rng: random.Random, away: float = 0.05) -> None:
        """`away`: the longest that a member stays away before it comes back."""
        self.port, self._rng, self._away = port, rng, away
        self.lines: dict[Member, Line] = {}
        self._selector = selectors.DefaultSelector()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *exc: object) -> None:
        for member in list(self.lines):
            self.leave(member)
        self._selector.close()

    # --- what members do

    def join(self, members: Iterable[Member]) -> None:
        """They connect, all at once; a member that is there already stays as it is."""
        for member in members:
            if member not in self.lines:
                self._connect(member)

    def leave(self, member: Member, how: str = "fin") -> None:
        """It ends its connection by FIN or by RST ("rst"), and doesn't come back by itself."""
        line = self.lines.pop(member, None)
        if line is not None:
            with contextlib.suppress(KeyError):  # one that rests is not registered
                self._selector.unregister(line.sock)
            if how == "rst":
                line.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            line.sock.close()

    def rest(self, member: Member) -> None:
        """It stops reading, and stays."""
        self._selector.unregister(self.lines[member].sock)

    def wake(self, member: Member) -> None:
        """It reads again."""
        if member in self.lines:
            self._selector.register(self.lines[member].sock, selectors.EVENT_READ, self.lines[member])

    # --- reading

    def read(self, lacking: Callable[[], Sequence[Member]], within: float) -> None:
        """Until `lacking()` is empty. AssertionError with the first of those it still has after `within`, and
        as soon as a member is told anything out of turn."""
        deadline = time.monotonic() + within
        look = 0.0
        while True:
            now = time.monotonic()
            if now >= look:
                if not (rest := lacking()):
                    return
                assert now < deadline, f"{len(rest)} still lack something after {within} s, first {rest[0]}"
                look = time.monotonic() + LOOK
            self._turn(LOOK)

    def read_whole(self, members: Sequence[Member], within: float) -> None:
        """Until all have what they are due."""
        waiting = list(members)

        def lacking() -> Sequence[Member]:
            waiting[:] = [member for member in waiting if not member.whole()]
            return waiting

        self.read(lacking, within)

    def read_for(self, seconds: float) -> None:
        """Whatever comes."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._turn(min(left, LOOK))

    def opened(self, members: Sequence[Member], within: float = 30.0) -> None:
        """Connects them and reads until each is on a stream."""
        before = {member: member.seen["connected"] for member in members}
        self.join(members)
        self.read(lambda: [m for m in members if m.seen["connected"] == before[m]], within)

    def _turn(self, seconds: float) -> None:
        while self._due and self._due[0][0] <= time.monotonic():
            heapq.heappop(self._due)[2]()
        for key, _ in self._selector.select(seconds):
            line: Line = key.data
            if self.lines.get(line.member) is line:
                (self._receive if line.sent else self._ask)(line)

    # --- one connection

    def _connect(self, member: Member) -> None:
        if member in self.lines or member.finished:
            return
        sock = socket.socket()
        sock.setblocking(False)
        if member.buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, member.buffer)
        if member.source != "127.0.0.1":
            sock.bind((member.source, 0))
        code = sock.connect_ex(("127.0.0.1", self.port))
        assert code in (0, errno.EINPROGRESS), f"connect: {errno.errorcode[code]}"
        line = Line(member, sock, member.bites() if member.bites else None)
        self.lines[member] = line
        self._selector.register(sock, selectors.EVENT_WRITE, line)

    def _ask(self, line: Line) -> None:
        try:
            line.sock.send(line.member.request(self.port))
        except OSError:  # refused, or reset before we could speak
            self._over(line)
            return
        line.sent = True
        self._selector.modify(line.sock, selectors.EVENT_READ, line)

    def _receive(self, line: Line) -> None:
        size, pause = line.member.pace
        try:
            data = line.sock.recv(size or RECV)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        lost = line.left is not None and len(data) > line.left
        if lost:
            data = data[: line.left]
        elif line.left is not None:
            line.left -= len(data)
        self._take(line, data)
        if not data or lost or line.answer.ended:
            self._over(line, lost)
        elif pause:
            self.rest(line.member)
            self._later(pause, lambda: self._resume(line))

    def _take(self, line: Line, data: bytes) -> None:
        answer, member = line.answer, line.member
        if data:
            before = answer.status
            events = list(answer.feed(data))
            if not before and answer.status:
                member.answered(answer.status)
            for event in events:
                member.take(event)
            assert not member.fault, f"out of turn: {member}"

    def _over(self, line: Line, lost: bool = False) -> None:
        """The connection has ended, or the member lost it."""
        member = line.member
        member.torn += line.answer.torn and not lost
        self.leave(member, self._rng.choice(["fin", "rst"]))
        if member.returns:
            self._later(self._rng.uniform(0, self._away), lambda: self._connect(member))

    def _resume(self, line: Line) -> None:
        if self.lines.get(line.member) is line:
            self.wake(line.member)

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._due, (time.monotonic() + seconds, next(self._order), what))
