"""parser: the lane of its own reads as sseclient-py does, and what is good is told before what is bad."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sseclient import SSEClient

from app.errors import UpstreamError
from app.relay import parser as module
from app.relay.deltas import Delta, Finished
from app.relay.parser import Parser, fields
from tests.relay import DONE, chunk
from tests.relay.test_frames import MIB, PARTS, bytewise, frames_of, least_seconds, pieces_of

A, B = Delta({"content": "a"}), Delta({"content": "b"})


def told(
    pieces: Iterable[bytes], max_event: int = MIB, **options: Any
) -> tuple[list[Any], UpstreamError | None]:
    """(what is said, the error that ended it)."""
    parser, said = Parser(max_event, **options), list[Any]()
    try:
        for piece in pieces:
            for item in parser.feed(piece):
                said.append(item)
        said.extend(parser.end())
    except UpstreamError as error:
        return said, error
    return said, None


def heard(pieces: Iterable[bytes], max_event: int = MIB) -> tuple[list[Any], str]:
    """(what is said, the code of the error that ended it)."""
    said, error = told(pieces, max_event)
    return said, error.code if error else ""


SHARDS = [
    *(b"data: ", b"data:", b"\n\n", b"\n\n", b"\r\n", b"event: error\n", b": x", b"[DONE]", b"\xff", b"NaN"),
    *(b'{"choices":[{"delta":{', b"}}]}", b'"tool_calls":[{', b'"usage":{', b"}]", b"}", b","),
    *(
        b'"content":"',
        b'"',
        b"\\ud83d",
        b"\\ude00",
        b"\\\\",
        b'"finish_reason":"stop"',
        b'"error":{"code":429}',
    ),
    *(b'"index":0', b'"id":"1"', chunk("a"), chunk("b")[:-2], chunk(finish="stop"), DONE),
]


def by_sseclient(block: bytes) -> list[tuple[str, bytes]]:
    return [(event.event, event.data.encode()) for event in SSEClient(iter((block,))).events()]


OWN_PARTS = [*PARTS, b"data: [DONE]", b"data: {}\n\n", b"data:{}\n\n", b": ping\n\n", b"\n\n\n", b"data:\n\n"]
drawn_stream = st.lists(st.sampled_from(OWN_PARTS), max_size=30).map(b"".join)


@settings(max_examples=500, deadline=None, database=None)
@given(st.lists(drawn_stream, min_size=20, max_size=20))
def test_the_fields_of_ten_thousand_streams_are_those_that_sseclient_reads(streams: list[bytes]) -> None:
    for stream in streams:
        for block in frames_of([stream]):
            assert list(fields(block)) == by_sseclient(block), stream


texts = st.text(st.sampled_from('a"\\\n\u2028é😀\x7f:'), max_size=5)
kinds = st.sampled_from(["data: %b\n\n", "data:%b\n\n", ": ping\n\ndata: %b\n\n", "id: 1\ndata: %b\n\n"])


@settings(max_examples=200, deadline=None, database=None)
@given(st.lists(st.tuples(texts, kinds), max_size=8), st.sampled_from([b"\n", b"\r\n", b"\r"]), st.data())
def test_texts_arrive_as_they_were_however_the_stream_is_written_and_cut(
    said: list[tuple[str, str]], end: bytes, draw: st.DataObject
) -> None:
    stream = b"".join(
        kind.encode() % json.dumps({"choices": [{"delta": {"content": text}}]}, ensure_ascii=False).encode()
        for text, kind in said
    ).replace(b"\n", end)
    size = draw.draw(st.integers(1, len(stream) + 1))
    assert heard(pieces_of(stream, size)) == ([Delta({"content": t}) for t, _ in said if t], "")


def test_an_event_of_one_line_does_not_go_through_sseclient(monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs more than all the rest of the way: nearly all events are such."""
    monkeypatch.setattr(module, "sseclient", None)
    stream = chunk("a") + b": OPENROUTER PROCESSING\n\n" + chunk("b").replace(b"data: ", b"data:") + DONE
    assert heard([stream]) == heard(bytewise(stream)) == ([A, B, Finished("")], "")


def test_an_events_name_is_heeded() -> None:
    assert heard([chunk("a"), b"event: error\n" + chunk("b")]) == ([A], "upstream_status")


BAD = {
    "no JSON": (b"data: {\n\n", "malformed"),
    "no object": (b"data: 5\n\n", "malformed"),
    "an error": (b'data: {"error":"it broke"}\n\n', "upstream_status"),
    "an event named error": (b"event: error\ndata: it broke\n\n", "upstream_status"),
    "too many bytes": (b"data: " + b"x" * 1000 + b"\n\n", "too_large"),
    "too many bytes, unfinished": (b"data: " + b"x" * 1000, "too_large"),
    "too many lines": (b": a\n" * 600 + b"\n", "too_large"),
    "an event that broke off": (b'data: {"choices":[{"del', "cut"),
    "an event without its blank line": (chunk("c")[:-1], "cut"),
}


@pytest.mark.parametrize("after", [b"", chunk("c")], ids=["at the end", "with more after it"])
@pytest.mark.parametrize(("bad", "code"), BAD.values(), ids=BAD)
def test_what_is_good_is_told_before_what_is_bad_also_if_they_come_together(
    bad: bytes, code: str, after: bytes
) -> None:
    good = chunk("a") + b": ping\n\n" + chunk("b")
    if code == "cut" and after:
        return
    for size in (1, 7, 100, MIB):
        assert heard(pieces_of(good + bad + after, size), 400) == ([A, B], code), f"in pieces of {size}"


ENDS = {
    "nothing": (b"", [], ""),
    "[DONE] without its blank line": (b"data: [DONE]", [Finished("")], ""),
    "[DONE] twice": (DONE + DONE, [Finished(""), Finished("")], ""),
    "a comment that broke off": (b": OPENROUT", [], ""),
    "half a [DONE]": (b"data: [DON", [], "cut"),
}


@pytest.mark.parametrize(("end", "said", "code"), ENDS.values(), ids=ENDS)
def test_a_stream_may_end_with(end: bytes, said: list[Any], code: str) -> None:
    assert heard([chunk("a") + end]) == heard(bytewise(chunk("a") + end)) == ([A, *said], code)


def test_a_bad_byte_costs_no_more_than_itself() -> None:
    stream = chunk("a_b").replace(b"_", b"\xff") + chunk("a_b").replace(b"_", b"\xe2\x82") + chunk("b")
    assert heard([stream])[0] == heard(bytewise(stream))[0] == [Delta({"content": "a\ufffdb"})] * 2 + [B]


def test_what_must_not_be_told_is_taken_out_of_whole_events_however_they_are_cut() -> None:
    stream = chunk("a secret") + b'data: {"error":"the secret is wrong"}\n\n'
    for pieces in ([stream], bytewise(stream), pieces_of(stream, 5)):
        said, error = told(pieces, secret=b"secret")
        assert said == [Delta({"content": "a ***"})]
        assert "the *** is wrong" in str(error)


@settings(max_examples=300, deadline=None, database=None)
@given(st.lists(st.sampled_from(SHARDS), max_size=20).map(b"".join))
def test_whatever_bytes_come_are_said_or_are_the_upstreams_error(stream: bytes) -> None:
    said, _ = heard([stream])
    assert heard(bytewise(stream))[0] == said
    for item in said:
        orjson.dumps(item.reason if isinstance(item, Finished) else item.data)


def test_an_answer_keeps_its_tool_calls_apart_from_those_of_another() -> None:
    piece = b'data: {"choices":[{"delta":{"tool_calls":[{"id":"%d","function":{"name":"f"}}]}}]}\n\n'
    for _ in range(2):
        said, _ = heard([piece % 1, piece % 2])
        assert [item.data["tool_calls"][0]["index"] for item in said] == [0, 1]


def seconds_of_one_event(mib: int) -> float:
    """An event of so many MiB, in pieces as a socket gives them."""
    text = "x" * (mib * MIB)
    pieces = pieces_of(chunk(text), 1024)
    assert heard(pieces, 33 * MIB) == ([Delta({"content": text})], "")
    return least_seconds(lambda: heard(pieces, 33 * MIB), times=2)


def test_a_large_event_takes_time_by_its_size_and_arrives_whole() -> None:
    # Memory beyond the caches costs up to three times as much a byte; still far from 64 times.
    assert seconds_of_one_event(16) <= 40 * seconds_of_one_event(2)


@pytest.mark.parametrize("broken", [b'data: {"a":', b"data: {}data: ", b"data: [", b"event: error\ndata: {"])
def test_a_large_event_that_is_broken_does_not_keep_the_processor_long(broken: bytes) -> None:
    event = broken + b"{" * (4 * MIB) + b"\n\n"
    fine = b'data: "' + b"x" * (4 * MIB) + b'"\n\n'
    assert least_seconds(lambda: heard([event], 8 * MIB)) <= 1.0 + 20 * least_seconds(
        lambda: heard([fine], 8 * MIB)
    )
