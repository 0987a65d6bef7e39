"""The budget of a delivery and of a token is kept, and would notice what it has to: one run of each."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator

import pytest

from bench.budget import judged
from bench.budget.counts import Count
from bench.budget.instructions import SOFTWARE, TASK_CLOCK, counter
from bench.budget.judged import BUDGET, COUNTED_WITH, Cost, allowance, excess, row
from bench.budget.pieces import PAIRS, quietest, window
from tests.rig.serving import ROOT

OTHER = (COUNTED_WITH[0], COUNTED_WITH[1] + 1)


# --- the budget itself -----------------------------------------------------------------------------------


def budget(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench.budget", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)


def test_a_delivery_and_a_token_cost_what_they_may() -> None:
    done = budget()
    assert done.returncode == 0, (
        f"dearer than the budget, see bench/budget/judged.py:\n{done.stdout}{done.stderr}"
    )


def test_a_microsecond_more_a_delivery_and_ten_a_token_are_noticed() -> None:
    done = budget("--burden", "delivery=1,token=10", "--seconds", "1")
    assert done.returncode == 1, done.stderr
    verdicts = [line for line in done.stdout.split("\n") if line.startswith(("| delivery", "| token"))]
    assert [line.endswith("| **not ok** |") for line in verdicts] == [True, True], done.stdout


def test_a_burden_of_something_else_is_refused_in_one_line() -> None:
    done = budget("--burden", "sends=1")
    assert done.returncode == 2
    assert done.stderr.split("\n")[-2].endswith("'sends=1' is not like delivery=1,token=10")


# --- the judge -------------------------------------------------------------------------------------------


def found(ratio: float = 1.0, bytecodes: float = 1.0, calls: float = 1.0) -> judged.Row:
    timed = {"time": [1000 * ratio, 1000.0, ratio], "instructions": None}
    return row("delivery", timed, {"bytecodes": bytecodes, "calls": calls})


def test_what_is_within_the_budget_is_no_excess() -> None:
    assert excess(found(*BUDGET["delivery"]), COUNTED_WITH) == []


@pytest.mark.parametrize("name", Cost._fields)
def test_each_cost_beyond_the_budget_is_named(name: str) -> None:
    beyond = BUDGET["delivery"]._replace(**{name: getattr(BUDGET["delivery"], name) * 1.01})
    assert excess(found(*beyond), COUNTED_WITH) == [name]


def test_counts_are_judged_by_the_python_they_were_set_with_only() -> None:
    assert excess(found(ratio=9, bytecodes=1e6, calls=1e6), OTHER) == ["ratio"]


def test_an_allowance_lies_between_what_it_costs_and_what_must_be_noticed() -> None:
    assert allowance(Cost(1.1, 40, 3), Cost(1.4, 40, 3)) == Cost(1.25, 42, 3.2)


def test_instructions_are_told_where_they_were_counted() -> None:
    timed = {"time": [2000.0, 1000.0, 2.0], "instructions": [300, 200, 1.5]}
    assert row("token", timed, {"bytecodes": 1, "calls": 1}).instructions == 1.5
    assert found().instructions is None


# --- the pieces ------------------------------------------------------------------------------------------


class Meter:
    """What is measured passes only while somebody works."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


class Work:
    """Pieces of two things that take what they are told to; `late`: how many of them come late."""

    count = 2

    def __init__(self, meter: Meter, takes: Iterable[int], late: int = 0) -> None:
        self._meter, self._takes, self._late = meter, iter(takes), late

    def ready(self) -> None:
        self._meter.now += 1_000_000

    def go(self) -> None:
        self._meter.now += next(self._takes)

    def check(self) -> bool:
        self._meter.now += 1_000_000
        self._late -= 1
        return self._late < 0


def always(each: int) -> Iterator[int]:
    while True:
        yield each


def windows(*each: int) -> Iterator[int]:
    """So much for each piece of a window, one after the other; then the last for ever."""
    for takes in each:
        yield from [takes] * PAIRS
    yield from always(each[-1])


def test_only_the_work_itself_is_measured_and_of_each_thing() -> None:
    meter = Meter()
    taken = window(Work(meter, always(30)), Work(meter, always(10)), meter)
    assert taken == (15, 5, 3)


def test_pieces_that_others_disturbed_do_not_count() -> None:
    meter, disturbed = Meter(), int(PAIRS * 0.4)
    noisy = Work(meter, [500] * disturbed + [30] * (PAIRS - disturbed))
    assert window(noisy, Work(meter, always(10)), meter).ratio == 3


def test_what_disturbs_only_the_raw_limit_makes_nothing_cheaper() -> None:
    meter, disturbed = Meter(), int(PAIRS * 0.4)
    noisy = Work(meter, [500] * disturbed + [10] * (PAIRS - disturbed))
    assert window(Work(meter, always(30)), noisy, meter).ratio == 3
    mostly = Work(meter, [20] * (PAIRS - 12) + [10] * 12)
    assert window(Work(meter, always(30)), mostly, meter).ratio == 3


def test_a_piece_that_did_not_come_whole_is_left_out_and_too_many_are_no_measurement() -> None:
    meter = Meter()
    late = Work(meter, [1] * PAIRS + [30] * PAIRS, late=PAIRS)
    assert window(late, Work(meter, always(10)), meter).ratio == 3
    with pytest.raises(SystemExit, match="no measurement"):
        window(Work(meter, always(1), late=10_000), Work(meter, always(1)), meter)


def clock(step: float) -> Callable[[], float]:
    """Seconds that pass with each look."""
    times = iter(range(1_000_000))
    return lambda: step * next(times)


def test_the_quietest_window_counts() -> None:
    meter = Meter()
    ours = Work(meter, windows(40, 30, 50, 60))
    assert quietest(ours, Work(meter, always(10)), 1.0, 4.0, meter, clock(1.0)).ratio == 3


def test_a_window_within_the_limit_is_enough() -> None:
    meter = Meter()
    ours = Work(meter, windows(40, 30, 20))
    assert quietest(ours, Work(meter, always(10)), 3.5, 100.0, meter, clock(1.0)).ratio == 3


# --- the counts ------------------------------------------------------------------------------------------


def short() -> int:
    return len("a")


def longer() -> int:
    return len("a") + short()


def counted(
    function: Callable[[], int], install: Callable[..., None], trace: str, elsewhere: str = "-"
) -> int:
    count, before = Count((elsewhere,)), sys.gettrace() if install is sys.settrace else sys.getprofile()
    install(getattr(count, trace))
    try:
        function()
    finally:
        install(before)
    return count.counted


@pytest.mark.parametrize(("install", "trace"), [(sys.settrace, "bytecodes"), (sys.setprofile, "calls")])
def test_counts_are_the_same_each_time_and_more_where_more_is_done(
    install: Callable[..., None], trace: str
) -> None:
    first, second, more = (counted(what, install, trace) for what in (short, short, longer))
    assert 0 < first == second < more
    assert counted(longer, install, trace, elsewhere=__file__) <= 1  # the call that ends the counting


def test_calls_are_those_of_python_and_of_c() -> None:
    assert counted(longer, sys.setprofile, "calls") - counted(short, sys.setprofile, "calls") == 2


def test_a_counter_of_the_kernel_counts_on_or_is_none() -> None:
    """By an event that needs no hardware; where the system keeps them from users there is none."""
    with counter(SOFTWARE, TASK_CLOCK) as count:
        if count is not None:
            before = count()
            sum(range(100_000))
            assert count() > before
