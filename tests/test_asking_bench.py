"""The bench of asking an upstream: each way is measured alike, and an answer that is missing is no figure."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
import requests

from bench.asking import Ask, by_requests, by_the_relay, cost, table
from bench.paced import Paced
from tests.rig.serving import ROOT


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with Paced(1000, 1) as upstream:
        yield upstream.url


def test_the_relay_and_requests_read_the_same_answer(url: str) -> None:
    assert by_the_relay(url, kept=0)() == 1  # or it would stay open
    assert by_requests(url, requests.post)() == 1
    with requests.Session() as session:
        assert by_requests(url, session.post)() == 1


def test_an_answer_that_did_not_come_whole_is_no_measurement() -> None:
    with pytest.raises(SystemExit, match="0 of 3 answers came"):
        cost(lambda: 0, 3)


def test_what_is_asked_is_told_in_milliseconds_of_cpu_for_each() -> None:
    def work() -> int:
        sum(range(100_000))
        return 1

    assert 0.1 < cost(work, 10) < 100


def test_all_ways_have_their_turn_in_each_round_and_the_median_counts() -> None:
    order: list[str] = []

    def way(name: str) -> Ask:
        def ask() -> int:
            order.append(name)
            return 1

        return ask

    found = table({"a": way("a"), "b": way("b")}, rounds=2, requests=1)
    assert "".join(order) == "aaaaabbbbb" + "abab"
    assert found.keys() == {"a", "b"}


def test_it_prints_a_line_for_each_way() -> None:
    command = [sys.executable, "-m", "bench.asking", "--requests", "5", "--rounds", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    for way in ("the relay", "requests.post", "one requests.Session"):
        assert f"\n| {way} | **" in done.stdout
