"""Half an hour of streams, answers and lost connections on a real gunicorn: does anything go missing or grow?

    python -m bench.soak            1,000 streams, 200 of them at 40 deltas/s, 50 reconnects/s, for 30 min
    python -m bench.soak --minutes 2 --every 10 --outlet generator

Server, upstream (bench/paced.py) and readers (bench/readers.py) are one process each, on loopback. A row of
the table is printed every minute; at the end stand the rise over its last two thirds and whether every answer
came whole and once. The exit status is 1 where one didn't, where something rose by more than a percent (and
by more than its own noise), or where connections are left when all have gone. `others` is what other
processes took of the cores: where that is much, the delays are theirs too.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import time
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from bench.added_latency import machine
from bench.figures import Cores, Delays, cells, rise
from bench.paced import Paced
from bench.readers import Readers
from tests.rig.serving import Server

PROBED = "tests.rig.probe:app"
PATIENCE = 60.0  # seconds for what should come in one or two
TOLERANCE = 1.0  # percent
# Mailboxes forget after a minute, so that their memory is level early; answers are remembered for ten.
SETTINGS = {"MAILBOX_AGE": "60", "BROADCAST_AGE": "60", "DRAIN_GRACE": "2", "LOG_LEVEL": "warning"}
# The columns, and how their values are written: those of Row, in its order.
COLUMNS = {
    "min": ".1f",
    "RSS MiB": ".1f",
    "descriptors": "d",
    "threads": "d",
    "greenlets": "d",
    "connections": "d",
    "deltas/s": ".0f",
    "p50 ms": ".2f",
    "p99 ms": ".2f",
    "max ms": ".1f",
    "reconnects/s": ".1f",
    "server %": ".0f",
    "others %": ".0f",
}
LEFT = ("connections", "clients", "threads", "greenlets", "descriptors", "objects", "rss_kib")
JUDGED = ("rss_mib", "descriptors", "greenlets", "p99")


@dataclass(frozen=True)
class Load:
    """`rows` of `every` seconds each; `rate` deltas/s of one answer, which has `deltas`; `reconnects` a
    second, of all streams together."""

    rows: int
    every: float
    streams: int
    talking: int
    rate: float
    deltas: int
    reconnects: float


class Row(NamedTuple):
    """What one row of the table says; delays in ms, who used the cores in percent of one."""

    minute: float
    rss_mib: float
    descriptors: int
    threads: int
    greenlets: int
    connections: int
    deltas_s: float
    p50: float
    p99: float
    max: float
    reconnects_s: float
    server: float
    others: float


class Soak:
    """The load, and the row that is being measured."""

    def __init__(self, load: Load, server: Server, upstream: Paced) -> None:
        self._load = load
        processes = {"server": [pid for pid, _ in server.family()], "bench": [upstream.pid, os.getpid()]}
        self._cores = Cores(processes)
        names = (f"soak-{number}" for number in range(load.streams))
        self.readers = Readers(server.url, names, load.deltas, self._seen)
        self.rows: list[Row] = []
        self.delivered = 0
        self._delays = Delays()
        self._timed_from = 0.0  # ns; deltas sent before that are not timed
        self._began = self._row_began = time.monotonic()
        self._before = (0, 0)  # delivered and opened, when the row began

    def run(self) -> None:
        """Opens the streams, and keeps the load up for its time."""
        self.readers.open_all(PATIENCE)
        self.readers.talk(self.readers.all[: self._load.talking], self._load.deltas / self._load.rate)
        self._began = time.monotonic()
        self._new_row()
        if self._load.reconnects:
            self.readers.every(1 / self._load.reconnects, self._cut_one)
        self.readers.every(self._load.every, self._probe)
        while len(self.rows) < self._load.rows:
            self.readers.turn(1)

    def finish(self) -> None:
        """Lets the answers that run come to their ends."""
        self.readers.finish(self._load.deltas / self._load.rate + PATIENCE)

    def _cut_one(self) -> None:
        self.readers.cut(random.choice(self.readers.all), reset=random.random() < 0.5)

    def _seen(self, sent: int, now: int) -> None:
        self.delivered += 1
        if sent > self._timed_from:
            self._delays.add(now - sent)

    def _probe(self) -> None:
        """Asks the server what it holds. It counts objects for that and does nothing else meanwhile: what is
        sent then is checked, but not timed."""
        if len(self.rows) < self._load.rows:
            self._timed_from = inf
            self.readers.call("GET", "/probe", self._probed)

    def _probed(self, status: int, body: bytes) -> None:
        if status != 200:
            raise SystemExit(f"GET /probe: {status} {body.decode()[:200]}")
        self.rows.append(self._row(json.loads(body)))
        print(shown(self.rows[-1]), flush=True)
        self._new_row()

    def _row(self, state: dict[str, int]) -> Row:
        now = time.monotonic()
        seconds, used = now - self._row_began, self._cores.used()
        return Row(
            minute=(now - self._began) / 60,
            rss_mib=state["rss_kib"] / 1024,
            descriptors=state["descriptors"],
            threads=state["threads"],
            greenlets=state["greenlets"],
            connections=state["connections"],
            deltas_s=(self.delivered - self._before[0]) / seconds,
            p50=self._delays.quantile(0.5),
            p99=self._delays.quantile(0.99),
            max=self._delays.quantile(1),
            reconnects_s=(self.readers.opened - self._before[1]) / seconds,
            server=100 * used["server"],
            others=100 * used["others"],
        )

    def _new_row(self) -> None:
        self._delays.clear()
        self._cores.used()
        self._row_began = time.monotonic()
        self._timed_from = time.monotonic_ns()
        self._before = (self.delivered, self.readers.opened)


def shown(row: Row) -> str:
    return cells(*(format(value, how) for value, how in zip(row, COLUMNS.values(), strict=True)))


def judgement(rise: float, error: float) -> str:
    """`noise`: it rises by more than TOLERANCE, but by less than values that vary so much rise by chance."""
    if rise <= TOLERANCE:
        return "ok"
    return "noise" if rise <= TOLERANCE + 2 * error else "**not ok**"


def verdict(rows: list[Row]) -> bool:
    """Prints how the last two thirds rise, as the table's last rows; False where one is `not ok`."""
    late = rows[len(rows) // 3 :]
    risen = {name: rise([getattr(row, name) for row in late]) for name in JUDGED}
    percents = {name: f"{by:+.2f} ± {error:.2f} %" for name, (by, error) in risen.items()}
    judged = {name: judgement(*by) for name, by in risen.items()}
    for title, said in ((f"rise over the last {len(late)}", percents), ("", judged)):
        print(cells(title, *(said.get(name, "") for name in Row._fields[1:])))
    return not any("not" in said for said in judged.values())


def left(server: Server, load: Load) -> dict[str, int]:
    """What the server holds once nobody is connected, or after PATIENCE."""
    with Readers(server.url, [], load.deltas, lambda sent, now: None) as caller:
        states: list[dict[str, int]] = []
        caller.every(
            0.5,
            lambda: caller.call("GET", "/probe?collect=1", lambda _, body: states.append(json.loads(body))),
        )
        deadline = time.monotonic() + PATIENCE
        while not (states and states[-1]["connections"] == 0) and time.monotonic() < deadline:
            caller.turn(1)
    return states[-1]


def soak(load: Load, settings: dict[str, str]) -> bool:
    """Prints the table; whether all went well."""
    print(
        f"{load.streams:,} streams, {load.talking} of them at {load.rate:g} deltas/s, "
        f"{load.reconnects:g} reconnects/s, {load.rows * load.every / 60:g} min\n"
    )
    print(cells(*COLUMNS))
    print(cells(*("---" for _ in COLUMNS)))
    with (
        Paced(load.rate, load.deltas) as upstream,
        Server({**SETTINGS, **settings}, upstream_url=upstream.url, app=PROBED, shutdown=PATIENCE) as server,
    ):
        soak = Soak(load, server, upstream)
        with soak.readers as readers:
            soak.run()
            soak.finish()
        level = verdict(soak.rows)
        after = left(server, load)
        tell(soak, after)
    return level and not readers.faults and not after["connections"]


def tell(soak: Soak, after: dict[str, int]) -> None:
    """What the table doesn't say."""
    readers = soak.readers
    faults = ", ".join(f"{count} × {what}" for what, count in readers.faults.items())
    print(
        f"\n{readers.whole:,} answers whole and once, {soak.delivered:,} deltas; faults: {faults or 'none'}."
    )
    print(f"The server ended {readers.ended} streams; undelivered there: {after['undelivered']}.")
    print(f"When all had left: {', '.join(f'{name} {after[name]:,}' for name in LEFT)}.")
    print(machine())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--every", type=float, default=60.0, help="seconds of one row")
    parser.add_argument("--streams", type=int, default=1_000)
    parser.add_argument("--talking", type=int, default=200, help="streams that are sent answers")
    parser.add_argument("--rate", type=float, default=40.0, help="deltas a second of one answer")
    parser.add_argument("--deltas", type=int, default=400, help="of one answer")
    parser.add_argument("--reconnects", type=float, default=50.0, help="a second, of all streams together")
    parser.add_argument("--outlet", default="auto", help="auto, socket or generator")
    given = parser.parse_args()
    load = Load(
        max(3, round(given.minutes * 60 / given.every)),
        given.every,
        given.streams,
        given.talking,
        given.rate,
        given.deltas,
        given.reconnects,
    )
    gc.disable()  # no cycles are made here, and a collection would be taken for a delay
    raise SystemExit(
        not soak(load, {"OUTLET": given.outlet, "ANSWERS_WORKER": str(max(500, 2 * given.talking))})
    )


if __name__ == "__main__":
    main()
