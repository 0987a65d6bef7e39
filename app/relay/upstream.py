"""One call to a model's server over HTTP, readable event by event and cut at any moment by anyone.

requests + sseclient-py do the work; here they are given whole events to parse, a hand on the socket from
before it connects, and one family of errors: everything that goes wrong leaves as UpstreamError.
"""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Callable, Generator, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import orjson
import requests
import sseclient
import urllib3
from urllib3.exceptions import NameResolutionError, NewConnectionError

from app.errors import UpstreamError
from app.relay.clocks import SENTENCES
from app.relay.deltas import Said, parse
from app.relay.frames import Frames
from app.relay.line import Line, calling, open_session

READ_SIZE = 65_536
# Of an error's body this much is read: enough for its message, too little to hurt.
ERROR_BYTES = 65_536
# Characters of it that are repeated.
MESSAGE = 300
# Characters from which on a key is taken for a secret that no text holds by chance.
SECRET = 12
# requests, urllib3, http.client and the socket each raise their own; gevent raises OSError too.
_BROKEN = (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError)


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
                self._check(response, line)
                for event in sseclient.SSEClient(self._whole(response, line, on_bytes)).events():
                    yield from parse(event.data)
        except _BROKEN as error:
            raise self._translated(error, line) from error
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
                verify=self._ca or True,
                stream=True,
                allow_redirects=False,  # a redirect would carry the key and the question elsewhere
            )

    def _asked(self, body: dict[str, Any]) -> dict[str, Any]:
        """The whole body: what this upstream wants besides, what is asked, and that it comes as a stream."""
        fixed = {"stream": True, "stream_options": {"include_usage": True}}
        left_out = [name for name, value in self._body.items() if value is None]
        return {k: v for k, v in {**self._body, **body, **fixed}.items() if k not in left_out}

    def _whole(
        self, response: requests.Response, line: Line, on_bytes: Callable[[], None]
    ) -> Iterator[bytes]:
        """The response as whole events. `read1` hands on what is there: others wait for a full buffer."""
        frames = Frames(self._max_event)
        while data := response.raw.read1(READ_SIZE, decode_content=True):
            line.check()  # what was received before the cut is still there to be read
            on_bytes()
            whole = frames.feed(data)
            if whole:
                yield self._scrubbed(whole)
        line.check()  # where the end of the connection is the end of the body, a cut looks like one
        last = frames.end()
        if frames.truncated:
            raise UpstreamError("cut", f"The upstream {self.name} broke off in the middle of an event")
        if last:
            yield last

    def _check(self, response: requests.Response, line: Line) -> None:
        status = response.status_code
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if status == 200 and kind == "text/event-stream":
            return
        said = _error_text(self._scrubbed(_some_of(response)))[:MESSAGE]
        line.check()
        if status == 200:
            message = f"The upstream {self.name} sent {kind or 'no type'} instead of an event stream: {said}"
            raise UpstreamError("not_a_stream", message, retryable=False)
        message = f"The upstream {self.name} answered {status}: {said}"
        if status in (401, 403):
            raise UpstreamError("auth", message, retryable=False)
        code = "rate_limited" if status == 429 else "upstream_status"
        retryable = status in (408, 409, 425, 429) or status >= 500
        raise UpstreamError(code, message, retryable=retryable, retry_after=_retry_after(response))

    def _translated(self, error: Exception, line: Line) -> UpstreamError:
        if line.why:
            message = SENTENCES.get(line.why, "The answer was ended from here")
            return UpstreamError(line.why, message, retryable=line.why != "timeout_total")
        if isinstance(error, requests.ConnectTimeout):
            return UpstreamError("timeout_connect", f"The upstream {self.name} did not answer the connection")
        if isinstance(error, requests.exceptions.SSLError):
            message = f"The upstream {self.name} has no certificate to trust: {_cause(error)}"
            return UpstreamError("connect", message, retryable=False)
        if isinstance(error, requests.ConnectionError) and _never_connected(error):
            return UpstreamError("connect", f"The upstream {self.name} could not be reached: {_cause(error)}")
        return UpstreamError("cut", f"The upstream {self.name} broke off: {type(error).__name__}")

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


def _some_of(response: requests.Response) -> bytes:
    try:
        return bytes(response.raw.read(ERROR_BYTES, decode_content=True))
    except _BROKEN:  # a refusal whose words broke off is still a refusal
        return b""


def _error_text(body: bytes) -> str:
    """The message in an error's body, JSON or not, in one line."""
    try:
        parsed = orjson.loads(body)
        error = parsed.get("error", parsed)
        said = error.get("message", error) if isinstance(error, dict) else error
        text = said if isinstance(said, str) else orjson.dumps(said).decode()
    except (orjson.JSONDecodeError, AttributeError):
        text = body.decode("utf-8", "replace")
    return " ".join(text.split()) or "(no text)"


def _retry_after(response: requests.Response) -> float | None:
    """Seconds from `retry-after-ms` or `Retry-After`, which is a number or a date; None for neither."""
    for name, unit in (("retry-after-ms", 0.001), ("Retry-After", 1.0)):
        said = response.headers.get(name, "")
        try:
            seconds = float(said) * unit
        except ValueError:
            seconds = _until(said, response.headers.get("Date", ""))
        if 0 <= seconds < float("inf"):
            return seconds
    return None


def _until(date: str, now: str) -> float:
    """Seconds from `now` to `date`, both by the upstream's clock; NaN where one is no HTTP date."""
    try:
        return (parsedate_to_datetime(date) - parsedate_to_datetime(now)).total_seconds()
    except (ValueError, TypeError):
        return float("nan")


def _never_connected(error: requests.ConnectionError) -> bool:
    return isinstance(_reason(error), NewConnectionError | NameResolutionError)


def _cause(error: requests.ConnectionError) -> str:
    return str(_reason(error)).rpartition(": ")[2]


def _reason(error: requests.ConnectionError) -> object:
    """urllib3's own error inside of requests'."""
    inner = error.args[0] if error.args else error
    return getattr(inner, "reason", inner)
