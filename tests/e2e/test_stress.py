"""The scenarios of bench/stress, each small, on both outlets: one real gunicorn for all that can share it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.stress import scenarios  # noqa: F401  # registers them
from bench.stress.running import SCENARIOS, Stage
from tests.rig.optional import missing


@pytest.fixture(scope="module", params=["socket", "generator"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with Stage(short=True, outlet=request.param) as stage:
        yield stage


@pytest.mark.parametrize("name", SCENARIOS)
def test_nothing_is_lost_repeated_reordered_or_left_behind_in(name: str, stage: Stage) -> None:
    outcome = stage.play(SCENARIOS[name])
    if outcome.missing:
        missing(outcome.said)
    assert not outcome.red, f"{SCENARIOS[name].what(short=True)}\n{outcome.said}"


@pytest.mark.parametrize("how", ["drop", "repeat", "swap", "leak"])
def test_a_sabotaged_server_is_noticed(how: str) -> None:
    with Stage(short=True, sabotage=how) as stage:
        assert stage.play(SCENARIOS["tabs"]).red
