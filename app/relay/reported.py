"""The error that an upstream tells inside of an answer to whose it is and whether asking again may help.

Pure. They word it in as many ways as there are of them. Used by payloads.py.
"""

from __future__ import annotations

import math
import re
from typing import Any

from app.errors import UpstreamError

# Characters of its message that are repeated.
MESSAGE = 300
# What an error's `code`, `type` or `status` is about, the first that fits: a number wins over words.
_STATUS = re.compile(r"(?<!\d)[45]\d\d(?!\d)")
_RATE = re.compile(r"rate_?limit|too_?many|quota|resource_?exhausted|throttl")
_AUTH = re.compile(r"auth|api_?key|permission|forbidden")
_REFUSED = re.compile(
    r"invalid_?(request|argument|prompt|param|value|image|json|schema)|bad_?request|validation|unprocessable"
    r"|context_?(length|window)|too_?large|not_?found|unsupported|content_?(policy|filter|moderat)|moderation"
    r"|safety|billing|payment|insufficient_(credit|balance|funds)"
)
# Of the statuses from 400 to 499 those that pass. They are the same for an answer's own status.
PASSING = (408, 409, 425, 429)


def reported(chunk: Any) -> UpstreamError:
    """The error that an upstream tells inside of a stream that began with 200: an object, a text, or within
    `error` of an object."""
    details = chunk if isinstance(chunk, dict) else {"message": chunk}
    error = details.get("error")
    if isinstance(error, dict):
        details = error
    elif error:  # its text, or only that there is one
        details = {**details, "message": details.get("message") or error}
    message = one_line(f"The upstream reports: {details.get('message') or 'an error'}")
    code, retryable = _kind(details)
    return UpstreamError(code, message, retryable=retryable, retry_after=_retry_after(details))


def one_line(text: str, most: int = MESSAGE) -> str:
    """What somebody else says, so that it can stand in a log: a line break would begin a line of its own."""
    return " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * most]).split())[:most]


def _kind(details: dict[str, Any]) -> tuple[str, bool]:
    """The code of an error, and whether asking again may help: of what is unknown it may."""
    said = [details.get(name) for name in ("code", "type", "status", "error_type")]
    words = " ".join(str(word) for word in said if isinstance(word, int | float | str)).lower()
    number = _STATUS.search(words)
    status = int(number[0]) if number else 0
    if status == 429 or (not status and _RATE.search(words)):
        return "rate_limited", True
    if status in (401, 403) or (not status and _AUTH.search(words)):
        return "auth", False
    if status:
        return "upstream_status", status in PASSING or status >= 500
    return "upstream_status", not _REFUSED.search(words)


def _retry_after(details: dict[str, Any]) -> float | None:
    """Seconds that the error asks to wait, where it says a number."""
    metadata = details.get("metadata")
    for where in (details, metadata if isinstance(metadata, dict) else {}):
        for name, unit in (("retry_after", 1.0), ("retry_after_seconds", 1.0), ("retry_after_ms", 0.001)):
            said = where.get(name)
            try:
                seconds = math.nan if said is None or isinstance(said, bool) else float(said) * unit
            except (TypeError, ValueError):
                continue
            if 0 <= seconds < math.inf:
                return seconds
    return None
