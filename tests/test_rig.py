"""The rig itself: an upstream or a reader that is wrong makes every other test worthless."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection, IncompleteRead
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.relay.conftest import certificate
from tests.rig import addresses, kernel, script
from tests.rig.mute import Mute
from tests.rig.reading import Reader, Stream, eventually
from tests.rig.script import Json
from tests.rig.serving import ROOT, Server, left
from tests.rig.upstream import CHAT, ScriptedUpstream
from tests.rig.wire import Dechunker, Wire

__all__ = ["certificate"]
QUESTION = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
STREAM = "/sse/createConnect"


@contextmanager
def ask(upstream: ScriptedUpstream, **question: object) -> Iterator[HTTPResponse]:
    """Asks as an OpenAI client would; leaves at the end of the block."""
    with closing(HTTPConnection("127.0.0.1", upstream.port, timeout=10)) as connection:
        connection.request("POST", CHAT, json.dumps(QUESTION | question), {"Authorization": "Bearer k"})
        yield connection.getresponse()


def words(body: bytes) -> list[str]:
    chunks = [json.loads(line[6:]) for line in body.splitlines() if line.startswith(b"data: {")]
    return [d["content"] for c in chunks for choice in c["choices"] if (d := choice["delta"]).get("content")]


@pytest.mark.parametrize("coding", [True, False, "gzip", "length"])
def test_an_answer_comes_whole_in_every_coding(upstream: ScriptedUpstream, coding: bool | str) -> None:
    upstream.script(script.deltas(["a", "ü", "c"], chunked=coding))
    with ask(upstream) as response:
        body = response.read()
    body = gzip.decompress(body) if coding == "gzip" else body
    assert words(body) == ["a", "ü", "c"]
    assert body.endswith(b"data: [DONE]\n\n")


def test_an_answer_sent_byte_by_byte_is_the_same(upstream: ScriptedUpstream) -> None:
    upstream.script(script.deltas(["a", "b"], slice=1))
    with ask(upstream) as response:
        assert words(response.read()) == ["a", "b"]


def test_the_script_is_played_in_order_and_the_default_after_it(upstream: ScriptedUpstream) -> None:
    slow = script.failure(429, retry_after=7)
    upstream.script(slow, script.deltas(["b"], when='"beta"'), default=script.document({"not": "a stream"}))
    with ask(upstream) as response:
        assert (response.status, response.headers["Retry-After"]) == (429, "7")
    with ask(upstream) as response:
        assert response.read() == b'{"not": "a stream"}'
    with ask(upstream, model="beta") as response:
        assert words(response.read()) == ["b"]


def test_each_delta_can_carry_the_time_it_was_sent(upstream: ScriptedUpstream) -> None:
    upstream.script(script.counted(3, gap=0.01, text="{i}:{ns} "))
    before = time.monotonic_ns()
    with ask(upstream) as response:
        sent = [word.split(":") for word in words(response.read())]
    times = [int(ns) for _, ns in sent]
    assert [i for i, _ in sent] == ["0", "1", "2"]
    assert before < times[0] <= times[1] - 5_000_000
    assert times[2] < time.monotonic_ns()


def test_the_state_tells_what_was_asked_and_that_a_reader_left(upstream: ScriptedUpstream) -> None:
    upstream.script(script.cut(["a", "b"], how="hang"))
    with ask(upstream):
        state = eventually(lambda: (s := upstream.state())["sent"] == 3 and s)
        (request,) = state["requests"]
        assert (state["open"], state["closed"], request["ended"]) == (1, 0, None)
        assert (request["headers"]["Authorization"], request["body"]) == ("Bearer k", QUESTION)
        left = time.monotonic()
    state = eventually(lambda: (s := upstream.state())["open"] == 0 and s)
    assert state["requests"][0]["ended"] == "peer"
    assert state["closed_at"][0] >= left


def test_a_cut_answer_ends_without_the_end_of_its_body(upstream: ScriptedUpstream) -> None:
    upstream.script(script.cut(["a"]), script.cut(["a"], how="reset", gap=0.05))
    with ask(upstream) as response, pytest.raises(IncompleteRead):
        response.read()
    with ask(upstream) as response, pytest.raises(ConnectionResetError):
        response.read()
    assert [request["ended"] for request in upstream.state()["requests"]] == ["cut", "cut"]


def test_a_silent_upstream_takes_the_request_and_sends_nothing(upstream: ScriptedUpstream) -> None:
    upstream.script(script.silence())
    with socket.create_connection(("127.0.0.1", upstream.port)) as sock:
        sock.sendall(f"POST {CHAT} HTTP/1.1\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        eventually(lambda: upstream.state()["open"] == 1)
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(1)
    eventually(lambda: upstream.state()["open"] == 0)


def test_a_refusing_upstream_refuses_and_comes_back(upstream: ScriptedUpstream) -> None:
    upstream.refuse(0.2)
    assert not _serves(upstream)
    eventually(lambda: _serves(upstream))


def _serves(upstream: ScriptedUpstream) -> bool:
    try:
        with ask(upstream) as response:
            return response.status == 200
    except ConnectionRefusedError:
        return False


def test_the_state_tells_how_far_the_script_was_played(upstream: ScriptedUpstream) -> None:
    upstream.script(default={"steps": [{"delta": "a"}, {"send": "half", "hang": 60}, {"delta": "b"}]})
    with ask(upstream):
        eventually(lambda: [request["step"] for request in upstream.state()["requests"]] == [2])


def test_a_head_can_break_off_or_never_end(upstream: ScriptedUpstream) -> None:
    upstream.script(script.half_head(), script.half_head(endless=True))
    for rest in (b"", b"aaa"):
        with socket.create_connection(("127.0.0.1", upstream.port), timeout=5) as sock:
            sock.sendall(f"POST {CHAT} HTTP/1.1\r\nContent-Length: 2\r\n\r\n{{}}".encode())
            head = b"HTTP/1.1 200 OK\r\nX-Half: " + rest
            with sock.makefile("rb") as file:
                assert file.read(len(head)) == head
            if not rest:
                sock.setblocking(False)
                with pytest.raises(BlockingIOError):
                    sock.recv(1)
    eventually(lambda: upstream.state()["open"] == 0)


def test_an_upstream_over_tls_does_all_that_a_plain_one_does(certificate: Path) -> None:
    trust = ssl.create_default_context(cafile=certificate)
    with ScriptedUpstream(certificate) as upstream:
        assert upstream.url == f"https://127.0.0.1:{upstream.port}/v1"
        upstream.script(script.deltas(["a"]), script.cut(["a"], how="hang"))
        for whole in (True, False):
            with closing(
                HTTPSConnection("127.0.0.1", upstream.port, timeout=10, context=trust)
            ) as connection:
                connection.request("POST", CHAT, json.dumps(QUESTION))
                response = connection.getresponse()
                assert not whole or words(response.read()) == ["a"]
                response.close()
        state = eventually(lambda: (s := upstream.state())["open"] == 0 and s)
        assert [request["ended"] for request in state["requests"]] == ["whole", "peer"]
        with pytest.raises(ssl.SSLError), socket.create_connection(("127.0.0.1", upstream.port), 5) as sock:
            ssl.create_default_context().wrap_socket(sock, server_hostname="127.0.0.1")


def test_a_mute_listener_notes_when_each_peer_spoke_and_left() -> None:
    with Mute() as mute, closing(socket.create_connection(("127.0.0.1", mute.port))) as first:
        with socket.create_connection(("127.0.0.1", mute.port)) as second:
            second.send(b"x")
            eventually(lambda: [bool(peer.heard_at) for peer in mute.peers()] == [False, True])
            assert not any(peer.closed_at for peer in mute.peers())
            left = time.monotonic()
        eventually(lambda: mute.peers()[1].closed_at)
        assert mute.peers()[1].closed_at >= left
        assert [peer.port for peer in mute.peers()] == [first.getsockname()[1], mute.peers()[1].port]
        assert mute.peers()[0].closed_at is None


def test_a_mute_listener_takes_no_more_than_it_was_told_and_sees_a_reset() -> None:
    with Mute(receive=4096) as mute, socket.create_connection(("127.0.0.1", mute.port)) as sock:
        sock.settimeout(0.1)
        with pytest.raises(TimeoutError):
            sock.sendall(bytes(1 << 22))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        eventually(lambda: mute.peers()[0].closed_at)


@pytest.mark.parametrize("way", [kernel.connecting, kernel.by_reading])
def test_the_kernel_tells_who_is_still_connecting(way: Callable[[int], set[int]]) -> None:
    with addresses.deaf() as url, closing(socket.socket()) as sock:
        port = urlsplit(url).port or 0
        before = way(port)
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", port))
        assert way(port) - before == {sock.getsockname()[1]}
        sock.close()
        assert way(port) == before


def test_there_are_addresses_that_refuse_and_that_never_answer() -> None:
    with addresses.refusing() as url, pytest.raises(ConnectionRefusedError):
        connect(url)
    with addresses.deaf() as url, pytest.raises(TimeoutError):
        connect(url)


def connect(url: str) -> None:
    base = urlsplit(url)
    socket.create_connection((base.hostname or "", base.port or 80), timeout=0.2).close()


def test_a_reset_cuts_what_is_still_answered_and_counts_from_zero(upstream: ScriptedUpstream) -> None:
    upstream.script(script.cut(["a"], how="hang"))
    with ask(upstream) as response:
        upstream.reset()
        with pytest.raises(IncompleteRead):
            response.read()
    assert upstream.state() == {
        "requests": [],
        "open": 0,
        "opened": 0,
        "closed": 0,
        "closed_at": [],
        "sent": 0,
    }


def test_the_upstream_ends_with_whoever_started_it() -> None:
    command = [sys.executable, "-m", "tests.rig.upstream"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        port = int(process.stdout.readline())
        process.stdin.close()
        assert process.wait(5) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


# Reading


def sse(body: Json | str, place: int | None = None) -> str:
    data = body if isinstance(body, str) else json.dumps(body)
    return ("" if place is None else f"id: e.{place}\n") + f"data: {data}\n\n"


def event(kind: str, **fields: object) -> Json:
    return {"type": kind, "clientId": "c", **fields}


def connected(place: int | None = None) -> str:
    return "retry: 100\n\n" + sse(event("connected", connectionId="x", resumed=False, heartbeat=15), place)


def delta(seq: int, text: str) -> Json:
    return event("delta", generationId="g", seq=seq, data={"content": text})


def snapshot(seq: int, text: str) -> Json:
    return event("snapshot", generationId="g", conversationId="k", seq=seq, data={"content": text})


def finished(seq: int) -> Json:
    return event("done", generationId="g", seq=seq, reason="stop")


def stream_of(*pieces: str, **answer: object) -> Json:
    return {"chunked": False, "steps": [{"send": piece} for piece in pieces], **answer}


def test_a_stream_gives_events_ids_retry_and_comments(upstream: ScriptedUpstream) -> None:
    beat = 'event: heartbeat\ndata: {"now": 1, "next": 15}\n\n'
    pieces = (connected(0), ": beat\n\n", sse(delta(1, "a"), 1), beat, sse("[DONE]", 2))
    codings: list[Json] = [{}, {"chunked": True, "slice": 1}, {"chunked": "length"}]
    upstream.script(*(stream_of(*pieces, **coding) for coding in codings), path=STREAM)
    for _ in codings:
        with Stream(upstream.url.removesuffix("/v1"), "c", "e.0", closeOnDone="false") as stream:
            assert stream.until("delta")["data"] == {"content": "a"}
            assert [e.type for e in stream.collect()] == ["connected", "delta", "heartbeat", "[DONE]"]
        assert [e.id for e in stream.transcript] == ["e.0", "e.1", None, "e.2"]
        assert (stream.retry, stream.comments, stream.cut, stream.status) == (100, 1, False, 200)
    assert upstream.state()["requests"][0]["headers"]["Last-Event-ID"] == "e.0"


def test_a_stream_that_is_refused_has_its_body(upstream: ScriptedUpstream) -> None:
    upstream.script(script.document({"code": "overloaded"}, status=503), path=STREAM)
    stream = Stream(upstream.url.removesuffix("/v1"))
    assert (stream.status, json.loads(stream.body), stream.ended) == (503, {"code": "overloaded"}, True)
    with pytest.raises(EOFError):
        stream.next()


def test_a_stream_cut_in_the_middle_says_so(upstream: ScriptedUpstream) -> None:
    upstream.script(stream_of(connected(0), sse(delta(1, "a"), 1)[:-3]), path=STREAM)
    with Stream(upstream.url.removesuffix("/v1")) as stream:
        assert [e.type for e in stream.collect()] == ["connected"]
        assert stream.cut


def test_a_stream_that_is_reset_is_seen_by_the_other_side_at_once(upstream: ScriptedUpstream) -> None:
    upstream.script(stream_of(connected(0)) | {"steps": [{"send": connected(0)}, {"hang": 60}]}, path=STREAM)
    stream = Stream(upstream.url.removesuffix("/v1"))
    stream.until("connected")
    stream.reset()
    eventually(lambda: upstream.state()["open"] == 0)


BROKEN = {
    "a raw CR": b"data: {}\r\n\r\n",
    "a stray line": b"datum: 1\n\n",
    "two data lines": b"data: [DONE]\ndata: [DONE]\n\n",
    "an id alone": b"id: e.1\n\n",
    "an unknown type": sse(event("news")).encode(),
    "a missing field": sse(event("delta", generationId="g", seq=1), 1).encode(),
    "an unknown field": sse(delta(1, "a") | {"extra": 1}, 1).encode(),
    "a clientId in a broadcast": sse(event("broadcast", data=1, level="info"), 1).encode(),
    "an id on a reset": sse(event("reset", reason="trimmed", requested="e.1"), 1).encode(),
    "a delta without id": (connected(0) + sse(delta(1, "a"))).encode(),
    "an opening without end": (connected() + sse(snapshot(1, "a")) + sse(delta(2, "b"), 2)).encode(),
    "a snapshot out of place": (connected(0) + sse(snapshot(1, "a"), 1)).encode(),
}


def read_all(data: bytes, lags: bool = False) -> None:
    wire = Wire(lags)
    wire.feed(data)
    while wire.pop():
        pass


@pytest.mark.parametrize("case", BROKEN)
def test_what_breaks_the_contract_is_refused(case: str) -> None:
    with pytest.raises(AssertionError):
        read_all(BROKEN[case])


def test_who_lags_may_be_given_an_opening_in_the_middle_of_a_stream_and_it_has_to_be_whole() -> None:
    before = connected(0) + sse(delta(1, "a"), 1)
    read_all((before + sse(snapshot(2, "ab"), 2) + sse(delta(3, "c"), 3)).encode(), lags=True)
    read_all((before + sse(snapshot(2, "ab")) + sse(snapshot(1, "x"), 3)).encode(), lags=True)
    with pytest.raises(AssertionError, match="without a snapshot that places it"):
        read_all((before + sse(snapshot(2, "ab")) + sse(delta(3, "c"), 3)).encode(), lags=True)


def test_chunks_are_read_whole_and_byte_by_byte_and_bad_ones_refused() -> None:
    coded = b"3\r\nabc\r\na\r\n0123456789\r\n0\r\n\r\n"
    assert Dechunker().feed(coded) == b"abc0123456789"
    slow = Dechunker()
    assert b"".join(slow.feed(coded[i : i + 1]) for i in range(len(coded))) == b"abc0123456789"
    assert slow.finished
    for bad in (b"3\r\nabcd\r\n", coded + b"x", b"x\r\n\r\n"):
        with pytest.raises((AssertionError, ValueError)):
            Dechunker().feed(bad)


def test_a_reader_comes_back_with_its_last_id_and_folds_one_text(upstream: ScriptedUpstream) -> None:
    started = event("started", generationId="g", conversationId="k", model="m", attempt=1, data={})
    upstream.script(
        stream_of(connected(0), sse(started, 1), sse(delta(1, "a"), 2), sse(delta(2, "lost"), 3)[:-2]),
        stream_of(
            connected(2), sse(delta(2, "b"), 3), sse(started | {"attempt": 2}, 4), sse(delta(3, "c"), 5)
        ),
        stream_of(connected(), sse(snapshot(3, "c")), sse(event("message", data=1))),
        stream_of(connected(), sse(event("message", data=1)), sse(snapshot(4, "cd"), 7), sse(finished(4), 8)),
        {"status": 204, "chunked": False, "steps": []},
        path=STREAM,
    )
    with Reader(upstream.url.removesuffix("/v1"), "c") as reader:
        assert reader.follow("never") is None
    assert (reader.texts, reader.connections, reader.cursor) == ({"g": "cd"}, 5, "e.8")
    assert reader.terminals["g"]["reason"] == "stop"
    assert [e.type for e in reader.events].count("message") == 1
    cursors = [r["headers"].get("Last-Event-ID") for r in upstream.state()["requests"]]
    assert cursors == [None, "e.2", "e.5", "e.5", "e.8"]


@pytest.mark.parametrize(
    "again",
    [sse(delta(2, "b"), 1), sse(delta(1, "b"), 2), sse(finished(1), 2) + sse(finished(1), 3)],
    ids=["an id twice", "a seq twice", "two terminal events"],
)
def test_a_reader_refuses_what_comes_twice(upstream: ScriptedUpstream, again: str) -> None:
    upstream.script(stream_of(connected(0), sse(delta(1, "a"), 1), again), path=STREAM)
    with Reader(upstream.url.removesuffix("/v1"), "c") as reader, pytest.raises(AssertionError):
        reader.follow("never")


def test_eventually_gives_up() -> None:
    with pytest.raises(AssertionError, match=r"not within 0\.01 s"):
        eventually(lambda: 0, within=0.01)


# Serving

APP = """
import os
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [" ".join(sorted(os.environ)).encode()]
"""
CONFIG = """
import os
bind = f"127.0.0.1:{os.environ['PORT']}"
worker_class = os.environ.get("WORKER", "gevent")
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    (tmp_path / "wsgi.py").write_text(APP)
    (tmp_path / "gunicorn.conf.py").write_text(CONFIG)
    return tmp_path


def test_a_server_sees_only_the_settings_it_is_given(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSTREAM_KEY", "leaks")
    monkeypatch.setenv("CI", "true")
    with Server({"HEARTBEAT": "1"}, upstream_url="http://127.0.0.1:1/v1", root=house) as server:
        connection = HTTPConnection("127.0.0.1", server.port, timeout=5)
        connection.request("GET", "/healthz")
        seen = connection.getresponse().read().decode().split()
        connection.close()
        assert len(server.family()) >= 2
        assert "Listening at" in server.log
    assert {"HEARTBEAT", "UPSTREAM_URL", "PORT", "CI"} <= set(seen)
    assert "UPSTREAM_KEY" not in seen


def test_a_server_that_cannot_start_says_why(house: Path) -> None:
    (house / "wsgi.py").write_text("raise RuntimeError('no such luck')")
    with pytest.raises(AssertionError, match="no such luck"), Server(root=house):
        pass


CHILD = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
"""


def test_a_process_left_behind_is_an_error_and_is_ended(house: Path) -> None:
    (house / "wsgi.py").write_text(CHILD + APP)
    server = Server(root=house).__enter__()
    family = server.family()
    with pytest.raises(AssertionError, match="left behind"):
        server.__exit__()
    assert len(family) >= 3
    eventually(lambda: not left(family))
