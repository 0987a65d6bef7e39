"""The table of bad input: one row a case, request -> status, code, field; and nothing is left behind.

Here the rows are put to the application in this process; tests/e2e/test_bad_input_http.py puts the same rows
to a real server. What a server must do with what is no HTTP stands there too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from time import process_time
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from tests.conftest import ADMIN_TOKEN
from tests.web.conftest import ADMIN, Edge

JSON = {"Content-Type": "application/json"}
# What the rows find when they come: one who listens, and another's question, its answer and conversation.
KNOWN, OTHER = "known", "other"
TAKEN = "2f1c0e9a-5b7d-4c3e-8a6f-0d9b8c7a6e5f"
FREE = "0d9b8c7a-5b7d-4c3e-8a6f-2f1c0e9a6e5f"
THEIRS = "{theirs}"  # stands for the id of the other's conversation, which the server chooses

VALID: dict[str, dict[str, Any]] = {
    "/sse/send": {"clientId": KNOWN, "data": 1},
    "/sse/close": {"clientId": KNOWN},
    "/chat": {"clientId": KNOWN, "message": "hi"},
    "/admin/broadcast": {"data": 1},
}


class Row(NamedTuple):
    """One case. `body` is sent as it is; {theirs} in target and body is replaced when it is known."""

    name: str
    method: str
    target: str
    body: bytes
    headers: dict[str, str]
    status: int
    code: str
    field: str = ""


def head(target: str) -> dict[str, str]:
    """The headers of a good call."""
    return {**JSON, **(ADMIN if target.startswith("/admin") else {})}


def raw(name: str, target: str, body: bytes, status: int, code: str, field: str = "", **more: str) -> Row:
    """A POST whose body is sent as it is; a header given as "" is left out."""
    headers = {**head(target), **{k.replace("_", "-"): v for k, v in more.items()}}
    headers = {k: v for k, v in headers.items() if v}
    return Row(f"{target}: {name}", "POST", target, body, headers, status, code, field)


def invalid(name: str, target: str, field: str, **change: Any) -> Row:
    """A good call with some members changed: 422 and the field that is at fault."""
    body = json.dumps({**VALID[target], **change}).encode()
    return raw(name, target, body, 422, "invalid", field)


def ask(name: str, field: str, **question: Any) -> Row:
    """POST /chat with nothing but this and the asker: 422."""
    body = json.dumps({"clientId": KNOWN, **question}).encode()
    return raw(name, "/chat", body, 422, "invalid", field)


def get(target: str, status: int, code: str, field: str = "", method: str = "GET") -> Row:
    return Row(f"{method} {target}", method, target, b"", {}, status, code, field)


# --- what is wrong with any body ----------------------------------------------------------------------

NOT_JSON = {
    "an empty body": b"",
    "spaces": b"   ",
    "not JSON": b"{nonsense}",
    "JSON cut in the middle": b'{"clientId": "kno',
    "two documents": b"{} {}",
    "single quotes": b"{'clientId': 'known'}",
    "a trailing comma": b'{"clientId": "known",}',
    "a raw line break in a string": b'{"clientId": "kno\nwn"}',
    "invalid UTF-8": b'{"clientId": "known", "data": "\xff"}',
    "a surrogate as bytes": b'{"clientId": "known", "data": "\xed\xa0\x80"}',
    "UTF-16": json.dumps({"clientId": KNOWN, "data": 1, "message": "hi"}).encode("utf-16"),
    "a form": b"clientId=known&data=1",
}
NO_OBJECT = {"an array": b"[]", "a string": b'"known"', "a number": b"1", "null": b"null"}
WRONG_TYPE = {
    "no content type": "",
    "plain text": "text/plain",
    "a form's type": "application/x-www-form-urlencoded",
    "a type that begins like JSON's": "application/json-patch+json",
}


def bodies() -> Iterator[Row]:
    for target, valid in VALID.items():
        for name, body in NOT_JSON.items():
            yield raw(name, target, body, 400, "not_json")
        for name, body in NO_OBJECT.items():
            yield raw(name, target, body, 422, "invalid")
        for name, kind in WRONG_TYPE.items():
            body = json.dumps(valid).encode()
            yield raw(name, target, body, 415, "unsupported_media_type", Content_Type=kind)
        yield raw("a body of 2 MiB", target, b'"' + b"x" * (2 << 20) + b'"', 413, "too_large")
        yield invalid("an unknown field", target, "surprise", surprise=1)
        yield invalid("a field in snake_case", target, "idle_time", idle_time=1)
        for name in valid:
            missing = {k: v for k, v in valid.items() if k != name}
            field = "" if name == "message" else name
            yield raw(f"without {name}", target, json.dumps(missing).encode(), 422, "invalid", field)


# --- what JSON can say and a body may not -------------------------------------------------------------

NUMBERS = {
    "an integer of 30 digits": "1" * 30,
    "an integer of 5,000 digits": "1" * 5000,
    "a negative integer of 5,000 digits": "-" + "1" * 5000,
    "2 to the 64th": str(2**64),
    "one below minus 2 to the 63rd": str(-(2**63) - 1),
    "1e400": "1e400",
}
SURROGATES = {
    "a lone high surrogate": r'"\ud800"',
    "a lone low surrogate": r'"x\udfff"',
    "surrogates in the wrong order": r'"\udc00\ud800"',
    "a lone surrogate in a key": r'{"\ud83d": 1}',
    "a lone surrogate deep inside": r'[{"a": ["\udead"]}]',
}
HOLES = {"/sse/send": "data", "/admin/broadcast": "data", "/chat": "options"}


def inside(target: str, text: str) -> bytes:
    """A good call but for `text` standing as the value of a member that may be any JSON."""
    value = f'{{"seed": {text}}}' if target == "/chat" else text
    return json.dumps(VALID[target])[:-1].encode() + f', "{HOLES[target]}": {value}}}'.encode()


def values() -> Iterator[Row]:
    for target, field in HOLES.items():
        for name, text in {**NUMBERS, **SURROGATES}.items():
            yield raw(name, target, inside(target, text), 422, "invalid", field)
        for text in ("NaN", "Infinity", "-Infinity"):
            yield raw(text, target, inside(target, text), 400, "not_json")
        nested = "[" * 100 + "]" * 100
        yield raw("101 deep", target, inside(target, nested), 422, "too_deep", field)
        yield raw("100,000 open brackets", target, b"[" * 100_000, 422, "too_deep")
        yield raw("100,000 open braces", target, b'{"a":' * 100_000, 422, "too_deep", "a")
        unclosed = inside(target, "[" * 100_000)
        yield raw("100,000 brackets inside", target, unclosed, 422, "too_deep", field)
    yield raw("a lone surrogate as a field", "/chat", rb'{"\ud800": 1}', 422, "invalid", "?")
    long = "k" * 100_000
    yield invalid("a field of 100,000 characters", "/sse/send", long[:64], **{long: 1})
    twice = b'{"clientId": "known", "clientId": "a b", "data": 1}'
    yield raw("a field twice, of which the last counts", "/sse/send", twice, 422, "invalid", "clientId")
    # In UTF-16 a byte-wise reader of strings would take these brackets for text.
    hidden = ('["\\"", ' + "[" * 3000 + "]" * 3000 + ', ""]').encode("utf-16")
    yield raw("brackets hidden by UTF-16", "/sse/send", hidden, 400, "not_json")
    large = json.dumps({"clientId": KNOWN, "data": "x" * (1 << 20)}).encode()
    yield raw("data of just over 1 MiB", "/sse/send", large, 413, "too_large", "data")
    yield raw("data of just over 1 MiB", "/admin/broadcast", large[:1] + large[22:], 413, "too_large", "data")


# --- ids ----------------------------------------------------------------------------------------------

BAD_IDS = {
    "empty": "",
    "a space": "a b",
    "a slash": "a/b",
    "unicode": "ünï",
    "a digit of another script": "١",
    "129 characters": "a" * 129,
    "a leading dot": ".a",
    "a leading tilde": "~a",
    "a trailing newline": "a\n",
    "a trailing CRLF": "a\r\n",
    "a header injected": "a\r\nX-Evil: 1",
    "an event injected": "a\n\ndata: evil",
    "NUL": "a\0b",
    "markup": "<b>",
}
IN_BODY = {
    "/sse/send": ("clientId", "id"),
    "/sse/close": ("clientId",),
    "/admin/broadcast": ("id",),
    "/chat": ("clientId", "generationId", "conversationId"),
}
IN_PATH = [
    ("GET", "/sse/clients/{}", "clientId"),
    ("GET", "/chat/{}", "generationId"),
    ("POST", "/chat/{}/stop", "generationId"),
    ("GET", "/conversations/{}?clientId=known", "conversationId"),
    ("DELETE", "/conversations/{}?clientId=known", "conversationId"),
]
IN_QUERY = [
    ("GET", "/sse/createConnect?clientId={}"),
    ("GET", "/conversations?clientId={}"),
    ("GET", f"/conversations/{THEIRS}?clientId={{}}"),
    ("DELETE", f"/conversations/{THEIRS}?clientId={{}}"),
    ("GET", f"/chat/{TAKEN}?clientId={{}}"),
]


def ids() -> Iterator[Row]:
    for name, bad in BAD_IDS.items():
        for target, fields in IN_BODY.items():
            for field in fields:
                yield invalid(f"{field}: {name}", target, field, **{field: bad})
        for method, pattern, field in IN_PATH:
            if bad and "/" not in bad:  # else it is another path
                row = get(pattern.replace("{}", quote(bad)), 422, "invalid", field, method)
                yield row._replace(name=f"{method} {pattern}: {name}")
        for method, pattern in IN_QUERY:
            if bad or "createConnect" not in pattern:  # where an empty one is allowed
                row = get(pattern.replace("{}", quote(bad, safe="")), 422, "invalid", "clientId", method)
                yield row._replace(name=f"{method} {pattern}: {name}")
    yield get("/sse/clients/%ff", 422, "invalid", "clientId")
    yield get("/conversations?clientId=%ff", 422, "invalid", "clientId")
    yield get("/conversations", 422, "invalid", "clientId")
    yield ask("generationId: no UUID", "generationId", message="hi", generationId="not-a-uuid")
    yield ask("generationId: braces", "generationId", message="hi", generationId=f"{{{TAKEN}}}")
    yield ask("generationId: no dashes", "generationId", message="hi", generationId=TAKEN.replace("-", ""))


# --- each field of the wrong type ---------------------------------------------------------------------

USER = {"role": "user", "content": "hi"}
WRONG: dict[str, dict[str, list[Any]]] = {
    "/sse/send": {"clientId": [1, None, [], {}, True], "id": [1, None, []]},
    "/sse/close": {"clientId": [1, None, ["known"]]},
    "/admin/broadcast": {"level": ["loud", 1, None], "id": [1]},
    "/chat": {
        "clientId": [1, None],
        "message": [1, [], {}, True, ""],
        "generationId": [1, []],
        "conversationId": [1, []],
        "model": [1, [], "", "a\nb", "m" * 201],
        "upstream": [1, ""],
        "options": [[], "x", 1, None],
        "onLeave": ["stay", 1, None],
        "onCut": ["cut", True],
        "onBusy": ["wait", 0],
    },
}
# field -> question
QUESTIONS: list[tuple[str, dict[str, Any]]] = [
    ("messages", {"messages": "hi"}),
    ("messages", {"messages": {}}),
    ("messages", {"messages": []}),
    ("messages.0", {"messages": ["hi"]}),
    ("messages.1", {"messages": [USER, None]}),
    ("messages.0.role", {"messages": [{"content": "hi"}]}),
    ("messages.0.role", {"messages": [{**USER, "role": "boss"}]}),
    ("messages.0.content", {"messages": [{**USER, "content": 1}]}),
    ("messages.0.content", {"messages": [{**USER, "content": {"type": "text"}}]}),
    ("messages.0.surprise", {"messages": [{**USER, "surprise": 1}]}),
    ("messages.0.name", {"messages": [{**USER, "name": 1}]}),
    ("messages.0.tool_calls", {"messages": [{**USER, "tool_calls": {}}]}),
    ("messages.0.tool_calls.0", {"messages": [{**USER, "tool_calls": [1]}]}),
    ("prompt", {"prompt": 1}),
    ("prompt", {"prompt": ""}),
    ("params", {"prompt": "x", "params": "x"}),
    ("params", {"prompt": "x", "params": 1}),
    ("params", {"message": "hi", "params": {}}),
    ("params", {"messages": [USER], "params": []}),
    ("", {"message": "hi", "messages": [USER]}),
    ("", {"message": "hi", "prompt": "hi"}),
    ("", {"message": "hi", "messages": [USER], "prompt": "hi"}),
    ("", {}),
    ("params.name", {"prompt": "Hi {name}"}),
    ("params.name", {"prompt": "Hi {name}", "params": {}}),
    ("params.surplus", {"prompt": "Hi {name}", "params": {"name": "you", "surplus": 1}}),
    ("params.1", {"prompt": "{} and {}", "params": ["one"]}),
    ("params.0", {"prompt": "{}", "params": []}),
    ("params.1", {"prompt": "{}", "params": ["one", "two"]}),
    ("params.0", {"prompt": "none", "params": ["one"]}),
    ("prompt", {"prompt": "{}", "params": {"name": "you"}}),
    ("prompt", {"prompt": "{name}", "params": ["you"]}),
    ("prompt", {"prompt": "{name} and {}", "params": ["you"]}),
    ("prompt", {"prompt": "a { b"}),
    ("prompt", {"prompt": "a } b"}),
    ("prompt", {"prompt": "{a.b}", "params": {"a": 1}}),
    ("prompt", {"prompt": "{0}", "params": ["one"]}),
    ("params." + "k" * 64, {"prompt": "x", "params": {"k" * 100_000: 1}}),
    ("options.stream", {"message": "hi", "options": {"stream": False}}),
    ("options.stream_options", {"message": "hi", "options": {"stream_options": {}}}),
    ("options.messages", {"message": "hi", "options": {"messages": []}}),
    ("options.model", {"message": "hi", "options": {"model": "x"}}),
    ("upstream", {"message": "hi", "upstream": "nobody"}),
]


def fields() -> Iterator[Row]:
    for target, wrong in WRONG.items():
        for field, bad in wrong.items():
            for value in bad:
                yield invalid(f"{field}: {json.dumps(value)[:20]}", target, field, **{field: value})
    for field, question in QUESTIONS:
        name = json.dumps(question)[:70]
        yield ask(name, field, **question)
    large = {"clientId": KNOWN, "prompt": "{a}" * 3000, "params": {"a": "x" * 1000}}
    yield raw("a prompt that fills to 3 MB", "/chat", json.dumps(large).encode(), 413, "too_large", "prompt")


# --- what is not there, not theirs, or taken ----------------------------------------------------------


def chat(name: str, status: int, code: str, field: str, **question: Any) -> Row:
    body = json.dumps({"clientId": KNOWN, "message": "hi", **question}).encode()
    return raw(name, "/chat", body, status, code, field)


def unknown() -> Iterator[Row]:
    stranger = json.dumps({"clientId": "stranger", "data": 1}).encode()
    yield raw("an unknown client", "/sse/send", stranger, 404, "not_found", "clientId")
    yield get("/sse/clients/stranger", 404, "not_found", "clientId")
    for method in ("GET", "DELETE"):
        yield get(f"/conversations/nobody?clientId={KNOWN}", 404, "not_found", "conversationId", method)
        yield get(f"/conversations/{THEIRS}?clientId={KNOWN}", 404, "not_found", "conversationId", method)
    yield get(f"/chat/{FREE}", 404, "not_found", "generationId")
    yield get(f"/chat/{TAKEN}?clientId={KNOWN}", 404, "not_found", "generationId")
    yield get(f"/chat/{FREE}/stop", 404, "not_found", "generationId", "POST")
    yield chat("an unknown conversation", 404, "not_found", "conversationId", conversationId="nobody")
    yield chat("another client's conversation", 404, "not_found", "conversationId", conversationId=THEIRS)
    taken = chat("another's generationId", 409, "conflict", "generationId", generationId=TAKEN)
    yield taken
    same = {"clientId": OTHER, "message": "another", "generationId": TAKEN}
    yield taken._replace(name="/chat: a generationId with another body", body=json.dumps(same).encode())


def queries() -> Iterator[Row]:
    for name, value in [
        ("closeOnDone", "maybe"),
        ("closeOnDone", ""),
        ("closeOnDone", "TRUE"),
        ("heartbeat", "x"),
        ("heartbeat", "true"),
        ("overload", "x"),
        ("overload", ""),
    ]:
        yield get(f"/sse/createConnect?clientId=new&{name}={value}", 422, "invalid", name)
        yield get(f"/sse/createConnect?clientId=new&{name}={value}", 422, "invalid", name, "HEAD")


METHODS = [
    ("POST", "/sse/createConnect"),
    ("DELETE", "/sse/createConnect"),
    ("GET", "/sse/send"),
    ("PUT", "/sse/send"),
    ("GET", "/sse/close"),
    ("POST", "/sse/clients/known"),
    ("DELETE", "/sse/clients/known"),
    ("GET", "/chat"),
    ("PATCH", "/chat"),
    ("GET", f"/chat/{TAKEN}/stop"),
    ("DELETE", f"/chat/{TAKEN}"),
    ("POST", "/conversations"),
    ("PUT", "/conversations/x"),
    ("GET", "/admin/broadcast"),
    ("POST", "/healthz"),
    ("POST", "/"),
    ("TRACE", "/chat"),
    ("NONSENSE", "/chat"),
]
PATHS = [
    "/nothing",
    "/sse",
    "/sse/",
    "/sse/clients",
    "/sse/clients/a/b",
    "/chat/",
    "/chat/x/y/z",
    "/admin",
    "/v1/models",
    "/static/none.js",
    "/static/..%2fwsgi.py",
    "/%00",
    "/%ff",
]


def ways() -> Iterator[Row]:
    for method, target in METHODS:
        yield get(target, 405, "method_not_allowed", method=method)
    for target in PATHS:
        yield get(target, 404, "not_found")
        if "static" not in target:
            yield get(target, 404, "not_found", method="POST")


def tokens() -> Iterator[Row]:
    for name, value in [
        ("without a token", ""),
        ("a wrong token", "Bearer " + "x" * 40),
        ("a part of the token", f"Bearer {ADMIN_TOKEN[:-1]}"),
        ("the token and more", f"Bearer {ADMIN_TOKEN}x"),
        ("another scheme", f"Basic {ADMIN_TOKEN}"),
        ("no scheme", ADMIN_TOKEN),
        ("an empty token", "Bearer "),
        ("letters beyond ASCII", "Bearer \xe9\xff"),
    ]:
        body = json.dumps(VALID["/admin/broadcast"]).encode()
        yield raw(name, "/admin/broadcast", body, 401, "unauthorized", Authorization=value)


ALL = (*bodies(), *values(), *ids(), *fields(), *unknown(), *queries(), *ways(), *tokens())
TABLE = [pytest.param(row, id=f"{row.name} -> {row.status}") for row in ALL]


@pytest.fixture(scope="module")
def found() -> Iterator[tuple[Edge, str]]:
    """What the rows find, made once: each has to leave it as it was. And the id that {theirs} stands for."""
    edge = Edge(admin_token=ADMIN_TOKEN)
    with edge.listen(f"clientId={KNOWN}") as stream:
        stream.take()
        theirs = edge.ask(OTHER, generationId=TAKEN)["conversationId"]
        edge.ended(TAKEN)
        yield edge, theirs
    edge.end()


@pytest.mark.parametrize("row", TABLE)
def test_bad_input_is_told_apart_and_leaves_nothing_behind(row: Row, found: tuple[Edge, str]) -> None:
    edge, theirs = found
    before = edge.numbers()
    target, body = row.target.replace(THEIRS, theirs), row.body.replace(THEIRS.encode(), theirs.encode())
    response = edge.call(row.method, target, body, row.headers)
    check(row, response.status_code, dict(response.headers), response.get_data())
    response.close()
    assert edge.numbers() == before


def check(row: Row, status: int, headers: dict[str, str], body: bytes) -> None:
    """That an answer is what the row says, and a problem document."""
    assert status == row.status, body
    assert headers["Content-Type"] == "application/problem+json"
    assert "X-Evil" not in headers
    assert ("WWW-Authenticate" in headers) == (status == 401)
    assert ("Allow" in headers) == (status == 405)
    if row.method == "HEAD":
        return
    assert len(body) < 1000, "the caller's own words come back in full"
    problem = json.loads(body)
    assert (problem["code"], problem.get("field", ""), problem["status"]) == (row.code, row.field, status)
    assert problem["detail"]
    assert problem["title"]
    assert problem["type"]


def test_every_row_has_a_name_of_its_own() -> None:
    names = [row.name for row in ALL]
    assert sorted({name for name in names if names.count(name) > 1}) == []


# --- what no row can say ------------------------------------------------------------------------------


def test_the_admins_door_is_closed_where_no_token_is_set(make_edge: Any) -> None:
    edge = make_edge()
    for headers in ({}, {"Authorization": "Bearer "}, ADMIN):
        response = edge.post("/admin/broadcast", {"data": 1}, **headers)
        assert (response.status_code, response.get_json()["code"]) == (403, "admin_closed")
    assert edge.numbers() == make_edge().numbers()


def cost(edge: Edge, target: str, body: bytes) -> float:
    """Seconds of processor time that a refusal takes, the best of three."""

    def once() -> float:
        began = process_time()
        assert 400 <= edge.call("POST", target, body, JSON).status_code < 500
        return process_time() - began

    return min(once() for _ in range(3))


@pytest.mark.parametrize("opening", [b"[" * 60 + b"]" * 60 + b"[" * 60, b"["], ids=["many brackets", "few"])
def test_the_work_for_an_unclosed_string_grows_with_its_length_and_no_faster(
    edge: Edge, opening: bytes
) -> None:
    """A reader that starts over at each quote needs hours for a body of 1.25 MiB."""
    short, long = (opening + b'"' + b'\\"' * quotes for quotes in (1000, 8000))
    assert cost(edge, "/sse/send", long) < 24 * cost(edge, "/sse/send", short)


def test_of_many_wrong_messages_the_first_is_refused_and_no_other_looked_at(edge: Edge) -> None:
    """To gather an error for each of 600,000 would hold up every stream for seconds."""
    wrong = [1] * 100_000
    chat = json.dumps({"clientId": "a", "messages": wrong}).encode()
    parts = json.dumps({"clientId": "a", "messages": [{"role": "user", "content": wrong}]}).encode()
    whole = cost(edge, "/sse/send", json.dumps({"clientId": "nobody", "data": wrong}).encode())
    assert cost(edge, "/chat", chat) < 5 * whole
    assert cost(edge, "/chat", parts) < 5 * whole
