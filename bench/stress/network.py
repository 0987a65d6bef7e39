"""A network of one's own, where packets vanish without harm to others: a Linux namespace, loopback only."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator

from bench.stress.running import NotPossible

_NEW_NETWORK = 0x40000000  # CLONE_NEWNET, sched.h


@contextlib.contextmanager
def network_of_its_own() -> Iterator[None]:
    """This thread, and what it starts, in a network that has nothing but loopback. Raises NotPossible."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "unshare") or not shutil.which("ip"):
        raise NotPossible("losing packets takes Linux with iproute2")
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if libc.unshare(_NEW_NETWORK):
            raise NotPossible("losing packets takes the rights of root (CAP_SYS_ADMIN)")
        try:
            _ip("link", "set", "lo", "up")
            yield
        finally:
            libc.setns(home, _NEW_NETWORK)
    finally:
        os.close(home)


def cut_off(address: str) -> None:
    """From now on what is sent to this loopback address vanishes: nobody is told, no connection ends."""
    _ip("route", "add", "blackhole", f"{address}/32", "table", "local")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
