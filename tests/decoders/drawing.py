"""What fuzzed events say: texts of all that ever broke a line-based format, JSON of them, bodies up to 1 MiB.

Pure; all is drawn from the `random.Random` that is handed in. `dumps` is the standard library's JSON, so that
what must be read is spelled by other hands than what was sent.
"""

from __future__ import annotations

import json
import random
from typing import Any

MIB = 1 << 20
NASTY = [
    *("\r", "\n", "\r\n", "\n\n", "\r\n\r\n", "\0", "\t", "\x0b\x0c", "\x1c\x1d\x1e", "\x7f", "\x85"),
    *("\u2028", "\u2029", "\ufeff", "\ufffd", "\uffff", "\U0010ffff"),
    *("😀", "👩‍👧‍👦", "天空", "é", "e\u0301", "\u202e"),
    *(" ", "  ", ":", ": ", '"', "\\", "\\n", "data: x", "id: 9", "id:", "event: evil", "retry: 1", "[DONE]"),
    *("\n\nid: 9\ndata: evil\n\n", "\r\rdata: evil\r\r", "\n:\n\nevent: evil\n"),
]
PLAIN = ["a", "word ", "0", "null", "The quick brown fox. "]


def dumps(value: Any) -> str:
    """JSON as it stands in a frame: without spaces, letters as they are."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def text(rng: random.Random, most: int = 6) -> str:
    return "".join(rng.choice(NASTY if rng.random() < 0.6 else PLAIN) for _ in range(rng.randrange(most + 1)))


def line(rng: random.Random) -> str:
    """What may stand in a `data:` line without being JSON: anything but CR and LF, at least one character."""
    return text(rng).replace("\r", "").replace("\n", "") or "[DONE]"


def value(rng: random.Random, depth: int = 2) -> Any:
    """Any JSON. Numbers are such as every encoder spells alike."""
    kind = rng.randrange(10 if depth else 7)
    if kind < 4:
        return text(rng)
    if kind == 4:
        return rng.choice([0, -1, 2**53, 2**64 - 1, -(2**63), rng.randrange(10**6)])
    if kind == 5:
        return rng.randrange(-800, 800) / 8
    if kind == 6:
        return rng.choice([None, True, False])
    inner = [value(rng, depth - 1) for _ in range(rng.randrange(4))]
    return inner if kind < 9 else {f"{text(rng, 3)}{i}": item for i, item in enumerate(inner)}


def long_text(rng: random.Random, size: int) -> str:
    """A text that takes exactly `size` bytes as JSON, quotes included."""
    unit = text(rng) + rng.choice(NASTY)
    found = unit * ((size - 2) // (len(dumps(unit).encode()) - 2))
    return found + "x" * (size - len(dumps(found).encode()))
