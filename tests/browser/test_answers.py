"""The main promise, as it is seen: text grows as it comes, and ends whole and once whatever happens."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, Route

from tests.browser.chat_page import ChatPage, counted
from tests.browser.conftest import NewPage
from tests.conftest import Serve
from tests.rig import script
from tests.rig.reading import eventually
from tests.rig.serving import Server
from tests.rig.upstream import ScriptedUpstream

pytestmark = pytest.mark.browser

CHINESE = "天空之所以是蓝色的，是因为阳光进入大气层后发生散射。🌤️ 家人：👨‍👩‍👧‍👦，旗帜：🇨🇳。到此为止🎉"


def test_text_is_seen_growing_in_many_lengths_before_the_answer_is_done(
    chat: ChatPage, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.counted(40, gap=0.04))
    chat.record_lengths()
    chat.ask().answers(1)
    assert chat.text == counted(40)
    assert len(chat.lengths) >= 10
    assert chat.lengths == sorted(chat.lengths)


def test_reloads_in_mid_answer_end_with_the_same_text(chat: ChatPage, upstream: ScriptedUpstream) -> None:
    upstream.script(script.counted(60, gap=0.04))
    chat.ask()
    for place in ("w3 ", "w15 ", "w30 "):
        chat.until_text(place)
        chat.reload()
    chat.answers(1)
    assert (chat.questions, chat.text) == (["hello"], counted(60))
    assert len(upstream.state()["requests"]) == 1


def test_who_leaves_and_returns_finds_what_was_written_meanwhile_and_the_rest(
    chat: ChatPage, server: Server, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.counted(60, gap=0.04))
    chat.ask().until_text("w5 ")
    chat.page.goto(f"{server.url}/healthz")
    eventually(lambda: upstream.state()["requests"][-1]["sent"] > 30)
    chat.page.go_back()
    chat.ready().answers(1)
    assert (chat.questions, chat.text) == (["hello"], counted(60))
    assert len(upstream.state()["requests"]) == 1


def test_a_second_tab_reads_along_and_ends_with_the_same_text(
    chat: ChatPage, server: Server, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.counted(50, gap=0.04), script.counted(20, gap=0.02))
    early = chat.second_tab(server.url)
    chat.ask("first").until_text("w10 ")
    late = chat.second_tab(server.url)
    tabs = (chat, early, late)
    for tab in tabs:
        tab.answers(1)
    late.ask("second")
    for tab in tabs:
        tab.answers(2)
        assert tab.questions == ["first", "second"]
        assert tab.texts == [counted(50), counted(20)]


def test_stop_freezes_the_text_and_it_does_not_grow_back_after_a_reload(
    chat: ChatPage, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.counted(2_000, gap=0.02))
    chat.ask().until_text("w5 ")
    chat.button("Stop the answer").click()
    chat.answers(1)
    text = chat.text
    assert chat.state.startswith("Stopped")
    assert counted(2_000).startswith(text)
    eventually(lambda: upstream.state()["open"] == 0)
    chat.reload().answers(1)
    assert chat.text == text
    assert chat.state.startswith("Stopped")


def test_escape_stops_too_and_the_box_is_ready_for_the_next_question(
    chat: ChatPage, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.cut(["so far"], "hang"), script.deltas(["again"]))
    chat.ask().until_text("so far")
    chat.page.keyboard.press("Escape")
    chat.answers(1).ask("and now?").answers(2)
    assert chat.texts == ["so far", "again"]


def test_a_conversation_goes_on_over_turns_and_over_a_reload(
    chat: ChatPage, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.deltas(["one"]), script.deltas(["two"]), script.deltas(["three"]))
    chat.ask("a").answers(1).ask("b").answers(2)
    chat.reload().answers(2).ask("c").answers(3)
    said = [(m["role"], m["content"]) for m in upstream.state()["requests"][-1]["body"]["messages"]]
    told = [("user", "a"), ("assistant", "one"), ("user", "b"), ("assistant", "two"), ("user", "c")]
    assert said[-5:] == told
    assert chat.texts == ["one", "two", "three"]


def test_chinese_with_emoji_is_there_to_the_last_character(
    new_chat: NewPage, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.deltas(list(CHINESE), gap=0.005, slice=7))
    chat = new_chat(locale="zh-CN")
    chat.ask("天空为什么是蓝色的？🙂").answers(1)
    assert chat.questions == ["天空为什么是蓝色的？🙂"]
    assert chat.text == CHINESE
    assert chat.state.startswith("已完成")


@pytest.fixture
def plain(page: Page, server: Server) -> ChatPage:
    """The chat where the module that draws Markdown cannot be had."""
    page.route("**/static/dist/markdown-*", lambda route: route.abort())
    return ChatPage(page).open(server.url)


def test_line_breaks_and_markup_are_shown_as_they_were_written_where_there_is_no_markdown(
    plain: ChatPage, upstream: ScriptedUpstream
) -> None:
    text = "a\n\n  <b>bold?</b> <script>alert(1)</script>\r\n&amp;\tend\n"
    upstream.script(script.deltas([text]))
    plain.ask("<i>hi</i>").answers(1)
    assert (plain.questions, plain.text) == (["<i>hi</i>"], text)


def test_a_plain_text_in_many_blocks_is_the_same_text(plain: ChatPage, upstream: ScriptedUpstream) -> None:
    upstream.script(script.counted(1_500, text="line {i}\n\nof many\n"))
    plain.ask().answers(1)
    assert plain.text == "".join(f"line {i}\n\nof many\n" for i in range(1_500))
    assert plain.page.locator(".answer > .text > div").count() > 3


def test_markup_in_an_answer_is_read_and_not_run(chat: ChatPage, upstream: ScriptedUpstream) -> None:
    upstream.script(script.deltas(["**bold** <script>alert(1)</script>\n\n", "<img src=x onerror=alert(1)>"]))
    chat.ask().answers(1)
    assert chat.page.locator(".answer .text strong").inner_text() == "bold"
    assert "<script>alert(1)</script>" in chat.text
    assert "<img src=x onerror=alert(1)>" in chat.text
    assert chat.page.locator(".answer :is(script, img)").count() == 0


def test_a_text_of_many_paragraphs_is_there_whole(chat: ChatPage, upstream: ScriptedUpstream) -> None:
    upstream.script(script.counted(1_500, text="line {i}\n\nof many\n\n"))
    chat.ask().answers(1)
    chat.until("() => document.querySelectorAll('.answer .md p').length === 3000")
    assert chat.text == "".join(f"line {i}of many" for i in range(1_500))


def test_reasoning_is_folded_away_and_can_be_opened(chat: ChatPage, upstream: ScriptedUpstream) -> None:
    thoughts = [{"delta": {"reasoning_content": t}} for t in ("Let me ", "think.")]
    upstream.script({"steps": [*thoughts, {"delta": "42"}, *script.ENDING]})
    chat.ask().answers(1)
    assert chat.text == "42"
    assert not chat.page.get_by_text("Let me think.").is_visible()
    chat.page.locator(".thoughts summary").click()
    assert chat.page.get_by_text("Let me think.").is_visible()


def test_a_new_chat_leaves_the_old_answer_to_the_other_tab(
    chat: ChatPage, server: Server, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.counted(40, gap=0.04), script.deltas(["something else"]))
    other = chat.second_tab(server.url)
    chat.ask("first").until_text("w3 ")
    chat.button("New chat").click()
    chat.ask("second").answers(1)
    other.answers(1)
    assert (chat.questions, chat.texts) == (["second"], ["something else"])
    assert (other.questions, other.texts) == (["first"], [counted(40)])
    assert chat.reload().answers(1).questions == ["second"]


def test_a_starter_question_is_sent_by_one_click(chat: ChatPage, upstream: ScriptedUpstream) -> None:
    upstream.script(script.deltas(["Because."]))
    starter = chat.page.locator("[data-starter]").first
    question = starter.inner_text()
    starter.click()
    chat.answers(1)
    assert (chat.questions, chat.text) == ([question], "Because.")


def test_the_page_works_under_a_prefix(page: Page, serve: Serve, upstream: ScriptedUpstream) -> None:
    upstream.script(script.counted(10))
    chat = ChatPage(page).open(serve(URL_PREFIX="/hub").url)
    chat.ask().answers(1)
    assert chat.reload().answers(1).text == counted(10)


def test_a_question_whose_reply_was_lost_is_not_asked_twice(
    chat: ChatPage, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.counted(10, gap=0.01))

    def lose(route: Route) -> None:
        route.fetch()
        route.abort()

    chat.page.route("**/chat", lose, times=1)
    chat.ask().answers(1)
    chat.until("() => document.querySelector('#message').value === ''")
    assert chat.text == counted(10)
    assert len(upstream.state()["requests"]) == 1
