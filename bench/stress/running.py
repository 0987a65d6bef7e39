"""What a scenario is, and running it: on a server it shares with others, in rounds, and against sabotage."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from app.settings import Settings
from bench.stress.house import House
from bench.stress.member import Faults, Member

Sizes = dict[str, int]
Around = Callable[[], contextlib.AbstractContextManager[None]]


class NotPossible(Exception):
    """What a scenario needs and is not here, in a sentence."""


@dataclass(frozen=True)
class Scenario:
    """One scenario. `play` is handed a house and the sizes; its docstring, with them, says what it does.

    `env` are the settings of its server. `keeps`: whether that goes on afterwards, so that what was left can
    be counted. `files`: the most it may open, 0: any number. `around` is entered before the server starts.
    """

    name: str
    play: Callable[..., str]
    full: Sizes
    short: Sizes
    env: dict[str, str]
    keeps: bool
    files: int
    around: Around

    def sizes(self, short: bool) -> Sizes:
        return self.short if short else self.full

    def what(self, short: bool) -> str:
        sizes = {name: f"{size:,}" for name, size in self.sizes(short).items()}
        return " ".join((self.play.__doc__ or "").format(**sizes).split())

    @property
    def shared(self) -> tuple[Any, ...]:
        """Scenarios that are equal in this run on one server, one after the other."""
        alone = () if self.keeps else (self.name,)
        return (*sorted(self.env.items()), self.files, self.around, *alone)


SCENARIOS: dict[str, Scenario] = {}


def scenario(
    full: Sizes,
    short: Sizes,
    *,
    keeps: bool = True,
    files: int = 0,
    around: Around = contextlib.nullcontext,
    env: dict[str, str] | None = None,
) -> Callable[[Callable[..., str]], Callable[..., str]]:
    """Registers a function as the scenario of its name."""

    def register(play: Callable[..., str]) -> Callable[..., str]:
        name = play.__name__
        SCENARIOS[name] = Scenario(name, play, full, short, env or {}, keeps, files, around)
        return play

    return register


@dataclass(frozen=True)
class Outcome:
    """How a scenario went. `red`: it found what must not be; `missing`: what it needs is not here."""

    scenario: Scenario
    said: str
    seconds: float = 0.0
    red: bool = False
    missing: bool = False


@dataclass
class Stage:
    """`with Stage(short=True, outlet="socket") as stage: stage.play(scenario)`.

    Servers stay up from one scenario to the next that can share them. `outlet` "": as the server chooses.
    `sabotage`: how it is broken, "" not at all.
    """

    short: bool = False
    seed: int = 1
    outlet: str = ""
    sabotage: str = ""
    _houses: dict[object, tuple[House, contextlib.ExitStack]] = field(default_factory=dict)

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *exc: object) -> None:
        for key in list(self._houses):
            self._close(key)

    @property
    def houses(self) -> Iterator[House]:
        return (house for house, _ in self._houses.values())

    @property
    def patience(self) -> float:
        """Seconds to wait for what must come: where things go missing on purpose, not for long."""
        return 10.0 if self.sabotage else 30.0 if self.short else 300.0

    def play(self, scenario: Scenario, round: int = 1) -> Outcome:
        """Runs it, and sees that it leaves nothing behind."""
        began = time.monotonic()
        try:
            outcome = Outcome(scenario, self._said(scenario, round))
        except NotPossible as error:
            outcome = Outcome(scenario, f"not possible here: {error}", missing=True)
        except (AssertionError, EOFError, OSError) as error:
            outcome = Outcome(scenario, f"{type(error).__name__}: {error}", red=True)
            with contextlib.suppress(AssertionError):  # one fault is enough
                self._close(scenario.shared)
        return replace(outcome, seconds=time.monotonic() - began)

    def _said(self, scenario: Scenario, round: int) -> str:
        house = self._house(scenario)
        house.rng = random.Random(f"{self.seed} {scenario.name} {round}")
        house.upstream.reset()
        said = scenario.play(house, **scenario.sizes(self.short))
        if scenario.keeps:
            house.check_left(self.patience / 2)
        else:
            self._close(scenario.shared)
        return said

    def _house(self, scenario: Scenario) -> House:
        if scenario.shared not in self._houses:
            with contextlib.ExitStack() as stack:
                stack.enter_context(scenario.around())
                house = House(self._env(scenario), files=scenario.files, patience=self.patience)
                self._houses[scenario.shared] = stack.enter_context(house), stack.pop_all()
        return self._houses[scenario.shared][0]

    def _close(self, key: object) -> None:
        if key in self._houses:
            self._houses.pop(key)[1].close()

    def _env(self, scenario: Scenario) -> dict[str, str]:
        """Raises NotPossible for a setting that isn't there."""
        for name in scenario.env:
            if name.lower() not in Settings.model_fields and name != "GUNICORN_CMD_ARGS":
                raise NotPossible(f"there is no setting {name}")
        more = {"OUTLET": self.outlet, "SABOTAGE": self.sabotage}
        return {**scenario.env, **{name: value for name, value in more.items() if value}}


def verdict(members: Iterable[Member]) -> str:
    """AssertionError where what came to these members has faults; else how much it was."""
    members = list(members)
    found = sum((member.faults() for member in members), Faults())
    told = sum(len(told) for member in members for told in member.logs.values())
    connections = sum(member.connections for member in members)
    said = f"{told:,} events over {connections:,} connections: {found}"
    worst = next((member for member in members if any(member.faults())), None)
    assert not worst, f"gaps, duplicates, reorderings of {said}; {worst}"
    torn = next((member for member in members if member.torn), None)
    assert not torn, f"a stream ended in the middle of something: {torn}"
    return said
