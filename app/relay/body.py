"""The bytes of a response's body the moment they arrive, without what HTTP puts around them.

http.client and urllib3 are made for bodies that are wanted whole: an event costs a dozen of their calls. A
stream in chunks, and one that ends with its connection, is read from the socket itself here; whatever else
there is (a known length, a compressor) goes through them. Used by upstream.py only.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from typing import Any

import requests
from urllib3.exceptions import ProtocolError

READ_SIZE = 65_536
# [RFC 9112 7.1] the line that begins a chunk: its size in hex, perhaps an extension.
_SIZE_LINE = 1_024


def pieces(response: requests.Response) -> Iterator[bytes]:
    """The body as it comes, never empty. Raises what requests, urllib3 or the socket raise; where the body is
    in chunks, ProtocolError also when the connection ends before them."""
    receive = _receiver(response)
    if receive is None:
        while data := response.raw.read1(READ_SIZE, decode_content=True):
            yield data
        return
    chunks = Chunks() if response.raw.chunked else None
    while data := receive():
        if chunks:
            data = chunks.feed(data)
        if data:
            yield data
        if chunks and chunks.ended:
            return
    if chunks:
        raise ProtocolError("the connection ended before the last chunk")


def _receiver(response: requests.Response) -> Callable[[], bytes] | None:
    """What gives the next bytes of the connection, b"" at its end; None where others have to read."""
    raw = response.raw
    parsed = getattr(raw, "_fp", None)
    coded = response.headers.get("Content-Encoding", "identity").lower() != "identity"
    if coded or not isinstance(parsed, http.client.HTTPResponse) or parsed.fp is None:
        return None
    if not parsed.chunked and parsed.length is not None:
        return None
    buffered: Any = parsed.fp
    sock = buffered.raw._sock
    # The clocks of an answer watch over it from here; a limit on each read would be a timer for each token.
    sock.settimeout(None)
    first = [buffered.read1]  # what came with the head; that empties the buffer

    def receive() -> bytes:
        data: bytes = first.pop()(READ_SIZE) if first else sock.recv(READ_SIZE)
        return data

    return receive


class Chunks:
    """A body in chunks, decoded: `feed` what arrives, and take what it holds. `ended` after the last chunk.

    Pure. [RFC 9112 7.1]; trailers are not read: the connection serves no other call.
    """

    def __init__(self) -> None:
        self.ended = False
        self._rest = b""  # of a size line that isn't whole yet
        self._left = 0  # bytes of this chunk that are to come, and of the line end after it

    def feed(self, data: bytes) -> bytes:
        """What of the body `data` holds, maybe nothing. Raises ProtocolError."""
        if not self._left and not self._rest:  # between two chunks; nearly always one of them is all there is
            end = data.find(b"\r\n", 0, 20)
            if end > 0 and data[:end].isalnum():
                size = _size(data[:end])
                if len(data) == end + size + 4 and size:
                    return data[end + 2 : -2]
        return b"".join(self._pieces(self._rest + data))

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        at, self._rest = 0, b""
        while at < len(data) and not self.ended:
            if self._left:
                piece = data[at : at + self._left]
                at += len(piece)
                # The last two bytes of what is left are the line end.
                yield piece[: max(0, self._left - 2)]
                self._left -= len(piece)
                continue
            end = data.find(b"\r\n", at, at + _SIZE_LINE)
            if end < 0:
                self._rest = data[at:]
                if len(self._rest) >= _SIZE_LINE:
                    raise ProtocolError(f"a chunk begins with {self._rest[:20]!r}")
                return
            size = _size(data[at:end].partition(b";")[0].strip(b" \t"))
            at, self._left, self.ended = end + 2, size + 2 if size else 0, not size


def _size(digits: bytes) -> int:
    try:
        if digits.isalnum():  # int() would also take "+a", "a_b" and spaces
            return int(digits, 16)
    except ValueError:
        pass
    raise ProtocolError(f"a chunk has the size {digits[:20]!r}")
