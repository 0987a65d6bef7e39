"""For whom the page is: any language, keyboard, screen, screen reader; nobody loses the place they read."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.chat_page import ChatPage, counted
from tests.browser.conftest import NewPage
from tests.rig import script
from tests.rig.serving import ROOT
from tests.rig.upstream import ScriptedUpstream

pytestmark = pytest.mark.browser

SOURCE = ROOT / "static" / "src"
PHONE = {"viewport": {"width": 360, "height": 640}, "is_mobile": True, "has_touch": True}
FROM_END = """() => {
    const { scrollHeight, clientHeight, scrollTop } = document.querySelector('#scroller');
    return scrollHeight - clientHeight - scrollTop;
}"""
TOP = "() => document.querySelector('#scroller').scrollTop"


def test_enter_that_picks_a_word_of_an_input_method_does_not_send(
    chat: ChatPage, upstream: ScriptedUpstream
) -> None:
    chat.page.focus("#message")
    keyboard = chat.page.context.new_cdp_session(chat.page)
    keyboard.send("Input.imeSetComposition", {"text": "ni hao", "selectionStart": 6, "selectionEnd": 6})
    for how in ({"isComposing": True}, {"keyCode": 229}):
        chat.page.dispatch_event("#message", "keydown", {"key": "Enter", "bubbles": True, **how})
    assert chat.questions == []
    keyboard.send("Input.insertText", {"text": "你好"})
    chat.page.press("#message", "Enter")
    chat.answers(1)
    assert chat.questions == ["你好"]


def test_shift_and_enter_make_a_new_line_and_the_box_grows(chat: ChatPage) -> None:
    height = "() => document.querySelector('#message').clientHeight"
    before = chat.page.evaluate(height)
    chat.type("one")
    chat.page.press("#message", "Shift+Enter")
    chat.page.keyboard.type("two")
    assert chat.draft == "one\ntwo"
    assert chat.page.evaluate(height) > before


@pytest.mark.parametrize("way", ["?", "button"])
def test_the_list_of_keys_opens_closes_by_escape_and_gives_the_focus_back(
    chat: ChatPage, upstream: ScriptedUpstream, way: str
) -> None:
    upstream.script(script.cut(["half"], "hang"))
    loaded: list[str] = []
    chat.page.on("request", lambda request: loaded.append(request.url))
    chat.ask().until_text("half")
    assert not [url for url in loaded if "/keys-" in url]  # not before somebody asks for it
    opener = chat.button("New chat") if way == "?" else chat.button("Keyboard shortcuts")
    opener.focus()
    chat.page.keyboard.press("?" if way == "?" else "Enter")
    dialog = chat.page.get_by_role("dialog", name="Keyboard shortcuts")
    dialog.get_by_text("Stop the answer").wait_for()
    chat.page.keyboard.press("?")
    assert chat.page.get_by_role("dialog").count() == 1
    chat.page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    assert opener.evaluate("(button) => button === document.activeElement")
    assert chat.button("Stop the answer").is_visible()  # Esc was for the list


def test_a_question_mark_in_the_box_is_a_question_mark(chat: ChatPage) -> None:
    chat.page.focus("#message")
    chat.page.keyboard.type("why?")
    assert chat.draft == "why?"
    assert chat.page.get_by_role("dialog").count() == 0


def test_the_list_of_keys_is_in_the_readers_language(new_chat: NewPage) -> None:
    chat = new_chat(locale="zh-CN")
    chat.button("键盘快捷键").click()
    dialog = chat.page.get_by_role("dialog", name="键盘快捷键")
    dialog.get_by_text("停止回答").wait_for()
    words = re.findall(r"[A-Za-z]{2,}", dialog.inner_text())
    assert set(words) == {"Enter", "Shift", "Esc"}
    dialog.get_by_role("button", name="关闭").click()
    dialog.wait_for(state="detached")


def test_a_blank_message_is_not_sent(chat: ChatPage) -> None:
    chat.ask("  \n ")
    assert chat.questions == []
    assert chat.button("Send").is_disabled()


def test_a_phone_has_no_sideways_scroll_and_targets_for_fingers(
    new_chat: NewPage, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.deltas(["x" * 600, " https://example.org/" + "y" * 300, "长" * 400]))
    chat = new_chat(**PHONE)
    chat.ask("z" * 300).answers(1)
    sizes = chat.page.evaluate("""() => [...document.querySelectorAll('button, summary, textarea')]
        .map((element) => element.getBoundingClientRect()).filter(({ width }) => width > 0)
        .map(({ width, height }) => Math.min(width, height))""")
    assert min(sizes) >= 44
    for name in (":root", "#scroller"):
        wide = (
            f"() => {{ const e = document.querySelector('{name}'); return e.scrollWidth - e.clientWidth; }}"
        )
        assert chat.page.evaluate(wide) == 0, name
    assert chat.page.evaluate("() => getComputedStyle(document.querySelector('#message')).fontSize") == "16px"


def test_the_end_is_followed_until_the_reader_scrolls_up_and_again_by_the_button(
    chat: ChatPage, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.counted(250, gap=0.01, text="line {i}\n"))
    chat.ask().until_text("line 60\n")
    assert chat.page.evaluate(FROM_END) <= 1
    chat.page.mouse.move(500, 300)
    chat.page.mouse.wheel(0, -300)
    down = chat.button("Go to the newest text")
    down.wait_for()
    top = chat.page.evaluate(TOP)
    chat.until_text("line 120\n")
    assert chat.page.evaluate(TOP) == top
    down.click()
    chat.answers(1)
    assert chat.page.evaluate(FROM_END) <= 1
    assert not down.is_visible()


def test_a_screen_reader_hears_the_start_and_once_the_whole_answer(
    chat: ChatPage, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.counted(20, gap=0.03))
    chat.page.evaluate("""() => {
        window.said = [];
        new MutationObserver(() => said.push(document.querySelector('#status').textContent))
            .observe(document.querySelector('#status'), { childList: true });
    }""")
    chat.ask().answers(1)
    chat.until("() => said.length === 2")
    assert chat.page.evaluate("() => said") == ["Answering", counted(20)]
    log = chat.page.get_by_role("log")
    assert (log.get_attribute("aria-live"), log.get_attribute("aria-busy")) == ("off", "false")


def test_the_focus_stays_where_it_is_while_an_answer_comes(
    chat: ChatPage, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.counted(10, gap=0.02))
    chat.ask()
    chat.button("New chat").focus()
    chat.answers(1)
    assert chat.page.evaluate("() => document.activeElement.id") == "new-chat"


@pytest.mark.parametrize(
    ("languages", "language"),
    [
        (["zh-TW", "en"], "zh-CN"),
        (["de", "en-GB", "zh"], "en"),
        (["fr"], "en"),
        ([], "en"),
        (["constructor"], "en"),
    ],
)
def test_the_first_known_language_of_the_reader_is_taken(
    lab: Page, languages: list[str], language: str
) -> None:
    pick = "async (languages) => (await import('/static/src/chat/words.js')).pickLanguage(languages)"
    assert lab.evaluate(pick, languages) == language


def texts_of(lab: Page, language: str) -> dict[str, str]:
    read = "async (name) => (await import(`/static/src/chat/words/${name}.js`)).default"
    texts: dict[str, str] = lab.evaluate(read, language)
    return texts


def test_both_languages_have_every_text_with_the_same_places(lab: Page) -> None:
    english, chinese = (texts_of(lab, language) for language in ("en", "zh-CN"))
    assert english.keys() == chinese.keys()
    for key, text in english.items():
        assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", chinese[key])), key


def test_every_text_that_is_asked_for_is_there_and_every_code_has_words(lab: Page) -> None:
    known = set(texts_of(lab, "en"))
    asked = set()
    for folder in ("chat", "page", "widget"):
        for module in (SOURCE / folder).glob("*.js"):
            asked |= set(re.findall(r"""\bt\('([\w.]+)'""", module.read_text()))
    assert len(asked) > 50
    protocol = Path(ROOT / "docs" / "protocol.md").read_text()
    row = next(line for line in protocol.splitlines() if line.startswith("| `error`"))
    codes = re.findall(r"`(\w+)`", row.split("`code` (")[1].split(")")[0])
    assert len(codes) == 15
    assert asked | {f"error.{code}" for code in codes} <= known


def test_a_chinese_page_has_no_english_left(new_chat: NewPage, upstream: ScriptedUpstream) -> None:
    upstream.script(script.cut(["一半"]))
    chat = new_chat(locale="zh-CN")
    assert chat.page.evaluate("() => document.documentElement.lang") == "zh-CN"
    words = re.findall(r"[A-Za-z]{2,}", chat.page.inner_text("body"))
    assert set(words) <= {"Deltahub", "Enter", "Shift"}
    chat.ask("你好").answers(1)
    assert chat.problem == "与模型的连接在回答完成之前中断了。"
    assert chat.button("重试").is_visible()


def test_no_module_brings_in_what_is_not_ours() -> None:
    lazy = SOURCE / "markdown"  # what is built in there is done without where nothing was built
    modules = [module for module in SOURCE.rglob("*.js") if lazy not in module.parents]
    assert len(modules) > 20
    for module in modules:
        names = re.findall(r"""(?:from|import)\s*\(?'([^']+)'""", module.read_text())
        assert all(name.startswith(("./", "../")) for name in names), module


def test_the_page_is_light() -> None:
    """Also where nothing was built, with all that is written for those who read it. Built: test_build.py."""
    folders = [SOURCE / name for name in ("chat", "client", "page")]
    files = [file for folder in folders for kind in ("*.js", "*.css") for file in folder.rglob(kind)]
    assert sum(len(gzip.compress(file.read_bytes())) for file in files) < 70_000


def test_a_small_screen_begins_at_the_title_and_a_reload_at_the_end(
    new_chat: NewPage, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.counted(60, text="line {i}\n"))
    chat = new_chat(**{**PHONE, "viewport": {"width": 320, "height": 400}})
    assert chat.page.evaluate(TOP) == 0
    assert not chat.button("Go to the newest text").is_visible()
    chat.ask().answers(1)
    assert chat.page.evaluate(FROM_END) <= 1
    chat.reload().answers(1)
    chat.until(f"() => ({FROM_END})() <= 1")
