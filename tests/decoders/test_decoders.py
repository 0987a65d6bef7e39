"""What the hub writes, as four decoders that others wrote read it: exactly the events that were put in.

A run draws its own seed and says it where a test fails; `DECODERS_SEED=…` has that run again.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from tests.decoders.cases import Seen, Stream, broken_off, cut_in_two, fuzzed, seen
from tests.decoders.decoders import (
    Pieces,
    by_chromium,
    by_chromium_coming_back,
    by_eventsource_parser,
    by_httpx_sse,
    by_sseclient,
)
from tests.decoders.drawing import MIB

SEED = int(os.environ.get("DECODERS_SEED") or random.randrange(10**9))
CASES = 10_000
Decode = Callable[[list[Pieces]], list[list[Seen]]]


DECODERS: dict[str, Decode] = {
    "eventsource-parser": by_eventsource_parser,
    "httpx-sse": by_httpx_sse,
    "sseclient-py": by_sseclient,
}


@pytest.fixture(params=[pytest.param("Chromium's EventSource", marks=pytest.mark.browser), *DECODERS])
def decode(request: pytest.FixtureRequest) -> Decode:
    """Each decoder in turn."""
    if request.param in DECODERS:
        return DECODERS[request.param]
    page: Page = request.getfixturevalue("page")
    return lambda streams: by_chromium(page, streams)


def test_ten_thousand_fuzzed_batches_are_read_as_exactly_what_was_put_in(decode: Decode) -> None:
    streams = fuzzed(SEED, CASES)
    check(streams, decode([stream.pieces for stream in streams]))


def test_a_joined_batch_is_read_the_same_wherever_it_is_cut_in_two(decode: Decode) -> None:
    streams = cut_in_two(SEED, 20)
    check(streams, decode([stream.pieces for stream in streams]))


@pytest.mark.parametrize("decode", ["eventsource-parser", "httpx-sse"], indirect=True)
def test_of_a_batch_that_breaks_off_anywhere_only_whole_events_are_read(decode: Decode) -> None:
    """sseclient-py hands on the half event at the end, which is why app/relay/frames.py stands before it."""
    streams = broken_off(SEED, 4)
    check(streams, decode([stream.pieces for stream in streams]))


@pytest.mark.browser
def test_a_browser_comes_back_with_the_id_of_the_last_event_that_was_whole(page: Page) -> None:
    """It keeps its last id from connection to connection, so all of them are one stream to it."""
    streams = broken_off(SEED, 2)
    one = Stream([case for stream in streams for case in stream.cases])
    read, asked = by_chromium_coming_back(page, [stream.pieces for stream in streams])
    check([one], [[event for events in read for event in events]])
    ends = [seen(put for case in one.cases[:n] for put in case.puts) for n in range(len(one.cases) + 1)]
    assert asked == [events[-1].id if events else "" for events in ends], f"DECODERS_SEED={SEED}"


def test_the_fuzzed_batches_have_all_in_them_that_breaks_a_format_of_lines() -> None:
    bodies = [event.data for stream in fuzzed(SEED, CASES) for event in stream.expected]
    everything = "".join(bodies)
    for spelled in ("\\r", "\\n", "\\u0000", "\u2028", "\ufeff", "😀", "\0"):
        assert spelled in everything, ascii(spelled)
    assert max(len(body.encode()) for body in bodies) == MIB
    kinds = {json.loads(body).get("type") for body in bodies if body.startswith('{"type":')}
    assert kinds >= {"connected", "reset", "snapshot", "broadcast", "closing", "overloaded", "delta", "done"}


def test_the_same_seed_gives_the_same_cases_cut_at_the_same_places() -> None:
    """Their epochs differ, since a hub draws its own."""
    one, other = (fuzzed.__wrapped__(SEED, 500) for _ in range(2))
    sizes = [[[len(piece) for piece in stream.pieces] for stream in streams] for streams in (one, other)]
    assert sizes[0] == sizes[1]


def check(streams: list[Stream], read: list[list[Seen]]) -> None:
    """Fails with the first event that is not what was put in, and the case it is of."""
    assert len(read) == len(streams)
    for stream, events in zip(streams, read, strict=True):
        if events != stream.expected:
            pytest.fail(f"DECODERS_SEED={SEED}: {first_difference(stream, events)}"[:4_000])


def first_difference(stream: Stream, events: list[Seen]) -> str:
    pairs = zip([*stream.expected, None], [*events, None], strict=False)
    index, (put, got) = next((i, pair) for i, pair in enumerate(pairs) if pair[0] != pair[1])
    number = stream.case_of(index)
    pieces = stream.cases[number - stream.first].pieces
    return f"case {number}, put in: {put!r:.1000}, read: {got!r:.1000}, sent: {pieces!r}"
