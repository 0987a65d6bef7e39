"""One open event stream: where its reader stands, how it ends, and what of it was handed over.

Made by the hub, drained by an outlet, which decides nothing: it asks for bytes and writes them. The hub's
lock guards every field but those that `wrote`, `confirm` and `expire` set, which are its outlet's alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from app.hub.events import encode, frame
from app.hub.reading import Position, Shelf


class Ending(NamedTuple):
    """How a stream ends: whether `closing` is said, and whether the reader is asked back."""

    said: bool
    reconnect: bool


# [protocol §2] every way a stream ends. Any end but these is a lost network, after which readers come back.
ENDINGS = {
    "done": Ending(said=False, reconnect=False),  # `[DONE]` was the last word
    "closed": Ending(said=True, reconnect=False),  # somebody called close
    "shutdown": Ending(said=True, reconnect=True),  # the process goes
    "slow": Ending(said=True, reconnect=True),  # took nothing for too long; hears it if it wakes up
    "gone": Ending(said=False, reconnect=True),  # the peer left; nobody reads what is said
}

BEGINNING = Position(0, 0)

# Acknowledgements are asked for only when this many writes are unconfirmed: one system call in 64 writes.
UNCONFIRMED = 64


class Write(NamedTuple):
    """A write: where it ended on the wire, where the reader then stood, when (monotonic seconds)."""

    offset: int
    number: int
    at: float


def _nobody() -> None:
    """Until an outlet listens there is nobody to wake."""


@dataclass(slots=True, eq=False)
class Connection:
    """The state of one stream.

    Its outlet sets four calls, for any thread: `wake`, `gone` (whether the peer left), `progress` (bytes the
    peer has acknowledged), `cut` (ends a write that hangs).
    """

    id: str
    client_id: str
    close_on_done: bool = True
    beat_as_event: bool = False
    suffix: bytes = b""
    position: Position = BEGINNING
    written_at: float = 0.0
    ending: str = ""
    said: bool = False
    beat_due: bool = False
    unwritten: bool = True
    patience: float = 30.0
    handed: int = 0
    written: int = 0
    wired: int = 0
    wake: Callable[[], None] = _nobody
    gone: Callable[[], bool] = lambda: False
    progress: Callable[[], int] = lambda: 0
    cut: Callable[[], None] = _nobody
    progressed: int = 0
    progressed_at: float = 0.0
    writes: deque[Write] = field(default_factory=deque)

    def __repr__(self) -> str:
        state = self.ending or "open"
        return f"<Connection {self.id} of {self.client_id}: {state}, at {self.position.own}>"

    def begin(self, start: Position, opened: Position, resumed: bool) -> None:
        """Takes its place: at `opened`, once its first bytes are written. Who brings a cursor that is
        honoured has been handed all before it."""
        self.position = opened
        if resumed:
            self.handed = self.written = start.own

    def end(self, reason: str) -> bool:
        """Gives the stream its end; False where it has one already. The outlet finds it at its next turn."""
        if self.ending:
            return False
        self.ending = reason
        return True

    def due(self, shelf: Shelf) -> list[bytes]:
        """The frames to write next, after which the reader stands at `position`.

        A reader that fell so far behind that events it never had are gone is told so, and goes on as
        one that connects anew.
        """
        frames: list[bytes] = []
        start = shelf.resume(self.position)
        if start.reset:
            frames.append(shelf.reset(start.reset, f"{shelf.epoch}.{self.position.own}"))
        if start.fold:
            opening = shelf.opening(start, self.suffix)
            self.position = opening.position
            frames += opening.frames
        rest = shelf.following(self.position, self.suffix, self.close_on_done)
        self.position = rest.position
        if rest.done:
            self.end("done")
        return frames + rest.frames

    def farewell(self, retry: bytes) -> bytes:
        """The event `closing`, for endings that are said, after `retry` where readers are asked back."""
        self.said = True
        ending = ENDINGS[self.ending]
        if not ending.said:
            return b""
        fields = {"reason": self.ending, "reconnect": ending.reconnect}
        return (retry if ending.reconnect else b"") + frame(encode("closing", self.client_id, fields))

    @property
    def over(self) -> bool:
        """Whether nothing more is to be written."""
        return self.said or self.ending == "gone"

    def wrote(self, size: int, now: float) -> None:
        """Notes that the bytes last taken, `size` on the wire, were given to the kernel."""
        self.wired += size
        self.written = self.position.own
        self.unwritten = False
        self.writes.append(Write(self.wired, self.written, now))

    def stuck(self, now: float, patience: float) -> bool:
        """Whether what was last taken has not got out, and nothing of it was acknowledged for `patience`."""
        if not self.unwritten:
            return False
        progress = self.progress()
        if progress != self.progressed:
            self.progressed, self.progressed_at = progress, now
        return now - max(self.written_at, self.progressed_at) > patience

    def confirm(self, acknowledged: int) -> None:
        """Forgets the writes that the peer's TCP has acknowledged, up to `acknowledged` bytes."""
        while self.writes and self.writes[0].offset <= acknowledged:
            self.handed = self.writes.popleft().number

    def expire(self, now: float) -> None:
        """Forgets the writes that are older than the patience, where nobody ever confirms any."""
        while self.writes and self.writes[0].at < now - self.patience:
            self.handed = self.writes.popleft().number

    def settle(self, acknowledged: int | None, now: float) -> int:
        """The number up to which this connection was handed its events, once it has ended.

        [protocol §1] by what TCP acknowledged; without a socket at hand all but what was written in the
        last `patience` seconds; and all of it where the end was said and got out.
        """
        if self.said and not self.unwritten:
            self.handed = max(self.handed, self.written)
        elif acknowledged is not None:
            self.confirm(acknowledged)
        else:
            self.expire(now)
        return self.handed


def wake(connections: Iterable[Connection]) -> None:
    """Tells outlets that there is something to take; never under the hub's lock."""
    for connection in connections:
        connection.wake()
