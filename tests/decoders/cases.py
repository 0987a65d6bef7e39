"""Streams to hold decoders against: batches, where they are cut, and what must be read of them.

Pure and drawn from a seed, so that a case that fails can be had again. Used by the tests of the decoders.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import accumulate
from typing import NamedTuple

from tests.decoders.drawing import MIB
from tests.decoders.frames import Batch, Put, big, frames, join
from tests.decoders.sessions import session

# Cases that share a stream: a browser opens six at a time and takes milliseconds for each.
A_STREAM = 100
SMALL = range(100, 400)


class Seen(NamedTuple):
    """One event as a reader has it; `id` is the last id it knew at that moment."""

    data: str
    id: str
    type: str


class Case(NamedTuple):
    """A batch, cut into the pieces that are sent one by one."""

    pieces: list[bytes]
    puts: list[Put]


class Stream(NamedTuple):
    """Cases one after the other on one connection; `first` is the number of the first."""

    cases: list[Case]
    first: int = 0

    @property
    def pieces(self) -> list[bytes]:
        return [piece for case in self.cases for piece in case.pieces]

    @property
    def expected(self) -> list[Seen]:
        return seen(put for case in self.cases for put in case.puts)

    def case_of(self, index: int) -> int:
        """The number of the case that event `index` belongs to; of the last one, for what comes after all."""
        ends = accumulate(len(case.puts) for case in self.cases)
        before = sum(end <= index for end in ends)
        return self.first + min(before, len(self.cases) - 1)


def seen(puts: Iterable[Put]) -> list[Seen]:
    """[spec] An event without an id leaves the last one as it is."""
    found: list[Seen] = []
    last = ""
    for put in puts:
        last = last if put.id is None else put.id
        found.append(Seen(put.data, last, put.type))
    return found


@cache
def fuzzed(seed: int, count: int) -> list[Stream]:
    """`count` batches, each cut in a way of its own. The first has a body of exactly 1 MiB, and one in a
    thousand one of up to that."""
    rng = random.Random(seed)
    return _streams(_fuzzed(rng, number) for number in range(count))


@cache
def cut_in_two(seed: int, batches: int) -> list[Stream]:
    """Small batches, each cut in two at every byte, and then once at all of them."""
    rng = random.Random(seed)
    return _streams(case for _ in range(batches) for case in _every_cut(small(rng)))


@cache
def broken_off(seed: int, batches: int) -> list[Stream]:
    """Small batches, each on as many connections as it has bytes, that end before each of them: only what is
    whole by then may be read."""
    rng = random.Random(seed)
    found = [case for _ in range(batches) for case in _every_end(_small_frames(rng))]
    return [Stream([case], number) for number, case in enumerate(found)]


def small(rng: random.Random) -> Batch:
    """A batch of some hundred bytes, of which at least two events are to be read."""
    while True:
        batch = session(rng) if rng.random() < 0.5 else join(frames(rng))
        if len(batch.joined) in SMALL and len(batch.puts) > 1:
            return batch


def _small_frames(rng: random.Random) -> list[Batch]:
    """Frames that make a small batch; none with `retry:`, which a browser obeys when it comes back."""
    while True:
        found = [part for part in frames(rng) if not part.joined.startswith(b"retry:")]
        if len(join(found).joined) in SMALL and len(join(found).puts) > 2:
            return found


def _fuzzed(rng: random.Random, number: int) -> Case:
    if number % 1_000 == 0:
        batch = big(rng, rng.randrange(MIB // 64, MIB) if number else MIB)
    else:
        batch = session(rng) if rng.random() < 0.4 else join(frames(rng))
    return Case(_cut(rng, batch.joined), batch.puts)


def _cut(rng: random.Random, joined: bytes) -> list[bytes]:
    """Not at all, after every line, at every byte (seldom: that is what costs time), or anywhere."""
    plan = rng.random()
    if plan < 0.2:
        return [joined]
    if plan < 0.4:
        return [line + b"\n" for line in joined.split(b"\n")[:-1]]
    if plan < 0.405 and len(joined) in SMALL:
        return _bytewise(joined)
    places = sorted(rng.randrange(len(joined) + 1) for _ in range(rng.randrange(1, 5)))
    return [joined[a:b] for a, b in zip([0, *places], [*places, len(joined)], strict=True) if a < b]


def _bytewise(joined: bytes) -> list[bytes]:
    return [joined[at : at + 1] for at in range(len(joined))]


def _every_cut(batch: Batch) -> Iterator[Case]:
    for at in range(1, len(batch.joined)):
        yield Case([batch.joined[:at], batch.joined[at:]], batch.puts)
    yield Case(_bytewise(batch.joined), batch.puts)


def _every_end(parts: list[Batch]) -> Iterator[Case]:
    """[spec] An event is read with the blank line that ends it, not before."""
    joined = join(parts).joined
    for at in range(len(joined)):
        whole = [part for n, part in enumerate(parts) if len(join(parts[: n + 1]).joined) <= at]
        yield Case([joined[:at]], join(whole).puts)


def _streams(cases: Iterable[Case]) -> list[Stream]:
    found = list(cases)
    return [Stream(found[at : at + A_STREAM], at) for at in range(0, len(found), A_STREAM)]
