"""What it costs Chromium to draw an answer that comes one token a frame; the goals stand in the last columns.

    python -m bench.front [--rows answer,code] [--rounds 5]

Needs Chromium, Node and what requirements-dev.txt brings. Frames are made by the bench (measure.js), 16.7 ms
apart by the clock that the Markdown module is told, so 40 KB take seconds and not three minutes. A goal is
judged by the best of the rounds, since whatever else runs can only add. Below: what twice the length costs,
and what the parts weigh.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple

from playwright.sync_api import Page, sync_playwright

from bench.figures import cells as line
from tests.rig.front import DIST, ROOT, build_front

SCRIPT, FRAME, GROWTH = 2_000.0, 16.0, 2.5  # ms of script for 40 KB, ms of the longest frame, times for 80 KB


class Row(NamedTuple):
    name: str
    kind: str
    length: int


ROWS = [
    Row("40 KB answer, all kinds of blocks", "answer", 40_000),
    Row("80 KB answer, all kinds of blocks", "answer", 80_000),
    Row("20 KB table", "table", 20_000),
    Row("40 KB code block", "code", 40_000),
    Row("40 KB list", "list", 40_000),
    Row("10 KB paragraph", "paragraph", 10_000),
    Row("40 KB of Chinese", "chinese", 40_000),
]
SETUP = """async ([markdown, measuring]) => {
    const { createMarkdown, styles } = await import(markdown);
    const { measure } = await import(measuring);
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(styles);
    document.adoptedStyleSheets = [sheet];
    globalThis.run = (kind, length) => measure({ createMarkdown }, kind, length);
}"""
Figures = dict[str, float]


def main() -> int:
    options = arguments()
    build_front()
    print(line("", "frames", "script ms", "layout ms", "999 of 1,000 frames ms", "longest ms", "goals", ""))
    print("|" + "---|" * 8)
    found: dict[Row, Figures] = {}
    with chromium() as page:
        for row in options.rows:
            found[row] = best([page.evaluate("(row) => run(...row)", row[1:]) for _ in range(options.rounds)])
            print(told(row, found[row]), flush=True)
    print(weights())
    met = [is_met(row, figures) for row, figures in found.items()]
    return 0 if grows_in_line(found) and all(met) else 1


def best(rounds: list[Figures]) -> Figures:
    return {name: min(figures[name] for figures in rounds) for name in rounds[0]}


def told(row: Row, figures: Figures) -> str:
    columns = [f"{figures[name]:,.0f}" for name in ("frames", "script", "layout")]
    goals = f"≤ {limit(row):,.0f} ms of script, ≤ {FRAME:.0f} ms a frame"
    verdict = "met" if is_met(row, figures) else "missed"
    frames = [f"{figures[name]:.1f}" for name in ("most", "worst")]
    return line(row.name, *columns, *frames, goals, verdict)


def limit(row: Row) -> float:
    return SCRIPT * max(1.0, row.length / 40_000)


def is_met(row: Row, figures: Figures) -> bool:
    return figures["script"] <= limit(row) and figures["worst"] <= FRAME


def grows_in_line(found: dict[Row, Figures]) -> bool:
    """Is twice the answer at most a little more than twice the work? True where not both were measured."""
    by_length = {row.length: figures["script"] for row, figures in found.items() if row.kind == "answer"}
    if len(by_length) < 2:
        return True
    ratio = by_length[80_000] / by_length[40_000]
    print(f"\n80 KB take {ratio:.2f} times the script of 40 KB; the goal is {GROWTH}.")
    return ratio <= GROWTH


PARTS = {
    "loader": ["widget.js"],
    "panel, without Markdown": ["panel.js"],
    "Markdown": ["markdown.js"],
    "panel with Markdown": ["panel.js", "markdown.js"],
    "page, its first look": ["page.js", "page.css", "icon.svg", "markdown.js"],
    "code colours, with the first code block": ["highlight.js"],
    "formulas, with the first formula": ["math.js"],
    "client": ["client.js"],
}


def weights() -> str:
    """KB of each part as it is sent."""
    lines = ["", line("", "gzip KB", "brotli KB"), "|---|---|---|"]
    for part, names in PARTS.items():
        files = [DIST / manifest()[name]["file"] for name in names]
        sizes = [
            sum(file.with_name(file.name + kind).stat().st_size for file in files) for kind in (".gz", ".br")
        ]
        lines.append(line(part, *(f"{size / 1024:.1f}" for size in sizes)))
    return "\n".join(lines)


def manifest() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads((DIST / "manifest.json").read_text("utf-8"))
    return found


@contextmanager
def chromium() -> Iterator[Page]:
    """An empty page with the built Markdown module in it."""
    module = f"/static/dist/{manifest()['markdown.js']['file']}"
    with serving() as url, sync_playwright() as playwright:
        path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 800, "height": 900})
        page.goto(f"{url}/bench/front/empty.html")
        page.evaluate(SETUP, [module, "/bench/front/measure.js"])
        yield page
        browser.close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(ROOT)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.front", description=__doc__)
    parser.add_argument("--rows", type=chosen, default=ROWS, help="kinds of texts, by commas")
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def chosen(kinds: str) -> list[Row]:
    return [row for row in ROWS if row.kind in kinds.split(",")]


if __name__ == "__main__":
    sys.exit(main())
