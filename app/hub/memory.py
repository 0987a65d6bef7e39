"""How much all mailboxes of a process weigh together, and what goes first where that is too much.

Pure; the hub holds its lock.
"""

from __future__ import annotations

from collections.abc import Iterable

from app.hub.client import Client

# Once over the limit this share of it is let go at once: else each further event would look for a victim.
RELIEF = 0.05


class Memory:
    """`used`: bytes of all mailboxes, frames and texts, and what Python needs around them; `elsewhere`: of
    the texts that others hold, which count against the same limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = self.elsewhere = 0

    @property
    def full(self) -> bool:
        """Whether nothing more is taken that could be refused."""
        return self.used + self.elsewhere > self.limit

    def relieve(self, clients: Iterable[Client]) -> None:
        """Lets go of events that were handed, of `clients` in their order, those with a stream or a running
        answer left out. Cursors from before what went get `reset`."""
        for client in clients:
            if self.used + self.elsewhere <= self.limit * (1 - RELIEF):
                return
            if client.idle and len(client.mailbox):
                before = client.mailbox.weight
                client.mailbox.release(client.mark)
                self.used += client.mailbox.weight - before
