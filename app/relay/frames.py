"""Bytes as they come to whole SSE events, each bounded: what sseclient-py is fed.

Pure. Alone that parser waits for 128 bytes, is quadratic in the size of an event, dispatches half an event
at the end of a stream, loses the first one after a BOM and merges events where line ends are mixed. Fed with
whole events, line ends made one, it does none of that.
"""

from __future__ import annotations

from app.errors import UpstreamError

_BOM = b"\xef\xbb\xbf"
# More lines than any event has. sseclient-py copies an event once for each of its lines, so they are bounded.
MAX_LINES = 500
_DONE = (b"data: [DONE]", b"data:[DONE]")


class Frames:
    """Cuts a stream into events. `feed` bytes as they come; each bytes object returned is one whole event
    or several, ended by a blank line, in valid UTF-8. `between`: the next byte is the first one of an event.
    `truncated` after `end`: the stream broke off. `before`, after an error: the whole events that came before
    the one at fault."""

    def __init__(self, max_event: int) -> None:
        self.truncated = False
        self.before = b""
        self.between = False
        self._max = max_event
        self._rest = bytearray()
        self._scanned = 0
        self._lines = 0
        self._first = True
        self._after_cr = False

    def feed(self, data: bytes) -> bytes:
        """The events that `data` completes, possibly none. Raises UpstreamError `too_large`."""
        if (  # nothing but whole events within the bounds, as nearly always
            data.endswith(b"\n\n")
            and self.between
            and len(data) <= self._max
            and b"\r" not in data
            and data.count(b"\n") <= MAX_LINES
        ):
            return data if data.isascii() else _valid(data)
        data = self._one_line_end(data)
        self._rest += data
        self._lines += data.count(b"\n")
        if self._first and not self._without_bom():
            return b""
        # A blank line may begin at the last byte that was looked at before.
        end = self._rest.rfind(b"\n\n", max(0, self._scanned - 1))
        whole = bytes(self._rest[: end + 2]) if end >= 0 else b""
        self._check(whole)
        if whole:
            del self._rest[: len(whole)]
            self._lines = self._rest.count(b"\n")
        self._scanned = len(self._rest)
        self.between = not (self._rest or self._after_cr)
        return _valid(whole)

    def end(self) -> bytes:
        """What the end of the stream completes: nothing but a `[DONE]` whose blank line was forgotten.

        [spec] an event without its blank line is discarded; that it was there is told by `truncated`.
        """
        lines = [line for line in bytes(self._rest).split(b"\n") if line and not line.startswith(b":")]
        self._rest.clear()
        if len(lines) == 1 and lines[0] in _DONE:
            return lines[0] + b"\n\n"
        self.truncated = bool(lines)
        return b""

    def _check(self, whole: bytes) -> None:
        """Raises where one event is beyond the bounds, the unfinished one or one of `whole`. A piece that is
        within them altogether has none that isn't, so this is but two comparisons for nearly all."""
        if len(self._rest) <= self._max and self._lines <= MAX_LINES:
            return
        good = 0
        for event in (*whole.split(b"\n\n")[:-1], bytes(self._rest[len(whole) :])):
            bound = self._bound_beyond(event)
            if bound:
                self.before = _valid(whole[:good])
                message = f"The upstream sent an event of more than {bound}"
                raise UpstreamError("too_large", message, retryable=False)
            good += len(event) + 2

    def _bound_beyond(self, event: bytes) -> str:
        if len(event) - event.endswith(b"\n") > self._max:
            return f"{self._max} bytes"
        if event.count(b"\n") + (not event.endswith(b"\n")) > MAX_LINES:
            return f"{MAX_LINES} lines"
        return ""

    def _one_line_end(self, data: bytes) -> bytes:
        """[spec] CR LF, CR and LF each end a line. A CR is taken for an end at once and an LF right after
        it is dropped, or in a stream of bare CRs each event would wait for the next one."""
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
            self._after_cr = False
        if data:
            self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in data else data

    def _without_bom(self) -> bool:
        """[spec] one leading BOM is dropped. False while it can't be told yet."""
        if len(self._rest) < len(_BOM) and _BOM.startswith(self._rest):
            return False
        self._first = False
        if self._rest.startswith(_BOM):
            del self._rest[: len(_BOM)]
        return True


def _valid(events: bytes) -> bytes:
    """[spec] UTF-8 decode: a bad byte becomes U+FFFD and costs no more than itself."""
    try:
        events.decode()
    except UnicodeDecodeError:
        return events.decode("utf-8", "replace").encode()
    return events
