"""The servers that are held against each other: how each is started, and how the load client asks it.

A server is one Kind in KINDS. `started(name, core, settings)` runs one on a core, for as long as the block
lasts; besides the KINDS there are `ours` and `ours@PATH`, this server and that of another tree.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.hubs.built import Missing, compiler, program
from bench.hubs.process import Process
from bench.pinned import on_core
from tests.rig.addresses import free_port
from tests.rig.serving import ROOT, Server

OURS = "ours"
APPS = Path(__file__).parent / "apps"
PEERS = ROOT / "build" / "peers"  # what bench/hubs/peers.py installs
NCHAN = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
STARTING = 0.5  # seconds from the first connection until the workers of a server are all there
GUNICORN = (
    *("-m", "gunicorn", "-w", "1", "-k", "gevent", "--worker-connections", "60000", "--backlog", "4096"),
    *("--keep-alive", "75", "--log-level", "warning", "--pythonpath", str(APPS), "-b", "127.0.0.1:{port}"),
)
UVICORN = (
    *("-m", "uvicorn", "--loop", "uvloop", "--http", "httptools", "--backlog", "4096", "--no-access-log"),
    *("--timeout-keep-alive", "75", "--log-level", "warning", "--app-dir", str(APPS), "--port", "{port}"),
)


@dataclass(frozen=True)
class Kind:
    """`commands` of a port and an empty folder, the last of which is the server itself; `lacks`: why it can't
    run here, "" where it can; `arguments`: how the client asks it; `without`: rows it is left out of."""

    title: str
    commands: Callable[[int, Path], list[list[str]]]
    lacks: Callable[[], str] = str
    arguments: tuple[str, ...] = ()
    without: tuple[str, ...] = ("tokens",)


@dataclass(frozen=True)
class Running:
    """A server that answers: its port, the processes it consists of, how the client asks it."""

    port: int
    pids: list[int]
    arguments: Sequence[str]


@contextmanager
def started(name: str, core: int, settings: dict[str, str]) -> Iterator[Running]:
    """The server of that name; `settings` are for ours. Raises Missing where it can't be."""
    with ExitStack() as stack:
        with on_core(core):
            if is_ours(name):
                running = _ours(stack, Path(name.partition("@")[2] or ROOT), settings)
            else:
                running = _other(stack, KINDS[name])
        yield running


def is_ours(name: str) -> bool:
    """Whether it is this server, of whichever tree."""
    return name.partition("@")[0] == OURS


def _other(stack: ExitStack, kind: Kind) -> Running:
    port, folder = free_port(), Path(stack.enter_context(tempfile.TemporaryDirectory()))
    commands = kind.commands(port, folder)
    all_ = [stack.enter_context(Process(command, folder, {"PORT": str(port)})) for command in commands]
    all_[-1].answers(port)
    time.sleep(STARTING)
    return Running(port, [pid for process in all_ for pid in process.family()], kind.arguments)


def _ours(stack: ExitStack, root: Path, settings: dict[str, str]) -> Running:
    """As it is shipped: the real hub with ids, logs and checks. It is never asked for an answer."""
    token = secrets.token_hex(32)
    env = {"ADMIN_TOKEN": token, "CONNECTIONS_WORKER": "20000", "DRAIN_GRACE": "1", "LOG_LEVEL": "warning"}
    env |= {"PYTHONPATH": str(APPS), **settings}
    nowhere, app = "http://127.0.0.1:9/v1", "deltahub_app:app"
    server = stack.enter_context(Server(env, upstream_url=nowhere, app=app, root=root, shutdown=60))
    return Running(server.port, [pid for pid, _ in server.family()], our_arguments(token))


def our_arguments(token: str) -> tuple[str, ...]:
    """How the client asks this server."""
    return (
        *("--path", "/sse/createConnect?clientId=c{i}&closeOnDone=false"),
        *("--publish", "/admin/broadcast", "--body", '{"data":"{event}","level":"info"}'),
        *("--header", f"Authorization: Bearer {token}", "--header", "Content-Type: application/json"),
    )


# --- how the others are started


def executable(name: str) -> str:
    """Where a program is, "" where nowhere: in .venv, where `make` puts Node, or in the system."""
    return shutil.which(name, path=f"{ROOT / '.venv/bin'}:{os.environ.get('PATH', '')}:/usr/sbin") or ""


def _one(*command: str) -> Callable[[int, Path], list[list[str]]]:
    """A single command; {port} is filled in."""
    return lambda port, _: [[part.replace("{port}", str(port)) for part in command]]


def _nginx(port: int, folder: Path) -> list[list[str]]:
    text = (APPS / "nchan.conf").read_text()
    for place, value in {"@PORT@": port, "@DIR@": folder, "@MODULE@": NCHAN}.items():
        text = text.replace(place, str(value))
    (folder / "nginx.conf").write_text(text)
    return [[executable("nginx"), "-c", str(folder / "nginx.conf"), "-p", str(folder)]]


def _flask_sse(port: int, folder: Path) -> list[list[str]]:
    """With a Redis of its own, which keeps nothing."""
    redis_port = str(free_port())
    redis = [executable("redis-server"), "--port", redis_port, "--bind", "127.0.0.1", "--save", ""]
    options = [part.replace("{port}", str(port)) for part in GUNICORN]
    where = ["--env", f"REDIS_URL=redis://127.0.0.1:{redis_port}"]
    return [[*redis, "--maxclients", "15000"], [PEER_PYTHON, *options, *where, "flask_sse_app:app"]]


def _node(app: str) -> Callable[[int, Path], list[list[str]]]:
    def commands(port: int, folder: Path) -> list[list[str]]:
        # Where its packages are: modules of JavaScript are looked for from the file upwards.
        for source in APPS.glob("*.mjs"):
            shutil.copy(source, PEERS)
        return [[executable("node"), str(PEERS / app)]]

    return commands


def _no_compiler() -> str:
    try:
        compiler()
    except Missing as error:
        return str(error)
    return ""


def _no_nchan() -> str:
    there = executable("nginx") and NCHAN.exists()
    return "" if there else "nginx with nchan is not installed: on Debian, apt-get install libnginx-mod-nchan"


def _no_peer(*parts: Path | str) -> Callable[[], str]:
    """Of files in build/peers and programs of the system."""

    def lacks() -> str:
        there = all(part.exists() if isinstance(part, Path) else executable(part) for part in parts)
        return "" if there else "it is not installed: run make bench-peers"

    return lacks


PEER_PYTHON = str(PEERS / "venv/bin/python")
STARLETTE = PEERS / "venv/bin/uvicorn"
BETTER = PEERS / "node_modules/better-sse"
KINDS = {
    "rawC": Kind("raw C", lambda port, _: [[str(program("rawserve")), str(port)]], _no_compiler),
    "rawPy": Kind("raw Python", _one(sys.executable, str(APPS / "rawserve.py"), "{port}")),
    "p3": Kind("bare P3", _one(sys.executable, *GUNICORN, "p3:app"), without=()),
    "nchan": Kind("nchan", _nginx, _no_nchan),
    "node": Kind("Node", _node("node_bare.mjs"), _no_peer(BETTER, "node"), without=()),
    "better-sse": Kind("better-sse", _node("better_sse.mjs"), _no_peer(BETTER, "node"), without=()),
    "starlette": Kind(
        "sse-starlette", _one(PEER_PYTHON, *UVICORN, "starlette_app:app"), _no_peer(STARLETTE), (), ()
    ),
    "flask-sse": Kind(
        "flask-sse",
        _flask_sse,
        _no_peer(STARLETTE, "redis-server"),
        # It answers nothing before the first event; a stream takes two descriptors of one process.
        ("--silent", "1"),
        ("tokens", "scale", "memory", "connects"),
    ),
}
