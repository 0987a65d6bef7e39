"""Very many streams that come at once, and very many that come and go: how soon they are served, what stays.

    python -m bench.connects                  5,000 are lost and come back: spread over 2 s, then all at once
    python -m bench.connects --many 100000    so many connects: what the process holds after each tenth

The server has one core, the load client (bench/hubs/load) the other. Who comes back brings its cursor;
served is who has read its `connected`, which must say `resumed`. A GET /healthz on a kept connection is
repeated all the while. With --many, streams are opened a thousand at a time by clients nobody has heard of,
and leave; after each tenth the process forgets them, by a clock that is put forward (tests/rig/probe.py),
and says what it holds, with as many streams open as before. The exit status is 1 where a goal is missed: the
last served within 2.2 and 3 s, /healthz within 200 ms; objects and resident memory after the last tenth
within 5 % of those after the first.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Any, NamedTuple

from bench.added_latency import machine
from bench.figures import cells
from bench.hubs.client import Client, Result, disturbed, faults
from bench.pinned import PATIENCE, on_core, two_cores
from bench.stress.house import probed
from tests.rig.serving import Server

NOWHERE = "http://127.0.0.1:9/v1"  # nobody asks
STREAM = "/sse/createConnect?clientId={name}{{i}}&closeOnDone=false"
HEALTH = 200.0  # ms
ALLOWED = 0.05  # by how much what is held may differ
TENTHS = 10
WAVE = 1_000  # streams that come and go together
LATER = 61.0  # seconds by which the clock is put forward: clients are remembered for 60
AWAY = 1_500  # ms between the loss of the streams and their return


class Storm(NamedTuple):
    """All come back: spread over so many `seconds`; the last has to be served by `latest`."""

    title: str
    seconds: float
    latest: float


STORMS = (Storm("spread over 2 s", 2.0, 2.2), Storm("all at once", 0.0, 3.0))
COLUMNS = ("they come back", "served after, ms: median", "p99", "worst", "the last, s", "/healthz, ms: worst")
COLUMNS += ("CPU µs each", "not served", "others")
HELD = ("objects", "rss_kib", "descriptors", "greenlets", "threads", "clients", "connections")


@contextmanager
def served(core: int) -> Iterator[Server]:
    """A server on its core, as it comes but for its bounds; it tells what its process holds."""
    settings = {
        "CONNECTIONS_WORKER": "20000",
        "LIFETIME": "86400",
        "DRAIN_GRACE": "1",
        "LOG_LEVEL": "warning",
    }
    with ExitStack() as stack:
        with on_core(core):
            app = "tests.rig.probe:app"
            server = stack.enter_context(Server(settings, upstream_url=NOWHERE, app=app, shutdown=PATIENCE))
        yield server


def callers(server: Server, name: str) -> Client:
    """A load client whose streams are those of `name`0, `name`1, …"""
    pids = (pid for pid, _ in server.family())
    return Client.of(server.port, pids, ["--path", STREAM.format(name=name)])


# --- those who come back


def storms(streams: int, runs: int) -> bool:
    """Prints the table; whether the goals are met and nobody was turned away."""
    print(f"{streams:,} streams that were lost, medians of {runs} runs\n")
    print(f"{cells(*COLUMNS)}\n{cells(*('---' for _ in COLUMNS))}")
    met = True
    server_core, core = two_cores()
    with served(server_core) as server, on_core(core), callers(server, "back-") as client:
        client.step(f"open:{streams}")
        for storm in STORMS:
            results = [returned(client, storm, streams) for _ in range(runs)]
            print(row(storm, results), flush=True)
            met = met and good(storm, results)
    goals = ", ".join(f"{storm.title} the last within {storm.latest:g} s" for storm in STORMS)
    print(f"\nGoals: {goals}, /healthz ≤ {HEALTH:g} ms, all served: {'ok' if met else '**not ok**'}.")
    return met


def returned(client: Client, storm: Storm, streams: int) -> Result:
    """One run: all are lost, and come back."""
    return client.steps(f"close:{AWAY} back:{streams}:{storm.seconds:g}")


def good(storm: Storm, results: Sequence[Result]) -> bool:
    """Whether the medians reach the goals, and in each run everybody was served."""
    last, health = (median(result[name] for result in results) for name in ("wall", "health"))
    return last <= storm.latest and health <= HEALTH and not any(map(faults, results))


def row(storm: Storm, results: Sequence[Result]) -> str:
    """Of the table; each figure the median of the runs, the faults those of all."""
    middle = {name: median(result[name] for result in results) for name in results[0]}
    lacking = sum(sum(faults(result).values()) for result in results)
    return cells(
        storm.title,
        *(f"{middle[name]:.1f}" for name in ("p50", "p99", "most")),
        f"**{middle['wall']:.2f}**",
        f"**{middle['health']:.0f}**",
        f"{1e6 * middle['server'] / middle['streams']:.0f}",
        lacking,
        disturbed(results),
    )


# --- those who come and go


def many(connects: int, kept: int) -> bool:
    """Prints what is held after each tenth; whether the last tenth leaves it as the first did."""
    print(f"{connects:,} connects, {kept:,} streams open all the while\n")
    print(f"{cells('connects', *HELD)}\n{cells(*('---' for _ in range(len(HELD) + 1)))}")
    states = []
    server_core, core = two_cores()
    with served(server_core) as server, on_core(core), callers(server, "stay-") as stay:
        stay.step(f"open:{kept}")
        for tenth in range(1, TENTHS + 1):
            come_and_go(server, connects // TENTHS, f"{tenth}-")
            states.append(held(server, kept))
            line = cells(f"{tenth * connects // TENTHS:,}", *(f"{states[-1][name]:,}" for name in HELD))
            print(line, flush=True)
    met = level(states)
    print(f"\nGoal: the last within {ALLOWED:.0%} of the first: {'ok' if met else '**not ok**'}.")
    return met


def come_and_go(server: Server, connects: int, name: str) -> None:
    """So many connects, a wave at a time. Raises SystemExit where one is turned away."""
    for first in range(0, connects, WAVE):
        with callers(server, f"{name}{first}-") as wave:
            result = wave.step(f"open:{min(WAVE, connects - first)}")
        if faults(result):
            raise SystemExit(f"{faults(result)}: no measurement")


def held(server: Server, kept: int) -> dict[str, Any]:
    """What its process holds when all but `kept` streams have left and are forgotten."""
    deadline = time.monotonic() + PATIENCE
    while probed(server.port)["connections"] > kept and time.monotonic() < deadline:
        time.sleep(0.05)
    return probed(server.port, ahead=LATER, collect=1, trim=1)


def level(states: Sequence[dict[str, Any]]) -> bool:
    """Whether the last is as the first: objects and memory nearly, all that is counted exactly."""
    first, last = states[0], states[-1]
    near = (abs(last[name] - first[name]) <= ALLOWED * first[name] for name in ("objects", "rss_kib"))
    return all(near) and all(last[name] == first[name] for name in HELD[2:])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--streams", type=int, default=5_000, help="that are lost and come back")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--many", type=int, default=0, metavar="CONNECTS", help="in all, in waves")
    parser.add_argument("--kept", type=int, default=1_000, help="streams that stay open beside the many")
    given = parser.parse_args()
    met = many(given.many, given.kept) if given.many else storms(given.streams, given.runs)
    print(machine())
    raise SystemExit(not met)


if __name__ == "__main__":
    main()
