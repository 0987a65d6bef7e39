"""frames: the same events however a stream is cut into pieces, each within its bound and in linear time."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sseclient import SSEClient

from app.errors import UpstreamError
from app.relay.frames import MAX_LINES, Frames

MIB = 1 << 20


def frames_of(pieces: Iterable[bytes], max_event: int = MIB) -> Iterator[bytes]:
    frames = Frames(max_event)
    for piece in pieces:
        if whole := frames.feed(piece):
            yield whole
    if last := frames.end():
        yield last


def decode(pieces: Iterable[bytes], max_event: int = MIB) -> list[tuple[str, str]]:
    """(event name, data) of each event, read by sseclient-py."""
    return [(event.event, event.data) for event in SSEClient(frames_of(pieces, max_event)).events()]


def texts(pieces: Iterable[bytes]) -> list[str]:
    return [data for _, data in decode(pieces)]


def bytewise(stream: bytes) -> list[bytes]:
    return [stream[i : i + 1] for i in range(len(stream))]


def reference(stream: bytes) -> list[tuple[str, str]]:
    """The standard's decoder, for a stream that is there as a whole."""
    *lines, _ = re.split("\r\n|\r|\n", stream.decode("utf-8", "replace").removeprefix("\ufeff"))
    events, name, data = [], "", list[str]()
    for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                events.append((name or "message", "\n".join(data)))
            name, data = "", []
        elif field == "data":
            data.append(value)
        elif field == "event":
            name = value
    return events


STREAMS = {
    "LF": (b"data: a\n\ndata: b\n\n", ["a", "b"]),
    "CR LF": (b"data: a\r\n\r\ndata: b\r\n\r\n", ["a", "b"]),
    "CR": (b"data: a\r\rdata: b\r\r", ["a", "b"]),
    "LF then CR LF": (b"data: a\n\r\ndata: b\n\r\n", ["a", "b"]),
    "CR LF then LF": (b"data: a\r\n\ndata: b\r\n\n", ["a", "b"]),
    "CR then CR LF": (b"data: a\r\r\ndata: b\r\r\n", ["a", "b"]),
    "CR LF then CR": (b"data: a\r\n\rdata: b\r\n\r", ["a", "b"]),
    "LF CR LF LF": (b"data: a\n\r\n\ndata: b\n\r\n\n", ["a", "b"]),
    "one of each": (b"data: a\rdata: b\r\ndata: c\n\r\ndata: d\n\n", ["a\nb\nc", "d"]),
    "more blank lines than needed": (b"\n\n\ndata: a\n\n\n\n\ndata: b\n\n\n", ["a", "b"]),
    "a BOM": (b"\xef\xbb\xbfdata: a\n\n", ["a"]),
    "a BOM and nothing": (b"\xef\xbb\xbf", []),
    "half a BOM": (b"\xef\xbbdata: a\n\ndata: b\n\n", ["b"]),
    "a second BOM is part of a name": (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n", ["b"]),
    "a BOM inside of data stays": ("data: a\ufeffb\n\n".encode(), ["a\ufeffb"]),
    "line ends of other alphabets stay": (
        "data: a\u2028b\u2029c\u0085d\x0be\x0cf\n\n".encode(),
        ["a\u2028b\u2029c\u0085d\x0be\x0cf"],
    ),
    "data in several lines": (b"data: a\ndata:\ndata: b\n\n", ["a\n\nb"]),
    "two to four bytes a character": ("data: ü€😀\n\n".encode(), ["ü€😀"]),
    "a bad byte": (b"data: a\xffb\n\ndata: c\n\n", ["a\ufffdb", "c"]),
    "half a character before a line's end": (b"data: a\xe2\x82\n\ndata: c\n\n", ["a\ufffd", "c"]),
    "comments": (b": ping\n\n:\ndata: a\n: in the middle\ndata: b\n\n: ping\n\n", ["a\nb"]),
    "no space": (b"data:a\n\n", ["a"]),
    "two spaces, one of them data": (b"data:  a\n\n", [" a"]),
    "a colon in data": (b"data: a: b\n\n", ["a: b"]),
    "id, retry and event": (b"id: 7\nretry: 10\nevent: error\ndata: a\n\n", ["a"]),
    "fields without data": (b"id: 7\nevent: x\n\ndata: a\n\n", ["a"]),
    "an unknown field": (b"dat: a\ndata: b\nthought: c\n\n", ["b"]),
    "data without a colon": (b"data\n\ndata: a\n\n", ["", "a"]),
    "empty data": (b"data:\n\ndata: \n\n", ["", ""]),
    "a NUL": (b"data: a\0b\n\n", ["a\0b"]),
    "half an event at the end": (b'data: a\n\ndata: {"choices":[{"del', ["a"]),
    "an event without its blank line at the end": (b"data: a\n\ndata: b\n", ["a"]),
    "[DONE]": (b"data: a\n\ndata: [DONE]\n\n", ["a", "[DONE]"]),
    "[DONE] without its blank line": (b"data: a\n\ndata: [DONE]\n", ["a", "[DONE]"]),
    "[DONE] without any line end": (b"data: a\n\ndata: [DONE]", ["a", "[DONE]"]),
    "[DONE] without a space and line end": (b"data: a\r\n\r\ndata:[DONE]", ["a", "[DONE]"]),
    "[DONE] with a CR": (b"data: a\r\rdata: [DONE]\r", ["a", "[DONE]"]),
    "half a [DONE]": (b"data: a\n\ndata: [DON", ["a"]),
    "nothing": (b"", []),
}


@pytest.mark.parametrize(("stream", "expected"), STREAMS.values(), ids=STREAMS)
def test_a_stream_gives_the_same_events_whole_byte_by_byte_and_cut_anywhere(
    stream: bytes, expected: list[str]
) -> None:
    assert texts([stream]) == expected
    assert texts(bytewise(stream)) == expected
    for at in range(1, len(stream)):
        assert texts([stream[:at], stream[at:]]) == expected, f"cut at {at}"
        assert texts([stream[:at], *bytewise(stream[at:])]) == expected, f"byte by byte from {at}"


PARTS = [
    *(b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n"),
    *(b"data: a", b"data:b", b"data", b"data:  ", b": ping", b":", b"event: x", b"id: 1", b"retry: 2", b"x"),
    *(text.encode() for text in ("ü", "😀", "\u2028", "\ufeff")),
    *(b"\xff", b"\xe2\x82", b"\xef", b"\0", b" "),
]
stream_of_parts = st.lists(st.sampled_from(PARTS), max_size=40).map(b"".join)


@st.composite
def cut_into_pieces(draw: st.DrawFn, streams: st.SearchStrategy[bytes]) -> tuple[bytes, list[bytes]]:
    stream = draw(streams)
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(stream) - 1)), max_size=20)))
    return stream, [stream[a:b] for a, b in zip([0, *cuts], [*cuts, None], strict=True)]


@settings(max_examples=400, deadline=None, database=None)
@given(cut_into_pieces(stream_of_parts))
def test_any_stream_in_any_pieces_is_decoded_as_the_standard_says(cut: tuple[bytes, list[bytes]]) -> None:
    stream, pieces = cut
    assert decode(pieces) == decode([stream]) == reference(stream)


lines_of_events = st.sampled_from(["data: a", "data:", "event: x", ": ping", "data: ü\u2028😀", "id: 1"])
whole_events = st.lists(st.lists(lines_of_events, min_size=1), max_size=8)


@settings(max_examples=200, deadline=None, database=None)
@given(whole_events, st.sampled_from(["\n", "\r\n", "\r"]), st.data())
def test_where_sseclient_alone_is_right_nothing_changes(
    events: list[list[str]], end: str, data: st.DataObject
) -> None:
    stream = "".join(end.join(lines) + end * 2 for lines in events).encode()
    _, pieces = data.draw(cut_into_pieces(st.just(stream)))
    alone = [(event.event, event.data) for event in SSEClient(iter([stream])).events()]
    assert decode(pieces) == alone


@pytest.mark.parametrize("end", [b"\n\n", b"\r\r", b"\r\n\r\n", b"\n\r", b"\r\n\r", b"\r\n\n", b"\n\r\n"])
def test_an_event_is_handed_on_with_the_last_byte_of_its_blank_line(end: bytes) -> None:
    frames = Frames(MIB)
    shortest = end[:-1] if end.endswith(b"\r\n") else end  # the CR says it already
    assert frames.feed(b"data: a" + shortest[:-1]) == b""
    assert frames.feed(shortest[-1:]) == b"data: a\n\n"


def test_an_lf_after_the_cr_that_ended_an_event_is_swallowed() -> None:
    frames = Frames(MIB)
    assert frames.feed(b"data: a\r\r") == b"data: a\n\n"
    assert frames.feed(b"\n") == b""
    assert frames.feed(b"data: b\n") == b""
    assert frames.feed(b"\n") == b"data: b\n\n"


TAILS = {
    "nothing": (b"data: a\n\n", False),
    "a comment": (b"data: a\n\n: ping", False),
    "blank lines": (b"data: a\n\n\n\n", False),
    "[DONE]": (b"data: a\n\ndata: [DONE]", False),
    "half a line": (b"data: a\n\ndata: {", True),
    "a whole line": (b"data: a\n\ndata: b\n", True),
    "a comment and half a line": (b": ping\ndata: b", True),
}


@pytest.mark.parametrize(("stream", "truncated"), TAILS.values(), ids=TAILS)
def test_what_the_end_of_the_stream_discards_is_told(stream: bytes, truncated: bool) -> None:
    for pieces in ([stream], bytewise(stream)):
        frames = Frames(MIB)
        for piece in pieces:
            frames.feed(piece)
        frames.end()
        assert frames.truncated is truncated


def test_a_done_at_the_end_does_not_swallow_the_lines_before_it() -> None:
    """A server that ends lines and forgets blank ones: its text may not vanish behind a success."""
    stream = b'data: {"choices":[{"delta":{"content":"a"}}]}\ndata: [DONE]\n'
    frames = Frames(MIB)
    frames.feed(stream)
    assert frames.end() != b"data: [DONE]\n\n" or frames.truncated


@pytest.mark.parametrize("data", [b"data: a\n\n", b": ping\n\n", b"data: a\n\n\n\ndata: \xc3\xbc\n\n"])
def test_a_piece_of_whole_events_is_handed_on_as_it_is(data: bytes) -> None:
    frames = Frames(MIB)
    frames.feed(b": the first may begin with a BOM\n\n")
    assert frames.feed(data) is data


def pieces_of(stream: bytes, size: int) -> list[bytes]:
    return [stream[i : i + size] for i in range(0, len(stream), size)]


TOO_LARGE = {
    "one line": b"data: " + b"x" * 95 + b"\n\n",
    "several times the bound": b"data: " + b"x" * 500 + b"\n\n",
    "comments": b": ping\n" * 20 + b"\n",
    "many lines": b"data: x\n" * 20 + b"\n",
}


@pytest.mark.parametrize("size", [1, 7, 1000, MIB], ids="in pieces of {}".format)
@pytest.mark.parametrize("event", TOO_LARGE.values(), ids=TOO_LARGE)
def test_an_event_beyond_the_bound_is_refused_however_it_comes(event: bytes, size: int) -> None:
    fine = b"data: " + b"x" * 80 + b"\n\n"
    with pytest.raises(UpstreamError) as error:
        decode(pieces_of(fine + event + fine, size), max_event=100)
    assert error.value.code == "too_large"


@pytest.mark.parametrize("event", TOO_LARGE.values(), ids=TOO_LARGE)
def test_the_events_before_one_that_is_refused_are_there(event: bytes) -> None:
    fine = b"data: a\xff\n\n: ping\n\ndata: b\n\n"
    frames = Frames(100)
    with pytest.raises(UpstreamError):
        frames.feed(fine + event + fine)
    assert frames.before == fine.replace(b"\xff", "\ufffd".encode())


@pytest.mark.parametrize("length", range(85, 96))
@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
def test_the_bound_is_the_same_to_the_byte_however_an_event_comes(length: int, end: bytes) -> None:
    stream = b": before" + end + b"data: " + b"x" * length + end + b"data: after" + end
    refused = set()
    for size in (1, 2, 3, 50, MIB):
        try:
            decode(pieces_of(stream, size), max_event=100)
        except UpstreamError:
            refused.add(size)
    assert len(refused) in (0, 5), f"refused only in pieces of {refused}"


@pytest.mark.parametrize("size", [1, 7, 1000, MIB], ids="in pieces of {}".format)
def test_events_within_the_bound_are_fine_however_many_come_at_once(size: int) -> None:
    event = b"data: " + b"x" * 80 + b"\n\n"
    assert len(decode(pieces_of(event * 100, size), max_event=100)) == 100


@pytest.mark.parametrize("size", [1, 4096, MIB], ids="in pieces of {}".format)
def test_an_event_of_too_many_lines_is_refused_and_the_error_speaks_of_lines(size: int) -> None:
    with pytest.raises(UpstreamError, match="lines") as error:
        decode(pieces_of(b"data\n" * (MAX_LINES + 1) + b"\n", size))
    assert error.value.code == "too_large"


def test_lines_are_counted_for_each_event_anew() -> None:
    event = b"data\n" * (MAX_LINES // 2) + b"\n"
    assert len(decode(pieces_of(event * 4, 4096))) == 4


def least_seconds(work: Callable[[], object], times: int = 3) -> float:
    """Of the processor, the least of several: what else the machine does only adds."""
    taken = []
    for _ in range(times):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return min(taken)


def seconds_in_pieces(mib: int) -> float:
    pieces = pieces_of(b"data: " + b"x" * (mib * MIB) + b"\n\n", 1024)
    return least_seconds(lambda: decode(pieces, max_event=33 * MIB))


def test_eight_times_the_event_takes_eight_times_the_time_not_sixty_four_times() -> None:
    # Memory beyond the caches costs up to three times as much a byte; still far from 64 times.
    assert seconds_in_pieces(32) <= 40 * seconds_in_pieces(4)


def test_no_event_within_both_bounds_keeps_the_processor_long() -> None:
    """sseclient-py copies what it has of an event for each line: as many as are allowed must stay cheap."""
    lines = MAX_LINES - 1
    many = (b"data: " + b"x" * (4 * MIB // lines - 7) + b"\n") * lines + b"\n"
    one = b"data: " + b"x" * (len(many) - 8) + b"\n\n"
    of_many = least_seconds(lambda: decode([many], max_event=8 * MIB), times=1)
    assert of_many <= 20 * least_seconds(lambda: decode([one], max_event=8 * MIB))
