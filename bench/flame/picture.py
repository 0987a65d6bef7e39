"""A tree of frames as a flame graph: a static SVG that follows the reader's light or dark. Pure.

The outermost frame lies at the bottom, and its width is its share of all samples. Colours are those of the
rooms; whole name and share are the `<title>` of each frame, which browsers show where the mouse rests.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import NamedTuple

from bench.flame.folded import Node, Samples

WIDTH, ROW, MARGIN = 1200, 18, 10
HEAD, LINE, COLUMNS = 76, 20, 6  # of the picture; of the rooms below its title
FEW = 3  # characters of a name that are worth showing
FONT = 12
CHARACTER = 7.23  # of the font's width
LEAST = 0.003  # of all samples: narrower frames are left out
MOST = 100_000  # bytes of a picture

# Room: its colour on light and on dark.
COLOURS = {
    "kernel": ("#f2a65a", "#8a4b12"),
    "app.hub": ("#8ec9f5", "#1d5f94"),
    "app.relay": ("#9fdcae", "#22683a"),
    "app.web": ("#c9b6f2", "#57409a"),
    "app.chat": ("#e3c1ea", "#763f86"),
    "bench": ("#d9d9d9", "#555555"),
    "flask": ("#f7b8c4", "#8f3448"),
    "garbage": ("#c8b89a", "#6b5a3a"),
    "gevent": ("#bfe3e0", "#2b6d68"),
    "gunicorn": ("#d5e08f", "#5f6a1c"),
    "orjson": ("#ffd966", "#7d6200"),
    "pydantic": ("#f0c0e0", "#7d3a68"),
    "python": ("#efe3b0", "#6a6030"),
    "requests": ("#b9c7f0", "#3a4f94"),
}
STYLE = (
    f"text{{font:{FONT}px ui-monospace,Menlo,Consolas,monospace;fill:#111}}"
    ".t{font-weight:bold;font-size:15px}.b{fill:#fff}"
)
DARK = "text{fill:#eee}.b{fill:#161616}"


class Box(NamedTuple):
    """One frame in the picture: where it begins and how wide it is, as shares of all; its row from below."""

    node: Node
    left: float
    share: float
    row: int


def boxes(tree: Node, least: float = LEAST) -> list[Box]:
    """All frames of at least this share, from the left the widest first."""
    return list(_boxes(tree, 0.0, 0, tree.count, least))


def _boxes(node: Node, left: float, row: int, whole: int, least: float) -> Iterator[Box]:
    for child in sorted(node.children.values(), key=lambda child: (-child.count, child.name)):
        share = child.count / whole
        if share >= least:
            yield Box(child, left, share, row)
            yield from _boxes(child, left, row + 1, whole, least)
            left += share


def drawn(title: str, what: str, found: Samples) -> str:
    """The SVG, of at most MOST bytes: where it would be more, wider frames are left out, too."""
    least = LEAST
    while len((text := _drawn(title, what, found, least)).encode()) > MOST:
        least *= 1.2
    return text


def _drawn(title: str, what: str, found: Samples, least: float) -> str:
    placed, whole = boxes(found.tree, least), found.tree.count
    classes = {room: f"r{n}" for n, room in enumerate(sorted({b.node.room for b in placed} | {*found.rooms}))}
    bottom = HEAD + _lines(len(found.rooms)) * LINE + (1 + max((b.row for b in placed), default=0)) * ROW
    height = bottom + MARGIN
    about = f"{whole:,} samples; the width of a frame is its share of them, from {100 * least:.2g} % on"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}">',
            f"<title>{escape(title)}</title><style>{_style(classes)}</style>",
            f'<rect class="b" width="{WIDTH}" height="{height}"/>',
            f'<text class="t" x="{MARGIN}" y="26">{escape(title)}</text>',
            f'<text x="{MARGIN}" y="46">{escape(what)} {about}.</text>',
            *_legend(found, classes),
            *(_frame(box, classes, bottom) for box in placed),
            "</svg>\n",
        ]
    )


def _style(classes: dict[str, str]) -> str:
    light, dark = (
        "".join(f".{name}{{fill:{COLOURS[room][mode]}}}" for room, name in classes.items()) for mode in (0, 1)
    )
    return f"{STYLE}{light}@media(prefers-color-scheme:dark){{{DARK}{dark}}}"


def _lines(entries: int) -> int:
    return -(-entries // COLUMNS)


def _legend(found: Samples, classes: dict[str, str]) -> Iterator[str]:
    """Whose the time was: each room with its colour and its share."""
    for n, (room, count) in enumerate(found.rooms.most_common()):
        x, y = MARGIN + n % COLUMNS * (WIDTH - 2 * MARGIN) // COLUMNS, HEAD - 4 + n // COLUMNS * LINE
        share = f"{room} {100 * count / found.tree.count:.1f} %"
        yield f'<rect class="{classes[room]}" x="{x}" y="{y - 11}" width="13" height="13"/>'
        yield f'<text x="{x + 19}" y="{y}">{escape(share)}</text>'


def _frame(box: Box, classes: dict[str, str], bottom: int) -> str:
    """One frame, and as much of its name as there is room for."""
    left, width = MARGIN + box.left * (WIDTH - 2 * MARGIN), box.share * (WIDTH - 2 * MARGIN)
    top = bottom - (box.row + 1) * ROW
    name = escape(f"{box.node.name} ({100 * box.share:.1f} %)", quote=False)
    rect = (
        f'<rect class="{classes[box.node.room]}" x="{left:.1f}" y="{top}" width="{max(width - 0.6, 0.5):.1f}"'
    )
    text, fits = box.node.name, int((width - 6) / CHARACTER)
    label = f'<text x="{left + 3:.1f}" y="{top + 13}">{escape(short(text, fits), quote=False)}</text>'
    shown = label if fits >= FEW else ""
    return f'<g><title>{name}</title>{rect} height="{ROW - 1}" rx="2"/>{shown}</g>'


def short(name: str, fits: int) -> str:
    """As much of a name as there is room for: a function says more than its class, and that than its file."""
    function = name.rpartition(":")[2].strip()
    last = function.rpartition(".")[2] if ":" in name else function
    for shorter in (name, function, last):
        if len(shorter) <= fits:
            return shorter
    return f"{last[: fits - 1]}…"
