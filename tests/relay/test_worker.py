"""worker: every way an upstream may behave, told to the client as one answer with one end."""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import Any

import pytest

from app.errors import NotFound, Overloaded, Problem
from app.relay.generation import Generation
from app.relay.retry import RetryPolicy
from app.relay.upstream import Upstream
from app.relay.worker import Size, Worker
from tests.relay import (
    DONE,
    UNTIL_CLOSE,
    Beside,
    Listener,
    ManualClock,
    Puppet,
    chunk,
    make_generation,
    promptly,
)
from tests.rig import script
from tests.rig.addresses import refusing
from tests.rig.reading import eventually
from tests.rig.script import Json
from tests.rig.upstream import ScriptedUpstream

AT_ONCE = RetryPolicy(base=0.0)


class Answer:
    """One answer: `said` is what its client was told, `generation` its state. Reads in this thread."""

    def __init__(self, url: str, *, retry: RetryPolicy = AT_ONCE, **options: Any) -> None:
        question = {
            name: options.pop(name) for name in ("on_cut", "options", "upstream", "model") if name in options
        }
        self.said: Listener = options.pop("said", None) or Listener()
        self.generation = make_generation(cls=options.pop("cls", Generation), **question)
        options.setdefault("chance", lambda: 1.0)
        upstreams = options.pop("upstreams", None) or [Upstream(url)]
        self.worker = Worker(upstreams, self.said, retry=retry, **options)

    def read(self) -> Answer:
        self.worker.begin(self.generation)
        self.worker.answer(self.generation)
        return self

    def in_a_thread(self) -> Beside:
        return Beside(self.read)

    @property
    def end(self) -> dict[str, Any]:
        """The fields of the terminal event, with its kind; checks that all is said once and in order."""
        kind, fields = self.said.end()
        numbers = [delta["seq"] for event, delta in self.said.events if event == "delta"]
        assert numbers == list(range(1, len(numbers) + 1))
        assert fields["seq"] == len(numbers)
        assert self.generation.ended.is_set()
        return {"kind": kind, **fields}


def ends(answer: Answer, **expected: Any) -> None:
    end = answer.end
    assert {name: end[name] for name in expected} == expected


# --- what ends well --------------------------------------------------------------------------------------


def test_an_answer_is_told_from_started_to_done(upstream: ScriptedUpstream) -> None:
    answer = Answer(upstream.url, options={"temperature": 0.5}).read()
    asked = upstream.state()["requests"][0]["body"]
    assert asked["messages"] == [answer.generation.question.said]
    assert (asked["model"], asked["temperature"]) == ("m", 0.5)
    assert answer.said.kinds() == ["started", "delta", "delta", "done"]
    assert answer.said.text() == "Hello world"
    ends(answer, kind="done", reason="stop", usage=script.USAGE, attempts=1)


A, STOP, USED, LAST = {"delta": "a"}, {"finish": "stop"}, {"usage": script.USAGE}, {"done": True}
ENDS: dict[str, tuple[list[Json], dict[str, Any]]] = {
    "a finish without [DONE] is an end": ([A, STOP], {"reason": "stop"}),
    "a finish and usage without [DONE]": ([A, STOP, USED], {"reason": "stop", "usage": script.USAGE}),
    "a finish and a reset": ([A, STOP, {"sleep": 0.1}, {"reset": True}], {"reason": "stop"}),
    "[DONE] without a finish is an end, and nobody says why": ([A, LAST], {"reason": "unknown"}),
    "[DONE] and a reset": ([A, LAST, {"reset": True}], {"reason": "unknown"}),
    "[DONE] without its blank line": ([A, {"send": "data: [DONE]"}], {"reason": "unknown"}),
    "the first finish wins": ([A, STOP, {"finish": "length"}, LAST], {"reason": "stop"}),
    "two [DONE]": ([A, STOP, LAST, LAST], {"reason": "stop"}),
    "the length": ([A, {"finish": "length"}, LAST], {"reason": "length"}),
    "a filter": ([A, {"finish": "content_filter"}, LAST], {"reason": "content_filter"}),
    "the upstream's own word": ([A, {"finish": "abort"}, LAST], {"reason": "abort"}),
    "a word that has no end": ([A, {"finish": "x" * 1_000}, LAST], {"reason": "x" * 64}),
    "no text at all": ([STOP, LAST], {"reason": "stop", "seq": 0}),
    "a call that ends with stop": (
        [{"delta": {"tool_calls": [{"index": 0, "function": {"name": "f"}}]}}, STOP, LAST],
        {"reason": "tool_calls"},
    ),
    "a call that ends with the length": (
        [{"delta": {"tool_calls": [{"index": 0, "function": {"name": "f"}}]}}, {"finish": "length"}, LAST],
        {"reason": "length"},
    ),
}


@pytest.mark.parametrize(("steps", "end"), ENDS.values(), ids=ENDS)
def test_an_answer_ends_well_by(upstream: ScriptedUpstream, steps: list[Json], end: dict[str, Any]) -> None:
    upstream.script({"steps": steps}, default=script.failure(500))
    ends(Answer(upstream.url).read(), kind="done", attempts=1, **end)


def test_usage_told_with_every_chunk_is_that_of_the_last(upstream: ScriptedUpstream) -> None:
    def counted(tokens: int, **choice: Any) -> Json:
        return {"chunk": {"choices": [{"index": 0, **choice}], "usage": {"completion_tokens": tokens}}}

    last = counted(3, delta={}, finish_reason="stop")
    upstream.script({"steps": [counted(i, delta={"content": "a"}) for i in (1, 2)] + [last, {"done": True}]})
    ends(Answer(upstream.url).read(), usage={"completion_tokens": 3})


def test_usage_told_after_the_finish_wins_over_what_was_told_before(upstream: ScriptedUpstream) -> None:
    early = {"chunk": {"choices": [], "usage": {"completion_tokens": 1}}}
    upstream.script({"steps": [early, {"delta": "a"}, {"finish": "stop"}, {"usage": script.USAGE}]})
    ends(Answer(upstream.url).read(), usage=script.USAGE)


@pytest.mark.parametrize("usage", [{"completion_tokens": [5]}, {"completion_tokens": "many"}])
def test_usage_that_makes_no_sense_does_not_cost_the_end(upstream: ScriptedUpstream, usage: Json) -> None:
    upstream.script({"steps": [{"delta": "a"}, {"finish": "stop"}, {"usage": usage}, {"done": True}]})
    ends(Answer(upstream.url).read(), kind="done", reason="stop")


def test_what_is_no_text_is_not_told(upstream: ScriptedUpstream) -> None:
    silent = [
        {"delta": {"role": "assistant"}},
        {"delta": ""},
        {"send": ": ping\n\n"},
        {"chunk": {"choices": []}},
    ]
    upstream.script({"steps": [*silent, *script.ENDING]})
    assert Answer(upstream.url).read().said.kinds() == ["started", "done"]


def test_each_delta_is_out_before_the_upstream_sends_the_next() -> None:
    """A body that ends with the connection, in tiny events: nothing may wait for a buffer to fill."""
    with Puppet() as puppet:
        answer = Answer(puppet.url)
        reading = answer.in_a_thread()
        with puppet.take() as sock:
            sock.sendall(UNTIL_CLOSE)
            for i in range(20):
                sock.sendall(chunk(str(i)))
                eventually(lambda i=i: answer.said.kinds().count("delta") == i + 1)
            sock.sendall(chunk(finish="stop") + DONE)
        reading.result()
    ends(answer, kind="done", seq=20)


@pytest.mark.parametrize(
    ("size", "told"),
    [(Size(deltas=3), 3), (Size(bytes=len('{"content":"w0 "}') * 2), 2)],
    ids=["deltas", "bytes"],
)
def test_an_answer_as_long_as_it_may_get_ends_with_length(
    upstream: ScriptedUpstream, size: Size, told: int
) -> None:
    upstream.script(script.counted(1000, gap=0.005))
    ends(Answer(upstream.url, size=size).read(), kind="done", reason="length", seq=told)
    assert eventually(lambda: upstream.state()["requests"][0]["ended"]) == "peer"


# --- what ends badly -------------------------------------------------------------------------------------

REFUSED = {"code": "upstream_status", "retryable": False, "partial": False}
NO_STREAM = {"code": "not_a_stream", "retryable": False, "partial": False}
BROKEN_OFF = {"code": "cut", "retryable": True, "partial": True}
HALF: Json = {"send": 'data: {"choices"', "close": True}
SECOND_AND_DONE: Json = {"send": 'data: {"choices":[{"delta":{"content":"b"}}]}\ndata: [DONE]'}
FAILS: dict[str, tuple[Json, dict[str, Any]]] = {
    "400": (script.failure(400), REFUSED),
    "401": (script.failure(401), REFUSED | {"code": "auth"}),
    "404": (script.failure(404), REFUSED),
    "422": (script.failure(422), REFUSED),
    "a redirect": ({"status": 302, "headers": {"Location": "/"}}, REFUSED),
    "HTML with 200": (script.page(), NO_STREAM),
    "JSON with 200": (script.document({"choices": []}), NO_STREAM),
    "429 that asks for too long": (script.failure(429, retry_after=31), {"code": "rate_limited"}),
    "an end after some text": (script.cut(["a"], chunked=False), BROKEN_OFF),
    "a clean end after some text": ({"steps": [A]}, BROKEN_OFF),
    "a cut after some text": (script.cut(["a"]), BROKEN_OFF),
    "half an event after some text": ({"steps": [A, HALF]}, BROKEN_OFF),
    "nonsense after some text": (
        {"steps": [A, {"send": "data: {\n\n"}]},
        BROKEN_OFF | {"code": "malformed"},
    ),
    "an error after some text": (
        {"steps": [A, {"chunk": {"error": {"message": "Overloaded"}}}]},
        BROKEN_OFF | {"code": "upstream_status"},
    ),
    "text without a blank line before [DONE]": ({"steps": [A, SECOND_AND_DONE]}, {"partial": True}),
}


@pytest.mark.parametrize(("answer", "end"), FAILS.values(), ids=FAILS)
def test_an_answer_ends_badly_and_is_not_tried_again_after(
    upstream: ScriptedUpstream, answer: Json, end: dict[str, Any]
) -> None:
    upstream.script(default=answer)
    ends(Answer(upstream.url).read(), kind="error", **end)
    assert len(upstream.state()["requests"]) == 1


def test_the_text_before_a_cut_is_kept(upstream: ScriptedUpstream) -> None:
    upstream.script(script.cut(["a", "b"]))
    answer = Answer(upstream.url).read()
    ends(answer, code="cut", partial=True, seq=2)
    assert answer.generation.message.data() == {"content": "ab"}


# --- trying again ----------------------------------------------------------------------------------------

RETRIED: dict[str, Json] = {
    "500": script.failure(500),
    "503": script.failure(503),
    "429": script.failure(429),
    "a cut before any event": {"steps": [{"close": True}]},
    "a clean end before any text": {"steps": [script.ROLE]},
    "a cut after the role": script.cut([]),
    "nonsense before any text": {"steps": [{"send": "data: {\n\n"}]},
    "an error before any text": {"steps": [{"chunk": {"error": {"message": "Overloaded", "code": 503}}}]},
}


@pytest.mark.parametrize("failure", RETRIED.values(), ids=RETRIED)
def test_before_the_first_text_it_is_tried_again(upstream: ScriptedUpstream, failure: Json) -> None:
    upstream.script(failure, failure)
    answer = Answer(upstream.url).read()
    assert answer.said.kinds() == ["started"] * 3 + ["delta"] * 2 + ["done"]
    assert [fields["attempt"] for kind, fields in answer.said.events if kind == "started"] == [1, 2, 3]
    ends(answer, kind="done", attempts=3)


@pytest.mark.parametrize("failure", RETRIED.values(), ids=RETRIED)
def test_when_all_tries_failed_the_last_error_is_told(upstream: ScriptedUpstream, failure: Json) -> None:
    upstream.script(default=failure)
    ends(Answer(upstream.url).read(), kind="error", retryable=True, partial=False)
    assert len(upstream.state()["requests"]) == 3


def test_a_refusing_upstream_is_tried_again_within_the_budget_and_told_as_connect() -> None:
    with refusing() as url:
        answer = Answer(url, retry=RetryPolicy(attempts=100, base=0.02, budget=0.3)).read()
    ends(answer, kind="error", code="connect", retryable=True)
    tries = answer.said.kinds().count("started")
    assert 2 <= tries <= 5  # waits of 0.02, 0.04, 0.08, 0.16; fewer fit where each takes longer
    assert answer.generation.ended_at
    assert answer.generation.ended_at - answer.generation.began <= 0.3 + 5  # not the hours of 100


def test_as_long_as_the_upstream_asks_is_waited_before_the_next_try(upstream: ScriptedUpstream) -> None:
    upstream.script(script.failure(429, retry_after=0.3))
    ends(Answer(upstream.url).read(), kind="done", attempts=2)
    first, second = upstream.state()["requests"]
    assert second["at"] - first["ended_at"] >= 0.3


def test_after_text_it_is_tried_again_once_where_the_asker_wants_that(upstream: ScriptedUpstream) -> None:
    upstream.script(script.cut(["a", "b"]))
    answer = Answer(upstream.url, on_cut="restart").read()
    assert answer.said.kinds() == ["started", "delta", "delta", "started", "delta", "delta", "done"]
    assert answer.said.text() == answer.generation.message.data()["content"] == "Hello world"
    ends(answer, kind="done", attempts=2, seq=4)


def test_after_text_it_is_not_tried_a_third_time(upstream: ScriptedUpstream) -> None:
    upstream.script(default=script.cut(["a"]))
    answer = Answer(upstream.url, on_cut="restart", retry=RetryPolicy(attempts=10, base=0)).read()
    ends(answer, kind="error", code="cut", partial=True)
    assert len(upstream.state()["requests"]) == 2


def test_after_a_restart_that_said_nothing_no_text_is_said_to_be_kept(upstream: ScriptedUpstream) -> None:
    upstream.script(script.cut(["a"]), default=script.failure(500))
    answer = Answer(upstream.url, on_cut="restart").read()
    ends(answer, kind="error", code="upstream_status", partial=False)
    assert answer.said.text() == ""


def test_an_answer_that_was_cut_late_starts_over_all_the_same(upstream: ScriptedUpstream) -> None:
    """Tries and budget are for what comes before the first text."""
    upstream.script(script.cut(["a", "b"]))
    clock = ManualClock()
    answer = Answer(upstream.url, on_cut="restart", clock=clock, retry=RetryPolicy(attempts=1, base=0.0))
    answer.generation.began = clock.now - 900
    ends(answer.read(), kind="done", attempts=2)
    assert answer.said.text() == "Hello world"


def test_deltas_of_a_try_that_was_given_up_do_not_count_for_the_length(upstream: ScriptedUpstream) -> None:
    upstream.script(script.cut(["a"] * 8), script.deltas(["b"] * 8))
    answer = Answer(upstream.url, on_cut="restart", size=Size(deltas=10)).read()
    ends(answer, kind="done", reason="stop", seq=16)


NESTED = '{"a":' * 300 + "1" + "}" * 300


def test_usage_that_can_not_be_passed_on_does_not_cost_the_end(upstream: ScriptedUpstream) -> None:
    told = f'data: {{"choices":[],"usage":{NESTED}}}\n\n'
    upstream.script({"steps": [A, STOP, {"send": told}, LAST]})
    answer = Answer(upstream.url).read()
    ends(answer, kind="done", reason="stop")
    assert answer.end["usage"]["estimated"]


def test_what_breaks_after_the_reason_costs_nothing_of_the_text(upstream: ScriptedUpstream) -> None:
    upstream.script({"steps": [A, STOP, {"send": "data: {nonsense\n\n"}]})
    ends(Answer(upstream.url).read(), kind="done", reason="stop")


@pytest.mark.parametrize(
    ("problem", "code", "retryable"),
    [(Overloaded("full"), "busy", True), (NotFound("deleted"), "interrupted", False)],
)
def test_who_can_not_be_prepared_when_its_turn_comes_hears_whether_to_ask_again(
    upstream: ScriptedUpstream, problem: Problem, code: str, retryable: bool
) -> None:
    def prepare() -> list[dict[str, Any]]:
        raise problem

    answer = Answer(upstream.url)
    answer.generation.in_line, answer.generation.prepare = True, prepare
    answer.worker.queue(answer.generation, 1)
    answer.worker.answer(answer.generation)
    ends(answer, kind="error", code=code, retryable=retryable, message=problem.detail)
    assert answer.said.kinds() == ["queued", "error"]


# --- several upstreams -----------------------------------------------------------------------------------


def several(*urls: str) -> list[Upstream]:
    """Named u0, u1, … with models of their own."""
    return [Upstream(url, name=f"u{i}", model=f"m{i}") for i, url in enumerate(urls)]


def test_where_the_first_upstream_fails_the_next_one_answers_at_once(
    upstream: ScriptedUpstream, another: ScriptedUpstream
) -> None:
    upstream.script(default=script.failure(503, retry_after=20))
    answer = Answer("", upstreams=several(upstream.url, another.url), retry=RetryPolicy(base=20.0)).read()
    ends(answer, kind="done", attempts=2, upstream="u1", model="m1")
    started = [(f["attempt"], f["model"]) for kind, f in answer.said.events if kind == "started"]
    assert started[1] == (2, "m1")
    assert [len(u.state()["requests"]) for u in (upstream, another)] == [1, 1]


def test_where_all_upstreams_fail_they_are_tried_in_turn(
    upstream: ScriptedUpstream, another: ScriptedUpstream
) -> None:
    for each in (upstream, another):
        each.script(default=script.failure(500))
    ends(
        Answer("", upstreams=several(upstream.url, another.url)).read(), kind="error", code="upstream_status"
    )
    assert [len(u.state()["requests"]) for u in (upstream, another)] == [3, 3]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_what_no_other_upstream_should_be_asked_is_told_at_once(
    upstream: ScriptedUpstream, another: ScriptedUpstream, status: int
) -> None:
    upstream.script(default=script.failure(status))
    ends(Answer("", upstreams=several(upstream.url, another.url)).read(), kind="error", retryable=False)
    assert [len(u.state()["requests"]) for u in (upstream, another)] == [1, 0]


def test_an_upstream_that_is_asked_for_by_name_is_the_only_one(
    upstream: ScriptedUpstream, another: ScriptedUpstream
) -> None:
    another.script(default=script.failure(500))
    answer = Answer("", upstreams=several(upstream.url, another.url), upstream="u1").read()
    ends(answer, kind="error")
    assert [len(u.state()["requests"]) for u in (upstream, another)] == [0, 3]


def test_the_model_that_is_asked_for_is_that_of_the_first_upstream(
    upstream: ScriptedUpstream, another: ScriptedUpstream
) -> None:
    upstream.script(script.failure(500), script.failure(500))
    another.script(script.failure(500))
    upstreams = [Upstream(upstream.url, model="m0"), Upstream(another.url)]
    answer = Answer("", upstreams=upstreams, model="big").read()
    ends(answer, kind="done", model="big")
    told = [r["body"]["model"] for u in (upstream, another) for r in u.state()["requests"]]
    assert (set(told[1:]), told[-1]) == ({"big"}, "big")


def test_after_text_another_upstream_starts_over_where_the_asker_wants_that(
    upstream: ScriptedUpstream, another: ScriptedUpstream
) -> None:
    upstream.script(default=script.cut(["a", "b"]))
    answer = Answer("", upstreams=several(upstream.url, another.url), on_cut="restart").read()
    ends(answer, kind="done", upstream="u1", seq=4)
    assert answer.said.text() == "Hello world"


# --- the log ---------------------------------------------------------------------------------------------


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """What the log says of answers that ended."""
    said = [record.getMessage() for record in caplog.records]
    return [json.loads(line.removeprefix("answer ")) for line in said if line.startswith("answer {")]


def test_one_line_of_the_log_says_how_an_answer_went(
    upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    ends(Answer(upstream.url).read(), kind="done")
    (line,) = lines(caplog)
    timing, usage = line.pop("timing"), line.pop("usage")
    assert timing["total_ms"] >= timing["first_token_ms"] > 0
    assert usage == script.USAGE
    assert line == {
        "id": "g",
        "client": "c",
        "end": "done",
        "reason": "stop",
        "attempts": 1,
        "upstream": "up",
        "model": "m",
        "waited_ms": 0.0,
        "deltas": 2,
        "bytes": line["bytes"],
    }


def test_an_error_has_its_line_and_its_measures_too(
    upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    upstream.script(script.cut(["a", "b"]))
    ends(Answer(upstream.url).read(), kind="error")
    (line,) = lines(caplog)
    assert (line["end"], line["reason"], line["deltas"]) == ("error", "cut", 2)
    assert line["usage"] == {**line["usage"], "completion_tokens": 2, "estimated": True}


def test_an_upstream_can_write_no_line_of_its_own_into_the_log(
    upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    upstream.script({"steps": [{"delta": "a"}, {"finish": "stop\nanswer {}"}, {"done": True}]})
    ends(Answer(upstream.url).read(), reason="stop\nanswer {}")
    assert "\n" not in caplog.records[-1].getMessage()


# --- stopping --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("why", ["stopped", "left"])
def test_a_stop_is_a_good_end_that_keeps_the_text(upstream: ScriptedUpstream, why: str) -> None:
    upstream.script(script.cut(["a"], how="hang"))
    answer = Answer(upstream.url)
    reading = answer.in_a_thread()
    eventually(lambda: answer.said.text() == "a")
    answer.generation.stop(why)
    reading.result()
    ends(answer, kind="done", reason=why)
    assert answer.generation.message.data() == {"content": "a"}


def test_an_interruption_is_an_error_worth_a_retry(upstream: ScriptedUpstream) -> None:
    upstream.script(script.cut(["a"], how="hang"))
    answer = Answer(upstream.url)
    reading = answer.in_a_thread()
    eventually(lambda: answer.said.text() == "a")
    answer.generation.stop("interrupted")
    reading.result()
    ends(answer, kind="error", code="interrupted", retryable=True, partial=True)


def test_a_stop_cuts_the_wait_for_the_next_try_short(upstream: ScriptedUpstream) -> None:
    def seconds() -> float:
        upstream.reset()
        upstream.script(default=script.failure(503, retry_after=20))
        answer = Answer(upstream.url)
        reading = answer.in_a_thread()
        eventually(lambda: [r for r in upstream.state()["requests"] if r["ended"]])
        at = time.monotonic()
        answer.generation.stop("stopped")
        reading.result()
        ends(answer, kind="done", reason="stopped", seq=0)
        assert len(upstream.state()["requests"]) == 1
        return reading.ended_at - at

    promptly(seconds)


class StoppedAt(Generation):
    """A generation whose stop is seen from the n-th look on: every place where a stop may come in between."""

    unseen = 0

    @property
    def stopping(self) -> str:
        self.unseen -= 1
        return "stopped" if self.unseen < 0 else ""

    @stopping.setter
    def stopping(self, why: str) -> None:
        pass


@pytest.mark.parametrize("look", range(12))
def test_wherever_a_stop_comes_in_between_there_is_one_end(look: int) -> None:
    with refusing() as url:
        answer = Answer(url, cls=StoppedAt, retry=RetryPolicy(attempts=2, base=0))
        answer.generation.unseen = look
        answer.read()
    assert answer.end["kind"] in ("done", "error")


@pytest.mark.parametrize("look", range(12))
def test_wherever_a_stop_comes_in_between_texts_there_is_one_end(
    upstream: ScriptedUpstream, look: int
) -> None:
    upstream.script(script.cut(["a", "b", "c"]))
    answer = Answer(upstream.url, cls=StoppedAt, on_cut="restart")
    answer.generation.unseen = look
    answer.read()
    assert answer.end["kind"] in ("done", "error")


def test_an_answer_ended_from_elsewhere_says_nothing_more(upstream: ScriptedUpstream) -> None:
    upstream.script(script.deltas(["a", "b"], before_head=0.1))
    answer = Answer(upstream.url)
    reading = answer.in_a_thread()
    eventually(lambda: upstream.state()["requests"])
    answer.generation.stop("stopped")
    answer.worker.stopped(answer.generation)
    reading.result()
    assert answer.said.kinds() == ["started", "done"]


# --- keeping and telling ---------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [script.deltas(["a"]), script.cut(["a"])], ids=["done", "error"])
def test_an_answer_is_kept_right_before_its_end_is_told(upstream: ScriptedUpstream, last: Json) -> None:
    """Who reads `done` and reloads must find it stored."""
    kept: list[tuple[Generation, list[str]]] = []
    upstream.script(last)
    said = Listener()
    answer = Answer(upstream.url, said=said, keep=lambda generation: kept.append((generation, said.kinds())))
    answer.read()
    assert kept == [(answer.generation, ["started", "delta"])]
    assert kept[0][0].state in ("done", "error")


def test_an_answer_that_can_not_be_kept_still_ends(
    upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(generation: Generation) -> None:
        raise OSError("the disk is full")

    ends(Answer(upstream.url, keep=fail).read(), kind="done")
    assert "the disk is full" in caplog.text


class Refusing(Listener):
    """Takes no text."""

    def __call__(self, client_id: str, kind: str, fields: dict[str, Any]) -> str:
        if kind == "delta":
            raise ValueError("no room")
        return super().__call__(client_id, kind, fields)


def test_a_failure_of_ours_ends_the_answer_as_interrupted_and_is_logged(
    upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    answer = Answer(upstream.url, said=Refusing()).read()
    (end,) = answer.said.terminals()
    assert (end[0], end[1]["code"]) == ("error", "interrupted")
    assert "no room" in caplog.text
    eventually(lambda: upstream.state()["open"] == 0)


def test_the_last_event_id_is_that_of_the_last_event_told(upstream: ScriptedUpstream) -> None:
    answer = Answer(upstream.url).read()
    assert answer.generation.last_event_id == f"e.{len(answer.said.events)}"


class Mute(Listener):
    """A mailbox that takes no more of this generation."""

    def __call__(self, client_id: str, kind: str, fields: dict[str, Any]) -> Any:
        cursor = super().__call__(client_id, kind, fields)
        return cursor if kind == "started" else None


def test_an_event_that_was_not_taken_leaves_the_last_event_id_alone(upstream: ScriptedUpstream) -> None:
    assert Answer(upstream.url, said=Mute()).read().generation.last_event_id == "e.1"


def test_the_log_tells_of_the_answer_and_none_of_its_words(
    upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    upstream.script(script.failure(503), script.deltas(["confi", "dential"]))
    Answer(upstream.url).read()
    assert "try 1 failed" in caplog.text
    assert 'answer {"id":"g","client":"c","end":"done","reason":"stop"' in caplog.text
    assert not any(word in caplog.text for word in ("confi", "dential", "'hi'"))


def test_many_answers_at_once_do_not_mix(upstream: ScriptedUpstream) -> None:
    upstream.script(*[script.counted(20, gap=0.002, text=f"{i}-{{i}} ") for i in range(20)])
    together = threading.Barrier(20)
    answers = [Answer(upstream.url) for _ in range(20)]
    for reading in [Beside(lambda a=a: (together.wait(5), a.read())) for a in answers]:
        reading.result(20)
    for answer in answers:
        ends(answer, kind="done", seq=20)
    whole = {"".join(f"{i}-{n} " for n in range(20)) for i in range(20)}
    assert {answer.said.text() for answer in answers} == whole
