"""The phases of an answer in which it may be stopped, and stopping so many in one of them.

Each run is held to all that Stop promises: see Page.check. What comes back is how long the sockets took.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.stop.house import House
from bench.stop.page import Page
from bench.stop.witness import Deaf, Muted, Pausing, Run, Scripted, Waiting, Witness
from tests.rig import script
from tests.rig.reading import eventually
from tests.rig.script import Json

PROMISED = 0.1  # seconds
SILENT = script.cut(["a", "b "], how="hang")
HALF: Json = {"steps": [{"delta": "a"}, {"send": 'data: {"choices":[{"del', "hang": script.FOREVER}]}
REFUSAL: Json = {"status": 500, "steps": [{"send": "half a message", "hang": script.FOREVER}]}
DOCUMENT: Json = {
    "headers": {"Content-Type": "application/json"},
    "steps": [{"send": '{"choices":[', "hang": script.FOREVER}],
}
PINGS: Json = {"steps": [{"delta": "a"}, {"repeat": 100_000, "send": ": ping\n\n", "sleep": 0.01}]}
NOISE: Json = {"steps": [{"delta": "a"}, {"repeat": 10_000_000, "send": ": ping\n\n"}]}
FLOOD: Json = {"steps": [{"repeat": 10_000_000, "delta": "word {i} "}]}
STEADY = script.counted(10_000, gap=0.03)
LARGE = "x" * 600_000  # more than the kernel takes for one who doesn't read


@dataclass(frozen=True)
class Phase:
    """One of them. `deltas`: how many the page has read of each answer before it is stopped; `tabs`: how many
    the page has open; `returns`: it has lost its connection and come back; `at_once`: how many are brought
    there together; `filler`: what makes the question long."""

    name: str
    witness: Callable[[House], Witness]
    deltas: int = 0
    tabs: int = 1
    returns: bool = False
    at_once: int = 10
    filler: str = ""


def scripted(order: Json, step: int = 0, **how: Any) -> Callable[[House], Witness]:
    return lambda house: Scripted(house, order, step, **how)


PHASES = {
    phase.name: phase
    for phase in (
        Phase("in the waiting line", Waiting),
        Phase("connecting: the listener's backlog is full", Deaf),
        Phase("in the TLS handshake", lambda house: Muted(house, "mute-tls")),
        Phase("sending the request", lambda house: Muted(house, "small"), filler=LARGE, at_once=2),
        Phase("waiting for the head", scripted(script.silence())),
        Phase("in the middle of the head", scripted(script.half_head(), 1)),
        Phase("in a head that comes letter by letter", scripted(script.half_head(endless=True), 2)),
        Phase("waiting for the first event", scripted({"steps": [{"hang": script.FOREVER}]}, 1)),
        Phase("in silence", scripted(SILENT, 4), deltas=2),
        Phase("in the middle of an event", scripted(HALF, 2), deltas=1),
        Phase("among comments", scripted(PINGS, 2), deltas=1),
        Phase("in a flood", scripted(FLOOD, 1), deltas=100, at_once=1),
        Phase("in a flood of comments", scripted(NOISE, 2), deltas=1, at_once=1),
        Phase("in the middle of a document", scripted(DOCUMENT, 1)),
        Phase("in the middle of a refusal", scripted(REFUSAL, 1)),
        Phase("between two tries", Pausing),
        Phase("waiting for the head of a second try", scripted(script.silence(), fails=True)),
        Phase("on a stream that was resumed", scripted(STEADY, 2), deltas=2, returns=True),
        Phase("from another tab", scripted(STEADY, 2), deltas=2, tabs=2),
        Phase("TLS: waiting for the head", scripted(script.silence(), tls=True)),
        Phase("TLS: in silence", scripted(SILENT, 4, tls=True), deltas=2),
        Phase("TLS: in the middle of an event", scripted(HALF, 2, tls=True), deltas=1),
    )
}


def play(house: House, phase: Phase, runs: int = 100) -> list[float]:
    """Stops so many answers in that phase; the seconds from each stop's sending until its socket was free."""
    witness = phase.witness(house)
    taken: list[float] = []
    views: list[dict[str, Any]] = []
    with contextlib.ExitStack() as stack:
        while len(taken) < runs:
            page = stack.enter_context(Page(house, phase.tabs))
            together = [Run(page, phase.filler) for _ in range(min(phase.at_once, runs - len(taken)))]
            _together(house, phase, witness, page, together)
            taken += [run.freed_at - run.stopped_at for run in together]
            views += [page.check(run.generation, witness.prepared) for run in together]
        witness.over()
        for view in views:  # a text that was frozen doesn't grow back
            assert house.view(view["generationId"]) == view
    house.check_left()
    house.beside.check()
    return taken


def _together(house: House, phase: Phase, witness: Witness, page: Page, runs: list[Run]) -> None:
    """Brings some answers of one page to the phase, and stops one after the other."""
    witness.prepare(runs)
    for run in runs:
        witness.ask(run)
    eventually(lambda: witness.there(runs), within=20)
    _read(phase.deltas, page, runs)
    if phase.returns:
        page.come_back()
        _read(phase.deltas + 2, page, runs)
    for run in runs:
        run.stopped_at = house.stop(run.generation)
        witness.stopped(run)
    eventually(lambda: witness.freed(runs))
    page.until_now()


def _read(deltas: int, page: Page, runs: list[Run]) -> None:
    for run in runs:
        page.until_read(run.generation, deltas)
