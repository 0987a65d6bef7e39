"""What the benches of connects and of trouble count with is right, and so is what they do to a server."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from bench import connects, hostile
from bench.connects import HELD, STORMS, Storm, callers, come_and_go, good, held, level, returned
from bench.hostile import Kind, Pair, middle
from bench.hubs import built
from bench.nuisance import HALF, Nuisance
from bench.stress.house import probed
from tests.rig.optional import missing
from tests.rig.reading import eventually
from tests.rig.serving import Server

SETTINGS = {"GUNICORN_CMD_ARGS": "--keep-alive=1", "DRAIN_GRACE": "1"}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    try:
        built.compiler()
    except built.Missing as error:
        missing(str(error))
    built.program("sseload")
    with Server(SETTINGS, upstream_url=connects.NOWHERE, app="tests.rig.probe:app") as server:
        yield server


def result(**figures: float) -> dict[str, float]:
    """What the load client says of one run."""
    usual = {"streams": 10.0, "wall": 2.0, "server": 0.001, "client": 0.1, "others": 0.0, "health": 10.0}
    return {**usual, "p50": 1.0, "p99": 2.0, "most": 3.0, **figures}


# --- many come at once


def test_a_storm_is_weathered_when_the_medians_are_within_the_goals_and_all_were_served() -> None:
    storm = Storm("all at once", 0.0, 3.0)
    fine = result(wall=3.0, health=200.0)
    assert good(storm, [fine, result(wall=9.0), fine])
    assert not good(storm, [result(wall=3.1)])
    assert not good(storm, [result(health=201.0)])
    assert not good(storm, [fine, fine, result(refused=1.0)])
    assert not good(storm, [fine, fine, result(unresumed=1.0)])


def test_a_row_of_storms_has_medians_all_that_were_not_served_and_who_disturbed_it() -> None:
    runs = [result(wall=1.0), result(wall=2.0, refused=2.0, unresumed=1.0), result(wall=3.0, others=2.7)]
    line = connects.row(STORMS[0], runs)
    assert line == "| spread over 2 s | 1.0 | 2.0 | 3.0 | **2.00** | **10** | 100 | 3 | 90% **busy** |"


@pytest.mark.parametrize("seconds", [0.0, 0.2])
def test_those_who_come_back_are_all_served_where_they_were(server: Server, seconds: float) -> None:
    with callers(server, "back-") as client:
        client.step("open:40")
        found = returned(client, Storm("", seconds, 1.0), 40)
    assert (found["streams"], found["connections"], found.get("unresumed", 0.0)) == (40, 40, 0)
    assert found["wall"] >= seconds
    assert found["most"] >= found["p50"] > 0
    assert found["health"] > 0


# --- many come and go


def state(**held: int) -> dict[str, Any]:
    return {**dict.fromkeys(HELD, 10), "objects": 1_000, "rss_kib": 1_000, **held}


def test_what_is_held_is_level_up_to_a_twentieth_and_what_is_counted_exactly() -> None:
    assert level([state(), state(objects=5_000), state(objects=1_050, rss_kib=950)])
    assert not level([state(), state(objects=1_051)])
    assert not level([state(), state(rss_kib=949)])
    for name in HELD[2:]:
        assert not level([state(), state(**{name: 11})])


def test_those_who_come_and_go_leave_those_who_stay(server: Server) -> None:
    with callers(server, "stay-") as stay:
        stay.step("open:5")
        come_and_go(server, 40, "go-")
        first = held(server, 5)
        come_and_go(server, 40, "gone-")
        last = held(server, 5)
    assert (first["connections"], first["clients"]) == (5, 5)
    assert (last["connections"], last["clients"]) == (5, 5)
    eventually(lambda: probed(server.port)["connections"] == 0)


# --- trouble


def test_nuisance_holds_half_requests_and_resets_and_a_server_comes_to_no_harm(server: Server) -> None:
    before = probed(server.port)["descriptors"]
    with Nuisance(server.port, half=6, rate=200) as nuisance:
        eventually(lambda: probed(server.port)["descriptors"] >= before + 6)
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline:
            probed(server.port)
        done = nuisance.leave()
    assert done["half"] == 6
    assert done["reset"] >= 40
    assert done.get("refused", 0) == 0
    eventually(
        lambda: (probed(server.port)["connections"], probed(server.port)["descriptors"] - before) == (0, 0),
        10,
    )
    assert "Traceback" not in server.log


def test_a_request_that_is_given_up_comes_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        with Nuisance(listener.getsockname()[1], half=1, rate=0) as nuisance:
            for _ in range(3):
                sock, _ = listener.accept()
                with sock:
                    assert sock.recv(1_000) == HALF
            assert nuisance.leave()["half"] >= 3


def test_what_counts_is_the_median_of_the_ratios_of_neighbours() -> None:
    found = [Pair(result(p99=1.0), result(p99=1.1)), Pair(result(p99=5.0), result(p99=5.0))]
    found.append(Pair(result(p99=1.0), result(p99=9.0)))
    assert middle(found) == pytest.approx(1.1)


def test_a_row_of_trouble_tells_who_else_used_the_cores() -> None:
    quiet, troubled = result(server=1.0), result(p50=2.0, p99=3.0, server=1.2, others=0.1)
    line = hostile.row(Kind("all of it"), [Pair(quiet, troubled)])
    assert line == "| all of it | 1.00 | 2.00 | 2.00 | 3.00 | **1.50** | 50% | 60% | 5% |"
    assert hostile.row(Kind("all of it"), [Pair(quiet, result(others=1.0))]).endswith("| 50% **busy** |")


def test_pairs_that_others_have_disturbed_are_made_again_and_count_only_where_there_are_no_others() -> None:
    quiet, disturbed = Pair(result(), result()), Pair(result(), result(others=1.0))
    made = iter([disturbed, quiet, disturbed, quiet, quiet])
    assert hostile.clean(lambda: next(made), 2) == [quiet, quiet]
    assert hostile.clean(lambda: disturbed, 2) == [disturbed] * 2 * hostile.TRIES


def test_trouble_is_told_by_its_ratio_and_by_what_came_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {"fine": [Pair(result(), result(p99=2.4))], "slow": [Pair(result(), result(p99=2.5))]}
    found["lossy"] = [Pair(result(), result(lost=1.0))]
    monkeypatch.setattr(hostile, "pairs", lambda kind, runs, seconds: found[kind.title])
    assert [hostile.table([Kind(title)], 1, 1) for title in found] == [True, False, False]
    assert "'lost': 1" in capsys.readouterr().out
