"""Every oddity of an upstream, as a stream in tests/data with what must come of it beside it.

`<name>.json`: `quirk` and `handling`, a sentence each; `deltas`, `end` (done, error), `reason` or `code` and
`retryable`, `usage`. Its body is `<name>.sse`, or what a function here makes (`made_by`); with `answer`, a
script for the rig's upstream, it is about time or the head and goes over a socket only.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from app.errors import UpstreamError
from app.relay import clocks
from app.relay.deltas import Said
from app.relay.frames import MAX_LINES
from app.relay.line import Line
from app.relay.parser import Parser
from app.relay.retry import RetryPolicy
from app.relay.upstream import Upstream
from app.relay.watch import Watch
from app.relay.worker import Size, Worker
from tests.relay import DONE, Beside, Listener, chunk, heard, make_generation
from tests.relay.test_frames import MIB, bytewise, pieces_of
from tests.rig.reading import eventually
from tests.rig.upstream import ScriptedUpstream

Json = dict[str, Any]

DATA = Path(__file__).parent.parent / "data"
NAMES = sorted(path.stem for path in DATA.glob("*.json"))
BOUND = 8 * MIB
# What an end looks like in the bytes of a stream, and what must follow it to be whole.
ENDING = re.compile(rb'"finish_reason": ?"\w+"|data: ?\[DONE\]')
BLANK = re.compile(rb"(\r\n?|\n)(\r\n?|\n)")


def event_of_8_mib() -> tuple[bytes, list[Json]]:
    text = "x" * (BOUND - 1000)
    return chunk("a") + chunk(text) + chunk(finish="stop") + DONE, [{"content": "a"}, {"content": text}]


def event_too_large() -> tuple[bytes, list[Json]]:
    stream = chunk("Hel") + chunk("lo") + chunk("x" * BOUND) + chunk(finish="stop") + DONE
    return stream, [{"content": "Hel"}, {"content": "lo"}]


def event_of_too_many_lines() -> tuple[bytes, list[Json]]:
    stream = chunk("Hel") + chunk("lo") + b"data: {\n" * (MAX_LINES + 1) + b"\n" + DONE
    return stream, [{"content": "Hel"}, {"content": "lo"}]


MADE = {made.__name__: made for made in (event_of_8_mib, event_too_large, event_of_too_many_lines)}


@cache
def told_of(name: str) -> Json:
    """What <name>.json says."""
    return dict(json.loads((DATA / f"{name}.json").read_text()))


def body_of(name: str) -> bytes:
    return (DATA / f"{name}.sse").read_bytes()


WRITTEN = [name for name in NAMES if (DATA / f"{name}.sse").exists()]
BIG = [name for name in NAMES if "made_by" in told_of(name)]
TIMED = [name for name in NAMES if "answer" in told_of(name)]


class Pieces:
    """In the place of an upstream: a stream in pieces, through the parser that the real one has."""

    name, model = "up", "m"

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces

    def ask(self, body: Json, line: Line, hear: Callable[[Said], bool]) -> None:
        all(map(hear, self._said(line)))

    def _said(self, line: Line) -> Iterator[Said]:
        parser = Parser(BOUND)
        for piece in self._pieces:
            line.pieces += 1
            yield from parser.feed(piece)
        yield from parser.end()


class Answer:
    """One answer, read by the real worker; `came` is what came of it, in the words of the fixtures."""

    def __init__(self, upstream: Any) -> None:
        self._said, self.generation = Listener(), make_generation()
        once, room = RetryPolicy(attempts=1), Size(bytes=2 * BOUND)
        self._worker = Worker([upstream], self._said, retry=once, size=room)

    def read(self) -> Answer:
        self._worker.begin(self.generation)
        self._worker.answer(self.generation)
        return self

    @property
    def came(self) -> Json:
        kind, fields = self._said.end()
        deltas = [delta["data"] for event, delta in self._said.events if event == "delta"]
        end = {name: fields[name] for name in ("reason", "code", "retryable") if name in fields}
        usage = {"usage": self.generation.usage} if self.generation.usage else {}
        return {"deltas": deltas, "end": kind, **end, **usage}


def in_pieces(*pieces: bytes) -> Json:
    return Answer(Pieces(pieces)).read().came


def expected(name: str) -> Json:
    told = told_of(name)
    return {
        key: told[key] for key in ("deltas", "usage", "end", "reason", "code", "retryable") if key in told
    }


every_stream = pytest.mark.parametrize("name", WRITTEN)


@every_stream
def test_a_stream_is_read_the_same_whole_and_byte_by_byte(name: str) -> None:
    body = body_of(name)
    assert in_pieces(body) == expected(name)
    assert in_pieces(*bytewise(body)) == expected(name)


@every_stream
def test_a_stream_is_read_the_same_cut_in_two_anywhere(name: str) -> None:
    body = body_of(name)
    for at in range(1, len(body)):
        assert in_pieces(body[:at], body[at:]) == expected(name), f"cut at {at}"


@every_stream
def test_a_stream_that_breaks_off_anywhere_keeps_its_text_and_is_no_success_before_its_end(name: str) -> None:
    body, whole = body_of(name), expected(name)
    for at in range(len(body)):
        came = in_pieces(body[:at])
        assert came["deltas"] == whole["deltas"][: len(came["deltas"])], f"broken off at {at}"
        if came["end"] == "error":
            assert came["code"] in ("cut", whole.get("code")), f"broken off at {at}"
        else:
            assert (came["reason"], came["deltas"]) == (whole["reason"], whole["deltas"]), (
                f"broken off at {at}"
            )
            assert has_ended(body[:at]), f"a success was made of a stream that breaks off at {at}"


def has_ended(stream: bytes) -> bool:
    """Whether a finish reason or `[DONE]` is there as a whole; the latter needs no blank line."""
    ending = ENDING.search(stream)
    return bool(ending and (b"[DONE]" in ending[0] or BLANK.search(stream, ending.end())))


@pytest.mark.parametrize("name", BIG)
def test_a_large_stream_is_read_the_same_whole_and_in_pieces(name: str) -> None:
    body, deltas = MADE[told_of(name)["made_by"]]()
    assert in_pieces(body) == {**expected(name), "deltas": deltas}
    assert in_pieces(*pieces_of(body, 16_384)) == {**expected(name), "deltas": deltas}


@every_stream
def test_a_stream_is_read_the_same_over_a_socket(upstream: ScriptedUpstream, name: str) -> None:
    step = {"send_b64": base64.b64encode(body_of(name)).decode()}
    upstream.script({"steps": [step], "slice": 97})
    subject = Upstream(upstream.url)
    assert Answer(subject).read().came == expected(name)
    eventually(lambda: upstream.state()["open"] == subject.kept())


@pytest.mark.parametrize("name", TIMED)
def test_over_a_socket_comes_what_must_come_of(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(clocks, "AFTERWORD", 0.3)
    upstream.script(told_of(name)["answer"])
    subject = Upstream(upstream.url)
    answer = Answer(subject)
    generation = answer.generation
    watch = Watch(lambda: [generation], lambda: True, lambda now: None, time.monotonic)
    reading = Beside(answer.read)
    eventually(lambda: watch.look(time.monotonic()) or generation.ended.is_set())
    assert reading.result().came == expected(name)
    eventually(lambda: upstream.state()["open"] == subject.kept())


def test_what_an_error_asks_to_wait_is_heeded() -> None:
    with pytest.raises(UpstreamError) as error:
        list(Parser(BOUND).feed(body_of("error-rate-limited")))
    assert error.value.retry_after == 7.0


def test_a_skipped_half_of_glued_events_is_logged_once_and_without_its_words(
    upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    sent = base64.b64encode(body_of("events-glued")).decode()
    upstream.script({"steps": [{"send_b64": sent}]})
    heard(Upstream(upstream.url))
    (record,) = caplog.records
    assert "glued together" in record.getMessage()
    assert "choices" not in record.getMessage()


@pytest.mark.parametrize("name", NAMES)
def test_a_quirk_is_described_for_the_table_of_the_docs(name: str) -> None:
    told = told_of(name)
    for sentence in (told["quirk"], told["handling"]):
        assert sentence[0].isupper() or sentence[0] == "`"
        assert sentence.endswith(".")
        assert "|" not in sentence
    assert (name in WRITTEN) + (name in BIG) + (name in TIMED) == 1, f"{name} needs one body"
    assert ("reason" in told) == (told["end"] == "done")
    assert ("code" in told and "retryable" in told) == (told["end"] == "error")


def test_no_stream_lies_there_without_what_must_come_of_it() -> None:
    assert {path.stem for path in DATA.glob("*.sse")} == set(WRITTEN)
    assert {told_of(name)["made_by"] for name in BIG} == set(MADE)
