"""What the benches count with is right: a check that misses a gap would praise anything."""

from __future__ import annotations

import itertools
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection

import pytest

from bench import paced as pace
from bench.crowd import Arrivals
from bench.direct import Direct, Marks
from bench.fanout import Delta, meeting
from bench.figures import TICKS, Delays, all_used, foreign, rise
from bench.paced import MARK, Paced, is_whole, mark
from bench.pinned import names
from bench.readers import Check, Readers
from bench.relay import Load, Steady, parsed, phase, row
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


def test_an_answer_has_begun_when_its_first_delta_is_read(client: Client) -> None:
    first, *rest = whole()
    assert client.check.began == 0
    client.check.feed(first, 7000)
    client.reads(*rest)
    assert client.check.began == 7000
    client.check.asked(ANSWER)
    assert client.check.began == 0


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


def straight(*numbers: int) -> bytes:
    """What the paced upstream sends, without the coding around it."""
    deltas = [pace.DELTA % mark(number, 1000 + number) for number in numbers]
    return b"".join([*deltas, pace.STOP, b"data: [DONE]\n\n"])


def marks() -> tuple[Marks, Counter[str], list[int]]:
    faults: Counter[str] = Counter()
    seen: list[int] = []
    check = Marks(DELTAS, faults, lambda sent, now: seen.append(sent))
    check.asked(b"direct")
    return check, faults, seen


def test_an_answer_read_directly_has_no_faults_wherever_its_bytes_are_cut() -> None:
    data = straight(*range(DELTAS))
    for at in range(len(data)):
        check, faults, seen = marks()
        check.feed(data[:at], 5000)
        check.feed(data[at:], 6000)
        assert (check.whole, check.answer, dict(faults)) == (1, b"", {})
        assert seen == [1000 + number for number in range(DELTAS)]


@pytest.mark.parametrize(
    ("numbers", "fault"),
    [
        ((0, 1, 3, 4), "gap"),
        ((0, 1, 1, 2, 3, 4), "duplicate"),
        ((0, 1, 2, 3), "end too early"),
        ((0, 2, 1, 3, 4), "duplicate"),
    ],
)
def test_what_is_not_whole_is_a_fault_also_when_read_directly(numbers: tuple[int, ...], fault: str) -> None:
    check, faults, _ = marks()
    check.feed(straight(*numbers), 5000)
    assert fault in faults
    assert check.whole == 0


@pytest.mark.parametrize("answers", [50, 200, 500])
@pytest.mark.parametrize("span", [1.0, 0.025])
def test_answers_begin_evenly_over_a_second_and_over_the_gap_between_two_tokens(
    answers: int, span: float
) -> None:
    at = sorted(phase(number) % span for number in range(answers))
    gaps = [after - before for before, after in itertools.pairwise(at)]
    assert min(gaps) > 0
    assert max(gaps) < 3 * span / answers


def test_each_figure_of_a_row_is_the_median_of_the_runs_and_others_the_most() -> None:
    runs = [
        (Steady(0.1, 0.3, 0, 0, 0.0, 50), Steady(0.1 + i, 1.3 + i, 50 + i, 0.4, others, 50))
        for i, others in enumerate((0.02, 0.01, 0.15))
    ]
    line, added, cpu = row(Load(50, 40, 10), runs)
    assert line == (
        "| 50 | 0.10 | 1.10 | **1.00** | 0.30 | 2.30 | **2.00** | **51.0** | 50.0 | 40% | 15% **busy** |"
    )
    assert (added, cpu) == (pytest.approx(2.0), 51)


def test_a_row_says_how_many_answers_had_begun_where_not_all_had() -> None:
    direct, through = Steady(0.1, 0.3, 0, 0, 0.0, 50), Steady(900.0, 2000.0, 60, 1.0, 0.0, 37)
    assert row(Load(50, 40, 10), [(direct, through)])[0].startswith("| 50, begun: 37 | 0.10 | 900.00 |")


def test_a_row_is_marked_from_a_tenth_of_a_core_on() -> None:
    assert [foreign(share) for share in (0.0, 0.1, 0.11)] == ["0%", "10%", "11% **busy**"]


def test_what_two_cores_were_not_idle_for_was_used() -> None:
    def stat(idle: int, iowait: int) -> str:
        return f"cpu  900 0 900 {idle} {iowait} 0 0 0 0 0\ncpu0 1 2\ncpu1 1 2\nintr 5\nctxt 7\n"

    after, before = all_used(stat(7 * TICKS, 2 * TICKS), 20.0), all_used(stat(0, 0), 10.0)
    assert after - before == pytest.approx(2 * 10 - 7 - 2)


def test_nobody_of_one_run_is_known_from_another() -> None:
    assert len({*names(50), *names(50)}) == 100


def test_parsing_counts_only_where_every_chunk_was_read() -> None:
    piece = b"".join(pace.DELTA % mark(number, 1) for number in range(4))
    assert parsed([piece, piece], 8) >= 0
    with pytest.raises(SystemExit, match="8 of 9"):
        parsed([piece, piece], 9)


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


def test_a_chunk_of_the_paced_upstream_is_as_long_as_those_in_the_field() -> None:
    assert 260 <= len(pace.DELTA % mark(123, time.monotonic_ns())) <= 280


def test_those_who_read_the_upstream_directly_have_every_answer_whole(paced: Paced) -> None:
    seen: list[int] = []
    with Direct(paced.url, 6, DELTAS, lambda sent, now: seen.append(now - sent)) as readers:
        readers.open_all(within=1)
        for reader in readers.all:
            readers.ask(reader)
        readers.finish(within=20)
        assert readers.begun == readers.whole == readers.ended == 6
    assert not readers.faults
    assert len(seen) == 6 * DELTAS
    assert min(seen) >= 0


def test_an_answer_that_does_not_come_to_its_end_is_a_fault(paced: Paced) -> None:
    with Direct(paced.url, 2, DELTAS + 1, lambda sent, now: None) as readers:
        for reader in readers.all:
            readers.ask(reader)
        readers.finish(within=20)
    assert readers.faults == {"end too early": 2}
    assert readers.whole == 0


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
