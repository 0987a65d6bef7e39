"""Everything that goes wrong with a call, by its right name: what refuses it, and what breaks it.

Each becomes the UpstreamError that the event `error` is made of. Used by upstream.py only.
"""

from __future__ import annotations

import contextlib
import http.client
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

import orjson
import requests
import urllib3
from urllib3.exceptions import NameResolutionError, NewConnectionError, ProtocolError

from app.errors import UpstreamError
from app.relay.body import be_patient
from app.relay.clocks import SENTENCES
from app.relay.reported import PASSING, one_line

STREAM, DOCUMENT = "text/event-stream", "application/json"
# Of an error's body this much is read: enough for its message, too little to hurt.
ERROR_BYTES = 65_536
# Seconds that the words of a refusal may take in all.
PATIENCE = 2.0
# Characters of a media type that are repeated.
KIND = 100
# requests, urllib3, http.client and the socket each raise their own; gevent raises OSError too.
BROKEN = (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError)


def kind(response: requests.Response) -> str:
    """The media type, "" where the upstream names none."""
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def refused(response: requests.Response, name: str, clean: Callable[[bytes], bytes]) -> UpstreamError | None:
    """What a response is that holds no answer, neither as a stream nor as a document; None where it may.

    `name`: of the upstream; `clean` is given what it says, and takes a secret out of it.
    """
    status = response.status_code
    if status == 200 and kind(response) in (STREAM, DOCUMENT):
        return None
    said = _error_text(clean(_some_of(response)))
    if status == 200:
        sent = kind(response)[:KIND] or "no type"
        message = f"The upstream {name} sent {sent} instead of an event stream: {said}"
        return UpstreamError("not_a_stream", message, retryable=False)
    message = f"The upstream {name} answered {status}: {said}"
    if status in (401, 403):
        return UpstreamError("auth", message, retryable=False)
    code = "rate_limited" if status == 429 else "upstream_status"
    retryable = status in PASSING or status >= 500
    return UpstreamError(code, message, retryable=retryable, retry_after=_retry_after(response))


def ended(why: str) -> UpstreamError:
    """The call was cut from here: `why` is the code."""
    message = SENTENCES.get(why, "The answer was ended from here")
    return UpstreamError(why, message, retryable=why != "timeout_total")


def broken(error: Exception, name: str) -> UpstreamError:
    """What one of BROKEN means."""
    if isinstance(error, requests.ConnectTimeout):
        return UpstreamError("timeout_connect", f"The upstream {name} did not answer the connection")
    if isinstance(error, requests.exceptions.SSLError):
        message = f"The upstream {name} has no certificate to trust: {_cause(error)}"
        return UpstreamError("connect", message, retryable=False)
    if isinstance(error, requests.ConnectionError) and _never_connected(error):
        return UpstreamError("connect", f"The upstream {name} could not be reached: {_cause(error)}")
    return UpstreamError("cut", f"The upstream {name} broke off: {type(error).__name__}")


def unanswered(error: requests.ConnectionError) -> bool:
    """Whether the peer closed a connection, on which calls were answered before, instead of an answer."""
    inner = error.args[0] if error.args else None
    closed = isinstance(inner, ProtocolError) and isinstance(inner.args[-1], ConnectionError)
    return closed or isinstance(error, requests.exceptions.SSLError)  # of what was trusted before


def _some_of(response: requests.Response) -> bytes:
    """The beginning of a body, as far as it comes without a longer wait."""
    data, end = b"", time.monotonic() + PATIENCE
    with contextlib.suppress(*BROKEN):  # a refusal whose words break off is still a refusal
        while len(data) < ERROR_BYTES and (left := end - time.monotonic()) > 0:
            be_patient(response, left)
            piece = response.raw.read1(ERROR_BYTES, decode_content=True)
            if not piece:
                break
            data += piece
    return data


def _error_text(body: bytes) -> str:
    """The message in an error's body, JSON or not, in one line."""
    try:
        parsed = orjson.loads(body)
        error = parsed.get("error", parsed)
        said = error.get("message", error) if isinstance(error, dict) else error
        text = said if isinstance(said, str) else orjson.dumps(said).decode()
    except (orjson.JSONDecodeError, AttributeError):
        text = body.decode("utf-8", "replace")
    return one_line(text) or "(no text)"


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
