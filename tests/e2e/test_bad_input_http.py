"""Bad input over real sockets: the whole table again, and what only a real server can be sent.

One gunicorn for all of it; whatever is thrown at it, it goes on serving, leaves nothing behind, writes no
trace of a surprise and no secret into its log.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from http.client import HTTPResponse
from typing import Any, NamedTuple

import pytest
import requests

from tests.conftest import ADMIN_TOKEN
from tests.rig.reading import Stream, eventually
from tests.rig.serving import Server
from tests.rig.upstream import ScriptedUpstream
from tests.web.test_bad_input import KNOWN, OTHER, TABLE, TAKEN, THEIRS, Row, check

JSON = "Content-Type: application/json"
CHUNKED = "Transfer-Encoding: chunked"
STREAM = "/sse/createConnect"
SEND = json.dumps({"clientId": KNOWN, "data": 1}).encode()


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Raw:
    """One connection, byte by byte as the test wants it."""

    def __init__(self, server: Server) -> None:
        self._sock = socket.create_connection(("127.0.0.1", server.port), timeout=10)

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *exc: object) -> None:
        self._sock.close()

    def send(self, data: bytes) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may answer and close early
            self._sock.sendall(data)

    def finish(self) -> None:
        self._sock.shutdown(socket.SHUT_WR)

    def answer(self, method: str = "GET") -> Answer:
        """The next answer, read to its end."""
        response = HTTPResponse(self._sock, method=method)
        try:
            response.begin()
            return Answer(response.status, dict(response.headers), response.read())
        finally:
            response.close()

    def closed(self) -> bool:
        """Whether the server has closed; waits for it."""
        try:
            return self._sock.recv(1) == b""
        except ConnectionResetError:
            return True


def request(
    method: str, target: str, *headers: str | bytes, body: bytes = b"", host: str = "localhost"
) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *headers]
    return (
        b"\r\n".join(h if isinstance(h, bytes) else h.encode("latin-1") for h in lines) + b"\r\n\r\n" + body
    )


def chunks(body: bytes, size: int) -> bytes:
    pieces = [body[i : i + size] for i in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


def once(server: Server, data: bytes, method: str = "GET") -> Answer:
    with Raw(server) as raw:
        raw.send(data)
        return raw.answer(method)


@pytest.fixture(scope="module")
def theirs(server: Server, upstream_process: ScriptedUpstream) -> Iterator[str]:
    """One who listens; another's question, its answer and its conversation, whose id this is."""
    upstream_process.reset()  # it still plays what the last test wanted
    with Stream(server.url, KNOWN, closeOnDone="false") as stream:
        stream.until("connected")
        question = {"clientId": OTHER, "message": "hi", "generationId": TAKEN}
        asked = requests.post(f"{server.url}/chat", json=question, timeout=10)
        assert asked.status_code == 201, asked.text
        eventually(lambda: get(server, f"/chat/{TAKEN}")["state"] != "running")
        yield asked.json()["conversationId"]


def get(server: Server, path: str) -> Any:
    return requests.get(server.url + path, timeout=10).json()


def numbers(server: Server, upstream: ScriptedUpstream) -> list[Any]:
    """What a refused request may not change, as far as it shows."""
    shown = [f"/sse/clients/{KNOWN}", f"/sse/clients/{OTHER}", "/sse/clients/new", "/sse/clients/stranger"]
    listed = [f"/conversations?clientId={client}" for client in (KNOWN, OTHER, "new", "stranger")]
    return [*(get(server, path) for path in shown + listed), upstream.state()["opened"]]


@pytest.mark.parametrize("row", TABLE)
def test_the_table_holds_on_a_real_server(server: Server, theirs: str, row: Row) -> None:
    target, body = row.target.replace(THEIRS, theirs), row.body.replace(THEIRS.encode(), theirs.encode())
    headers = [f"{name}: {value}" for name, value in row.headers.items()]
    if body or row.method == "POST":
        headers.append(f"Content-Length: {len(body)}")
    answer = once(server, request(row.method, target, *headers, body=body), row.method)
    check(row, *answer)


def test_after_the_whole_table_everything_is_as_before(
    server: Server, theirs: str, upstream: ScriptedUpstream
) -> None:
    before = numbers(server, upstream)
    for param in TABLE:
        row: Row = param.values[0]
        body = row.body.replace(THEIRS.encode(), theirs.encode())
        length = f"Content-Length: {len(body)}"
        headers = [*(f"{name}: {value}" for name, value in row.headers.items()), length]
        once(server, request(row.method, row.target.replace(THEIRS, theirs), *headers, body=body), row.method)
    assert numbers(server, upstream) == before


# --- bodies of unknown length -------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_chunked_body_is_read_however_it_is_cut(server: Server, theirs: str, size: int) -> None:
    answer = once(server, request("POST", "/sse/send", JSON, CHUNKED, body=chunks(SEND, size)))
    assert answer.status == 200, answer.body


@pytest.mark.parametrize(
    "body",
    [
        b'{"clientId": "known", "data": "' + b"x" * (2 << 20) + b'"}',
        SEND + b" " * (2 << 20),
        b"[" * (2 << 20),
    ],
    ids=["a string", "a whole call and spaces", "brackets"],
)
def test_a_chunked_body_of_2_mib_is_too_large_and_never_read_in_part(
    server: Server, theirs: str, upstream: ScriptedUpstream, body: bytes
) -> None:
    before = numbers(server, upstream)
    answer = once(server, request("POST", "/sse/send", JSON, CHUNKED, body=chunks(body, 65536)))
    assert (answer.status, json.loads(answer.body)["code"]) == (413, "too_large")
    assert numbers(server, upstream) == before


BROKEN = {
    "a size that is no number": b"zz\r\n{}\r\n0\r\n\r\n",
    "a negative size": b"-1\r\n{}\r\n0\r\n\r\n",
    "a chunk longer than its size": b"1\r\n{}\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_chunks_that_are_none_are_the_callers_fault(server: Server, theirs: str, body: bytes) -> None:
    with Raw(server) as raw:
        raw.send(request("POST", "/sse/send", JSON, CHUNKED, body=body))
        answer = raw.answer()
        assert (answer.status, json.loads(answer.body)["status"]) == (400, 400)
        assert raw.closed(), "where the next request begins is not known"


@pytest.mark.parametrize("coding", ["Content-Length: 100", CHUNKED])
def test_a_body_that_breaks_off_is_the_callers_fault(server: Server, theirs: str, coding: str) -> None:
    with Raw(server) as raw:
        raw.send(
            request(
                "POST", "/sse/send", JSON, coding, body=b'64\r\n{"clientId": "kn'[4 * (coding != CHUNKED) :]
            )
        )
        raw.finish()
        assert raw.answer().status == 400


def test_a_call_without_any_body_is_not_json(server: Server) -> None:
    answer = once(server, request("POST", "/sse/send", JSON))
    assert (answer.status, json.loads(answer.body)["code"]) == (400, "not_json")


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "+5", "5, 6"])
def test_a_length_that_is_none_is_refused(server: Server, length: str) -> None:
    assert (
        once(server, request("POST", "/sse/send", JSON, f"Content-Length: {length}", body=b"{}")).status
        == 400
    )


def test_two_lengths_at_once_are_refused(server: Server) -> None:
    body = chunks(SEND, 100)
    answer = once(server, request("POST", "/sse/send", JSON, CHUNKED, "Content-Length: 3", body=body))
    assert answer.status == 400


def test_a_body_that_comes_slowly_holds_nobody_up(server: Server, theirs: str) -> None:
    with Raw(server) as raw:
        raw.send(request("POST", "/sse/send", JSON, f"Content-Length: {len(SEND)}", body=SEND[:5]))
        assert once(server, request("GET", "/healthz")).status == 200
        raw.send(SEND[5:])
        assert raw.answer().status == 200


@pytest.mark.parametrize(
    "first",
    [
        request("POST", "/sse/send", JSON, f"Content-Length: {2 << 20}", body=b"x" * (2 << 20)),
        request(
            "POST",
            f"/chat/{TAKEN}/stop",
            "Content-Length: 38",
            body=b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\nxxxx",
        ),
        request("GET", "/healthz", "Content-Length: 5", body=b"GET /"),
        request("POST", "/sse/send", "Content-Length: 5", body=b"GET /"),
    ],
    ids=["too large", "a stop", "a GET", "a wrong type"],
)
def test_a_body_nobody_read_is_not_taken_for_the_next_request(
    server: Server, theirs: str, first: bytes
) -> None:
    with Raw(server) as raw:
        raw.send(first)
        assert raw.answer().status in (200, 413, 415)
        raw.send(request("GET", "/healthz"))
        answer = raw.answer()
        assert (answer.status, json.loads(answer.body)) == (200, {"status": "ok"})


# --- heads --------------------------------------------------------------------------------------------

INJECTED = {
    "a bare LF": b"x\nX-Evil: 1",
    "a bare CR": b"x\rX-Evil: 1",
    "NUL": b"x\0y",
    "a control character": b"x\x01y",
    "a folded line": b"x\r\n y",
}


@pytest.mark.parametrize("value", INJECTED.values(), ids=INJECTED)
@pytest.mark.parametrize("name", [b"Last-Event-ID", b"Origin", b"Authorization"])
def test_a_header_that_is_none_is_refused_before_anything_is_registered(
    server: Server, name: bytes, value: bytes
) -> None:
    answer = once(server, request("GET", f"{STREAM}?clientId=injected", name + b": " + value))
    assert answer.status == 400
    assert "X-Evil" not in answer.headers
    assert get(server, "/sse/clients/injected")["status"] == 404


@pytest.mark.parametrize(
    "cursor", ["\r\nX-Evil: 1", "\n\ndata: evil\n\n", "\0", "\u2028", "x" * 3000], ids=ascii
)
def test_what_is_injected_by_a_cursor_stays_inside_of_the_reset(
    server: Server, fresh_client: str, cursor: str
) -> None:
    with Stream(server.url, fresh_client, lastEventId=cursor) as stream:
        reset = stream.until("reset")
    assert (stream.status, "x-evil" in stream.headers) == (200, False)
    assert stream.types() == ["connected", "reset"]
    assert (reset["reason"], reset["requested"]) == ("malformed", cursor[:200])


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_a_probe_of_the_stream_registers_no_client_and_ends_at_once(
    server: Server, fresh_client: str, method: str
) -> None:
    with Raw(server) as raw:
        for _ in range(2):  # also the second, on the same connection
            raw.send(request(method, f"{STREAM}?clientId={fresh_client}"))
            answer = raw.answer(method)
            assert (answer.status, answer.body) == (200, b"")
    assert get(server, f"/sse/clients/{fresh_client}")["status"] == 404


HEADS = {
    "two hosts": (request("GET", "/healthz", "Host: evil.example"), 400),
    "two hosts, the foreign one first": (
        request("GET", "/healthz", "Host: localhost", host="evil.example"),
        400,
    ),
    "a foreign host": (request("GET", "/healthz", host="evil.example"), 403),
    "a foreign host in the target is not the host": (request("GET", "http://evil.example/healthz"), 200),
    "a good target for a foreign host": (
        request("GET", "http://localhost/healthz", host="evil.example"),
        403,
    ),
    "a forwarded host": (request("GET", "/healthz", "X-Forwarded-Host: localhost", host="evil.example"), 403),
    "an origin nobody can read": (request("GET", "/healthz", "Origin: http://[::1"), 403),
    "two origins": (
        request("GET", "/healthz", "Origin: http://localhost", "Origin: http://evil.example"),
        403,
    ),
    "a method in lower case": (request("get", "/healthz"), 400),
    "no method": (request("", "/healthz"), 400),
    "an asterisk": (request("OPTIONS", "*"), 404),
    "a target of 9,000 characters": (request("GET", "/" + "x" * 9000), 414),
    "a header of 20,000 characters": (request("GET", "/healthz", "X-Long: " + "x" * 20_000), 431),
    "200 headers": (request("GET", "/healthz", *(f"X-{i}: 1" for i in range(200))), 431),
    "another script's name": (request("GET", "/chat/x", "SCRIPT_NAME: /chat"), 404),
    "a protocol of its own": (b"GET /healthz HTTP/9.9\r\nHost: localhost\r\n\r\n", 400),
    "no HTTP": (b"hello\r\n\r\n", 400),
    "the beginning of TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", 400),
}


@pytest.mark.parametrize(("data", "status"), HEADS.values(), ids=HEADS)
def test_a_head_that_is_wrong_is_refused_and_the_next_caller_is_served(
    server: Server, data: bytes, status: int
) -> None:
    assert once(server, data).status == status
    assert once(server, request("GET", "/healthz")).status == 200


def test_a_stream_over_http_1_0_ends_with_its_connection(server: Server, fresh_client: str) -> None:
    with Raw(server) as raw:
        raw.send(f"GET {STREAM}?clientId={fresh_client} HTTP/1.0\r\n\r\n".encode())
        response = HTTPResponse(raw._sock)
        response.begin()
        first = response.readline()
        response.close()
    assert first.startswith(b"retry: ")
    assert "Transfer-Encoding" not in response.headers


# --- leaving ------------------------------------------------------------------------------------------


def test_streams_that_are_torn_down_at_every_moment_leave_no_connection(
    server: Server, fresh_client: str
) -> None:
    for i in range(40):
        with Raw(server) as raw:
            raw.send(request("GET", f"{STREAM}?clientId={fresh_client}"))
            if i % 2:
                raw._sock.recv(100 * (i % 3) + 1)
    eventually(lambda: get(server, f"/sse/clients/{fresh_client}")["connections"] == 0)
    with Stream(server.url, fresh_client) as stream:
        assert stream.until("connected")["resumed"] is False


def test_callers_who_leave_in_the_middle_of_their_call_leave_nothing(
    server: Server, theirs: str, upstream: ScriptedUpstream
) -> None:
    before = numbers(server, upstream)
    whole = request(
        "POST", "/chat", JSON, "Content-Length: 40", body=b'{"clientId": "stranger", "message": "hi"'
    )
    for cut in range(0, len(whole), 5):
        with Raw(server) as raw:
            raw.send(whole[:cut])
    assert once(server, request("GET", "/healthz")).status == 200
    assert numbers(server, upstream) == before


def test_the_log_knows_no_secret(server: Server) -> None:
    for token in (ADMIN_TOKEN, ADMIN_TOKEN + "x"):
        for target in ("/admin/broadcast", f"/admin/broadcast?token={token}"):
            headers = (JSON, f"Authorization: Bearer {token}", "Content-Length: 2")
            once(server, request("POST", target, *headers, body=b"{}"))
    assert ADMIN_TOKEN not in server.log
