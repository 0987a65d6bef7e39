"""Reading a stream as a strict client does: Stream is one connection, Reader a client over many of them.

For tests; raw sockets, so that a reset is a reset and nothing hides what came. What may come is checked by
tests/rig/wire.py; a Reader checks besides that nothing comes twice and folds the events into texts.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

from tests.rig.wire import DONE, Counted, Dechunker, Event, Wire

T = TypeVar("T")


def eventually(predicate: Callable[[], T], within: float = 5.0, every: float = 0.01) -> T:
    """The first true value of `predicate`, asked until then; AssertionError after `within` seconds."""
    deadline = time.monotonic() + within
    while not (value := predicate()):
        assert time.monotonic() < deadline, f"not within {within} s: {predicate}, last {value!r}"
        time.sleep(every)
    return value


def _until(following: Callable[[float], Event], types: tuple[str, ...], timeout: float) -> Event:
    """The next event of one of these types; `following` gives the next of any, within so many seconds."""
    deadline = time.monotonic() + timeout
    while (event := following(max(0.001, deadline - time.monotonic()))).type not in types:
        pass
    return event


class Stream:
    """One event stream. `status` and `headers` (lower-case names) are there at once; a refusal has a `body`.

    `transcript` is what `next` has given so far; what lies in the buffer beyond it has not been seen.
    """

    def __init__(
        self,
        url: str,
        client_id: str | None = None,
        last_event_id: str | None = None,
        *,
        headers: dict[str, str] | None = None,
        path: str = "/sse/createConnect",
        lags: bool = False,
        **query: str,
    ) -> None:
        self.transcript: list[Event] = []
        self.ended = False
        self._broken = False  # reset, or ended before its body did
        self.body = b""
        self._wire = Wire(lags)
        self._ask(url, path, _query(client_id, query), _headers(last_event_id, headers))

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Event]:
        with contextlib.suppress(EOFError):
            while True:
                yield self.next()

    @property
    def retry(self) -> int | None:
        """Milliseconds of the last `retry:` line."""
        return self._wire.retry

    @property
    def cut(self) -> bool:
        """Read to its end, and that came too early: a reset, or in the middle of a block or body."""
        return self.ended and (self._broken or bool(self._wire.rest))

    @property
    def comments(self) -> int:
        return self._wire.comments

    def next(self, timeout: float = 10.0) -> Event:
        """The next event; EOFError at the end of the stream, TimeoutError when none comes in `timeout` s."""
        deadline = time.monotonic() + timeout
        while not (event := self._wire.pop()):
            if self.ended:
                raise EOFError(f"the stream ended after {self.types()}")
            self._receive(deadline)
        self.transcript.append(event)
        return event

    def until(self, *types: str, timeout: float = 10.0) -> Event:
        """Reads on to the next event of one of these types."""
        return _until(self.next, types, timeout)

    def collect(self, timeout: float = 10.0) -> list[Event]:
        """Reads on to the end; the whole transcript."""
        deadline = time.monotonic() + timeout
        with contextlib.suppress(EOFError):
            while True:
                self.next(max(0.001, deadline - time.monotonic()))
        return self.transcript

    def types(self) -> list[str]:
        return [event.type for event in self.transcript]

    def reset(self) -> None:
        """Ends the connection as a lost network does: RST."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        self._sock.close()
        self.ended = True

    def _ask(self, url: str, path: str, query: str, headers: str) -> None:
        base = urlsplit(url)
        self._sock = socket.create_connection((base.hostname or "", base.port or 80), timeout=10)
        try:
            self._sock.sendall(
                f"GET {base.path}{path}{query} HTTP/1.1\r\nHost: {base.netloc}\r\n{headers}\r\n".encode()
            )
            self._head()
        except BaseException:
            self.close()
            raise

    def _head(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            data = self._sock.recv(65536)
            assert data, f"the connection ended in the head: {head!r}"
            head += data
        head, _, rest = head.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        self._coding = self._body_coding()
        if self.headers.get("content-type", "").startswith("text/event-stream") and self.status == 200:
            self._took(rest)
        else:
            self._refused(rest)

    def _body_coding(self) -> Dechunker | Counted:
        if self.headers.get("transfer-encoding") == "chunked":
            return Dechunker()
        return Counted(0 if self.status == 204 else int(self.headers.get("content-length", -1)))

    def _refused(self, data: bytes) -> None:
        """Any answer but a stream is read whole at once."""
        self.body = self._coding.feed(data)
        while not self._coding.finished and (data := self._sock.recv(65536)):
            self.body += self._coding.feed(data)
        self.close()

    def _receive(self, deadline: float) -> None:
        self._sock.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            data = self._sock.recv(65536)
        except TimeoutError:
            rest = self._wire.rest
            raise TimeoutError(f"no event in time after {self.types()[-3:]}; unfinished: {rest!r}") from None
        except ConnectionResetError:
            self._broken = self.ended = True
            return
        if data:
            self._took(data)
        else:
            self._broken = not self._coding.endless
            self.ended = True

    def _took(self, data: bytes) -> None:
        self._wire.feed(self._coding.feed(data))
        self.ended = self._coding.finished


def _query(client_id: str | None, query: dict[str, str]) -> str:
    pairs = {**({} if client_id is None else {"clientId": client_id}), **query}
    return f"?{urlencode(pairs)}" if pairs else ""


def _headers(last_event_id: str | None, headers: dict[str, str] | None) -> str:
    cursor = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
    lines = {"Accept": "text/event-stream", **cursor, **(headers or {})}
    return "".join(f"{name}: {value}\r\n" for name, value in lines.items())


class Reader:
    """One client that loses its connection and comes back with its last id, as a careful page does.

    `texts` and `reasonings` by generationId, `terminals` the `done` or `error` of each; `events` what counts:
    an opening that was cut before the snapshot that places it is dropped, since it comes again whole.
    """

    def __init__(self, url: str, client_id: str | None = None, *, lags: bool = False, **query: str) -> None:
        self._connect = partial(Stream, url, client_id, headers=None, lags=lags, **query)
        self.cursor: str | None = None
        self.texts: dict[str, str] = {}
        self.reasonings: dict[str, str] = {}
        self.terminals: dict[str, Event] = {}
        self.events: list[Event] = []
        self.connections = 0
        self.finished = False  # the server said: do not come back
        self.seqs: dict[str, int] = {}
        self._ids: set[str] = set()
        self._opening: list[Event] = []
        self.connect()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def connect(self) -> None:
        """Comes (back) with the last id; `finished` where the answer is 204."""
        self._opening = []
        self.stream = self._connect(last_event_id=self.cursor)
        self.connections += 1
        assert self.stream.status in {200, 204}, f"{self.stream.status}: {self.stream.body!r}"
        self.finished = self.stream.status == 204

    def reset(self) -> None:
        self.stream.reset()

    def close(self) -> None:
        self.stream.close()

    def next(self, timeout: float = 10.0) -> Event:
        event = self.stream.next(timeout)
        self._take(event)
        return event

    def until(self, *types: str, timeout: float = 10.0) -> Event:
        """Reads on to the next event of one of these types, on this connection."""
        return _until(self.next, types, timeout)

    def follow(self, *types: str, timeout: float = 30.0) -> Event | None:
        """As `until`, coming back after every end; None once the server said not to.

        Without types it reads to that point.
        """
        deadline = time.monotonic() + timeout
        while not self.finished:
            try:
                return self.until(*types, timeout=max(0.001, deadline - time.monotonic()))
            except EOFError:
                self.close()
                if not self.finished:
                    self.connect()
        return None

    def _take(self, event: Event) -> None:
        if event.type in {"connected", "heartbeat", "reset", "overloaded", "closing"}:
            self.cursor = event.id or self.cursor
            self.finished = event.type == "closing" and not event["reconnect"]
            self.events.append(event)
            return
        self._opening.append(event)
        if event.id is not None:
            self._place(event)

    def _place(self, event: Event) -> None:
        """From here on the opening, or this one event, is ours for good."""
        assert event.type == "snapshot" or event.id not in self._ids, f"came twice: {event.raw!r}"
        self.cursor = event.id
        self._ids.add(str(event.id))
        for each in self._opening:
            self._fold(each)
        self.events += self._opening
        self._opening = []

    def _fold(self, event: Event) -> None:
        generation = event.json.get("generationId", "")
        if event.type == "started":
            self._write(generation, {}, clear=event["attempt"] > 1)
        elif event.type == "delta":
            self._number(event, generation, above=True)
            self._write(generation, event["data"])
        elif event.type == "snapshot":
            self._number(event, generation, above=False)
            self._write(generation, event["data"], clear=True)
        elif event.type in {"done", "error"}:
            self._number(event, generation, above=False)
            assert generation not in self.terminals, f"a second terminal event: {event.raw!r}"
            self.terminals[generation] = event

    def _number(self, event: Event, generation: str, *, above: bool) -> None:
        last, seq = self.seqs.get(generation, 0), event["seq"]
        assert seq > last or (seq == last and not above), f"seq {seq} after {last}: {event.raw!r}"
        self.seqs[generation] = seq

    def _write(self, generation: str, data: dict[str, Any], *, clear: bool = False) -> None:
        for texts, field in ((self.texts, "content"), (self.reasonings, "reasoning")):
            before = "" if clear else texts.get(generation, "")
            texts[generation] = before + (data.get(field) or "")


__all__ = ["DONE", "Event", "Reader", "Stream", "eventually"]
