"""How soon Stop frees the upstream's socket, phase by phase, as Markdown.

    python -m bench.stop                       100 runs of each phase, 200 other answers running
    python -m bench.stop --only flood          the phases with that in their name

From right before the stop request is sent until the upstream sees its socket closed, by the upstream's own
clock (one clock for all processes of a machine); where there is no socket yet, until the kernel gave up
connecting; where there is none at all, until the page has read that its answer was stopped. Each run also
shows that the answer ended once, as `stopped`, with its text frozen and its usage estimated. Exits with 1
where one took longer than the promised 100 ms.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median

from bench.figures import cells
from bench.stop.house import OTHERS, House
from bench.stop.phases import PHASES, PROMISED, Phase, play
from tests.rig.certificate import make


def main() -> None:
    given = _parser().parse_args()
    chosen = [phase for name, phase in PHASES.items() if (given.only or "") in name]
    print(cells("stopped while", "median ms", f"worst of {given.runs}, ms"))
    print("|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder, House(make(Path(folder)), given.others) as house:
        worst = max(_row(house, phase, given.runs) for phase in chosen)
    sys.exit(worst > PROMISED)


def _row(house: House, phase: Phase, runs: int) -> float:
    """Prints it; the worst, in seconds."""
    taken = play(house, phase, runs)
    print(cells(phase.name, f"{median(taken) * 1000:.1f}", f"{max(taken) * 1000:.1f}"), flush=True)
    return max(taken)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.stop", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", metavar="TEXT", help="phases with this in their name")
    parser.add_argument("--runs", type=int, default=100, help="of each phase")
    parser.add_argument("--others", type=int, default=OTHERS, help="answers that run beside")
    return parser


if __name__ == "__main__":
    main()
