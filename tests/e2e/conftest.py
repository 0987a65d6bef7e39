"""Servers of a test's own, of every kind, and one for all that send odd bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.e2e.kit import Place
from tests.relay.conftest import certificate
from tests.rig.upstream import ScriptedUpstream

__all__ = ["certificate"]
MakePlace = Callable[..., Place]


@pytest.fixture
def place_at(upstream_process: ScriptedUpstream) -> Iterator[MakePlace]:
    """`place_at("--threads 8", OUTLET="generator")`: see Place."""
    with ExitStack() as stack:

        def start(*args: str, **how: object) -> Place:
            given = {"upstream_url": upstream_process.url, **how}
            return stack.enter_context(Place(*args, **given))  # type: ignore[arg-type]

        yield start


@pytest.fixture(scope="module")
def place(upstream_process: ScriptedUpstream) -> Iterator[Place]:
    """The server as it is started, its streams on their own sockets, for all tests of a module."""
    with Place(upstream_url=upstream_process.url) as place:
        yield place
