"""Runs the scenarios and prints what they showed, as Markdown.

    python -m bench.stress                          all of them, full size, on both outlets
    python -m bench.stress --short --only churn     one, small
    python -m bench.stress --rounds 10              and whether memory grows
    python -m bench.stress --sabotage all           whether each notices what it claims to: small sizes

Exits with 1 where a scenario is red; with --sabotage, where one never is.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from app.settings import Settings
from bench.stress import scenarios  # noqa: F401  # registers them
from bench.stress.house import House
from bench.stress.running import SCENARIOS, Outcome, Scenario, Stage

OUTLETS = ["socket", "generator"]
SABOTAGES = ["drop", "repeat", "swap", "leak"]
NONE = "none"  # under the same clocks as the others: what is red then shows nothing
SETTLED = 3  # rounds after which a server's memory stays as it is
ALLOWED = 0.05  # by how much it may differ, after the last

Held = dict[House, list[dict[str, int]]]


def main() -> None:
    given = _parser().parse_args()
    chosen = [SCENARIOS[name] for name in given.only or SCENARIOS]
    outlets = OUTLETS if given.outlet == "both" else [given.outlet]
    if "outlet" not in Settings.model_fields:
        outlets = [""]
    if given.sabotage:
        how = SABOTAGES if given.sabotage == "all" else [given.sabotage]
        good = [sabotaged(outlet, given.seed, chosen, [NONE, *how]) for outlet in outlets]
    else:
        stages = [Stage(given.short, given.seed, outlet) for outlet in outlets]
        good = [stressed(stages, chosen, given.rounds)]
    sys.exit(not all(good))


def stressed(stages: Sequence[Stage], chosen: Sequence[Scenario], rounds: int) -> bool:
    """Prints the table; whether all was green and no server grew."""
    held: Held = {}
    columns = [_column(stage, chosen, rounds, held) for stage in stages]
    print(f'Seed {stages[0].seed}. "0 / 0 / 0" are gaps, duplicates and reorderings.\n')
    heads = " | ".join(f"{stage.outlet or 'auto'} | s" for stage in stages)
    print(f"| scenario | what it does | {heads} |\n|---|---|{'---|---|' * len(stages)}")
    for each in chosen:
        cells = " | ".join(_cells(column[each.name]) for column in columns)
        print(f"| `{each.name}` | {each.what(stages[0].short)} | {cells} |")
    red = any(outcome.red for column in columns for each in column.values() for outcome in each)
    return (rounds <= SETTLED or _steady(held, rounds)) and not red


def _column(stage: Stage, chosen: Sequence[Scenario], rounds: int, held: Held) -> dict[str, list[Outcome]]:
    """The outcomes on one outlet, by scenario; `held` gets what each server held after each round."""
    outcomes: dict[str, list[Outcome]] = {each.name: [] for each in chosen}
    with stage:
        for round in range(1, rounds + 1):
            for each in chosen:
                outcomes[each.name].append(_noted(stage.play(each, round)))
            for house in stage.houses:
                held.setdefault(house, []).append(house.probe(collect=1, trim=1))
    return outcomes


def _noted(outcome: Outcome) -> Outcome:
    """Tells who waits."""
    state = "RED" if outcome.red else "---" if outcome.missing else "ok "
    line = f"{state} {outcome.seconds:6.1f} s  {outcome.scenario.name}: {outcome.said}"
    print(line[:2000], file=sys.stderr, flush=True)
    return outcome


def _cells(outcomes: Sequence[Outcome]) -> str:
    """Result and seconds: of the first round that was red, else of the last; the seconds of all."""
    shown = next((outcome for outcome in outcomes if outcome.red), outcomes[-1])
    result = f"**red**: {shown.said}" if shown.red else shown.said
    rounds = f"{len(outcomes)} rounds, the last: " if len(outcomes) > 1 else ""
    seconds = sum(outcome.seconds for outcome in outcomes)
    result = result[:500].replace("\n", " ").replace("|", "\\|")
    return f"{rounds}{result} | {seconds:.1f}"


def _steady(held: Held, rounds: int) -> bool:
    """Prints what each server held that was there in all rounds; whether the last is as the third."""
    print(f"\n| server | objects after round {SETTLED} | after the last | KiB then | after the last |")
    print("|---|---|---|---|---|")
    steady = True
    for house, states in held.items():
        if len(states) < rounds:
            continue
        settled, last = states[SETTLED - 1], states[-1]
        cells = [f"{state[name]:,}" for name in ("objects", "rss_kib") for state in (settled, last)]
        print(f"| {house} | {' | '.join(cells)} |")
        for name in ("objects", "rss_kib"):
            steady &= abs(last[name] - settled[name]) <= ALLOWED * settled[name]
    return steady


def sabotaged(outlet: str, seed: int, chosen: Sequence[Scenario], how: Sequence[str]) -> bool:
    """Prints which scenario notices what; whether each notices something, and only where there is."""
    print(f"\n| {outlet or 'auto'} | {' | '.join(how)} |\n|---|{'---|' * len(how)}", flush=True)
    good = True
    for each in chosen:
        outcomes = [_sabotaged(outlet, seed, each, one) for one in how]
        cells = ["red" if outcome.red else "–" if outcome.missing else "green" for outcome in outcomes]
        good &= outcomes[0].missing or (not outcomes[0].red and any(outcome.red for outcome in outcomes))
        print(f"| `{each.name}` | {' | '.join(cells)} |", flush=True)
    return good


def _sabotaged(outlet: str, seed: int, each: Scenario, how: str) -> Outcome:
    """On a server of its own: the next one must not suffer from what this one left."""
    with Stage(True, seed, outlet, how) as stage:
        return _noted(stage.play(each))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.stress", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="small sizes")
    parser.add_argument("--only", action="append", choices=SCENARIOS, metavar="NAME", help="may be repeated")
    parser.add_argument("--outlet", choices=[*OUTLETS, "both"], default="both")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sabotage", choices=[*SABOTAGES, "all"])
    return parser


if __name__ == "__main__":
    main()
