"""The rows of the table: each figure, what it is divided by, and its goal. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.hubs.client import Result


@dataclass(frozen=True)
class Figure:
    """`of` makes the figure out of the results of the steps `labels` of one `group` of sessions.py.

    `over`: the server whose figure it is divided by, out of its steps `over_labels` where they are others.
    `least`, `most`: the goal, of the ratio, or of the figure where it is `absolute` or has no ratio; `unit`
    is written behind it. `ahead`: who has to be left behind as well.
    """

    group: str
    title: str
    labels: tuple[str, ...]
    of: Callable[..., float]
    digits: int = 0
    over: str = ""
    over_labels: tuple[str, ...] = ()
    absolute: bool = False
    least: float = 0.0
    most: float = 0.0
    unit: str = ""
    ahead: str = ""


# --- figures out of results


def per_cpu_second(result: Result) -> float:
    """Deliveries in a second of the server's CPU."""
    return result["deliveries"] / result["server"]


def per_second(result: Result) -> float:
    """Deliveries, by the clock."""
    return result["deliveries"] / result["wall"]


def cpu_growth(few: Result, many: Result) -> float:
    """How much more CPU a delivery takes."""
    return per_cpu_second(few) / per_cpu_second(many)


def p99_growth(calm: Result, troubled: Result) -> float:
    return troubled["p99"] / calm["p99"]


def memory_each(none: Result, many: Result) -> float:
    """KiB of resident memory for each connection."""
    return (many["resident"] - none["resident"]) / many["connections"]


def connects_per_second(result: Result) -> float:
    return result["streams"] / result["wall"]


def cpu_per_connect(result: Result) -> float:
    """In µs."""
    return 1e6 * result["server"] / result["streams"]


def cpu_per_thousand(result: Result) -> float:
    """In ms."""
    return 1e6 * result["server"] / result["deliveries"]


def reported(name: str) -> Callable[[Result], float]:
    """A figure that the client has itself."""
    return lambda result: result[name]


# --- the rows


def _broadcast(streams: int, one: float, four: float, idle: float) -> tuple[Figure, ...]:
    """With their goals for one and for four in flight, and for a round to idle clients."""
    single, several, rounds = (f"{what} {streams}" for what in ("1 in flight", "4 in flight", "round"))
    to, group, cpu = f"to {streams:,}", "broadcast", "deliveries per CPU second"
    base = {"over": "rawC", "over_labels": (single,), "unit": " R"}
    return (
        Figure(
            group, f"1 in flight {to}: {cpu}", (single,), per_cpu_second, **base, least=one, ahead="nchan"
        ),
        Figure(group, f"1 in flight {to}: deliveries/s", (single,), per_second),
        Figure(group, f"4 in flight {to}: {cpu}", (several,), per_cpu_second, **base, least=four),
        Figure(group, f"4 in flight {to}: deliveries/s", (several,), per_second),
        Figure(
            *(group, f"{to} idle clients: ms until the last has it", (rounds,), reported("last"), 1),
            over="rawC",
            most=idle,
            unit=" × raw C",
        ),
    )


def _tokens(what: str, of: Callable[..., float], digits: int, most: float = 0.0) -> Figure:
    title = f"500 token streams × 40/s: {what}"
    return Figure("tokens", title, ("500",), of, digits, over="p3", absolute=True, most=most)


def _return(how: str, latest: float) -> tuple[Figure, ...]:
    title = f"5,000 come back {how}"
    return (
        Figure("return", f"{title}: s until the last is there", (how,), reported("wall"), 2, most=latest),
        Figure("return", f"{title}: longest wait for /healthz, ms", (how,), reported("health"), most=200),
    )


GROWTH = "1 in flight: CPU per delivery to 10,000 over to 1,000"
TROUBLE = "token streams: p99 with 1,000 stalled, 1,000 vanished, 100 resets/s, over p99 without"
FIGURES = (
    *_broadcast(1000, 0.6, 2.0, 1.55),
    *_broadcast(5000, 0.68, 2.6, 1.25),
    Figure(*("scale", GROWTH, ("1,000", "10,000"), cpu_growth, 2), over="rawC", most=1.1, unit=" × raw C"),
    _tokens("p50, ms", reported("p50"), 2),
    _tokens("p99, ms", reported("p99"), 2, 1.5),
    _tokens("CPU ms per 1,000 events", cpu_per_thousand, 1, 14),
    Figure("trouble", TROUBLE, ("none", "all"), p99_growth, 2, most=1.2),
    Figure("memory", "KiB per idle connection at 1,000", ("none", "1,000"), memory_each, 2),
    Figure("memory", "KiB per idle connection at 10,000", ("none", "10,000"), memory_each, 2, most=1.5),
    Figure(
        "connects", "connects/s", ("4,000",), connects_per_second, over="p3", least=0.8, unit=" × bare P3"
    ),
    Figure("connects", "CPU µs per connect", ("4,000",), cpu_per_connect),
    *_return("over 2 s", 2.2),
    *_return("at once", 3.0),
)
