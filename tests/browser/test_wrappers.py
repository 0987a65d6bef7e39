"""The wrappers of docs/widget.md, taken from there, in apps of React and Vue on a site of another origin."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import ConsoleMessage, Page

from tests.browser.widget_page import Widget
from tests.conftest import SETTINGS
from tests.rig import script
from tests.rig.front import ROOT, node
from tests.rig.host import Host, tag
from tests.rig.reading import eventually
from tests.rig.serving import Server
from tests.rig.upstream import ScriptedUpstream

pytestmark = pytest.mark.browser

WRAPPERS = {"react.jsx": "jsx", "vue.js": "vue"}
BODY = """<!doctype html>
<html lang="en"><head><title>A shop</title></head>
<body>{tag}<div id="app"></div><script src="/app.js"></script></body></html>"""


def written(kind: str) -> str:
    """The one piece of that language in the page about the widget."""
    [code] = re.findall(rf"```{kind}\n(.*?)```", (ROOT / "docs" / "widget.md").read_text(), re.DOTALL)
    return str(code)


class App(Widget):
    """`app.show(name="Tea")` renders the wrapper with these options; `app.hide()` takes it away."""

    def start(self, headers: dict[str, str] | None = None, tag: str = "") -> App:
        self.page.goto(self.host.page(BODY.format(tag=tag), headers))
        self.until("() => window.app")
        return self

    def show(self, **options: str) -> App:
        given = {"hub": self.hub, **{name.replace("_", "-"): value for name, value in options.items()}}
        self.page.evaluate("(given) => app.show(given)", given)
        self.until("() => document.querySelector('delta-chat')?.shadowRoot?.childElementCount")
        return self

    def hide(self) -> None:
        self.page.evaluate("() => app.hide()")
        self.until("() => !document.querySelector('delta-chat')")

    def count(self, selector: str) -> int:
        found: int = self.page.evaluate("(selector) => document.querySelectorAll(selector).length", selector)
        return found

    def heard(self) -> list[Any]:
        """What the page's own `onMessage` was told."""
        found: list[Any] = self.page.evaluate("() => window.told")
        return found


@pytest.fixture(scope="session")
def bundles() -> dict[str, str]:
    return {
        app: subprocess.run(
            [node(), "tests/browser/wrappers/bundle.mjs", app],
            cwd=ROOT,
            input=written(kind),
            capture_output=True,
            text=True,
            check=True,
            timeout=100,
        ).stdout
        for app, kind in WRAPPERS.items()
    }


@pytest.fixture(scope="session")
def hub(shop: Host, upstream_process: ScriptedUpstream) -> Iterator[Server]:
    with Server({**SETTINGS, "CORS_ORIGINS": shop.url}, upstream_url=upstream_process.url) as server:
        yield server


@pytest.fixture(scope="session")
def shop() -> Iterator[Host]:
    with Host() as host:
        yield host


@pytest.fixture(params=WRAPPERS)
def app(
    request: pytest.FixtureRequest, page: Page, shop: Host, hub: Server, bundles: dict[str, str]
) -> Iterator[App]:
    """In which the framework, the page and the widget must have found nothing to complain of."""
    shop.scripts["/app.js"] = bundles[request.param]
    app = App(page, shop, hub.url)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if is_complaint(message) else None)
    yield app
    assert said == []


def is_complaint(message: ConsoleMessage) -> bool:
    return message.type in ("error", "warning") and "favicon" not in message.location["url"]


@pytest.mark.parametrize("kind", WRAPPERS.values())
def test_it_is_at_most_thirty_lines(kind: str) -> None:
    assert len(written(kind).splitlines()) <= 30


def test_a_question_is_answered_and_the_page_hears_of_both_once(app: App, upstream: ScriptedUpstream) -> None:
    upstream.script(script.deltas(["Tea **wakes**."]))
    app.start().show(name="Tea advice", floating="")
    app.open_panel()
    app.until_says("Tea advice")
    app.ask("Does it wake?").answers(1)
    eventually(lambda: len(app.heard()) == 2)
    assert app.heard() == [["user", "Does it wake?"], ["assistant", "Tea **wakes**."]]


def test_there_is_one_of_everything(app: App) -> None:
    """Though StrictMode mounts all twice, and the page renders it again."""
    streams: list[str] = []
    app.page.on(
        "request", lambda request: streams.append(request.url) if "createConnect" in request.url else None
    )
    app.start().show(floating="")
    app.show(floating="", name="Tea")
    app.open_panel()
    app.until_says("Tea")
    eventually(lambda: streams)
    assert app.count("delta-chat") == 1
    assert app.count("script[src$='/widget.js']") == 1
    assert app.page.locator(".launcher").count() == 1
    assert len(streams) == 1


def test_what_is_taken_away_is_gone_and_comes_back_as_it_was(app: App, upstream: ScriptedUpstream) -> None:
    upstream.script(script.deltas(["Yes."]))
    app.start().show()
    app.shown().ask("Tea?").answers(1)
    ended: list[str] = []
    for event in ("requestfailed", "requestfinished"):
        app.page.on(event, lambda request: ended.append(request.url))
    app.hide()
    eventually(lambda: any("createConnect" in url for url in ended))
    app.show()
    app.shown().answers(1)
    assert app.text == "Yes."
    app.ask("And now?").answers(2)
    assert [role for role, _ in app.heard()] == ["user", "assistant"] * 2


def test_options_reach_the_chat_and_change_with_the_page(app: App) -> None:
    app.start().show(floating="", name="Tea", greeting="Which tea?", lang="zh-CN")
    app.hide()
    # What is called as an option is called, the element being known by now.
    app.show(floating="", name="Tea", greeting="Which tea?", open="")
    app.shown().until_says("Which tea?")
    assert app.call("(chat) => typeof chat.open") == "function"
    app.show(floating="", name="Coffee", open="")
    app.until_says("Coffee")
    app.until_says("What would you like to know?")
    assert app.count("delta-chat") == 1


def test_the_token_is_the_pages(app: App) -> None:
    tokens: list[str] = []
    app.page.on("request", lambda request: tokens.append(request.headers.get("authorization", "")))
    app.start()
    for token in ("first", "second"):
        given = {"hub": app.hub, "token": token}
        app.page.evaluate("({ hub, token }) => app.show({ hub, getToken: async () => token })", given)
        app.until("() => document.querySelector('delta-chat')?.shadowRoot?.childElementCount")
        app.shown()
        eventually(lambda token=token: f"Bearer {token}" in tokens)
        app.hide()
    assert set(tokens) == {"", "Bearer first", "Bearer second"}


def test_under_the_strictest_policy_the_page_brings_the_tag_itself(
    app: App, upstream: ScriptedUpstream
) -> None:
    rules = f"default-src 'none'; script-src 'self' {app.hub}; connect-src {app.hub}"
    policy = {"Content-Security-Policy": f"{rules}; require-trusted-types-for 'script'"}
    upstream.script(script.deltas(["Yes."]))
    app.start(policy, tag(app.hub, manual="")).show(floating="")
    app.open_panel()
    app.ask("Tea?").answers(1)
    assert app.text == "Yes."
    assert app.count("script[src$='/widget.js']") == 1
