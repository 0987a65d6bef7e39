"""The blueprint `sse`, in this process: heads and first events, 204 and overloaded, send, close, clients."""

from __future__ import annotations

import json
import re
from itertools import islice
from time import monotonic

import pytest

from tests.conftest import ADMIN_TOKEN
from tests.rig import script
from tests.rig.upstream import ScriptedUpstream
from tests.web.conftest import STREAM, Edge, Listening, MakeEdge, next_or_none

CURSOR = re.compile(r"[0-9a-f]{8}\.[0-9]+")


def client(edge: Edge, client_id: str) -> dict[str, object] | None:
    """GET /sse/clients/<id>, None where it is not known."""
    response = edge.get(f"/sse/clients/{client_id}")
    assert response.status_code in (200, 404)
    return dict(response.get_json()) if response.status_code == 200 else None


def cursor_of(edge: Edge, client_id: str) -> str:
    """Makes the client known, and gives a cursor of its."""
    with edge.listen(f"clientId={client_id}") as stream:
        return str(stream.until("connected").id)


# --- the head and what comes first --------------------------------------------------------------------


def test_the_head_is_what_the_contract_says_and_nothing_compresses(edge: Edge) -> None:
    with edge.listen("clientId=a", Accept_Encoding="gzip, br") as stream:
        assert stream.status == 200
        assert dict(stream.headers) == {
            "Content-Type": "text/event-stream",
            "Cache-Control": "no-cache, no-transform",
            "X-Accel-Buffering": "no",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "same-origin",
        }


def test_the_first_item_holds_retry_and_connected_before_anything_blocks(edge: Edge) -> None:
    with edge.listen("clientId=a") as stream:
        (connected,) = stream.take()
    assert connected.json.keys() == {"type", "clientId", "connectionId", "resumed", "heartbeat"}
    assert (connected["type"], connected["clientId"]) == ("connected", "a")
    assert (connected["resumed"], connected["heartbeat"]) == (False, 15.0)
    assert re.fullmatch(r"[0-9a-f]{16}", connected["connectionId"])
    assert CURSOR.fullmatch(str(connected.id))
    assert stream.retry


def test_each_connection_has_an_id_of_its_own_and_a_retry_within_half_of_the_setting(
    make_edge: MakeEdge,
) -> None:
    edge = make_edge(retry_ms=2000, connections_client=60)
    ids, waits = set(), set()
    for _ in range(60):
        with edge.listen("clientId=a") as stream:
            ids.add(stream.until("connected")["connectionId"])
            waits.add(stream.retry or 0)
    assert len(ids) == 60
    assert len(waits) > 10
    assert min(waits) >= 1000
    assert max(waits) <= 3000
    assert min(waits) < 2000 < max(waits)


@pytest.mark.parametrize("query", ["", "clientId=", "closeOnDone=true"])
def test_who_brings_no_id_is_given_one_that_cannot_be_guessed(edge: Edge, query: str) -> None:
    ids = set()
    for _ in range(3):
        with edge.listen(query) as stream:
            connected = stream.until("connected")
        assert re.fullmatch(r"[0-9a-f]{32}", connected["clientId"])
        assert str(connected.id).endswith(f".{connected['clientId']}")
        ids.add(connected["clientId"])
    assert len(ids) == 3


def test_on_a_stream_whose_client_the_server_named_every_id_carries_the_name(edge: Edge) -> None:
    with edge.listen("") as stream:
        name = stream.until("connected")["clientId"]
        edge.post("/sse/send", {"clientId": name, "data": 1})
        assert re.fullmatch(rf"[0-9a-f]{{8}}\.[0-9]+\.{name}", str(stream.until("message").id))


def test_a_native_event_source_comes_back_as_the_same_client_by_its_last_id_alone(edge: Edge) -> None:
    with edge.listen("") as stream:
        connected = stream.until("connected")
    edge.post("/sse/send", {"clientId": connected["clientId"], "data": "meanwhile"})
    for again in (edge.listen("", str(connected.id)), edge.listen(f"lastEventId={connected.id}")):
        with again as stream:
            assert stream.until("connected")["clientId"] == connected["clientId"]
            assert stream.events[0]["resumed"] is True
            assert stream.until("message")["data"] == "meanwhile"


def test_a_named_client_keeps_short_ids_when_it_comes_back(edge: Edge) -> None:
    with edge.listen("clientId=a", cursor_of(edge, "a")) as stream:
        assert CURSOR.fullmatch(str(stream.until("connected").id))


def test_a_cursor_of_another_clients_stream_is_not_honoured(edge: Edge) -> None:
    with edge.listen("") as stream:
        theirs = str(stream.until("connected").id)
    with edge.listen("clientId=me", theirs) as stream:
        assert stream.until("reset")["reason"] == "unknown"
        assert {event["clientId"] for event in stream.events} == {"me"}


# --- cursors ------------------------------------------------------------------------------------------


def test_the_header_wins_over_the_query(edge: Edge) -> None:
    start = cursor_of(edge, "a")
    first = edge.post("/sse/send", {"clientId": "a", "data": 1}).get_json()["id"]
    edge.post("/sse/send", {"clientId": "a", "data": 2})
    with edge.listen(f"clientId=a&lastEventId={start}", first) as stream:
        assert stream.until("message")["data"] == 2
    with edge.listen(f"clientId=a&lastEventId={start}", "nonsense") as stream:
        assert stream.until("reset")["requested"] == "nonsense"


def test_the_query_stands_in_for_a_header_that_is_empty(edge: Edge) -> None:
    start = cursor_of(edge, "a")
    with edge.listen(f"clientId=a&lastEventId={start}", **{"Last-Event-ID": ""}) as stream:
        assert stream.until("connected")["resumed"] is True


MALFORMED = {
    "words": "nonsense",
    "a number": "1",
    "no number": "0123abcd.",
    "a negative number": "0123abcd.-1",
    "a leading zero": "0123abcd.01",
    "5,000 digits": "0123abcd." + "9" * 5000,
    "another script's digits": "0123abcd.\u0661",
    "upper case": "0123ABCD.1",
    "a client outside the alphabet": "0123abcd.1.a b",
    "an injected header": "0123abcd.1\r\nX-Evil: 1",
    "an injected event": "0123abcd.1\n\ndata: evil\n\n",
    "a trailing newline": "0123abcd.1\n",
    "NUL": "0123abcd.1\0",
    "10,000 characters": "x" * 10_000,
}


@pytest.mark.parametrize("cursor", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_cursor_is_a_reset_in_the_stream_with_status_200(edge: Edge, cursor: str) -> None:
    response = edge.app.test_client().get(
        STREAM, query_string={"clientId": "a", "lastEventId": cursor}, headers={"Host": "localhost"}
    )
    with Listening(response) as stream:
        connected, reset = stream.take()
    assert (stream.status, "X-Evil" in stream.headers) == (200, False)
    assert (connected["resumed"], connected["clientId"]) == (False, "a")
    assert (reset["reason"], reset["requested"]) == ("malformed", cursor[:200])
    assert reset.id is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda cursor: "00000000" + cursor[8:], "epoch"),
        (lambda cursor: cursor + "000", "unknown"),
        (lambda cursor: cursor + ".somebody", "unknown"),
    ],
    ids=["another process", "ahead of all", "another client"],
)
def test_a_cursor_that_cannot_be_honoured_says_why(edge: Edge, change: object, reason: str) -> None:
    edge.post("/sse/send", {"clientId": "a", "data": 1})
    cursor_of(edge, "a")
    sent = edge.post("/sse/send", {"clientId": "a", "data": 1}).get_json()["id"]
    cursor = change(sent)  # type: ignore[operator]
    with edge.listen("clientId=a", cursor) as stream:
        assert stream.until("reset")["reason"] == reason
        assert stream.events[-1]["requested"] == cursor


# --- 204: don't come back -----------------------------------------------------------------------------


def test_who_has_read_the_last_word_and_closes_on_it_is_told_not_to_come_back(
    make_edge: MakeEdge, upstream: ScriptedUpstream
) -> None:
    edge = make_edge(upstream_url=upstream.url)
    generation = edge.ask("a")["generationId"]
    with edge.listen("clientId=a") as stream:
        last = str(stream.until("[DONE]").id)
        assert next_or_none(stream) is None
    edge.ended(generation)
    before = edge.numbers()
    response = edge.get(f"{STREAM}?clientId=a", **{"Last-Event-ID": last})
    assert (response.status_code, response.data) == (204, b"")
    assert edge.numbers() == before
    with edge.listen("clientId=a&closeOnDone=false", last) as stream:
        assert stream.until("connected")["resumed"] is True
    edge.post("/sse/send", {"clientId": "a", "data": "news"})
    with edge.listen("clientId=a", last) as stream:
        assert stream.until("message")["data"] == "news"


def test_a_cursor_that_has_passed_no_last_word_always_gets_a_stream(edge: Edge) -> None:
    with edge.listen("clientId=a", cursor_of(edge, "a")) as stream:
        assert stream.status == 200


def test_a_closed_client_is_not_asked_back_until_it_is_wanted_again(edge: Edge) -> None:
    start = cursor_of(edge, "a")
    edge.post("/sse/close", {"clientId": "a"})
    assert edge.get(f"{STREAM}?clientId=a&lastEventId={start}").status_code == 204
    assert edge.get(f"{STREAM}?clientId=a&lastEventId=nonsense").status_code == 204
    edge.post("/sse/send", {"clientId": "a", "data": "come"})
    with edge.listen("clientId=a", start) as stream:
        assert stream.until("message")["data"] == "come"
    edge.post("/sse/close", {"clientId": "a"})
    with edge.listen("clientId=a") as stream:
        assert stream.until("connected")


# --- no room ------------------------------------------------------------------------------------------


def test_no_room_is_said_in_the_stream_with_a_jittered_retry_and_status_200(make_edge: MakeEdge) -> None:
    edge = make_edge(connections_worker=1)
    waits = set()
    with edge.listen("clientId=a") as first:
        first.take()
        before = edge.numbers()
        for _ in range(20):
            with edge.listen("clientId=b") as stream:
                (event,) = stream.take()
                assert (stream.status, stream.headers["Content-Type"]) == (200, "text/event-stream")
                assert (event.type, event.id, next_or_none(stream)) == ("overloaded", None, None)
                waits.add((stream.retry or 0) / (1000 * event["retryAfter"]))
        assert edge.numbers() == before
    assert len(waits) > 5
    assert 0.5 <= min(waits) < max(waits) <= 1.5


@pytest.mark.parametrize(
    "limits",
    [{"connections_worker": 1}, {"connections_client": 1}, {"mailboxes": 1}],
    ids=lambda limits: next(iter(limits)),
)
def test_no_room_is_a_503_with_retry_after_where_that_was_asked_for(
    make_edge: MakeEdge, limits: dict[str, int]
) -> None:
    edge = make_edge(**limits)
    asker = "a" if "connections_client" in limits else "b"
    with edge.listen("clientId=a") as first:
        first.take()
        before = edge.numbers()
        response = edge.get(f"{STREAM}?clientId={asker}&overload=status")
        assert (response.status_code, response.get_json()["code"]) == (503, "overloaded")
        assert int(response.headers["Retry-After"]) >= 1
        with edge.listen(f"clientId={asker}") as stream:
            assert stream.rest() == ["overloaded"]
        assert edge.numbers() == before
    with edge.listen(f"clientId={asker}") as stream:
        assert stream.until("connected")


# --- heartbeats and probes ----------------------------------------------------------------------------


def test_a_heartbeat_is_a_comment_and_on_request_also_an_event(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    with edge.listen("clientId=a") as plain, edge.listen("clientId=a&heartbeat=event") as loud:
        assert (plain.take()[0].type, loud.take()[0].type) == ("connected", "connected")
        monkeypatch.setattr(edge.parts.hub, "_clock", lambda: monotonic() + 20)
        edge.parts.hub.upkeep.beat()
        assert plain.take() == []
        (beat,) = loud.take()
    assert (beat.type, beat["next"], beat.id) == ("heartbeat", 15.0, None)
    assert beat["now"] > 1.7e9


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_a_probe_of_the_stream_registers_no_client(edge: Edge, method: str) -> None:
    before = edge.numbers()
    response = edge.call(method, f"{STREAM}?clientId=probe")
    assert (response.status_code, response.data) == (200, b"")
    if method == "HEAD":
        assert response.headers["Content-Type"] == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-cache, no-transform"
    assert edge.numbers() == before
    assert client(edge, "probe") is None


@pytest.mark.parametrize("started", [False, True], ids=["unread", "read"])
def test_a_stream_that_ends_gives_back_its_place_whether_it_was_read_or_not(
    make_edge: MakeEdge, started: bool
) -> None:
    edge = make_edge(connections_client=1)
    for _ in range(5):
        with edge.listen("clientId=a") as stream:
            assert stream.status == 200
            if started:
                stream.take()
    assert edge.numbers()["connections"] == 0


# --- send ---------------------------------------------------------------------------------------------

DATA = [
    None,
    True,
    0,
    -1.5,
    "",
    "text",
    [],
    {},
    [[], {}],
    {"type": "done"},
    "[DONE]",
    "a\r\n\r\ndata: b",
    "\u2028\0ü🦊",
    2**64 - 1,
    -(2**63),
]


def test_what_is_sent_arrives_as_it_is_in_order_with_the_ids_that_were_answered(edge: Edge) -> None:
    with edge.listen("clientId=a") as stream:
        stream.take()
        answers = [edge.post("/sse/send", {"clientId": "a", "data": data}) for data in DATA]
        assert {answer.status_code for answer in answers} == {200}
        assert {answer.get_json()["connections"] for answer in answers} == {1}
        stream.take()
    messages = stream.events[1:]
    assert [event["data"] for event in messages] == DATA
    assert [event.id for event in messages] == [answer.get_json()["id"] for answer in answers]
    assert {event["clientId"] for event in messages} == {"a"}


def test_data_nested_as_deep_as_is_allowed_arrives(edge: Edge) -> None:
    deep: list[object] = []
    for _ in range(98):
        deep = [deep]
    with edge.listen("clientId=a") as stream:
        stream.take()
        assert edge.post("/sse/send", {"clientId": "a", "data": deep}).status_code == 200
        assert stream.until("message")["data"] == deep


def test_data_of_the_largest_size_arrives(edge: Edge) -> None:
    largest = "x" * ((1 << 20) - 2)  # and its two quotes
    with edge.listen("clientId=a") as stream:
        stream.take()
        assert edge.post("/sse/send", {"clientId": "a", "data": largest}).status_code == 200
        assert stream.until("message")["data"] == largest
    assert edge.post("/sse/send", {"clientId": "a", "data": largest + "x"}).status_code == 413


def test_what_nobody_listens_to_waits_and_is_answered_202(edge: Edge) -> None:
    cursor_of(edge, "a")
    response = edge.post("/sse/send", {"clientId": "a", "data": "later"})
    assert (response.status_code, response.get_json()["connections"]) == (202, 0)
    assert client(edge, "a") == {
        "clientId": "a",
        "connections": 0,
        "waiting": 1,
        "lastEventId": response.get_json()["id"],
        "generations": [],
    }
    with edge.listen("clientId=a") as stream:
        assert stream.until("message")["data"] == "later"


def test_the_same_key_again_is_the_same_message_and_the_same_answer(edge: Edge) -> None:
    with edge.listen("clientId=a") as stream:
        stream.take()
        first = edge.post("/sse/send", {"clientId": "a", "data": 1, "id": "k1"})
        for data in (1, 2):
            again = edge.post("/sse/send", {"clientId": "a", "data": data, "id": "k1"})
            assert (again.status_code, again.get_json()) == (first.status_code, first.get_json())
        edge.post("/sse/send", {"clientId": "a", "data": 3, "id": "k2"})
        stream.take()
    assert [event["data"] for event in stream.events[1:]] == [1, 3]


def test_a_key_is_the_clients_own(edge: Edge) -> None:
    cursor_of(edge, "a")
    cursor_of(edge, "b")
    answers = [edge.post("/sse/send", {"clientId": c, "data": c, "id": "k"}).get_json() for c in "ab"]
    assert answers[0]["id"] != answers[1]["id"]


def test_a_key_too_many_is_a_503_that_says_when(make_edge: MakeEdge) -> None:
    edge = make_edge(idempotency_keys=1)
    cursor_of(edge, "a")
    assert edge.post("/sse/send", {"clientId": "a", "data": 1, "id": "k1"}).status_code == 202
    response = edge.post("/sse/send", {"clientId": "a", "data": 1, "id": "k2"})
    assert (response.status_code, response.headers["Retry-After"]) == (503, "60")
    assert edge.post("/sse/send", {"clientId": "a", "data": 1, "id": "k1"}).status_code == 202
    assert edge.post("/sse/send", {"clientId": "a", "data": 1}).status_code == 202


# --- close and clients --------------------------------------------------------------------------------


def test_close_ends_all_streams_of_a_client_for_good_and_no_other(edge: Edge) -> None:
    with (
        edge.listen("clientId=a") as one,
        edge.listen("clientId=a") as two,
        edge.listen("clientId=b") as other,
    ):
        for stream in (one, two, other):
            stream.take()
        assert edge.post("/sse/close", {"clientId": "a"}).get_json() == {"closed": 2}
        for stream in (one, two):
            closing = stream.until("closing")
            assert (closing["reason"], closing["reconnect"], closing.id) == ("closed", False, None)
            assert next_or_none(stream) is None
        edge.post("/sse/send", {"clientId": "b", "data": 1})
        assert other.until("message")
    assert edge.post("/sse/close", {"clientId": "a"}).get_json() == {"closed": 0}
    assert edge.post("/sse/close", {"clientId": "nobody"}).get_json() == {"closed": 0}
    assert client(edge, "nobody") is None


def test_what_was_sent_before_the_close_still_arrives(edge: Edge) -> None:
    with edge.listen("clientId=a") as stream:
        stream.take()
        edge.post("/sse/send", {"clientId": "a", "data": "last"})
        edge.post("/sse/close", {"clientId": "a"})
        assert stream.rest() == ["message", "closing"]


def test_a_closed_clients_answer_goes_on(make_edge: MakeEdge, upstream: ScriptedUpstream) -> None:
    upstream.script(script.counted(20, gap=0.01))
    edge = make_edge(upstream_url=upstream.url)
    generation = edge.ask("a")["generationId"]
    edge.post("/sse/close", {"clientId": "a"})
    assert edge.ended(generation)["reason"] == "stop"


def test_a_client_is_told_how_many_listen_and_what_runs(
    make_edge: MakeEdge, upstream: ScriptedUpstream
) -> None:
    upstream.script(default=script.silence())
    edge = make_edge(upstream_url=upstream.url)
    generation = edge.ask("a")["generationId"]
    alone = client(edge, "a") or {}
    assert (alone["connections"], alone["waiting"], alone["generations"]) == (0, 1, [generation])
    with edge.listen("clientId=a") as one, edge.listen("clientId=a") as two:
        one.until("started")
        two.take()
        found = client(edge, "a") or {}
        assert (found["connections"], found["generations"]) == (2, [generation])
        assert CURSOR.fullmatch(str(found["lastEventId"]))


def test_ids_of_the_whole_alphabet_and_of_the_longest_kind_are_taken(edge: Edge) -> None:
    for name in ("a", "0", "A.b_c~d-e", "a" * 128):
        with edge.listen(f"clientId={name}") as stream:
            assert stream.until("connected")["clientId"] == name
        assert (client(edge, name) or {})["clientId"] == name


def test_a_server_that_restarts_asks_its_streams_back_and_takes_no_new_ones(make_edge: MakeEdge) -> None:
    edge = make_edge(admin_token=ADMIN_TOKEN)
    with edge.listen("clientId=a") as stream:
        stream.take()
        edge.parts.hub.drain(return_within=25)
        closing = stream.until("closing")
        assert (closing["reason"], closing["reconnect"]) == ("shutdown", True)
        assert stream.retry
    with edge.listen("clientId=b") as stream:
        assert stream.rest() == ["overloaded"]
    assert edge.get(f"{STREAM}?clientId=b&overload=status").status_code == 503


def test_every_event_is_one_line_of_json(edge: Edge) -> None:
    response = edge.get(f"{STREAM}?clientId=a")
    edge.post("/sse/send", {"clientId": "a", "data": "\r\n\u2028 \x85 line\n\nbreaks"})
    wire = b"".join(
        item if isinstance(item, bytes) else item.encode() for item in islice(response.response, 2)
    )
    response.close()
    lines = [line for line in wire.split(b"\n") if line.startswith(b"data: ")]
    assert b"\r" not in wire
    assert [json.loads(line[6:])["type"] for line in lines] == ["connected", "message"]
