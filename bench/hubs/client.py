"""The load client (bench/hubs/load/) as a process: one step in, one result out."""

from __future__ import annotations

import json
import select
import subprocess
from collections.abc import Iterable, Sequence
from types import TracebackType

from bench.hubs.built import program

Result = dict[str, float]  # what a step reports, by name
PATIENCE = 120.0  # seconds; each step ends by itself before
FREE = 0.03  # seconds of CPU that others may have had anyway: the kernel counts in hundredths
FOREIGN = 0.1  # of a core: what others may take before a figure is theirs too
FAULTS = ("lost", "repeated", "closed", "refused", "failed", "unfinished", "unresumed")


class Client:
    """`with Client(["--port", "8000"]) as client:` … `client.step("open:1000")`."""

    def __init__(self, arguments: Sequence[str]) -> None:
        command = [str(program("sseload")), *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    @classmethod
    def of(cls, port: int, pids: Iterable[int], arguments: Sequence[str]) -> Client:
        """One that asks the server on this port, whose processes these are."""
        return cls(["--port", str(port), "--pids", ",".join(map(str, pids)), *arguments])

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind:
            self._process.kill()
        with self._process as process:  # closes its pipes, and the end of stdin ends it
            assert process.stdin
            process.stdin.close()
            process.wait(PATIENCE)

    def steps(self, steps: str) -> Result:
        """The result of the last of several, with the faults of all."""
        results = [self.step(step) for step in steps.split()]
        for name in FAULTS:
            if sum_ := sum(result.get(name, 0.0) for result in results):
                results[-1][name] = sum_
        return results[-1]

    def step(self, step: str) -> Result:
        """Raises RuntimeError where the client gives up: it has said why on stderr."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin
        assert stdout
        stdin.write(step.encode() + b"\n")
        stdin.flush()
        ready, _, _ = select.select([stdout], [], [], PATIENCE)
        line = stdout.readline() if ready else b""
        if not line.endswith(b"\n"):
            raise RuntimeError(f"the load client had no result for the step {step}")
        result = json.loads(line)
        del result["step"]
        return {name: float(value) for name, value in result.items()}


def busy(result: Result) -> bool:
    """Whether others took so much of the cores meanwhile that this is no measurement."""
    return result.get("others", 0.0) > FOREIGN * result.get("wall", 0.0) + FREE


def disturbed(results: Sequence[Result]) -> str:
    """What others took of the cores at most, marked where that makes one of them no measurement."""
    share = max(result["others"] / result["wall"] for result in results)
    return f"{share:.0%}" + (" **busy**" if any(map(busy, results)) else "")


def faults(result: Result) -> dict[str, int]:
    """What did not come once and in order, what was cut or refused: by name, where there is any."""
    return {name: int(result[name]) for name in FAULTS if result.get(name)}
