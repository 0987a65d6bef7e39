"""The bytes of one upstream's stream, as they come, to what they say.

Pure. frames.py cuts whole events, payloads.py reads their data; in between sseclient-py reads their fields,
except of an event that is one `data:` line, as nearly all are: those have a lane of their own here, which
tests/relay/test_parser.py holds against sseclient-py. Used by upstream.py only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import sseclient

from app.errors import UpstreamError
from app.relay.deltas import Said
from app.relay.frames import Frames
from app.relay.payloads import Payloads

# An event's name where it has none. [spec]
_MESSAGE = "message"
_DATA = b"data: "
# What stands in the place of a secret.
HIDDEN = b"***"


class Parser:
    """What one stream says: `feed` its bytes however they are cut, then `end`. Both must be read through.

    `max_event`: bytes of one event at most. `secret`: what is hidden wherever it stands in an event.
    """

    def __init__(self, max_event: int, secret: bytes = b"") -> None:
        self._frames = Frames(max_event)
        self._payloads = Payloads()
        self._secret = secret

    def feed(self, data: bytes) -> Iterable[Said]:
        """What the events say that `data` completes. Raises UpstreamError after what was good before it:
        `too_large`, `malformed`, or the error that the upstream reports."""
        try:
            block = self._frames.feed(data)
        except UpstreamError as error:
            return self._before(error)
        block = self._hidden(block)
        if (
            block.startswith(_DATA) and block.find(b"\n") == len(block) - 2
        ):  # one event, one line: nearly always
            return self._payloads.said(block[6:-2])
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
        for name, payload in fields(block):
            yield from self._payloads.said(payload, name)

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
