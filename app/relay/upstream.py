"""One call to a model's server over HTTP, readable event by event and cut at any moment by anyone.

requests + sseclient-py do the work; here they are given whole events to parse, a hand on the socket from
before it connects, and one family of errors: everything that goes wrong leaves as UpstreamError.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson
import requests

from app.errors import UpstreamError
from app.relay.body import pieces
from app.relay.deltas import Said
from app.relay.failures import BROKEN, DOCUMENT, broken, ended, kind, refused
from app.relay.line import Line, calling, open_session
from app.relay.parser import Parser
from app.relay.payloads import document
from app.relay.turns import Turns

# Characters from which on a key is taken for a secret that no text holds by chance.
SECRET = 12

Stream = Generator[Said, None, None]


class Upstream:
    """A server that streams chat completions. The key shows in no repr, log or error.

    `url` ends in /v1 and `path` follows it. `headers` are sent besides; one whose value holds `{key}` takes
    the place of `Authorization: Bearer`. `body`: fields that each request has unless the asker says
    otherwise; None as a value keeps the field out. `ca`: a file with the certificates to trust, "" for those
    that everybody trusts. `context`: tokens of a whole conversation that the model can take, 0 where unknown.
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
    ) -> None:
        self.model, self.context = model, context
        self.name = name or urlsplit(url).netloc.rpartition("@")[2] or "none"
        self._url, self._key = url and f"{url}{path}", key
        self._headers = _headers(headers or {}, key)
        self._body, self._ca = dict(body or {}), ca
        self._timeouts = (connect_timeout, read_timeout)
        self._max_event = max_event
        self._session = session or open_session()

    def __repr__(self) -> str:
        return f"<Upstream {self.name} {self.model}>"

    def stream(self, body: dict[str, Any], line: Line, on_bytes: Callable[[], None]) -> Stream:
        """What the model says, as it says it. `body` as for POST /chat/completions, without `stream`.

        `on_bytes` is called for every piece that arrives, comments included. Raises UpstreamError; after
        `line.cut` its code is what was given as `why`. The socket is closed when the iteration ends.
        """
        try:
            with contextlib.closing(self._post(body, line)) as response:
                refusal = refused(response, self.name, self._scrubbed)
                line.check()
                if refusal:
                    raise refusal
                yield from self._said(response, line, on_bytes)
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
                verify=self._ca or None,
                stream=True,
                allow_redirects=False,  # a redirect would carry the key and the question elsewhere
            )

    def _asked(self, body: dict[str, Any]) -> dict[str, Any]:
        """The whole body: what this upstream wants besides, what is asked, and that it comes as a stream."""
        fixed = {"stream": True, "stream_options": {"include_usage": True}}
        left_out = [name for name, value in self._body.items() if value is None]
        left_out += [] if body.get("model") else ["model"]  # where nobody names one the upstream has its own
        return {k: v for k, v in {**self._body, **body, **fixed}.items() if k not in left_out}

    def _said(self, response: requests.Response, line: Line, on_bytes: Callable[[], None]) -> Iterator[Said]:
        if kind(response) == DOCUMENT:
            yield from document(self._whole(response, line, on_bytes))
            return
        parser, turns = Parser(self._max_event, self._scrubbed), Turns()
        for data in turns.each(pieces(response)):
            line.check()  # what was received before the cut is still there to be read
            on_bytes()
            for said in parser.feed(data):
                yield said
                turns.give_way()
        line.check()  # where the end of the connection is the end of the body, a cut looks like one
        yield from parser.end()

    def _whole(self, response: requests.Response, line: Line, on_bytes: Callable[[], None]) -> bytes:
        """A document that came in the place of a stream."""
        body = bytearray()
        for data in Turns().each(pieces(response)):
            line.check()
            on_bytes()
            body += data
            if len(body) > self._max_event:
                message = f"The upstream {self.name} sent a document of more than {self._max_event} bytes"
                raise UpstreamError("too_large", message, retryable=False)
        line.check()
        return self._scrubbed(bytes(body))

    def _scrubbed(self, data: bytes) -> bytes:
        """Without the key, which some repeat in their errors: it must not get into a page or a log. One as
        short as "ollama" or "EMPTY" is no secret, and may stand in any answer."""
        return data.replace(self._key.encode(), b"***") if len(self._key) >= SECRET else data


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
