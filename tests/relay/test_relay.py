"""relay: one answer for one question however often it is asked, stopped when told, watched while it runs."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from app.errors import Conflict, Invalid, NotFound, Overloaded, Problem, TooMany
from app.relay import relay as module
from app.relay import watch
from app.relay.clocks import Allowed
from app.relay.generation import Generation
from app.relay.places import Bounds
from app.relay.relay import Relay
from app.relay.retry import RetryPolicy
from app.relay.upstream import Upstream
from app.relay.watch import Leaving
from app.relay.worker import Worker
from tests.relay import (
    Beside,
    HeldLookup,
    Listener,
    ManualClock,
    make_generation,
    make_question,
    promptly,
)
from tests.rig import script
from tests.rig.reading import eventually
from tests.rig.script import Json
from tests.rig.upstream import ScriptedUpstream

HANGING = script.cut(["a"], how="hang")
LONG = Allowed(first=10_000, content=10_000, bytes=10_000, total=100_000)
MESSAGES = [{"role": "user", "content": "hi"}]


class House:
    """A relay and all it needs; `said` is what clients were told."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic, **options: Any) -> None:
        self.said: Listener = options.pop("said", None) or Listener()
        retry = RetryPolicy(base=0.0)
        upstreams = [Upstream(url, kept=0)]  # or somebody would go on looking at what is kept
        self.relay = Relay(Worker(upstreams, self.said, retry=retry, clock=clock), **options)

    def ask(self, generation_id: str = "g", **question: Any) -> Generation:
        generation, _ = self.relay.start(make_question(generation_id, **question), lambda: MESSAGES)
        return generation

    def hang(self, generation_id: str = "g", **question: Any) -> Generation:
        """Asks an upstream that says a word and hangs; returns after the word."""
        question.setdefault("conversation_id", f"talk of {generation_id}")
        generation = self.ask(generation_id, **question)
        eventually(lambda: generation.seq == 1)
        return generation

    def wait(self, generation_id: str, **question: Any) -> Generation:
        """Asks where there is no place; returns the generation in line."""
        question.setdefault("conversation_id", f"talk of {generation_id}")
        generation = self.ask(generation_id, **question)
        assert (generation.state, self.said.of(generation_id)[0][0]) == ("queued", "queued")
        return generation

    def places(self, generation_id: str) -> list[int]:
        """All the places in line that it was told."""
        said = self.said.of(generation_id)
        return [fields["position"] for kind, fields in said if kind == "queued"]


@pytest.fixture(autouse=True)
def a_watch_that_looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread ends with the look after the last answer: each test would wait for that."""
    monkeypatch.setattr(watch, "PERIOD", 0.01)
    monkeypatch.setattr(watch, "SLOW_PERIOD", 0.0)


@pytest.fixture
def hanging(upstream: ScriptedUpstream) -> ScriptedUpstream:
    upstream.script(default=HANGING)
    return upstream


def ended(generation: Generation) -> dict[str, Any]:
    """Its view, once it has ended."""
    assert generation.ended.wait(5)
    return generation.view(ended=True)


def idle(house: House) -> bool:
    """Waits until nothing runs and nobody watches."""
    return bool(eventually(lambda: not house.relay.count() and not watchers()))


def watchers() -> int:
    return sum(thread.name == "_look" for thread in threading.enumerate())


def never_called() -> Any:
    raise AssertionError("prepared twice")


# --- starting --------------------------------------------------------------------------------------------


def test_an_answer_runs_from_its_question_to_its_end(upstream: ScriptedUpstream) -> None:
    house = House(upstream.url)
    generation, new = house.relay.start(make_question(model="big"), lambda: MESSAGES)
    assert new
    view = ended(generation)
    assert (view["state"], view["reason"], view["data"]) == ("done", "stop", {"content": "Hello world"})
    assert house.said.kinds() == ["started", "delta", "delta", "done"]
    body = upstream.state()["requests"][0]["body"]
    assert (body["messages"], body["model"]) == (MESSAGES, "big")


def test_started_is_told_before_start_returns() -> None:
    house = House("", spawn=lambda target, *args: None)
    house.ask()
    assert house.said.kinds() == ["started"]


def test_the_same_question_again_is_the_same_answer(hanging: ScriptedUpstream) -> None:
    house = House(hanging.url)
    generation = house.hang(fingerprint="f")
    assert house.relay.start(make_question(fingerprint="f"), never_called) == (generation, False)
    house.relay.stop("g")
    assert house.relay.start(make_question(fingerprint="f"), never_called) == (generation, False)
    assert len(hanging.state()["requests"]) == 1


def test_the_same_question_at_the_same_instant_is_asked_once(upstream: ScriptedUpstream) -> None:
    house = House(upstream.url)
    together = threading.Barrier(20)
    prepared: list[int] = []

    def prepare() -> list[dict[str, Any]]:
        prepared.append(1)
        return MESSAGES

    def ask() -> tuple[Generation, bool]:
        together.wait(5)
        return house.relay.start(make_question(), prepare)

    answers = [asker.result() for asker in [Beside(ask) for _ in range(20)]]
    assert {id(generation) for generation, _ in answers} == {id(answers[0][0])}
    assert sum(new for _, new in answers) == 1
    ended(answers[0][0])
    assert len(prepared) == 1
    assert house.said.kinds().count("started") == 1
    assert len(upstream.state()["requests"]) == 1


class Held:
    """A `prepare` that waits to be let go."""

    def __init__(self, error: Problem | None = None) -> None:
        self.called, self.go, self._error = threading.Event(), threading.Event(), error

    def __call__(self) -> list[dict[str, Any]]:
        self.called.set()
        assert self.go.wait(5)
        if self._error:
            raise self._error
        return MESSAGES


def test_who_asks_the_same_while_it_is_prepared_learns_of_it_when_it_has_started(
    upstream: ScriptedUpstream,
) -> None:
    house, prepare = House(upstream.url), Held()
    first = Beside(house.relay.start, make_question(), prepare)
    assert prepare.called.wait(5)
    second = Beside(lambda: (house.relay.start(make_question(), never_called), house.said.kinds()))
    second.join(0.1)
    prepare.go.set()
    generation, _ = first.result()
    (same, new), kinds = second.result()
    ended(generation)
    assert (same, new) == (generation, False)
    assert kinds[:1] == ["started"]


def test_who_asks_the_same_while_it_is_prepared_is_given_no_answer_that_never_was(
    upstream: ScriptedUpstream,
) -> None:
    house, prepare = House(upstream.url), Held(NotFound("no such conversation"))
    first = Beside(house.relay.start, make_question(), prepare)
    assert prepare.called.wait(5)
    second = Beside(house.ask)
    second.join(0.1)
    prepare.go.set()
    with pytest.raises(NotFound):
        first.result()
    generation = second.result()
    assert house.relay.get("g") is generation
    assert ended(generation)["state"] == "done"


def test_another_question_by_the_same_id_is_a_conflict(upstream: ScriptedUpstream) -> None:
    house = House(upstream.url)
    generation = house.ask(fingerprint="f")
    for _ in range(2):
        with pytest.raises(Conflict) as error:
            house.ask(fingerprint="other")
        assert error.value.field == "generationId"
        ended(generation)


def test_a_second_question_in_a_conversation_is_told_that_it_is_busy(hanging: ScriptedUpstream) -> None:
    house = House(hanging.url)
    house.hang("g", conversation_id="talk")
    with pytest.raises(Conflict) as error:
        house.ask("h", conversation_id="talk")
    assert (error.value.code, error.value.field) == ("busy", "conversationId")
    house.relay.stop("g")
    house.hang("h", conversation_id="talk")
    house.relay.stop("h")


def test_a_second_question_may_interrupt_the_first(hanging: ScriptedUpstream) -> None:
    house = House(hanging.url)
    first = house.hang("g", conversation_id="talk")
    second = house.hang("h", conversation_id="talk", on_busy="interrupt")
    assert (first.view(ended=True)["reason"], second.state) == ("stopped", "running")
    assert [kind for kind, _ in house.said.of("g")] == ["started", "delta", "done"]
    assert house.said.kinds().index("done") < house.said.events.index(house.said.of("h")[0])
    house.relay.stop("h")


def test_of_many_who_interrupt_each_other_all_end_and_one_runs(hanging: ScriptedUpstream) -> None:
    house = House(hanging.url, bounds=Bounds(client=100))
    together = threading.Barrier(8)

    def ask(i: int) -> Generation:
        together.wait(5)
        return house.ask(f"g{i}", on_busy="interrupt")

    generations = [asker.result() for asker in [Beside(ask, i) for i in range(8)]]
    (running,) = house.relay.running("c", "talk")
    house.relay.stop(running)
    for generation in generations:
        ended(generation)
        assert [kind for kind, _ in house.said.of(generation.id)].count("done") == 1


# --- room ------------------------------------------------------------------------------------------------


def test_a_client_has_so_many_answers_at_once_and_the_next_one_waits(hanging: ScriptedUpstream) -> None:
    house = House(hanging.url, bounds=Bounds(client=2))
    house.hang("g1")
    house.hang("g2")
    third = house.wait("g3")
    house.hang("h1", client_id="another")
    assert len(hanging.state()["requests"]) == 3
    house.relay.stop("g1")
    eventually(lambda: third.seq == 1)
    assert [kind for kind, _ in house.said.of("g3")] == ["queued", "started", "delta"]
    house.relay.interrupt()


def test_so_many_ids_are_remembered_and_then_no_new_one_is_taken(upstream: ScriptedUpstream) -> None:
    clock = ManualClock()
    house = House(upstream.url, clock, bounds=Bounds(known=1))
    ended(house.ask("g1"))
    idle(house)
    with pytest.raises(Overloaded):
        house.ask("g2")
    assert not house.relay.start(make_question("g1"), never_called)[1]
    clock.advance(601)
    assert ended(house.ask("g2"))["state"] == "done"


def test_a_worker_has_so_many_answers_at_once_and_the_next_one_waits(hanging: ScriptedUpstream) -> None:
    house = House(hanging.url, bounds=Bounds(worker=2))
    house.hang("g1", client_id="c1")
    house.hang("g2", client_id="c2")
    third = house.wait("g3", client_id="c3")
    house.relay.stop("g1")
    eventually(lambda: third.seq == 1)
    house.relay.interrupt()


# Whose second question it is, and what it is told where the line has one place.
FULL = {"the same client's": ("c", TooMany, 429, "busy"), "another's": ("d", Overloaded, 503, "overloaded")}


@pytest.mark.parametrize(("client", "kind", "status", "code"), FULL.values(), ids=FULL)
def test_a_full_line_turns_the_next_one_away_without_a_trace(
    hanging: ScriptedUpstream, client: str, kind: type[Problem], status: int, code: str
) -> None:
    house = House(hanging.url, bounds=Bounds(worker=1, waiting=1))
    house.hang("g1")
    house.wait("g2")
    with pytest.raises(kind) as error:
        house.relay.start(make_question("g3", client_id=client, conversation_id="other"), never_called)
    assert (error.value.status, error.value.code, error.value.retry_after) == (status, code, 5)
    with pytest.raises(NotFound):
        house.relay.get("g3")
    assert (house.said.of("g3"), house.relay.count()) == ([], 2)
    house.relay.interrupt()


# --- the line --------------------------------------------------------------------------------------------


def test_who_waits_is_told_its_place_and_when_that_changes(hanging: ScriptedUpstream) -> None:
    house = House(hanging.url, bounds=Bounds(worker=1))
    house.hang("g1", client_id="c1")
    waiting = [house.wait(f"g{i}", client_id=f"c{i}") for i in (2, 3, 4)]
    assert [generation.view(ended=False)["position"] for generation in waiting] == [1, 2, 3]
    house.relay.stop("g2")
    eventually(lambda: house.places("g4") == [3, 2])
    assert (house.places("g3"), waiting[1].view(ended=False)["position"]) == ([2, 1], 1)
    house.relay.interrupt()


def test_a_question_may_wait_for_the_answer_before_it_and_is_told_with_that(
    hanging: ScriptedUpstream,
) -> None:
    house, kept = House(hanging.url), threading.Event()
    house.hang("g", conversation_id="talk")
    second = make_question("h", conversation_id="talk", on_busy="queue")

    def prepare() -> list[dict[str, Any]]:
        assert [kind for kind, _ in house.said.of("g")][-1] == "done"
        kept.set()
        return MESSAGES

    generation, _ = house.relay.start(second, prepare)
    assert (generation.state, kept.is_set()) == ("queued", False)
    assert house.relay.running("c", "talk") == ["g", "h"]
    house.relay.stop("g")
    eventually(lambda: generation.seq == 1)
    assert kept.is_set()
    house.relay.stop("h")


def test_who_can_no_longer_be_prepared_when_its_turn_comes_ends_with_the_reason(
    hanging: ScriptedUpstream,
) -> None:
    house = House(hanging.url)
    house.hang("g", conversation_id="talk")

    def deleted() -> list[dict[str, Any]]:
        raise NotFound("No such conversation of this client")

    question = make_question("h", conversation_id="talk", on_busy="queue")
    generation, _ = house.relay.start(question, deleted)
    third, _ = house.relay.start(
        make_question("i", conversation_id="talk", on_busy="queue"), lambda: MESSAGES
    )
    house.relay.stop("g")
    view = ended(generation)
    assert (view["code"], view["message"]) == ("interrupted", "No such conversation of this client")
    assert not view["retryable"]
    eventually(lambda: third.seq == 1)
    house.relay.interrupt()


def test_a_question_that_waits_is_known_by_its_id(hanging: ScriptedUpstream) -> None:
    house = House(hanging.url, bounds=Bounds(client=1))
    house.hang("g1")
    waiting = house.wait("g2", fingerprint="f")
    question = make_question("g2", conversation_id="talk of g2", fingerprint="f")
    assert house.relay.start(question, never_called) == (waiting, False)
    assert [kind for kind, _ in house.said.of("g2")] == ["queued"]
    house.relay.interrupt()


def test_a_stop_takes_a_question_out_of_the_line_and_asks_nobody(hanging: ScriptedUpstream) -> None:
    house = House(hanging.url, bounds=Bounds(client=1))
    house.hang("g1")
    house.wait("g2")
    view = house.relay.stop("g2").view(ended=True)
    assert (view["state"], view["reason"], view["data"]) == ("done", "stopped", {"content": ""})
    assert view["usage"]["completion_tokens"] == 0
    house.relay.stop("g1")
    idle(house)
    assert len(hanging.state()["requests"]) == 1
    assert [kind for kind, _ in house.said.of("g2")] == ["queued", "done"]


def test_who_is_out_of_the_line_makes_way_for_the_next_of_its_conversation(hanging: ScriptedUpstream) -> None:
    house = House(hanging.url)
    house.hang("g1", conversation_id="talk")
    for name in ("g2", "g3"):
        house.wait(name, conversation_id="talk", on_busy="queue")
    house.relay.stop("g2")
    house.relay.stop("g1")
    eventually(lambda: house.relay.get("g3").seq == 1)
    house.relay.interrupt()


def test_a_question_may_interrupt_all_that_run_and_wait_in_its_conversation(
    hanging: ScriptedUpstream,
) -> None:
    house = House(hanging.url)
    first = house.hang("g1", conversation_id="talk")
    second = house.wait("g2", conversation_id="talk", on_busy="queue")
    third = house.hang("g3", conversation_id="talk", on_busy="interrupt")
    assert [g.view(ended=True).get("reason") for g in (first, second, third)] == ["stopped", "stopped", None]
    house.relay.stop("g3")


def test_who_waits_too_long_ends_as_busy(hanging: ScriptedUpstream) -> None:
    clock = ManualClock()
    house = House(hanging.url, clock, bounds=Bounds(worker=1), allowed=LONG)
    house.hang("g1")
    waiting = house.wait("g2")
    clock.advance(301)
    view = ended(waiting)
    assert (view["state"], view["code"], view["retryable"], view["partial"]) == ("error", "busy", True, False)
    house.relay.interrupt()


def test_the_clocks_of_an_answer_begin_with_its_turn(hanging: ScriptedUpstream) -> None:
    clock = ManualClock()
    allowed = Allowed(first=50, content=10_000, bytes=10_000, total=60)
    house = House(hanging.url, clock, bounds=Bounds(client=1), allowed=allowed)
    house.relay.start(make_question("g1"), lambda: MESSAGES)
    waiting = house.wait("g2")
    eventually(lambda: house.relay.get("g1").seq == 1)
    clock.advance(59)
    house.relay.stop("g1")
    eventually(lambda: waiting.seq == 1)
    clock.advance(49)
    assert waiting.clocks.rang(clock()) == ""
    house.relay.stop("g2")
    timing = waiting.view(ended=True)["timing"]
    assert (timing["first_token_ms"], timing["total_ms"], waiting.waited) == (59_000, 108_000, 59)


def test_a_closing_relay_ends_those_who_wait_and_none_that_run(hanging: ScriptedUpstream) -> None:
    house = House(hanging.url, bounds=Bounds(client=1))
    running = house.hang("g1")
    waiting = house.wait("g2")
    house.relay.close()
    assert (running.state, ended(waiting)["code"]) == ("running", "interrupted")
    house.relay.interrupt()


def test_where_no_thread_can_be_had_for_those_whose_turn_it_is_they_end_as_busy(
    hanging: ScriptedUpstream,
) -> None:
    full = threading.Event()

    def spawn(target: Callable[..., None], *args: Any) -> None:
        if full.is_set():
            raise RuntimeError("can't start new thread")
        watch.thread(target, *args)

    house = House(hanging.url, bounds=Bounds(worker=1), spawn=spawn)
    house.hang("g0", client_id="c0")
    waiting = [house.wait(f"g{i}", client_id=f"c{i}") for i in range(1, 100)]
    full.set()
    house.relay.stop("g0")
    assert {ended(generation)["code"] for generation in waiting} == {"busy"}
    idle(house)


def test_stops_that_race_with_turns_leave_one_end_and_no_place_taken(upstream: ScriptedUpstream) -> None:
    upstream.script(default=script.deltas(["a"]))
    house = House(upstream.url, bounds=Bounds(worker=2, waiting=2_000))
    asked = [house.ask(f"g{i}", client_id=f"c{i % 9}", conversation_id=f"t{i}") for i in range(60)]
    stops = [Beside(house.relay.stop, generation.id) for generation in asked[1::2]]
    for stop in stops:
        stop.result()
    for generation in asked:
        ended(generation)
        assert len([k for k, _ in house.said.of(generation.id) if k in ("done", "error")]) == 1
    idle(house)


def test_an_answer_that_hangs_in_a_look_up_keeps_nobody_in_line_once_it_was_stopped(
    hanging: ScriptedUpstream, lookup: HeldLookup
) -> None:
    there = Upstream(hanging.url, name="there")
    lost = Upstream(f"http://{lookup.NAME}:{hanging.port}/v1", name="lost")
    said = Listener()
    relay = Relay(Worker([there, lost], said), bounds=Bounds(client=1))
    relay.start(make_question("g1", upstream="lost"), lambda: MESSAGES)
    assert lookup.asked.wait(5)
    second, _ = relay.start(make_question("g2", conversation_id="other", upstream="there"), lambda: MESSAGES)
    assert second.state == "queued"
    relay.stop("g1")
    eventually(lambda: second.seq == 1)
    lookup.let_go()
    relay.interrupt()
    eventually(lambda: not relay.count() and not watchers())


def test_an_answer_takes_its_place_until_it_is_kept(hanging: ScriptedUpstream) -> None:
    """Else the next question of its conversation would be asked without it."""
    keeping, go = threading.Event(), threading.Event()

    def keep(generation: Generation) -> None:
        keeping.set()
        assert go.wait(5)

    relay = Relay(Worker([Upstream(hanging.url)], Listener(), keep))
    first, _ = relay.start(make_question("g1"), lambda: MESSAGES)
    eventually(lambda: first.seq == 1)
    stopping = Beside(relay.stop, "g1")
    assert keeping.wait(5)
    with pytest.raises(Conflict):
        relay.start(make_question("g2"), never_called)
    go.set()
    stopping.result()
    eventually(lambda: not relay.count() and not watchers())


def test_nobody_in_line_ends_before_its_wait_was_told(hanging: ScriptedUpstream) -> None:
    clock = ManualClock()
    house, prepare = House(hanging.url, clock, bounds=Bounds(worker=1), allowed=LONG), Held()
    house.hang("g1")
    asking = Beside(house.relay.start, make_question("g2", conversation_id="other"), prepare)
    assert prepare.called.wait(5)
    clock.advance(301)
    asking.join(0.1)  # looks in which its end must not come
    prepare.go.set()
    generation, _ = asking.result()
    assert ended(generation)["code"] == "busy"
    assert [kind for kind, _ in house.said.of("g2")] == ["queued", "error"]
    house.relay.interrupt()


@pytest.mark.parametrize("error", [MemoryError(), KeyboardInterrupt()])
def test_whatever_keeps_a_thread_from_being_had_gives_the_place_back(
    upstream: ScriptedUpstream, error: BaseException
) -> None:
    def spawn(target: Callable[..., None], *args: Any) -> None:
        if target.__name__ == "_answer":
            raise error
        watch.thread(target, *args)

    house = House(upstream.url, spawn=spawn)
    with pytest.raises(type(error)):
        house.ask()
    assert house.relay.count() == 0
    with pytest.raises(NotFound):
        house.relay.stop("g")
    idle(house)


def test_a_question_that_finds_no_room_interrupts_nobody(hanging: ScriptedUpstream) -> None:
    house = House(hanging.url, bounds=Bounds(known=1))
    first = house.hang("g", conversation_id="talk")
    with pytest.raises(Overloaded):
        house.ask("h", conversation_id="talk", on_busy="interrupt")
    assert first.state == "running"
    house.relay.stop("g")


def test_an_upstream_that_is_not_there_is_told_by_name(upstream: ScriptedUpstream) -> None:
    house = House(upstream.url)
    with pytest.raises(Invalid) as error:
        house.ask(upstream="nobody")
    assert (error.value.field, house.relay.count()) == ("upstream", 0)


def test_a_closed_relay_takes_no_new_answers_and_ends_none(hanging: ScriptedUpstream) -> None:
    house = House(hanging.url)
    generation = house.hang("g")
    house.relay.close()
    with pytest.raises(Overloaded):
        house.hang("h")
    assert house.relay.start(generation.question, never_called) == (generation, False)
    assert generation.state == "running"
    house.relay.stop("g")


@pytest.mark.parametrize(
    "error", [NotFound("no such conversation"), RuntimeError("a bug"), KeyboardInterrupt()]
)
def test_what_fails_while_it_is_prepared_gives_its_place_back(
    upstream: ScriptedUpstream, error: BaseException
) -> None:
    def fail() -> list[dict[str, Any]]:
        raise error

    house = House(upstream.url, bounds=Bounds(client=1))
    with pytest.raises(type(error)):
        house.relay.start(make_question(), fail)
    assert (house.relay.count(), house.said.kinds()) == (0, [])
    assert ended(house.ask())["state"] == "done"


class NoRoom(Listener):
    """A hub that has no room for this client."""

    full = True

    def __call__(self, client_id: str, kind: str, fields: dict[str, Any]) -> str:
        if self.full:
            raise Overloaded("no room")
        return super().__call__(client_id, kind, fields)


def test_a_start_that_could_not_be_told_gives_its_place_back(upstream: ScriptedUpstream) -> None:
    said = NoRoom()
    house = House(upstream.url, said=said)
    with pytest.raises(Overloaded):
        house.ask()
    assert house.relay.count() == 0
    said.full = False
    assert ended(house.ask())["state"] == "done"


@pytest.mark.parametrize("which", ["_look", "_answer"])
def test_where_no_thread_can_be_had_the_answer_ends_and_gives_its_place_back(
    upstream: ScriptedUpstream, which: str
) -> None:
    """A start that was told must end as well, or the page and the conversation hang for ever."""
    full = True

    def spawn(target: Callable[..., None], *args: Any) -> None:
        if full and target.__name__ == which:
            raise RuntimeError("can't start new thread")
        Beside(target, *args)

    house = House(upstream.url, spawn=spawn)
    with contextlib.suppress(Overloaded, RuntimeError):
        house.ask()
    assert house.relay.count() == 0
    assert len(house.said.terminals()) == house.said.kinds().count("started")
    full = False
    assert ended(house.ask("h"))["state"] == "done"


# --- asking about it -------------------------------------------------------------------------------------


def test_an_answer_that_nobody_asked_for_is_not_found(upstream: ScriptedUpstream) -> None:
    house = House(upstream.url)
    for call in (house.relay.get, house.relay.stop):
        with pytest.raises(NotFound) as error:
            call("unknown")
        assert error.value.field == "generationId"


def test_what_runs_in_a_conversation_is_told_while_it_runs(hanging: ScriptedUpstream) -> None:
    house = House(hanging.url)
    house.hang("g", conversation_id="talk")
    house.hang("h", conversation_id="other")
    assert house.relay.running("c", "talk") == ["g"]
    assert house.relay.count() == 2
    assert "2 running, 0 waiting, 2 known" in repr(house.relay)
    house.relay.interrupt()
    assert house.relay.running("c", "talk") == []


@pytest.mark.parametrize("name", ["get", "stop"])
def test_after_ten_minutes_an_ended_answer_is_forgotten(upstream: ScriptedUpstream, name: str) -> None:
    clock = ManualClock()
    house = House(upstream.url, clock)
    first = house.ask(fingerprint="f")
    idle(house)
    clock.advance(599)
    assert house.relay.get("g") is first
    clock.advance(2)
    with pytest.raises(NotFound):
        getattr(house.relay, name)("g")
    assert "0 known" in repr(house.relay)
    assert ended(house.ask(fingerprint="other"))["state"] == "done"


def test_a_running_answer_is_not_forgotten_however_long_it_runs(hanging: ScriptedUpstream) -> None:
    clock = ManualClock()
    house = House(hanging.url, clock, allowed=Allowed(10_000, 10_000, 10_000, 10_000))
    generation = house.hang("g")
    clock.advance(1000)
    house.hang("h")
    assert house.relay.get("g") is generation
    house.relay.interrupt()


# --- stopping --------------------------------------------------------------------------------------------


def test_a_stop_freezes_the_text_and_closes_the_upstream_at_once(upstream: ScriptedUpstream) -> None:
    def seconds() -> float:
        upstream.reset()
        upstream.script(script.counted(10_000, gap=0.002))
        house = House(upstream.url)
        generation = house.ask()
        eventually(lambda: generation.seq >= 5)
        at = time.monotonic()
        assert house.relay.stop("g") is generation
        frozen, told = generation.view(ended=True), list(house.said.events)
        assert (frozen["state"], frozen["reason"]) == ("done", "stopped")
        (asked,) = eventually(lambda: [r for r in upstream.state()["requests"] if r["ended"]])
        idle(house)
        assert (generation.view(ended=True), house.said.events) == (frozen, told)
        assert frozen["data"]["content"] == house.said.text()
        assert house.said.end()[1]["seq"] == frozen["seq"]
        return float(asked["ended_at"]) - at

    promptly(seconds)


def test_a_second_stop_changes_nothing(hanging: ScriptedUpstream) -> None:
    house = House(hanging.url)
    house.hang("g")
    first = house.relay.stop("g").view(ended=True)
    assert house.relay.stop("g").view(ended=True) == first
    assert len(house.said.terminals()) == 1


def test_a_stop_after_the_end_changes_nothing(upstream: ScriptedUpstream) -> None:
    house = House(upstream.url)
    before = ended(house.ask())
    assert house.relay.stop("g").view(ended=True) == before
    assert before["reason"] == "stop"


def test_of_many_stops_at_once_one_ends_it(hanging: ScriptedUpstream) -> None:
    house = House(hanging.url)
    house.hang("g")
    together = threading.Barrier(10)
    stops = [Beside(lambda: (together.wait(5), house.relay.stop("g").state)[1]) for _ in range(10)]
    assert {stop.result() for stop in stops} == {"done"}
    assert house.said.end()[1]["reason"] == "stopped"


def test_stops_that_race_with_the_end_leave_one_end(upstream: ScriptedUpstream) -> None:
    upstream.script(default=script.deltas(["a", "b"]))
    house = House(upstream.url, bounds=Bounds(client=100))
    for i in range(50):
        generation = house.ask(f"g{i}", conversation_id=f"talk {i}")
        if i % 2:
            eventually(lambda g=generation: g.seq, every=0.0005)
        house.relay.stop(generation.id)
        assert [kind for kind, _ in house.said.of(generation.id)][-1] == "done"
        assert [kind for kind, _ in house.said.of(generation.id)].count("done") == 1


def test_a_stop_during_a_look_up_ends_the_answer_though_the_look_up_goes_on(
    upstream: ScriptedUpstream, lookup: HeldLookup
) -> None:
    house = House(f"http://{lookup.NAME}:{upstream.port}/v1")
    house.ask()
    assert lookup.asked.wait(5)
    began = time.monotonic()
    view = house.relay.stop("g").view(ended=True)
    assert time.monotonic() - began < module.STOP_PATIENCE + 5
    assert (view["state"], view["reason"]) == ("done", "stopped")
    assert house.said.kinds() == ["started", "done"]
    house.ask("h", conversation_id="talk")  # the conversation is free again
    lookup.let_go()
    house.relay.stop("h")
    idle(house)
    assert [kind for kind, _ in house.said.of("g")] == ["started", "done"]
    assert len(upstream.state()["requests"]) <= 1


@pytest.mark.parametrize(("end", "told"), [("stop", "done"), ("interrupt", "error")])
def test_an_end_while_it_is_prepared_is_told_after_its_start(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, end: str, told: str
) -> None:
    monkeypatch.setattr(module, "STOP_PATIENCE", 0.05)
    house, prepare = House(upstream.url), Held()
    asking = Beside(house.relay.start, make_question(), prepare)
    assert prepare.called.wait(5)
    ending = Beside(house.relay.interrupt) if end == "interrupt" else Beside(house.relay.stop, "g")
    ending.join(0.2)
    prepare.go.set()
    asking.result()
    ending.result()
    idle(house)
    assert house.said.kinds() == ["started", told]


def test_who_interrupts_an_answer_that_then_can_not_be_prepared_hears_nothing_of_it(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STOP_PATIENCE", 0.05)
    house, prepare = House(upstream.url), Held(NotFound("no such conversation"))
    first = Beside(house.relay.start, make_question("g"), prepare)
    assert prepare.called.wait(5)
    second = Beside(lambda: house.ask("h", on_busy="interrupt"))
    second.join(0.2)
    prepare.go.set()
    with pytest.raises(NotFound):
        first.result()
    assert ended(second.result())["reason"] == "stop"
    assert house.said.of("g") == []


# --- when the process ends -------------------------------------------------------------------------------


def test_an_interruption_ends_all_answers_and_says_why(hanging: ScriptedUpstream) -> None:
    house = House(hanging.url)
    generations = [house.hang(f"g{i}") for i in range(3)]
    house.relay.interrupt()
    for generation in generations:
        view = generation.view(ended=True)
        assert (view["state"], view["code"], view["retryable"]) == ("error", "interrupted", True)
        assert (view["partial"], view["data"]) == (True, {"content": "a"})
    eventually(lambda: hanging.state()["open"] == 0)


def test_an_interruption_waits_once_for_all_look_ups_and_ends_their_answers_too(
    upstream: ScriptedUpstream, lookup: HeldLookup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STOP_PATIENCE", 0.2)
    house = House(f"http://{lookup.NAME}:{upstream.port}/v1", bounds=Bounds(client=10))
    generations = [house.ask(f"g{i}", conversation_id=f"talk {i}") for i in range(10)]
    assert lookup.asked.wait(5)
    began = time.monotonic()
    house.relay.interrupt()
    took = time.monotonic() - began
    states = {generation.view(ended=True).get("code") for generation in generations}
    lookup.let_go()
    idle(house)
    assert states == {"interrupted"}
    assert took < 5 * module.STOP_PATIENCE
    assert len(house.said.terminals()) == 10


# --- the clocks ------------------------------------------------------------------------------------------


def test_one_thread_watches_while_anything_runs_and_ends_with_it(hanging: ScriptedUpstream) -> None:
    house = House(hanging.url)
    for turn in range(2):
        assert watchers() == 0
        for i in range(3):
            house.hang(f"g{turn}{i}")
        assert watchers() == 1
        house.relay.interrupt()
        idle(house)


COMMENTS: Json = {"repeat": 10_000, "send": ": ping\n\n", "sleep": 0.01}
STOPS: Json = {"repeat": 10_000, "finish": "stop", "sleep": 0.01}
# What the upstream does, what is allowed, after how many texts the clock is turned on, by how much.
RINGS: dict[str, tuple[Json, Allowed, int, float, str]] = {
    "no head": (script.silence(), Allowed(), 0, 301, "timeout_first"),
    "no text": ({"steps": [script.ROLE, {"hang": 60}]}, Allowed(), 0, 301, "timeout_first"),
    "comments and no text": ({"steps": [COMMENTS]}, Allowed(), 0, 301, "timeout_first"),
    "silence after text": (HANGING, Allowed(), 1, 121, "timeout_content"),
    "silence after text of a body that ends with the connection": (
        {**HANGING, "chunked": False},
        Allowed(),
        1,
        121,
        "timeout_content",
    ),
    "comments after text": ({"steps": [{"delta": "a"}, COMMENTS]}, Allowed(), 1, 121, "timeout_content"),
    "a dead connection": (HANGING, Allowed(first=10_000, content=10_000), 1, 301, "timeout_bytes"),
    "no end": (script.counted(10_000, gap=0.01), LONG, 1, 100_001, "timeout_total"),
}


@pytest.mark.parametrize(("answer", "allowed", "texts", "seconds", "code"), RINGS.values(), ids=RINGS)
def test_a_clock_that_rings_ends_the_answer_by_its_name(
    upstream: ScriptedUpstream, answer: Json, allowed: Allowed, texts: int, seconds: float, code: str
) -> None:
    upstream.script(answer)
    clock = ManualClock()
    house = House(upstream.url, clock, allowed=allowed)
    generation = house.ask()
    eventually(lambda: upstream.state()["requests"] and generation.seq >= texts)
    if code == "timeout_bytes":  # what came counts from the look that finds it
        eventually(lambda: generation.clocks._pieces == generation.line.pieces)
    clock.advance(seconds)
    view = ended(generation)
    assert (view["state"], view["code"], view["partial"]) == ("error", code, texts > 0)
    assert view["retryable"] is (code != "timeout_total")
    assert house.said.end()[0] == "error"


def test_comments_keep_the_connection_from_being_called_dead(upstream: ScriptedUpstream) -> None:
    upstream.script({"steps": [{"delta": "a"}, {**COMMENTS, "repeat": 100}, *script.ENDING]})
    clock = ManualClock()
    house = House(upstream.url, clock, allowed=Allowed(10_000, 10_000, bytes=5, total=10_000))
    generation = house.ask()

    def turn() -> bool:
        clock.advance(0.05)  # faster than the comments come, slower than the watch looks
        return generation.ended.is_set()

    eventually(turn)
    assert ended(generation)["state"] == "done"


def test_usage_is_waited_for_after_the_last_word(upstream: ScriptedUpstream) -> None:
    upstream.script({"steps": [{"delta": "a"}, {"finish": "stop"}, {"sleep": 0.3}, {"usage": script.USAGE}]})
    house = House(upstream.url, ManualClock())
    assert ended(house.ask())["usage"] == script.USAGE


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize(
    "last", [{"hang": 60}, COMMENTS, STOPS], ids=["silence", "comments", "the last word again and again"]
)
def test_usage_that_does_not_come_is_waited_for_two_seconds(
    upstream: ScriptedUpstream, last: Json, chunked: bool
) -> None:
    upstream.script({"steps": [{"delta": "a"}, {"finish": "stop"}, last], "chunked": chunked})
    clock = ManualClock()
    generation = House(upstream.url, clock).ask()
    eventually(lambda: clock.advance(0.5) or generation.ended.is_set(), every=0.05)
    view = ended(generation)
    assert (view["state"], view["reason"], view["usage"]["estimated"]) == ("done", "stop", True)


class RingsMeanwhile:
    """The clocks of a try that fails by itself while the watch looks at it."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation

    def attempt(self, now: float) -> None:
        pass

    def heard(self, pieces: int, now: float) -> None:
        pass

    def rang(self, now: float) -> str:
        if self._generation.attempt > 1:
            return ""
        self._generation.restart("up", "m", now)
        return "timeout_first"


def test_a_clock_of_the_last_try_does_not_cut_the_next() -> None:
    work: list[Callable[[], Any]] = []
    generation = House("", spawn=lambda target, *args: work.append(lambda: target(*args))).ask()
    generation.clocks = RingsMeanwhile(generation)
    watch, answer = work
    watching = Beside(watch)
    eventually(lambda: generation.attempt == 2)
    watching.join(0.05)  # what it saw, it may act upon
    why = generation.line.why
    answer()
    watching.result()
    assert why == ""


# --- leaving ---------------------------------------------------------------------------------------------


class Audience:
    """Who listens, as the hub would tell."""

    def __init__(self) -> None:
        self.there = True

    def __call__(self, client_id: str) -> bool:
        assert client_id == "c"
        return self.there


def test_an_answer_that_nobody_reads_is_cancelled_after_the_grace_where_that_is_wanted(
    hanging: ScriptedUpstream,
) -> None:
    clock, audience = ManualClock(), Audience()
    house = House(hanging.url, clock, leaving=Leaving(audience, 60.0), allowed=LONG)
    cancelled, goes_on = house.hang("g", on_leave="cancel"), house.hang("h")
    audience.there = False
    eventually(lambda: cancelled.alone_since is not None)
    clock.advance(61)
    view = ended(cancelled)
    assert (view["state"], view["reason"], view["data"]) == ("done", "left", {"content": "a"})
    assert goes_on.state == "running"
    house.relay.stop("h")


def test_of_answers_that_nobody_reads_only_so_many_go_on(hanging: ScriptedUpstream) -> None:
    clock, audience = ManualClock(), Audience()
    house = House(hanging.url, clock, leaving=Leaving(audience, 60.0, most=1), allowed=LONG)
    audience.there = False
    first = house.hang("g")
    eventually(lambda: first.alone_since is not None)
    clock.advance(1)
    second = house.hang("h")
    eventually(lambda: second.alone_since is not None)
    clock.advance(61)
    assert ended(first)["reason"] == "left"
    assert second.state == "running"
    house.relay.stop("h")


def test_a_question_in_line_that_nobody_waits_for_is_given_up_too(hanging: ScriptedUpstream) -> None:
    clock, audience = ManualClock(), Audience()
    bounds = Bounds(client=1)
    house = House(hanging.url, clock, bounds=bounds, leaving=Leaving(audience, 60.0), allowed=LONG)
    house.hang("g")
    waiting = house.wait("h", on_leave="cancel")
    audience.there = False
    eventually(lambda: waiting.alone_since is not None)
    clock.advance(61)
    assert ended(waiting)["reason"] == "left"
    house.relay.stop("g")
    assert len(hanging.state()["requests"]) == 1


def test_who_comes_back_within_the_grace_finds_it_running(hanging: ScriptedUpstream) -> None:
    clock, audience = ManualClock(), Audience()
    house = House(hanging.url, clock, leaving=Leaving(audience, 60.0), allowed=LONG)
    generation = house.hang("g", on_leave="cancel")
    for _ in range(3):
        audience.there = False
        eventually(lambda: generation.alone_since is not None)
        clock.advance(30)
        audience.there = True
        eventually(lambda: generation.alone_since is None)
    assert generation.state == "running"
    house.relay.stop("g")


def test_the_helper_makes_what_the_relay_makes() -> None:
    """Else the tests of worker and generation would stand on sand."""
    house = House("", spawn=lambda target, *args: None)
    made, helped = house.ask(), make_generation()
    assert made.question == make_question()
    assert vars(made).keys() == vars(helped).keys()
