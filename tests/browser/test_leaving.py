"""Left in the middle: a new chat, another user or language while a question is on its way; junk in storage;
and who listens or prints."""

from __future__ import annotations

import json

import pytest
import requests
from playwright.sync_api import Page, Route, expect

from tests.browser.chat_page import ChatPage, Held
from tests.browser.conftest import NewPage
from tests.browser.widget_page import SHADOW, Widget
from tests.rig import script
from tests.rig.host import Host, tag
from tests.rig.reading import eventually
from tests.rig.serving import Server
from tests.rig.upstream import ScriptedUpstream

pytestmark = pytest.mark.browser


@pytest.fixture
def widget(page: Page, site: Host, hub: Server, upstream: ScriptedUpstream) -> Widget:
    upstream.script(default=script.deltas(["yes"]))
    return Widget(page, site, hub.url)


def messages(upstream: ScriptedUpstream) -> list[list[str]]:
    """What each question told the model, system messages and all."""
    return [[m["content"] for m in asked["body"]["messages"]] for asked in upstream.state()["requests"]]


def test_a_new_chat_while_a_question_is_on_its_way_knows_nothing_of_it(
    chat: ChatPage, upstream: ScriptedUpstream
) -> None:
    upstream.script(default=script.deltas(["yes"]))
    held = Held(chat.page, "**/chat")
    chat.ask("an old secret")
    held.arrived()
    chat.page.click("#new-chat")
    held.let_go()
    eventually(lambda: messages(upstream) == [["an old secret"]])
    chat.ask("a new question").answers(1)
    assert messages(upstream)[-1] == ["a new question"]
    assert chat.questions == ["a new question"]


def test_a_question_typed_while_the_user_changes_is_told_nothing_of_the_next_user(
    widget: Widget, upstream: ScriptedUpstream
) -> None:
    """However slowly the words for the next one come, and each is in the chat of whom it was asked as."""
    widget.visit().open_panel()
    widget.call("(chat) => chat.setUser({ id: 'ann' })")
    widget.shown()
    held: list[Route] = []
    widget.page.route("**/slow.json", lambda route: held.append(route))
    widget.call(
        "(chat) => { chat.setAttribute('texts', `${chat.hub}slow.json`); chat.setUser({ id: 'bob' }); }"
    )
    widget.ask("as ann").answers(1)
    assert "bob" not in str(messages(upstream)[-1])
    assert "ann" in str(messages(upstream)[-1])
    for route in held:
        route.fulfill(json={}, headers={"Access-Control-Allow-Origin": "*"})
    widget.until(f"() => !{SHADOW}.querySelector('.question')")
    assert widget.questions == []


def test_a_chat_put_up_anew_while_a_question_is_on_its_way_tells_of_it_once(
    widget: Widget, upstream: ScriptedUpstream
) -> None:
    widget.visit().open_panel().note_events()
    held = Held(widget.page, "**/chat")
    widget.ask("hello")
    held.arrived()
    widget.call("(chat) => chat.setLang('zh-CN')")
    widget.until_says("新对话")
    held.let_go()
    widget.answers(1)
    asked = [detail["text"] for _, detail in widget.told("message") if detail["role"] == "user"]
    assert asked == ["hello"]
    widget.until(f"() => {SHADOW}.querySelector('#message').value === ''")
    assert widget.questions == ["hello"]


def test_how_it_looks_changes_while_somebody_types(widget: Widget) -> None:
    widget.visit(color="#aa0000").open_panel()
    box = widget.page.locator("#message")
    box.press_sequentially("one ")
    widget.call("(chat) => { chat.setAttribute('theme', 'dark'); chat.removeAttribute('color'); }")
    widget.until(f"() => {SHADOW}.querySelector('.chat').dataset.theme === 'dark'")
    widget.page.keyboard.type("two")
    assert box.input_value() == "one two"
    for part in (".chat", ".launcher"):
        assert widget.page.locator(part).evaluate("(element) => element.style.cssText") == ""


def test_a_panel_that_opens_by_itself_leaves_the_focus_where_it_is(
    widget: Widget, site: Host, hub: Server
) -> None:
    field = "<input autofocus aria-label=Tea>"
    widget.visit(f"<!doctype html><title>A form</title>{field}{tag(hub.url, open='')}").shown()
    expect(widget.page.get_by_label("Tea")).to_be_focused()


def test_a_question_that_can_not_be_asked_now_is_refused_in_words(widget: Widget) -> None:
    widget.visit().open_panel().ask("one").answers(1)
    widget.visit(get_token="no.such.function")
    why = widget.call("(chat) => chat.send('hello').then(() => '', (error) => error.message)")
    assert "still being loaded" in why


# Where there is a storage: a page that is still empty has none.
PUT = """((key, value) => {
    if (location.origin === 'null') return;
    for (const place of [localStorage, sessionStorage]) place.setItem(key, value);
})"""
JUNK = [
    "{",
    "null",
    "[]",
    '"',
    '{"body":1}',
    '{"generationId":{},"content":7,"body":[]}',
    "\ud800",
    "x" * 5_000,
]


@pytest.mark.parametrize("name", ["client", "conversation", "unsent", "since", "lines", "draft"])
def test_junk_in_the_storage_keeps_nobody_out(
    new_chat: NewPage, upstream: ScriptedUpstream, name: str
) -> None:
    upstream.script(default=script.deltas(["yes"]))
    for junk in JUNK:
        chat = new_chat(init=PUT + f"('deltahub.{name}', {json.dumps(junk)})")
        chat.ask("hello").answers(1)
        assert chat.questions[-1] == "hello"


def test_a_listener_is_told_what_was_not_sent_what_can_not_be_and_what_the_server_pushed(
    chat: ChatPage, server: Server, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.deltas(["yes"]))
    chat.ask("one").answers(1)
    client = chat.page.evaluate("() => localStorage.getItem('deltahub.client')")
    sent = {"clientId": client, "data": "Your tea has left."}
    assert requests.post(f"{server.url}/sse/send", json=sent, timeout=5).status_code == 200
    expect(chat.page.locator("#status")).to_have_text("Your tea has left.")
    chat.page.route("**/chat", lambda route: route.abort())
    chat.ask("two")
    expect(chat.page.locator("#status")).to_have_text("Not sent. The server could not be reached.")
    chat.page.unroute("**/chat")
    upstream.script({"steps": [{"delta": "a"}, {"hang": 60}]})
    chat.page.get_by_role("button", name="Send again").click()
    expect(chat.page.locator("#status")).to_have_text("Answering")
    chat.ask("three")
    expect(chat.page.locator("#status")).to_have_text(
        "One answer at a time: stop this one or wait for its end."
    )


def test_on_paper_stands_the_whole_conversation_and_nothing_to_press(
    chat: ChatPage, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.deltas(["line\n\n"] * 200))
    chat.ask().answers(1)
    chat.page.emulate_media(media="print")
    height, seen = chat.page.evaluate(
        "() => [document.documentElement.scrollHeight, document.querySelector('.answer').offsetHeight]"
    )
    assert height > seen > 3_000
    expect(chat.page.locator("#message")).to_be_hidden()
