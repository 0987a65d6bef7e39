"""What each server that produces events itself sends: to stream `number` 20 to 60 of them a second, 40 on
average, each with the moment at which it was due.

Pure; imported by the apps beside it, which sleep as their servers do. The client that reads the marks is
bench/hubs/load/marks.c.
"""

from __future__ import annotations

from collections.abc import Iterator

TEXT = "tok " * 7  # the 28 bytes of text that a delta has on average, more or less
LAST = 2**64 - 1  # in the place of the time: this was the stream's last event


def mark(number: int, sent: int) -> str:
    """`number` counts the events of one stream from 0; `sent` is CLOCK_MONOTONIC in ns."""
    return f"~S{number:08x}T{sent:016x}~"


def beats(stream: int, seconds: float, start: int) -> Iterator[tuple[int, str]]:
    """When, in ns from the clock of `start`, and with which text; streams do not beat together."""
    gap = 1_000_000_000 // (20 + stream * 37 % 41)
    due = start + stream * 7_919_003 % gap
    count = int(seconds * 1e9) // gap
    for number in range(count):
        yield due, mark(number, due) + TEXT
        due += gap
    yield due, mark(count, LAST)
