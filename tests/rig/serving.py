"""A real gunicorn on a free loopback port, as `make run` starts it, for one test or for all of them.

Used by conftest.py and bench/. The server's environment is made here, nothing leaks in from the caller's; at
the end nothing it started may be left.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.rig.addresses import free_port

ROOT = Path(__file__).resolve().parents[2]
# What a process needs of its surroundings to run at all; CI because tests behave differently there.
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "CI")
# gunicorn replaces this, so the pid stays. 1 is PR_SET_PDEATHSIG: gunicorn gets SIGTERM when its caller dies.
LAUNCH = """
import ctypes, os, resource, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 15, 0, 0, 0)
if files := int(sys.argv[1]):
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
os.execv(sys.executable, [sys.executable, "-m", "gunicorn", *sys.argv[2:]])
"""


class Server:
    """`with Server({"ANSWERS_CLIENT": "50"}, upstream_url=upstream.url) as server:` … `server.url`.

    env: settings by their names, over a clean environment. app: `tests.rig.probe:app` is the same one, and
    tells what its process holds. files: the most it may have open, 0: as many as the caller. startup,
    shutdown: seconds; a server that does not end in time after SIGTERM is killed, and that is an
    AssertionError, as is a process left behind.
    """

    def __init__(
        self,
        env: dict[str, str] | None = None,
        *,
        upstream_url: str | None = None,
        app: str = "wsgi:app",
        files: int = 0,
        root: Path = ROOT,
        startup: float = 30.0,
        shutdown: float = 10.0,
    ) -> None:
        self._env, self._app, self._files, self._root = dict(env or {}), app, files, root
        if upstream_url is not None:
            self._env["UPSTREAM_URL"] = upstream_url
        self._startup, self._shutdown = startup, shutdown

    def __enter__(self) -> Server:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}{self._env.get('URL_PREFIX', '')}"
        self._output = tempfile.TemporaryFile()  # closed in __exit__
        self.started = time.monotonic()
        self._process = self._start()
        self.pid = self._process.pid
        try:
            self._wait_until_it_serves()
        except BaseException:
            with contextlib.suppress(AssertionError):
                self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self.stop()
        finally:
            self._output.close()

    @property
    def log(self) -> str:
        """All it has written so far, stdout and stderr."""
        size = os.fstat(self._output.fileno()).st_size
        return os.pread(self._output.fileno(), size, 0).decode(errors="replace")

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def family(self) -> set[tuple[int, str]]:
        """The master and all that came from it, as (pid, start time): a pid alone may be another's later."""
        table, found = _processes(), {self.pid}
        while more := {pid for pid, p in table.items() if {p.parent, p.session} & found} - found:
            found |= more
        return {(pid, table[pid].start) for pid in found if pid in table}

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Signals the master and sees that everything ends; AssertionError where it had to be forced."""
        family = self.family()
        if self.alive:
            self._process.send_signal(how)
        timely = _until(lambda: not self.alive, self._shutdown)
        if not timely:
            self._process.kill()
        self._process.wait()
        _until(lambda: not left(family), 2.0)
        if rest := left(family):
            _kill(rest)
        assert timely, f"still there {self._shutdown} s after {how.name}; its log ends:\n{self.log[-2000:]}"
        assert not rest, f"left behind: {sorted(rest)}; the log ends:\n{self.log[-2000:]}"

    def _start(self) -> subprocess.Popen[bytes]:
        options = ["-c", "gunicorn.conf.py", self._app]
        command = [sys.executable, "-c", LAUNCH, str(self._files), *options]
        env = {name: os.environ[name] for name in KEPT if name in os.environ}
        env |= {"PORT": str(self.port), "PYTHONUNBUFFERED": "1", **self._env}
        # A session of its own: Ctrl-C in the tests is for the tests, which then end the server.
        return subprocess.Popen(
            command,
            cwd=self._root,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _wait_until_it_serves(self) -> None:
        assert _until(lambda: not self.alive or self._healthy(), self._startup), self._complaint(
            "does not serve"
        )
        assert self.alive, self._complaint(f"ended with status {self._process.returncode}")

    def _complaint(self, what: str) -> str:
        return f"gunicorn {what}; its log:\n{self.log}"

    def _healthy(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", f"{self._env.get('URL_PREFIX', '')}/healthz")
            return connection.getresponse().status == 200
        return False


def _until(predicate: Callable[[], object], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not predicate():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


class _Process(NamedTuple):
    parent: int
    session: int
    start: str


def _processes() -> dict[int, _Process]:
    """All that run, by pid, from /proc (empty where there is none); zombies only wait to be noticed."""
    table = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # pid (name) state parent group session … start time; the name may hold anything.
            fields = stat.read_text().rpartition(")")[2].split()
            if fields[0] != "Z":
                table[int(stat.parent.name)] = _Process(int(fields[1]), int(fields[3]), fields[19])
    return table


def left(family: set[tuple[int, str]]) -> set[tuple[int, str]]:
    """Those of a family() that still run."""
    table = _processes()
    return {(pid, start) for pid, start in family if pid in table and table[pid].start == start}


def _kill(family: set[tuple[int, str]]) -> None:
    for pid, _ in family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
