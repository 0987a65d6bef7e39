"""A process beside the tests that says one line when it is ready, and ends when its stdin does.

So it never outlives who started it. The base of ScriptedUpstream and of what the benches run.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import TypeVar

ROOT = Path(__file__).resolve().parents[2]
Self = TypeVar("Self", bound="Child")


class Child:
    """`python -m MODULE ARGUMENTS`, as a context manager.

    `ready` is its first line; `patience`: seconds in which it has to end; `prefix`: a command before it.
    """

    def __init__(
        self, module: str, *arguments: object, patience: float = 5.0, prefix: tuple[str, ...] = ()
    ) -> None:
        command = [*prefix, sys.executable, "-m", module, *map(str, arguments)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._patience = patience
        self.pid = self._process.pid
        assert self._process.stdout
        self.ready = self._process.stdout.readline().decode().strip()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process as process:  # closes its pipes and waits; the end of stdin ends it
            assert process.stdin
            process.stdin.close()
            try:
                process.wait(self._patience)
            except subprocess.TimeoutExpired:
                process.kill()
