"""The bytes of one upstream's stream, as they come, to what they say.

Pure. frames.py cuts whole events, payloads.py reads their data; in between sseclient-py reads their fields,
except of an event that is one `data:` line, as nearly all are: those have a lane of their own here, which
tests/relay/test_parser.py holds against sseclient-py; a lane within it (alike.py) is for those that are like
the one before but for their text. Used by upstream.py only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import sseclient

from app.errors import UpstreamError
from app.relay.alike import DATA, Alike
from app.relay.deltas import Said
from app.relay.frames import Frames
from app.relay.payloads import Payloads

# An event's name where it has none. [spec]
_MESSAGE = "message"
# What stands in the place of a secret.
HIDDEN = b"***"


class Parser:
    """What one stream says: `feed` its bytes however they are cut, then `end`. Both must be read through.

    `max_event`: bytes of one event at most. `secret`: what is hidden wherever it stands in an event.
    """

    def __init__(self, max_event: int, secret: bytes = b"") -> None:
        self._frames = Frames(max_event)
        self._payloads = Payloads()
        self._alike = Alike(lambda payload: Payloads().said(payload), max_event)
        self._secret = secret

    def feed(self, data: bytes) -> Iterable[Said]:
        """What the events say that `data` completes. Raises UpstreamError after what was good before it:
        `too_large`, `malformed`, or the error that the upstream reports."""
        if self._frames.between and data.endswith(b"\n\n") and not (self._secret and self._secret in data):
            delta = self._alike.told(data, 0, len(data) - 2)
            if delta:  # nearly always
                return (delta,)
        try:
            block = self._frames.feed(data)
        except UpstreamError as error:
            return self._before(error)
        block = self._hidden(block)
        if block.find(b"\n\n") == len(block) - 2:
            return self._in_full(block[:-2])
        return self._said(block) if block else ()

    @property
    def glued(self) -> bool:
        """Whether events came glued together, and parts of them were left out."""
        return self._payloads.glued

    def end(self) -> Iterator[Said]:
        """What the end of the stream completes. Raises UpstreamError `cut` where it is inside of an event."""
        yield from self._said(self._hidden(self._frames.end()))
        if self._frames.truncated:
            raise UpstreamError("cut", "The upstream broke off in the middle of an event")

    def _before(self, error: UpstreamError) -> Iterator[Said]:
        yield from self._said(self._hidden(self._frames.before))
        raise error

    def _said(self, block: bytes) -> Iterator[Said]:
        """What a block of whole events says, each ended by a blank line."""
        start, end = 0, block.find(b"\n\n")
        while end >= 0:
            delta = self._alike.told(block, start, end)
            if delta:
                yield delta
            else:
                yield from self._in_full(block[start:end])
            start, end = end + 2, block.find(b"\n\n", end + 2)

    def _in_full(self, event: bytes) -> Iterable[Said]:
        """What one event says, without its blank line."""
        if not event.startswith(DATA) or b"\n" in event:
            return (said for name, payload in fields(event) for said in self._payloads.said(payload, name))
        said = self._payloads.said(event[len(DATA) :])
        self._alike.learn(event, said)
        return said

    def _hidden(self, block: bytes) -> bytes:
        return block.replace(self._secret, HIDDEN) if self._secret else block


def fields(block: bytes) -> Iterator[tuple[str, bytes]]:
    """(name, data) of each event in a block of whole ones, as frames.py cuts them."""
    for event in block.split(b"\n\n"):
        if b"\n" in event:
            yield from _by_sseclient(event)
        elif event.startswith(b"data:"):
            yield _MESSAGE, event[6 if event.startswith(b" ", 5) else 5 :]
        elif event and not event.startswith(b":"):
            yield from _by_sseclient(event)


def _by_sseclient(event: bytes) -> Iterator[tuple[str, bytes]]:
    for parsed in sseclient.SSEClient(iter((event + b"\n\n",))).events():
        yield parsed.event, parsed.data.encode()
