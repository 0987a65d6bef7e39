"""Figures out of measurements: quantiles of delays, the rise of a line, who used the cores.

Used by the benches; pure but for Cores.
"""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")  # of /proc, a second
STEP = 10_000  # ns; the resolution of Delays
FOREIGN = 0.1  # of a core: what others may take before a row is marked
STEPS = 1_000_000  # of them, so 10 s; what took longer counts as that


class Delays:
    """How many took how long, in fixed memory: a list of half a million would have to be sorted while the
    next ones arrive."""

    def __init__(self) -> None:
        self._counts = array("L", bytes(STEPS * array("L").itemsize))
        self._highest = 0

    def __len__(self) -> int:
        return sum(self._counts[: self._highest + 1])

    def add(self, nanoseconds: int) -> None:
        step = min(max(nanoseconds // STEP, 0), STEPS - 1)
        self._counts[step] += 1
        self._highest = max(self._highest, step)

    def quantile(self, share: float) -> float:
        """Milliseconds that this share of them took at most; 0 where there are none."""
        wanted, counts = share * len(self), self._counts[: self._highest + 1]
        reached = (step for step, sum_ in enumerate(accumulate(counts)) if sum_ >= wanted)
        return (next(reached) + 1) * STEP / 1e6 if len(self) else 0.0

    def clear(self) -> None:
        for step in range(self._highest + 1):
            self._counts[step] = 0
        self._highest = 0


def rise(values: Sequence[float]) -> tuple[float, float]:
    """By how much the values rise from the first to the last, on the line that fits them best by least
    squares, and the standard error of that: both in percent of their mean. Negative where they fall."""
    count = len(values)
    mean = sum(values) / max(count, 1)
    if count < 3 or not mean:
        return 0.0, 0.0
    middle = (count - 1) / 2
    spread = sum((i - middle) ** 2 for i in range(count))
    slope = sum((i - middle) * (value - mean) for i, value in enumerate(values)) / spread
    rest = sum((value - mean - slope * (i - middle)) ** 2 for i, value in enumerate(values))
    whole = 100 * (count - 1) / mean
    return slope * whole, (rest / (count - 2) / spread) ** 0.5 * whole


def cells(*values: object) -> str:
    """One row of a Markdown table."""
    return f"| {' | '.join(map(str, values))} |"


def foreign(share: float) -> str:
    """What others took of the cores, marked where it is so much that they were measured as well."""
    return f"{share:.0%}" + (" **busy**" if share > FOREIGN else "")


class Cores:
    """Who has used the cores since it was made or last asked: each group of processes, and all others. Where
    others take much of them, delays say more about those than about what is measured."""

    def __init__(self, groups: Mapping[str, Iterable[int]]) -> None:
        """`groups`: pids by name."""
        self._groups = {name: list(pids) for name, pids in groups.items()}
        self._at, self._before = self._now()

    def used(self) -> dict[str, float]:
        """Cores by name of the group, and as "others"; 0.5 is half the time of one."""
        at, now = self._now()
        shares = {name: (now[name] - self._before[name]) / (at - self._at) for name in now}
        self._at, self._before = at, now
        return shares

    def _now(self) -> tuple[float, dict[str, float]]:
        used = {name: sum(map(_used, pids)) for name, pids in self._groups.items()}
        now = time.monotonic()
        return now, {**used, "others": all_used(Path("/proc/stat").read_text(), now) - sum(used.values())}


def _used(pid: int) -> float:
    """Seconds of a core that the process has used, in user code and in the kernel."""
    try:
        # pid (name) state …; the name may hold anything. [proc(5)] the 14th and 15th are meant.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it ended
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def all_used(stat: str, now: float) -> float:
    """The same of all that runs, and of whoever else the machine serves, out of /proc/stat at `now`: whatever
    its cores were not idle. A difference of two is meant. [proc(5)] the 4th and 5th are idle and iowait: they
    are kept by the clock, the others by looks at each tick, which miss what runs between two of them."""
    all_cores, *each = (line for line in stat.split("\n") if line.startswith("cpu"))
    idle, iowait = map(int, all_cores.split()[4:6])
    return now * len(each) - (idle + iowait) / TICKS
