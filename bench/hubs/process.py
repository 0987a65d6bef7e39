"""A server's command as a process: alone in its session, on its core, ended with whatever it has started."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.hubs.built import Missing

PATIENCE = 30.0  # seconds for a server to answer, or to end


class Process:
    """`with Process(command, folder, env) as process:` … `process.family()`; its output is in the folder."""

    def __init__(self, command: Sequence[str], folder: Path, env: Mapping[str, str]) -> None:
        self._log = (folder / Path(command[0]).name).with_suffix(".log").open("w+b")
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *exc: object) -> None:
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        self._signal(signal.SIGKILL)
        self._process.wait(PATIENCE)
        self._log.close()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def answers(self, port: int) -> None:
        """Waits until it takes connections. Raises Missing with its last words where it does not."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            time.sleep(0.05)
        self._log.seek(0)
        last_words = self._log.read()[-2000:].decode(errors="replace")
        raise Missing(f"{self._process.args!r} does not serve: {last_words}")

    def family(self) -> list[int]:
        """The pids of its session."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                # pid (name) state parent group session …; the name may hold anything.
                if int(stat.read_text().rpartition(")")[2].split()[3]) == self._process.pid:
                    found.append(int(stat.parent.name))
        return found


def _end_with_parent() -> None:
    """1 is PR_SET_PDEATHSIG: SIGTERM for this process when the bench is gone."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)
