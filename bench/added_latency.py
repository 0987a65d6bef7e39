"""What the whole path adds to each token over the upstream alone, and how soon the embedded model answers.

    python -m bench.added_latency             50 answers at once, 20 tokens/s each, for 10 s, on loopback
    python -m bench.added_latency --start     from the start of `make run` (.venv stands) to the first token

Each token carries the CLOCK_MONOTONIC time at which the scripted upstream (a process of its own) sends it;
its delay is the time of arrival here minus that. "alone" reads the upstream's own sockets, "through" the
streams of GET /sse/createConnect while POST /chat asks. One process, one selector and raw sockets read them
all, so that the reader is not what is measured.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import platform
import re
import selectors
import signal
import socket
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from importlib.metadata import version
from urllib.parse import urlsplit

from tests.rig import script
from tests.rig.addresses import free_port
from tests.rig.reading import Stream, eventually
from tests.rig.serving import ROOT, Server
from tests.rig.upstream import ScriptedUpstream

TOKEN = re.compile(rb"t(\d{9,}) ")
PATIENCE = 20.0  # seconds beyond the length of an answer


@dataclass(frozen=True)
class Load:
    answers: int
    rate: float
    seconds: float

    @property
    def tokens(self) -> int:
        """Of one answer."""
        return int(self.rate * self.seconds)

    def order(self, chunked: bool) -> script.Json:
        """What the upstream plays; unchunked with events as tiny as they come."""
        gap = 1 / self.rate
        if chunked:
            return script.counted(self.tokens, gap=gap, text="t{ns} ")
        tiny = 'data: {"choices":[{"delta":{"content":"t{ns} "}}]}\n\n'
        steps = [{"send": tiny, "repeat": self.tokens, "sleep": gap}, *script.ENDING]
        return {"chunked": False, "steps": steps}


@dataclass
class Tap:
    """A request, and the socket whose tokens are timed; `rest` may hold the beginning of one."""

    sock: socket.socket
    request: bytes
    delays: list[int] = field(default_factory=list)  # ns
    rest: bytes = b""

    def read(self) -> bool:
        """Takes what is there; False at the end."""
        got = self.sock.recv(65536)
        now = time.monotonic_ns()
        data, end = self.rest + got, 0
        for match in TOKEN.finditer(data):
            self.delays.append(now - int(match[1]))
            end = match.end()
        self.rest = data[end:][-32:]
        return bool(got) and b"[DONE]" not in data


def tap(url: str, request: str, path: str, body: script.Json | None = None) -> Tap:
    """Connected, with nothing sent yet."""
    base = urlsplit(url)
    data = json.dumps(body).encode() if body else b""
    lines = [f"{request} {base.path}{path} HTTP/1.1", f"Host: {base.netloc}", f"Content-Length: {len(data)}"]
    head = "\r\n".join([*lines, "Content-Type: application/json", "", ""]).encode()
    return Tap(socket.create_connection((base.hostname or "", base.port or 80), timeout=10), head + data)


def listen(asks: list[Tap], taps: list[Tap], seconds: float) -> None:
    """Sends the requests of `asks` and reads `taps` to their ends."""
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for each in taps:
            selector.register(each.sock, selectors.EVENT_READ, each)
        for each in asks:
            each.sock.sendall(each.request)
        while selector.get_map() and time.monotonic() < deadline:
            for key, _ in selector.select(1):
                if not key.data.read():
                    selector.unregister(key.fileobj)


def alone(upstream: ScriptedUpstream, load: Load) -> list[int]:
    question = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    taps = [tap(upstream.url, "POST", "/chat/completions", question) for _ in range(load.answers)]
    return measured(taps, taps, load)


def through(server: Server, load: Load) -> list[int]:
    clients = [f"bench-{uuid.uuid4().hex}" for _ in range(load.answers)]
    taps = [tap(server.url, "GET", f"/sse/createConnect?clientId={client}") for client in clients]
    for each in taps:
        each.sock.sendall(each.request)
        each.read()  # what a stream opens with
    asks = [tap(server.url, "POST", "/chat", {"clientId": client, "message": "hi"}) for client in clients]
    return measured(asks, taps, load)


def measured(asks: list[Tap], taps: list[Tap], load: Load) -> list[int]:
    """The delays of all tokens in ns, sorted."""
    gc.collect()
    gc.disable()
    listen(asks, taps, load.seconds + PATIENCE)
    gc.enable()
    for each in {id(t): t for t in [*asks, *taps]}.values():
        each.sock.close()
    delays = sorted(delay for each in taps for delay in each.delays)
    expected = load.answers * load.tokens
    if len(delays) != expected:
        raise SystemExit(f"{len(delays)} of {expected} tokens arrived: no measurement")
    return delays


def ms(delays: list[int], share: float) -> float:
    """The quantile of sorted delays, in milliseconds."""
    return delays[min(len(delays) - 1, int(len(delays) * share))] / 1e6


def row(name: str, direct: list[int], path: list[int]) -> str:
    cells = [name]
    for share in (0.5, 0.99):
        a, b = ms(direct, share), ms(path, share)
        cells += [f"{a:.2f}", f"{b:.2f}", f"**{b - a:.2f}**"]
    return f"| {' | '.join(cells)} |"


def table(load: Load) -> None:
    settings = {"ANSWERS_WORKER": str(load.answers), "DRAIN_GRACE": "2"}
    print(
        f"{load.answers} answers at once, {load.rate:g} tokens/s and {load.tokens} tokens each, ms a token\n"
    )
    print("| upstream | median alone | through | added | p99 alone | through | added |")
    print("|---|---|---|---|---|---|---|")
    with ScriptedUpstream() as upstream, Server(settings, upstream_url=upstream.url) as server:
        for name, chunked in (("chunked", True), ("unchunked, tiny events", False)):
            upstream.script(default=load.order(chunked))
            print(row(name, alone(upstream, load), through(server, load)), flush=True)
    print(f"\n{machine()}")


def machine() -> str:
    names = ("gunicorn", "gevent", "flask", "requests", "sseclient-py")
    parts = [f"{os.cpu_count()} cores", f"Python {platform.python_version()}"]
    return ", ".join(parts + [f"{name} {version(name)}" for name in names])


def start() -> None:
    """Times `make run` with nothing but a port given."""
    port = free_port()
    env = {k: v for k, v in os.environ.items() if not k.startswith("UPSTREAM_")} | {"PORT": str(port)}
    began = time.monotonic()
    make = subprocess.Popen(["make", "run"], cwd=ROOT, env=env, start_new_session=True, stdout=sys.stderr)
    try:
        first_token(f"http://127.0.0.1:{port}", began)
    finally:
        os.killpg(make.pid, signal.SIGTERM)
        make.wait(60)


def first_token(url: str, began: float) -> None:
    eventually(lambda: serves(url), within=120)
    ready = time.monotonic() - began
    with Stream(url) as stream:
        client = stream.until("connected")["clientId"]
        ask = tap(url, "POST", "/chat", {"clientId": client, "message": "Hello!"})
        with ask.sock:
            ask.sock.sendall(ask.request)
            stream.until("delta", "error", timeout=120)
    if stream.transcript[-1].type == "error":
        raise SystemExit(f"no answer: {stream.transcript[-1].json}")
    print(f"| from process start to | s |\n|---|---|\n| the port | {ready:.2f} |")
    print(f"| first token | {time.monotonic() - began:.2f} |\n\n{machine()}")


def serves(url: str) -> bool:
    base = urlsplit(url)
    with contextlib.suppress(OSError), socket.create_connection((base.hostname or "", base.port or 80)):
        return True
    return False


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--start", action="store_true", help="time to the first token of the embedded model")
    parser.add_argument("--answers", type=int, default=50)
    parser.add_argument("--rate", type=float, default=20.0, help="tokens a second of one answer")
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    if given.start:
        start()
    else:
        table(Load(given.answers, given.rate, given.seconds))


if __name__ == "__main__":
    main()
