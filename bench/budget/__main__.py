"""Whether a delivery and a token cost what they may, as Markdown.

    python -m bench.budget                                one run, of some seconds
    python -m bench.budget --burden delivery=1,token=10   with microseconds of nothing added to each: not ok
    python -m bench.budget --runs 20 --busy 10            how many are ok, ten of them with all cores loaded
    python -m bench.budget --set                          what the budget would be today, for judged.py

Hub, relay and sockets are real and in one process with their far ends, TCP over loopback. A delivery is that
of a broadcast to one of 100 streams, beside the same send from a loop; a token goes from its upstream's bytes
to its reader's socket, 32 answers at once, beside the least that plain Python needs for that (raw.py). It is
CPU time of the thread, in pieces of a millisecond in turn; the quietest window counts, for noise only ever
adds (pieces.py). Bytecodes and calls are exact (counted.py). The exit status is 1 where a run is not ok.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from bench.budget.judged import BUDGET, BURDEN, COUNTED_WITH, Cost, Row, allowance, excess, row
from bench.figures import cells
from tests.rig.child import Child
from tests.rig.serving import KEPT

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120  # seconds for a process
TRIES = 3  # processes that may find what is within the budget: each has its memory elsewhere
SETTING = 5  # runs that the budget is set by
VERSION = sys.version_info[:2]
LIMITS = {kind: allowed.ratio for kind, allowed in BUDGET.items()}
COLUMNS = ("", "ours, µs", "plain, µs", "ratio", "at most", "bytecodes", "at most", "calls", "at most", "")

Burdens = Mapping[str, float]


def run(burden: Burdens, seconds: float, limits: Mapping[str, float] = LIMITS) -> list[Row]:
    """Asks both processes. `seconds` that one looks for a moment within `limits` of the ratio; where a limit
    is 0, for the quietest of all."""
    wanted = {kind: (limits[kind], burden.get(kind, 0)) for kind in BUDGET}
    counted = _asked("counted")
    rows: dict[str, Row] = {}
    for _ in range(TRIES):
        for kind, timed in _asked("timed", {**wanted, "seconds": seconds}).items():
            found = row(kind, timed, counted[kind])
            rows[kind] = min(found, rows.get(kind, found), key=lambda each: each.found.ratio)
            if found.found.ratio <= limits[kind] or not limits[kind]:
                del wanted[kind]
        if not wanted:
            break
    return [rows[kind] for kind in BUDGET]


def _asked(module: str, what: object = None) -> dict[str, Any]:
    """What a process answers. Raises SystemExit where it fails."""
    command = [sys.executable, "-m", f"bench.budget.{module}", json.dumps(what)]
    env = {name: os.environ[name] for name in KEPT if name in os.environ}
    done = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, timeout=PATIENCE)
    if done.returncode:
        raise SystemExit(f"{module} ended with status {done.returncode}: no measurement")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def once(burden: Burdens, seconds: float) -> bool:
    """Prints one run; whether it is ok."""
    rows = run(burden, seconds)
    print(f"{cells(*COLUMNS)}\n{cells(*('---' for _ in COLUMNS))}")
    for found in rows:
        print(shown(found))
    if VERSION != COUNTED_WITH:
        print(f"\nBytecodes and calls are judged with Python {'.'.join(map(str, COUNTED_WITH))} only.")
    counted = [f"{found.kind} {found.instructions:.2f}" for found in rows if found.instructions]
    print(f"\nInstructions over those of plain Python: {', '.join(counted) or 'nothing counts them here'}.")
    return not any(excess(found, VERSION) for found in rows)


def shown(found: Row) -> str:
    """One row of the table."""
    beyond = excess(found, VERSION)
    costs: list[str] = []
    for name, value in found.found._asdict().items():
        costs.append(f"**{value:.4g}**" if name in beyond else f"{value:.4g}")
        costs.append(f"{getattr(BUDGET[found.kind], name):g}")
    return cells(found.kind, f"{found.ours:.2f}", f"{found.raw:.2f}", *costs, verdict(not beyond))


def verdict(good: bool) -> str:
    return "ok" if good else "**not ok**"


def many(burden: Burdens, seconds: float, runs: int, busy: int) -> bool:
    """Prints a line a run, the last of them with all cores busy; whether all are ok."""
    heads = ("run", *(f"{kind}: ratio" for kind in BUDGET), "")
    print(f"{cells(*heads)}\n{cells(*('---' for _ in heads))}")
    good = 0
    for number in range(1, runs + 1):
        loaded = number > runs - busy
        with loading(loaded):
            rows = run(burden, seconds)
        fine = not any(excess(found, VERSION) for found in rows)
        good += fine
        name = f"{number}{', cores busy' * loaded}"
        print(cells(name, *(f"{found.found.ratio:.2f}" for found in rows), verdict(fine)), flush=True)
    print(f"\n{good} of {runs} runs are ok.")
    return good == runs


@contextmanager
def loading(loaded: bool) -> Iterator[None]:
    """Keeps each core busy meanwhile, if wanted."""
    with ExitStack() as stack:
        for _ in range(loaded * (os.cpu_count() or 1)):
            stack.enter_context(Child("bench.budget.load"))
        yield


def setting(seconds: float) -> None:
    """Prints the lines of the budget as they would be today."""
    plain, burdened = _typical({}, seconds), _typical(BURDEN, seconds)
    for kind in BUDGET:
        allowed = allowance(plain[kind], burdened[kind])
        costs = ", ".join(f"{name}={value:g}" for name, value in allowed._asdict().items())
        print(f'    "{kind}": Cost({costs}),', end="  ")
        print(f"# ratio {plain[kind].ratio:.2f}, burdened {burdened[kind].ratio:.2f}")


def _typical(burden: Burdens, seconds: float) -> dict[str, Cost]:
    """Medians of some runs that look for the quietest window all the time."""
    never = dict.fromkeys(BUDGET, 0.0)
    runs = [{found.kind: found.found for found in run(burden, seconds, never)} for _ in range(SETTING)]
    return {kind: Cost(*map(median, zip(*(one[kind] for one in runs), strict=True))) for kind in BUDGET}


def burdens(text: str) -> dict[str, float]:
    """`delivery=1,token=10`; raises argparse's error where it isn't such a list."""
    given = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
    if not given or given.keys() - BUDGET.keys():
        raise argparse.ArgumentTypeError(f"{text!r} is not like delivery=1,token=10")
    return {kind: float(microseconds) for kind, microseconds in given.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.budget", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--burden", type=burdens, default={}, metavar="LIST", help="microseconds for each")
    parser.add_argument("--seconds", type=float, default=4.0, help="to look for a quiet moment; 4")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--busy", type=int, default=0, help="of these, while all cores are loaded")
    parser.add_argument("--set", action="store_true", help="print what the budget would be today")
    given = parser.parse_args()
    if given.set:
        setting(given.seconds)
        return
    how = given.burden, given.seconds
    good = many(*how, given.runs, given.busy) if given.runs > 1 else once(*how)
    raise SystemExit(not good)


if __name__ == "__main__":
    main()
