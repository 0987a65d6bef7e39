"""Who may ask in open mode: this site's own pages and tools, and the origins that were named.

Checked before anything else. Without a log-in a browser is the weak point: a foreign page could drive this
server through it, or point its own name at it (DNS rebinding). Both show in headers a page can't forge.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

from app.errors import Forbidden
from app.settings import Settings, is_loopback

# [RFC 9110 §7.2] a name or an address, perhaps a port. More, like user@ or a path, no browser sends.
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^][:/?#@,\s]+)(?::[0-9]*)?")
# What every answer tells browsers: to take it for what it says it is, and to tell no other site of it.
ALWAYS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"}
# Code that every site may load, as it has to in order to be told by it that the site is not allowed here.
# Who may frame the chat, its own policy says, which browsers know how to explain.
_FOR_ALL = frozenset({"assets.built", "assets.source", "assets.lasting", "pages.embed"})
# Spellings of `Host` whose verdict is remembered: those who call rightly use one or two.
SPELLINGS = 128


class Guard:
    """As the settings want it."""

    def __init__(self, settings: Settings) -> None:
        self._origins = frozenset(settings.cors_origins)
        self._names = {name.strip("[]").lower() for name in (settings.host, *settings.allowed_hosts)} - {""}
        self._serves = functools.lru_cache(SPELLINGS)(self._is_ours)

    def check(self, environ: Mapping[str, Any], endpoint: str | None) -> None:
        """Raises Forbidden for a foreign `Host`, a foreign `Origin`, a call from a cross-site page.

        `environ`: WSGI's; `endpoint`: of Flask, None where the path leads nowhere.
        """
        host = environ.get("HTTP_HOST", "")
        # [RFC 9112 §3.2] only HTTP/1.0 may come without; browsers never do.
        nameless = not host and environ.get("SERVER_PROTOCOL") == "HTTP/1.0"
        if not nameless and not self._serves(host):
            raise Forbidden("This Host is not served here: name it in ALLOWED_HOSTS", code="foreign_host")
        if endpoint in _FOR_ALL:
            return
        origin = environ.get("HTTP_ORIGIN")
        if origin in self._origins:
            return
        if origin is not None and origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
            raise Forbidden("This Origin may not call here: name it in CORS_ORIGINS", code="foreign_origin")
        site = environ.get("HTTP_SEC_FETCH_SITE")
        if site == "cross-site" and not _followed_a_link(environ, endpoint):
            raise Forbidden(
                "Another site's page may not call here: name it in CORS_ORIGINS", code="cross_site"
            )

    def _is_ours(self, host: str) -> bool:
        match = _HOST.fullmatch(host)
        name = match[1].strip("[]").lower() if match else ""
        return is_loopback(name) or name in self._names


def _followed_a_link(environ: Mapping[str, Any], endpoint: str | None) -> bool:
    """A person who came from another site's link to a page: that asks for nothing but to be shown it."""
    mode, destination = environ.get("HTTP_SEC_FETCH_MODE"), environ.get("HTTP_SEC_FETCH_DEST")
    # No endpoint: nothing is there, or just beside it.
    there = endpoint in ("pages.index", None) and environ["REQUEST_METHOD"] == "GET"
    return there and mode == "navigate" and destination == "document"
