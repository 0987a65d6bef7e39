"""A server on a core of its own, and all who call it on another, so that they take no time from it.

Used by the benches that tell what the server costs: bench/relay.py, bench/starts.py.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator

from bench.paced import Paced
from tests.rig.serving import Server

PATIENCE = 60.0  # seconds for what should come in one or two


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """What is started in here stays on this core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def two_cores() -> tuple[int, int]:
    """One for the server, one for all else. Raises SystemExit where there is but one."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("this bench needs two cores: one for the server, one for upstream and readers")
    return cores[0], cores[1]


@contextlib.contextmanager
def served(core: int, answers: int, upstream: Paced) -> Iterator[Server]:
    """A server on its core, as it comes but for its bounds, with an own socket for each stream."""
    settings = {"ANSWERS_WORKER": str(answers), "OUTLET": "socket", "DRAIN_GRACE": "2"}
    with contextlib.ExitStack() as stack:
        with on_core(core):
            server = stack.enter_context(Server(settings, upstream_url=upstream.url, shutdown=PATIENCE))
        yield server


def names(count: int) -> Iterator[str]:
    """Of clients that have never been here."""
    run = uuid.uuid4().hex[:8]
    return (f"bench-{run}-{number}" for number in range(count))
