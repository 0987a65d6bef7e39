"""What a server has in each row, over all rounds, and whether its goal is met. Pure.

Servers take turns within a round, so ratios are taken within it; what is shown are medians over the rounds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

from bench.hubs.client import Result, busy
from bench.hubs.figures import Figure

Round = Mapping[str, Mapping[str, Result]]  # of one server: by group, then by label
SLACK = 0.1  # of a goal: who misses it by more has failed


class Cell(NamedTuple):
    """The figure, and its ratio to what it is held against; None where there is none. `busy`: others had too
    much of the cores in each round, so it is no measurement."""

    value: float | None
    ratio: float | None
    busy: bool


class Verdict(NamedTuple):
    """`missed`: the part of the goal that is missing, 0 or less where it is met; None: not measured."""

    goal: str
    missed: float | None

    @property
    def failed(self) -> bool:
        return self.missed is None or self.missed > SLACK

    def __str__(self) -> str:
        if self.missed is None:
            return "no measurement"
        if self.missed <= 0:
            return "ok"
        return f"**not ok**, missed by {self.missed:.0%}" if self.failed else f"missed by {self.missed:.0%}"


def cell(figure: Figure, rounds: Mapping[str, Sequence[Round]], server: str) -> Cell:
    """What a server has in this row; `rounds` by server."""
    clean: list[float] = []
    spoiled: list[float] = []
    ratios: list[float] = []
    for number, own in enumerate(rounds[server]):
        results = _results(own, figure.group, figure.labels)
        if not results:
            continue
        (spoiled if any(map(busy, results)) else clean).append(figure.of(*results))
        if ratio := _ratio(figure, results, rounds.get(figure.over, [])[number:]):
            ratios.append(ratio)
    value = median(clean or spoiled) if clean or spoiled else None
    return Cell(value, median(ratios) if ratios else None, bool(spoiled and not clean))


def _results(one: Round, group: str, labels: Sequence[str]) -> list[Result]:
    """Of these steps; none where not all were made."""
    sample = one.get(group, {})
    return [sample[label] for label in labels] if all(label in sample for label in labels) else []


def _ratio(figure: Figure, results: list[Result], base: Sequence[Round]) -> float | None:
    """To the same round of the server it is held against, the first of `base`."""
    others = _results(base[0], figure.group, figure.over_labels or figure.labels) if base else []
    if not others or any(map(busy, [*results, *others])):
        return None
    divisor = figure.of(*others)
    return figure.of(*results) / divisor if divisor else None


def verdict(figure: Figure, cells: Mapping[str, Cell], server: str) -> Verdict | None:
    """Whether this server reaches the goal; None where there is no goal, or no such server."""
    if not (figure.least or figure.most) or server not in cells:
        return None
    own, rival = cells[server], cells.get(figure.ahead)
    judged = own.ratio if figure.over and not figure.absolute else own.value
    if judged is None or own.busy:
        return Verdict(_goal(figure), None)
    missed = [1 - judged / figure.least if figure.least else judged / figure.most - 1]
    if rival and rival.value and own.value:
        missed.append(1 - own.value / rival.value)
    return Verdict(_goal(figure), max(missed))


def _goal(figure: Figure) -> str:
    amount = f"≥ {figure.least:g}" if figure.least else f"≤ {figure.most:g}"
    return amount + figure.unit + (f", ahead of {figure.ahead}" if figure.ahead else "")
