"""The front end as it is now, built before tests that look at it, so that whoever runs pytest need not."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path

from tests.rig.optional import missing

ROOT = Path(__file__).resolve().parents[2]
DIST = ROOT / "static" / "dist"
MODULES = ROOT / "node_modules"
# Make puts one there that is new enough; without make, whatever the machine has.
NODES = (str(ROOT / ".venv" / "bin" / "node"), "node")


def node() -> str:
    """The interpreter; where there is none, or not what it needs, the test is skipped, and fails in CI."""
    found = next(filter(None, map(shutil.which, NODES)), "")
    if not found or not (MODULES / ".installed").exists():
        missing(
            "No Node with the packages of package.json here: get them with `make node_modules/.installed`"
        )
    return found


@functools.cache
def build_front() -> None:
    """Writes static/dist, once a test run; what is new takes seconds. AssertionError: what the build said."""
    command = [node(), "static/build.mjs"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ, timeout=240)
    assert done.returncode == 0, f"the front end can't be built:\n{done.stdout}{done.stderr}"
