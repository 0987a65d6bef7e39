"""The loader: an element that comes and goes while its panel is loaded; odd tags, tags that are run twice."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chat_page import Held
from tests.browser.widget_page import SHADOW, Widget
from tests.rig import script
from tests.rig.host import DEMO, Host, tag
from tests.rig.serving import Server
from tests.rig.upstream import ScriptedUpstream

pytestmark = pytest.mark.browser
READY = "document.addEventListener('deltahub:ready', () => { window.ready = (window.ready ?? 0) + 1; });"
LAUNCHERS = f"() => {SHADOW}.querySelectorAll('.launcher').length"


@pytest.fixture
def widget(page: Page, site: Host, hub: Server, upstream: ScriptedUpstream) -> Widget:
    upstream.script(default=script.deltas(["yes"]))
    page.add_init_script(READY)
    return Widget(page, site, hub.url)


def test_an_element_that_went_and_came_back_before_it_was_loaded_is_one(widget: Widget) -> None:
    slow = Held(widget.page, "**/panel*.js*")
    widget.visit()
    widget.call("(chat) => { chat.open().catch(() => {}); window.chat = chat; chat.remove(); }")
    widget.page.wait_for_function("() => !chat.hub")
    widget.page.evaluate("() => { document.documentElement.append(chat); chat.open(); }")
    slow.let_go()
    widget.shown()
    assert widget.page.evaluate(LAUNCHERS) == 1
    assert widget.page.evaluate(f"() => [ready, {SHADOW}.querySelectorAll('.panel').length]") == [1, 1]


def test_an_element_that_is_gone_before_it_is_loaded_leaves_nothing_behind(widget: Widget) -> None:
    slow = Held(widget.page, "**/panel*.js*")
    widget.visit()
    widget.call("""(chat) => {
        window.chat = chat;
        window.why = chat.open().then(() => '', (error) => error.message);
        chat.remove();
    }""")
    slow.let_go()
    assert "taken off the page" in widget.page.evaluate("() => why")
    assert widget.page.evaluate("() => [window.ready ?? 0, Object.keys({ ...localStorage })]") == [0, []]
    assert widget.page.evaluate("() => chat.shadowRoot.childElementCount") == 0


def test_a_second_click_while_it_is_loaded_does_not_close_it(widget: Widget) -> None:
    slow = Held(widget.page, "**/panel*.js*")
    widget.visit()
    for _ in range(2):
        widget.page.locator(".launcher").click()
    slow.let_go()
    widget.shown()
    assert widget.is_open
    widget.page.locator(".launcher").click()
    assert not widget.is_open


def test_what_is_there_is_not_loaded_again_when_the_element_moves_off_and_on(widget: Widget) -> None:
    widget.visit().open_panel()
    asked: list[str] = []
    widget.page.on("request", lambda request: asked.append(request.url))
    widget.call("(chat) => { window.chat = chat; chat.remove(); }")
    widget.page.wait_for_function("() => !chat.hub")
    widget.page.evaluate("() => { document.documentElement.append(chat); return chat.open(); }")
    widget.shown()
    assert not [url for url in asked if "panel" in url]


def test_a_tag_that_is_run_again_after_destroy_brings_the_chat_back(widget: Widget) -> None:
    widget.page.goto(widget.host.page(DEMO.format(tag=tag(widget.hub))))
    widget.page.wait_for_function("() => window.deltaChat?.isConnected")
    widget.page.evaluate("() => deltaChat.destroy()")
    widget.page.add_script_tag(url=f"{widget.hub}/widget.js?again")
    widget.page.wait_for_function("() => document.querySelector('delta-chat') === deltaChat")
    widget.open_panel()


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('<script async src="{hub}/widget.js" data-="x" data-name="Tea"></script>', "not a name"),
        ('<script type="module" src="{hub}/widget.js"></script>', "there is no chat on this page"),
    ],
    ids=["an option without a name", "as a module"],
)
def test_a_tag_that_is_written_oddly_is_explained(widget: Widget, written: str, said: str) -> None:
    body = DEMO.format(tag=written.format(hub=widget.hub))
    with widget.page.expect_console_message(lambda message: said in message.text):
        widget.page.goto(widget.host.page(body))


def test_the_button_speaks_the_language_of_the_page_and_then_that_of_the_chat(widget: Widget) -> None:
    page = DEMO.replace('lang="en"', 'lang="zh-CN"').format(tag=tag(widget.hub, greeting="好茶"))
    widget.page.goto(widget.host.page(page))
    expect(widget.page.get_by_role("button", name="打开对话")).to_be_visible()
    expect(widget.page.get_by_role("complementary", name="问候")).to_be_visible()
    widget.call("(chat) => chat.setLang('en')")
    expect(widget.page.get_by_role("button", name="Open the chat")).to_be_visible()


def test_who_came_near_the_button_and_no_nearer_has_not_chatted_before(widget: Widget) -> None:
    widget.visit()
    widget.page.locator(".launcher").hover()
    widget.page.wait_for_function("() => window.ready")
    asked: list[str] = []
    widget.page.on("request", lambda request: asked.append(request.url))
    widget.page.mouse.move(0, 0)
    widget.page.reload(wait_until="networkidle")
    assert not [url for url in asked if "panel" in url]


def test_a_long_greeting_fits_a_small_window_and_can_be_dismissed(widget: Widget) -> None:
    widget.page.set_viewport_size({"width": 320, "height": 256})
    widget.visit(greeting="Tea " * 70)
    dismiss = widget.page.get_by_role("button", name="Dismiss")
    expect(dismiss).to_be_in_viewport(ratio=1)
    dismiss.click()
    expect(dismiss).to_be_hidden()
