"""Whether this process can open more files: streams leave some to calls, upstreams and health checks."""

from __future__ import annotations

import resource
from typing import Any

from app.errors import Overloaded

# Of the soft limit this share is kept for what is not a stream.
RESERVE = 0.1


def check_room(sock: Any, limit: int | None = None) -> None:
    """Raises Overloaded where the stream on `sock` would take the last descriptors. `limit`: the soft limit.

    The kernel gives the lowest number that is free, so a high one tells, without counting, that all below it
    are taken.
    """
    if sock is None:
        return
    soft = limit if limit is not None else resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft > 0 and sock.fileno() >= soft * (1 - RESERVE):
        raise Overloaded("Too many files are open", retry_after=10)
