"""Broadcasts to ten thousand streams, and what they cost the answers that are being written meanwhile.

    python -m bench.fanout                                10,000 streams, 50 more with 20 deltas/s each
    python -m bench.fanout --connections 2000 --outlet generator

A process of its own (bench/crowd.py) holds the streams; this one reads the answers (bench/readers.py), first
without broadcasts, then with one every --gap seconds, all on loopback. A delta's delay is the time from its
sending at the upstream (bench/paced.py) until it is read here. The exit status is 1 where the goal is missed:
p99 ≤ 10 ms for the deltas that meet a broadcast.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import re
import secrets
import time
from bisect import bisect_left
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.added_latency import machine
from bench.crowd import SIGN, Crowd
from bench.figures import Cores, Delays, cells
from bench.paced import Paced
from bench.readers import Readers
from tests.rig.serving import Server

GOAL = 10.0  # ms
PATIENCE = 60.0  # seconds for what should come in one or two
LENGTH = 10.0  # seconds of one answer


@dataclass(frozen=True)
class Load:
    """`rate` deltas/s of one answer; `seconds` without broadcasts, as many with one every `gap` seconds."""

    connections: int
    talking: int
    rate: float
    seconds: float
    gap: float


@dataclass(frozen=True)
class Delta:
    """When it was sent and read, in ns."""

    sent: int
    read: int


class Fanout:
    """The answers that are read, and the broadcasts that go out."""

    def __init__(self, load: Load, url: str, token: str) -> None:
        self._load = load
        names = (f"talk-{number}" for number in range(load.talking))
        self.readers = Readers(url, names, int(load.rate * LENGTH), self._seen)
        self._head = f"Authorization: Bearer {token}\r\n".encode()
        self.deltas: list[Delta] = []
        self.posted: list[int] = []  # ns
        self.began = 0  # ns; from here on there are broadcasts

    def run(self) -> None:
        self.readers.open_all(PATIENCE)
        self.readers.talk(self.readers.all, LENGTH)
        self.deltas.clear()
        self.readers.turns(self._load.seconds)
        self.began = time.monotonic_ns()
        for number in range(int(self._load.seconds / self._load.gap)):
            self.readers.later(number * self._load.gap, self._broadcast)
        self.readers.turns(self._load.seconds)

    def _seen(self, sent: int, now: int) -> None:
        self.deltas.append(Delta(sent, now))

    def _broadcast(self) -> None:
        self.posted.append(time.monotonic_ns())
        self.readers.call("POST", "/admin/broadcast", self._answered, {"data": SIGN}, self._head)

    def _answered(self, status: int, body: bytes) -> None:
        reached = json.loads(body).get("connections") if status == 200 else 0
        if reached != self._load.connections + self._load.talking:
            self.readers.faults[f"broadcast: {status}, {reached} connections"] += 1


def meeting(deltas: Iterable[Delta], spans: list[tuple[int, int]]) -> list[Delta]:
    """Those that were under way at any moment of one of the spans, which are in order."""
    ends = [end for _, end in spans]

    def meets(delta: Delta) -> bool:
        first = bisect_left(ends, delta.sent)  # the first span that isn't over when it is sent
        return first < len(spans) and spans[first][0] <= delta.read

    return [delta for delta in deltas if meets(delta)]


def row(title: str, deltas: list[Delta]) -> tuple[str, float]:
    """A row of the table, and its p99."""
    delays = Delays()
    for delta in deltas:
        delays.add(delta.read - delta.sent)
    quantiles = [delays.quantile(share) for share in (0.5, 0.99, 1)]
    return cells(title, f"{len(deltas):,}", *(f"{quantile:.2f}" for quantile in quantiles)), quantiles[1]


def table(fanout: Fanout, arrived: dict[int, int], gap: float) -> bool:
    """Prints it; whether the goal is met."""
    spans = [(posted, arrived[i]) for i, posted in enumerate(fanout.posted, 1) if i in arrived]
    before = [delta for delta in fanout.deltas if delta.sent < fanout.began]
    after = [delta for delta in fanout.deltas if delta.sent >= fanout.began]
    print("| delay of a delta, ms | deltas | p50 | p99 | max |\n|---|---|---|---|---|")
    print(row("without broadcasts", before)[0])
    print(row(f"one broadcast every {gap:g} s", after)[0])
    line, p99 = row("of these, while a broadcast was under way", meeting(after, spans))
    print(line)
    took = sorted((end - start) / 1e6 for start, end in spans)
    if took:
        print(
            f"\nFrom POST /admin/broadcast until the last stream had it: "
            f"median {took[len(took) // 2]:.1f} ms, max {took[-1]:.1f} ms, {len(took)} broadcasts."
        )
    print(f"Goal: p99 ≤ {GOAL:g} ms under way: {'ok' if p99 <= GOAL else '**not ok**'}.")
    return p99 <= GOAL


def resident(server: Server) -> int:
    """KiB of memory of all its processes."""
    statuses = (Path(f"/proc/{pid}/status").read_text() for pid, _ in server.family())
    return sum(int(found[1]) for status in statuses if (found := re.search(r"VmRSS:\s+(\d+)", status)))


def measured(load: Load, settings: dict[str, str]) -> bool:
    """Prints all; whether the goal is met and nothing was lost."""
    token = secrets.token_hex(32)
    limits = {"CONNECTIONS_WORKER": str(load.connections + 2 * load.talking)}
    settings = {"ADMIN_TOKEN": token, "DRAIN_GRACE": "2", "LOG_LEVEL": "warning", **limits, **settings}
    with (
        Paced(load.rate, int(load.rate * LENGTH)) as upstream,
        Server(settings, upstream_url=upstream.url, shutdown=PATIENCE) as server,
        ExitStack() as stack,
    ):
        before = resident(server)
        crowd = stack.enter_context(Crowd(server.url, load.connections))
        each = (resident(server) - before) / load.connections
        fanout = Fanout(load, server.url, token)
        pids = {"server": [pid for pid, _ in server.family()], "crowd": [crowd.pid]}
        cores = Cores({**pids, "upstream": [upstream.pid], "reader": [os.getpid()]})
        with fanout.readers as readers:
            fanout.run()
            used = cores.used()
            arrived, gone = crowd.leave()
    print(f"{load.connections:,} streams, {load.talking} more with {load.rate:g} deltas/s each\n")
    met = table(fanout, arrived, load.gap)
    lost = len(fanout.posted) - len(arrived)
    faults = ", ".join(f"{count} × {what}" for what, count in readers.faults.items())
    print(f"An idle stream, with its client and mailbox: {each:.2f} KiB of resident memory.")
    print(f"Streams that ended: {gone}; broadcasts that missed one: {lost}; faults: {faults or 'none'}.")
    print(f"Of a core: {', '.join(f'{name} {share:.0%}' for name, share in used.items())}.")
    print(machine())
    return met and not gone and not lost and not readers.faults


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--connections", type=int, default=10_000, help="streams that get broadcasts only")
    parser.add_argument("--talking", type=int, default=50, help="streams that are sent answers")
    parser.add_argument("--rate", type=float, default=20.0, help="deltas a second of one answer")
    parser.add_argument("--seconds", type=float, default=20.0, help="without broadcasts, and again with")
    parser.add_argument("--gap", type=float, default=1.0, help="seconds between two broadcasts")
    parser.add_argument("--outlet", default="auto", help="auto, socket or generator")
    given = parser.parse_args()
    load = Load(given.connections, given.talking, given.rate, given.seconds, given.gap)
    gc.disable()  # no cycles are made here, and a collection would be taken for a delay
    raise SystemExit(not measured(load, {"OUTLET": given.outlet}))


if __name__ == "__main__":
    main()
