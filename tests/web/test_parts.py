"""The parts of an application: one of each, found by the request; and how they end, in good order."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from app.web.parts import FAREWELL, parts
from tests.rig import script
from tests.rig.reading import eventually
from tests.rig.upstream import ScriptedUpstream
from tests.web.conftest import Edge, MakeEdge, next_or_none


def test_each_application_has_parts_of_its_own(make_edge: MakeEdge) -> None:
    one, two = make_edge(), make_edge()
    with one.app.app_context():
        assert parts() is one.parts
    one.ask("a")
    assert (len(one.parts.conversations), len(two.parts.conversations)) == (1, 0)


class Nap:
    """Time that only sleeps move on; the first of them does `then` meanwhile. A sleep takes `drag` longer."""

    def __init__(self, then: Callable[[], object] = lambda: None, drag: float = 0.0) -> None:
        self.now, self.naps = 0.0, 0
        self._then, self._drag = then, drag

    def sleep(self, seconds: float) -> None:
        self.naps += 1
        if self.naps == 1:
            self._then()
        self.now += seconds + self._drag

    def clock(self) -> float:
        return self.now


def drain(edge: Edge, nap: Nap | None = None, hurried: Callable[[], bool] = lambda: False) -> None:
    nap = nap or Nap()
    edge.parts.drain(hurried, nap.sleep, nap.clock)


def test_with_nothing_to_wait_for_a_drain_waits_for_nothing(make_edge: MakeEdge) -> None:
    nap = Nap()
    drain(make_edge(), nap)
    assert nap.naps == 0


def test_a_stream_without_an_answer_ends_at_once_and_is_asked_back(make_edge: MakeEdge) -> None:
    edge = make_edge()
    with edge.listen("clientId=a") as stream:
        stream.take()

        def read() -> None:
            closing = stream.until("closing")
            assert (closing["reason"], closing["reconnect"]) == ("shutdown", True)
            assert next_or_none(stream) is None
            stream.__exit__()

        nap = Nap(read)
        drain(edge, nap)
    assert nap.naps == 1
    assert edge.numbers()["connections"] == 0


def test_an_answer_that_ends_within_the_grace_is_whole(
    make_edge: MakeEdge, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.cut(["a"], how="hang"))
    edge = make_edge(upstream_url=upstream.url)
    generation = edge.ask("a")["generationId"]
    with edge.listen("clientId=a") as stream:
        stream.until("delta")
        nap = Nap(lambda: edge.call("POST", f"/chat/{generation}/stop"))
        draining = threading.Thread(target=drain, args=[edge, nap])
        draining.start()
        assert stream.rest() == ["done", "[DONE]"]
        draining.join()
    assert edge.view(generation)["reason"] == "stopped"


def test_a_question_in_line_is_told_at_once_that_the_server_goes_and_what_runs_goes_on(
    make_edge: MakeEdge, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.cut(["a"], how="hang"))
    edge = make_edge(upstream_url=upstream.url, answers_client=1)
    with edge.listen("clientId=a") as stream:
        running = edge.ask("a")["generationId"]
        stream.until("delta")
        waiting = edge.ask("a")["generationId"]
        nap = Nap(lambda: edge.call("POST", f"/chat/{running}/stop"))
        draining = threading.Thread(target=drain, args=[edge, nap])
        draining.start()
        told = stream.until("error")
        assert (told["generationId"], told["code"]) == (waiting, "interrupted")
        assert (told["retryable"], told["partial"]) == (True, False)
        assert stream.rest() == ["done", "[DONE]"]
        draining.join()
    assert edge.view(running)["reason"] == "stopped"
    assert len(upstream.state()["requests"]) == 1


def test_an_answer_beyond_the_grace_is_interrupted_and_its_text_kept(
    make_edge: MakeEdge, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.cut(["a"], how="hang"))
    edge = make_edge(upstream_url=upstream.url, drain_grace=3.0)
    ids = edge.ask("a")
    eventually(lambda: edge.view(ids["generationId"])["seq"] == 1)
    with edge.listen("clientId=a") as stream:
        stream.take()
        nap = Nap()
        draining = threading.Thread(target=drain, args=[edge, nap])
        draining.start()
        error = stream.until("error")
        draining.join()
    assert (error["code"], error["retryable"], error["partial"]) == ("interrupted", True, True)
    assert 3.0 <= nap.now <= 3.0 + FAREWELL + 0.2  # the grace, and the farewell to who was slow to read
    assert edge.view(ids["generationId"])["data"] == {"content": "a"}
    messages = edge.get(f"/conversations/{ids['conversationId']}?clientId=a").get_json()["messages"]
    assert (messages[-1]["content"], messages[-1]["code"]) == ("a", "interrupted")
    eventually(lambda: upstream.state()["open"] == 0)


def test_on_a_busy_machine_where_sleeps_are_long_a_drain_is_not(
    make_edge: MakeEdge, upstream: ScriptedUpstream
) -> None:
    """gunicorn's patience is by the clock, and it ends with SIGKILL."""
    upstream.script(script.silence())
    edge = make_edge(upstream_url=upstream.url, drain_grace=25.0)
    edge.ask("a")
    nap = Nap(drag=0.9)
    drain(edge, nap)
    assert nap.now <= 25 + FAREWELL + 2


@pytest.mark.parametrize("within", [0, 1], ids=["at once", "later"])
def test_who_is_in_a_hurry_has_answers_interrupted_before_the_grace_is_over(
    make_edge: MakeEdge, upstream: ScriptedUpstream, within: int
) -> None:
    upstream.script(script.silence())
    edge = make_edge(upstream_url=upstream.url, drain_grace=25.0)
    generation = edge.ask("a")["generationId"]
    nap = Nap()
    drain(edge, nap, lambda: nap.naps >= within)
    assert edge.view(generation)["code"] == "interrupted"
    assert nap.naps == within


def test_nothing_begins_once_a_drain_has_begun(make_edge: MakeEdge) -> None:
    edge = make_edge()
    drain(edge)
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
    drain(edge)
    sweeps[0].join(timeout=5)
    assert not sweeps[0].is_alive()


@pytest.mark.parametrize("listening", [False, True])
def test_a_drain_of_anything_is_told_in_the_log_without_a_secret(
    make_edge: MakeEdge, caplog: pytest.LogCaptureFixture, listening: bool
) -> None:
    caplog.set_level(logging.INFO)
    edge = make_edge(upstream_url="http://user:hunter2@127.0.0.1:1/v1", upstream_key="k3y")
    with ExitStack() as stack:
        if listening:
            stack.enter_context(edge.listen("clientId=a"))
        drain(edge)
    assert ("draining" in caplog.text) == listening
    assert "hunter2" not in caplog.text
    assert "k3y" not in caplog.text
