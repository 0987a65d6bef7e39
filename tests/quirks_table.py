"""The table of quirks in docs/upstreams.md, out of tests/data: `python -m tests.quirks_table` writes it anew.

Each stream there has a file beside it that says what it is: `quirk`, what upstreams send, and `handling`,
what becomes of it. tests/test_docs.py holds the document against this.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DATA = ROOT / "tests/data"
DOCUMENT = ROOT / "docs/upstreams.md"
TEST = "tests/relay/test_quirks.py"
START, END = "<!-- quirks -->\n", "<!-- /quirks -->"


def quirks() -> dict[str, dict[str, Any]]:
    """What each stream says of itself, by its name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(DATA.glob("*.json"))}


def table() -> str:
    """The rows, each with the name under which its tests run."""
    rows = [
        f"| {_cell(said['quirk'])} | {_cell(said['handling'])} | `[{name}]` |"
        for name, said in quirks().items()
    ]
    return "\n".join([f"| what comes | what becomes of it | `{TEST}::…` |", "|---|---|---|", *rows, ""])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def written() -> str:
    """What the document has between its marks."""
    return DOCUMENT.read_text().partition(START)[2].partition(END)[0]


def main() -> None:
    text = DOCUMENT.read_text()
    DOCUMENT.write_text(text.replace(START + written() + END, START + table() + END))


if __name__ == "__main__":
    main()
