"""The bytes of one upstream's stream, as they come, to what they say.

Pure. frames.py cuts whole events, payloads.py reads their data; in between sseclient-py reads their fields,
except of an event that is one `data:` line, as nearly all are: those have a lane of their own here, which
tests/relay/test_parser.py holds against sseclient-py. Used by upstream.py only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import sseclient

from app.errors import UpstreamError
from app.relay.deltas import Said
from app.relay.frames import Frames
from app.relay.payloads import Payloads

# An event's name where it has none. [spec]
_MESSAGE = "message"


class Parser:
    """What one stream says: `feed` its bytes however they are cut, then `end`. Both must be read through.

    `max_event`: bytes of one event at most. `clean` is given each block of whole events and returns it, maybe
    without a secret; it must leave line ends alone.
    """

    def __init__(self, max_event: int, clean: Callable[[bytes], bytes] = bytes) -> None:
        self._frames = Frames(max_event)
        self._payloads = Payloads()
        self._clean = clean

    def feed(self, data: bytes) -> Iterator[Said]:
        """What the events say that `data` completes. Raises UpstreamError after what was good before it:
        `too_large`, `malformed`, or the error that the upstream reports."""
        try:
            block = self._frames.feed(data)
        except UpstreamError:
            yield from self._said(self._frames.before)
            raise
        for name, payload in fields(self._clean(block)):  # as in _said: one generator less a chunk
            yield from self._payloads.said(payload, name)

    def end(self) -> Iterator[Said]:
        """What the end of the stream completes. Raises UpstreamError `cut` where it is inside of an event."""
        yield from self._said(self._frames.end())
        if self._frames.truncated:
            raise UpstreamError("cut", "The upstream broke off in the middle of an event")

    def _said(self, block: bytes) -> Iterator[Said]:
        for name, payload in fields(self._clean(block)):
            yield from self._payloads.said(payload, name)


def fields(block: bytes) -> Iterable[tuple[str, bytes]]:
    """(name, data) of each event in a block of whole ones, as frames.py cuts them."""
    if block.startswith(b"data: ") and block.find(b"\n") == len(block) - 2:  # one event, one line
        return ((_MESSAGE, block[6:-2]),)
    return _fields(block)


def _fields(block: bytes) -> Iterator[tuple[str, bytes]]:
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
