"""Two ways to do the same work, measured in turn in short pieces: what is noise comes to both alike.

Pure but for the clocks. Noise only ever adds: another process takes the core and leaves the caches cold, and
the longer way loses more by that. So the quietest window is nearest to the truth, and to wait for one is
fair: who has become slower is so in each.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple, Protocol

PAIRS = 40  # of a window
SHARE = 0.25  # of its pieces are at least as quick as those that count


class Piece(Protocol):
    """`count` things done by `go()`, which is what is measured, after `ready()`. Then `check()` empties the
    readers' ends, and tells whether all had arrived."""

    count: int

    def ready(self) -> None: ...
    def go(self) -> None: ...
    def check(self) -> bool: ...


class Figure(NamedTuple):
    """What one thing costs, in ns of CPU time or in instructions, and the one over the other."""

    ours: float
    raw: float
    ratio: float


def quietest(
    ours: Piece,
    raw: Piece,
    limit: float,
    seconds: float,
    measure: Callable[[], int] = time.thread_time_ns,
    clock: Callable[[], float] = time.monotonic,
) -> Figure:
    """The window with the lowest ratio. Looks for one within `limit` for so many seconds."""
    until = clock() + seconds
    best = window(ours, raw, measure)
    while best.ratio > limit and clock() < until:
        best = min(best, window(ours, raw, measure), key=lambda figure: figure.ratio)
    return best


def window(ours: Piece, raw: Piece, measure: Callable[[], int]) -> Figure:
    """PAIRS pieces of each, in turn. Raises SystemExit where what is sent does not arrive in time."""
    taken: list[tuple[float, float]] = []
    for _ in range(3 * PAIRS):
        limit, mine = _each(raw, measure), _each(ours, measure)
        if limit and mine:
            taken.append((mine, limit))
        if len(taken) == PAIRS:
            break
    else:
        raise SystemExit(f"of {3 * PAIRS} pieces {len(taken)} were whole: no measurement")
    own, least = (sorted(each)[int(SHARE * PAIRS)] for each in zip(*taken, strict=True))
    # Whichever says more: the quiet pieces of the one may lie in other moments than those of the other, and
    # the pairs may be disturbed in the one more often than in the other; both at once are rare.
    return Figure(own, least, max(own / least, median(mine / limit for mine, limit in taken)))


def _each(piece: Piece, measure: Callable[[], int]) -> float:
    """Of one thing in a piece; 0 where not all had arrived."""
    piece.ready()
    before = measure()
    piece.go()
    taken = measure() - before
    return taken / piece.count if piece.check() else 0.0
