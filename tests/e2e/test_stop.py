"""Stop in every phase of an answer: the upstream's socket is free within 100 ms, by the upstream's own clock.

The phases, and all that is checked of each run, are those of `python -m bench.stop`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.stop.house import House
from bench.stop.page import Page
from bench.stop.phases import PHASES, PROMISED, play
from bench.stress.house import Caller, Reply
from tests.rig import script
from tests.rig.reading import Reader, Stream, eventually

RUNS = 100
# Of them, whose delay may be the machine's: tests share it with others, and no clock tells these apart.
LATE = 5
NEVER = 1.0  # seconds that none may take
HANGING = script.cut(["a", "b"], how="hang")


@pytest.fixture(scope="module")
def house(certificate: Path) -> Iterator[House]:
    with House(certificate) as house:
        yield house
        assert "Traceback" not in house.server.log, house.server.log[-4000:]


@pytest.mark.parametrize("name", PHASES)
def test_stop_frees_the_upstreams_socket_at_once(name: str, house: House) -> None:
    taken = sorted(play(house, PHASES[name], RUNS))
    shown = [f"{seconds * 1000:.0f}" for seconds in taken]
    assert len(taken) == RUNS
    assert taken[-1 - LATE] <= PROMISED, f"{name}: too late too often, in ms: {shown}"
    assert taken[-1] < NEVER, f"{name}: far too late, in ms: {shown}"


@pytest.fixture
def asker(house: House) -> Iterator[Page]:
    house.plain.reset()
    house.plain.script(default=HANGING)
    with Page(house) as asker:
        yield asker
    house.check_left()


def hanging(asker: Page) -> str:
    """An answer whose upstream has fallen silent."""
    generation = asker.ask("hi", upstream="plain")
    asker.until_read(generation, 2)
    return generation


def stop(house: House, generation: str) -> Reply:
    """On a connection of its own."""
    caller = Caller(house.server.port)
    try:
        return caller.post(f"/chat/{generation}/stop", {})
    finally:
        caller.close()


def test_a_stop_that_is_said_again_is_the_same_stop(house: House, asker: Page) -> None:
    generation = hanging(asker)
    first = stop(house, generation)
    asker.until_now()
    view = asker.check(generation)
    assert [stop(house, generation) for _ in range(3)] == [first] * 3
    asker.until_now()
    assert asker.check(generation) == view


def test_twenty_stops_at_the_same_instant_are_one(house: House, asker: Page) -> None:
    generation, together, replies = hanging(asker), threading.Barrier(20), []

    def one() -> None:
        together.wait(10)
        replies.append(stop(house, generation))

    threads = [threading.Thread(target=one) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert replies == [Reply(200, {"generationId": generation, "state": "done", "seq": 2})] * 20
    asker.until_now()
    asker.check(generation)
    assert [request["ended"] for request in house.plain.state()["requests"]] == ["peer"]


def test_a_stop_after_the_end_changes_nothing(house: House, asker: Page) -> None:
    house.plain.script(script.deltas(["a", "b"]))
    generation = asker.ask("hi", upstream="plain")
    asker.until_ended(generation)
    view = house.view(generation)
    assert (view["reason"], view["usage"]) == ("stop", script.USAGE)
    assert stop(house, generation) == Reply(200, {"generationId": generation, "state": "done", "seq": 2})
    asker.until_now()
    assert house.view(generation) == view
    assert [event.type for event in asker.tabs[0].events].count("done") == 1


def test_an_answer_that_nobody_reads_is_stopped_as_well(house: House, asker: Page, fresh_client: str) -> None:
    generation = house.calls.ask(fresh_client, upstream="plain")
    eventually(lambda: house.view(generation)["seq"] == 2)
    stop(house, generation)
    eventually(lambda: not house.plain.state()["open"], within=NEVER)
    assert house.view(generation)["reason"] == "stopped"


def test_a_page_that_closes_when_done_is_through_after_a_stop(
    house: House, asker: Page, fresh_client: str
) -> None:
    with Reader(house.server.url, fresh_client) as reader:
        generation = house.calls.ask(fresh_client, upstream="plain")
        reader.until("delta")
        stop(house, generation)
        assert reader.follow() is None  # the server said not to come back
    assert reader.terminals[generation]["reason"] == "stopped"
    assert [event.type for event in reader.events][-2:] == ["done", "[DONE]"]


def test_a_page_that_comes_after_the_stop_reads_the_text_that_was_frozen(house: House, asker: Page) -> None:
    generation = hanging(asker)
    stop(house, generation)
    asker.until_now()
    first = asker.tabs[0].events[0]
    with Stream(house.server.url, asker.client, first.id, closeOnDone="false") as late:
        late.until("done")
        text = "".join(event["data"]["content"] for event in late.transcript if event.type == "delta")
    assert text == asker.check(generation)["data"]["content"] == "ab"


def test_stopping_one_answer_leaves_the_others_of_the_same_page_alone(house: House, asker: Page) -> None:
    house.plain.script(default=script.counted(30, gap=0.02))
    stopped, whole = asker.ask("hi", upstream="plain"), asker.ask("hi", upstream="plain")
    asker.until_read(stopped, 2)
    stop(house, stopped)
    asker.until_ended(whole)
    asker.check(stopped)
    assert house.view(whole)["data"]["content"] == "".join(f"w{i} " for i in range(30))
    assert house.view(whole)["reason"] == "stop"
