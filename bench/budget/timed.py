"""What a delivery and a token take, and plain Python for the same: the process that measures.

    python -m bench.budget.timed '{"delivery": [limit, burden], "token": […], "seconds": s}'

prints as JSON, for each kind, `[ours, raw, ratio]` in ns of CPU time, of the quietest window, looked for
until one is within `limit` and at most for so many seconds; and the same in instructions where they can be
counted, else null. `burden`: microseconds.
"""

from gevent import monkey

monkey.patch_all()

import gc  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from typing import Any  # noqa: E402

from bench.budget import raw  # noqa: E402
from bench.budget.burden import burdened  # noqa: E402
from bench.budget.house import ANSWERS, STREAMS, Broadcasts, House, Tokens, frame  # noqa: E402
from bench.budget.instructions import counter  # noqa: E402
from bench.budget.pieces import Piece, quietest, window  # noqa: E402


def pieces(kind: str, burden: float) -> tuple[Piece, Piece]:
    """Ours and the raw one."""
    house = House(burdened(burden))
    if kind == "delivery":
        news = Broadcasts(house, STREAMS)
        return news, raw.News(STREAMS, frame(news))
    words = Tokens(house, ANSWERS)
    return words, raw.Words(ANSWERS, frame(words))


def measured(kind: str, limit: float, burden: float, seconds: float) -> dict[str, Any]:
    ours, limiting = pieces(kind, burden)
    gc.collect()
    gc.freeze()
    gc.set_threshold(700, 10, 1_000_000)  # as gunicorn.conf.py does
    with counter() as count:
        instructions = window(ours, limiting, count) if count else None
    return {"time": quietest(ours, limiting, limit, seconds), "instructions": instructions}


def main() -> None:
    asked = json.loads(sys.argv[1])
    seconds = asked.pop("seconds")
    json.dump({kind: measured(kind, *given, seconds) for kind, given in asked.items()}, sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # at once, and with it all the sockets


if __name__ == "__main__":
    main()
