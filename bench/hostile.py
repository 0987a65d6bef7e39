"""Token streams beside peers that mean no good: by how much these change the time in which a token arrives.

    python -m bench.hostile                          each kind of trouble alone, and all at once
    python -m bench.hostile --only resets --runs 9

500 streams are sent 40 tokens/s each through the real hub (bench/hubs/apps/deltahub_app.py makes them), for
some seconds in peace and for as many with one kind of trouble, in turns: readers that stall and peers that
vanish, to whom 384 KB are broadcast so that something is stuck in each; requests that never end and a flood
of connections that are reset (bench/nuisance.py). The server has one core, all others the other. What counts
is the median of the ratios of neighbours, since p99 in peace varies; the first row shows by how much. The
exit status is 1 where one but the last is above 1.2, or where a token did not come once and in order.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from statistics import median
from typing import NamedTuple

from bench.added_latency import machine
from bench.figures import Cores, cells
from bench.hubs.client import Client, Result, busy, disturbed, faults
from bench.hubs.servers import started
from bench.nuisance import Nuisance
from bench.pinned import on_core, two_cores

STREAMS = 500
GOAL = 1.2
TRIES = 3  # times as many runs are made where others disturb them
STUCK = " burst:48:8000"  # so much is broadcast: more than the kernel keeps for one reader


class Kind(NamedTuple):
    """`steps` of the load client that bring it; of bench/nuisance.py requests that never end and resets a
    second. `goal`: by how much the p99 may grow."""

    title: str
    steps: str = ""
    half: int = 0
    resets: float = 0.0
    goal: float = GOAL


KINDS = {
    "peace": Kind("in peace again"),
    "stalled": Kind("1,000 stalled readers", "stall:1000" + STUCK),
    "vanished": Kind("1,000 peers that vanished", "vanish:1000" + STUCK),
    "half": Kind("1,000 requests that never end", half=1_000),
    "resets": Kind("200 connections a second that are reset", resets=200),
    "three": Kind("stalled, vanished and resets at once", "stall:1000 vanish:1000" + STUCK, 0, 200),
    # No goal: with each that is given up and comes again there are twice as many requests.
    "all": Kind("all of it", "stall:1000 vanish:1000" + STUCK, 1_000, 200, math.inf),
}
COLUMNS = ("beside 500 token streams", "p50 in peace, ms", "p50 then", "p99 in peace", "p99 then")
COLUMNS += ("p99 then / in peace", "CPU of its core, in peace", "then", "others")


class Pair(NamedTuple):
    """Neighbours."""

    peace: Result
    trouble: Result

    @property
    def ratio(self) -> float:
        return self.trouble["p99"] / self.peace["p99"]


def pairs(kind: Kind, runs: int, seconds: int) -> list[Pair]:
    """On a server of their own."""
    server_core, core = two_cores()
    with ExitStack() as stack:
        running = stack.enter_context(started("ours", server_core, {}))
        stack.enter_context(on_core(core))
        client = stack.enter_context(Client.of(running.port, running.pids, running.arguments))
        tokens(client, "", 2)  # what the first answers start for good
        return clean(
            lambda: Pair(tokens(client, "", seconds), troubled(client, running.port, kind, seconds)), runs
        )


def clean(pair: Callable[[], Pair], runs: int) -> list[Pair]:
    """So many pairs in which others hardly used the cores, as far as there are any."""
    found: list[Pair] = []
    for _ in range(TRIES * runs):
        found.append(pair())
        if sum(not any(map(busy, each)) for each in found) == runs:
            break
    quiet = [each for each in found if not any(map(busy, each))]
    return quiet or found


def tokens(client: Client, steps: str, seconds: int) -> Result:
    """The tokens' delays, after these steps."""
    return client.steps(f"close:500 open:{STREAMS} {steps} rest:500 produce:{seconds}")


def troubled(client: Client, port: int, kind: Kind, seconds: int) -> Result:
    if not kind.half and not kind.resets:
        return tokens(client, kind.steps, seconds)
    with Nuisance(port, kind.half, kind.resets) as nuisance:
        cores = Cores({"nuisance": [nuisance.pid]})
        result = tokens(client, kind.steps, seconds)
        own = cores.used()["nuisance"] * result["wall"]
        done = nuisance.leave()
    result["others"] = max(0.0, result["others"] - own)
    if done.get("refused"):
        raise SystemExit(
            f"{done['refused']} connections of those who mean no good were refused: no measurement"
        )
    return result


def row(kind: Kind, found: Sequence[Pair]) -> str:
    """Of the table; each figure the median of the runs."""
    peace, trouble = ([getattr(pair, name) for pair in found] for name in Pair._fields)
    delays = [f"{median(r[name] for r in side):.2f}" for name in ("p50", "p99") for side in (peace, trouble)]
    used = [f"{median(r['server'] / r['wall'] for r in side):.0%}" for side in (peace, trouble)]
    others = disturbed([*peace, *trouble])
    return cells(kind.title, *delays, f"**{middle(found):.2f}**", *used, others)


def middle(found: Sequence[Pair]) -> float:
    return median(pair.ratio for pair in found)


def table(kinds: Sequence[Kind], runs: int, seconds: int) -> bool:
    """Prints it; whether the goal is met and every token came once and in order."""
    print(f"medians of {runs} runs of {seconds} s\n\n{cells(*COLUMNS)}\n{cells(*('---' for _ in COLUMNS))}")
    met = True
    for kind in kinds:
        found = pairs(kind, runs, seconds)
        print(row(kind, found), flush=True)
        wrong = [faults(result) for pair in found for result in pair if faults(result)]
        if wrong:
            print(f"not once and in order: {wrong}")
        met = met and not wrong and middle(found) <= kind.goal
    print(f"\nGoal: p99 ≤ {GOAL:g} times that in peace, but for the last: {'ok' if met else '**not ok**'}.")
    return met


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=KINDS, help="may be repeated")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=6, help="of tokens, each time")
    given = parser.parse_args()
    met = table([KINDS[name] for name in given.only or KINDS], given.runs, given.seconds)
    print(machine())
    raise SystemExit(not met)


if __name__ == "__main__":
    main()
