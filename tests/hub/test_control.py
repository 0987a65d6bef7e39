"""What is said beside the logs: when to come back, who is there, that a stream goes on, that it ends."""

from __future__ import annotations

import re

import pytest

from app.hub.client import Entry
from app.hub.connection import Connection
from app.hub.control import SPREAD, Control
from app.hub.endings import ENDINGS
from app.hub.limits import Limits
from tests.hub.kit import ROOMY, WALL, read

CHANCES = [0.0, 0.5, 0.9999]


def each(values: list[int]) -> list[tuple[float, int]]:
    """What comes of the least chance, of the middle and of almost the most."""
    return list(zip(CHANCES, values, strict=True))


def control(chance: float = 0.5, return_within: float = 0.0) -> Control:
    limits = Limits(ROOMY, ROOMY, heartbeat=15.0, retry_ms=2_000)
    made = Control(limits, wall=lambda: WALL, jitter=lambda: chance)
    made.return_within = return_within
    return made


def ended(reason: str) -> Connection:
    connection = Connection("id", "c")
    connection.end(reason)
    return connection


def retry(data: bytes) -> int:
    """The milliseconds of the one `retry:` there is."""
    (found,) = re.findall(rb"^retry: (\d+)\n\n", data, re.MULTILINE)
    return int(found)


@pytest.mark.parametrize(("chance", "milliseconds"), each([1_000, 2_000, 2_999]))
def test_a_stream_begins_with_when_to_come_back_two_seconds_give_or_take_half(
    chance: float, milliseconds: int
) -> None:
    hello = control(chance).hello(Connection("id", "c"), Entry(True, "0123abcd.7", [b"data: {}\n\n"], True))
    assert hello.startswith(b"retry: %d\n\n" % milliseconds)
    connected, first = read(hello)
    assert connected.id == "0123abcd.7"
    assert connected.body == {
        "type": "connected",
        "clientId": "c",
        "connectionId": "id",
        "resumed": True,
        "heartbeat": 15.0,
    }
    assert first.body == {}


def test_the_first_word_has_no_id_where_an_opening_follows() -> None:
    (connected,) = read(control().hello(Connection("id", "c"), Entry(False, "", [], False)))
    assert (connected.id, connected.body["resumed"]) == (None, False)


@pytest.mark.parametrize(("as_event", "blocks"), [(False, 1), (True, 2)])
def test_a_heartbeat_is_a_comment_and_an_event_where_it_was_asked_for(as_event: bool, blocks: int) -> None:
    beat = control().heartbeat(Connection("id", "c", beat_as_event=as_event))
    assert beat.startswith(b":\n\n")
    assert beat.count(b"\n\n") == blocks
    for said in read(beat):
        assert said.name == "heartbeat"
        assert said.body == {"now": round(WALL, 3), "next": 15.0}


@pytest.mark.parametrize("reason", [name for name, ending in ENDINGS.items() if ending.said])
def test_an_end_that_is_said_says_why_and_whether_to_come_back(reason: str) -> None:
    farewell = control().farewell(ended(reason))
    (said,) = read(farewell)
    reconnect = ENDINGS[reason].reconnect
    assert said.id is None
    assert said.body == {"type": "closing", "clientId": "c", "reason": reason, "reconnect": reconnect}
    assert farewell.startswith(b"retry: ") is reconnect


@pytest.mark.parametrize("reason", [name for name, ending in ENDINGS.items() if not ending.said])
def test_the_other_ends_are_not_said(reason: str) -> None:
    assert control().farewell(ended(reason)) == b""


@pytest.mark.parametrize(("chance", "milliseconds"), each([500, 5_000, 9_999]))
def test_those_that_a_drain_ends_come_back_over_all_the_seconds_given(
    chance: float, milliseconds: int
) -> None:
    draining = control(chance, return_within=10.0)
    assert retry(draining.farewell(ended("shutdown"))) == milliseconds
    assert 1_000 <= retry(draining.farewell(ended("lifetime"))) < 3_000


def test_where_no_seconds_are_given_they_come_back_as_from_any_other_end() -> None:
    assert retry(control(return_within=0.0).farewell(ended("shutdown"))) == 2_000


def test_who_finds_no_room_is_told_when_to_come_back_and_not_all_at_once() -> None:
    for chance, milliseconds in each([5_000, 10_000, 14_999]):
        body = control(chance).overloaded("c", 10.0)
        assert retry(body) == milliseconds
        (said,) = read(body)
        assert said.body == {"type": "overloaded", "clientId": "c", "retryAfter": 10.0}
        assert said.id is None


@pytest.mark.parametrize("chance", CHANCES)
def test_what_began_together_does_not_go_on_so(chance: float) -> None:
    assert control(chance).spread(100.0) == pytest.approx(100.0 * (1 - SPREAD * chance))
