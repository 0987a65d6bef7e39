"""Answers read from the upstream itself: what bench/relay.py holds the way through the server against.

By the selector and the marks of bench/readers.py, so that both ways have the same reader. Marks is pure.
"""

from __future__ import annotations

from bench.readers import Check, Reader, Readers, Seen

QUESTION = b'{"model":"paced","stream":true,"messages":[{"role":"user","content":"hi"}]}'
HEAD = b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(QUESTION)


class Marks(Check):
    """One answer of bench/paced.py held against what it must be: each delta once and in order, `[DONE]`."""

    def feed(self, body: bytes, now: int) -> None:
        *blocks, self._rest = (self._rest + body).split(b"\n\n")
        for block in blocks:
            if block == b"data: [DONE]":
                self._over()
            else:
                self._marked(block, now)

    def _over(self) -> None:
        if self._next != self._deltas:
            self._fault("end too early")
        self.whole += not self._spoiled
        self.answer = b""


class Direct(Readers):
    """So many clients of the upstream; each asks on a connection of its own and reads the answer there."""

    def __init__(self, url: str, answers: int, deltas: int, seen: Seen) -> None:
        super().__init__(url, (), deltas, seen)
        self.all = [Reader(f"direct-{number}", Marks(deltas, self.faults, seen)) for number in range(answers)]

    def open_all(self, within: float) -> None:
        """Nothing to open: an answer comes on the connection that asks for it."""

    def ask(self, reader: Reader) -> None:
        reader.check.asked(b"direct")
        reader.head, reader.coding = b"", None
        reader.sock = self._request("POST", "/chat/completions", HEAD, lambda: self._read(reader), QUESTION)

    def _come_back(self, reader: Reader, seconds: float) -> None:
        """The upstream has closed, as it does after an answer: the next one is asked for anew."""
        self.ended += 1
        if reader.check.answer:
            self.faults["cut by the upstream"] += 1
            reader.check.answer = b""
        self._lost(reader)
