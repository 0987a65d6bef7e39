"""What the relay costs: the delay it adds to a token, its CPU per token, its pace at starting and at parsing.

    python -m bench.relay            50, 200 and 500 answers at once, 40 tokens/s each, for 10 s, three times
    python -m bench.relay --start    500 answers asked for at once (bench/starts.py)
    python -m bench.relay --parse    chunks a second out of bytes alone

The server has one core, all else the other. Upstream (bench/paced.py) and reader (bench/readers.py,
bench/direct.py) are one process each; each run reads the upstream directly first and through the server then.
A delay is the time from the sending of a token until it is read here. The answers begin spread over a second,
so their ticks are spread over the gap between two tokens. Measured is the steady part, from when all answers
have begun (else the row says how many) until the first may end: what starts and ends cost is not in it. CPU
is user and system time of gunicorn's master and worker. The exit status is 1 where a goal is missed; where an
answer did not come whole and in order there is no measurement.
"""

from __future__ import annotations

import argparse
import gc
import os
import time
from functools import partial
from statistics import median
from typing import NamedTuple

from app.relay.parser import Parser
from bench.added_latency import Load, machine
from bench.direct import Direct
from bench.figures import Cores, Delays, cells, foreign
from bench.paced import DELTA, Paced, mark
from bench.pinned import PATIENCE, names, on_core, served, two_cores
from bench.readers import Readers
from bench.starts import starts
from tests.rig.serving import Server

GOLDEN = 0.618_033_988_749_895  # its multiples, without their whole parts, never bunch
AT, CPU, ADDED, CHUNKS = 200, 50.0, 2.0, 100_000  # goals: at so many answers, ms per 1,000, ms, chunks/s
MOST = 0.6  # of an answer's length: then what is left is measured, though not all have begun
COLUMNS = (
    "answers",
    "p50 direct",
    "through",
    "added",
    "p99 direct",
    "through",
    "added",
    "CPU ms per 1,000 tokens",
    "least",
    "of its core",
    "others",
)


class Steady(NamedTuple):
    """The steady part of one way: quantiles of the delays in ms, CPU of the server in ms per 1,000 tokens,
    how much of a core the server and others took, and how many answers had begun."""

    p50: float
    p99: float
    cpu: float
    server: float
    others: float
    begun: int


def phase(number: int) -> float:
    """When in the first second an answer begins: however many there are, even over the second, and even over
    the gap between two tokens."""
    return number * GOLDEN % 1


def steady(readers: Readers, load: Load, delays: Delays, processes: dict[str, list[int]]) -> Steady:
    """Has all of them ask, and measures while all answers run."""
    readers.open_all(PATIENCE)
    began = time.monotonic()
    for number, reader in enumerate(readers.all):
        readers.later(phase(number), partial(readers.ask, reader))
    while readers.begun < load.answers and time.monotonic() < began + load.seconds * MOST:
        readers.turn(0.05)
    delays.clear()
    cores, since, begun = Cores(processes), time.monotonic(), readers.begun
    readers.turns(began + load.seconds - since)
    used, seconds, tokens = cores.used(), time.monotonic() - since, max(len(delays), 1)
    p50, p99 = delays.quantile(0.5), delays.quantile(0.99)
    readers.finish(PATIENCE)
    if readers.faults or readers.whole != load.answers:
        raise SystemExit(
            f"{readers.whole} of {load.answers} came whole, {dict(readers.faults)}: no measurement"
        )
    return Steady(p50, p99, 1e6 * used["server"] * seconds / tokens, used["server"], used["others"], begun)


def both_ways(load: Load, upstream: Paced, server: Server) -> tuple[Steady, Steady]:
    """Directly, then through the server."""
    processes = {"server": [pid for pid, _ in server.family()], "bench": [upstream.pid, os.getpid()]}
    delays = Delays()

    def seen(sent: int, now: int) -> None:
        delays.add(now - sent)

    with Direct(upstream.url, load.answers, load.tokens, seen) as readers:
        direct = steady(readers, load, delays, processes)
    with Readers(server.url, names(load.answers), load.tokens, seen) as readers:
        return direct, steady(readers, load, delays, processes)


def row(load: Load, runs: list[tuple[Steady, Steady]]) -> tuple[str, float, float]:
    """Of the table: each figure the median of the runs. With it what was added to the p99, and the CPU."""
    direct, through = (Steady(*map(median, zip(*way, strict=True))) for way in zip(*runs, strict=True))
    others = max(way.others for run in runs for way in run)
    delays = [(a, b, b - a) for a, b in ((direct.p50, through.p50), (direct.p99, through.p99))]
    line = cells(
        load.answers if through.begun == load.answers else f"{load.answers}, begun: {through.begun:g}",
        *(f"{a:.2f} | {b:.2f} | **{added:.2f}**" for a, b, added in delays),
        f"**{through.cpu:.1f}**",
        f"{min(way.cpu for _, way in runs):.1f}",
        f"{through.server:.0%}",
        foreign(others),
    )
    return line, delays[1][2], through.cpu


def table(loads: list[Load], runs: int) -> bool:
    """Prints it; whether the goals are met."""
    print(
        f"{loads[0].rate:g} tokens/s of each answer, ms, medians of {runs} runs of {loads[0].seconds:g} s\n"
    )
    print(f"{cells(*COLUMNS)}\n{cells(*('---' for _ in COLUMNS))}")
    met = True
    server_core, core = two_cores()
    with on_core(core):
        for load in loads:
            with (
                Paced(load.rate, load.tokens) as upstream,
                served(server_core, load.answers, upstream) as server,
            ):
                line, added, cpu = row(load, [both_ways(load, upstream, server) for _ in range(runs)])
            print(line, flush=True)
            met = met and (load.answers != AT or (cpu <= CPU and added <= ADDED))
    goals = f"CPU ≤ {CPU:g} ms per 1,000 tokens, added to the p99 ≤ {ADDED:g} ms"
    if any(load.answers == AT for load in loads):
        print(f"\nGoals at {AT}: {goals}: {'ok' if met else '**not ok**'}.")
    return met


def parsing(runs: int, chunks: int = 32_000) -> bool:
    """Prints the second table; whether the goal is met."""
    print("| events in a piece | chunks/s | most |\n|---|---|---|")
    rates = {}
    for packed in (1, 16):
        events = [DELTA % mark(number, time.monotonic_ns()) for number in range(chunks)]
        pieces = [b"".join(events[i : i + packed]) for i in range(0, chunks, packed)]
        rates[packed] = sorted(chunks / parsed(pieces, chunks) for _ in range(runs))
        print(cells(packed, f"{median(rates[packed]):,.0f}", f"{rates[packed][-1]:,.0f}"), flush=True)
    met = median(rates[1]) >= CHUNKS
    print(f"\n{len(events[0])} bytes each. Goal: ≥ {CHUNKS:,} chunks/s: {'ok' if met else '**not ok**'}.")
    return met


def parsed(pieces: list[bytes], chunks: int) -> float:
    """Seconds of CPU that parsing takes."""
    parser = Parser(8 << 20)
    began = time.process_time()
    said = sum(1 for piece in pieces for _ in parser.feed(piece))
    took = time.process_time() - began
    if said != chunks:
        raise SystemExit(f"{said} of {chunks} chunks were read: no measurement")
    return took


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--start", action="store_true", help="what 500 starts at once take")
    parser.add_argument("--parse", action="store_true", help="what parsing alone takes")
    parser.add_argument("--answers", default="", help="how many at once, by comma")
    parser.add_argument("--rate", type=float, default=40.0, help="tokens a second of one answer")
    parser.add_argument("--seconds", type=float, default=10.0, help="of one answer")
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    gc.disable()  # no cycles are made here, and a collection would be taken for a delay
    if given.parse:
        met = parsing(given.runs)
    elif given.start:
        met = starts(int(given.answers or 500), given.rate, given.runs)
    else:
        loads = [
            Load(int(count), given.rate, given.seconds)
            for count in (given.answers or "50,200,500").split(",")
        ]
        met = table(loads, given.runs)
    print(machine())
    raise SystemExit(not met)


if __name__ == "__main__":
    main()
