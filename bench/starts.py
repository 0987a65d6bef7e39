"""Many answers asked for at once: how long until each says its first word, and what waits meanwhile.

Called by `python -m bench.relay --start`. The clock runs from before the first POST /chat until the first
delta of each answer is read; a GET /healthz on a kept connection is repeated all the while. In the first row
the answers go on at their pace, so what has begun is read and delivered while others still begin, and is in
the CPU of a start. In the second each has one delta, so that is the price of an answer that says nothing.
"""

from __future__ import annotations

import contextlib
import gc
import http.client
import os
import threading
import time
from statistics import median
from types import TracebackType
from typing import NamedTuple
from urllib.parse import urlsplit

from bench.figures import Cores, cells, foreign
from bench.paced import Paced
from bench.pinned import PATIENCE, names, on_core, served, two_cores
from bench.readers import Readers
from tests.rig.serving import Server

LAST, HEALTH, CPU = 2.0, 200.0, 1.4  # goals: seconds, ms, ms of CPU for a start with one delta
LENGTH = 5.0  # seconds of an answer that goes on
PAUSE = 0.005  # seconds between two GET /healthz
COLUMNS = (
    "each answer",
    "first delta, s: median",
    "last",
    "/healthz, ms: median",
    "worst",
    "CPU ms a start",
    "of its core",
    "others",
)


class Start(NamedTuple):
    """Seconds until a first delta, ms of a GET /healthz, CPU of the server in ms a start, cores."""

    middle: float
    last: float
    health: float
    worst: float
    cpu: float
    server: float
    others: float


class Health:
    """GET /healthz again and again on one connection, as a context manager; `took`: ms of each.

    A thread, so that it waits for nobody here. `lost` counts connections that the server did not keep.
    """

    def __init__(self, url: str) -> None:
        self._base = urlsplit(url)
        self.took: list[float] = []
        self.lost = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="health")

    def __enter__(self) -> Health:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        connection = http.client.HTTPConnection(self._base.hostname or "", self._base.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            while not self._over.wait(PAUSE):
                began = time.monotonic()
                try:
                    connection.request("GET", f"{self._base.path}/healthz")
                    connection.getresponse().read()
                except (OSError, http.client.HTTPException):
                    self.lost += 1
                    connection.close()
                self.took.append(1000 * (time.monotonic() - began))


def started(server: Server, upstream: Paced, answers: int, deltas: int) -> Start:
    """One run."""
    processes = {"server": [pid for pid, _ in server.family()], "bench": [upstream.pid, os.getpid()]}
    with Readers(server.url, names(answers), deltas, lambda sent, now: None) as readers:
        readers.open_all(PATIENCE)
        gc.collect()
        with Health(server.url) as health:
            readers.turns(0.2)
            health.took.clear()
            cores, began = Cores(processes), time.monotonic_ns()
            for reader in readers.all:
                readers.ask(reader)
            while readers.begun < answers and time.monotonic_ns() < began + PATIENCE * 1e9:
                readers.turn(0.05)
            used, seconds = cores.used(), (time.monotonic_ns() - began) / 1e9
        readers.finish(PATIENCE)
        if readers.faults or readers.whole != answers or health.lost:
            faults = f"{dict(readers.faults)}, {health.lost} × connection of /healthz not kept"
            raise SystemExit(f"{readers.whole} of {answers} came whole, {faults}: no measurement")
        firsts = [(reader.check.began - began) / 1e9 for reader in readers.all]
    cpu = 1000 * used["server"] * seconds / answers
    health_ms = median(health.took), max(health.took)
    return Start(median(firsts), max(firsts), *health_ms, cpu, used["server"], used["others"])


def starts(answers: int, rate: float, runs: int) -> bool:
    """Prints the table; whether the goals are met."""
    print(
        f"{answers} answers asked for at once, medians of {runs} runs; the upstream's first delta takes ",
        end="",
    )
    print(f"{1000 / rate:g} ms\n\n{cells(*COLUMNS)}\n{cells(*('---' for _ in COLUMNS))}")
    met = True
    server_core, core = two_cores()
    with on_core(core):
        for title, deltas in ((f"goes on at {rate:g} tokens/s", int(LENGTH * rate)), ("has one delta", 1)):
            with Paced(rate, deltas) as upstream, served(server_core, answers, upstream) as server:
                them = [started(server, upstream, answers, deltas) for _ in range(runs)]
            start = Start(*map(median, zip(*them, strict=True)))
            print(shown(title, start, max(one.others for one in them)), flush=True)
            met = met and start.last <= LAST and start.worst <= HEALTH and (deltas > 1 or start.cpu <= CPU)
    goals = f"last first delta ≤ {LAST:g} s, /healthz ≤ {HEALTH:g} ms, CPU with one delta ≤ {CPU:g} ms"
    print(f"\nGoals: {goals}: {'ok' if met else '**not ok**'}.")
    return met


def shown(title: str, start: Start, others: float) -> str:
    """One row of the table."""
    return cells(
        title,
        f"{start.middle:.2f}",
        f"**{start.last:.2f}**",
        f"{start.health:.1f}",
        f"**{start.worst:.0f}**",
        f"{start.cpu:.2f}",
        f"{start.server:.0%}",
        foreign(others),
    )
