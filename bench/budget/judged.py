"""The budget in numbers, and whether a run has kept it. Pure.

Who makes a delivery or a token dearer has to raise a number here, and so to say it. What they would be today
is printed by `python -m bench.budget --set`: 5 % above the counts, which are exact; and for the ratio, which
is not, so far on the way to what it is with the burden that has to be noticed that noise reaches neither end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple


class Cost(NamedTuple):
    """Of one delivery or token: CPU time over that of plain Python, executed bytecodes, calls."""

    ratio: float
    bytecodes: float
    calls: float


# What is noticed, in microseconds.
BURDEN = {"delivery": 1.0, "token": 10.0}
BUDGET = {
    "delivery": Cost(ratio=1.23, bytecodes=30, calls=2.2),
    "token": Cost(ratio=2.09, bytecodes=1_007, calls=64.0),
}
# The same source is another number of bytecodes elsewhere: there counts are printed, not judged.
COUNTED_WITH = (3, 11)
SLACK = 1.05
WAY = 0.5


class Row(NamedTuple):
    """What was found for one kind. µs; `instructions`: ours over raw, None where nothing counts them."""

    kind: str
    ours: float
    raw: float
    found: Cost
    instructions: float | None


def row(kind: str, timed: Mapping[str, Any], counted: Mapping[str, float]) -> Row:
    """Out of what the two processes print for `kind`."""
    (ours, raw, ratio), instructions = timed["time"], timed["instructions"]
    found = Cost(ratio, counted["bytecodes"], counted["calls"])
    return Row(kind, ours / 1000, raw / 1000, found, instructions[-1] if instructions else None)


def excess(row: Row, version: tuple[int, int]) -> list[str]:
    """What of it is beyond the budget, by name; `version` of the Python it ran with."""
    judged = Cost._fields if version == COUNTED_WITH else ("ratio",)
    allowed = BUDGET[row.kind]
    return [name for name in judged if getattr(row.found, name) > getattr(allowed, name)]


def allowance(plain: Cost, burdened: Cost) -> Cost:
    """The budget of what costs `plain`, and `burdened` with the burden that has to be noticed."""
    ratio = plain.ratio + WAY * (burdened.ratio - plain.ratio)
    bytecodes, calls = SLACK * plain.bytecodes, SLACK * plain.calls
    return Cost(round(ratio, 2), math.ceil(bytecodes), math.ceil(10 * calls) / 10)
