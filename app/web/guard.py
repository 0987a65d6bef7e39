"""Who may ask in open mode: this site's own pages and tools, and the origins that were named.

Checked before anything else. Without a log-in a browser is the weak point: a foreign page could drive this
server through it, or point its own name at it (DNS rebinding). Both show in headers a page can't forge.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Request

from app.errors import Forbidden
from app.settings import Settings, is_loopback


def check(request: Request, settings: Settings) -> None:
    """Raises Forbidden for a foreign `Host`, a foreign `Origin`, a call from a cross-site page."""
    host = request.headers.get("Host", "")
    if host and not _ours(_hostname(host), settings):
        raise Forbidden("This Host is not served here: name it in ALLOWED_HOSTS", code="foreign_host")
    origin = request.headers.get("Origin")
    if origin in settings.cors_origins:
        return
    if origin is not None and not (host and urlsplit(origin).netloc == host):
        raise Forbidden("This Origin may not call here: name it in CORS_ORIGINS", code="foreign_origin")
    if request.headers.get("Sec-Fetch-Site") == "cross-site" and not _followed_a_link(request):
        raise Forbidden("Another site's page may not call here: name it in CORS_ORIGINS", code="cross_site")


def _followed_a_link(request: Request) -> bool:
    """A person who came from another site's link to a page: that asks for nothing but to be shown it."""
    mode, destination = request.headers.get("Sec-Fetch-Mode"), request.headers.get("Sec-Fetch-Dest")
    return request.endpoint == "pages.index" and mode == "navigate" and destination == "document"


def _hostname(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _ours(name: str, settings: Settings) -> bool:
    return is_loopback(name) or name in (settings.host.lower(), *(h.lower() for h in settings.allowed_hosts))
