"""The four decoders that others wrote, each as one call: pieces of several streams in, their events out.

They are used as their authors show it. Between them and the tests stands only what makes answers alike: the
last id is carried on where a decoder leaves that to its user, and blocks without data, which [spec] are no
events, are left out.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import sseclient
from httpx_sse import EventSource
from playwright.sync_api import Page

from tests.decoders.cases import Seen, seen
from tests.decoders.frames import Put
from tests.decoders.serving import Streams
from tests.rig.optional import missing

ROOT = Path(__file__).resolve().parents[2]
PARSE = Path(__file__).with_name("parse.mjs")
PACKAGE = ROOT / "node_modules" / "eventsource-parser"

Pieces = list[bytes]

# Reads all streams, as many at a time as a browser has connections to one server. A stream's end is an error
# to a native EventSource, upon which it would come back.
READ_ALL = """async (count) => {
    const read = (number) => new Promise((resolve) => {
        const seen = [];
        const source = new EventSource(`/streams/${number}`);
        const hear = ({ data, lastEventId, type }) => seen.push([data, lastEventId, type]);
        for (const type of ['message', 'heartbeat', 'evil']) source.addEventListener(type, hear);
        source.onerror = () => { source.close(); resolve(seen); };
    });
    const found = [];
    let next = 0;
    const reader = async () => {
        while (next < count) {
            const number = next++;
            found[number] = await read(number);
        }
    };
    await Promise.all(Array.from({ length: 6 }, reader));
    return JSON.stringify(found);
}"""
# One EventSource that comes back after each stream, until it is told not to.
COME_BACK = """() => new Promise((resolve) => {
    const found = [[]];
    const source = new EventSource('/next');
    const hear = ({ data, lastEventId, type }) => found.at(-1).push([data, lastEventId, type]);
    for (const type of ['message', 'heartbeat', 'evil']) source.addEventListener(type, hear);
    source.onerror = () => {
        if (source.readyState === EventSource.CLOSED) resolve(JSON.stringify(found.slice(0, -1)));
        else found.push([]);
    };
})"""


def by_httpx_sse(streams: Iterable[Pieces]) -> list[list[Seen]]:
    return [list(_by_httpx_sse(pieces)) for pieces in streams]


def _by_httpx_sse(pieces: Pieces) -> Iterator[Seen]:
    head = {"content-type": "text/event-stream"}
    for event in EventSource(httpx.Response(200, headers=head, content=iter(pieces))).iter_sse():
        if event.data:  # it dispatches blocks without data too
            yield Seen(event.data, event.id, event.event)


def by_sseclient(streams: Iterable[Pieces]) -> list[list[Seen]]:
    return [
        seen(Put(event.data, event.id, event.event) for event in sseclient.SSEClient(iter(pieces)).events())
        for pieces in streams
    ]


def by_eventsource_parser(streams: Iterable[Pieces]) -> list[list[Seen]]:
    """One run of Node: a line of JSON for each stream, in and out."""
    lines = [json.dumps([base64.b64encode(piece).decode() for piece in pieces]) for pieces in streams]
    run = subprocess.run(
        [_node(), str(PARSE)], input="\n".join(lines), capture_output=True, encoding="utf-8", timeout=100
    )
    assert run.returncode == 0, run.stderr
    return [_carried(json.loads(line)) for line in run.stdout.split("\n")[:-1]]


def by_chromium(page: Page, streams: Iterable[Pieces]) -> list[list[Seen]]:
    """Chromium's own EventSource, one for each stream."""
    with Streams(list(streams)) as served:
        page.goto(served.url)
        return _from_page(page.evaluate(READ_ALL, len(served.streams)))


def by_chromium_coming_back(page: Page, streams: Iterable[Pieces]) -> tuple[list[list[Seen]], list[str]]:
    """The same, one for all streams, each on a connection of its own; and the last ids that it asked with."""
    with Streams(list(streams)) as served:
        page.goto(served.url)
        return _from_page(page.evaluate(COME_BACK)), served.asked


def _from_page(found: str) -> list[list[Seen]]:
    return [[Seen(*event) for event in events] for events in json.loads(found)]


def _carried(events: list[Any]) -> list[Seen]:
    return seen(Put(data, cursor, kind or "message") for data, cursor, kind in events)


def _node() -> str:
    path = os.pathsep.join([str(Path(sys.prefix) / "bin"), os.environ.get("PATH", "")])
    node = shutil.which("node", path=path)
    if node is None or not PACKAGE.is_dir():
        missing("No Node with eventsource-parser here: get it with `make node_modules/.installed`")
    return str(node)
