"""Who may ask in open mode: this site's own pages and tools, and the origins that were named.

Checked before anything else. Without a log-in a browser is the weak point: a foreign page could drive this
server through it, or point its own name at it (DNS rebinding). Both show in headers a page can't forge.
"""

from __future__ import annotations

import re

from flask import Request

from app.errors import Forbidden
from app.settings import Settings, is_loopback

# [RFC 9110 §7.2] a name or an address, perhaps a port. More, like user@ or a path, no browser sends.
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^][:/?#@,\s]+)(?::[0-9]*)?")


def check(request: Request, settings: Settings) -> None:
    """Raises Forbidden for a foreign `Host`, a foreign `Origin`, a call from a cross-site page."""
    host = request.headers.get("Host", "")
    # [RFC 9112 §3.2] only HTTP/1.0 may come without; browsers never do.
    nameless = not host and request.environ.get("SERVER_PROTOCOL") == "HTTP/1.0"
    if not nameless and not _ours(_hostname(host), settings):
        raise Forbidden("This Host is not served here: name it in ALLOWED_HOSTS", code="foreign_host")
    origin = request.headers.get("Origin")
    if origin in settings.cors_origins:
        return
    if origin is not None and origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
        raise Forbidden("This Origin may not call here: name it in CORS_ORIGINS", code="foreign_origin")
    if request.headers.get("Sec-Fetch-Site") == "cross-site" and not _followed_a_link(request):
        raise Forbidden("Another site's page may not call here: name it in CORS_ORIGINS", code="cross_site")


def _followed_a_link(request: Request) -> bool:
    """A person who came from another site's link to a page: that asks for nothing but to be shown it."""
    mode, destination = request.headers.get("Sec-Fetch-Mode"), request.headers.get("Sec-Fetch-Dest")
    # No endpoint: nothing is there, or just beside it.
    there = request.endpoint in ("pages.index", None) and request.method == "GET"
    return there and mode == "navigate" and destination == "document"


def _hostname(host: str) -> str:
    match = _HOST.fullmatch(host)
    return match[1].strip("[]").lower() if match else ""


def _ours(name: str, settings: Settings) -> bool:
    named = (settings.host, *settings.allowed_hosts)
    return is_loopback(name) or (bool(name) and name in (n.strip("[]").lower() for n in named))
