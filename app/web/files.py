"""Whether this process can open more files: streams leave some to calls, upstreams and health checks."""

from __future__ import annotations

import math
import resource
from typing import Any

from app.errors import Overloaded

# Of the soft limit this share is kept for what is not a stream.
RESERVE = 0.1


class Files:
    """`limit`: the soft limit of open files, as it is when this is made; what raises it does so before."""

    def __init__(self, limit: int | None = None) -> None:
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if limit is None else limit
        self._kept = soft * (1 - RESERVE) if soft > 0 else math.inf  # RLIM_INFINITY is -1

    def check_room(self, sock: Any) -> None:
        """Raises Overloaded where the stream on `sock` would take the last descriptors.

        The kernel gives the lowest number that is free, so a high one tells, without counting, that all
        below it are taken.
        """
        if sock is not None and sock.fileno() >= self._kept:
            raise Overloaded("Too many files are open", retry_after=10)
