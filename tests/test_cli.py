"""The command line: a page of settings that cannot go stale, and a Python that is checked before anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from app import cli
from app.settings import Settings


def test_the_page_of_settings_says_what_the_settings_say() -> None:
    assert cli.check_settings_page() == ""


def test_a_page_that_is_out_of_date_or_missing_is_told_how_to_be_made(tmp_path: Path) -> None:
    page = tmp_path / "settings.md"
    assert "python -m app.cli settings > docs/settings.md" in cli.check_settings_page(page)
    page.write_text(cli.settings_page().replace("8000", "8080", 1))
    assert "python -m app.cli settings > docs/settings.md" in cli.check_settings_page(page)


def test_the_page_has_a_described_row_for_each_setting() -> None:
    rows = [line for line in cli.settings_page().splitlines() if line.startswith("| `")]
    assert len(rows) == len(Settings.model_fields)
    for row, (name, field) in zip(rows, Settings.model_fields.items(), strict=True):
        assert row.startswith(f"| `{name.upper()}` |")
        assert field.description
        assert field.description in row


def test_each_chapter_begins_with_a_setting_that_exists() -> None:
    assert set(cli.CHAPTERS) <= set(Settings.model_fields)
    assert next(iter(Settings.model_fields)) in cli.CHAPTERS


@pytest.mark.parametrize(
    "row",
    [
        "| `PORT` | whole number ≥ 1, ≤ 65535 | 8000 |",
        "| `UPSTREAM_KEY` | secret | empty |",
        "| `CORS_ORIGINS` | names, by comma | empty |",
        "| `AUTH` | nothing or `open` | empty |",
        "| `UPSTREAM_ENVIRONMENT` | true or false | false |",
        "| `RETRY_BASE` | number > 0 | 0.5 |",
        "| `MESSAGE_BYTES` | whole number ≥ 1 | 1048576 (1 MiB) |",
    ],
)
def test_a_row_says_in_words_what_is_taken_and_what_is_the_default(row: str) -> None:
    assert row in cli.settings_page()


def test_settings_prints_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["settings"]) == 0
    assert capsys.readouterr().out == cli.settings_page()


@pytest.mark.parametrize("version", [(3, 10, 0), (3, 11, 7), (4, 0, 0)])
def test_a_python_that_is_new_enough_is_no_problem(version: tuple[int, int, int]) -> None:
    assert cli.python_problem(version) == ""


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 9, 25)])
def test_a_python_that_is_too_old_is_told_which_is_needed(version: tuple[int, int, int]) -> None:
    problem = cli.python_problem(version)
    assert f"this is Python {'.'.join(map(str, version))} and 3.10 or newer is needed" in problem


def test_an_old_python_ends_in_one_line_and_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "OLDEST_PYTHON", (99, 0))
    assert cli.main(["check-python"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_python_can_be_checked_by_path_before_anything_is_installed() -> None:
    # -S: without site-packages.
    subprocess.run([sys.executable, "-I", "-S", cli.__file__, "check-python"], check=True)
