"""parser.js against the browser's own EventSource: the same bytes, cut anywhere, give the same events."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from playwright.sync_api import Page

pytestmark = pytest.mark.browser

STREAMS, SEED = 200, 20
NAMES = ["message", "a", "delta", "名", "x y", "retry", "0"]
ENDS = ["\n", "\r", "\r\n"]
VALUES = ["", " ", "x", " y", "  two", "天空", "🌤️", "a:b", ":", "\0", "\ufeff", "\u2028", "7", "1e3", "null"]
NO_FIELDS = ["Data", "data ", " data", "other", "\ufeffdata"]
PIECES: list[Callable[[random.Random], str]] = [
    lambda r: f"data:{r.choice(VALUES)}",
    lambda r: f"data: {r.choice(VALUES)}{r.choice(VALUES)}",
    lambda r: "data",
    lambda r: f"event:{r.choice(['', ' '])}{r.choice(NAMES)}",
    lambda r: "event",
    lambda r: f"id: {r.choice(VALUES)}{r.randrange(100)}",
    lambda r: "id",
    lambda r: f"retry: {r.choice(['10', 'x', '', '1.5', ' 7'])}",
    lambda r: f":{r.choice(VALUES)}",
    lambda r: f"{r.choice(NO_FIELDS)}: {r.choice(VALUES)}",
]

# Reads one stream as the browser does, until it ends. It has to be told for which events to listen.
NATIVE = """async ([url, names]) => {
    const events = [];
    const source = new EventSource(url);
    const hear = ({ type, data, lastEventId }) => events.push([type, data, lastEventId]);
    for (const name of names) source.addEventListener(name, hear);
    await new Promise((resolve) => { source.onerror = resolve; });
    source.close();
    return events;
}"""
OURS = """async ([url, cuts]) => {
    const { createParser } = await import('/static/src/client/parser.js');
    const bytes = new Uint8Array(await (await fetch(url)).arrayBuffer());
    return cuts.map((sizes) => {
        const events = [];
        const parser = createParser({ onEvent: (e) => events.push([e.type, e.data, e.lastEventId]) });
        for (let from = 0, i = 0; from < bytes.length; from += sizes[i++ % sizes.length]) {
            parser.feed(bytes.slice(from, from + sizes[i % sizes.length]));
        }
        return events;
    });
}"""
PARSE = """async ([chunks, options]) => {
    const { createParser } = await import('/static/src/client/parser.js');
    const said = { events: [], retries: [], comments: [] };
    const parser = createParser({
        onEvent: (e) => said.events.push(e.data), onRetry: (ms) => said.retries.push(ms),
        onComment: (text) => said.comments.push(text), ...options,
    });
    try { for (const chunk of chunks) parser.feed(chunk); } catch (error) { said.error = error.name; }
    return { ...said, lastEventId: parser.lastEventId };
}"""


def streams() -> list[bytes]:
    """Streams made of everything the standard has a word on, half of them cut off or with wrong bytes."""
    chance = random.Random(SEED)
    return [stream(chance) for _ in range(STREAMS)]


def stream(chance: random.Random) -> bytes:
    text = chance.choice(["", "", "\ufeff", "\ufeff\ufeff"])
    ends = ENDS if chance.random() < 0.5 else [chance.choice(ENDS)]
    for number in range(chance.randrange(1, 30)):
        # Chromium takes a line break right after a BOM for part of the line; the standard does not.
        is_empty = chance.random() < 0.3 and not (text and number == 0)
        line = "" if is_empty else chance.choice(PIECES)(chance)
        text += line + chance.choice(ends)
    data = bytearray(text.encode())
    if chance.random() < 0.3:
        data[chance.randrange(len(data))] = chance.choice([0x80, 0xC3, 0xE5, 0xF0, 0xFF])
    if chance.random() < 0.5:
        del data[chance.randrange(len(data)) :]
    return bytes(data)


@pytest.fixture
def served() -> Iterator[tuple[str, list[bytes]]]:
    """The address of the streams, `/<number>`, and the streams."""
    bodies = streams()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = bodies[int(self.path[1:])]
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Access-Control-Allow-Origin", "*")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}", bodies
        httpd.shutdown()
        thread.join()


def test_the_parser_agrees_with_the_event_source_of_the_browser(
    lab: Page, served: tuple[str, list[bytes]]
) -> None:
    address, bodies = served
    chance = random.Random(SEED + 1)
    seen = 0
    for number, body in enumerate(bodies):
        url = f"{address}/{number}"
        cuts = [[len(body) + 1], [1], [chance.randrange(1, 9) for _ in range(7)]]
        parsed = lab.evaluate(OURS, [url, cuts])
        # Wrong bytes make names that are not in NAMES.
        names = {*NAMES, *(event[0] for events in parsed for event in events)}
        native = lab.evaluate(NATIVE, [url, sorted(names)])
        for ours in parsed:
            assert ours == native, f"stream {number}: {body!r}"
        seen += len(native)
    assert seen > STREAMS  # the streams have something to disagree about


def parse(lab: Page, *chunks: str, **options: Any) -> dict[str, Any]:
    said: dict[str, Any] = lab.evaluate(PARSE, [list(chunks), options])
    return said


def test_crlf_over_a_chunk_border_ends_one_line_and_is_not_waited_for(lab: Page) -> None:
    assert parse(lab, "data: a\r", "\n\r", "\ndata: b\r\r")["events"] == ["a", "b"]


def test_an_unfinished_event_is_dropped_and_its_id_does_not_count(lab: Page) -> None:
    said = parse(lab, "id: 1\ndata: a\n\nid: 2\ndata: half")
    assert (said["events"], said["lastEventId"]) == (["a"], "1")


def test_an_id_counts_even_without_data(lab: Page) -> None:
    assert parse(lab, "id: 5\n\n", lastEventId="4")["lastEventId"] == "5"


def test_events_without_an_id_keep_the_one_from_before_the_reconnect(lab: Page) -> None:
    assert parse(lab, "data: a\n\n", lastEventId="4")["lastEventId"] == "4"


def test_only_digits_are_a_retry(lab: Page) -> None:
    said = parse(lab, "retry: 10\nretry: -1\nretry: 1.5\nretry:\nretry: x\nretry:007\n")
    assert said["retries"] == [10, 7]


def test_comments_are_told(lab: Page) -> None:
    assert parse(lab, ": hi\n:\n\n")["comments"] == [" hi", ""]


@pytest.mark.parametrize("endless", ["data: " + "x" * 2_000, "data: 0123456789\n" * 100])
def test_an_event_that_does_not_end_is_refused_and_not_gathered(lab: Page, endless: str) -> None:
    said = parse(lab, *[endless[i : i + 100] for i in range(0, len(endless), 100)], maxEvent=1_000)
    assert said["error"] == "RangeError"


def test_a_megabyte_in_small_chunks_is_one_event(lab: Page) -> None:
    length = lab.evaluate("""async () => {
        const { createParser } = await import('/static/src/client/parser.js');
        const found = [];
        const parser = createParser({ onEvent: (event) => found.push(event.data.length) });
        parser.feed('data: ');
        for (let i = 0; i < 16_384; i += 1) parser.feed('x'.repeat(64));
        parser.feed('\\n\\n');
        return found;
    }""")
    assert json.dumps(length) == "[1048576]"
