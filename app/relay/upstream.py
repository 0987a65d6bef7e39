"""One call to a model's server over HTTP, readable event by event and cut at any moment by anyone.

requests + sseclient-py do the work; here they are given whole events to parse, a hand on the socket from
before it connects, and one family of errors: everything that goes wrong leaves as UpstreamError.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson
import requests

from app.errors import UpstreamError
from app.relay.body import Body
from app.relay.deltas import Said
from app.relay.failures import BROKEN, DOCUMENT, broken, ended, kind, refused
from app.relay.inlets import Read, in_thread
from app.relay.line import Line, calling, open_session
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
    `read`: how a body is read, see inlets.py.
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
        session: requests.Session | None = None,
        read: Read = in_thread,
    ) -> None:
        self.model, self.context = model, context
        self.name = name or urlsplit(url).netloc.rpartition("@")[2] or "none"
        self._url, self._key = url and f"{url}{path}", key
        self._headers = _headers(headers or {}, key)
        self._body = dict(body or {})
        self._timeouts = (connect_timeout, read_timeout)
        self._max_event = max_event
        self._session, self._read = session or open_session(ca), read

    def __repr__(self) -> str:
        return f"<Upstream {self.name} {self.model}>"

    def ask(self, body: dict[str, Any], line: Line, hear: Hear) -> None:
        """Asks, and returns when the answer is over or `hear` has enough.

        `body` as for POST /chat/completions, without `stream`. `hear` is given what the model says as it says
        it, and returns whether it wants more; it may not wait, for it may be called on an event loop. Every
        piece that arrives, comments included, is counted in `line.pieces`. Raises UpstreamError; after
        `line.cut` its code is what was given as `why`. The socket is closed when this returns.
        """
        try:
            with contextlib.closing(self._post(body, line)) as response:
                refusal = refused(response, self.name, self._scrubbed)
                if refusal and line.why not in MEANT:  # a clock that rings while it is read changes nothing
                    raise refusal
                line.check()
                listen = self._document if kind(response) == DOCUMENT else self._stream
                listen(response, line, hear)
        except UpstreamError as error:
            raise error.saying(one_line(self._hidden(error.message), 2 * MESSAGE)) from None
        except BROKEN as error:
            raise ended(line.why) if line.why else broken(error, self.name) from error
        finally:
            line.release()

    def _post(self, body: dict[str, Any], line: Line) -> requests.Response:
        if not self._url:
            raise UpstreamError("connect", "No upstream is set: give UPSTREAM_URL", retryable=False)
        with calling(line):
            return self._session.post(
                self._url,
                data=orjson.dumps(self._asked(body)),
                headers=self._headers,
                timeout=self._timeouts,
                stream=True,
                allow_redirects=False,  # a redirect would carry the key and the question elsewhere
            )

    def _asked(self, body: dict[str, Any]) -> dict[str, Any]:
        """The whole body: what this upstream wants besides, what is asked, and that it comes as a stream."""
        fixed = {"stream": True, "stream_options": {"include_usage": True}}
        left_out = [name for name, value in self._body.items() if value is None]
        left_out += [] if body.get("model") else ["model"]  # where nobody names one the upstream has its own
        return {k: v for k, v in {**self._body, **body, **fixed}.items() if k not in left_out}

    def _stream(self, response: requests.Response, line: Line, hear: Hear) -> None:
        parser, enough = Parser(self._max_event, self._secret), False

        def feed(data: bytes) -> bool:
            nonlocal enough
            if line.why:  # what was received before the cut is still there to be read
                line.check()
            line.pieces += 1
            for said in parser.feed(data):
                if not hear(said):
                    enough = True
                    return False
            return True

        try:
            self._read(Body(response, feed))
        finally:
            if parser.glued:  # said here: what is called on a loop may not wait for a log
                log.warning("%r sends events glued together: what is broken of them is left out", self)
        line.check()  # where the end of the connection is the end of the body, a cut looks like one
        if not enough:
            all(hear(said) for said in parser.end())

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
        "Connection": "close",  # one connection an answer: cutting it stops the answer, nothing else
        "User-Agent": "deltahub",
    }
    if key and not any("{key}" in value for value in own.values()):
        headers["Authorization"] = f"Bearer {key}"
    return {**headers, **{name: value.replace("{key}", key) for name, value in own.items()}}
