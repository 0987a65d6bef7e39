"""The bytes of a response's body the moment they arrive, without what HTTP puts around them.

http.client and urllib3 are made for bodies that are wanted whole: an event costs a dozen of their calls. A
stream in chunks, and one that ends with its connection, is read from the socket itself here; whatever else
there is (a known length, a compressor) goes through them. Used by upstream.py, inlets.py and failures.py.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable
from typing import Any

import requests
from urllib3.exceptions import ProtocolError
from urllib3.util.ssltransport import SSLTransport

# Bytes a read: what is made of them is one piece of work, and everybody else waits for it.
READ_SIZE = 16_384
# [RFC 9112 7.1] the line that begins a chunk: its size in hex, perhaps an extension.
_SIZE_LINE = 1_024
_HEX = b"0123456789abcdefABCDEF"
# What a read raises that does not wait, where there is nothing yet.
NOTHING_YET = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
# What follows the last chunk where there are no trailers.
END = b"\r\n"


class Body:
    """What arrives of a response goes to `feed`, which returns whether it wants more.

    `sock`: where to read, None where only `wait` can. Whoever reads hands over what the connection brings.
    """

    def __init__(self, response: requests.Response, feed: Callable[[bytes], bool]) -> None:
        self._feed = feed
        self._raw = response.raw
        self._buffered = _buffered(response)
        self.sock = _socket_of(self._buffered)
        self._chunks = Chunks() if self._buffered and self._raw.chunked else None

    @property
    def rest(self) -> Chunks | None:
        """Decodes what is still to come of the body; None where its end is that of the connection."""
        parsed: Any = self._raw._fp
        return None if not self._chunks or parsed.will_close else self._chunks

    def rest_of_head(self) -> bytes:
        """What came along with the head: the first thing to read. Of a socket that waits, it is something."""
        buffered, self._buffered = self._buffered, None
        # The one read empties the buffer, which is smaller than that.
        data: bytes = buffered.read1(READ_SIZE) if buffered else b""
        return data

    def wait(self) -> bytes:
        """The next bytes, waited for; b"" at the end."""
        data: bytes
        if self.sock is None:
            data = self._raw.read1(READ_SIZE, decode_content=True)
        else:
            data = self.rest_of_head() if self._buffered else self.sock.recv(READ_SIZE)
        return data

    def received(self, data: bytes) -> bool:
        """Whether more is wanted after `data`, b"" for the end of the connection. Raises what `feed` raises,
        and ProtocolError where the end comes before that of the body."""
        chunks = self._chunks
        if not chunks:
            return bool(data) and self._feed(data)
        # One chunk and nothing else, as nearly always, of a size in three digits.
        size = len(data) - 7
        if chunks.between and size > 0 and data[:5] == b"%x\r\n" % size and data.endswith(b"\r\n"):
            return self._feed(data[5:-2])
        if not data:
            raise ProtocolError("the connection ended before the last chunk")
        data = chunks.feed(data)
        more = not data or self._feed(data)
        if more and chunks.error:
            raise chunks.error
        return more and not chunks.ended


def be_patient(response: requests.Response, seconds: float) -> None:
    """How long each read of the body may take from here, where that can be said."""
    sock = _socket_of(getattr(getattr(response.raw, "_fp", None), "fp", None))
    if sock is not None:
        sock.settimeout(seconds)


def _socket_of(file: Any) -> Any:
    """The socket that http.client's file reads from; None where there is none, and where it is TLS inside of
    TLS, to an upstream behind a proxy: the outer one holds bytes back of which nothing else tells."""
    sock = getattr(getattr(file, "raw", None), "_sock", None)
    return None if isinstance(sock, SSLTransport) else sock


def _buffered(response: requests.Response) -> Any:
    """The file that http.client reads from, where the body can be read without it; else None."""
    parsed = getattr(response.raw, "_fp", None)
    coded = response.headers.get("Content-Encoding", "identity").lower() != "identity"
    if coded or not isinstance(parsed, http.client.HTTPResponse) or parsed.fp is None:
        return None
    if not parsed.chunked and parsed.length is not None:
        return None
    return parsed.fp if _socket_of(parsed.fp) is not None else None


class Chunks:
    """A body in chunks, decoded: `feed` what arrives, and take what it holds.

    `between`: the next byte begins a chunk. `ended` after the last chunk; `tail`: what came after that, END
    where it is all of the answer. `error` where what follows is no chunk: what came before is good all the
    same. Pure. [RFC 9112 7.1]; trailers are not read.
    """

    def __init__(self) -> None:
        self.between = True
        self.ended = False
        self.tail = b""
        self.error: ProtocolError | None = None
        self._rest = b""  # of a size line that isn't whole yet
        self._left = 0  # bytes of this chunk that are to come, and of the line end after it

    def feed(self, data: bytes) -> bytes:
        """What of the body `data` holds, maybe nothing."""
        pieces: list[bytes] = []
        data, at, self._rest = self._rest + data, 0, b""
        while at < len(data) and not self.ended and not self.error:
            if self._left:
                # The last two bytes of what is left are the line end.
                pieces.append(data[at : at + max(0, self._left - 2)])
                read = min(self._left, len(data) - at)
                self._left -= read
                at += read
            else:
                at = self._begin(data, at)
        self.between = not (self._left or self._rest or self.ended or self.error)
        if self.ended:
            self.tail += data[at:]
        return b"".join(pieces)

    def _begin(self, data: bytes, at: int) -> int:
        """Reads the line at `at`, with which a chunk begins; where to read on."""
        end = data.find(b"\r\n", at, at + _SIZE_LINE)
        if end < 0:
            self._rest = data[at:]
            if len(self._rest) >= _SIZE_LINE or b"\n" in self._rest:
                self.error = ProtocolError(f"a chunk begins with {self._rest[:20]!r}")
            return len(data)
        size = _size(data[at:end])
        if size is None:
            self.error = ProtocolError(f"a chunk has the size {data[at:end][:20]!r}")
        else:
            self._left, self.ended = size + 2 if size else 0, not size
        return end + 2


def _size(line: bytes) -> int | None:
    digits = line if not line.strip(_HEX) else line.partition(b";")[0].strip(b" \t")
    # int() would also take "+a", "a_b", "0xa" and spaces.
    return None if not digits or digits.strip(_HEX) or b"\n" in line else int(digits, 16)
