"""What it takes to ask an upstream: a request and an answer of one delta, by the relay and by others.

    python -m bench.asking
    python -m bench.asking --requests 500 --rounds 9

One process under gevent, as the server is, asks an upstream in another (bench/paced.py), one request after
the other: by the relay's Upstream, which keeps the connection; by `requests.post`, with a session and a
connection for each; by one `requests.Session`. In turns, CPU time of the asking process, medians of the
rounds. The body is read to its end by all three, and checked. The exit status is 1 where the relay's takes
more than 0.8 ms.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from statistics import median
from typing import Any

GOAL = 0.8  # ms
ASKED = {"model": "paced", "messages": [{"role": "user", "content": "How much is one request?"}]}
Ask = Callable[[], int]


def by_the_relay(url: str, **options: Any) -> Ask:
    """Each returns how many deltas came. `options`: see Upstream."""
    from app.relay.deltas import Delta
    from app.relay.line import Line
    from app.relay.upstream import Upstream

    upstream = Upstream(url, **options)

    def ask() -> int:
        said: list[Any] = []

        def hear(each: Any) -> bool:
            said.append(each)
            return True

        upstream.ask(ASKED, Line(), hear)
        return sum(type(each) is Delta for each in said)

    return ask


def by_requests(url: str, post: Callable[..., Any]) -> Ask:
    def ask() -> int:
        with post(f"{url}/chat/completions", json={**ASKED, "stream": True}, stream=True) as response:
            return int(response.content.count(b'"content":'))

    return ask


def cost(ask: Ask, requests: int) -> float:
    """Milliseconds of CPU each. Raises SystemExit where an answer did not come whole."""
    began = time.process_time()
    deltas = sum(ask() for _ in range(requests))
    took = time.process_time() - began
    if deltas != requests:
        raise SystemExit(f"{deltas} of {requests} answers came: no measurement")
    return 1000 * took / requests


def table(ways: dict[str, Ask], rounds: int, requests: int) -> dict[str, float]:
    """By way, ms each; in turns, since the speed of a machine changes."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for ask in ways.values():
        cost(ask, 5)
    for _ in range(rounds):
        for name, ask in ways.items():
            found[name].append(cost(ask, requests))
    return {name: median(costs) for name, costs in found.items()}


def main() -> None:
    from gevent import monkey

    monkey.patch_all()
    import requests

    from bench.added_latency import machine
    from bench.figures import cells
    from bench.paced import Paced
    from bench.pinned import on_core, two_cores

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=200, help="in a round, of each")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    core, other = two_cores()
    with on_core(other):
        upstream = Paced(1000, 1)
    with upstream, on_core(core), requests.Session() as session:
        ways = {
            "the relay": by_the_relay(upstream.url),
            "requests.post": by_requests(upstream.url, requests.post),
            "one requests.Session": by_requests(upstream.url, session.post),
        }
        gc.disable()
        found = table(ways, given.rounds, given.requests)
    print(f"{cells('asked by', 'CPU ms a request')}\n{cells('---', '---')}")
    for name, each in found.items():
        print(cells(name, f"**{each:.2f}**"))
    met = found["the relay"] <= GOAL
    print(f"\nGoal: ≤ {GOAL:g} ms: {'ok' if met else '**not ok**'}.\n{machine()}")
    raise SystemExit(not met)


if __name__ == "__main__":
    main()
