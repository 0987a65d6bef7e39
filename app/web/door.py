"""The short way to a stream: a plain GET of one is served in front of Flask, by the calls Flask's way makes.

After a restart thousands come back at once, and contexts, routing and hooks cost half as much as all else
that it takes to open a stream. Whatever is not plain goes to Flask; so does what is refused, which Flask
refuses again and says why; and so does everything once the application was given a hook or a signal's
receiver beyond those it was made with, or another view of streams: those must hear of each request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from types import FunctionType, MethodType
from typing import Any

from flask import Flask, signals
from flask.sessions import SecureCookieSessionInterface

from app.hub.outlets import GeneratorOutlet
from app.web import sse
from app.web.guard import ALWAYS, Guard
from app.web.parts import Parts
from app.web.streams import HEADERS

Environ = dict[str, Any]

VIEW = "sse.create_connect"
# A query that says what it spells: nothing in it is encoded.
_PLAIN = re.compile(r"[A-Za-z0-9._~=&-]*")
# What marks a request that Flask, or what was put around it, might treat in another way.
_SPECIAL = frozenset({"HTTP_ORIGIN", "HTTP_UPGRADE", "werkzeug.debug.preserve_context"})
_SIGNALS = (
    signals.request_started,
    signals.request_finished,
    signals.request_tearing_down,
    signals.appcontext_pushed,
    signals.appcontext_popped,
    signals.appcontext_tearing_down,
)
_HEADERS = [*HEADERS.items(), *ALWAYS.items()]


class Door:
    """WSGI in front of `app`, which is complete by now; streams are at `path`."""

    def __init__(self, app: Flask, parts: Parts, guard: Guard, path: str) -> None:
        self._app, self.flask = app, app.wsgi_app
        self._parts, self._guard, self._path = parts, guard, path
        self._bare = _is_bare(app)
        self._hooks = _hooks(app)
        self._own_hooks = [_copy(hooks) for hooks in self._hooks]

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        plain = environ.get("PATH_INFO") == self._path and self._is_plain(environ)
        outlet = self._opened(environ) if plain and self._is_alone() else None
        if outlet is None:
            return self.flask(environ, start_response)
        try:
            write = start_response("200 OK", _HEADERS.copy())
        except BaseException:  # what the server refuses to send
            outlet.close()
            raise
        return self._parts.streams.way_out(outlet, environ, write)

    def _opened(self, environ: Environ) -> GeneratorOutlet | None:
        """A new stream; None where it is Flask that has to answer. Until then nothing was taken."""
        try:
            self._guard.check(environ, VIEW)
            asked = sse.wanted(_first_of_each(environ["QUERY_STRING"]), environ)
            opened = sse.open_stream(self._parts, asked, environ)
        except Exception:
            return None
        return self._parts.streams.begin(opened, environ) if opened else None

    def _is_plain(self, environ: Environ) -> bool:
        """Whether nothing of the request but its clientId, its words and its cursor tells what to do."""
        if environ["REQUEST_METHOD"] != "GET" or not environ.keys().isdisjoint(_SPECIAL):
            return False
        return _PLAIN.fullmatch(environ.get("QUERY_STRING", "%")) is not None

    def _is_alone(self) -> bool:
        """Whether nobody else has to hear of requests."""
        app = self._app
        return (
            self._bare
            and self._hooks == self._own_hooks
            and not any(signal.receivers for signal in _SIGNALS)
            and app.view_functions.get(VIEW) is sse.create_connect
            and type(app.session_interface) is SecureCookieSessionInterface
            and app.config["TRUSTED_HOSTS"] is None
        )


def _is_bare(app: Flask) -> bool:
    """Whether it is Flask as it comes: tools that watch an application replace its class or its methods."""
    return type(app) is Flask and type(app.wsgi_app) is MethodType and type(Flask.wsgi_app) is FunctionType


def _hooks(app: Flask) -> list[Any]:
    """All that Flask calls for each request; these containers live as long as the application."""
    return [
        app.before_request_funcs,
        app.after_request_funcs,
        app.teardown_request_funcs,
        app.teardown_appcontext_funcs,
        app.url_value_preprocessors,
    ]


def _copy(hooks: Any) -> Any:
    return {name: [*calls] for name, calls in hooks.items()} if isinstance(hooks, dict) else [*hooks]


def _first_of_each(query: str) -> dict[str, str]:
    """As Flask reads a query in which nothing is encoded."""
    args: dict[str, str] = {}
    for pair in filter(None, query.split("&")):
        name, _, value = pair.partition("=")
        args.setdefault(name, value)
    return args
