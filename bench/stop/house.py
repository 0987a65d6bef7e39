"""One real server for all phases: upstreams of every kind, 200 answers that run beside, and the calls of it.

The upstreams that can tell are processes of their own. For phases.py, __main__.py and tests/e2e/test_stop.py.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from app.relay.connections import IDLE
from bench.paced import Paced
from bench.readers import Readers
from bench.stress.house import TOKEN, Caller
from tests.rig.addresses import deaf
from tests.rig.mute import Mute
from tests.rig.reading import eventually
from tests.rig.serving import Server
from tests.rig.upstream import ScriptedUpstream

OTHERS = 200  # answers that run beside
RATE = 4.0  # deltas a second of each
DELTAS = 2000  # of each: they outlast whatever is measured
PATIENCE = 20.0
SETTINGS = {
    "ADMIN_TOKEN": TOKEN,
    "ANSWERS_CLIENT": "50",
    "CONNECT_TIMEOUT": "30",
    "DRAIN_GRACE": "1",
    "RETRY_BASE": "0.02",
    # A flood has no end here but Stop.
    "ANSWER_TOKENS": str(10**9),
    "ANSWER_BYTES": str(10**9),
    "GUNICORN_CMD_ARGS": "--keep-alive=1",
}
# Of what the server holds, what a stopped answer must give back.
COUNTED = ("connections", "threads", "greenlets", "descriptors")


class House:
    """`with House(certificate) as house:` … `certificate`: one for 127.0.0.1, with its key, in one file."""

    def __init__(self, certificate: Path, others: int = OTHERS) -> None:
        self._certificate, self._others = certificate, others

    def __enter__(self) -> House:
        with contextlib.ExitStack() as stack:
            self.plain = stack.enter_context(ScriptedUpstream())
            self.tls = stack.enter_context(ScriptedUpstream(self._certificate))
            self.mute = stack.enter_context(Mute())
            self.small = stack.enter_context(Mute(receive=4096))
            self.deaf = stack.enter_context(deaf())
            paced = stack.enter_context(Paced(RATE, DELTAS))
            self.server = stack.enter_context(self._server(stack, paced.url))
            self.calls = Caller(self.server.port)
            stack.callback(self.calls.close)
            self.beside = stack.enter_context(Beside(self.server.url, self._others))
            self.before = self.holds()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def view(self, generation: str) -> dict[str, Any]:
        """GET /chat/<id>."""
        reply = self.calls.call("GET", f"/chat/{generation}")
        assert reply.status == 200, reply
        return reply.json

    def stop(self, generation: str) -> float:
        """The moment right before the request was sent."""
        at = time.monotonic()
        reply = self.calls.post(f"/chat/{generation}/stop", {})
        assert (reply.status, reply.json["state"]) == (200, "done"), reply
        return at

    def holds(self) -> dict[str, int]:
        """What the server's process holds, by what is counted; see tests/rig/probe.py."""
        self.calls.close()
        held = self.calls.call("GET", "/probe", headers={"Connection": "close"}).json
        return {name: held[name] for name in COUNTED}

    def check_left(self) -> None:
        """AssertionError unless all sockets, greenlets and threads of answers that were stopped are gone; of
        answers that were not, the connections are old by now."""
        self.calls.close()
        self.calls.call("GET", f"/probe?ahead={IDLE + 1}", headers={"Connection": "close"})
        for upstream in (self.plain, self.tls):
            eventually(lambda upstream=upstream: not upstream.state()["open"])
        eventually(lambda: all(now <= self.before[name] for name, now in self.holds().items()))

    def _server(self, stack: contextlib.ExitStack, default: str) -> Server:
        upstreams = [
            {"name": "paced", "url": default},
            {"name": "plain", "url": self.plain.url},
            {"name": "tls", "url": self.tls.url, "ca": str(self._certificate)},
            {"name": "mute", "url": self.mute.url},
            {"name": "mute-tls", "url": self.mute.tls_url, "ca": str(self._certificate)},
            {"name": "small", "url": self.small.url},
            {"name": "deaf", "url": self.deaf},
        ]
        file = Path(stack.enter_context(tempfile.TemporaryDirectory()), "upstreams.json")
        file.write_text(json.dumps(upstreams))
        return Server({**SETTINGS, "UPSTREAMS": str(file)}, app="tests.rig.probe:app")


class Beside:
    """So many answers that run, each with a client that reads it, in a thread; in use once all have begun."""

    def __init__(self, url: str, count: int) -> None:
        self.deltas = 0
        self._over = False
        names = [f"beside-{number}" for number in range(count)]
        self._readers = Readers(url, names, DELTAS, lambda sent, now: self._seen())
        self._thread = threading.Thread(target=self._read, name="beside", daemon=True)

    def __enter__(self) -> Beside:
        self._readers.open_all(PATIENCE)
        self._readers.talk(self._readers.all, 1.0)
        while self.deltas < 2 * len(self._readers.all):
            self._readers.turn(0.1)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over = True
        self._thread.join()
        self._readers.__exit__()

    def check(self) -> None:
        """AssertionError unless all of them still run, whole so far, and go on."""
        waiting, count, before = self._readers.waiting, len(self._readers.all), self.deltas
        assert not self._readers.faults, f"answers that ran beside were disturbed: {self._readers.faults}"
        assert waiting == count, f"{count - waiting} answers beside have ended"
        eventually(lambda: self.deltas > before or not count)

    def _seen(self) -> None:
        self.deltas += 1

    def _read(self) -> None:
        while not self._over:
            self._readers.turn(0.1)
