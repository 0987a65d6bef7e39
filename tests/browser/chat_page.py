"""The chat page as its reader sees and uses it: what tests say instead of selectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import Locator, Page, Route

TIMEOUT = 15_000  # ms; no test waits for a time, only for a state
OVER = "['done', 'failed']"


def counted(count: int) -> str:
    """What `script.counted(count)` makes the upstream say."""
    return "".join(f"w{i} " for i in range(count))


class Held:
    """Requests of a page that nobody answers before they are let go: a slow network."""

    def __init__(self, page: Page, pattern: str) -> None:
        self._page, self._pattern = page, pattern
        self._routes: list[Route] = []
        page.route(pattern, lambda route: self._routes.append(route))

    def arrived(self) -> Held:
        """Waits until one is held."""
        for _ in range(100):
            if self._routes:
                return self
            self._page.wait_for_timeout(50)
        raise AssertionError(f"nothing like {self._pattern} was asked for")

    def let_go(self) -> None:
        for route in self.arrived()._routes:
            route.continue_()
        self._page.unroute(self._pattern)


class ChatPage:
    """`chat.ask("hello"); chat.answers(1); chat.text`. The newest answer is meant where none is named.

    root: JavaScript for what the chat stands in, the page itself or a shadow root.
    """

    def __init__(self, page: Page, root: str = "document") -> None:
        self.page, self.root = page, root
        page.set_default_timeout(TIMEOUT)

    def open(self, url: str) -> ChatPage:
        self.page.goto(f"{url}/")
        return self.ready()

    def reload(self) -> ChatPage:
        self.page.reload()
        return self.ready()

    def ready(self) -> ChatPage:
        self.until(
            "() => document.documentElement.dataset.ready && document.querySelector('#loading').hidden"
        )
        return self

    def second_tab(self, url: str) -> ChatPage:
        return ChatPage(self.page.context.new_page()).open(url)

    def type(self, text: str) -> None:
        self.page.bring_to_front()  # as for a reader; the browser draws a tab behind others once a second
        self.page.fill("#message", text)

    def ask(self, text: str = "hello") -> ChatPage:
        """Types and sends; returns at once."""
        self.type(text)
        self.page.press("#message", "Enter")
        return self

    def answers(self, count: int) -> ChatPage:
        """Waits until that many answers stand there and the newest is over."""
        self.until(
            f"""(count) => {{
            const all = [...{self.root}.querySelectorAll('.answer')];
            return all.length === count && {OVER}.includes(all.at(-1).dataset.phase);
        }}""",
            count,
        )
        return self

    def until(self, function: str, arg: Any = None) -> None:
        """Waits until a JavaScript function of `arg` gives true; mere expressions the policy forbids."""
        self.page.wait_for_function(function, arg=arg)

    def until_text(self, part: str) -> ChatPage:
        """Waits until an answer holds this text."""
        texts = f"[...{self.root}.querySelectorAll('.answer > .text')]"
        self.until(f"(part) => {texts}.some((text) => text.textContent.includes(part))", part)
        return self

    def until_says(self, words: str) -> ChatPage:
        """Waits until these words can be seen anywhere on the page."""
        where = "document.body" if self.root == "document" else f"{self.root}?.querySelector('.chat')"
        self.until(f"(words) => {where}?.innerText.includes(words)", words)
        return self

    @property
    def texts(self) -> list[str]:
        """The text of every answer."""
        return self._all(".answer > .text:not(.refusal)")

    @property
    def text(self) -> str:
        return self.texts[-1]

    @property
    def questions(self) -> list[str]:
        return self._all(".question > .text")

    @property
    def turns(self) -> list[str]:
        """The text of questions, answers and the server's own lines, in the order shown."""
        text = "(turn) => (turn.querySelector(':scope > .text:not(.refusal)') ?? turn).textContent"
        return list(self.page.eval_on_selector_all("#log > .turn", f"(turns) => turns.map({text})"))

    @property
    def state(self) -> str:
        """The words under the newest answer."""
        return self.page.locator(".answer .state").last.inner_text()

    @property
    def problem(self) -> str:
        """The words of what went wrong, "" where nothing did."""
        shown = self.page.locator(".problem:visible .words")
        return shown.last.inner_text() if shown.count() else ""

    @property
    def draft(self) -> str:
        return self.page.input_value("#message")

    @property
    def spoken(self) -> str:
        """What a screen reader was told last."""
        return self.page.text_content("#status") or ""

    def note_spoken(self) -> Callable[[], list[str]]:
        """From now on keeps what a screen reader is told; gives what gives it."""
        self.page.evaluate(f"""() => {{
            window.said = [];
            const status = {self.root}.querySelector('#status');
            new MutationObserver(() => said.push(status.textContent)).observe(status, {{ childList: true }});
        }}""")
        return lambda: list(self.page.evaluate("() => window.said"))

    def _all(self, selector: str) -> list[str]:
        texts = "(found) => found.map((element) => element.textContent)"
        return list(self.page.eval_on_selector_all(selector, texts))

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def record_lengths(self) -> None:
        """From now on notes every length of the newest answer that can be seen while it is written."""
        self.page.evaluate("""() => {
            window.lengths = new Set();
            const look = () => {
                const answer = [...document.querySelectorAll('.answer')].at(-1);
                const text = answer?.querySelector(':scope > .text').textContent;
                if (answer?.dataset.phase === 'writing') lengths.add(text.length);
                requestAnimationFrame(look);
            };
            look();
        }""")

    @property
    def lengths(self) -> list[int]:
        lengths: list[int] = self.page.evaluate("[...window.lengths]")
        return lengths
