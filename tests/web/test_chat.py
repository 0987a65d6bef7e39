"""The blueprint `chat`: asking twice, stopping, looking; conversations; what the upstream is told."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest
import requests

from tests.rig import script
from tests.rig.reading import Reader, eventually
from tests.rig.serving import Server
from tests.rig.upstream import ScriptedUpstream
from tests.web.conftest import Edge, MakeEdge, next_or_none

KEY = "key-of-the-upstream-and-of-nobody-else"
UUID = "2f1c0e9a-5b7d-4c3e-8a6f-0d9b8c7a6e5f"


@pytest.fixture
def chat(make_edge: MakeEdge, upstream: ScriptedUpstream) -> Edge:
    """An application that asks the scripted upstream."""
    return make_edge(upstream_url=upstream.url, upstream_key=KEY, upstream_model="m-1", retry_base=0.01)


def told(upstream: ScriptedUpstream) -> list[list[dict[str, Any]]]:
    """The messages of each request the upstream got."""
    return [request["body"]["messages"] for request in upstream.state()["requests"]]


def calls(upstream: ScriptedUpstream) -> int:
    return len(upstream.state()["requests"])


def stored(edge: Edge, client_id: str, conversation_id: str) -> list[dict[str, Any]]:
    whole = edge.get(f"/conversations/{conversation_id}?clientId={client_id}").get_json()
    messages: list[dict[str, Any]] = whole["messages"]
    return messages


# --- asking once, asking twice ------------------------------------------------------------------------


def test_a_question_is_answered_201_with_two_ids_and_the_answer_comes_in_the_stream(chat: Edge) -> None:
    with chat.listen("clientId=a") as stream:
        ids = chat.ask("a")
        assert ids.keys() == {"generationId", "conversationId"}
        assert str(uuid.UUID(ids["generationId"])) == ids["generationId"]
        started = stream.until("started")
        assert (started["data"], started["model"], started["attempt"]) == (
            {"role": "user", "content": "hi"},
            "m-1",
            1,
        )
        assert {name: started[name] for name in ids} == ids
        assert stream.until("done")["reason"] == "stop"
        stream.rest()
    text = "".join(e["data"]["content"] for e in stream.events if e.type == "delta")
    assert text == "Hello world"


def test_the_same_question_again_is_200_with_the_same_answer_and_no_second_call(
    chat: Edge, upstream: ScriptedUpstream
) -> None:
    question = {"clientId": "a", "message": "hi", "generationId": UUID, "options": {"top_p": 1, "seed": 2}}
    first = chat.post("/chat", question)
    again = chat.post("/chat", {**question, "options": {"seed": 2, "top_p": 1}})
    chat.ended(UUID)
    late = chat.post("/chat", question)
    assert [first.status_code, again.status_code, late.status_code] == [201, 200, 200]
    assert first.get_json() == again.get_json() == late.get_json()
    assert first.get_json()["generationId"] == UUID
    assert (calls(upstream), len(chat.parts.conversations)) == (1, 1)


def test_the_same_question_asked_by_many_at_once_is_new_to_one(
    chat: Edge, upstream: ScriptedUpstream
) -> None:
    question = {"clientId": "a", "message": "hi", "generationId": UUID}
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(chat.post("/chat", question).status_code))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    chat.ended(UUID)
    assert sorted(statuses) == [200] * 7 + [201]
    assert (calls(upstream), len(chat.parts.conversations)) == (1, 1)


CHANGES: list[dict[str, Any]] = [
    {"message": "another"},
    {"clientId": "b"},
    {"model": "m-2"},
    {"options": {"seed": 1}},
    {"onCut": "restart"},
    {"messages": [{"role": "user", "content": "hi"}], "message": None},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_the_same_id_with_anything_else_changed_is_a_conflict(chat: Edge, change: dict[str, Any]) -> None:
    question = {"clientId": "a", "message": "hi", "generationId": UUID}
    chat.post("/chat", question)
    response = chat.post("/chat", {**question, **change})
    assert (response.status_code, response.get_json()["code"]) == (409, "conflict")
    assert chat.ended(UUID)["data"] == {"content": "Hello world"}


def test_a_question_is_the_same_also_when_its_conversation_was_deleted_meanwhile(chat: Edge) -> None:
    conversation = chat.ask("a", generationId=str(uuid.uuid4()))["conversationId"]
    eventually(lambda: not chat.parts.relay.count())
    question = {"clientId": "a", "message": "hi", "generationId": UUID, "conversationId": conversation}
    assert chat.post("/chat", question).status_code == 201
    chat.ended(UUID)
    chat.call("DELETE", f"/conversations/{conversation}?clientId=a")
    assert chat.post("/chat", question).status_code == 200


# --- what the upstream is told ------------------------------------------------------------------------


def test_the_upstream_gets_key_model_and_options_and_is_asked_to_stream(
    chat: Edge, upstream: ScriptedUpstream
) -> None:
    options = {
        "temperature": 0.5,
        "max_tokens": 7,
        "tools": [{"type": "function", "function": {"strict": None}}],
    }
    chat.ended(chat.ask("a", options=options, model="m-2")["generationId"])
    (request,) = upstream.state()["requests"]
    assert request["headers"]["Authorization"] == f"Bearer {KEY}"
    assert request["body"] == {
        "model": "m-2",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        **options,
    }


def test_messages_are_passed_through_as_they_are(chat: Edge, upstream: ScriptedUpstream) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": None}}
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What?"}, image], "name": "ann"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "42", "tool_call_id": "c1"},
        {"role": "user", "content": ""},
    ]
    chat.ended(chat.ask("a", message=None, messages=messages)["generationId"])
    assert told(upstream) == [messages]


def test_a_prompt_is_filled_and_asked_as_the_users_words(chat: Edge, upstream: ScriptedUpstream) -> None:
    prompt = {"prompt": "{{{name}}} is {age}", "params": {"name": "{age}", "age": 3}}
    chat.ended(chat.ask("a", message=None, **prompt)["generationId"])
    assert told(upstream) == [[{"role": "user", "content": "{{age}} is 3"}]]


def test_the_upstream_may_be_named(chat: Edge, upstream: ScriptedUpstream) -> None:
    chat.ended(chat.ask("a", upstream=f"127.0.0.1:{upstream.port}")["generationId"])
    assert calls(upstream) == 1


def test_the_turns_of_a_conversation_are_carried_to_the_upstream_and_nothing_else_of_them(
    chat: Edge, upstream: ScriptedUpstream
) -> None:
    thinking = {"steps": [{"delta": {"reasoning_content": "hm"}}, {"delta": "one"}, *script.ENDING]}
    upstream.script(thinking, script.deltas(["two"]))
    first = chat.ask("a", message="1?")
    chat.ended(first["generationId"])
    chat.ended(chat.ask("a", message="2?", conversationId=first["conversationId"])["generationId"])
    chat.ended(chat.ask("a", message="3?", conversationId=first["conversationId"])["generationId"])
    assert told(upstream)[-1] == [
        {"role": "user", "content": "1?"},
        {"role": "assistant", "content": "one"},
        {"role": "user", "content": "2?"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "3?"},
    ]


def test_messages_with_a_conversation_replace_what_is_stored(chat: Edge, upstream: ScriptedUpstream) -> None:
    first = chat.ask("a", message="old")
    chat.ended(first["generationId"])
    anew = [{"role": "user", "content": "new"}]
    again = chat.ask("a", message=None, messages=anew, conversationId=first["conversationId"])
    assert again["conversationId"] == first["conversationId"]
    chat.ended(again["generationId"])
    assert told(upstream)[-1] == anew
    messages = stored(chat, "a", first["conversationId"])
    assert [m["content"] for m in messages] == ["new", "Hello world"]


def test_the_oldest_turns_are_left_out_where_the_model_cannot_hold_them_and_stay_stored(
    make_edge: MakeEdge, upstream: ScriptedUpstream
) -> None:
    upstream.script(default=script.deltas(["word " * 20]))
    edge = make_edge(upstream_url=upstream.url, upstream_context=400)
    system = {"role": "system", "content": "Be brief."}
    first = edge.ask("a", message=None, messages=[system, {"role": "user", "content": "q0 " * 30}])
    edge.ended(first["generationId"])
    for i in range(1, 8):
        question = {"message": f"q{i} " * 30, "conversationId": first["conversationId"]}
        edge.ended(edge.ask("a", **question)["generationId"])
    last = told(upstream)[-1]
    assert (last[0], last[1]["role"], last[-1]["content"]) == (system, "user", "q7 " * 30)
    assert [m["role"] for m in last[1:]] == ["user", "assistant"] * (len(last) // 2 - 1) + ["user"]
    assert 3 < len(last) < 16
    assert len(stored(edge, "a", first["conversationId"])) == 17


def test_the_room_for_the_answer_is_what_was_asked_for(
    make_edge: MakeEdge, upstream: ScriptedUpstream
) -> None:
    edge = make_edge(upstream_url=upstream.url, upstream_context=400, answers_client=9)
    messages = [
        {"role": role, "content": "x" * 90} for role in ("user", "assistant", "user", "assistant", "user")
    ]
    lengths = []
    for options in ({}, {"max_tokens": 350}, {"max_completion_tokens": 350}):
        edge.ended(edge.ask("a", message=None, messages=messages, options=options)["generationId"])
        lengths.append(len(told(upstream)[-1]))
    assert lengths == [5, 1, 1]


def test_a_long_history_of_answers_alone_is_no_reason_to_fail(
    make_edge: MakeEdge, upstream: ScriptedUpstream
) -> None:
    edge = make_edge(upstream_url=upstream.url, upstream_context=1_000_000)
    messages = [{"role": "assistant", "content": "x"}] * 3000 + [{"role": "user", "content": "y"}]
    edge.ended(edge.ask("a", message=None, messages=messages)["generationId"])
    assert told(upstream) == [[{"role": "user", "content": "y"}]]


@pytest.mark.parametrize(("trusted", "ends"), [(False, "done"), (True, "error")])
def test_a_proxy_of_the_environment_holds_for_upstreams_where_the_settings_say_so(
    make_edge: MakeEdge, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, trusted: bool, ends: str
) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    edge = make_edge(upstream_url=upstream.url, upstream_environment=trusted, retry_attempts=1)
    generation = edge.ask("a")["generationId"]
    assert edge.ended(generation)["state"] == ends


# --- stop ---------------------------------------------------------------------------------------------

BODIES = {
    "nothing": b"",
    "malformed JSON": b"{nonsense",
    "brackets": b"[" * 100_000,
    "invalid UTF-8": b"\xff\xfe",
    "2 MiB": b"x" * (2 << 20),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_stop_is_a_stop_whatever_its_body_is_and_freezes_the_text(
    chat: Edge, upstream: ScriptedUpstream, body: bytes
) -> None:
    upstream.script(script.cut(["a", "b"], how="hang"))
    generation = chat.ask("a")["generationId"]
    eventually(lambda: chat.view(generation)["data"] == {"content": "ab"})
    stops = [
        chat.call("POST", f"/chat/{generation}/stop", body, {"Content-Type": "application/json"})
        for _ in range(3)
    ]
    assert [stop.status_code for stop in stops] == [200] * 3
    assert [stop.get_json() for stop in stops] == [
        {"generationId": generation, "state": "done", "seq": 2}
    ] * 3
    view = chat.view(generation)
    assert (view["state"], view["reason"], view["data"]) == ("done", "stopped", {"content": "ab"})
    eventually(lambda: upstream.state()["open"] == 0)


def test_a_stop_before_the_first_word_and_one_after_the_last_are_stops_too(
    chat: Edge, upstream: ScriptedUpstream
) -> None:
    upstream.script({**script.silence(), "when": "early"})
    early, late = (chat.ask("a", message=when)["generationId"] for when in ("early", "late"))
    assert chat.post(f"/chat/{early}/stop", {}).get_json() == {
        "generationId": early,
        "state": "done",
        "seq": 0,
    }
    done = chat.ended(late)
    assert chat.post(f"/chat/{late}/stop", {}).status_code == 200
    assert chat.view(late) == done


# --- looking ------------------------------------------------------------------------------------------


def test_an_answer_that_runs_is_shown_as_far_as_it_is(chat: Edge, upstream: ScriptedUpstream) -> None:
    upstream.script(script.cut(["a", "b"], how="hang"))
    ids = chat.ask("a")
    view = eventually(lambda: (v := chat.view(ids["generationId"]))["seq"] == 2 and v)
    place = view.pop("lastEventId")
    assert view == {
        **ids,
        "state": "running",
        "attempt": 1,
        "data": {"content": "ab"},
        "seq": 2,
        "usage": None,
        "timing": None,
    }
    with chat.listen("clientId=a", place) as stream:
        stream.take()
        chat.post(f"/chat/{ids['generationId']}/stop", {})
        assert stream.rest() == ["done", "[DONE]"]


def test_an_answer_that_ended_is_shown_with_its_end(chat: Edge, upstream: ScriptedUpstream) -> None:
    view = chat.ended(chat.ask("a")["generationId"])
    assert (view["state"], view["reason"], view["attempts"], view["model"]) == ("done", "stop", 1, "m-1")
    assert (view["data"], view["seq"], view["usage"]) == ({"content": "Hello world"}, 2, script.USAGE)
    assert view["timing"].keys() == {"first_token_ms", "total_ms", "tokens_per_s"}
    assert view["upstream"] == f"127.0.0.1:{upstream.port}"


def test_an_answer_that_failed_is_shown_with_what_failed(chat: Edge, upstream: ScriptedUpstream) -> None:
    upstream.script(script.failure(401, f"Incorrect API key provided: {KEY}"))
    view = chat.ended(chat.ask("a")["generationId"])
    assert (view["state"], view["code"], view["retryable"], view["partial"]) == (
        "error",
        "auth",
        False,
        False,
    )
    assert "Incorrect API key" in view["message"]
    assert KEY not in view["message"]


def test_a_key_that_the_upstream_repeats_inside_of_its_stream_is_not_passed_on(
    chat: Edge, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    error = {"error": {"message": f"Incorrect API key provided: {KEY}", "type": "auth_error"}}
    upstream.script({"steps": [{"chunk": error}]}, {"steps": [{"send": f"data: {KEY}\n\n"}]})
    for _ in range(2):
        generation = chat.ask("a")["generationId"]
        assert KEY not in str(chat.ended(generation))
    with chat.listen("clientId=a") as stream:
        assert KEY not in str([event.json for event in stream.take()])
    assert KEY not in caplog.text


def test_an_answer_shows_itself_to_its_own_client_where_one_is_named(chat: Edge) -> None:
    generation = chat.ask("a")["generationId"]
    assert chat.get(f"/chat/{generation}?clientId=a").status_code == 200
    assert chat.get(f"/chat/{generation}?clientId=b").status_code == 404
    chat.ended(generation)


def test_without_an_upstream_the_answer_says_which_setting_is_missing(edge: Edge) -> None:
    view = edge.ended(edge.ask("a")["generationId"])
    assert (view["state"], view["code"], view["retryable"]) == ("error", "connect", False)
    assert "UPSTREAM_URL" in view["message"]


def test_text_and_place_are_of_one_instant_at_every_moment_of_an_answer(
    server: Server, upstream: ScriptedUpstream, fresh_client: str
) -> None:
    """Whoever reloads shows `data`, connects from `lastEventId`, and ends with the exact text."""
    words = [f"w{i} " for i in range(12)]
    upstream.script(script.deltas(words, gap=0.01, before_head=0.05))
    asked = {"clientId": fresh_client, "message": "hi"}
    generation = requests.post(f"{server.url}/chat", json=asked, timeout=10).json()["generationId"]
    readers: dict[str, Reader] = {}
    view: dict[str, Any] = {"state": ""}
    while view["state"] != "done":
        view = requests.get(f"{server.url}/chat/{generation}", timeout=10).json()
        if view["lastEventId"] not in readers:
            readers[view["lastEventId"]] = coming_back(server, fresh_client, generation, view)
    assert len(readers) >= 4
    for place, reader in readers.items():
        with reader:
            reader.follow()
        assert reader.texts == {generation: "".join(words)}, place
        assert len(reader.terminals) <= 1
    first, *_, last = readers.values()
    assert (len(first.terminals), len(last.terminals)) == (1, 0)


def coming_back(server: Server, client_id: str, generation: str, view: dict[str, Any]) -> Reader:
    reader = Reader(server.url, client_id)
    reader.close()
    reader.cursor, reader.texts = view["lastEventId"], {generation: view["data"]["content"]}
    reader.connect()
    return reader


# --- too much at once ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "asker", "status", "code"),
    [
        ({"answers_client": 1, "answers_waiting": 1}, "a", 429, "busy"),
        ({"answers_worker": 1, "answers_waiting": 1}, "b", 503, "overloaded"),
        ({"mailboxes": 1}, "b", 503, "overloaded"),
    ],
)
def test_an_answer_too_many_says_when_to_come_again_and_leaves_nothing_behind(
    make_edge: MakeEdge,
    upstream: ScriptedUpstream,
    limits: dict[str, int],
    asker: str,
    status: int,
    code: str,
) -> None:
    upstream.script(default=script.silence())
    edge = make_edge(upstream_url=upstream.url, **limits)
    for _ in range(1 + limits.get("answers_waiting", 0)):
        edge.ask("a")
    before = edge.numbers()
    for _ in range(2):
        response = edge.post("/chat", {"clientId": asker, "message": "hi", "generationId": UUID})
        assert (response.status_code, response.get_json()["code"]) == (status, code)
        assert int(response.headers["Retry-After"]) >= 1
        assert edge.numbers() == before


def test_a_refused_question_is_not_in_its_conversation(
    make_edge: MakeEdge, upstream: ScriptedUpstream
) -> None:
    edge = make_edge(upstream_url=upstream.url, answers_client=1, answers_waiting=1)
    ids = edge.ask("a")
    edge.ended(ids["generationId"])
    before = stored(edge, "a", ids["conversationId"])
    upstream.script(default=script.silence())
    for _ in range(2):
        edge.ask("a")
    question = {"clientId": "a", "message": "again", "conversationId": ids["conversationId"]}
    assert edge.post("/chat", question).status_code == 429
    assert stored(edge, "a", ids["conversationId"]) == before


def test_a_question_beyond_the_limit_waits_in_line_and_is_in_its_conversation(
    make_edge: MakeEdge, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.cut(["a"], how="hang"))
    edge = make_edge(upstream_url=upstream.url, answers_client=1)
    with edge.listen("clientId=a&closeOnDone=false") as stream:
        first = edge.ask("a", message="1?")
        stream.until("delta")
        second = edge.ask("a", message="2?")
        queued = stream.until("queued")
        assert (queued["generationId"], queued["position"]) == (second["generationId"], 1)
        view = edge.view(second["generationId"])
        assert (view["state"], view["position"], view["seq"]) == ("queued", 1, 0)
        found = edge.get(f"/conversations/{second['conversationId']}?clientId=a").get_json()
        assert [m["content"] for m in found["messages"]] == ["2?"]
        assert found["generations"] == [second["generationId"]]
        edge.post(f"/chat/{first['generationId']}/stop", {})
        assert stream.until("started")["generationId"] == second["generationId"]
        assert stream.until("done")["reason"] == "stop"
    assert "position" not in edge.view(second["generationId"])


def test_a_question_that_waits_for_its_conversation_is_asked_with_the_answer_before_it(
    chat: Edge, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.deltas(["half"], before_head=0.2))
    first = chat.ask("a", message="1?")
    second = chat.ask("a", message="2?", conversationId=first["conversationId"], onBusy="queue")
    assert [m["content"] for m in stored(chat, "a", first["conversationId"])] == ["1?"]
    chat.ended(second["generationId"])
    assert [m["content"] for m in told(upstream)[-1]] == ["1?", "half", "2?"]
    conversation = stored(chat, "a", first["conversationId"])
    assert [m["content"] for m in conversation] == ["1?", "half", "2?", "Hello world"]


def test_no_done_is_said_while_a_question_waits(make_edge: MakeEdge, upstream: ScriptedUpstream) -> None:
    upstream.script(script.cut(["a"], how="hang"))
    edge = make_edge(upstream_url=upstream.url, answers_client=1)
    with edge.listen("clientId=a") as stream:
        first = edge.ask("a")
        stream.until("delta")  # or the second might be given the answer that hangs
        edge.ask("a")
        edge.post(f"/chat/{first['generationId']}/stop", {})
        types = []
        while (message := next_or_none(stream)) is not None:
            types += [each.type for each in message]
    assert [kind for kind in types if kind in ("done", "[DONE]")] == ["done", "done", "[DONE]"]


@pytest.mark.parametrize(("said", "set_", "ended"), [("", "cancel", True), ("continue", "cancel", False)])
def test_what_becomes_of_an_answer_that_nobody_reads_is_set_for_all_and_said_for_one(
    make_edge: MakeEdge, upstream: ScriptedUpstream, said: str, set_: str, ended: bool
) -> None:
    upstream.script(default=script.silence())
    edge = make_edge(upstream_url=upstream.url, on_leave=set_)
    asked = edge.ask("a", **({"onLeave": said} if said else {}))
    question = edge.parts.relay.get(asked["generationId"]).question
    assert (question.on_leave == "cancel") is ended


def test_a_conversation_has_one_answer_at_a_time_and_a_refused_question_leaves_no_trace(
    chat: Edge, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.cut(["a"], how="hang"))
    ids = chat.ask("a", message="1?")
    before = chat.numbers()
    second = {"clientId": "a", "message": "2?", "conversationId": ids["conversationId"]}
    response = chat.post("/chat", second)
    assert (response.status_code, response.get_json()["code"]) == (409, "busy")
    assert chat.numbers() == before
    assert [m["content"] for m in stored(chat, "a", ids["conversationId"])] == ["1?"]


def test_a_question_that_interrupts_carries_what_was_said_until_then(
    chat: Edge, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.cut(["half"], how="hang"))
    first = chat.ask("a", message="1?")
    eventually(lambda: chat.view(first["generationId"])["seq"] == 1)
    second = chat.ask("a", message="2?", conversationId=first["conversationId"], onBusy="interrupt")
    assert chat.view(first["generationId"])["reason"] == "stopped"
    chat.ended(second["generationId"])
    assert [m["content"] for m in told(upstream)[-1]] == ["1?", "half", "2?"]


def test_a_server_that_drains_takes_no_questions_and_interrupts_none(
    chat: Edge, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.cut(["half"], how="hang"))
    first = chat.ask("a")
    chat.parts.relay.close()
    second = {
        "clientId": "a",
        "message": "2?",
        "conversationId": first["conversationId"],
        "onBusy": "interrupt",
    }
    response = chat.post("/chat", second)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert chat.view(first["generationId"])["state"] == "running"


# --- conversations ------------------------------------------------------------------------------------


def test_a_client_sees_its_own_conversations_the_latest_first(chat: Edge) -> None:
    first, second = chat.ask("a", message="  First\nquestion "), chat.ask("a", message="Second" * 50)
    theirs = chat.ask("b")
    for ids in (first, second, theirs):
        chat.ended(ids["generationId"])
    again = chat.ask("a", message="more", conversationId=first["conversationId"])
    chat.ended(again["generationId"])
    listed = chat.get("/conversations?clientId=a").get_json()["conversations"]
    assert [c["id"] for c in listed] == [first["conversationId"], second["conversationId"]]
    assert [c["title"] for c in listed] == ["First question", ("Second" * 50)[:80]]
    assert [c["messages"] for c in listed] == [4, 2]
    assert listed[0].keys() == {"id", "title", "created", "updated", "messages"}
    assert chat.get("/conversations?clientId=nobody").get_json() == {"conversations": []}


def test_a_conversation_tells_what_was_said_how_it_ended_and_what_runs(
    chat: Edge, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.deltas(["one"]), script.cut(["two"], how="hang"))
    first = chat.ask("a", message="1?")
    chat.ended(first["generationId"])
    second = chat.ask("a", message="2?", conversationId=first["conversationId"])
    url = f"/conversations/{first['conversationId']}?clientId=a"
    whole = chat.get(url).get_json()
    assert whole.keys() == {"id", "created", "updated", "messages", "generations"}
    figures = {name: whole["messages"][1].pop(name) for name in ("usage", "timing", "model")}
    assert figures["usage"]["total_tokens"] == script.USAGE["total_tokens"]
    assert figures["timing"]["total_ms"] > 0
    assert whole["messages"] == [
        {"role": "user", "content": "1?"},
        {
            "role": "assistant",
            "content": "one",
            "generationId": first["generationId"],
            "state": "done",
            "reason": "stop",
        },
        {"role": "user", "content": "2?"},
    ]
    assert whole["generations"] == [second["generationId"]]
    chat.post(f"/chat/{second['generationId']}/stop", {})
    assert chat.get(url).get_json()["generations"] == []


def test_text_that_broke_off_is_kept_and_a_failure_without_text_leaves_no_message(
    chat: Edge, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.cut(["half"]), script.failure(400))
    first = chat.ask("a")
    chat.ended(first["generationId"])
    chat.ended(chat.ask("a", conversationId=first["conversationId"])["generationId"])
    messages = stored(chat, "a", first["conversationId"])
    assert [m["role"] for m in messages] == ["user", "assistant", "user"]
    assert (messages[1]["content"], messages[1]["state"], messages[1]["code"]) == ("half", "error", "cut")


def test_an_answer_stopped_before_its_first_word_is_not_told_as_an_empty_one(
    chat: Edge, upstream: ScriptedUpstream
) -> None:
    """Some upstreams refuse an empty answer, and then every further question of the conversation."""
    upstream.script(script.silence())
    ids = chat.ask("a", message="1?")
    eventually(lambda: calls(upstream) == 1)
    chat.post(f"/chat/{ids['generationId']}/stop", {})
    chat.ended(chat.ask("a", message="2?", conversationId=ids["conversationId"])["generationId"])
    assert {"role": "assistant", "content": ""} not in told(upstream)[-1]


def test_a_deleted_conversation_is_gone(chat: Edge) -> None:
    ids = chat.ask("a")
    chat.ended(ids["generationId"])
    url = f"/conversations/{ids['conversationId']}?clientId=a"
    response = chat.call("DELETE", url)
    assert (response.status_code, response.data) == (204, b"")
    assert [chat.get(url).status_code, chat.call("DELETE", url).status_code] == [404, 404]
    assert chat.get("/conversations?clientId=a").get_json() == {"conversations": []}
    assert chat.view(ids["generationId"])["data"] == {"content": "Hello world"}


def test_a_conversation_deleted_while_an_answer_runs_does_not_come_back_with_its_end(
    chat: Edge, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.cut(["a"], how="hang"))
    with chat.listen("clientId=a") as stream:
        ids = chat.ask("a")
        stream.until("delta")
        chat.call("DELETE", f"/conversations/{ids['conversationId']}?clientId=a")
        chat.post(f"/chat/{ids['generationId']}/stop", {})
        assert stream.until("done")["reason"] == "stopped"
        while next_or_none(stream) is not None:
            pass
    assert chat.get("/conversations?clientId=a").get_json() == {"conversations": []}
    assert chat.numbers()["conversations"] == 0


def test_the_least_recently_used_conversation_makes_room(make_edge: MakeEdge) -> None:
    edge = make_edge(conversations=2)
    first, second = edge.ask("a"), edge.ask("b")
    edge.get(f"/conversations/{first['conversationId']}?clientId=a")
    edge.ask("c")
    assert edge.get(f"/conversations/{first['conversationId']}?clientId=a").status_code == 200
    assert edge.get(f"/conversations/{second['conversationId']}?clientId=b").status_code == 404


ODD: list[dict[str, Any]] = [
    {"role": "user"},
    {"role": "user", "content": None},
    {"role": "user", "content": []},
    {"role": "user", "content": [{"type": "image_url"}]},
    {"role": "assistant"},
    {"role": "tool", "tool_call_id": "c"},
]


@pytest.mark.parametrize("message", ODD, ids=str)
def test_a_message_without_text_is_refused_or_can_be_listed(chat: Edge, message: dict[str, Any]) -> None:
    response = chat.post("/chat", {"clientId": "a", "messages": [message]})
    assert response.status_code in (201, 422)
    listed = chat.get("/conversations?clientId=a")
    assert listed.status_code == 200
    assert len(listed.get_json()["conversations"]) == (response.status_code == 201)
