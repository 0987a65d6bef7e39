"""axe-core finds nothing to blame in the page and the widget, in each state, light and dark, large and small.

SHOTS=/a/folder keeps a picture of each.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.chat_page import ChatPage
from tests.browser.widget_page import Widget
from tests.rig import script
from tests.rig.front import MODULES, node
from tests.rig.host import Host
from tests.rig.serving import Server
from tests.rig.upstream import ScriptedUpstream

pytestmark = pytest.mark.browser

SIZES: dict[str, Any] = {
    "desktop": {"viewport": {"width": 1100, "height": 760}},
    "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
}
RICH = {
    "en-US": "## Why the sky is blue\n\nSunlight is **scattered** by the air, and blue light most of all. "
    "See [Rayleigh scattering](https://example.org/rayleigh).\n\n"
    "| Colour | Wavelength |\n|---|---:|\n| blue | 450 nm |\n| red | 700 nm |\n\n"
    "1. Light comes in.\n2. Short waves are sent everywhere.\n\n"
    "```python\n# how much more\nratio = (700 / 450) ** 4\nprint(f'{ratio:.1f} times')\n```\n\n"
    "> It is not the sea.\n",
    "zh-CN": "## 天空为什么是蓝色的\n\n阳光被大气**散射**，其中蓝光最强。**注意：**红光几乎不受影响。"
    "参见[瑞利散射](https://example.org/rayleigh)。\n\n"
    "| 颜色 | 波长 |\n|---|---:|\n| 蓝 | 450 nm |\n| 红 | 700 nm |\n\n"
    "1. 阳光进入大气。\n2. 短波向四面八方散开。\n\n"
    "```python\n# 相差多少\nratio = (700 / 450) ** 4\n```\n",
}
QUESTION = {"en-US": "Why is the sky blue?", "zh-CN": "天空为什么是蓝色的？"}
SEND = {"en-US": "Send", "zh-CN": "发送"}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(scope="module")
def axe() -> str:
    node()  # axe-core comes with it
    return (MODULES / "axe-core" / "axe.min.js").read_text()


def blamed(page: Page, axe: str) -> list[str]:
    page.evaluate(axe)
    run = "async (rules) => (await axe.run(document, { runOnly: rules })).violations"
    found: list[dict[str, Any]] = page.evaluate(run, RULES)
    nodes = [(rule["id"], node) for rule in found for node in rule["nodes"] if not is_the_models(rule, node)]
    return [f"{name}: {node['html'][:200]} {node['failureSummary']}" for name, node in nodes]


def picture(page: Page, name: str) -> None:
    """Kept only where somebody wants to look at it, so it may wait for what moves to stand still."""
    if folder := os.environ.get("SHOTS"):
        page.wait_for_timeout(300)
        page.screenshot(path=Path(folder) / f"{name}.png")


def is_the_models(rule: dict[str, Any], node: dict[str, Any]) -> bool:
    """Which heading a model begins with is its own affair, and no criterion of WCAG's."""
    return rule["id"] == "heading-order" and 'class="md-h' in node["html"]


def states(chat: ChatPage, upstream: ScriptedUpstream, language: str) -> Iterator[str]:
    """Brings the chat from one state to the next and names it."""
    yield "empty"
    text, question = RICH[language], QUESTION[language]
    half = len(text) // 2
    upstream.script(
        script.deltas([text]),
        {"steps": [{"delta": {"reasoning_content": "…"}}, {"delta": text[:half]}, {"hang": 60}]},
        script.cut([text[:60]]),
    )
    chat.ask(question).answers(1)
    chat.until(f"() => {chat.root}.querySelector('.md-line span')")
    yield "done"
    chat.ask(question).until_text("450 nm")
    yield "streaming"
    chat.page.locator("[name=stop]").click()
    chat.answers(2).ask(question).answers(3)
    yield "error"
    chat.page.route("**/chat", lambda route: route.abort())
    chat.ask(question)
    chat.until(f"() => {chat.root}.querySelector('[data-sending=failed]')")
    yield "unsent"


@pytest.mark.parametrize("language", ["en-US", "zh-CN"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_list_of_keys_and_the_greeting_are_not_to_blame_either(
    browser: Browser, hub: Server, site: Host, axe: str, theme: Any, language: str
) -> None:
    with browser.new_context(locale=language, color_scheme=theme, **SIZES["desktop"]) as context:
        page = context.new_page()
        ChatPage(page).open(hub.url)
        page.locator(".ask-keys").click()
        page.locator(".keys").wait_for()
        picture(page, f"page-desktop-{theme}-{language}-keys")
        assert blamed(page, axe) == []
        Widget(page, site, hub.url).visit(greeting=QUESTION[language], lang=language)
        page.locator(".bubble").wait_for()
        picture(page, f"widget-desktop-{theme}-{language}-greeting")
        assert blamed(page, axe) == []


@pytest.mark.parametrize("language", ["en-US", "zh-CN"])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("surface", ["page", "widget"])
def test_nothing_is_to_blame(
    browser: Browser,
    hub: Server,
    site: Host,
    upstream: ScriptedUpstream,
    axe: str,
    surface: str,
    size: str,
    theme: Any,
    language: str,
) -> None:
    with browser.new_context(locale=language, color_scheme=theme, **SIZES[size]) as context:
        page = context.new_page()
        if surface == "page":
            chat = ChatPage(page).open(hub.url)
        else:
            lang = "zh-CN" if language == "zh-CN" else "en"
            chat = Widget(page, site, hub.url).visit(name="Sky", lang=lang).open_panel()
        found = {}
        for state in states(chat, upstream, language):
            picture(page, f"{surface}-{size}-{theme}-{language}-{state}")
            if blame := blamed(page, axe):
                found[state] = blame
        assert not found
