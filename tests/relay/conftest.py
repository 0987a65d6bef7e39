"""Fixtures of the relay's tests. Whatever one does, nothing of it may be left: no descriptor, no thread."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from app.relay import caller
from app.relay.connections import open_session
from app.relay.inlets import Inlets, Read, in_thread
from app.relay.upstream import Upstream
from tests.relay import HeldLookup
from tests.rig.certificate import make
from tests.rig.optional import missing
from tests.rig.reading import eventually
from tests.rig.upstream import ScriptedUpstream


@pytest.fixture(scope="session")
def reading() -> Read:
    """How upstreams are read in this process: where gevent has patched it on its loop, as in a server's."""
    if "gevent.monkey" not in sys.modules:
        return in_thread
    from app.hub.loop import GeventLoop, epoll, rules

    # Now: what is made later would be taken for something that a test left.
    made, known = (GeventLoop(), epoll()), threading.Event()
    # Whoever logs on the loop makes a thread of it in the books of `threading`, for good.
    made[0].soon(lambda: known.set() if threading.current_thread() else None)
    assert known.wait(5)
    return Inlets(lambda: made).read if rules() else in_thread


@pytest.fixture(autouse=True)
def every_upstream_is_read_so(monkeypatch: pytest.MonkeyPatch, reading: Read) -> None:
    monkeypatch.setitem(Upstream.__init__.__kwdefaults__, "read", reading)


@pytest.fixture(autouse=True)
def nothing_is_left(upstream_process: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Descriptors and threads are as many as before, shortly after each test, once the connections are closed
    that are kept for a next answer."""
    before, sessions = _held(), list[requests.Session]()

    def opened(*args: Any, **options: Any) -> requests.Session:
        sessions.append(open_session(*args, **options))
        return sessions[-1]

    monkeypatch.setattr(caller, "open_session", opened)
    yield
    for session in sessions:
        session.close()
    eventually(lambda: _held() == before or None, within=3.0)


@pytest.fixture
def another(request: pytest.FixtureRequest) -> Iterator[ScriptedUpstream]:
    """A second upstream, beside the one that all tests share."""
    with ScriptedUpstream() as second:
        yield second


@pytest.fixture
def lookup(monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldLookup]:
    """A look-up of HeldLookup.NAME hangs until the test lets it go, at its end at the latest."""
    held = HeldLookup()
    monkeypatch.setattr(socket, "getaddrinfo", held)
    yield held
    held.let_go()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 and its key, in one file, that nobody vouches for but itself."""
    if not shutil.which("openssl"):
        missing("The command openssl makes the certificate for this test: install the package openssl")
    return make(tmp_path_factory.mktemp("tls"))


def _held() -> tuple[int, int]:
    return len(os.listdir("/dev/fd")), threading.active_count()
