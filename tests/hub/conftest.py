"""What all tests of the hub have: Hypothesis without clocks, a hub with one client, a real TCP connection."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.hub.ends import Pair, connected
from tests.hub.kit import Desk

# A busy machine proves nothing.
settings.register_profile("calm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("calm")


@pytest.fixture
def desk() -> Desk:
    """A hub that knows client `c`."""
    desk = Desk()
    desk.meet()
    return desk


@pytest.fixture
def pair() -> Iterator[Pair]:
    with connected() as pair:
        yield pair
