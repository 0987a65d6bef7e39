"""How many Python bytecodes and calls a delivery and a token are: the process that counts.

    python -m bench.budget.counted

prints `{"delivery": {"bytecodes", "calls"}, "token": …}`: what this thread executes of the application and of
all it calls, but for gevent's own loop and for what waits in here.
"""

from gevent import monkey

monkey.patch_all()

import time  # noqa: E402

# For the application the time stands still: turns that are bounded by it would be more while somebody counts.
# This is a method of C that returns the same number for ever, so to ask for the time is still one call.
time.monotonic = (1_000.0).conjugate

import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402

from bench.budget import house  # noqa: E402
from bench.budget.counts import Count  # noqa: E402
from bench.budget.house import ANSWERS, STREAMS, Broadcasts, House, Tokens, frame  # noqa: E402
from bench.budget.pieces import Piece  # noqa: E402

TIMES = 5
ELSEWHERE = (os.path.dirname(gevent.__file__), house.__file__, __file__)
Install = Callable[[Any], None]  # sys.settrace or sys.setprofile


def least(piece: Piece, install: Install, trace: str) -> float:
    """Of one thing in a piece; now and then somebody else has a turn, hence the least of some."""
    return min(_once(piece, install, trace) for _ in range(TIMES)) / piece.count


def _once(piece: Piece, install: Install, trace: str) -> int:
    count = Count(ELSEWHERE)
    piece.ready()
    _in_both(install, getattr(count, trace))
    piece.go()
    _in_both(install, None)
    piece.check()
    return count.counted


def _in_both(install: Install, trace: Any) -> None:
    """In the greenlet that calls, and in that of the loop: one does not do it for the other."""
    gevent.get_hub().loop.run_callback(install, trace)
    gevent.sleep(0)
    install(trace)


def costs(piece: Piece) -> dict[str, float]:
    return {
        "bytecodes": least(piece, sys.settrace, "bytecodes"),
        "calls": least(piece, sys.setprofile, "calls"),
    }


def main() -> None:
    pieces = {"delivery": Broadcasts(House(), STREAMS), "token": Tokens(House(), ANSWERS)}
    for piece in pieces.values():
        frame(piece)
    json.dump({kind: costs(piece) for kind, piece in pieces.items()}, sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # at once, and with it all the sockets


if __name__ == "__main__":
    main()
