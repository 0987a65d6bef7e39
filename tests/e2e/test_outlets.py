"""Which way streams leave under each server there is, what the log says of it, and that each way works."""

from __future__ import annotations

import json
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path

import httpx
import httpx_sse
import pytest

from tests.e2e.conftest import MakePlace
from tests.e2e.kit import BY_GENERATOR, BY_SOCKET, Development, Place, Talk, exercise, get, nothing_left
from tests.rig import script
from tests.rig.reading import Reader, eventually
from tests.rig.upstream import ScriptedUpstream

GTHREAD = "--worker-class gthread --threads 8"
SYNC = "--worker-class sync"
WRAPPED = "tests.e2e.wrapped:"
OTHER_WORKER = BY_GENERATOR + "not gunicorn's gevent worker"
HIDDEN = BY_GENERATOR + "HTTP/2, or a middleware that hides gunicorn's response"


def works(place: Place, client: str, said: str) -> dict[str, str]:
    """A stream can do all it should, and the log says once which way it leaves."""
    with nothing_left(place):
        headers = exercise(place, client)
    assert place.ways_out() == [said]
    assert ("transfer-encoding" in headers) == (said != BY_SOCKET)
    return headers


# --- which way


def test_as_it_is_started_streams_leave_by_their_own_sockets(place: Place, fresh_client: str) -> None:
    headers = works(place, fresh_client, BY_SOCKET)
    assert headers["connection"] == "close"
    assert headers["content-type"] == "text/event-stream"
    assert headers["date"]


@pytest.mark.parametrize(
    ("options", "outlet", "said"),
    [
        ("", "generator", BY_GENERATOR + "OUTLET=generator"),
        (GTHREAD, "auto", OTHER_WORKER),
        (GTHREAD, "generator", BY_GENERATOR + "OUTLET=generator"),
    ],
)
def test_elsewhere_they_leave_as_the_server_lets_them(
    place_at: MakePlace, fresh_client: str, options: str, outlet: str, said: str
) -> None:
    works(place_at(options, OUTLET=outlet), fresh_client, said)


@pytest.mark.parametrize(("outlet", "level"), [("auto", "INFO"), ("socket", "WARNING")])
def test_who_wants_sockets_where_there_are_none_is_warned_and_served(
    place_at: MakePlace, fresh_client: str, outlet: str, level: str
) -> None:
    place = place_at(GTHREAD, OUTLET=outlet)
    works(place, fresh_client, OTHER_WORKER)
    assert f"{level} app.web.streams" in place.log


def test_tls_that_ends_in_gunicorn_stays_in_gunicorns_hands(
    place_at: MakePlace, certificate: Path, fresh_client: str
) -> None:
    works(place_at(certificate=certificate), fresh_client, BY_GENERATOR + "TLS ends in gunicorn")


def test_a_unix_socket_can_be_taken_like_any_other(
    place_at: MakePlace, tmp_path: Path, fresh_client: str
) -> None:
    works(place_at(unix=tmp_path / "hub.sock"), fresh_client, BY_SOCKET)


def test_a_worker_that_serves_one_at_a_time_streams_to_one_at_a_time(
    place_at: MakePlace, upstream: ScriptedUpstream, fresh_client: str
) -> None:
    upstream.script(script.deltas(["one ", "two"]))
    place = place_at(SYNC)
    status, ids = place.call("/chat", {"clientId": fresh_client, "message": "hi"})
    assert status == 201
    with Reader(place.url, fresh_client) as reader:
        reader.follow()
    assert reader.texts == {ids["generationId"]: "one two"}
    with place.stream(fresh_client) as stream:
        stream.until("connected")
    place.forgets()  # it could not even be asked while the stream was open
    assert place.ways_out() == [OTHER_WORKER]


def test_flasks_own_server_streams_too(upstream: ScriptedUpstream, fresh_client: str) -> None:
    """Who left it finds out by writing, at the second heartbeat; who only ends its side can still read."""
    with Development(upstream_url=upstream.url, HEARTBEAT="1") as place, nothing_left(place):
        exercise(place, fresh_client, (Talk.close, Talk.reset))


def test_the_other_gevent_server_streams_too(place_at: MakePlace, fresh_client: str) -> None:
    """gevent's own pywsgi, which hands its socket to nobody either."""
    place = place_at("--worker-class gevent_pywsgi", HEARTBEAT="1")
    with nothing_left(place):
        exercise(place, fresh_client, (Talk.close, Talk.reset))
    assert place.ways_out() == [OTHER_WORKER]


@pytest.mark.parametrize("options", ["--keep-alive 0", "--worker-connections 3", "--backlog 16"])
def test_how_gunicorn_keeps_its_own_connections_does_not_matter(
    place_at: MakePlace, fresh_client: str, options: str
) -> None:
    """A stream on its own socket is none of gunicorn's, and takes the place of none."""
    place = place_at(options)
    with ExitStack() as stack:
        for number in range(10):
            stream = stack.enter_context(place.stream(f"{fresh_client}{number}"))
            assert stream.next().type == "connected"
        assert place.holds()["connections"] == 10
        works_beside(place, fresh_client)
    place.forgets()
    assert place.ways_out() == [BY_SOCKET]


def works_beside(place: Place, client: str) -> None:
    with place.stream(client) as stream:
        stream.until("connected")
        assert place.send(client, "one more") == 200
        assert stream.next()["data"] == "one more"


@pytest.mark.parametrize("outlet", ["socket", "generator"])
def test_calls_are_answered_also_where_streams_are_full(
    place_at: MakePlace, fresh_client: str, outlet: str
) -> None:
    place = place_at(OUTLET=outlet, CONNECTIONS_WORKER="1")
    with place.stream(fresh_client) as stream:
        stream.until("connected")
        assert place.call("/healthz") == (200, {"status": "ok"})
        assert place.call("/sse/createConnect?clientId=b&overload=status")[0] == 503
        assert place.send(fresh_client, "still") == 200
        assert stream.next()["data"] == "still"


@pytest.mark.parametrize(("options", "said"), [("", BY_SOCKET), (GTHREAD, OTHER_WORKER)])
def test_an_address_has_so_many_streams_and_no_more(
    place_at: MakePlace, fresh_client: str, options: str, said: str
) -> None:
    place = place_at(options, CONNECTIONS_ADDRESS="3", TRUSTED_PROXIES="none")
    spoofed = get(fresh_client, "X-Forwarded-For: 198.51.100.7")
    with ExitStack() as stack:
        streams = [stack.enter_context(place.stream(fresh_client)) for _ in range(3)]
        with place.stream(fresh_client, spoofed) as refused:
            assert [event.type for event in refused.collect()] == ["overloaded"]
        assert all(stream.next().type == "connected" for stream in streams)
        streams[0].close()
        eventually(lambda: place.holds()["connections"] == 2)
        assert stack.enter_context(place.stream(fresh_client)).next().type == "connected"
    place.forgets()
    assert place.ways_out() == [said]


# --- middlewares


@pytest.mark.parametrize(
    ("middleware", "said"),
    [("counting", BY_SOCKET), ("heading", BY_SOCKET), ("hiding", HIDDEN)],
)
def test_a_middleware_does_not_hurt(
    place_at: MakePlace, fresh_client: str, middleware: str, said: str
) -> None:
    headers = works(place_at(app=WRAPPED + middleware), fresh_client, said)
    assert ("x-wrapped" in headers) == (middleware == "heading")


@pytest.mark.parametrize("middleware", ["holding_back", "gathering"])
def test_a_middleware_that_holds_back_what_it_is_given_loses_nothing(
    place_at: MakePlace, fresh_client: str, middleware: str
) -> None:
    """What follows the head is a message; the heartbeat brings out what was held last."""
    place = place_at(app=WRAPPED + middleware, HEARTBEAT="1")
    sock = place.connect()
    sock.sendall(get(fresh_client).encode())
    for number in range(5):
        eventually(lambda: place.send(fresh_client, number) == 200)  # noqa: B023  # called at once
        eventually(lambda: place.waiting(fresh_client) == 0)  # so that each is an item of its own
    with Talk(sock, b"") as stream:
        assert [stream.until("message")["data"] for _ in range(5)] == list(range(5))
        place.call("/sse/close", {"clientId": fresh_client})
        assert stream.collect()[-1].type == "closing"
    place.forgets()
    assert "Traceback" not in place.log


@pytest.mark.parametrize("middleware", ["counting", "hiding"])
def test_behind_a_middleware_streams_are_still_told_of_a_shutdown(
    place_at: MakePlace, fresh_client: str, middleware: str
) -> None:
    place = place_at(app=WRAPPED + middleware)
    with place.stream(fresh_client) as stream:
        stream.until("connected")
        place.stop()
        assert stream.until("closing")["reason"] == "shutdown"


# --- probes


@pytest.mark.parametrize("options", ["", GTHREAD])
def test_a_probe_chooses_no_way_and_leaves_no_stream(place_at: MakePlace, options: str) -> None:
    place = place_at(options)
    connection = HTTPConnection("127.0.0.1", place.port, timeout=5)
    try:
        for _ in range(3):  # on one connection: it stays usable
            connection.request("HEAD", "/sse/createConnect?clientId=probe")
            response = connection.getresponse()
            assert (response.status, response.read()) == (200, b"")
            assert response.headers["Content-Type"] == "text/event-stream"
    finally:
        connection.close()
    assert (place.ways_out(), place.holds()["clients"]) == ([], 0)


def test_http2_is_left_to_gunicorn(place_at: MakePlace, fresh_client: str) -> None:
    """Its streams share one connection, whose socket is nobody's alone; they come one after the other."""
    place = place_at("--http-protocols h2,h1 --http2-cleartext both")
    path = f"/sse/createConnect?clientId={fresh_client}"
    with (
        httpx.Client(base_url=place.url, http1=False, http2=True, timeout=10) as reader,
        reader.stream("GET", path) as response,
    ):
        assert (response.http_version, response.status_code) == ("HTTP/2", 200)
        events = (json.loads(e.data) for e in httpx_sse.EventSource(response).iter_sse() if e.data)
        assert next(events)["type"] == "connected"
        place.send(fresh_client, "hello")
        assert next(events)["data"] == "hello"
    place.forgets()
    assert place.ways_out() == [HIDDEN]
