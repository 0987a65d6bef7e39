"""What the benches count with is right: a check that misses a gap would praise anything."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection

import pytest

from bench.crowd import Arrivals
from bench.fanout import Delta, meeting
from bench.figures import Delays, rise
from bench.paced import MARK, Paced, is_whole, mark
from bench.readers import Check, Readers
from bench.soak import judgement
from tests.conftest import Serve

ANSWER = b"0b2f4e4e-7f0c-4b5e-9d8b-3f3a3d1c5a11"
DELTAS = 5


def block(number: int, **fields: object) -> bytes:
    """One event as the server frames it."""
    body = json.dumps({**fields, "clientId": "c"}, separators=(",", ":"))
    return b"id: ab12cd34.%d\ndata: %b\n\n" % (number, body.encode())


def delta(number: int, first: int, count: int = 1) -> bytes:
    text = b"".join(mark(first + i, 1000 + first + i) for i in range(count)).decode()
    fields = {"generationId": ANSWER.decode(), "seq": first + count, "data": {"content": text}}
    return block(number, type="delta", **fields)


def end(number: int, seq: int = DELTAS, reason: str = "stop") -> bytes:
    return block(number, type="done", generationId=ANSWER.decode(), seq=seq, reason=reason)


def whole(first: int = 1) -> list[bytes]:
    """All blocks of one answer."""
    blocks = [delta(first + i, i) for i in range(DELTAS)]
    return [*blocks, end(first + DELTAS), b"id: ab12cd34.%d\ndata: [DONE]\n\n" % (first + DELTAS + 1)]


class Client:
    """A check that has asked for an answer, with what it found."""

    def __init__(self) -> None:
        self.faults: Counter[str] = Counter()
        self.seen: list[tuple[int, int]] = []
        self.check = Check(DELTAS, self.faults, lambda sent, now: self.seen.append((sent, now)))
        self.check.asked(ANSWER)

    def reads(self, *pieces: bytes) -> set[str]:
        """The faults so far."""
        for piece in pieces:
            self.check.feed(piece, 5000)
        return set(self.faults)


@pytest.fixture
def client() -> Client:
    return Client()


def test_a_whole_answer_has_no_faults_wherever_its_bytes_are_cut() -> None:
    data = b"retry: 2000\n\n" + block(0, type="connected") + b":\n\n" + b"".join(whole())
    for at in range(len(data)):
        client = Client()
        assert not client.reads(data[:at], data[at:])
        assert (client.check.whole, client.check.answer, client.check.cursor) == (1, b"", b"ab12cd34.7")


def test_each_delta_is_seen_with_the_time_of_its_sending(client: Client) -> None:
    assert not client.reads(*whole())
    assert client.seen == [(1000 + i, 5000) for i in range(DELTAS)]


def test_merged_deltas_count_as_each_of_them(client: Client) -> None:
    assert not client.reads(delta(1, 0), delta(4, 1, count=3), delta(5, 4), *whole()[DELTAS:])
    assert client.check.whole == 1


@pytest.mark.parametrize("missing", range(DELTAS))
def test_a_missing_delta_is_a_fault(client: Client, missing: int) -> None:
    blocks = whole()
    del blocks[missing]
    assert client.reads(*blocks) & {"gap", "end too early"}
    assert client.check.whole == 0


def test_a_delta_that_comes_twice_is_a_fault(client: Client) -> None:
    blocks = whole()
    assert client.reads(*blocks[:2], blocks[1], *blocks[2:]) >= {"duplicate", "id out of order"}


def test_deltas_that_change_places_are_a_fault(client: Client) -> None:
    first, second, *rest = whole()
    assert client.reads(second, first, *rest) >= {"gap", "duplicate", "id out of order"}


def test_half_an_event_is_forgotten_with_its_connection_and_comes_again(client: Client) -> None:
    blocks = whole()
    client.reads(blocks[0] + blocks[1][:-1])
    client.check.cut()
    again = block(1, type="connected")
    assert not client.reads(again, *blocks[1:])
    assert client.check.whole == 1


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        (block(9, type="reset", reason="trimmed"), "reset trimmed"),
        (block(9, type="snapshot"), "snapshot"),
        (block(9, type="error", code="cut"), "error cut"),
        (block(9, type="started", attempt=2), "started"),
        (block(9, type="delta", generationId="another"), "delta of another answer"),
        (block(9, type="done", generationId="another"), "end of another answer"),
        (end(9, reason="length"), "end too early"),
        (end(9, seq=DELTAS - 1), "end too early"),
        (b"id: ab12cd34.9\ndata: [DONE]\n\n", "[DONE] before the end"),
    ],
)
def test_what_may_not_come_is_a_fault(client: Client, wrong: bytes, fault: str) -> None:
    assert client.reads(*whole()[:DELTAS], wrong) == {fault}


def test_a_second_end_is_a_fault(client: Client) -> None:
    blocks = whole()
    assert client.reads(*blocks[:-1], end(9)) == {"end of another answer"}


def test_quantiles_are_those_of_a_sorted_list() -> None:
    values = [random.randrange(0, 50_000_000) for _ in range(10_000)]
    delays = Delays()
    for value in values:
        delays.add(value)
    values.sort()
    assert len(delays) == len(values)
    for share in (0.01, 0.5, 0.99, 1.0):
        assert delays.quantile(share) == pytest.approx(values[round(share * len(values)) - 1] / 1e6, abs=0.02)
    delays.clear()
    assert (len(delays), delays.quantile(0.99)) == (0, 0.0)


def test_a_rise_is_told_in_percent_of_the_mean() -> None:
    assert rise([95, 100, 105]) == pytest.approx((10, 0))
    assert rise([105, 100, 95]) == pytest.approx((-10, 0))
    assert rise([7, 7, 7, 7]) == (0, 0)
    assert rise([3, 4]) == (0, 0)


def test_a_rise_within_the_noise_of_its_values_is_called_so() -> None:
    by, error = rise([100, 130, 90, 120, 100, 125])
    assert by > 1
    assert judgement(by, error) == "noise"
    assert judgement(*rise([100, 104, 106, 110, 113, 115])) == "**not ok**"
    assert judgement(*rise([100, 100, 100, 101, 100, 100])) == "ok"


def test_a_broadcast_has_arrived_when_the_last_stream_has_it() -> None:
    told: list[int] = []
    arrivals = Arrivals(3, told.append)
    arrivals.read(1, b'data: {"data":"!"}\n\n')
    arrivals.read(2, b'data: {"data":"!"}\n\ndata: {"data":"!"}\n\n')
    arrivals.read(1, b":\n\n")
    assert told == []
    arrivals.read(3, b'data: {"data":"!"}\n\n')
    assert told == [1]


def test_deltas_meet_a_broadcast_that_was_under_way_at_any_moment_between_sending_and_reading() -> None:
    spans = [(10, 20), (40, 50)]
    inside = [Delta(5, 10), Delta(12, 13), Delta(20, 30), Delta(5, 60), Delta(50, 51)]
    outside = [Delta(1, 9), Delta(21, 39), Delta(51, 52)]
    assert meeting([*outside, *inside], spans) == inside


def test_a_request_is_whole_when_its_body_is_there() -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 3\r\n"
    assert [is_whole(data) for data in (head, head + b"\r\n", head + b"\r\n{1", head + b"\r\n{1}")] == [
        False,
        False,
        False,
        True,
    ]


@pytest.fixture(scope="module")
def paced() -> Iterator[Paced]:
    with Paced(rate=200, deltas=DELTAS) as upstream:
        yield upstream


def test_the_paced_upstream_answers_as_openai_does(paced: Paced) -> None:
    with closing(HTTPConnection("127.0.0.1", paced.port, timeout=10)) as connection:
        connection.request("POST", "/v1/chat/completions", b'{"stream":true}')
        body = connection.getresponse().read()
    payloads = [line[6:] for line in body.split(b"\n\n") if line]
    assert payloads.pop() == b"[DONE]"
    choices = [json.loads(payload)["choices"][0] for payload in payloads]
    assert [choice["finish_reason"] for choice in choices] == [None] * DELTAS + ["stop"]
    marks = MARK.findall("".join(choice["delta"].get("content", "") for choice in choices).encode())
    assert [int(number) for number, _ in marks] == list(range(DELTAS))
    assert sorted(int(sent) for _, sent in marks)[0] > time.monotonic_ns() - 60e9


def test_readers_who_lose_their_connections_read_every_answer_whole(paced: Paced, serve: Serve) -> None:
    server = serve(upstream_url=paced.url)
    names = [f"bench-{number}" for number in range(6)]
    with Readers(server.url, names, DELTAS, lambda sent, now: None) as readers:
        readers.open_all(within=20)
        readers.talk(readers.all, 0.05)
        readers.every(0.005, lambda: readers.cut(random.choice(readers.all), reset=random.random() < 0.5))
        deadline = time.monotonic() + 20
        while min(reader.check.whole for reader in readers.all) < 3 and time.monotonic() < deadline:
            readers.turn(0.1)
    assert min(reader.check.whole for reader in readers.all) >= 3
    assert not readers.faults
