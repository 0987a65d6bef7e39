"""gevent's event loop, as far as sockets that are ours need it.

The one module that imports gevent; imported in a gevent worker only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
from gevent import monkey

READ = 1


class GeventLoop:
    """The loop of the thread that makes this. What it calls must not block, nor switch."""

    def __init__(self) -> None:
        self._loop = gevent.get_hub().loop
        self._watchers: list[Any] = []

    def soon(self, call: Callable[[], None]) -> None:
        """Once, when all that this turn of the loop found ready has run."""
        self._loop.run_callback(call)

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Once, after `seconds`; 0: after the next look at what is ready."""
        # A new one each time: one that is stopped keeps what remained of its time.
        timer = self._loop.timer(seconds)
        timer.start(_fire, timer, call)

    def readable(self, descriptor: int, call: Callable[[], None]) -> None:
        """Each time something can be read, from now on."""
        watcher = self._loop.io(descriptor, READ)
        watcher.start(call)
        self._watchers.append(watcher)


def _fire(timer: Any, call: Callable[[], None]) -> None:
    timer.close()
    call()


def rules() -> bool:
    """Whether threads are greenlets here, and so whatever waits must do so on the loop."""
    return bool(monkey.is_module_patched("threading"))


def epoll() -> Any:
    """A private epoll: gevent takes `select.epoll` away. AttributeError where the system has none."""
    return monkey.get_original("select", "epoll")()
