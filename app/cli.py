"""The command line, `python -m app.cli VERB`: run the server, write or check the page of settings.

`check-python` is also called by path, before anything is installed, so only the standard library is imported
at the top and nothing here needs a newer Python than the one it refuses.
"""

from __future__ import annotations

import argparse
import os
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

ROOT = Path(__file__).resolve().parent.parent
SETTINGS_PAGE = ROOT / "docs" / "settings.md"
OLDEST_PYTHON = (3, 10)

# The page's chapters, by their first setting.
CHAPTERS = {
    "host": "Where it listens and who may come",
    "upstream_url": "Who answers",
    "connect_timeout": "The clocks of an answer",
    "retry_attempts": "Trying again, before the first text only",
    "answers_worker": "How large",
    "mailbox_events": "Mailboxes and connections",
}
INTRODUCTION = """\
# Settings

Each is read once, at start, from the environment: `PORT=8001 make run`. This page is written by
`python -m app.cli settings` from [`app/settings.py`](../app/settings.py)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one verb; returns the exit status. Problems are said in one line on stderr."""
    parser = argparse.ArgumentParser(prog="python -m app.cli", description="Deltahub's command line.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("run", help="start gunicorn with gunicorn.conf.py in the place of this process")
    verbs.add_parser("check-python", help="say so if this Python is too old")
    settings = verbs.add_parser("settings", help="print the page of all settings")
    settings.add_argument("--check", action="store_true", help="compare it with docs/settings.md instead")
    given = parser.parse_args(argv)
    problem = python_problem(sys.version_info[:3])
    if not problem and given.verb == "run":
        run()
    elif not problem and given.verb == "settings" and given.check:
        problem = check_settings_page()
    elif not problem and given.verb == "settings":
        print(settings_page(), end="")
    if problem:
        print(f"deltahub: {problem}", file=sys.stderr)
    return 1 if problem else 0


def python_problem(version: tuple[int, ...]) -> str:
    """'' if Deltahub runs on this version of Python, else a sentence that says what to do."""
    if version >= OLDEST_PYTHON:
        return ""
    needed, found = (".".join(map(str, v)) for v in (OLDEST_PYTHON, version))
    return f"this is Python {found} and {needed} or newer is needed: try `make run PYTHON=python{needed}`"


def run() -> None:
    """Becomes gunicorn: the process stays, so that signals reach it."""
    os.chdir(ROOT)
    # Its script, not `-m gunicorn`: started anew on SIGUSR2 that would find its own `http` before Python's.
    gunicorn = str(Path(sysconfig.get_path("scripts"), "gunicorn"))
    command = [sys.executable, gunicorn, "-c", "gunicorn.conf.py", "wsgi:app"]
    os.execv(sys.executable, command)  # noqa: S606  # no shell is meant


def check_settings_page(page: Path = SETTINGS_PAGE) -> str:
    """'' if the page says what app/settings.py says, else a sentence that says what to do."""
    if page.is_file() and page.read_text(encoding="utf-8") == settings_page():
        return ""
    return "docs/settings.md is out of date: run `python -m app.cli settings > docs/settings.md`"


def settings_page() -> str:
    """docs/settings.md, made from the fields of Settings."""
    from app.settings import Settings

    lines = [INTRODUCTION]
    for name, field in Settings.model_fields.items():
        if name in CHAPTERS:
            lines += [
                "",
                f"## {CHAPTERS[name]}",
                "",
                "| setting | what it takes | default | what it is |",
                "|---|---|---|---|",
            ]
        cells = (f"`{name.upper()}`", _takes(field), _default(field.default), field.description or "")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _takes(field: Any) -> str:
    """What may be written after the name, in words."""
    from app.settings import YEAR

    choices = [f"`{choice}`" if choice else "nothing" for choice in get_args(field.annotation)]
    words = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    if field.annotation in words:
        limits = [
            f"{sign} {getattr(limit, name)}"
            for limit in field.metadata
            for name, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"))
            if getattr(limit, name, YEAR) != YEAR
        ]
        return f"{words[field.annotation]} {', '.join(limits)}".strip()
    if isinstance(field.default, tuple):
        return "names, by comma"
    return " or ".join(choices) or "secret"


def _default(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value % 1024 == 0 and value > 65_536:
        unit, size = ("MiB", 1024 * 1024) if value % (1024 * 1024) == 0 else ("KiB", 1024)
        return f"{value} ({value // size} {unit})"
    if isinstance(value, (int, float)):
        return f"{value:g}" if isinstance(value, float) else str(value)
    return f"`{value}`" if value and isinstance(value, str) else "empty"


if __name__ == "__main__":
    sys.exit(main())
