"""A real server under probe, its upstream, and the calls a scenario makes of them.

What is counted of the server's process comes from tests/rig/probe.py.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import orjson

from bench.stress.crowd import Crowd
from bench.stress.member import Member
from tests.rig.reading import eventually
from tests.rig.script import counted
from tests.rig.serving import Server
from tests.rig.upstream import ScriptedUpstream

TOKEN = "a-token-of-the-stress-and-of-nothing-else"
SETTINGS = {
    "ADMIN_TOKEN": TOKEN,
    "ANSWERS_CLIENT": "50",
    "ANSWERS_WORKER": "1000",
    "RETRY_MS": "100",
    "DRAIN_GRACE": "3",
    "CONVERSATIONS": "20",  # full before the third round
    "GUNICORN_CMD_ARGS": "--keep-alive=1",
}
# More than what is kept longest: mailboxes and keys ten minutes, clients one more.
LATER = 900
IDLE = 0.5  # seconds after which a kept connection may be about to be closed by the server
# What a scenario must leave as it found it.
COUNTED = ("connections", "clients", "threads", "greenlets", "descriptors")
_names = itertools.count()


class Reply(NamedTuple):
    """The answer to a call."""

    status: int
    json: dict[str, Any]


class Caller:
    """One kept connection for calls; of one thread."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._used = 0.0

    def send(self, client: str, data: Any, key: str | None = None) -> Reply:
        return self.post("/sse/send", {"clientId": client, "data": data, **({"id": key} if key else {})})

    def broadcast(self, data: Any) -> Reply:
        return self.post("/admin/broadcast", {"data": data})

    def ask(self, client: str, **body: Any) -> str:
        """The id of the answer that begins."""
        reply = self.post("/chat", {"clientId": client, "message": "hi", **body})
        assert reply.status == 201, f"POST /chat: {reply}"
        return str(reply.json["generationId"])

    def post(self, path: str, body: Any) -> Reply:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
        return self.call("POST", path, orjson.dumps(body), headers)

    def call(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Reply:
        if time.monotonic() - self._used > IDLE:
            self._connection.close()
        self._connection.request(method, path, body, headers or {})
        response = self._connection.getresponse()
        text = response.read()
        self._used = time.monotonic()
        kind = response.getheader("Content-Type", "")
        return Reply(response.status, orjson.loads(text) if "json" in kind and text else {})

    def close(self) -> None:
        self._connection.close()


def probed(port: int, **query: float) -> dict[str, Any]:
    """What a server's process holds (tests/rig/probe.py), asked on a connection of its own."""
    with contextlib.closing(Caller(port)) as caller:
        path = "/probe?" + "&".join(f"{name}={value}" for name, value in query.items())
        return caller.call("GET", path, headers={"Connection": "close"}).json


class House:
    """One server for the scenarios that can live with its settings.

    `calls` is for the scenario's own thread; `rng` is seeded anew for each run; `patience`: seconds that a
    scenario waits for what must come.
    """

    def __init__(self, env: dict[str, str], *, files: int = 0, patience: float = 30.0) -> None:
        self._env, self._files = {**SETTINGS, **env}, files
        self.patience = patience
        self.rng = random.Random(0)

    def __enter__(self) -> House:
        with contextlib.ExitStack() as stack:
            self.upstream = stack.enter_context(ScriptedUpstream())
            self.server = stack.enter_context(self._server())
            self.port = self.server.port
            self.calls = Caller(self.port)
            stack.callback(lambda: self.calls.close())
            self._warm_up()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def __repr__(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self._env.items() if name not in SETTINGS)

    def _server(self) -> Server:
        return Server(
            self._env,
            upstream_url=self.upstream.url,
            app="tests.rig.probe:app",
            files=self._files,
            shutdown=20,
        )

    def _warm_up(self) -> None:
        """What the first stream and the first answer start for good is not a leak of a scenario."""
        member = self.member(query="closeOnDone=true", returns=False)
        self.upstream.script(default=counted(3))
        with self.crowd() as crowd:
            crowd.opened([member])
            self.calls.ask(member.client_id)
            crowd.read(lambda: [member] if member in crowd.lines else [], self.patience)
        self.calls.close()
        self.until_left()
        self.before = self.probe() | {"clients": 0}

    # --- who takes part

    def member(self, **how: Any) -> Member:
        """A client that nobody has heard of."""
        return Member(f"s{next(_names)}-{self.rng.getrandbits(64):x}", **how)

    def members(self, count: int, **how: Any) -> list[Member]:
        return [self.member(**how) for _ in range(count)]

    def crowd(self, away: float = 0.05) -> Crowd:
        """Whose members stay away for so many seconds at the longest."""
        return Crowd(self.port, self.rng, away)

    def bites(self, mean: int) -> Callable[[], int]:
        """Loses a connection after this many bytes on the average."""
        return lambda: int(self.rng.expovariate(1 / mean))

    @contextlib.contextmanager
    def meanwhile(self, what: Callable[[Caller], None]) -> Iterator[None]:
        """Calls `what` in a thread of its own with a caller of its own; raises here what it raised."""
        raised: list[BaseException] = []

        def run() -> None:
            caller = Caller(self.port)
            try:
                what(caller)
            except BaseException as error:
                raised.append(error)
            finally:
                caller.close()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            thread.join()
            if raised:
                raise raised[0]

    def asked(self) -> int:
        """How many questions have reached the upstream."""
        return len(self.upstream.state()["requests"])

    def until_left(self, connections: int = 0) -> None:
        """Until no more than so many are on the server's list."""
        deadline = time.monotonic() + self.patience
        while (now := self.probe()["connections"]) > connections:
            assert time.monotonic() < deadline, f"{now} on the list after {self.patience} s"
            time.sleep(0.02)

    def until(self, predicate: Callable[[], object]) -> None:
        """Waits for what takes no reading."""
        eventually(predicate, self.patience, every=0.02)

    def insist(self, caller: Caller, member: Member, n: int) -> None:
        """Sends to one whose server may be just starting anew, until somebody takes it."""
        deadline = time.monotonic() + self.patience
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, http.client.HTTPException):
                reply = caller.send(member.client_id, n)
                if reply.status in (200, 202):
                    return
            caller.close()
            time.sleep(0.05)
        raise AssertionError(f"nobody takes message {n} for {self.patience} s")

    # --- what the server holds

    def probe(self, **query: int) -> dict[str, Any]:
        return probed(self.port, **query)

    def later(self) -> dict[str, Any]:
        """Puts the server's clock forward, beyond all that it keeps."""
        return self.probe(ahead=LATER)

    def surplus(self) -> dict[str, int]:
        """What it holds beyond what it held before any scenario, by what is counted."""
        now = self.probe()
        return {name: now[name] - self.before[name] for name in COUNTED if now[name] > self.before[name]}

    def check_left(self, within: float = 10.0) -> None:
        """AssertionError unless the server comes to hold no more than before the scenarios."""
        self.calls.close()
        deadline = time.monotonic() + within
        while surplus := self.surplus():
            assert time.monotonic() < deadline, f"left over {within} s after: {surplus}, {self.probe()['at']}"
            if "connections" not in surplus:  # only then: a clock that jumps would cut them
                self.later()
            time.sleep(0.05)
