"""The contract of the stream against the real server, row by row: our client keeps all of it, and each of the
others is told all events that it can be told, once and in order; where one can't, it says why."""

from __future__ import annotations

import subprocess
import time
import uuid
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.clients.gate import Gate, Pass, Refuse, Rule
from tests.browser.tabs import Sender
from tests.rig.front import ROOT, node
from tests.rig.reading import eventually
from tests.rig.serving import Server

pytestmark = pytest.mark.browser

OURS = "ours"
CLASS = "ours, as the class"
NATIVE = "native EventSource"
POLYFILL = "event-source-polyfill"
FETCH = "@microsoft/fetch-event-source"
NPM = "eventsource"
SSE_JS = "sse.js"
ALL = (OURS, CLASS, NATIVE, POLYFILL, FETCH, NPM, SSE_JS)
BUNDLE = ("--bundle", "--format=iife", "--global-name=Clients", "--log-level=error")
QUIET = 1.5  # s in which a client that gives up, or loops, has shown it


class Client:
    """One client in a page of its own, behind a gate of its own."""

    def __init__(self, name: str, page: Page, gate: Gate, server: Server) -> None:
        self.name, self.gate, self._page, self._server = name, gate, page, server
        self.sender = Sender(server, "")

    def listen(self, *rules: Rule, silence: int = 60_000, done: bool = False, **options: Any) -> None:
        """Opens a stream of a new client to which `rules` apply."""
        self.sender = Sender(self._server, f"t-{uuid.uuid4().hex}")
        self.gate.next(*rules)
        close = "" if done else "&closeOnDone=false"
        url = f"{self.gate.url}/sse/createConnect?clientId={self.sender.client}{close}"
        self._page.evaluate("(given) => Clients.listen(...given)", [self.name, url, silence, options])

    def connected(self) -> Client:
        """Waits until the server has greeted it."""
        eventually(lambda: any('"connected"' in data for data in self.heard()["data"]))
        return self

    def heard(self) -> Any:
        return self._page.evaluate("() => Clients.look()")

    def told(self) -> list[Any]:
        """What was sent to it, out of what it heard."""
        script = """() => Clients.look().data.filter((data) => data.startsWith('{"type":"message"'))
            .map((data) => JSON.parse(data).data)"""
        found: list[Any] = self._page.evaluate(script)
        return found

    def until_told(self, data: list[Any]) -> None:
        eventually(lambda: len(self.told()) >= len(data), within=10)
        assert self.told() == data, self.name

    def end(self) -> None:
        self._page.evaluate("() => Clients.end()")


@pytest.fixture(scope="module")
def bundle() -> str:
    command = [node(), "node_modules/esbuild/bin/esbuild", "tests/browser/clients/clients.mjs", *BUNDLE]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.fixture(scope="module", params=ALL)
def each(request: pytest.FixtureRequest, browser: Browser, server: Server, bundle: str) -> Iterator[Client]:
    """Each client in turn."""
    with Gate(server) as gate, browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{gate.url}/healthz")
        page.add_script_tag(content=bundle)
        yield Client(request.param, page, gate, server)


@pytest.fixture
def client(each: Client) -> Iterator[Client]:
    yield each
    each.end()


def last(data: int) -> bytes:
    return b'"data":%d' % data


def gives_up(client: Client, told: list[Any]) -> None:
    """It has been told just that, and asks no more."""
    time.sleep(QUIET)
    asked = len(client.gate.asked)
    time.sleep(QUIET)
    assert client.told() == told
    assert len(client.gate.asked) == asked, "it still asks"


def test_what_is_sent_arrives_once_and_in_order(client: Client) -> None:
    client.listen()
    client.connected()
    client.sender.send(*range(50))
    client.until_told(list(range(50)))


def test_a_stream_that_breaks_goes_on_after_the_last_event(client: Client) -> None:
    client.listen(Pass(last(4), "reset"), Pass(last(9), "reset"))
    client.connected()
    client.sender.send(*range(20))
    client.until_told(list(range(20)))
    assert len(client.gate.asked) == 3


def test_a_stream_that_ends_goes_on_after_the_last_event(client: Client) -> None:
    client.listen(Pass(last(4), "end"))
    client.connected()
    client.sender.send(*range(10))
    if client.name == FETCH:  # takes the end of a stream for the end of everything
        gives_up(client, list(range(5)))
    else:
        client.until_told(list(range(10)))


REFUSALS = [Refuse(status) for status in (408, 425, 429, 500, 503)]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: str(refusal.status))
def test_a_refusal_that_passes_is_waited_out(client: Client, refusal: Refuse) -> None:
    client.listen(refusal)
    if client.name in (NATIVE, POLYFILL, NPM):  # any status but 200 is final for them, as in the standard
        gives_up(client, [])
        return
    eventually(lambda: len(client.gate.asked) > 1)
    client.connected()
    client.sender.send(1)
    client.until_told([1])


@pytest.mark.parametrize("wording", ["seconds", "date"])
def test_ours_comes_back_no_sooner_than_it_was_asked_to(client: Client, wording: str) -> None:
    # A date has whole seconds: three from now is at least two, whenever in its second now is.
    header = "2" if wording == "seconds" else formatdate(time.time() + 3, usegmt=True)
    client.listen(Refuse(429, {"Retry-After": header}))
    eventually(lambda: client.gate.asked)
    refused = time.monotonic()
    time.sleep(1.7)
    early = len(client.gate.asked) > 1
    if client.name in (OURS, CLASS):
        assert not early
        client.connected()
        assert time.monotonic() - refused > 1.9
    else:  # they die, or ask whenever they like
        assert early or client.name in (NATIVE, POLYFILL, NPM)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_what_will_not_change_is_asked_once(client: Client, status: int) -> None:
    client.listen(*[Refuse(status)] * 100)
    time.sleep(QUIET)
    asked = len(client.gate.asked)
    if client.name in (FETCH, SSE_JS):
        assert asked > 1, "it no longer asks for ever: say so in docs/client.md"
    else:
        assert asked == 1
        assert client.heard()["closed"]


def test_no_content_ends_it(client: Client) -> None:
    client.listen(*[Refuse(204)] * 100)
    time.sleep(QUIET)
    asked = len(client.gate.asked)
    if client.name in (FETCH, SSE_JS):
        assert asked > 1, "it no longer asks for ever: say so in docs/client.md"
    else:
        assert asked == 1


def test_the_end_of_all_answers_ends_it_by_itself(client: Client) -> None:
    """`[DONE]`, then the end of the stream; who comes back with its cursor is told 204."""
    client.listen(done=True, closeOnDone=True)
    client.connected()
    client.sender.post("/chat", {"clientId": client.sender.client, "message": "hi"})
    eventually(lambda: "[DONE]" in client.heard()["data"])
    heard = client.heard()["data"]
    assert [data.count('"type":"done"') for data in heard].count(1) == 1
    time.sleep(QUIET)
    assert client.heard()["data"] == heard
    if client.name == OURS:
        assert len(client.gate.asked) == 1
    elif client.name not in (FETCH, SSE_JS):
        assert len(client.gate.asked) == 2


def test_silence_is_noticed(client: Client) -> None:
    client.listen(Pass(last(4), "silence"), silence=1_000)
    client.connected()
    client.sender.send(*range(10))
    if client.name in (OURS, CLASS, POLYFILL):
        client.until_told(list(range(10)))
    else:  # they wait for ever
        gives_up(client, list(range(5)))


CHINESE = ["天空是蓝色的🌤️", "👩‍👩‍👧‍👦", "\u2028 \ufeff \u0000", "é", ""]


def test_characters_that_are_cut_over_packets_arrive_whole(client: Client) -> None:
    client.listen(Pass(sliced=True))
    client.connected()
    client.sender.send(*CHINESE)
    client.until_told(CHINESE)


@pytest.mark.parametrize("rule", [Pass(crlf=True), Pass(crlf=True, sliced=True), Pass(bom=True)], ids=str)
def test_other_line_ends_and_a_byte_order_mark_make_no_difference(client: Client, rule: Pass) -> None:
    client.listen(rule)
    client.connected()
    client.sender.send(*CHINESE)
    client.until_told(CHINESE)


def test_an_event_of_a_megabyte_arrives_whole(client: Client) -> None:
    client.listen()
    client.connected()
    large = "天x" * 250_000
    client.sender.send(1, large, 2)
    client.until_told([1, large, 2])
