"""gevent's loop as it really is, in a process that it has patched: what comes after what."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def on_gevent(task: str) -> Any:
    """What a function of tests/hub/on_gevent.py returns. It must not write to stderr: gevent tells of what
    went wrong in its loop there, and goes on."""
    command = [sys.executable, "-W", "error", "-m", "tests.hub.on_gevent", task]
    ran = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return json.loads(ran.stdout)


def test_soon_is_after_all_that_a_look_found_ready() -> None:
    assert on_gevent("soon") == ["ready", "ready", "soon", "soon"]


def test_between_two_turns_that_are_later_by_nothing_what_is_ready_has_its_turn() -> None:
    done = on_gevent("later")
    assert done["all"] == 50
    assert 5 <= done["before"] <= 8


def test_an_epoll_of_our_own_is_looked_at_each_time_something_happens() -> None:
    done = on_gevent("readable")
    assert done == {"patched": False, "heard": [[1], [1], [1]]}


def test_streams_live_and_end_on_gevents_loop() -> None:
    done = on_gevent("streams")
    assert done["got"] == [101, 1, 1]
    assert done["last"] == ["closing"]
    assert done["heard"] == [["c1", "gone"], ["c2", "closed"], ["c0", "closed"]]
    assert done["left"] == {"clients": 3, "connections": 0, "undelivered": 0}
