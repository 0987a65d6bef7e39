"""What of the front end needs no page, by Node's own test runner: each *.test.mjs of this folder."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.rig.front import ROOT, node

FILES = sorted(Path(__file__).parent.glob("*.test.mjs"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.removesuffix(".test.mjs"))
def test_node_finds_no_fault_in(path: Path) -> None:
    command = [node(), "--test", "--test-reporter=spec", str(path.relative_to(ROOT))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, (done.stdout.partition("failing tests:")[2] + done.stderr)[:4_000]
    assert "ℹ pass 0\n" not in done.stdout, "no test ran"


def test_there_are_files_to_run() -> None:
    assert FILES
