"""Many clients in one selector: each keeps a stream, loses it, comes back, and checks what it is sent.

The benches' reader. tests/rig/reading.py checks the whole contract, event by event; at 8,000 deltas/s on the
cores the server runs on a reader must be cheap, so this one looks at bytes: ids, `seq`, and the marks that
bench/paced.py puts into the texts. Check is pure; Readers does the sockets.
"""

from __future__ import annotations

import heapq
import json
import random
import selectors
import socket
import struct
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from urllib.parse import urlsplit

from bench.paced import MARK
from tests.rig.wire import Counted, Dechunker

Seen = Callable[[int, int], None]  # when a delta was sent and when it was read, both in ns

PLAIN = {
    "connected",
    "started",
    "message",
    "broadcast",
    "closing",
}  # what may come beside deltas and their end
WINDOW = 64  # streams that open at once
AGAIN = 1.0  # seconds until what was refused is tried again
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends RST


class Check:
    """What one client is sent, held against what it must be: every answer whole and once, each id above the
    one before. What is wrong is counted in `faults`; `seen` is called for each delta."""

    def __init__(self, deltas: int, faults: Counter[str], seen: Seen) -> None:
        self._deltas, self._faults, self._seen = deltas, faults, seen
        self.cursor = b""
        self.answer = b""  # the id of the one that is asked for and has not come to its [DONE]
        self.began = 0  # ns; when its first delta was read, 0 before
        self.whole = 0  # answers without a fault
        self._number = -1  # of the last id
        self._next = 0  # the delta that is due
        self._ended = self._spoiled = False
        self._rest = b""

    @property
    def idle(self) -> bool:
        """Whether an answer has come to its [DONE], and none was asked for since."""
        return self._ended and not self.answer

    def asked(self, generation: bytes) -> None:
        self.answer, self.began, self._next = generation, 0, 0
        self._ended = self._spoiled = False

    def cut(self) -> None:
        """The connection was lost, and with it what is not a whole event."""
        self._rest = b""

    def feed(self, body: bytes, now: int) -> None:
        """Bytes of the stream as they came, read at `now`."""
        *blocks, self._rest = (self._rest + body).split(b"\n\n")
        for block in blocks:
            line, _, rest = block.partition(b"\n") if block.startswith(b"id: ") else (b"", b"", block)
            if rest.startswith(b'data: {"type":"delta"'):
                self._delta(rest, now)
            elif rest.startswith(b"data: "):
                self._other(rest[6:])
            if line:
                self._placed(line[4:], opens=b'"type":"connected"' in rest)

    def _delta(self, block: bytes, now: int) -> None:
        if not self.answer or self.answer not in block:
            self._fault("delta of another answer")
            return
        self._marked(block, now)
        if b'"seq":%d,' % self._next not in block:
            self._fault("seq that does not fit")

    def _marked(self, block: bytes, now: int) -> None:
        """The deltas in a block, by their marks."""
        for number, sent in MARK.findall(block):
            if int(number) != self._next:
                self._fault("gap" if int(number) > self._next else "duplicate")
            self._next = int(number) + 1
            self.began = self.began or now
            self._seen(int(sent), now)

    def _other(self, body: bytes) -> None:
        if body == b"[DONE]":
            self._done()
            return
        event = json.loads(body)
        kind = event["type"]
        if kind == "done":
            self._terminal(event)
        elif kind not in PLAIN or event.get("attempt", 1) > 1:
            self._fault(f"{kind} {event.get('reason', event.get('code', ''))}".strip())

    def _terminal(self, event: dict[str, object]) -> None:
        own = event["generationId"] == self.answer.decode()
        if self._ended or not own:
            self._fault("end of another answer")
        elif event["reason"] != "stop" or not event["seq"] == self._next == self._deltas:
            self._fault("end too early")
        else:
            self.whole += not self._spoiled
        self._ended = self._ended or own

    def _done(self) -> None:
        if not self._ended:
            self._fault("[DONE] before the end")
        self.answer = b""

    def _placed(self, cursor: bytes, opens: bool) -> None:
        """An id must be above the last one; only where a stream opens it may repeat it."""
        number = int(cursor.split(b".")[1])
        if number < self._number or (number == self._number and not opens):
            self._fault("id out of order")
        self.cursor, self._number = cursor, number

    def _fault(self, what: str) -> None:
        self._faults[what] += 1
        self._spoiled = True


class Reader:
    """One client: its name, its check, and the connection it has at this moment, if it has one."""

    def __init__(self, name: str, check: Check) -> None:
        self.name, self.check = name, check
        self.sock: socket.socket | None = None
        self.head = b""
        self.coding: Counted | Dechunker | None = None  # None until the head is read


class Readers:
    """All clients, their calls and whatever is due at a time, done by `turn`.

    Those who `talk` ask again as soon as an answer has come. `faults` is empty where all went well;
    `opened` counts the streams that were answered, `ended` those that the server ended.
    """

    def __init__(self, url: str, names: Iterable[str], deltas: int, seen: Seen) -> None:
        base = urlsplit(url)
        self._address, self._path = (base.hostname or "", base.port or 80), base.path
        self.faults: Counter[str] = Counter()
        self.all = [Reader(name, Check(deltas, self.faults, seen)) for name in names]
        self.talking: set[Reader] = set()
        self.opened = self.ended = 0
        self._selector = selectors.DefaultSelector()
        # (when, chance, what to do); the chance keeps two of one moment from being compared further.
        self._later: list[tuple[float, float, Callable[[], None]]] = []

    def __enter__(self) -> Readers:
        return self

    def __exit__(self, *exc: object) -> None:
        for key in list(self._selector.get_map().values()):
            self._drop(key.fileobj)  # type: ignore[arg-type]
        self._selector.close()

    @property
    def waiting(self) -> int:
        """Clients whose answer has not come to its end."""
        return sum(bool(reader.check.answer) for reader in self.all)

    @property
    def begun(self) -> int:
        """Clients who have read the first delta of their answer."""
        return sum(bool(reader.check.began) for reader in self.all)

    @property
    def whole(self) -> int:
        """Answers without a fault, of all clients together."""
        return sum(reader.check.whole for reader in self.all)

    def finish(self, within: float) -> None:
        """Lets the answers that run come to their ends; a fault each where they take longer."""
        self.talking.clear()
        deadline = time.monotonic() + within
        while self.waiting and time.monotonic() < deadline:
            self.turn(1)
        if self.waiting:
            self.faults["answer without an end"] += self.waiting

    def open_all(self, within: float) -> None:
        """Opens a stream for each, some at a time. Raises SystemExit where the server takes too long."""
        deadline = time.monotonic() + within
        for count, reader in enumerate(self.all, 1):
            self.open(reader)
            while self.opened < min(count - WINDOW, len(self.all)) or self.opened < count == len(self.all):
                if time.monotonic() > deadline:
                    raise SystemExit(f"{self.opened} streams after {within:g} s: {dict(self.faults)}")
                self.turn(0.1)

    def open(self, reader: Reader) -> None:
        """Asks for a stream, from the cursor where the client has one."""
        cursor = b"Last-Event-ID: %b\r\n" % reader.check.cursor if reader.check.cursor else b""
        path = f"/sse/createConnect?clientId={reader.name}&closeOnDone=false"
        reader.head, reader.coding = b"", None
        reader.sock = self._request("GET", path, cursor, partial(self._read, reader))

    def cut(self, reader: Reader, reset: bool) -> None:
        """Loses the connection, by RST or by FIN, and comes back at once."""
        if reader.sock is None:  # it is waiting to come back anyway
            return
        if reset:
            reader.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._lost(reader)
        self.open(reader)

    def talk(self, readers: Iterable[Reader], seconds: float) -> None:
        """Lets these ask, first at any moment of the next `seconds`: answers of one length that begin
        together would also end together, and the next ones be asked for all at once."""
        for reader in readers:
            self.talking.add(reader)
            self.later(random.random() * seconds, partial(self.ask, reader))
        self.turns(seconds)

    def ask(self, reader: Reader) -> None:
        """Asks for the next answer."""
        generation = str(uuid.uuid4())
        reader.check.asked(generation.encode())

        def answered(status: int, body: bytes) -> None:
            if status != 201:
                self.faults[f"POST /chat: {status}"] += 1
                self.later(AGAIN, partial(self.ask, reader))

        body = {"clientId": reader.name, "message": "hi", "generationId": generation}
        self.call("POST", "/chat", answered, body)

    def call(
        self,
        method: str,
        path: str,
        then: Callable[[int, bytes], None],
        body: object = None,
        head: bytes = b"",
    ) -> None:
        """One request on a connection of its own; `then` gets status and body. `head`: further lines."""
        data = b"" if body is None else json.dumps(body).encode()
        head += b"Connection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" % len(data)
        answer = bytearray()
        sock = self._request(method, path, head, lambda: self._called(sock, answer, then), data)

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        self._at(time.monotonic() + seconds, action)

    def every(self, seconds: float, action: Callable[[], None]) -> None:
        """Time after time by the clock, so that a rate stays a rate."""
        due = time.monotonic()

        def do() -> None:
            nonlocal due
            action()
            due += seconds
            self._at(due, do)

        due += seconds
        self._at(due, do)

    def turns(self, seconds: float) -> None:
        """Does for so long what there is to do."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.turn(left)

    def _at(self, due: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._later, (due, random.random(), action))

    def turn(self, seconds: float) -> None:
        """Waits at most so long for something to do, and does it."""
        wait = min(seconds, self._later[0][0] - time.monotonic()) if self._later else seconds
        for key, _ in self._selector.select(max(wait, 0)):
            if key.fileobj.fileno() >= 0:  # type: ignore[union-attr]  # not closed by one before it
                key.data()
        while self._later and self._later[0][0] <= time.monotonic():
            heapq.heappop(self._later)[2]()

    def _request(
        self, method: str, path: str, head: bytes, then: Callable[[], None], body: bytes = b""
    ) -> socket.socket:
        """Connected, sent, and watched for an answer. On loopback neither waits for anything."""
        sock = socket.create_connection(self._address, timeout=10)
        line = f"{method} {self._path}{path} HTTP/1.1\r\nHost: {self._address[0]}:{self._address[1]}\r\n"
        sock.sendall(line.encode() + head + b"\r\n" + body)
        sock.setblocking(False)
        self._selector.register(sock, selectors.EVENT_READ, then)
        return sock

    def _read(self, reader: Reader) -> None:
        assert reader.sock
        data = self._received(reader.sock)
        now = time.monotonic_ns()
        if data and reader.coding is None:
            data = self._after_head(reader, data)
        elif not data:
            self._come_back(reader, 0)
        if not data or reader.coding is None:
            return
        reader.check.feed(reader.coding.feed(data), now)
        if reader.coding.finished:
            self._come_back(reader, 0)
        if reader in self.talking and reader.check.idle:
            self.ask(reader)

    def _after_head(self, reader: Reader, data: bytes) -> bytes:
        """What comes after the head of the response, once it is there."""
        head, end, rest = (reader.head + data).partition(b"\r\n\r\n")
        if not end:
            reader.head = head
            return b""
        if head[9:12] != b"200":
            self.faults[f"GET createConnect: {head[9:12].decode()}"] += 1
            self._come_back(reader, AGAIN)
            return b""
        self.opened += 1
        reader.coding = Dechunker() if b"chunked" in head else Counted(-1)
        return rest

    def _come_back(self, reader: Reader, seconds: float) -> None:
        """The server has ended the stream: as a page does, return with the last id."""
        if reader.coding is None and not seconds:
            self.faults["no answer to createConnect"] += 1
            seconds = AGAIN
        self.ended += 1
        self._lost(reader)
        self.later(seconds, partial(self.open, reader))

    def _lost(self, reader: Reader) -> None:
        assert reader.sock
        self._drop(reader.sock)
        reader.sock = None
        reader.check.cut()

    def _called(self, sock: socket.socket, answer: bytearray, then: Callable[[int, bytes], None]) -> None:
        data = self._received(sock)
        answer += data
        if not data:
            self._drop(sock)
            head, _, body = bytes(answer).partition(b"\r\n\r\n")
            then(int(head[9:12] or 0), body)

    def _received(self, sock: socket.socket) -> bytes:
        try:
            return sock.recv(65536)
        except ConnectionError:
            self.faults["reset by the server"] += 1
            return b""

    def _drop(self, sock: socket.socket) -> None:
        self._selector.unregister(sock)
        sock.close()
