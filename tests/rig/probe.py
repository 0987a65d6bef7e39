"""The application as it is served, with one more route that counts what its process holds.

For tests and benches, on loopback: `Server(app="tests.rig.probe:app")`. GET /probe answers

    {"connections", "clients", "undelivered",   what the hub knows of
     "threads", "greenlets", "descriptors",     what the worker has alive or open, this request's included
     "rss_kib", "objects", "pid",               `objects`: all the collector tracks; 0 without ?collect=1
     "at"}                                      where the greenlets stand: how many in which calls

`?trim=1` first has the C library give back what it keeps for later: what is resident then is in use.
`?ahead=900` first puts the clock of this process forward by so many seconds and has the hub let go of what is
old by then, so that nobody has to wait ten minutes to see a mailbox forgotten.

`SABOTAGE=drop|repeat|swap|leak` in the environment breaks the hub, in memory: whoever claims to notice such a
thing can be seen to. `none` doesn't.
"""

from __future__ import annotations

import ctypes
import gc
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from flask import request
from greenlet import getcurrent, greenlet

# One in so many suffers: often enough for a scenario of some dozen events.
EVERY = 7
_BLOCK = re.compile(rb".*?\n\n", re.DOTALL)


class Clock:
    """time.monotonic for whoever takes it after this module; gevent's own timers keep the real one."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self._real = time.monotonic

    def __call__(self) -> float:
        return self._real() + self.ahead


class Saboteur:
    """Stands between a hub and its outlets: log entries are dropped, come twice or after the next one; or
    streams that ended stay on the list."""

    def __init__(self, how: str) -> None:
        self._how = how
        self._seen = 0
        self._held: dict[str, bytes] = {}  # by connection: the entry that comes after the next

    def spoil(self, hub: Any) -> None:
        if self._how == "leak":
            hub.leave = self._forgetting(hub.leave)
        elif self._how != "none":
            hub.take = self._garbling(hub.take)

    def _forgetting(self, leave: Callable[..., None]) -> Callable[..., None]:
        return lambda *args: None if self._due() else leave(*args)

    def _garbling(self, take: Callable[..., bytes]) -> Callable[..., bytes]:
        def garbled(connection: Any) -> bytes:
            return b"".join(self._frame(connection.id, frame) for frame in _BLOCK.findall(take(connection)))

        return garbled

    def _due(self) -> bool:
        self._seen += 1
        return self._seen % EVERY == 0

    def _frame(self, connection: str, frame: bytes) -> bytes:
        if not frame.startswith(b"id:"):
            return frame
        due, held = self._due(), self._held.pop(connection, b"")
        if self._how == "repeat":
            return frame * 2 if due else frame
        if due and self._how == "swap" and not held:
            self._held[connection] = frame
        return b"" if due and not held else frame + held


def counts() -> dict[str, Any]:
    """What GET /probe answers."""
    if "ahead" in request.args:
        clock.ahead += float(request.args["ahead"])
        hub.upkeep.age()
    collect = "collect" in request.args
    if collect:
        gc.collect()
    if "trim" in request.args:
        with suppress(AttributeError):  # not glibc
            ctypes.CDLL(None).malloc_trim(0)
    tracked = gc.get_objects()
    greenlets = [each for each in tracked if _is_ours(each)]
    return {
        **hub.counts(),
        "threads": threading.active_count(),
        "greenlets": len(greenlets),
        "at": Counter(map(_place, greenlets)),
        "descriptors": len(os.listdir("/proc/self/fd")) - 1,  # the listing is one
        "objects": len(tracked) + gc.get_freeze_count() if collect else 0,
        "rss_kib": _resident(),
        "pid": os.getpid(),
    }


def _is_ours(each: object) -> bool:
    """Whether it is a greenlet of this thread: gevent keeps some others, for names to be looked up in."""
    # By type, not isinstance: that would ask proxies what they stand for.
    return issubclass(type(each), greenlet) and not each.dead and _root(each) is _root(getcurrent())


def _root(each: greenlet) -> greenlet:
    while each.parent is not None:
        each = each.parent
    return each


def _place(each: greenlet) -> str:
    """Where a greenlet stands, the innermost call first."""
    frame, names = each.gr_frame, []
    while frame:
        names.append(f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_name}")
        frame = frame.f_back
    return " < ".join(names[:6]) or "running, or not started"


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


time.monotonic = clock = Clock()

from wsgi import app  # noqa: E402  # its parts take hold of the clock

app.get("/probe")(counts)
hub = app.extensions["deltahub"].hub
if how := os.environ.get("SABOTAGE"):
    Saboteur(how).spoil(hub)
