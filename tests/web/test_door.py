"""The short way to a stream and Flask's: whatever is asked, both answer the same and leave the same behind.

Each request is made of two fresh applications, in front of one of which the door stands open.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from flask import Flask, signals
from flask.sessions import SecureCookieSessionInterface
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from app.web.door import VIEW, Door, _first_of_each
from tests.conftest import ADMIN_TOKEN
from tests.web.conftest import STREAM, Edge, MakeEdge
from tests.web.test_guard import FOREIGN_HOSTS

Environ = dict[str, Any]
# What is by chance in a stream's first bytes: ids of the connection and of a client that brought none, the
# process in cursors.
CHANCE = re.compile(rb'(?<="connectionId":")\w+|\b[0-9a-f]{32}\b|\b[0-9a-f]{8}(?=\.\d)')
EPOCH = "{epoch}"  # in a cursor: that of the process that is asked


class Way:
    """One application, with or without its door; `by_flask`: the requests that came to Flask."""

    def __init__(self, edge: Edge, short: bool) -> None:
        self.edge, self.by_flask = edge, 0
        edge.parts.hub._control._jitter = lambda: 0.5  # else one answer may be a digit longer than the other
        self.door: Any = edge.app.wsgi_app
        assert isinstance(self.door, Door)
        self._flask = self.door.flask
        self.door.flask = self._counted
        self.app: Callable[..., Iterable[bytes]] = self.door if short else self._counted

    def _counted(self, environ: Environ, start: Any) -> Iterable[bytes]:
        self.by_flask += 1
        return self._flask(environ, start)

    def ask(self, environ: Environ) -> dict[str, Any]:
        """All that can be told of the answer's beginning and of what it left."""
        said: list[Any] = []
        cursor = environ.get("HTTP_LAST_EVENT_ID", "").replace(EPOCH, self.edge.parts.hub._registry.epoch)
        query = environ["QUERY_STRING"].replace(EPOCH, self.edge.parts.hub._registry.epoch)
        environ = {**environ, "QUERY_STRING": query, **({"HTTP_LAST_EVENT_ID": cursor} if cursor else {})}
        items = self.app(environ, lambda status, headers, *_: said.append((status, _alike(headers))))
        first = next(iter(items), b"")
        while_open = self.edge.numbers()
        connection = [_told(each) for each in self.edge.parts.hub.crowd]
        items.close()  # type: ignore[attr-defined]
        return {
            "said": said,
            "body": CHANCE.sub(b"?", first),
            "while open": while_open,
            "stream": connection,
            "after": self.edge.numbers(),
        }


def _alike(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Without what is different each time: the id of a request that brought none."""
    return sorted((name, "" if name == "X-Request-ID" else value) for name, value in headers)


def _told(connection: Any) -> tuple[Any, ...]:
    """What a stream was opened with."""
    return (
        connection.client_id if len(connection.client_id) < 32 else "issued",
        connection.close_on_done,
        connection.beat_as_event,
        bool(connection.suffix),
        connection.address,
        connection.position,
        connection.handed,
    )


def request(query: str = "clientId=a", method: str = "GET", path: str = STREAM, **environ: str) -> Environ:
    """WSGI's environment of one request, as gunicorn makes it."""
    made = EnvironBuilder(path, method=method, base_url="http://localhost:8000").get_environ()
    made |= {"QUERY_STRING": query, "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "192.0.2.7"}
    return {name: value for name, value in {**made, **environ}.items() if value is not None}


def both(
    make_edge: MakeEdge, environ: Environ, past: Callable[[Edge], object], **settings: Any
) -> tuple[Way, Way]:
    """Both ways after the same past; AssertionError where they differ."""
    ways = tuple(Way(make_edge(admin_token=ADMIN_TOKEN, **settings), short) for short in (True, False))
    for way in ways:
        past(way.edge)
        way.by_flask = 0
    short, long = (way.ask(environ) for way in ways)
    assert short == long
    return ways  # type: ignore[return-value]


def nothing(edge: Edge) -> None:
    """Nothing was before."""


def listened(edge: Edge) -> None:
    """The client was here, and heard two of three messages."""
    with edge.listen("clientId=a") as stream:
        for number in range(2):
            edge.post("/sse/send", {"clientId": "a", "data": number})
            stream.until("message")
    edge.post("/sse/send", {"clientId": "a", "data": 2})


def closed(edge: Edge) -> None:
    """Somebody has closed the client."""
    listened(edge)
    edge.post("/sse/close", {"clientId": "a"})


def open_already(edge: Edge) -> None:
    """The client has a stream, which it leaves behind."""
    edge.stack = edge.listen("clientId=a")  # type: ignore[attr-defined]
    edge.stack.take()  # type: ignore[attr-defined]


def draining(edge: Edge) -> None:
    """The process is about to end."""
    edge.parts.hub.drain(1.0)


PLAIN = [
    "clientId=a",
    "clientId=a&closeOnDone=false",
    "clientId=a&closeOnDone=true",
    "clientId=a&heartbeat=event&closeOnDone=0",
    "clientId=A.b_c~d-e",
    f"clientId=a&lastEventId={EPOCH}.0",
    "clientId=a&lastEventId=0badc0de.7",
    "clientId=a&lastEventId=nonsense",
    f"lastEventId={EPOCH}.0.named",
    "",
    "clientId=",
    "clientId=a&clientId=b",
    "closeOnDone=false&clientId=a&closeOnDone=true",
    "&&clientId=a&&",
    "unknown&clientId=a&another=1=2",
    "clientId=a&overload=status",
]
REFUSED = [
    "clientId=-a",
    "clientId=a=b",
    "clientId=" + 129 * "a",
    "clientId=a&closeOnDone=maybe",
    "clientId=a&closeOnDone=",
    "clientId=a&closeOnDone",
    "clientId=a&heartbeat=comment",
    "clientId=a&overload=503",
]
OTHERWISE = [
    "clientId=%61",
    "clientId=a%20b",
    "clientId=a+b",
    "clientId=a;closeOnDone=false",
    "clientId=a&closeOnDone=f%61lse",
    "clientId=ü",
    "clientId=a#b",
    "clientId=a/b",
]


@pytest.mark.parametrize("query", PLAIN)
def test_a_plain_query_is_answered_the_same_without_flask(make_edge: MakeEdge, query: str) -> None:
    short, _ = both(make_edge, request(query), nothing)
    assert short.by_flask == 0


@pytest.mark.parametrize("query", REFUSED + OTHERWISE)
def test_a_query_that_is_refused_or_spelled_otherwise_is_for_flask(make_edge: MakeEdge, query: str) -> None:
    short, _ = both(make_edge, request(query), nothing)
    assert short.by_flask == 1


@pytest.mark.parametrize("past", [nothing, listened, open_already])
@pytest.mark.parametrize("cursor", ["", f"{EPOCH}.0", f"{EPOCH}.1", f"{EPOCH}.9", "0badc0de.1", "malformed"])
def test_a_client_that_comes_back_begins_where_it_should_by_either_way(
    make_edge: MakeEdge, past: Callable[[Edge], object], cursor: str
) -> None:
    short, _ = both(make_edge, request(HTTP_LAST_EVENT_ID=cursor), past)
    assert short.by_flask == 0


@pytest.mark.parametrize("cursor", ["", f"{EPOCH}.1"])
def test_who_was_closed_is_answered_the_same(make_edge: MakeEdge, cursor: str) -> None:
    short, _ = both(make_edge, request(HTTP_LAST_EVENT_ID=cursor), closed)
    assert short.by_flask == bool(cursor), "204 is for Flask to say"


@pytest.mark.parametrize("by_status", ["", "&overload=status"])
@pytest.mark.parametrize(
    ("past", "settings"),
    [
        (draining, {}),
        (open_already, {"connections_worker": 1}),
        (open_already, {"connections_client": 1}),
        (nothing, {"connections_address": 1, "trusted_proxies": ("none",)}),
    ],
)
def test_a_limit_is_a_limit_by_either_way(
    make_edge: MakeEdge, past: Callable[[Edge], object], settings: dict[str, Any], by_status: str
) -> None:
    both(make_edge, request(f"clientId=a{by_status}"), past, **settings)


HEADERS: dict[str, tuple[dict[str, Any], int]] = {
    # what it is: (what is special about its environment, the requests that come to Flask)
    "an origin of its own": ({"HTTP_ORIGIN": "http://localhost:8000"}, 1),
    "a foreign origin": ({"HTTP_ORIGIN": "https://evil.example"}, 1),
    "the origin that was named": ({"HTTP_ORIGIN": "https://shop.example"}, 1),
    "a browser on its own page": ({"HTTP_SEC_FETCH_SITE": "same-origin", "HTTP_SEC_FETCH_MODE": "cors"}, 0),
    "a cross-site page": ({"HTTP_SEC_FETCH_SITE": "cross-site"}, 1),
    "a link on a cross-site page": (
        {
            "HTTP_SEC_FETCH_SITE": "cross-site",
            "HTTP_SEC_FETCH_MODE": "navigate",
            "HTTP_SEC_FETCH_DEST": "document",
        },
        1,
    ),
    "a websocket": ({"HTTP_CONNECTION": "Upgrade", "HTTP_UPGRADE": "websocket"}, 1),
    "a cookie": ({"HTTP_COOKIE": "session=abc"}, 0),
    "a body": ({"CONTENT_LENGTH": "3", "CONTENT_TYPE": "application/json"}, 0),
    "another language": ({"HTTP_ACCEPT": "text/html", "HTTP_ACCEPT_LANGUAGE": "fr"}, 0),
    "HTTP/1.0 without a host": ({"HTTP_HOST": None, "SERVER_PROTOCOL": "HTTP/1.0"}, 0),
    "HTTP/1.1 without a host": ({"HTTP_HOST": None}, 1),
    "no query at all": ({"QUERY_STRING": ""}, 0),
    "https in front": ({"wsgi.url_scheme": "https"}, 0),
    "a proxy in front": ({"HTTP_X_FORWARDED_FOR": "198.51.100.7", "HTTP_X_FORWARDED_PROTO": "https"}, 0),
    "a HEAD": ({"REQUEST_METHOD": "HEAD"}, 1),
    "an OPTIONS": ({"REQUEST_METHOD": "OPTIONS"}, 1),
    "a POST": ({"REQUEST_METHOD": "POST"}, 1),
    "another path": ({"PATH_INFO": "/healthz"}, 1),
    "a slash too many": ({"PATH_INFO": f"{STREAM}/"}, 1),
    "a slash twice": ({"PATH_INFO": "/sse//createConnect"}, 1),
    "no path": ({"PATH_INFO": ""}, 1),
}


@pytest.mark.parametrize("proxies", [(), ("none",), ("192.0.2.0/24",)])
@pytest.mark.parametrize("origins", [(), ("https://shop.example",)])
@pytest.mark.parametrize("what", HEADERS)
def test_whatever_surrounds_it_is_answered_the_same(
    make_edge: MakeEdge, what: str, origins: tuple[str, ...], proxies: tuple[str, ...]
) -> None:
    environ, by_flask = HEADERS[what]
    short, _ = both(make_edge, request(**environ), nothing, cors_origins=origins, trusted_proxies=proxies)
    assert short.by_flask == by_flask


HOSTS = ["localhost", "LOCALHOST:8000", "127.8.9.10:1", "[::1]", "[0:0:0:0:0:0:0:1]:8000", "hub.example:1"]


@pytest.mark.parametrize("host", [*HOSTS, "localhost:", "localhost:99999", *FOREIGN_HOSTS])
def test_a_host_is_ours_or_foreign_by_either_way(make_edge: MakeEdge, host: str) -> None:
    environ = request(HTTP_HOST=host.encode().decode("latin-1"))
    both(make_edge, environ, nothing, allowed_hosts=("hub.example",))


def test_behind_a_prefix_there_is_one_door(make_edge: MakeEdge) -> None:
    for path, by_flask in ((f"/hub{STREAM}", 0), (STREAM, 1)):
        environ = request(path=path)
        short, _ = both(make_edge, environ, nothing, url_prefix="/hub")
        assert short.by_flask == by_flask


@given(st.text("ab&==.-", max_size=30))
def test_a_plain_query_is_read_as_flask_reads_it(query: str) -> None:
    assert _first_of_each(query) == Request({"QUERY_STRING": query}).args.to_dict()


# --- who else has to hear of a request


def noted(calls: list[str]) -> Callable[..., Any]:
    def note(*given: Any, **_: Any) -> Any:
        calls.append("called")
        return given[0] if given and hasattr(given[0], "headers") else None

    return note


class Session(SecureCookieSessionInterface):
    """Somebody's own sessions."""


ADDED: dict[str, Callable[[Flask, Any], Any]] = {
    "before_request": lambda app, note: app.before_request(note),
    "after_request": lambda app, note: app.after_request(note),
    "teardown_request": lambda app, note: app.teardown_request(note),
    "teardown_appcontext": lambda app, note: app.teardown_appcontext(note),
    "url_value_preprocessor": lambda app, note: app.url_value_preprocessor(note),
    "before the blueprint's": lambda app, note: app.before_request_funcs.setdefault("sse", []).append(note),
    "a view": lambda app, note: app.view_functions.update({VIEW: lambda: note() or ""}),
}


@pytest.mark.parametrize("what", ADDED)
def test_a_hook_that_an_author_adds_is_called_for_streams_too(edge: Edge, what: str) -> None:
    calls: list[str] = []
    way = Way(edge, short=True)
    ADDED[what](edge.app, noted(calls))
    way.ask(request())
    assert (way.by_flask, calls) == (1, ["called"])


def test_a_hook_may_be_added_when_streams_have_been_opened(edge: Edge) -> None:
    calls: list[str] = []
    way = Way(edge, short=True)
    way.ask(request())
    edge.app.before_request(noted(calls))
    way.ask(request())
    assert (way.by_flask, calls) == (1, ["called"])


def test_a_hook_that_answers_itself_opens_nothing(edge: Edge) -> None:
    edge.app.before_request(lambda: ("not today", 403))
    asked = Way(edge, short=True).ask(request())
    assert asked["said"][0][0] == "403 FORBIDDEN"
    assert asked["while open"]["connections"] == 0


SIGNALS = [
    "request_started",
    "request_finished",
    "request_tearing_down",
    "appcontext_pushed",
    "appcontext_popped",
    "appcontext_tearing_down",
]


@pytest.mark.parametrize("name", SIGNALS)
def test_a_receiver_of_flasks_signals_hears_of_streams_too(edge: Edge, name: str) -> None:
    calls: list[str] = []
    note, way = noted(calls), Way(edge, short=True)
    with getattr(signals, name).connected_to(note, edge.app):
        way.ask(request())
    assert (way.by_flask, calls) == (1, ["called"])
    way.ask(request())
    assert way.by_flask == 1, "and then they take the short way again"


def test_sessions_and_trusted_hosts_of_an_author_are_flasks_to_see_to(edge: Edge) -> None:
    way = Way(edge, short=True)
    edge.app.session_interface = Session()
    way.ask(request())
    edge.app.session_interface = SecureCookieSessionInterface()
    edge.app.config["TRUSTED_HOSTS"] = ["localhost"]
    way.ask(request())
    assert way.by_flask == 2
    edge.app.config["TRUSTED_HOSTS"] = None
    way.ask(request())
    assert way.by_flask == 2


class Watched(Flask):
    """As tools that watch an application make it."""


@pytest.mark.parametrize("how", ["another class", "something around it", "another method"])
def test_an_application_that_is_watched_from_within_has_no_short_way(
    edge: Edge, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    app, before = edge.app, edge.app.wsgi_app
    assert isinstance(before, Door)
    original = before.flask
    if how == "another class":
        app.__class__ = Watched
        app.wsgi_app = original  # type: ignore[method-assign]
    elif how == "something around it":
        app.wsgi_app = lambda *given: original(*given)  # type: ignore[method-assign]
    else:
        monkeypatch.setattr(Flask, "wsgi_app", Instead(Flask.wsgi_app))
        del app.wsgi_app  # the instance's
    assert not Door(app, edge.parts, before._guard, STREAM)._is_alone()


class Instead:
    """A method that somebody has put another in the place of."""

    def __init__(self, method: Any) -> None:
        self._method = method

    def __get__(self, app: Any, _: Any = None) -> Any:
        return self if app is None else self._method.__get__(app)


# --- what is opened is given back


def test_where_the_server_refuses_to_begin_the_place_is_given_back(edge: Edge) -> None:
    def refuse(*_: object) -> Iterator[bytes]:
        raise RuntimeError("no answer begins here")

    with pytest.raises(RuntimeError, match="no answer"):
        edge.app(request(), refuse)
    assert edge.numbers()["connections"] == 0


def test_what_fails_on_the_short_way_is_said_by_the_other(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No thread can be had, say: nothing was taken, so it may be asked again."""

    def fail() -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(edge.parts.sweep, "ensure", fail)
    way = Way(edge, short=True)
    assert way.ask(request())["said"][0][0] == "500 INTERNAL SERVER ERROR"
    assert (way.by_flask, edge.numbers()["connections"]) == (1, 0)
