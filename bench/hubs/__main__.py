"""The whole table: this server, the limits of a core and other hubs, one core each, in turn.

    python -m bench.hubs                                          all rows, three rounds: `make bench`
    python -m bench.hubs --rows broadcast,memory --servers ours,rawC --rounds 1
    python -m bench.hubs --rows tokens --servers ours,ours@../other-tree --set OUTLET=generator

Servers run on the first core, the load client (bench/hubs/load) on the second. The exit status is 1 where a
goal is missed by more than a tenth or has no measurement, and where an event was lost, came twice or out of
order, or a connection was cut or refused.
"""

from __future__ import annotations

import argparse
import resource
import sys
from collections import Counter
from collections.abc import Mapping, Sequence

from bench.added_latency import machine
from bench.hubs.built import Missing
from bench.hubs.client import faults
from bench.hubs.goals import Round
from bench.hubs.servers import KINDS, OURS, is_ours
from bench.hubs.sessions import GROUPS, Sample, able, sampled
from bench.hubs.table import rows
from bench.pinned import two_cores

USUAL = (OURS, "rawC", "nchan", "p3", "rawPy")  # who is compared stands beside each other


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def available(names: Sequence[str]) -> list[str]:
    """Those that can run here; of the others it is said why not. Raises SystemExit where one is unknown."""
    found = []
    for name in names:
        if not is_ours(name) and name not in KINDS:
            raise SystemExit(f"no server is called {name}: there are {OURS}, {OURS}@PATH, {', '.join(KINDS)}")
        if problem := "" if is_ours(name) else KINDS[name].lacks():
            say(f"without {name}: {problem}")
        else:
            found.append(name)
    return found


def one_round(
    servers: Sequence[str], groups: Sequence[str], settings: dict[str, str]
) -> dict[str, list[Round]]:
    """By server; each pass over a group counts as a round of its own."""
    passes = range(max(GROUPS[group].passes for group in groups))
    found: dict[str, list[dict[str, Sample]]] = {server: [{} for _ in passes] for server in servers}
    for group in groups:
        these = [server for server in servers if able(server, group)]
        for server, samples in sampled(group, these, two_cores(), settings, say).items():
            for round_, sample in zip(found[server], samples, strict=False):
                round_[group] = sample
    return found


def all_faults(rounds: Mapping[str, Sequence[Round]]) -> Counter[str]:
    """What was not as it should be, by server and name."""
    found: Counter[str] = Counter()
    for server, own in rounds.items():
        for result in (result for one in own for sample in one.values() for result in sample.values()):
            found.update({f"{server}: {name}": count for name, count in faults(result).items()})
    return found


def show(rounds: Mapping[str, Sequence[Round]]) -> bool:
    """Prints the table; whether all is as it should be."""
    titles = {server: KINDS[server].title if server in KINDS else server for server in rounds}
    verdicts = []
    for text, met in rows(rounds, titles, OURS):
        print(text)
        verdicts.append(met)
    wrong = all_faults(rounds)
    print("\nR: deliveries per CPU second of raw C with one in flight, in the same round.")
    print(f"Faults: {', '.join(f'{count} × {what}' for what, count in wrong.items()) or 'none'}.")
    print(machine())
    return not wrong and not any(met and met.failed for met in verdicts)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", default=",".join(GROUPS), help="groups of rows, by comma: %(default)s")
    parser.add_argument("--servers", default=",".join(USUAL), help="by comma: %(default)s")
    parser.add_argument("--peers", action="store_true", help="beside all servers there are")
    parser.add_argument("--rounds", type=int, default=3, help="%(default)s")
    parser.add_argument(
        *("--set", "-s"), action="append", default=[], metavar="NAME=VALUE", help="a setting of this server"
    )
    return parser.parse_args()


def main() -> None:
    given = parsed()
    if unknown := set(given.rows.split(",")) - set(GROUPS):
        raise SystemExit(f"no rows are called {', '.join(sorted(unknown))}: there are {', '.join(GROUPS)}")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # the servers inherit it
    settings = dict(pair.split("=", 1) for pair in given.set)
    servers = available([OURS, *KINDS] if given.peers else given.servers.split(","))
    rounds: dict[str, list[Round]] = {server: [] for server in servers}
    try:
        for number in range(given.rounds):
            say(f"round {number + 1} of {given.rounds}")
            order = servers if number % 2 == 0 else servers[::-1]
            for server, own in one_round(order, given.rows.split(","), settings).items():
                rounds[server] += own
    except Missing as error:
        raise SystemExit(str(error)) from None
    raise SystemExit(not show(rounds))


if __name__ == "__main__":
    main()
