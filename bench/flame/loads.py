"""The load of each path: what the server has to do while it is sampled.

Each is a context manager over a fresh server on the first core, and gives the pid of its worker and a
function that keeps it at this work from the second core, for the `seconds` that were announced.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path

from bench.hubs.client import Client, faults
from bench.hubs.servers import started
from bench.paced import Paced
from bench.pinned import PATIENCE, names, on_core, served, two_cores
from bench.readers import Readers

Load = tuple[int, Callable[[], None]]

STREAMS = 1_000
SPEAKING = 500  # streams with deltas of their own, 20 to 60 a second
OPENING = 2_000  # streams that are opened at once, and closed again
ANSWERS, RATE = 250, 40.0  # answers at once, and deltas a second of each
STARTING = 100  # clients whose answers are always about to begin
SPREAD = 1.0  # seconds in which all of them ask
BREAK = 200  # ms for the server to see that streams were closed


def broadcast(seconds: float) -> AbstractContextManager[Load]:
    """One broadcast after the other to 1,000 streams, the next when all have the last."""
    return _asked(f"open:{STREAMS}", lambda client: _step(client, f"flight:1:{seconds:g}"))


def tokens(seconds: float) -> AbstractContextManager[Load]:
    """Deltas published to 500 streams, 40 a second to each, by as many greenlets."""
    return _asked(f"open:{SPEAKING}", lambda client: _step(client, f"produce:{seconds:g}"))


def connect(seconds: float) -> AbstractContextManager[Load]:
    """Streams that open, 2,000 of them, and close, again and again."""

    def keep(client: Client) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            _step(client, f"open:{OPENING}")
            _step(client, f"close:{BREAK}")

    return _asked("open:50", keep)


@contextmanager
def _asked(first: str, keep: Callable[[Client], None]) -> Iterator[Load]:
    """By the load client of bench/hubs: `first` is its step before the sampling begins."""
    server_core, core = two_cores()
    with ExitStack() as stack:
        running = stack.enter_context(started("ours", server_core, {}))
        stack.enter_context(on_core(core))
        client = stack.enter_context(Client(["--port", str(running.port), *running.arguments]))
        client.step(first)
        yield worker(running.pids), partial(keep, client)


def _step(client: Client, step: str) -> None:
    """Raises SystemExit where anything was lost, cut or refused."""
    if wrong := faults(client.step(step)):
        raise SystemExit(f"{step}: {wrong}: the server did not do what it is drawn for")


def relay(seconds: float) -> AbstractContextManager[Load]:
    """250 answers at once, 40 tokens a second each, from the upstream to the reader."""
    return _answering(seconds, ANSWERS, int((seconds + 5 * SPREAD) * RATE))


def start(seconds: float) -> AbstractContextManager[Load]:
    """100 clients who ask for an answer of one word, and for the next when they have it."""
    return _answering(seconds, STARTING, 1)


@contextmanager
def _answering(seconds: float, count: int, length: int) -> Iterator[Load]:
    """As many clients whose next answer is asked for when the last has ended; `length` in deltas."""
    server_core, core = two_cores()
    with (
        on_core(core),
        Paced(RATE, length) as upstream,
        served(server_core, count, upstream) as server,
        Readers(server.url, names(count), length, lambda sent, now: None) as readers,
    ):
        readers.open_all(PATIENCE)
        readers.talk(readers.all, SPREAD)
        yield worker([pid for pid, _ in server.family()]), partial(readers.turns, seconds)
        if readers.faults:
            raise SystemExit(f"{dict(readers.faults)}: the server did not do what it is drawn for")


LOADS = {load.__name__: load for load in (broadcast, tokens, relay, start, connect)}


def worker(pids: list[int]) -> int:
    """Of gunicorn's processes the one that serves: its parent is among them, too."""
    return next(pid for pid in pids if _parent(pid) in pids)


def _parent(pid: int) -> int:
    # pid (name) state parent …; the name may hold anything. [proc(5)]
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
