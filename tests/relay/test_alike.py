"""alike: what is told by the bytes around a text is what JSON says, whatever is tried against it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import UpstreamError
from app.relay.alike import LEARNED, TRIES, Alike
from app.relay.deltas import Delta, Said
from app.relay.parser import Parser
from app.relay.payloads import Payloads

BOUND = 100_000
AROUND = (
    b'data: {"id":"chatcmpl-1","created":%d,"choices":[{"index":0,"delta":{"content":',
    b'},"logprobs":null,"finish_reason":null}]}',
)


def event(text: str, created: int = 1) -> bytes:
    """As OpenAI writes it, without its blank line."""
    before, after = AROUND
    return before % created + json.dumps(text).encode() + after


class Subject:
    """An Alike that counts how often it has something proved."""

    def __init__(self, most: int = BOUND) -> None:
        self.proofs = 0
        self.alike = Alike(self._says, most)

    def _says(self, payload: bytes) -> Iterable[Said]:
        self.proofs += 1
        return Payloads().said(payload)

    def learn(self, *events: bytes) -> Subject:
        for each in events:
            self.alike.learn(each, list(Payloads().said(each[6:])))
        return self

    def told(self, block: bytes) -> Delta | None:
        return self.alike.told(block, 0, len(block))


def test_before_anything_is_learned_nothing_is_told() -> None:
    assert Subject().told(event("a")) is None


@pytest.mark.parametrize("text", ["b", " two words", "ü😀", 'say "hi"', "a\\b", "\n\t", "\u2028", "x" * 5000])
def test_another_text_in_the_same_event_is_told(text: str) -> None:
    assert Subject().learn(event("a")).told(event(text)) == Delta({"content": text})


def test_a_thought_is_told_as_one() -> None:
    thought = b'data: {"choices":[{"delta":{"content":null,"reasoning_content":"%b"}}]}'
    assert Subject().learn(thought % b"hm").told(thought % b"so") == Delta({"reasoning": "so"})


def test_an_event_is_told_from_the_middle_of_a_block() -> None:
    block = event("b") + b"\n\n" + event("c") + b"\n\n"
    alike, half = Subject().learn(event("a")).alike, len(event("b"))
    assert alike.told(block, 0, half) == Delta({"content": "b"})
    assert alike.told(block, half + 2, len(block) - 2) == Delta({"content": "c"})
    assert alike.told(block, 0, len(block) - 2) is None


BEFORE, AFTER = event("a").split(b'"a"')
OTHERS = {
    "an empty text": b'""',
    "no text": b"null",
    "a number": b"1",
    "a text and a field": b'"b","role":"assistant"',
    "a text, and the same field again": b'"b","content":"c"',
    "a text, and the end of the choice": b'"b"},"index":1},{"delta":{"content":"c"',
    "two texts": b'"b" "c"',
    "half an escape": b'"b\\"',
    "half a character": b'"\\ud83d"',
    "a control character": b'"\x01"',
    "a line end": b'"b\nc"',
    "space around it": b' "b" ',
    "bytes that are none": b'"\xff"',
    "nothing": b"",
    "one quote": b'"',
}


@pytest.mark.parametrize("middle", OTHERS.values(), ids=OTHERS)
def test_what_is_not_just_another_text_is_not_told_here(middle: bytes) -> None:
    assert Subject().learn(event("a")).told(BEFORE + middle + AFTER) is None


DIFFERENT = {
    "another time": event("b", created=2),
    "a reason to end": event("b").replace(b"null}]}", b'"stop"}]}'),
    "usage": event("b")[:-1] + b',"usage":{"total_tokens":1}}',
    "cut": event("b")[:-1],
    "no space after data": event("b").replace(b"data: ", b"data:"),
}


@pytest.mark.parametrize("other", DIFFERENT.values(), ids=DIFFERENT)
def test_an_event_that_differs_elsewhere_is_not_told_here(other: bytes) -> None:
    assert Subject().learn(event("a")).told(other) is None


def test_an_event_beyond_the_bound_is_not_told_here() -> None:
    size = len(event("ab"))
    assert Subject(size + 1).learn(event("a")).told(event("ab"))
    assert Subject(size).learn(event("a")).told(event("ab")) is None


MISLEADING = {
    "another field of that name": b'{"echo":{"content":"a"},"choices":[{"delta":{"content" :"a"}}]}',
    "the field twice": b'{"choices":[{"delta":{"content":"a","content":"a"}}]}',
    "another choice": b'{"choices":[{"index":1,"delta":{"content":"a"}},{"delta":{"content":"a"}}]}',
    "a list of parts": b'{"choices":[{"delta":{"content":[{"type":"text","text":"a"}]}}]}',
    "both names": b'{"reasoning":"a","choices":[{"delta":{"reasoning":"a","reasoning_content":"a"}}]}',
}


@pytest.mark.parametrize("payload", MISLEADING.values(), ids=MISLEADING)
def test_a_place_that_is_not_what_is_said_is_not_learned(payload: bytes) -> None:
    subject = Subject().learn(b"data: " + payload)
    said = list(Payloads().said(payload.replace(b'"a"', b'"b"', 1)))
    assert subject.told(b"data: " + payload.replace(b'"a"', b'"b"', 1)) in (None, *said)


def test_learning_in_vain_comes_to_an_end() -> None:
    """As of an upstream that counts what was used so far in each event."""
    subject = Subject().learn(*(event("a", created=i) for i in range(100)))
    assert subject.proofs == TRIES


def test_an_upstream_whose_events_change_now_and_then_is_learned_again() -> None:
    subject = Subject()
    for second in range(3 * TRIES):
        subject.learn(event("a", second))
        assert subject.told(event("b", second)) == Delta({"content": "b"})


def test_a_large_event_is_not_learned_from() -> None:
    """The search for its text would take time that is others'."""
    assert Subject().learn(event("x" * LEARNED)).proofs == 0


# --- by any stream ---------------------------------------------------------------------------------------

texts = st.text(st.sampled_from('ab"\\\n\u2028é😀\x00\x7f:,{}'), max_size=6)
values = texts.map(json.dumps) | texts.map(lambda text: json.dumps(text, ensure_ascii=False))
shards = st.sampled_from([*'",}{\x01\\ ', '"content":', '"a"', "null", '"\\ud83d"', "[1]"])
middles = values | st.lists(shards, max_size=4).map("".join)
envelopes = st.sampled_from(
    [
        '{"choices":[{"delta":{"content":%s}}]}',
        '{"choices":[{"index":0,"delta":{"content": %s},"finish_reason":null}]}',
        '{"choices":[{"delta":{"content":null,"reasoning_content":%s}}]}',
        '{"x":{"content":"a"},"choices":[{"delta":{"content" :%s}}]}',
        '{"choices":[{"delta":{"content":%s,"role":"assistant"}}]}',
        '{"choices":[{"delta":{"content":"a"}}],"content":%s}',
        '{"usage":{"total_tokens":1},"choices":[{"delta":{"content":%s}}]}',
        '{"choices":[{"delta":{"content":%s}}],"content":"a"}',
    ]
)


class Deaf(Alike):
    """Learns nothing: all is read in full."""

    def learn(self, event: bytes, said: Iterable[Said]) -> None:
        pass


def said_by(parser: Parser, pieces: list[bytes]) -> tuple[list[Any], str]:
    """(what is said, the code of the error that ended it)."""
    said: list[Any] = []
    try:
        for piece in pieces:
            said += parser.feed(piece)
        said += parser.end()
    except UpstreamError as error:
        return said, error.code
    return said, ""


@settings(max_examples=500, deadline=None, database=None)
@given(
    st.lists(st.tuples(envelopes, middles), min_size=1, max_size=2),
    st.lists(st.tuples(st.integers(0, 1), middles), max_size=12),
    st.sampled_from([b"\n\n", b"\r\n\r\n", b"\n\n: ping\n\n"]),
    st.integers(1, 400),
    st.sampled_from([b"", b"secret", b"a"]),
)
def test_with_and_without_it_every_stream_says_the_same(
    kinds: list[tuple[str, str]], events: list[tuple[int, str]], end: bytes, size: int, secret: bytes
) -> None:
    shapes = [envelope for envelope, _ in kinds]
    filled = [envelope % middle for envelope, middle in kinds]
    filled += [shapes[which % len(shapes)] % middle for which, middle in events]
    whole = [b"data: " + payload.encode("utf-8", "replace") + end for payload in filled]
    stream = b"".join(whole)
    for pieces in (whole, [stream], [stream[at : at + size] for at in range(0, len(stream), size)]):
        plain = Parser(BOUND, secret)
        plain._alike = Deaf(plain._payloads.said, BOUND)
        assert said_by(Parser(BOUND, secret), pieces) == said_by(plain, pieces)
