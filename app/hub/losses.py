"""What was let go of before anyone was handed it: counted, and kept for a while for who wants to hear of it.

Pure; the hub holds its lock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from app.hub.client import Client
from app.hub.events import LITERAL, Event

# Bytes of lost events that are kept for whoever wants to hear of them.
LAMENTED = 16 << 20


class Lost(NamedTuple):
    """Events that a client's mailbox let go of before anyone was handed them."""

    client_id: str
    events: list[Event]

    @property
    def size(self) -> int:
        """Bytes of their frames."""
        return sum(len(event.frame) for event in self.events)


class Losses:
    """`count`: how many events were ever let go of unhanded. Those since somebody took the list are kept as
    long as `mourned` tells that somebody wants them: else they would be kept in vain."""

    def __init__(self, mourned: Callable[[], bool]) -> None:
        self.count = 0
        self._mourned = mourned
        self._lost: list[Lost] = []
        self._size = 0  # bytes of them

    def note(self, client: Client, gone: list[Event]) -> None:
        """A client's mailbox let go of `gone`."""
        mark = client.mark
        lost = [event for event in gone if event.number > mark and event.kind != LITERAL]
        self.count += len(lost)
        if lost and self._mourned():
            self._keep(Lost(client.id, lost))

    def take(self) -> list[Lost]:
        """What was lost since this was last called, as far as it was kept."""
        lost, self._lost, self._size = self._lost, [], 0
        return lost

    def _keep(self, lost: Lost) -> None:
        """LAMENTED bytes at most: beyond, they are only counted."""
        if self._size + lost.size <= LAMENTED:
            self._size += lost.size
            self._lost.append(lost)
