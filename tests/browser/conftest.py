"""A real Chromium for the tests of the page and of the browser client, and the page as its reader uses it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

from tests.browser.chat_page import ChatPage
from tests.conftest import SETTINGS
from tests.rig.front import build_front
from tests.rig.host import Host
from tests.rig.optional import missing
from tests.rig.serving import Server
from tests.rig.upstream import ScriptedUpstream

NAMES = ("chromium", "chromium-browser", "google-chrome")
MISSING = "No Chromium here: get it with `apt-get install chromium`"
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NewPage = Callable[..., ChatPage]


@pytest.fixture(scope="session", autouse=True)
def front() -> None:
    """What the pages are made of is built from the sources as they are now."""
    build_front()


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    """Debian's Chromium, not one that playwright brings. Without it tests skip; where CI=true they fail."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        missing(MISSING)
    return {"executable_path": found, "args": ARGS}


@pytest.fixture(scope="session")
def browser_context_args() -> dict[str, Any]:
    return {"locale": "en-US", "viewport": {"width": 1000, "height": 700}}


def complaints_in(context: BrowserContext) -> list[str]:
    """What goes wrong in it from now on: bugs of the page, and what its policy forbade."""
    complaints: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text or "deltahub:" in message.text:
            complaints.append(message.text)

    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.on("console", listen)
    return complaints


@pytest.fixture
def context(context: BrowserContext) -> Iterator[BrowserContext]:
    """A browser of its own for each test, which must not meet a bug of the page nor offend its policy."""
    complaints = complaints_in(context)
    yield context
    assert complaints == []


@pytest.fixture
def chat(page: Page, server: Server) -> ChatPage:
    """The chat page of the shared server, opened by somebody who has never been there."""
    return ChatPage(page).open(server.url)


@pytest.fixture
def new_chat(browser: Browser, server: Server) -> Iterator[NewPage]:
    """`new_chat(locale="zh-CN")`: the page in a browser set up otherwise."""
    contexts: list[BrowserContext] = []
    complaints: list[list[str]] = []

    def make(*, init: str = "", **options: Any) -> ChatPage:
        context = browser.new_context(**{"locale": "en-US", **options})
        contexts.append(context)
        complaints.append(complaints_in(context))
        if init:
            context.add_init_script(init)
        return ChatPage(context.new_page()).open(server.url)

    yield make
    for context in contexts:
        context.close()
    assert not any(complaints)


@pytest.fixture(scope="session")
def site() -> Iterator[Host]:
    """Another site, on a port of its own."""
    with Host() as host:
        yield host


@pytest.fixture(scope="session")
def hub(site: Host, upstream_process: ScriptedUpstream) -> Iterator[Server]:
    """A server that allows that site, and no other."""
    with Server({**SETTINGS, "CORS_ORIGINS": site.url}, upstream_url=upstream_process.url) as server:
        yield server


@pytest.fixture(scope="session")
def bench(browser: Browser) -> Iterator[Page]:
    with browser.new_context() as context:
        yield context.new_page()


@pytest.fixture
def lab(bench: Page, server: Server) -> Page:
    """A new document of the same origin, in which modules are imported and called."""
    bench.goto(f"{server.url}/healthz")
    return bench
