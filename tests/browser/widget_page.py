"""The widget on another site's page, as its reader and as the page uses it."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

from tests.browser.chat_page import ChatPage
from tests.rig.host import DEMO, Host, strict, tag

SHADOW = "document.querySelector('delta-chat').shadowRoot"


class Widget(ChatPage):
    """`widget.visit(); widget.open_panel(); widget.ask("hello").answers(1)`."""

    def __init__(self, page: Page, host: Host, hub: str) -> None:
        super().__init__(page, root=SHADOW)
        self.host, self.hub = host, hub
        self.complaints: list[str] = []
        page.on("console", lambda message: self._note(message.type, message.text))

    def _note(self, kind: str, text: str) -> None:
        if "Deltahub" in text or "Content Security" in text or "Trusted" in text:
            self.complaints.append(text)

    def visit(self, body: str = "", **options: str) -> Widget:
        """Opens a page that has nothing but the tag with these options, under the strict policy."""
        body = body or DEMO.format(tag=tag(self.hub, **options))
        self.page.goto(self.host.page(body, strict(self.hub)))
        self.page.wait_for_function(
            f"() => document.querySelector('delta-chat') && {SHADOW}.childElementCount"
        )
        return self

    def open_panel(self) -> Widget:
        self.page.locator(".launcher").click()
        return self.shown()

    def shown(self) -> Widget:
        self.until(f"() => {SHADOW}?.querySelector('.panel[data-open], .panel.inline')")
        self.until(f"() => {SHADOW}.querySelector('#loading').hidden")
        return self

    @property
    def is_open(self) -> bool:
        return bool(self.page.evaluate(f"() => Boolean({SHADOW}.querySelector('.panel[data-open]'))"))

    def call(self, function: str, arg: Any = None) -> Any:
        """Calls a function of the element: `widget.call("(chat) => chat.open()")`."""
        return self.page.evaluate(
            f"([arg]) => ({function})(document.querySelector('delta-chat'), arg)", [arg]
        )

    def note_events(self) -> None:
        """From now on keeps what the element tells the page."""
        self.call("""(chat) => {
            window.told = [];
            for (const type of ['ready', 'open', 'close', 'message', 'delta', 'error', 'status']) {
                chat.addEventListener(type, ({ detail }) => told.push([type, detail]));
            }
        }""")

    def told(self, *types: str) -> list[Any]:
        all_told: list[list[Any]] = self.page.evaluate("() => window.told")
        return [[kind, detail] for kind, detail in all_told if kind in types]
