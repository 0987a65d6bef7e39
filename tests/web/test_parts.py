"""The parts of an application: one of each, found by the request; and how they end, in good order."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest

from app.web.parts import FAREWELL, parts
from tests.rig import script
from tests.rig.reading import eventually
from tests.rig.upstream import ScriptedUpstream
from tests.web.conftest import MakeEdge, next_or_none


def test_each_application_has_parts_of_its_own(make_edge: MakeEdge) -> None:
    one, two = make_edge(), make_edge()
    with one.app.app_context():
        assert parts() is one.parts
    one.ask("a")
    assert (len(one.parts.conversations), len(two.parts.conversations)) == (1, 0)


def asleep(then: Callable[[], object] = lambda: None) -> tuple[list[float], Callable[[float], None]]:
    """A sleep that takes no time, and what it was asked for. `then` is done instead, once."""
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        if not slept:
            then()
        slept.append(seconds)

    return slept, sleep


def test_with_nothing_to_wait_for_a_drain_waits_for_nothing(make_edge: MakeEdge) -> None:
    slept, sleep = asleep()
    make_edge().parts.drain(sleep)
    assert slept == []


def test_a_stream_without_an_answer_ends_at_once_and_is_asked_back(make_edge: MakeEdge) -> None:
    edge = make_edge()
    with edge.listen("clientId=a") as stream:
        stream.take()

        def read() -> None:
            closing = stream.until("closing")
            assert (closing["reason"], closing["reconnect"]) == ("shutdown", True)
            assert next_or_none(stream) is None
            stream.__exit__()

        slept, sleep = asleep(read)
        edge.parts.drain(sleep)
    assert len(slept) == 1
    assert edge.numbers()["connections"] == 0


def test_an_answer_that_ends_within_the_grace_is_whole(
    make_edge: MakeEdge, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.cut(["a"], how="hang"))
    edge = make_edge(upstream_url=upstream.url)
    generation = edge.ask("a")["generationId"]
    with edge.listen("clientId=a") as stream:
        stream.until("delta")
        sleep = asleep(lambda: edge.call("POST", f"/chat/{generation}/stop"))[1]
        draining = threading.Thread(target=edge.parts.drain, args=[sleep])
        draining.start()
        assert stream.rest() == ["done", "[DONE]"]
        draining.join()
    assert edge.view(generation)["reason"] == "stopped"


def test_an_answer_beyond_the_grace_is_interrupted_and_its_text_kept(
    make_edge: MakeEdge, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.cut(["a"], how="hang"))
    edge = make_edge(upstream_url=upstream.url, drain_grace=3.0)
    ids = edge.ask("a")
    eventually(lambda: edge.view(ids["generationId"])["seq"] == 1)
    with edge.listen("clientId=a") as stream:
        stream.take()
        slept, sleep = asleep()
        draining = threading.Thread(target=edge.parts.drain, args=[sleep])
        draining.start()
        error = stream.until("error")
        draining.join()
    assert (error["code"], error["retryable"], error["partial"]) == ("interrupted", True, True)
    assert 30 <= len(slept) <= 10 * (3.0 + FAREWELL)  # the grace, and the farewell to who was slow to read
    assert edge.view(ids["generationId"])["data"] == {"content": "a"}
    messages = edge.get(f"/conversations/{ids['conversationId']}?clientId=a").get_json()["messages"]
    assert (messages[-1]["content"], messages[-1]["code"]) == ("a", "interrupted")
    eventually(lambda: upstream.state()["open"] == 0)


def test_nothing_begins_once_a_drain_has_begun(make_edge: MakeEdge) -> None:
    edge = make_edge()
    edge.parts.drain(lambda seconds: None)
    before = edge.numbers()
    assert edge.post("/chat", {"clientId": "a", "message": "hi"}).status_code == 503
    assert edge.get("/sse/createConnect?clientId=a&overload=status").status_code == 503
    assert edge.numbers() == before


def test_a_drain_leaves_no_thread_of_ours(make_edge: MakeEdge) -> None:
    edge = make_edge()
    with edge.listen("clientId=a") as stream:
        stream.take()
        sweeps = [t for t in threading.enumerate() if t.name == "hub-sweep" and t is edge.parts.sweep._thread]
        assert len(sweeps) == 1
    edge.parts.drain(lambda seconds: None)
    sweeps[0].join(timeout=5)
    assert not sweeps[0].is_alive()


def test_a_drain_is_told_in_the_log_without_a_secret(
    make_edge: MakeEdge, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    make_edge(upstream_url="http://user:hunter2@127.0.0.1:1/v1", upstream_key="k3y").parts.drain()
    assert "draining" in caplog.text
    assert "hunter2" not in caplog.text
    assert "k3y" not in caplog.text
