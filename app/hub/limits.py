"""The numbers a hub lives by, in seconds and bytes; defaults and their reasons are in app/settings.py."""

from __future__ import annotations

from dataclasses import dataclass

from app.hub.log import Retention


@dataclass(frozen=True)
class Limits:
    """`connections…`: open streams of the process, a client, an address. `memory`: all mailboxes together."""

    mailbox: Retention
    news: Retention
    clients: int = 50_000
    connections: int = 10_000
    connections_client: int = 10
    connections_address: int = 200
    memory: int = 512 << 20
    heartbeat: float = 15.0
    lifetime: float = 1800.0
    slow: float = 30.0
    retry_ms: int = 2_000
    client_memory: float = 60.0
    keys: int = 100_000
