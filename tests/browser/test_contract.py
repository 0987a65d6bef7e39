"""The contract of the stream against the real server, row by row: our client keeps all of it, and each of the
others is told all events that it can be told, once and in order; where one can't, it says why.

All clients run a row side by side, each in a page of its own: most of a row is waiting."""

from __future__ import annotations

import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from email.utils import formatdate
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

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
        eventually(lambda: any('"connected"' in data for data in self.heard()["data"]), within=10)
        return self

    def heard(self) -> Any:
        return self._page.evaluate("() => Clients.look()")

    def told(self) -> list[Any]:
        """What was sent to it, out of what it heard."""
        script = """() => Clients.look().data.filter((data) => data.startsWith('{"type":"message"'))
            .map((data) => JSON.parse(data).data)"""
        found: list[Any] = self._page.evaluate(script)
        return found

    @property
    def asked(self) -> int:
        """How often it has asked for the stream."""
        return len(self.gate.asked)

    def until_told(self, data: list[Any]) -> None:
        eventually(lambda: len(self.told()) >= len(data), within=10)
        assert self.told() == data, self.name

    def end(self) -> None:
        self._page.evaluate("() => Clients.end()")


@pytest.fixture(scope="module")
def bundle() -> str:
    command = [node(), "node_modules/esbuild/bin/esbuild", "tests/browser/clients/clients.mjs", *BUNDLE]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.fixture(scope="module")
def everyone(browser: Browser, server: Server, bundle: str) -> Iterator[list[Client]]:
    with ExitStack() as stack:
        context = stack.enter_context(browser.new_context())
        yield [Client(name, *opened(context, stack, server, bundle), server) for name in ALL]


def opened(context: BrowserContext, stack: ExitStack, server: Server, bundle: str) -> tuple[Page, Gate]:
    gate = stack.enter_context(Gate(server))
    page = context.new_page()
    page.goto(f"{gate.url}/healthz")
    page.add_script_tag(content=bundle)
    return page, gate


@pytest.fixture
def clients(everyone: list[Client]) -> Iterator[list[Client]]:
    yield everyone
    for client in everyone:
        client.end()


def last(data: int) -> bytes:
    return b'"data":%d' % data


def those(clients: list[Client], *names: str) -> list[Client]:
    return [client for client in clients if client.name in names]


def others(clients: list[Client], *names: str) -> list[Client]:
    return [client for client in clients if client.name not in names]


def connected(clients: list[Client]) -> list[Client]:
    return [client.connected() for client in clients]


def give_up(clients: list[Client], told: list[Any]) -> None:
    """They have been told just that, and ask no more."""
    time.sleep(QUIET)
    asked = {client.name: client.asked for client in clients}
    time.sleep(QUIET)
    for client in clients:
        assert client.told() == told, client.name
        assert client.asked == asked[client.name], f"{client.name} still asks"


def test_what_is_sent_arrives_once_and_in_order(clients: list[Client]) -> None:
    for client in clients:
        client.listen()
    for client in connected(clients):
        client.sender.send(*range(50))
    for client in clients:
        client.until_told(list(range(50)))


def test_a_stream_that_breaks_goes_on_after_the_last_event(clients: list[Client]) -> None:
    for client in clients:
        client.listen(Pass(last(4), "reset"), Pass(last(9), "reset"))
    for client in connected(clients):
        client.sender.send(*range(20))
    for client in clients:
        client.until_told(list(range(20)))
        assert client.asked == 3, client.name


def test_a_stream_that_ends_goes_on_after_the_last_event(clients: list[Client]) -> None:
    for client in clients:
        client.listen(Pass(last(4), "end"))
    for client in connected(clients):
        client.sender.send(*range(10))
    for client in others(clients, FETCH):
        client.until_told(list(range(10)))
    give_up(those(clients, FETCH), list(range(5)))  # takes the end of a stream for the end of everything


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_a_refusal_that_passes_is_waited_out(clients: list[Client], status: int) -> None:
    for client in clients:
        client.listen(Refuse(status))
    final = (NATIVE, POLYFILL, NPM)  # any status but 200 is final for them, as in the standard
    for client in others(clients, *final):
        eventually(lambda client=client: client.asked > 1)
        client.connected().sender.send(1)
        client.until_told([1])
    give_up(those(clients, *final), [])


@pytest.mark.parametrize("wording", ["seconds", "date"])
def test_ours_comes_back_no_sooner_than_it_was_asked_to(clients: list[Client], wording: str) -> None:
    # A date has whole seconds: three from now is at least two, whenever in its second now is.
    date = int(time.time() + 3)
    header = "2" if wording == "seconds" else formatdate(date, usegmt=True)
    for client in clients:
        client.listen(Refuse(429, {"Retry-After": header}))
    for client in connected(those(clients, OURS, CLASS)):
        refused, again = (asked.at for asked in client.gate.asked)
        assert again >= (refused + 2 if wording == "seconds" else date) - 0.1, client.name
    for client in those(clients, FETCH, SSE_JS):  # they ask whenever they like
        eventually(lambda client=client: client.asked > 1)
        refused, again = (asked.at for asked in client.gate.asked[:2])
        assert again - refused < 1.7, f"{client.name} waits by now: say so in docs/client.md"
    assert [client.asked for client in those(clients, NATIVE, POLYFILL, NPM)] == [1, 1, 1]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_what_will_not_change_is_asked_once(clients: list[Client], status: int) -> None:
    for client in clients:
        client.listen(*[Refuse(status)] * 100)
    time.sleep(QUIET)
    for client in those(clients, FETCH, SSE_JS):
        assert client.asked > 1, f"{client.name} no longer asks for ever: say so in docs/client.md"
    for client in others(clients, FETCH, SSE_JS):
        assert client.asked == 1, client.name
        assert client.heard()["closed"], client.name


def test_no_content_ends_it(clients: list[Client]) -> None:
    for client in clients:
        client.listen(*[Refuse(204)] * 100)
    time.sleep(QUIET)
    for client in those(clients, FETCH, SSE_JS):
        assert client.asked > 1, f"{client.name} no longer asks for ever: say so in docs/client.md"
    assert {client.asked for client in others(clients, FETCH, SSE_JS)} == {1}


def test_the_end_of_all_answers_ends_it_by_itself(clients: list[Client]) -> None:
    """`[DONE]`, then the end of the stream; who comes back with its cursor is told 204."""
    for client in clients:
        client.listen(done=True, closeOnDone=True)
    for client in connected(clients):
        client.sender.post("/chat", {"clientId": client.sender.client, "message": "hi"})
    for client in clients:
        eventually(lambda client=client: "[DONE]" in client.heard()["data"])
    heard = {client.name: client.heard()["data"] for client in clients}
    for name, said in heard.items():
        assert [data.count('"type":"done"') for data in said].count(1) == 1, name
    for client in others(clients, OURS, FETCH, SSE_JS):
        eventually(lambda client=client: client.asked == 2)
    time.sleep(QUIET)
    assert {client.name: client.heard()["data"] for client in clients} == heard
    assert [client.asked for client in those(clients, OURS)] == [1]
    assert {client.asked for client in others(clients, OURS, FETCH, SSE_JS)} == {2}


def test_silence_is_noticed(clients: list[Client]) -> None:
    for client in clients:
        client.listen(Pass(last(4), "silence"), silence=1_000)
    for client in connected(clients):
        client.sender.send(*range(10))
    watchful = (OURS, CLASS, POLYFILL)
    for client in those(clients, *watchful):
        client.until_told(list(range(10)))
    give_up(others(clients, *watchful), list(range(5)))  # they wait for ever


CHINESE = ["天空是蓝色的🌤️", "👩‍👩‍👧‍👦", "\u2028 \ufeff \u0000", "é", ""]
WAYS = [Pass(sliced=True), Pass(crlf=True), Pass(crlf=True, sliced=True), Pass(bom=True)]


@pytest.mark.parametrize("rule", WAYS, ids=str)
def test_however_bytes_are_cut_and_lines_end_all_arrives_whole(clients: list[Client], rule: Pass) -> None:
    for client in clients:
        client.listen(rule)
    for client in connected(clients):
        client.sender.send(*CHINESE)
    for client in clients:
        client.until_told(CHINESE)


def test_an_event_of_a_megabyte_arrives_whole(clients: list[Client]) -> None:
    large = "天x" * 250_000
    for client in clients:
        client.listen()
    for client in connected(clients):
        client.sender.send(1, large, 2)
    for client in clients:
        client.until_told([1, large, 2])
