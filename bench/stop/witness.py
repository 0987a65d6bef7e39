"""Who tells that an answer has come to its phase, and when its upstream's socket was free: one way for each
kind of upstream. The scripted one has its own clock; where nothing reaches an upstream, the kernel tells.

Used by phases.py.
"""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from bench.stop.house import House
from bench.stop.page import Page
from tests.rig import script
from tests.rig.kernel import connecting
from tests.rig.reading import eventually
from tests.rig.script import Json
from tests.rig.upstream import ScriptedUpstream


@dataclass
class Run:
    """One answer that is stopped. Moments are seconds of time.monotonic(), all on one clock."""

    page: Page
    filler: str = ""  # of its question
    mark: str = field(default_factory=lambda: f"run-{uuid.uuid4().hex}")  # with which that begins
    generation: str = ""
    stopped_at: float = 0.0
    freed_at: float = 0.0


class Witness:
    """What phases.py asks, in this order. `upstream`: the name of the one that is asked; `prepared`: whether
    an answer in this phase has come so far that it would be."""

    upstream = "plain"
    prepared = True

    def __init__(self, house: House) -> None:
        self.house = house

    def prepare(self, runs: list[Run]) -> None:
        """These are about to be asked for."""

    def ask(self, run: Run, **body: Any) -> None:
        """Starts the answer."""
        run.generation = run.page.ask(f"{run.mark} {run.filler}", upstream=self.upstream, **body)

    def there(self, runs: list[Run]) -> bool:
        """Whether all have come to the phase; asked time after time."""
        raise NotImplementedError

    def stopped(self, run: Run) -> None:
        """Its stop has been answered."""

    def freed(self, runs: list[Run]) -> bool:
        """Whether all have given their sockets back, with `freed_at` set; asked time after time."""
        return all(run.freed_at for run in runs)

    def over(self) -> None:
        """Ends what is left of its own; AssertionError where an upstream was asked once too often."""


class Scripted(Witness):
    """A scripted upstream that answers so; the phase is where it has played `step` of its script.

    `fails`: the first try of each answer is refused before that.
    """

    def __init__(
        self, house: House, order: Json, step: int = 0, *, tls: bool = False, fails: bool = False
    ) -> None:
        super().__init__(house)
        self.upstream = "tls" if tls else "plain"
        self._at: ScriptedUpstream = house.tls if tls else house.plain
        self._order, self._step, self._tries = order, step, 2 if fails else 1
        self._at.reset()

    def prepare(self, runs: list[Run]) -> None:
        refusal = script.failure(503, retry_after=0.01)
        refusals = [{**refusal, "when": run.mark} for run in runs if self._tries > 1]
        self._at.script(*refusals, default=self._order)

    def there(self, runs: list[Run]) -> bool:
        tried = self._tried()
        return all(
            len(tried[run.mark]) == self._tries and tried[run.mark][-1]["step"] >= self._step for run in runs
        )

    def freed(self, runs: list[Run]) -> bool:
        tried = self._tried()
        for run in runs:
            last = tried[run.mark][-1]
            assert last["ended"] in (None, "peer"), f"the upstream ended it itself: {last['ended']}"
            run.freed_at = last.get("ended_at", 0.0)
        return super().freed(runs)

    def over(self) -> None:
        for tries in self._tried().values():
            assert len(tries) == self._tries, "an answer that was stopped was asked for again"

    def _tried(self) -> dict[str, list[Json]]:
        """The requests of each answer, by its mark."""
        tried: dict[str, list[Json]] = defaultdict(list)
        for request in self._at.state()["requests"]:
            question = request["body"]["messages"][-1]["content"]
            tried[question.partition(" ")[0]].append(request)
        return tried


class Muted(Witness):
    """A listener that takes the connection and does nothing else."""

    def __init__(self, house: House, upstream: str) -> None:
        super().__init__(house)
        self.upstream = upstream
        self._mute = house.small if upstream == "small" else house.mute
        self._ports: dict[str, int] = {}

    def ask(self, run: Run, **body: Any) -> None:
        before = len(self._mute.peers())
        super().ask(run, **body)
        self._ports[run.mark] = eventually(lambda: self._mute.peers()[before:])[0].port

    def there(self, runs: list[Run]) -> bool:
        heard = {peer.port for peer in self._mute.peers() if peer.heard_at}
        return all(self._ports[run.mark] in heard for run in runs)

    def freed(self, runs: list[Run]) -> bool:
        closed = {peer.port: peer.closed_at for peer in self._mute.peers()}
        for run in runs:
            run.freed_at = closed[self._ports[run.mark]] or 0.0
        return super().freed(runs)


class Deaf(Witness):
    """A listener whose backlog is full: the kernel is asked which connections are still being tried."""

    upstream = "deaf"

    def __init__(self, house: House) -> None:
        super().__init__(house)
        self._ports: dict[str, int] = {}

    def ask(self, run: Run, **body: Any) -> None:
        before = self._tried()
        super().ask(run, **body)
        (self._ports[run.mark],) = eventually(lambda: self._tried() - before)

    def there(self, runs: list[Run]) -> bool:
        return {self._ports[run.mark] for run in runs} <= self._tried()

    def stopped(self, run: Run) -> None:
        eventually(lambda: self._ports[run.mark] not in self._tried(), every=0.001)
        run.freed_at = time.monotonic()

    def _tried(self) -> set[int]:
        return connecting(urlsplit(self.house.deaf).port or 0)


class Told(Witness):
    """Where there is no socket to free: the moment at which the page has read that it was stopped."""

    def stopped(self, run: Run) -> None:
        run.page.until_ended(run.generation)
        run.freed_at = time.monotonic()


class Waiting(Told):
    """The waiting line: of each conversation one answer runs, and the next one waits for it."""

    prepared = False

    def __init__(self, house: House) -> None:
        super().__init__(house)
        self._at = house.plain
        self._at.reset()
        self._at.script(default=script.cut(["a"], how="hang"))
        self._running: list[str] = []
        self._waiting = 0

    def ask(self, run: Run, **body: Any) -> None:
        before = run.page.ask(f"before-{run.mark}", upstream=self.upstream)
        self._running.append(before)
        self._waiting += 1
        talk = self.house.view(before)["conversationId"]
        super().ask(run, conversationId=talk, onBusy="queue", **body)

    def there(self, runs: list[Run]) -> bool:
        states = [self.house.view(run.generation)["state"] for run in runs]
        return all(state == "queued" for state in states)

    def over(self) -> None:
        for generation in self._running:
            self.house.stop(generation)
        eventually(lambda: not self._at.state()["open"])
        assert len(self._at.state()["requests"]) == len(self._running), "one that only waited was asked for"


class Pausing(Told):
    """Between two tries: the upstream refused, and said when to come again."""

    def __init__(self, house: House) -> None:
        super().__init__(house)
        self._at = house.plain
        self._at.reset()
        self._at.script(default=script.failure(503, retry_after=20))
        self._asked = 0

    def ask(self, run: Run, **body: Any) -> None:
        super().ask(run, **body)
        self._asked += 1

    def there(self, runs: list[Run]) -> bool:
        state = self._at.state()
        return len(state["requests"]) == self._asked and not state["open"]

    def over(self) -> None:
        assert len(self._at.state()["requests"]) == self._asked, (
            "an answer that was stopped was asked for again"
        )
