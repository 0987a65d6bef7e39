"""Who may still come in: open streams counted by process, client and address.

Pure; the hub holds its lock. Nobody else's stream ends for it: those thrown out would come back, and
throw out others.
"""

from __future__ import annotations

from collections import Counter

from app.errors import Overloaded
from app.hub.client import Client
from app.hub.connection import Connection
from app.hub.crowd import Crowd
from app.hub.limits import Limits


class Admission:
    """The open streams of a process; `ending`: those of them that are about to end."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.streams = Crowd()
        self.ending: set[Connection] = set()
        self._addresses: Counter[str] = Counter()

    def crowded(self, client: Client) -> bool:
        """Whether a client has all the streams it may have; those that end already don't count."""
        return len(client.open) >= self._limits.connections_client

    def check(self, client: Client | None, address: str) -> None:
        """Raises Overloaded where there is no room for one more stream. `address`: "" counts for nobody."""
        if len(self.streams) >= self._limits.connections:
            raise Overloaded("Too many streams are open", retry_after=10)
        if client and self.crowded(client):
            raise Overloaded("Too many streams of this client are open", retry_after=10)
        if self._addresses[address] >= self._limits.connections_address:
            raise Overloaded("Too many streams of this address are open", retry_after=10)

    def enter(self, connection: Connection) -> None:
        self.streams.enter(connection)
        if connection.address:
            self._addresses[connection.address] += 1

    def leave(self, connection: Connection) -> None:
        self.streams.leave(connection)
        self.ending.discard(connection)
        if connection.address:
            self._addresses[connection.address] -= 1
            if not self._addresses[connection.address]:
                del self._addresses[connection.address]
