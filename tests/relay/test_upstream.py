"""upstream: what goes over the wire to a model's server, and every way it fails told by its right name."""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import responses

from app.errors import UpstreamError
from app.relay import failures
from app.relay.deltas import Delta, Finished, Usage
from app.relay.line import Line
from app.relay.upstream import Upstream
from tests.relay import ASKED, DONE, HEAD, UNTIL_CLOSE, Beside, Puppet, chunk, encrypted, heard
from tests.rig import script
from tests.rig.addresses import deaf, refusing
from tests.rig.reading import eventually
from tests.rig.script import Json
from tests.rig.upstream import ScriptedUpstream

KEY = "sk-0123456789abcdef0123456789abcdef"
MOCKED = "http://mocked.test/v1"
STREAM = "text/event-stream"


def read(url: str, **options: Any) -> list[Any]:
    """All that an upstream says."""
    return heard(Upstream(url, **options))


def failure(url: str, **options: Any) -> UpstreamError:
    """The error that reading an upstream ends with."""
    with pytest.raises(UpstreamError) as error:
        read(url, **options)
    return error.value


def text(said: list[Any]) -> str:
    return "".join(item.data.get("content", "") for item in said if isinstance(item, Delta))


@pytest.fixture
def mocked() -> Iterator[responses.RequestsMock]:
    """Plain answers, where a connection is not the point. Read with `session=requests.Session()`."""
    with responses.RequestsMock() as mock:
        yield mock


def answered(
    mock: responses.RequestsMock, status: int = 200, body: Any = "", **options: Any
) -> UpstreamError:
    """The error for an answer of this status, body and headers."""
    mock.post(f"{MOCKED}/chat/completions", status=status, body=body, **options)
    with requests.Session() as session:
        return failure(MOCKED, key=KEY, session=session)


# --- what it asks ----------------------------------------------------------------------------------------


def test_the_question_is_asked_as_a_stream_with_usage_and_without_delay(upstream: ScriptedUpstream) -> None:
    read(upstream.url, key=KEY)
    (asked,) = upstream.state()["requests"]
    assert (asked["method"], asked["path"]) == ("POST", "/v1/chat/completions")
    assert asked["body"] == ASKED | {"stream": True, "stream_options": {"include_usage": True}}
    head = {"Content-Type": "application/json", "Accept": STREAM, "Accept-Encoding": "identity"}
    head |= {"Authorization": f"Bearer {KEY}"}
    assert head.items() <= asked["headers"].items()


def test_a_cookie_of_one_answer_is_not_shown_with_the_next(upstream: ScriptedUpstream) -> None:
    upstream.script(default=script.deltas(["a"], headers={"Set-Cookie": "who=somebody"}))
    shared = Upstream(upstream.url)
    for _ in range(2):
        heard(shared)
    assert "Cookie" not in upstream.state()["requests"][1]["headers"]


# --- what it is told -------------------------------------------------------------------------------------

WHOLE = [
    Delta({"content": "ü"}),
    Delta({"content": "😀"}),
    Finished("stop"),
    Usage(script.USAGE),
    Finished(""),
]


@pytest.mark.parametrize("size", [0, 1], ids=["whole", "byte by byte"])
@pytest.mark.parametrize("coding", [True, False, "length", "gzip"])
def test_an_answer_is_the_same_in_every_coding(
    upstream: ScriptedUpstream, coding: bool | str, size: int
) -> None:
    upstream.script(script.deltas(["ü", "😀"], chunked=coding, slice=size))
    assert read(upstream.url) == WHOLE


def test_every_piece_that_arrives_is_noticed_comments_included(upstream: ScriptedUpstream) -> None:
    upstream.script({"steps": [{"repeat": 3, "send": ": ping\n\n", "sleep": 0.05}, {"delta": "a"}]})
    line = Line()
    said = heard(Upstream(upstream.url), line=line)
    assert line.pieces == 4
    assert said == [Delta({"content": "a"})]


@pytest.mark.parametrize("size", [1_000_000, 10], ids=["at once", "in pieces"])
def test_each_event_comes_before_the_upstream_sends_the_next(size: int) -> None:
    """Tiny events of a body that ends with the connection: others wait for a full buffer."""
    said: list[Any] = []
    with Puppet() as puppet:
        call = Beside(lambda: heard(Upstream(puppet.url), said=said))
        with puppet.take() as sock:
            sock.sendall(UNTIL_CLOSE)
            for i in range(20):
                event = chunk(str(i))
                for at in range(0, len(event), size):
                    sock.sendall(event[at : at + size])
                eventually(lambda i=i: len(said) == i + 1)
        call.result()
    assert text(said) == "".join(map(str, range(20)))


def test_a_done_whose_blank_line_was_forgotten_counts(upstream: ScriptedUpstream) -> None:
    upstream.script({"steps": [{"delta": "a"}, {"send": "data: [DONE]"}]})
    assert read(upstream.url) == [Delta({"content": "a"}), Finished("")]


@pytest.mark.parametrize(
    "kind", [STREAM, "text/event-stream;charset=utf-8", "Text/Event-Stream; charset=UTF-8"]
)
def test_a_stream_is_known_by_its_type(upstream: ScriptedUpstream, kind: str) -> None:
    upstream.script(script.deltas(["a"], headers={"Content-Type": kind}))
    assert text(read(upstream.url)) == "a"


# --- how it fails ----------------------------------------------------------------------------------------

STATUSES = {
    302: ("upstream_status", False),
    400: ("upstream_status", False),
    401: ("auth", False),
    402: ("upstream_status", False),
    403: ("auth", False),
    404: ("upstream_status", False),
    408: ("upstream_status", True),
    409: ("upstream_status", True),
    413: ("upstream_status", False),
    422: ("upstream_status", False),
    425: ("upstream_status", True),
    429: ("rate_limited", True),
    500: ("upstream_status", True),
    502: ("upstream_status", True),
    503: ("upstream_status", True),
    504: ("upstream_status", True),
    529: ("upstream_status", True),
}


@pytest.mark.parametrize(("status", "told"), STATUSES.items())
def test_a_status_has_its_code_and_says_whether_a_retry_helps(
    mocked: responses.RequestsMock, status: int, told: tuple[str, bool]
) -> None:
    error = answered(mocked, status, "a reason")
    assert (error.code, error.retryable) == told
    assert str(status) in error.message
    assert "mocked.test" in error.message


BODIES = {
    "OpenAI's": ('{"error": {"message": "No such model", "type": "x"}}', ": No such model"),
    "an error that is a text": ('{"error": "No such model"}', ": No such model"),
    "a message": ('{"message": "No such model"}', ": No such model"),
    "an object of another kind": ('{"detail": "No such model"}', ': {"detail":"No such model"}'),
    "an error without a message": ('{"error": {"code": 7}}', ': {"code":7}'),
    "a message that is no text": ('{"error": {"message": ["a"]}}', ': ["a"]'),
    "a list": ('["No such model"]', ': ["No such model"]'),
    "a number": ("5", ": 5"),
    "a page": ("<h1>Not\n\n  found</h1>", ": <h1>Not found</h1>"),
    "nothing": ("", ": (no text)"),
    "bytes that are no text": (b"\xff\xfe", ": \ufffd\ufffd"),
}


@pytest.mark.parametrize(("body", "end"), BODIES.values(), ids=BODIES)
def test_the_upstreams_own_words_end_the_message(
    mocked: responses.RequestsMock, body: str | bytes, end: str
) -> None:
    assert answered(mocked, 404, body).message.endswith(end)


def test_the_upstreams_words_are_cut_short(mocked: responses.RequestsMock) -> None:
    assert len(answered(mocked, 500, "x" * 1_000_000).message) < 400


NOW = "Fri, 31 Dec 2100 23:59"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"Retry-After": "0"}, 0.0),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "Retry-After": "7"}, 1.5),
        ({"retry-after-ms": "soon", "Retry-After": "7"}, 7.0),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": f"{NOW}:59 GMT", "Date": f"{NOW}:54 GMT"}, 5.0),
        ({"Retry-After": f"{NOW}:50 GMT", "Date": f"{NOW}:54 GMT"}, None),
        ({"Retry-After": f"{NOW}:59 GMT"}, None),  # by whose clock?
        ({"Retry-After": f"{NOW}:59 GMT", "Date": "today"}, None),
    ],
    ids=str,
)
def test_what_the_upstream_asks_to_wait_is_told_in_seconds(
    mocked: responses.RequestsMock, headers: dict[str, str], seconds: float | None
) -> None:
    assert answered(mocked, 429, headers=headers).retry_after == seconds


@pytest.mark.parametrize(
    ("kind", "body", "named"),
    [
        ("text/html; charset=utf-8", "<title>Sign in</title>", "sent text/html instead of an event stream"),
        (
            "application/json",
            '{"hello": "world"}',
            "sent a document that is no answer",
        ),
        ("application/x-ndjson", '{"done": false}', "sent application/x-ndjson"),
    ],
)
def test_what_is_no_stream_is_named_and_not_tried_again(
    mocked: responses.RequestsMock, kind: str, body: str, named: str
) -> None:
    error = answered(mocked, 200, body, content_type=kind)
    assert (error.code, error.retryable) == ("not_a_stream", False)
    assert named in error.message


def test_a_document_in_the_place_of_a_stream_is_an_answer_too(mocked: responses.RequestsMock) -> None:
    message = {"role": "assistant", "content": "Hello"}
    answer = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": script.USAGE}
    mocked.post(f"{MOCKED}/chat/completions", json=answer)
    with requests.Session() as session:
        said = read(MOCKED, session=session)
    assert said == [Delta({"content": "Hello"}), Finished("stop"), Usage(script.USAGE)]


def test_a_document_is_no_larger_than_an_event_may_be(upstream: ScriptedUpstream) -> None:
    upstream.script(script.document({"choices": [{"message": {"content": "x" * 5_000}}]}))
    assert failure(upstream.url, max_event=4_000).code == "too_large"


def test_a_refusal_whose_words_hang_is_that_refusal(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "PATIENCE", 0.1)
    upstream.script({"status": 401, "steps": [{"send": "Wrong key", "hang": 60}]})
    error = failure(upstream.url)
    assert (error.code, error.retryable) == ("auth", False)
    assert "401: Wrong key" in error.message


def test_a_refusal_that_comes_letter_by_letter_is_not_waited_for(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "PATIENCE", 0.2)
    upstream.script({"status": 503, "steps": [{"send": "x", "repeat": 10_000, "sleep": 0.01}]})
    error = failure(upstream.url)
    assert (error.code, error.retryable) == ("upstream_status", True)
    assert len(error.message) < 300


def test_what_an_upstream_says_is_one_line(upstream: ScriptedUpstream) -> None:
    forged = 'data: {"error":{"message":"x\\nINFO answer {}\\u001b[31m","code":503}}\n\n'
    upstream.script({"steps": [{"send": forged}]})
    message = failure(upstream.url).message
    assert "x INFO answer {}" in message
    assert message.isprintable()


def test_a_key_is_hidden_also_where_it_was_escaped(upstream: ScriptedUpstream) -> None:
    key = "sk-aaaa/bbbb/cccc"
    upstream.script({"steps": [{"send": 'data: {"error":{"message":"bad sk-aaaa\\/bbbb\\/cccc"}}\n\n'}]})
    error = failure(upstream.url, key=key)
    assert key not in str(error)
    assert "bad ***" in error.message


def test_a_type_that_has_no_end_is_cut(mocked: responses.RequestsMock) -> None:
    assert len(answered(mocked, 200, "", content_type="x" * 30_000).message) < 1_000


def test_a_name_that_can_not_be_one_is_told_as_connect() -> None:
    error = failure(f"http://{'a' * 70}.test/v1")
    assert error.code == "connect"


def test_a_redirect_is_not_followed(upstream: ScriptedUpstream) -> None:
    """It would carry the key and the question elsewhere."""
    elsewhere = {"Location": f"{upstream.url}/chat/completions"}
    upstream.script({"status": 307, "headers": elsewhere, "steps": []})
    assert failure(upstream.url).code == "upstream_status"
    assert len(upstream.state()["requests"]) == 1


def test_a_closed_port_is_told_from_an_upstream_that_answers() -> None:
    with refusing() as url:
        error = failure(url)
    assert (error.code, error.retryable) == ("connect", True)
    assert error.message.endswith("Connection refused")


def test_a_connection_that_is_never_made_times_out() -> None:
    with deaf() as url:
        error = failure(url, connect_timeout=0.05)
    assert (error.code, error.retryable) == ("timeout_connect", True)


def test_a_name_without_an_address_is_said_to_be_that(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = failure("http://nowhere.test/v1")
    assert (error.code, error.retryable) == ("connect", True)
    assert "nowhere.test" in error.message
    assert "not known" in error.message


def test_of_several_addresses_the_first_that_answers_is_taken(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.getaddrinfo
    with refusing() as closed:
        ports = [int(closed.rpartition(":")[2].removesuffix("/v1")), upstream.port]

        def two(host: Any, *args: Any) -> Any:
            if host != "two.test":
                return real(host, *args)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]

        monkeypatch.setattr(socket, "getaddrinfo", two)
        assert text(read("http://two.test:1/v1")) == "Hello world"


def test_without_an_address_the_setting_is_named() -> None:
    error = failure("")
    assert (error.code, error.retryable) == ("connect", False)
    assert "UPSTREAM_URL" in error.message


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


CUT_BY_HAND = {
    "before the head": (b"", False),
    "before the head, by a reset": (b"", True),
    "before the body, by a reset": (UNTIL_CLOSE, True),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n", False),
    "before the announced length": (HEAD + b"Content-Length: 1000\r\n\r\n" + chunk("a"), False),
    "a chunk without a size": (HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", False),
    "no gzip": (UNTIL_CLOSE[:-2] + b"Content-Encoding: gzip\r\n\r\n" + chunk("a"), False),
}


@pytest.mark.parametrize(("sent", "by_reset"), CUT_BY_HAND.values(), ids=CUT_BY_HAND)
def test_a_connection_that_breaks_off_is_a_cut_and_worth_a_retry(sent: bytes, by_reset: bool) -> None:
    with Puppet() as puppet:
        call = Beside(failure, puppet.url)
        with puppet.take() as sock:
            sock.sendall(sent)
            if by_reset:
                reset(sock)
        error = call.result()
    assert (error.code, error.retryable) == ("cut", True)


@pytest.mark.parametrize("how", ["close", "reset"])
def test_what_was_said_before_a_cut_is_told(upstream: ScriptedUpstream, how: str) -> None:
    upstream.script(script.cut(["a", "b"], how=how))
    said: list[Any] = []
    with pytest.raises(UpstreamError) as error:
        heard(Upstream(upstream.url), said=said)
    assert error.value.code == "cut"
    if how == "close":  # a reset may overtake what was sent before it
        assert text(said) == "ab"


def test_a_refusal_whose_body_breaks_off_is_still_a_refusal(upstream: ScriptedUpstream) -> None:
    """The status has said it all: a wrong key is not tried again because its explanation was cut."""
    upstream.script({"status": 401, "steps": [{"send": "half a sen"}, {"close": True}]})
    error = failure(upstream.url)
    assert (error.code, error.retryable) == ("auth", False)


def test_a_certificate_that_nobody_vouches_for_is_said_to_be_that(certificate: Path) -> None:
    def serve(puppet: Puppet) -> None:
        with contextlib.suppress(OSError), puppet.accept() as plain, encrypted(plain, certificate):
            pass

    with Puppet() as puppet:
        server = Beside(serve, puppet)
        error = failure(puppet.url.replace("http:", "https:"))
        server.result()
    assert error.code == "connect"
    assert "certificate" in error.message


@pytest.mark.parametrize("by_reset", [False, True], ids=["closed", "reset"])
def test_a_handshake_that_breaks_off_is_worth_a_retry(by_reset: bool) -> None:
    """As of a proxy that restarts: no fault of its certificate, which was not even seen."""
    with Puppet() as puppet:
        call = Beside(failure, puppet.url.replace("http:", "https:"))
        with puppet.accept() as plain:
            assert plain.recv(1)
            if by_reset:
                reset(plain)
        error = call.result()
    assert error.retryable
    assert "certificate" not in error.message


def test_an_event_beyond_the_bound_ends_the_call(upstream: ScriptedUpstream) -> None:
    upstream.script({"steps": [{"delta": "a"}, {"delta": "x" * 100_000}, {"hang": 60}]})
    error = failure(upstream.url, max_event=10_000)
    assert error.code == "too_large"
    eventually(lambda: upstream.state()["open"] == 0)


@pytest.mark.parametrize("event", ["data: {half\n\n", "data: <html>\n\n", "data: 5\n\n"])
def test_an_event_that_makes_no_sense_is_malformed(upstream: ScriptedUpstream, event: str) -> None:
    upstream.script({"steps": [{"delta": "a"}, {"send": event}, {"hang": 60}]})
    assert failure(upstream.url).code == "malformed"


@pytest.mark.parametrize("name", ["", "event: error\n"], ids=["unnamed", "event: error"])
def test_an_error_inside_of_the_stream_ends_it(upstream: ScriptedUpstream, name: str) -> None:
    event = f'{name}data: {{"error": {{"message": "Overloaded", "code": 503}}}}\n\n'
    upstream.script({"steps": [{"delta": "a"}, {"send": event}, {"hang": 60}]})
    error = failure(upstream.url)
    assert error.code == "upstream_status"
    assert "Overloaded" in error.message


# --- what stays ------------------------------------------------------------------------------------------


def first(count: int, url: str) -> list[Any]:
    """What an upstream says until somebody who wants so much of it has heard enough."""
    said: list[Any] = []

    def hear(item: Any) -> bool:
        said.append(item)
        return len(said) < count

    Upstream(url).ask(ASKED, Line(), hear)
    return said


ONE_PIECE = b"".join(map(chunk, "abc"))


def test_who_wants_no_more_closes_the_connection_and_hears_no_more(upstream: ScriptedUpstream) -> None:
    upstream.script(script.counted(1000, gap=0.01))
    assert text(first(3, upstream.url)) == "w0 w1 w2 "
    (asked,) = eventually(lambda: [r for r in upstream.state()["requests"] if r["ended"]])
    assert asked["ended"] == "peer"


@pytest.mark.parametrize(
    "answer", [ONE_PIECE, ONE_PIECE + DONE[:-2]], ids=["whole", "with a [DONE] that lacks its blank line"]
)
def test_who_wants_no_more_does_not_hear_the_rest_of_the_piece(answer: bytes) -> None:
    with Puppet() as puppet:
        call = Beside(first, 2, puppet.url)
        with puppet.take() as sock:
            sock.sendall(UNTIL_CLOSE + answer)
        assert text(call.result()) == "ab"


def test_more_answers_at_once_than_a_pool_has_places_are_nothing_to_warn_of(
    upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.script(default=script.deltas(["a", "b"], gap=0.2))
    shared = Upstream(upstream.url)
    calls = [Beside(heard, shared) for _ in range(15)]
    assert {text(call.result()) for call in calls} == {"ab"}
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


# --- the key ---------------------------------------------------------------------------------------------


def test_a_repr_shows_where_and_what_but_no_key() -> None:
    shown = repr(Upstream(f"https://user:{KEY}@api.test:8443/v1", KEY, "m"))
    assert shown == "<Upstream api.test:8443 m>"


ECHOES: dict[str, Json] = {
    "a refusal": script.failure(401, f"Incorrect API key provided: {KEY}"),
    "a refusal as a page": script.page(f"<p>{KEY}</p>", status=500),
    "a refusal, the key where the message is cut": script.failure(401, "x" * 280 + KEY),
    "no stream": script.document({"you": KEY}),
    "an error inside of the stream": {"steps": [{"chunk": {"error": {"message": f"bad key {KEY}"}}}]},
    "an error inside of the stream, cut": {"steps": [{"chunk": {"error": {"message": "x" * 460 + KEY}}}]},
    "an event that is no JSON": {"steps": [{"send": f"data: key {KEY} is wrong\n\n"}]},
    "an event that is no JSON, cut": {"steps": [{"send": "data: " + "x" * 180 + f"{KEY}\n\n"}]},
    "a line that is no field": {"steps": [{"send": f"key {KEY} is wrong\n\n"}, {"reset": True}]},
    "a header": {"status": 500, "headers": {"X-Key": KEY}, "steps": []},
}


@pytest.mark.parametrize("answer", ECHOES.values(), ids=ECHOES)
def test_a_key_that_the_upstream_repeats_goes_nowhere(
    upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture, answer: Json
) -> None:
    caplog.set_level(logging.DEBUG)
    upstream.script(answer)
    error = failure(upstream.url, key=KEY)
    shown = "".join([repr(error), error.message, *traceback.format_exception(error), caplog.text])
    assert KEY[:12] not in shown


def test_a_key_is_not_in_the_log_of_an_answer(
    upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    read(upstream.url, key=KEY)
    with refusing() as url:
        failure(url, key=KEY)
    assert "urllib3" in {record.name.partition(".")[0] for record in caplog.records}
    assert KEY[:12] not in caplog.text


@pytest.mark.parametrize("key", ["ollama", "EMPTY", "content", "data"])
def test_a_key_that_is_a_word_costs_no_text(upstream: ScriptedUpstream, key: str) -> None:
    """What local servers are given for a key: no secret, and in texts and the format itself."""
    upstream.script(script.deltas(["ollama ", "EMPTY ", "content ", "data"]))
    said = [item.data["content"] for item in read(upstream.url, key=key) if isinstance(item, Delta)]
    assert "".join(said) == "ollama EMPTY content data"
