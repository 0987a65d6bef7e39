"""The main promise, over real sockets: whatever happens to connections, each text ends whole and once."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.conftest import SETTINGS
from tests.rig.reading import Reader, Stream, eventually
from tests.rig.script import counted, cut, deltas
from tests.rig.serving import Server
from tests.rig.upstream import ScriptedUpstream

WORDS = 50


@pytest.fixture(scope="module", params=["socket", "generator"])
def server(request: pytest.FixtureRequest, upstream_process: ScriptedUpstream) -> Iterator[Server]:
    """The promise holds whichever way streams leave."""
    with Server({**SETTINGS, "OUTLET": request.param}, upstream_url=upstream_process.url) as server:
        yield server


def ask(server: Server, client_id: str, message: str = "hello", **more: Any) -> dict[str, str]:
    answer = requests.post(
        f"{server.url}/chat", json={"clientId": client_id, "message": message, **more}, timeout=10
    )
    assert answer.status_code == 201, answer.text
    ids: dict[str, str] = answer.json()
    return ids


def text_of(count: int) -> str:
    return "".join(f"w{i} " for i in range(count))


def test_a_reset_at_every_delta_and_a_second_tab_reading_along_end_with_the_exact_text(
    server: Server, upstream: ScriptedUpstream, fresh_client: str
) -> None:
    upstream.script(counted(WORDS, gap=0.02))
    with Reader(server.url, fresh_client) as torn, Reader(server.url, fresh_client) as calm:
        reading = threading.Thread(target=calm.follow)
        reading.start()
        generation = ask(server, fresh_client)["generationId"]
        resets = 0
        while not torn.finished:
            event = torn.follow("delta", "[DONE]")
            if event and event.type == "delta":
                torn.reset()
                torn.connect()
                resets += 1
        reading.join(timeout=20)
    assert torn.texts == calm.texts == {generation: text_of(WORDS)}
    assert torn.terminals[generation]["reason"] == calm.terminals[generation]["reason"] == "stop"
    assert resets >= WORDS // 2  # several deltas may have gathered while a connection was being made
    assert [e.type for e in torn.events].count("reset") == 0


def test_a_cursor_at_every_single_event_of_an_answer_brings_exactly_the_rest(
    server: Server, upstream: ScriptedUpstream, fresh_client: str
) -> None:
    upstream.script(counted(WORDS))
    generation = ask(server, fresh_client)["generationId"]
    with Stream(server.url, fresh_client) as whole:
        epoch, _, last = str(whole.until("[DONE]").id).partition(".")
    started = int(last) - 1 - WORDS - 1  # then WORDS deltas, `done`, `[DONE]`
    for read in range(WORDS + 1):
        with Reader(server.url, fresh_client) as reader:
            reader.close()
            reader.cursor, reader.texts = f"{epoch}.{started + read}", {generation: text_of(read)}
            reader.connect()
            reader.follow()
        assert reader.texts == {generation: text_of(WORDS)}, read


def test_an_answer_nobody_listened_to_waits_in_the_mailbox_and_comes_whole(
    server: Server, upstream: ScriptedUpstream, fresh_client: str
) -> None:
    upstream.script(counted(20))
    generation = ask(server, fresh_client)["generationId"]
    eventually(lambda: requests.get(f"{server.url}/chat/{generation}", timeout=5).json()["state"] == "done")
    with Reader(server.url, fresh_client) as reader:
        reader.follow()
    assert reader.texts == {generation: text_of(20)}
    assert [e.type for e in reader.events] == ["connected", "started", "snapshot", "done", "[DONE]"]


def test_a_reader_that_comes_in_mid_answer_gets_what_was_said_and_then_the_rest(
    server: Server, upstream: ScriptedUpstream, fresh_client: str
) -> None:
    upstream.script(counted(WORDS, gap=0.02))
    with Reader(server.url, fresh_client) as first:
        generation = ask(server, fresh_client)["generationId"]
        for _ in range(10):
            first.follow("delta")
        with Reader(server.url, fresh_client) as second:
            second.follow()
        first.follow()
    assert first.texts == second.texts == {generation: text_of(WORDS)}
    assert [e.type for e in second.events][:2] == ["connected", "snapshot"]


@pytest.mark.parametrize("after", [0, 1, 7, 20])
def test_a_reload_connects_from_the_text_it_was_given_and_ends_with_the_same(
    server: Server, upstream: ScriptedUpstream, fresh_client: str, after: int
) -> None:
    """What the page does: GET /chat/<id> gives text and cursor of one instant; the stream gives the rest."""
    upstream.script(counted(30, gap=0.02, before_head=0.1))
    generation = ask(server, fresh_client)["generationId"]

    def look() -> dict[str, Any]:
        seen: dict[str, Any] = requests.get(f"{server.url}/chat/{generation}", timeout=5).json()
        return seen

    eventually(lambda: look()["seq"] >= after)
    seen = look()
    with Reader(server.url, fresh_client) as reader:
        reader.close()
        reader.cursor, reader.texts = seen["lastEventId"], {generation: seen["data"]["content"]}
        reader.connect()
        reader.follow()
    assert reader.texts == {generation: text_of(30)}
    assert generation in reader.terminals


def test_an_upstream_without_chunks_and_with_tiny_events_comes_through_event_by_event(
    server: Server, upstream: ScriptedUpstream, fresh_client: str
) -> None:
    upstream.script(deltas("abcdefghij", gap=0.05, chunked=False))
    with Reader(server.url, fresh_client) as reader:
        generation = ask(server, fresh_client)["generationId"]
        reader.follow("delta")
        assert upstream.state()["sent"] < 10, "the first delta came only once all were sent"
        reader.follow()
    assert reader.texts[generation] == "abcdefghij"
    assert sum(e.type == "delta" for e in reader.events) == 10


def test_a_cut_keeps_the_text_and_says_so(
    server: Server, upstream: ScriptedUpstream, fresh_client: str
) -> None:
    upstream.script(cut(["one ", "two"]))
    with Reader(server.url, fresh_client) as reader:
        generation = ask(server, fresh_client)["generationId"]
        reader.follow()
    end = reader.terminals[generation]
    assert (end.type, end["code"], end["partial"], end["retryable"]) == ("error", "cut", True, True)
    assert reader.texts[generation] == "one two"


def test_a_cut_answer_starts_over_once_where_that_was_asked_for(
    server: Server, upstream: ScriptedUpstream, fresh_client: str
) -> None:
    upstream.script(cut(["one ", "two"]), cut(["three "]), deltas(["never asked for"]))
    with Reader(server.url, fresh_client) as reader:
        generation = ask(server, fresh_client, onCut="restart")["generationId"]
        reader.follow()
    assert [e["attempt"] for e in reader.events if e.type == "started"] == [1, 2]
    assert reader.texts[generation] == "three "
    assert reader.terminals[generation]["code"] == "cut"


def test_stop_closes_the_upstreams_socket_and_freezes_the_text(
    server: Server, upstream: ScriptedUpstream, fresh_client: str
) -> None:
    upstream.script(counted(1000, gap=0.01))
    with Reader(server.url, fresh_client) as reader:
        generation = ask(server, fresh_client)["generationId"]
        for _ in range(5):
            reader.follow("delta")
        stopped = requests.post(f"{server.url}/chat/{generation}/stop", data=b"{", timeout=5)
        assert (stopped.status_code, stopped.json()["state"]) == (200, "done")
        eventually(lambda: upstream.state()["open"] == 0, within=1.0)
        reader.follow()
    end = reader.terminals[generation]
    assert end["reason"] == "stopped"
    assert end["usage"]["estimated"] is True
    assert end["seq"] == stopped.json()["seq"] < 1000
    again = requests.post(f"{server.url}/chat/{generation}/stop", timeout=5)
    assert (again.status_code, again.json()["seq"]) == (200, end["seq"])


def test_an_answer_that_is_cancelled_on_leave_ends_as_left_once_nobody_listens(
    serve: Any, upstream: ScriptedUpstream, fresh_client: str
) -> None:
    server = serve(LEAVE_GRACE="0.3")
    upstream.script(counted(1000, gap=0.02))
    with Stream(server.url, fresh_client) as stream:
        generation = ask(server, fresh_client, onLeave="cancel")["generationId"]
        stream.until("delta")
    eventually(lambda: upstream.state()["open"] == 0)
    end = requests.get(f"{server.url}/chat/{generation}", timeout=5).json()
    assert (end["state"], end["reason"]) == ("done", "left")


def test_a_second_question_interrupts_the_first_where_that_was_asked_for(
    server: Server, upstream: ScriptedUpstream, fresh_client: str
) -> None:
    upstream.script(counted(1000, gap=0.02), deltas(["second"]))
    with Reader(server.url, fresh_client, closeOnDone="false") as reader:
        first = ask(server, fresh_client)
        reader.follow("delta")
        busy = requests.post(
            f"{server.url}/chat",
            json={"clientId": fresh_client, "message": "x", "conversationId": first["conversationId"]},
            timeout=5,
        )
        assert (busy.status_code, busy.json()["code"]) == (409, "busy")
        second = ask(server, fresh_client, conversationId=first["conversationId"], onBusy="interrupt")
        while second["generationId"] not in reader.terminals:
            reader.follow("done", "error")
    assert reader.terminals[first["generationId"]]["reason"] == "stopped"
    assert reader.texts[second["generationId"]] == "second"


def test_the_same_question_sent_twice_is_one_answer_and_one_call(
    server: Server, upstream: ScriptedUpstream, fresh_client: str
) -> None:
    upstream.script(counted(5, gap=0.05))
    generation = str(uuid.uuid4())
    body = {"clientId": fresh_client, "message": "hi", "generationId": generation}
    statuses: list[int] = []

    def post() -> None:
        statuses.append(requests.post(f"{server.url}/chat", json=body, timeout=5).status_code)

    threads = [threading.Thread(target=post) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] * 7 + [201]
    with Reader(server.url, fresh_client) as reader:
        reader.follow()
    assert len(upstream.state()["requests"]) == 1
    assert reader.texts == {generation: text_of(5)}


def test_messages_and_broadcasts_reach_a_reader_in_one_order_and_wait_while_it_is_away(
    server: Server, fresh_client: str
) -> None:
    token = {"Authorization": "Bearer a-token-of-the-tests-and-of-nothing-else"}

    def send(data: object) -> int:
        body = {"clientId": fresh_client, "data": data}
        return requests.post(f"{server.url}/sse/send", json=body, timeout=5).status_code

    def broadcast(data: object) -> None:
        answer = requests.post(f"{server.url}/admin/broadcast", json={"data": data}, headers=token, timeout=5)
        assert answer.status_code == 200

    with Reader(server.url, fresh_client, closeOnDone="false") as reader:
        assert send(1) == 200
        reader.follow("message")
        reader.reset()
        eventually(lambda: send("probe") == 202, within=5.0)
        broadcast(2)
        send(3)
        reader.connect()
        while reader.events[-1].json.get("data") != 3:
            reader.follow("message", "broadcast")
        said = [e["data"] for e in reader.events if e.type in ("message", "broadcast")]
    assert [s for s in said if s != "probe"] == [1, 2, 3]


def test_a_reader_that_has_stopped_reading_is_cut_and_finds_it_all_when_it_comes_back(
    serve: Any, fresh_client: str
) -> None:
    """Far more than the kernel's buffers take, so that the server's write hangs."""
    server = serve(SLOW_READER="1", MAILBOX_BYTES=str(64 << 20))
    count, piece = 30, "x" * 500_000
    stalled = Stream(server.url, fresh_client, closeOnDone="false")
    stalled.next()
    for n in range(count):
        body = {"clientId": fresh_client, "data": [n, piece]}
        assert requests.post(f"{server.url}/sse/send", json=body, timeout=10).status_code in (200, 202)

    def connections() -> int:
        state = requests.get(f"{server.url}/sse/clients/{fresh_client}", timeout=5).json()
        return int(state["connections"])

    eventually(lambda: connections() == 0, within=15.0)
    stalled.close()
    with Reader(server.url, fresh_client, closeOnDone="false") as reader:
        reader.close()
        reader.cursor = stalled.transcript[0].id
        reader.connect()
        seen = [reader.follow("message") for _ in range(count)]
    assert [event["data"][0] for event in seen if event] == list(range(count))
