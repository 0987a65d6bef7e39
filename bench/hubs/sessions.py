"""What servers are put through for each group of rows: the steps of the load client, and their repeats.

All servers of a group are up at the same time, each with its client, and take turns, so that what is compared
lies a second or two apart: what a virtual machine is worth changes within seconds. Who is not asked does
nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench.figures import Cores
from bench.hubs.client import FOREIGN, Client, Result, busy
from bench.hubs.servers import KINDS, is_ours, started
from bench.pinned import on_core

Sample = dict[str, Result]  # by label
Say = Callable[[str], None]
TRIES = 3  # of a turn that others have spoiled
QUIET = 10.0  # seconds to wait until the machine has nothing else to do
OFF = 1.5 * FOREIGN  # of a core: nothing else, as a look of some tenths of a second sees it


@dataclass(frozen=True)
class Stage:
    """`prepare`: steps before it. `turns`: a label, and steps of which the last has the result; each can be
    taken again."""

    prepare: str
    turns: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Group:
    """Its stages; the servers take the turns of each so often. `alone`: only this server is put through."""

    stages: tuple[Stage, ...]
    passes: int = 1
    alone: bool = False


def _broadcasts(prepare: str, streams: int) -> Stage:
    steps = {"round": "round:5:60", "1 in flight": "flight:1:0.6", "4 in flight": "flight:4:0.6"}
    return Stage(
        f"{prepare} open:{streams} rest:300",
        tuple((f"{what} {streams}", step) for what, step in steps.items()),
    )


WARM = "open:50 close:300"
MEMORY = (
    *(("none", "memory:500"), ("1,000", "open:1000 memory:1000")),
    ("10,000", "open:10000 memory:1000"),
)
TROUBLE = (
    ("none", "close:500 open:500 rest:500 produce:6"),
    ("all", "close:500 open:500 stall:1000 vanish:1000 burst:48:8000 rest:500 produce:6:100"),
)
RETURN = (("over 2 s", "close:1500 back:5000:2"), ("at once", "close:1500 back:5000:0"))
GROUPS = {
    "broadcast": Group((_broadcasts(WARM, 1000), _broadcasts("", 5000)), passes=3),
    "scale": Group(
        (
            Stage(f"{WARM} open:1000 rest:300", (("1,000", "flight:1:0.6"),)),
            Stage("open:10000 rest:300", (("10,000", "flight:1:1"),)),
        ),
        passes=2,
    ),
    "tokens": Group((Stage("open:500", (("500", "rest:500 produce:6"),)),)),
    "trouble": Group((Stage(WARM, TROUBLE),), alone=True),
    "memory": Group((Stage(WARM, MEMORY),)),
    "connects": Group((Stage("open:500", (("4,000", "close:500 open:4000"),)),)),
    "return": Group((Stage("open:5000", RETURN),), alone=True),
}


def able(name: str, group: str) -> bool:
    """Whether the server of that name can be put through the group."""
    return is_ours(name) or not (GROUPS[group].alone or group in KINDS[name].without)


def sampled(
    name: str, servers: Sequence[str], cores: tuple[int, int], settings: dict[str, str], say: Say
) -> dict[str, list[Sample]]:
    """One group, by server and pass: all are started on the first core, a client for each on the second."""
    group = GROUPS[name]
    samples: dict[str, list[Sample]] = {server: [{} for _ in range(group.passes)] for server in servers}
    with ExitStack() as stack:
        clients = {server: stack.enter_context(_asked(server, cores, settings)) for server in servers}
        for stage in group.stages:
            for client in clients.values():
                client.steps(stage.prepare)
            wait_until_quiet()
            for number in range(group.passes):
                for server in list(clients)[:: 1 - 2 * (number % 2)]:
                    for label, steps in stage.turns:
                        result = samples[server][number][label] = _turn(clients[server], steps)
                        say(f"{name}, {label}: {server}: {_brief(result)}")
    return samples


@contextmanager
def _asked(server: str, cores: tuple[int, int], settings: dict[str, str]) -> Iterator[Client]:
    with started(server, cores[0], settings) as running:
        with on_core(cores[1]):
            client = Client.of(running.port, running.pids, running.arguments)
        with client:
            yield client


def _turn(client: Client, steps: str) -> Result:
    """Its result; of several tries the one that others have disturbed the least."""
    results = [client.steps(steps)]
    while busy(results[-1]) and len(results) < TRIES:
        wait_until_quiet()
        results.append(client.steps(steps))
    return min(results, key=lambda result: result.get("others", 0.0))


def wait_until_quiet() -> None:
    """Until all others together use little, or QUIET is over: then the results tell."""
    deadline, cores = time.monotonic() + QUIET, Cores({})
    time.sleep(0.3)
    while cores.used()["others"] > OFF and time.monotonic() < deadline:
        time.sleep(0.5)


def _brief(result: Result) -> str:
    return " ".join(f"{name}={value:.5g}" for name, value in result.items() if value)
