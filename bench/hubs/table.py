"""The table in Markdown: a row for each figure, a column for each server. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bench.figures import cells as line
from bench.hubs.figures import FIGURES, Figure
from bench.hubs.goals import Cell, Round, Verdict, cell, verdict


def rows(
    rounds: Mapping[str, Sequence[Round]], titles: Mapping[str, str], judged: str
) -> Iterator[tuple[str, Verdict | None]]:
    """The lines, each with its verdict on the server `judged` where the row has a goal. `rounds` by server;
    what nobody was put through has no row."""
    yield line("", *(titles[server] for server in rounds), "goal", ""), None
    yield "|" + "---|" * (len(rounds) + 3), None
    for figure in FIGURES:
        cells = {server: cell(figure, rounds, server) for server in rounds}
        if any(each.value is not None for each in cells.values()):
            met = verdict(figure, cells, judged)
            shown = (_shown(figure, cells[server], server) for server in rounds)
            yield line(figure.title, *shown, met.goal if met else "", met or ""), met


def _shown(figure: Figure, found: Cell, server: str) -> str:
    """The figure, behind it its ratio to another; `busy` where it is no measurement."""
    if found.value is None:
        return "–"
    itself = server == figure.over and figure.over_labels in ((), figure.labels)
    ratio = "" if found.ratio is None or itself else f" ({found.ratio:.2f})"
    return f"{found.value:,.{figure.digits}f}{ratio}{' busy' if found.busy else ''}"
