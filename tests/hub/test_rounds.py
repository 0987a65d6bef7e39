"""Rounds of the crowd: in slices, a rest after a flood; who fails, comes or goes costs nobody an event."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from app.hub import rounds
from app.hub.connection import Connection
from app.hub.crowd import Crowd
from app.hub.log import Retention
from app.hub.rounds import REST, Rounds
from tests.hub.ends import reset
from tests.hub.house import House, Stream
from tests.hub.kit import Clock, types

COST = 0.001  # seconds that a look at the clock takes here
FOREVER = 1e9


class Ticking(Clock):
    """Each look at it takes time."""

    def __call__(self) -> float:
        self.now += COST
        return self.now


class Reader:
    """An outlet, and its socket, whose kernel takes `takes` bytes at once; an error where it is one."""

    def __init__(self, source: Source, takes: int | type[Exception] = 1 << 30) -> None:
        self._source, self._takes = source, takes
        self.sock = self
        self.got: list[bytes] = []
        self.short: list[tuple[bytes, int]] = []
        self.closed = False
        self.connection = Connection("id", "c", outlet=self)  # type: ignore[arg-type]

    def send(self, batch: bytes) -> int:
        self._source.on_send(self)
        if isinstance(self._takes, type):
            raise self._takes
        self.got.append(batch[: self._takes])
        return len(self.got[-1])

    def fell_short(self, batch: bytes, sent: int) -> None:
        self._source.crowd.part(self.connection)
        self.short.append((batch, sent))
        self._source.on_short(self)


class Source:
    """A hub, as rounds know it: lists of events that are next for the crowd, each list one batch."""

    def __init__(self) -> None:
        self.crowd = Crowd()
        self.batches: list[list[bytes]] = []
        self.number = 0
        self.clock = Ticking(0.0)
        self.cut: list[Any] = []
        self.on_send: Callable[[Reader], None] = lambda reader: None
        self.on_short: Callable[[Reader], None] = lambda reader: None
        self.rounds = Rounds(self, self.cut.append, Reader.send)  # type: ignore[arg-type]

    def take_news(self) -> bytes:
        if not self.batches:
            return b""
        events = self.batches.pop(0)
        self.number += len(events)
        batch = b"".join(events)
        self.crowd.begin(self.number, len(events), len(batch), self.clock.now)
        return batch

    def reader(self, takes: int | type[Exception] = 1 << 30) -> Reader:
        """One more member of the crowd."""
        reader = Reader(self, takes)
        self.crowd.enter(reader.connection)
        self.crowd.join(reader.connection, self.crowd.mark.number, self.number)
        return reader

    def readers(self, count: int) -> list[Reader]:
        return [self.reader() for _ in range(count)]

    def say(self, *batches: list[bytes]) -> None:
        self.batches += batches
        self.rounds.pending = True

    def go(self, seconds: float = FOREVER) -> float | None:
        """Rounds for so long."""
        now = self.clock.now
        return self.rounds.go(now, now + seconds, self.clock)


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "SLICE", 2)


# --- one round ---


def test_a_round_writes_the_same_bytes_to_all(source: Source) -> None:
    readers = source.readers(200)
    source.say([b"one"])
    assert source.go() is None
    assert {id(reader.got[0]) for reader in readers} == {id(readers[0].got[0])}
    assert all(reader.got == [b"one"] for reader in readers)


def test_where_nothing_was_said_nobody_is_asked_for_more(source: Source) -> None:
    source.readers(2)
    source.batches = [[b"not announced"]]
    assert source.go() is None
    assert source.number == 0


def test_where_there_is_no_crowd_what_is_said_is_over(source: Source) -> None:
    source.say([b"one"], [b"two", b"three"], [b"four"])
    for _ in range(5):
        source.clock.advance(1.0)
        source.go()
    assert not source.rounds.pending
    assert source.batches == []


def test_one_round_follows_the_other_while_there_is_time(source: Source) -> None:
    readers = source.readers(3)
    source.say([b"one"], [b"two"], [b"three"])
    assert source.go() is None
    assert all(reader.got == [b"one", b"two", b"three"] for reader in readers)


def test_what_was_written_is_not_kept(source: Source) -> None:
    source.readers(3)
    source.say([b"one"])
    source.go()
    assert source.rounds._batch == b""


# --- slices ---


@pytest.mark.usefixtures("small_slices")
def test_a_round_ends_for_now_when_its_time_is_over_and_goes_on_with_those_left(source: Source) -> None:
    readers = source.readers(7)
    source.say([b"one"])
    counts = []
    while (again := source.go(seconds=0.0)) is not None:
        assert again == 0.0
        counts.append(sum(len(reader.got) for reader in readers))
    assert counts == [2, 4, 6, 7]
    assert all(reader.got == [b"one"] for reader in readers)


@pytest.mark.usefixtures("small_slices")
def test_what_is_said_in_the_middle_of_a_round_waits_for_the_next(source: Source) -> None:
    readers = source.readers(5)
    source.say([b"one"])
    source.go(seconds=0.0)
    source.say([b"two"])
    while source.go(seconds=0.0) is not None:
        pass
    assert all(reader.got == [b"one", b"two"] for reader in readers)


@pytest.mark.usefixtures("small_slices")
def test_however_little_time_there_is_some_are_written(source: Source) -> None:
    readers = source.readers(3)
    source.say([b"one"])
    source.rounds.go(source.clock.now, source.clock.now - 1.0, source.clock)
    assert sum(len(reader.got) for reader in readers) == 2


# --- rest ---


def test_after_a_round_of_several_events_the_crowd_rests_for_a_share_of_it(source: Source) -> None:
    source.readers(10)
    source.say([b"one", b"two"], [b"three"])
    began = source.clock.now
    rest = source.go()
    took = source.clock.now - began
    assert rest == pytest.approx(took * REST)
    source.clock.advance(rest / 2)
    assert source.go() == pytest.approx(rest / 2)
    assert source.batches == [[b"three"]]
    source.clock.advance(rest)
    assert source.go() is None
    assert source.batches == []


def test_after_a_round_of_one_event_it_does_not(source: Source) -> None:
    readers = source.readers(10)
    source.say([b"one"], [b"two"])
    source.go()
    assert readers[0].got == [b"one", b"two"]


def test_what_comes_during_a_rest_waits_and_what_comes_after_does_not(source: Source) -> None:
    readers = source.readers(10)
    source.say([b"one", b"two"])
    rest = source.go()
    assert rest
    source.say([b"three"])
    assert source.go()
    assert len(readers[0].got) == 1
    source.clock.advance(1.0)
    assert source.go() is None
    assert len(readers[0].got) == 2


# --- a stream that fails ---


@pytest.mark.parametrize(
    ("takes", "sent"), [(BlockingIOError, 0), (3, 3), (ConnectionResetError, -1), (BrokenPipeError, -1)]
)
@pytest.mark.usefixtures("small_slices")
def test_who_does_not_take_all_of_it_parts_and_nobody_else_notices(
    source: Source, takes: Any, sent: int
) -> None:
    before, bad, after = source.readers(3), source.reader(takes), source.readers(3)
    source.say([b"onetwo"], [b"three"])
    source.go()
    assert bad.short == [(b"onetwo", sent)]
    assert bad.connection in source.crowd.apart
    assert all(reader.got == [b"onetwo", b"three"] for reader in before + after)


def test_a_failure_of_ours_in_a_round_cuts_that_stream_and_goes_on(source: Source) -> None:
    """Its line in the access log, say: in a callback of the event loop a log that has to wait fails."""
    before, bad, after = source.readers(2), source.reader(0), source.readers(2)

    def fail(reader: Reader) -> None:
        raise RuntimeError("no such luck")

    source.on_short = fail
    source.say([b"one"])
    assert source.go() is None
    assert source.cut == [bad]
    assert all(reader.got == [b"one"] for reader in before + after)


# --- who comes and goes in the middle of a round ---


@pytest.mark.usefixtures("small_slices")
def test_who_leaves_before_the_round_comes_to_it_is_written_nothing(source: Source) -> None:
    readers = source.readers(5)
    source.say([b"one"])
    source.go(seconds=0.0)
    waiting = [reader for reader in readers if not reader.got]
    source.crowd.leave(waiting[0].connection)
    assert source.go() is None
    assert [len(reader.got) for reader in waiting] == [0, 1, 1]


@pytest.mark.usefixtures("small_slices")
def test_a_round_whose_last_streams_have_all_left_is_over(source: Source) -> None:
    readers = source.readers(5)
    source.say([b"one"])
    source.go(seconds=0.0)
    for reader in readers:
        if not reader.got:
            source.crowd.part(reader.connection)
    assert source.go() is None
    assert sum(len(reader.got) for reader in readers) == 2


@pytest.mark.usefixtures("small_slices")
def test_who_joins_in_the_middle_of_a_round_is_written_only_what_follows(source: Source) -> None:
    source.readers(5)
    source.say([b"one"])
    source.go(seconds=0.0)
    late = source.reader()
    source.say([b"two"])
    source.go()
    assert late.got == [b"two"]


# --- with real streams: what is not written in rounds meets what is ---


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def crowd_of(stack: ExitStack, size: int, clock: Clock | None = None, **limits: Any) -> list[Stream]:
    """That many clients, one stream each, all in the crowd."""
    house = House(stack, clock, connections=1_000, **limits)
    streams = [house.stream(client=f"c{n}") for n in range(size)]
    for _ in range(size):
        house.turn()
    assert len(house.desk.hub.crowd.members) == size
    return streams


def halfway(streams: list[Stream], data: Any = "all") -> tuple[House, Stream, Stream]:
    """A broadcast whose round has come to some: its house, one it has come to, one it has not."""
    house = streams[0]._house
    house.desk.tell(data)
    house.sockets._turns = True  # only the part of a turn that is looked at
    house.sockets._rounds.go(0.0, -1.0, house.clock)
    written = [stream for stream in streams if stream.wire.sends]
    left = [stream for stream in streams if not stream.wire.sends]
    assert written, "nobody was written to"
    assert left, "all were written to"
    house.sockets._turns = False
    house.sockets.note_news()
    return house, written[0], left[0]


def all_of(stream: Stream) -> list[Any]:
    return [said.what for said in stream.events if said.type in ("message", "broadcast")]


@pytest.mark.usefixtures("small_slices")
@pytest.mark.parametrize("behind", [True, False])
def test_an_own_event_in_the_middle_of_a_round_arrives_in_the_order_of_the_ids(
    stack: ExitStack, behind: bool
) -> None:
    house, written, left = halfway(crowd_of(stack, 6))
    stream = left if behind else written
    house.desk.send("own", client=stream.connection.client_id)
    stream.until(lambda: "own" in all_of(stream))
    assert all_of(stream) == ["all", "own"]
    house.desk.tell("next")
    stream.until(lambda: "next" in all_of(stream))
    assert all_of(stream) == ["all", "own", "next"]
    numbers = [said.number for said in stream.events]
    assert numbers == sorted(set(numbers))


@pytest.mark.usefixtures("small_slices")
@pytest.mark.parametrize("behind", [True, False])
def test_a_delta_in_the_middle_of_a_round_arrives_in_the_order_of_the_ids(
    stack: ExitStack, behind: bool
) -> None:
    streams = crowd_of(stack, 6)
    desk = streams[0]._house.desk
    for n in range(6):
        desk.start(f"g{n}", client=f"c{n}")
    house = streams[0]._house
    for stream in streams:
        stream.until(lambda stream=stream: types(stream.events)[-1] == "started")
        stream.outlet.nudge()
    house.settle()
    for stream in streams:
        stream.wire.sends.clear()
    house, written, left = halfway(streams)
    stream = left if behind else written
    client = stream.connection.client_id
    desk.delta("x", g=f"g{client[1:]}", client=client)
    stream.until(lambda: "delta" in types(stream.events))
    assert types(stream.events)[-2:] == ["broadcast", "delta"]


def test_of_a_batch_that_found_no_room_the_rest_comes_first_and_once(stack: ExitStack) -> None:
    streams = crowd_of(stack, 4)
    house, slow = streams[0]._house, streams[1]
    slow.wire.room = 11
    house.desk.tell("first")
    house.settle()
    assert slow.outlet._rest is not None
    assert slow.connection in house.desk.hub.crowd.apart
    house.desk.tell("second")
    house.desk.send("own", client="c1")
    house.settle()
    assert slow.wire.sends == [11], "nothing goes before the rest"
    slow.wire.room = 1 << 30
    for stream in streams:
        stream.until(lambda stream=stream: "second" in all_of(stream))
    slow.until(lambda: "own" in all_of(slow))
    assert all_of(slow) == ["first", "second", "own"]
    assert slow.connection.wired == len(slow.bytes)


def test_a_peer_that_is_gone_in_a_round_gives_its_place_back(stack: ExitStack) -> None:
    streams = crowd_of(stack, 4)
    house = streams[0]._house
    reset(streams[1].reader)
    house.desk.tell("all")
    house.until(lambda: house.places == 3)
    for stream in (streams[0], *streams[2:]):
        stream.until(lambda stream=stream: all_of(stream))
        assert all_of(stream) == ["all"]


def test_a_round_in_which_giving_a_place_back_fails_comes_to_the_others(
    stack: ExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    streams = crowd_of(stack, 4)
    house = streams[0]._house

    def fail(reason: str, size: int) -> None:
        raise BlockingIOError("a log that has to wait")

    streams[1].connection.on_end = fail
    reset(streams[1].reader)
    house.desk.tell("all")
    house.loop._soon.pop()()
    assert [len(stream.wire.sends) for stream in streams] == [1, 0, 1, 1]
    assert house.places == 3
    assert "a stream failed and is cut" in caplog.text


def test_a_crowd_that_is_slower_than_the_log_is_told_so_each(stack: ExitStack) -> None:
    streams = crowd_of(stack, 3, news=Retention(events=2, bytes=1 << 20, age=600.0))
    house = streams[0]._house
    house.desk.tell("seen")
    house.settle()
    for n in range(4):
        house.desk.tell(n)
    for stream in streams:
        stream.until(lambda stream=stream: "reset" in types(stream.events))
    house.settle()
    for stream in streams:
        assert types(stream.events) == ["connected", "broadcast", "reset"]
    house.desk.tell("after")
    for stream in streams:
        stream.until(lambda stream=stream: "after" in all_of(stream))
        assert all_of(stream) == ["seen", "after"]
        assert stream.connection.wired + (
            house.desk.hub.crowd.mark.bytes if stream.connection.place >= 0 else 0
        ) == len(stream.bytes)


def test_a_member_of_the_crowd_is_silent_only_since_the_last_round(stack: ExitStack) -> None:
    streams = crowd_of(stack, 2)
    house, beat = streams[0]._house, streams[0].connection.beat
    house.desk.clock.advance(beat - 1)
    house.desk.tell("all")
    house.settle()
    house.desk.clock.advance(beat - 1)
    house.desk.hub.upkeep.beat()
    house.settle()
    assert [len(stream.wire.sends) for stream in streams] == [1, 1]
    house.desk.clock.advance(1)
    house.desk.hub.upkeep.beat()
    for stream in streams:
        stream.until(lambda stream=stream: stream.bytes.endswith(b"\n\n:\n\n"))
    house.settle()
    assert len(house.desk.hub.crowd.members) == 2, "after it they go with the crowd again"


def end_by_close(house: House) -> None:
    for n in range(3):
        house.desk.hub.close(f"c{n}")


def end_by_lifetime(house: House) -> None:
    house.desk.clock.advance(house.desk.limits.lifetime)
    house.desk.hub.upkeep.beat()


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (end_by_close, "closed"),
        (end_by_lifetime, "lifetime"),
        (lambda house: house.desk.hub.drain(1.0), "shutdown"),
    ],
)
@pytest.mark.parametrize("told", ["nothing", "something", "in slices"])
def test_members_of_the_crowd_are_told_their_end_after_all_that_was_said_before(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch, end: Callable[[House], Any], reason: str, told: str
) -> None:
    monkeypatch.setattr(rounds, "SLICE", 1)
    streams = crowd_of(stack, 3)
    house = streams[0]._house
    if told == "something":
        house.desk.tell("all")
    elif told == "in slices":
        halfway(streams)
    end(house)
    for stream in streams:
        stream.until(lambda stream=stream: stream.ended)
        assert types(stream.events) == ["connected", *["broadcast"] * (told != "nothing"), "closing"]
        assert stream.events[-1].body["reason"] == reason
        stream.reader.close()
    house.until(lambda: house.places == 0)
    assert len(house.desk.hub.crowd) == 0


def test_turns_do_not_multiply_however_long_a_flood_lasts(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each turn that finds the crowd at rest asks for a later one: that must not be one more each time."""
    monkeypatch.setattr(rounds, "SLICE", 1)
    clock = Ticking()
    streams = crowd_of(stack, 40, clock)
    house = streams[0]._house
    for n in itertools.count():
        house.desk.tell(n)
        house.desk.tell(n)
        house.desk.send(n, client="c0")
        house.turn()
        assert len(house.loop._timers) + len(house.loop._soon) <= 2
        if n == 200:
            break


def test_who_is_nudged_and_woken_over_and_over_stands_in_line_once(stack: ExitStack) -> None:
    """A broadcast nudges it, a token has it written first: where turns are short that goes on for long."""
    streams = crowd_of(stack, 3)
    house = streams[0]._house
    for n in range(50):
        for stream in streams:
            stream.outlet.nudge()
            house.desk.send(n, client=stream.connection.client_id)
        house.sockets._write_woken(1e9)
    assert len(house.sockets._nudged) == 3
    house.settle()
    assert not house.sockets._nudged
