"""The chat page in several tabs of one browser: one stream for all of them, and every tab shows all."""

from __future__ import annotations

import json
import urllib.request

import pytest
from playwright.sync_api import BrowserContext

from tests.browser.chat_page import ChatPage, counted
from tests.rig import script
from tests.rig.reading import eventually
from tests.rig.serving import Server
from tests.rig.upstream import ScriptedUpstream

pytestmark = pytest.mark.browser

WORDS = 150


def connections(server: Server, chat: ChatPage) -> int:
    client = chat.page.evaluate(
        "() => Object.entries(localStorage).find(([key]) => key.includes('client'))[1]"
    )
    with urllib.request.urlopen(f"{server.url}/sse/clients/{client.strip(chr(34))}") as response:
        return int(json.load(response)["connections"])


def test_seven_tabs_at_once_all_work(
    server: Server, upstream: ScriptedUpstream, context: BrowserContext, chat: ChatPage
) -> None:
    upstream.script(default=script.counted(WORDS, gap=0.005))
    chat.ask("first").answers(1)
    tabs = [chat, *(ChatPage(context.new_page()) for _ in range(6))]
    for tab in tabs[1:]:
        tab.page.goto(f"{server.url}/", wait_until="commit")
    for tab in tabs[1:]:
        tab.ready().answers(1)
    tabs[6].ask("second")
    for tab in tabs:
        tab.answers(2)
        assert tab.questions == ["first", "second"]
        assert tab.texts == [counted(WORDS)] * 2
    eventually(lambda: connections(server, chat) == 1)


def test_the_tab_that_holds_the_stream_closes_in_the_middle_of_an_answer(
    server: Server, upstream: ScriptedUpstream, context: BrowserContext, chat: ChatPage
) -> None:
    upstream.script(default=script.counted(WORDS, gap=0.02))
    others = [ChatPage(context.new_page()).open(server.url) for _ in range(2)]
    chat.ask("hello").until_text("w5 ")
    chat.page.close()
    for tab in others:
        tab.answers(1)
        assert tab.texts == [counted(WORDS)]
    eventually(lambda: connections(server, others[0]) == 1)


def test_a_tab_that_is_reloaded_in_the_middle_of_an_answer_loses_and_repeats_nothing_in_any(
    server: Server, upstream: ScriptedUpstream, context: BrowserContext, chat: ChatPage
) -> None:
    upstream.script(default=script.counted(WORDS, gap=0.02))
    other = ChatPage(context.new_page()).open(server.url)
    chat.ask("hello").until_text("w5 ")
    for tab in (chat, other, chat):
        tab.reload().until_text("w9 ")
    for tab in (chat, other):
        tab.answers(1)
        assert tab.texts == [counted(WORDS)]
