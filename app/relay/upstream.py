"""One call to a model's server over HTTP, readable event by event and cut at any moment by anyone.

requests + sseclient-py do the work; here they are given whole events to parse, a hand on the socket from
before it connects, and one family of errors: everything that goes wrong leaves as UpstreamError.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson
import requests

from app.errors import UpstreamError
from app.relay.body import Body, Chunks
from app.relay.caller import KEPT, Caller
from app.relay.deltas import Delta, Said
from app.relay.failures import BROKEN, DOCUMENT, broken, ended, kind, refused
from app.relay.inlets import Read, in_thread
from app.relay.line import Line
from app.relay.parser import HIDDEN, Parser
from app.relay.payloads import document
from app.relay.reported import MESSAGE, one_line

log = logging.getLogger(__name__)

# Why a call is cut because somebody wants its end, and not because it has a fault.
MEANT = frozenset(("stopped", "left", "interrupted"))
# Characters from which on a key is taken for a secret that no text holds by chance.
SECRET = 12

Hear = Callable[[Said], bool]


class Upstream:
    """A server that streams chat completions. The key shows in no repr, log or error.

    `url` ends in /v1 and `path` follows it. `headers` are sent besides; one whose value holds `{key}` takes
    the place of `Authorization: Bearer`. `body`: fields that each request has unless the asker says
    otherwise; None as a value keeps the field out. `ca`: a file with the certificates to trust, "" for those
    that everybody trusts. `context`: tokens of a whole conversation that the model can take, 0 where unknown.
    `kept`: connections that are kept for a next answer; `environment`: whether proxies and certificates may
    come from there; `read`: how a body is read, see inlets.py.
    """

    def __init__(
        self,
        url: str,
        key: str = "",
        model: str = "",
        *,
        name: str = "",
        path: str = "/chat/completions",
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        ca: str = "",
        context: int = 0,
        connect_timeout: float = 10.0,
        read_timeout: float = 1800.0,
        max_event: int = 8 << 20,
        kept: int = KEPT,
        environment: bool = False,
        session: requests.Session | None = None,
        clock: Callable[[], float] = time.monotonic,
        read: Read = in_thread,
    ) -> None:
        self.model, self.context = model, context
        self.name = name or urlsplit(url).netloc.rpartition("@")[2] or "none"
        self._key = key
        self._body = dict(body or {})
        self._max_event, self._read = max_event, read
        self._caller = url and Caller(
            f"{url}{path}",
            _headers(headers or {}, key),
            (connect_timeout, read_timeout),
            ca=ca,
            kept=kept,
            environment=environment,
            session=session,
            clock=clock,
        )

    def __repr__(self) -> str:
        return f"<Upstream {self.name} {self.model}>"

    def ask(self, body: dict[str, Any], line: Line, hear: Hear) -> None:
        """Asks, and returns when the answer is over or `hear` has enough.

        `body` as for POST /chat/completions, without `stream`. `hear` is given what the model says as it says
        it, and returns whether it wants more; it may not wait, for it may be called on an event loop. Every
        piece that arrives, comments included, is counted in `line.pieces`. Raises UpstreamError; after
        `line.cut` its code is what was given as `why`. Once this has returned the socket is closed, or serves
        another call.
        """
        if not self._caller:
            raise UpstreamError("connect", "No upstream is set: give UPSTREAM_URL", retryable=False)
        try:
            self._call(self._caller, body, line, hear)
        except UpstreamError as error:
            raise error.saying(one_line(self._hidden(error.message), 2 * MESSAGE)) from None
        except BROKEN as error:
            raise ended(line.why) if line.why else broken(error, self.name) from error
        finally:
            line.release()

    def _call(self, caller: Caller, body: dict[str, Any], line: Line, hear: Hear) -> None:
        rest, response = None, caller.post(orjson.dumps(self._asked(body)), line)
        try:
            refusal = refused(response, self.name, self._scrubbed)
            if refusal and line.why not in MEANT:  # a clock that rings while it is read changes nothing
                raise refusal
            line.check()
            listen = self._document if kind(response) == DOCUMENT else self._stream
            rest = listen(response, line, hear)
        finally:
            caller.leave(response, line, rest)

    def kept(self) -> int:
        """How many connections wait for a next answer."""
        return self._caller.kept() if self._caller else 0

    def tidy(self, now: float) -> None:
        """Closes those that have waited for too long. `now`: monotonic seconds."""
        if self._caller:
            self._caller.tidy(now)

    def _asked(self, body: dict[str, Any]) -> dict[str, Any]:
        """The whole body: what this upstream wants besides, what is asked, and that it comes as a stream."""
        fixed = {"stream": True, "stream_options": {"include_usage": True}}
        left_out = [name for name, value in self._body.items() if value is None]
        left_out += [] if body.get("model") else ["model"]  # where nobody names one the upstream has its own
        return {k: v for k, v in {**self._body, **body, **fixed}.items() if k not in left_out}

    def _stream(self, response: requests.Response, line: Line, hear: Hear) -> Chunks | None:
        """Returns what is left of the body, where the connection can serve another call after that."""
        parser, last = Parser(self._max_event, self._secret), None

        def feed(data: bytes) -> bool:
            nonlocal last
            if line.why:  # what was received before the cut is still there to be read
                line.check()
            line.pieces += 1
            for said in parser.feed(data):
                if not hear(said):
                    last = said
                    return False
            return True

        body = Body(response, feed)
        try:
            self._read(body)
        finally:
            if parser.glued:  # said here: what is called on a loop may not wait for a log
                log.warning("%r sends events glued together: what is broken of them is left out", self)
        line.check()  # where the end of the connection is the end of the body, a cut looks like one
        if not last:
            all(hear(said) for said in parser.end())
        return None if type(last) is Delta else body.rest  # who has heard enough text ends the rest, too

    def _document(self, response: requests.Response, line: Line, hear: Hear) -> None:
        """A document that came in the place of a stream."""
        whole = bytearray()

        def feed(data: bytes) -> bool:
            line.check()
            line.pieces += 1
            whole.extend(data)
            return len(whole) <= self._max_event

        self._read(Body(response, feed))
        line.check()
        if len(whole) > self._max_event:
            message = f"The upstream {self.name} sent a document of more than {self._max_event} bytes"
            raise UpstreamError("too_large", message, retryable=False)
        all(hear(said) for said in document(self._scrubbed(bytes(whole))))

    @property
    def _secret(self) -> bytes:
        """The key, which some repeat in their errors and which must not get into a page or a log. One as
        short as "ollama" or "EMPTY" is no secret, and may stand in any answer."""
        return self._key.encode() if len(self._key) >= SECRET else b""

    def _hidden(self, text: str) -> str:
        return text.replace(self._key, HIDDEN.decode()) if self._secret else text

    def _scrubbed(self, data: bytes) -> bytes:
        return data.replace(self._secret, HIDDEN) if self._secret else data


def _headers(own: Mapping[str, str], key: str) -> dict[str, str]:
    headers = {
        "Content-Type": "application/json",
        "Accept": "text/event-stream",
        "Accept-Encoding": "identity",  # a compressor holds text back
        "User-Agent": "deltahub",
    }
    if key and not any("{key}" in value for value in own.values()):
        headers["Authorization"] = f"Bearer {key}"
    return {**headers, **{name: value.replace("{key}", key) for name, value in own.items()}}
