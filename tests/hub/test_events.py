"""Frames that nothing in the data can break, cursors that have one spelling."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import sseclient
from hypothesis import given
from hypothesis import strategies as st

from app.hub.events import (
    CLIENT_ID,
    Cursor,
    encode,
    frame,
    heartbeat_frame,
    make_event,
    retry_frame,
)

EPOCH = "0123abcd"
NASTY = {
    "CR": "a\rb",
    "LF": "a\nb",
    "CRLF": "a\r\nb",
    "an empty line": "a\n\nb",
    "a forged event": "x\n\nid: 9\ndata: evil\n\n",
    "NUL": "a\0b",
    "all control characters": "".join(map(chr, range(32))) + "\x7f",
    "vertical tab, form feed, NEL": "a\x0bb\x0cc\x85d",
    "U+2028 and U+2029": "a\u2028b\u2029c",
    "an emoji of four code points": "👩‍👧‍👦",
    "beyond the BMP": "\U0001f600\U0010ffff",
    "a BOM": "\ufeffa",
    "spaces at both ends": "  a  ",
    "nothing": "",
    "the literal": "[DONE]",
    "a field": "data: x",
    "a comment": ": x",
}


class Decoded(NamedTuple):
    id: str | None
    name: str
    data: str


def _httpx_sse_decoder() -> Any:
    """httpx_sse's decoder without httpx, which the package wants on import and nothing here needs."""
    spec = importlib.util.find_spec("httpx_sse")
    assert spec, "httpx-sse is missing: pip install -r requirements-dev.txt"
    sys.modules.setdefault("httpx_sse", importlib.util.module_from_spec(spec))
    return importlib.import_module("httpx_sse._decoders")


def by_httpx_sse(stream: bytes) -> list[Decoded]:
    decoders = _httpx_sse_decoder()
    lines, decoder = decoders.SSELineDecoder(), decoders.SSEDecoder()
    found = [decoder.decode(line) for line in lines.decode(stream.decode(errors="ignore"))]
    # It dispatches blocks without data too, which the standard doesn't, and repeats the last id.
    return [Decoded(e.id, e.event, e.data) for e in found if e and (e.data or e.event != "message")]


def by_sseclient(stream: bytes) -> list[Decoded]:
    return [Decoded(e.id, e.event, e.data) for e in sseclient.SSEClient(_Chunks([stream])).events()]


class _Chunks:
    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chunks)

    def close(self) -> None:
        pass


DECODERS = pytest.mark.parametrize("decode", [by_httpx_sse, by_sseclient])
text = st.text(st.characters(exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)


# --- frames ---


@DECODERS
@pytest.mark.parametrize("data", NASTY.values(), ids=NASTY.keys())
def test_nothing_in_the_data_breaks_a_frame(decode: Any, data: str) -> None:
    body = encode("message", "c", {"data": {data: data}})
    (event,) = decode(frame(body, f"{EPOCH}.7"))
    assert event.id == f"{EPOCH}.7"
    assert json.loads(event.data) == {"type": "message", "clientId": "c", "data": {data: data}}


@DECODERS
@given(values=st.lists(json_values, min_size=1, max_size=5))
def test_whatever_json_goes_in_comes_out_event_by_event(decode: Any, values: list[Any]) -> None:
    stream = b"".join(
        frame(encode("message", "c", {"data": value}), f"{EPOCH}.{n}") for n, value in enumerate(values)
    )
    events = decode(stream)
    assert [event.id for event in events] == [f"{EPOCH}.{n}" for n in range(len(values))]
    for event, value in zip(events, values, strict=True):
        assert json.loads(event.data)["data"] == value


@given(values=st.lists(json_values, max_size=4), cut=st.integers(0, 2_000))
def test_a_stream_cut_anywhere_gives_only_whole_events(values: list[Any], cut: int) -> None:
    frames = [frame(encode("message", "c", {"data": v}), f"{EPOCH}.{n}") for n, v in enumerate(values)]
    got = by_httpx_sse(b"".join(frames)[:cut])
    ends = [sum(map(len, frames[: n + 1])) for n in range(len(frames))]
    assert len(got) == sum(end <= cut for end in ends)


@given(value=json_values)
def test_a_frame_is_two_lines_and_an_empty_one(value: Any) -> None:
    framed = frame(encode("message", "c", {"data": value}), f"{EPOCH}.1")
    assert framed.splitlines(keepends=True) == framed.splitlines(keepends=True)[:3]
    assert framed.count(b"\n") == 3
    assert framed.endswith(b"\n\n")
    assert b"\r" not in framed


def test_the_id_stands_first_so_that_a_cut_before_the_blank_line_moves_no_cursor() -> None:
    framed = make_event(EPOCH, 5, "message", "", b'{"type":"message"}', 0.0).frame
    assert framed == b'id: 0123abcd.5\ndata: {"type":"message"}\n\n'


def test_an_event_without_its_id_is_only_its_data() -> None:
    event = make_event(EPOCH, 5, "message", "", b"{}", 0.0)
    assert event.bare == frame(b"{}") == b"data: {}\n\n"


def test_the_id_carries_the_client_where_the_server_named_it() -> None:
    event = make_event(EPOCH, 5, "message", "", b'{"a":1}', 0.0)
    (decoded,) = by_sseclient(event.for_stream(b".phone-1"))
    assert decoded.id == f"{EPOCH}.5.phone-1"
    assert Cursor.parse(decoded.id) == Cursor(EPOCH, 5, "phone-1")
    assert event.for_stream(b"") is event.frame


@DECODERS
def test_the_literal_done_is_an_event_like_any_other(decode: Any) -> None:
    event = make_event(EPOCH, 9, "[DONE]", "", b"[DONE]", 0.0)
    assert decode(event.for_stream(b".c")) == [Decoded(f"{EPOCH}.9.c", decode(event.frame)[0].name, "[DONE]")]


# --- bodies ---


def test_a_body_begins_with_its_type_and_its_client() -> None:
    assert encode("message", "c", {"data": 1}) == b'{"type":"message","clientId":"c","data":1}'


def test_a_broadcast_names_no_client_so_that_one_body_serves_all() -> None:
    assert encode("broadcast", None, {"data": 1}) == b'{"type":"broadcast","data":1}'


@pytest.mark.parametrize("data", ["\ud800", 10**30, {1: 2}, object, {"a": {1, 2}}], ids=repr)
def test_what_is_not_json_is_refused(data: object) -> None:
    with pytest.raises(TypeError):
        encode("message", "c", {"data": data})


# --- beside the events ---


@DECODERS
def test_a_heartbeat_is_a_comment_that_no_reader_sees(decode: Any) -> None:
    beat = heartbeat_frame(False, 1.0, 15.0)
    assert beat == b":\n\n"
    assert [event.data for event in decode(beat + frame(b"{}", f"{EPOCH}.1") + beat) if event.data] == ["{}"]


@DECODERS
def test_a_heartbeat_on_request_is_a_comment_and_a_named_event_without_an_id(decode: Any) -> None:
    beat = heartbeat_frame(True, 1_700_000_000.12345, 15.0)
    assert beat.startswith(b":\n\n")
    assert b"id:" not in beat
    (event,) = decode(beat)
    assert event.name == "heartbeat"
    assert json.loads(event.data) == {"now": 1_700_000_000.123, "next": 15.0}


def test_retry_is_milliseconds_in_digits() -> None:
    assert retry_frame(2_000) == b"retry: 2000\n\n"


# --- cursors ---


@pytest.mark.parametrize(
    ("spelled", "meant"),
    [
        ("0123abcd.0", Cursor(EPOCH, 0)),
        ("0123abcd.7", Cursor(EPOCH, 7)),
        ("0123abcd.999999999999999999", Cursor(EPOCH, 10**18 - 1)),
        ("0123abcd.7.c", Cursor(EPOCH, 7, "c")),
        ("0123abcd.7.a.b~c_d-e", Cursor(EPOCH, 7, "a.b~c_d-e")),
        ("0123abcd.7." + "x" * 128, Cursor(EPOCH, 7, "x" * 128)),
    ],
)
def test_a_cursor_is_epoch_and_number_and_at_times_the_client(spelled: str, meant: Cursor) -> None:
    assert Cursor.parse(spelled) == meant
    assert str(meant) == spelled


@pytest.mark.parametrize(
    "spelled",
    [
        *("", ".", "..", "7", "0123abcd", "0123abcd.", ".7", "null", "[DONE]", "*"),
        *("0123abc.7", "0123abcde.7", "0123ABCD.7", "0123abcg.7", "0123abcd-7", "0123abcd. 7"),
        *("0123abcd.07", "0123abcd.00", "0123abcd.-1", "0123abcd.+1", "0123abcd.1e3", "0123abcd.1_0"),
        *("0123abcd." + "9" * 19, "0123abcd." + "9" * 30, "0123abcd." + "1" * 100_000),
        *("0123abcd.7\n", "0123abcd.7\r\n", "\n0123abcd.7", " 0123abcd.7", "0123abcd.7 ", "0123abcd.7\0"),
        *("0123abcd.٧", "0123abcd.²", "０123abcd.7"),
        *("0123abcd.7.", "0123abcd.7..c", "0123abcd.7.-c", "0123abcd.7.c/d", "0123abcd.7.c\n"),
        *("0123abcd.7.c\nd", "0123abcd.7.é", "0123abcd.7." + "x" * 129, "0123abcd.7\n.c"),
    ],
    ids=lambda spelled: ascii(spelled)[:40],
)
def test_what_is_no_cursor_is_none(spelled: str) -> None:
    assert Cursor.parse(spelled) is None


@given(epoch=st.from_regex(r"[0-9a-f]{8}", fullmatch=True), number=st.integers(0, 10**18 - 1))
def test_a_cursor_survives_being_spelled(epoch: str, number: int) -> None:
    for client in ("", "c", "a.1"):
        assert Cursor.parse(str(Cursor(epoch, number, client))) == Cursor(epoch, number, client)


@given(text | st.from_regex(r"[0-9a-f]{8}\.[0-9]{1,3}(\.[a-z.\n]{1,3})?\n?"))
def test_a_number_has_one_spelling(spelled: str) -> None:
    cursor = Cursor.parse(spelled)
    assert cursor is None or str(cursor) == spelled


@pytest.mark.parametrize("client_id", ["a", "9", "a" * 128, "a.b_c~d-e"])
def test_a_client_id_is_up_to_128_plain_characters(client_id: str) -> None:
    assert CLIENT_ID.fullmatch(client_id)


@pytest.mark.parametrize(
    "client_id", ["", "-a", ".a", "_a", "~a", "a" * 129, "a b", "a\n", "é", "a/b", "a\0"]
)
def test_a_client_id_has_nothing_else_in_it(client_id: str) -> None:
    assert not CLIENT_ID.fullmatch(client_id)
