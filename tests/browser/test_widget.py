"""The widget on another site's page: one tag, its window, its calls and events, and what can go wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import requests
from playwright.sync_api import BrowserContext, FloatRect, Locator, Page, Route

from tests.browser.chat_page import counted
from tests.browser.widget_page import SHADOW, Widget
from tests.rig import script
from tests.rig.host import DEMO, Host, tag
from tests.rig.serving import Server
from tests.rig.upstream import ScriptedUpstream

pytestmark = pytest.mark.browser


@pytest.fixture
def widget(page: Page, site: Host, hub: Server) -> Iterator[Widget]:
    """Which must have met nothing that the site's policy forbids."""
    widget = Widget(page, site, hub.url)
    yield widget
    assert not [text for text in widget.complaints if "Content Security" in text or "Trusted" in text]


def test_one_tag_on_another_sites_page_under_the_strictest_policy_is_a_chat(
    widget: Widget, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.deltas(["**Tea** wakes. ", "`x = 1`", "\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"]))
    widget.visit(name="Tea advice", greeting="Which tea?").open_panel()
    widget.until_says("Tea advice").until_says("Which tea?")
    widget.ask("Does tea wake?").answers(1)
    assert widget.page.locator(".answer strong").inner_text() == "Tea"
    assert widget.page.locator(".answer td").all_inner_texts() == ["1", "2"]
    assert widget.questions == ["Does tea wake?"]
    assert widget.complaints == []


def test_nothing_but_the_loader_comes_before_somebody_comes_near_the_button(
    widget: Widget, hub: Server
) -> None:
    asked: list[str] = []
    widget.page.on("request", lambda request: asked.append(request.url))
    widget.visit()
    widget.page.wait_for_load_state("networkidle")
    assert [url for url in asked if url.startswith(hub.url)] == [f"{hub.url}/widget.js"]
    widget.page.locator(".launcher").hover()
    widget.until(f"() => {SHADOW}.querySelector('.panel')")
    assert not [url for url in asked if "sse" in url]  # who only passes by costs the hub no stream


def test_the_button_opens_a_labelled_dialog_and_the_focus_goes_there_and_back(widget: Widget) -> None:
    widget.visit(name="Tea advice")
    button = widget.button("Open the chat")
    assert button.get_attribute("aria-expanded") in (None, "false")
    button.focus()
    button.press("Enter")
    widget.shown()
    dialog = widget.page.get_by_role("dialog", name="Tea advice")
    assert dialog.is_visible()
    assert button.get_attribute("aria-expanded") == "true"
    assert widget.page.evaluate(f"() => {SHADOW}.activeElement.id") == "message"
    widget.page.keyboard.press("Escape")
    widget.until(f"() => !{SHADOW}.querySelector('.panel[data-open]')")
    assert widget.page.evaluate(f"() => {SHADOW}.activeElement.className") == "launcher"
    button.press("Enter")
    widget.shown().button("Close the chat").click()
    assert not widget.is_open


def test_on_a_phone_it_is_all_of_the_screen_and_the_page_behind_cannot_be_reached(
    site: Host, hub: Server, browser_name: str, page: Page
) -> None:
    page.set_viewport_size({"width": 375, "height": 667})
    widget = Widget(page, site, hub.url).visit().open_panel()
    box = page.locator(".panel").bounding_box()
    assert box == {"x": 0, "y": 0, "width": 375, "height": 667}
    assert page.evaluate(f"() => {SHADOW}.querySelector('.panel').matches(':modal')")
    page.locator("#before").evaluate("(button) => button.focus()")
    assert page.evaluate("() => document.activeElement.id") != "before"
    page.keyboard.press("Escape")
    widget.until(f"() => !{SHADOW}.querySelector('.panel[data-open]')")


def test_an_answer_goes_on_over_another_page_of_the_site_and_the_window_stays_open(
    widget: Widget, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.counted(60, gap=0.05))
    widget.visit().open_panel().ask().until_text("w5 ")
    widget.page.goto(f"{widget.host.url}/other")
    widget.shown().answers(1)
    assert (widget.questions, widget.text) == (["hello"], counted(60))
    assert len(upstream.state()["requests"]) == 1


def test_what_comes_while_it_is_closed_is_counted_on_the_button_also_after_a_reload(
    widget: Widget, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.counted(20, gap=0.05), script.counted(20, gap=0.05))
    widget.visit().open_panel().ask().until_text("w2 ")
    widget.page.keyboard.press("Escape")
    widget.button("Open the chat, 1 unread").wait_for()
    widget.page.reload()
    widget.button("Open the chat, 1 unread").click()
    widget.shown().answers(1)
    widget.page.keyboard.press("Escape")
    assert widget.page.locator(".launcher").get_attribute("aria-label") == "Open the chat"


GREETING = "Which tea shall it be?"


def bubble(widget: Widget) -> Locator:
    return widget.page.get_by_role("complementary", name="Greeting")


def test_the_greeting_stands_beside_the_button_once_a_session_and_loads_no_panel(
    widget: Widget, hub: Server
) -> None:
    asked: list[str] = []
    widget.page.on("request", lambda request: asked.append(request.url))
    widget.visit(greeting=GREETING)
    bubble(widget).get_by_text(GREETING).wait_for()
    names = [url.rpartition("/")[2].partition("-")[0] for url in asked if url.startswith(hub.url)]
    assert names == ["widget.js", "bubble"]
    widget.visit(greeting=GREETING)
    widget.page.wait_for_load_state("networkidle")
    assert bubble(widget).count() == 0


def test_a_click_on_the_greeting_opens_the_panel_and_it_is_gone(widget: Widget) -> None:
    widget.visit(greeting=GREETING)
    bubble(widget).get_by_role("button", name=GREETING).click()
    widget.shown().until_says(GREETING)
    assert bubble(widget).count() == 0
    assert widget.page.evaluate(f"() => {SHADOW}.activeElement.id") == "message"


def test_the_greeting_can_be_dismissed_and_opens_nothing_then(widget: Widget) -> None:
    widget.visit(greeting=GREETING)
    bubble(widget).get_by_role("button", name="Dismiss").click()
    assert bubble(widget).count() == 0
    assert not widget.is_open


def test_whoever_has_opened_the_panel_in_this_session_is_not_greeted(widget: Widget) -> None:
    widget.visit().open_panel()
    widget.button("Close the chat").click()
    widget.visit(greeting=GREETING)
    widget.until(f"() => {SHADOW}.querySelector('.panel')")
    assert bubble(widget).count() == 0


def test_an_open_panel_and_a_page_without_a_greeting_have_no_bubble(widget: Widget, hub: Server) -> None:
    asked: list[str] = []
    widget.page.on("request", lambda request: asked.append(request.url))
    widget.visit(greeting=GREETING, open="").shown()
    widget.page.evaluate("() => sessionStorage.clear()")
    widget.visit(greeting="")
    widget.until(f"() => {SHADOW}.querySelector('.panel')")
    assert not [url for url in asked if "bubble" in url]


def test_a_greeting_that_could_not_be_remembered_is_not_shown_on_each_page(widget: Widget) -> None:
    widget.page.add_init_script("""Storage.prototype.setItem = function setItem() {
        throw new DOMException('full', 'QuotaExceededError');
    };""")
    with widget.page.expect_response("**/bubble-*"):
        widget.visit(greeting=GREETING)
    widget.page.wait_for_load_state("networkidle")
    assert bubble(widget).count() == 0


def test_messages_of_the_server_survive_another_language_another_user_and_a_reload(
    widget: Widget, hub: Server, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.deltas(["one"]), script.deltas(["two"]))
    widget.visit().open_panel().ask("a").answers(1)
    client = widget.page.evaluate("(hub) => localStorage[`deltahub@${hub}/client`]", hub.url)
    sent = {"clientId": client, "data": "Your tea has left."}
    assert requests.post(f"{hub.url}/sse/send", json=sent, timeout=5).status_code == 200
    widget.until_says("Your tea has left.").ask("b").answers(2)
    shown = ["a", "one", "Your tea has left.", "b", "two"]
    assert widget.turns == shown
    widget.call("(chat) => chat.setLang('zh-CN')")
    widget.shown().until_says("新对话").answers(2)
    assert widget.turns == shown
    widget.call("(chat) => chat.setUser({ id: 'u1' })")
    widget.shown().until(f"() => !{SHADOW}.querySelector('.question')")
    assert widget.turns == []
    widget.call("(chat) => chat.setUser(null)")
    widget.shown().answers(2)
    assert widget.turns == shown
    widget.page.reload()
    widget.shown().answers(2)
    assert widget.turns == shown


def test_a_page_opens_sends_listens_and_closes(widget: Widget, upstream: ScriptedUpstream) -> None:
    upstream.script(script.deltas(["one ", "two"], gap=0.05))
    widget.visit().note_events()
    widget.call("(chat) => chat.open()")
    widget.shown().call("(chat) => chat.send('from the page')")
    widget.answers(1)
    widget.call("(chat) => chat.close()")
    assert widget.questions == ["from the page"]
    said = [detail["role"] + ": " + detail["text"] for _, detail in widget.told("message")]
    assert said == ["user: from the page", "assistant: one two"]
    assert "".join(detail["text"] for _, detail in widget.told("delta")) == "one two"
    assert [kind for kind, _ in widget.told("open", "close")] == ["open", "close"]
    assert ["status", {"state": "open", "reason": ""}] in widget.told("status")


def test_a_failed_answer_is_an_event_and_a_message_that_cannot_be_sent_a_sentence(
    widget: Widget, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.failure(401), script.cut(["half"], "hang"))
    widget.visit().open_panel().note_events()
    widget.ask().answers(1)
    assert [detail["code"] for _, detail in widget.told("error")] == ["auth"]
    widget.ask("again").until_text("half")
    refused = "(chat) => chat.send('too early').catch((error) => error.message)"
    assert widget.call(refused) == "One answer at a time: stop this one or wait for its end."
    assert widget.call("(chat) => chat.send('  ').catch((error) => error.name)") == "TypeError"


def test_context_and_user_are_told_to_the_model_and_users_do_not_see_each_others_chat(
    widget: Widget, upstream: ScriptedUpstream
) -> None:
    upstream.script(default=script.deltas(["yes"]))
    widget.visit().open_panel()
    widget.call("(chat) => chat.setContext({ page: 'Green tea' })")
    widget.call("(chat) => chat.setUser({ id: 'u1', name: 'Mei' })")
    widget.shown().ask("mine").answers(1)
    first = upstream.state()["requests"][-1]["body"]["messages"]
    assert [message["role"] for message in first] == ["system", "user"]
    for told in ("Green tea", "Mei"):
        assert told in first[0]["content"]
    widget.call("(chat) => chat.setUser({ id: 'u2' })")
    widget.shown().until(f"() => !{SHADOW}.querySelector('.question')")
    widget.call("(chat) => chat.setUser({ id: 'u1', name: 'Mei' })")
    widget.shown().answers(1)
    assert widget.questions == ["mine"]
    for wrong in ("{ id: 'a b' }", "{}", "'u1'", "{ id: 7 }"):
        assert widget.call(f"(chat) => chat.setUser({wrong}).catch((e) => e.name)") == "TypeError"
    assert (
        widget.call("(chat) => chat.setContext({ a: 'x'.repeat(30000) }).catch((e) => e.name)")
        == "RangeError"
    )


def test_a_question_right_after_a_change_of_user_is_the_new_users_and_the_last_word_counts(
    widget: Widget, upstream: ScriptedUpstream
) -> None:
    """No call needs to be awaited by the page, however slowly its texts come."""
    upstream.script(default=script.deltas(["yes"]))
    widget.visit().open_panel()
    widget.call("""async (chat) => {
        chat.setLang('zh-CN');
        chat.setUser({ id: 'u1' });
        chat.setUser({ id: 'u2' });
        chat.setLang('en');
        await chat.send('of u2');
    }""")
    widget.shown().answers(1)
    assert widget.questions == ["of u2"]
    widget.until_says("New chat")
    for user, questions in (("{ id: 'u1' }", []), ("null", []), ("{ id: 'u2' }", ["of u2"])):
        widget.call(f"(chat) => chat.setUser({user})")
        assert widget.shown().questions == questions
    # Those of the button, the chat, the panel and Markdown, once each.
    widget.until(f"() => {SHADOW}.adoptedStyleSheets.length === 4")


def test_language_direction_and_texts_are_the_pages_to_choose(widget: Widget) -> None:
    widget.visit(lang="zh-CN").open_panel().until_says("新对话")
    widget.call("(chat) => chat.setLang('en')")
    widget.shown().until_says("New chat")
    widget.host.scripts["/he.json"] = '{"chat.new": "שיחה חדשה", "nonsense": 7, "ask.send": 5}'
    page = DEMO.format(tag=tag(widget.hub, lang="he", texts="/he.json"))
    widget.page.goto(widget.host.page(page))  # the page's policy would have to allow its own JSON
    widget.shown().until_says("שיחה חדשה")
    assert widget.page.locator(".chat").get_attribute("dir") == "rtl"
    assert widget.button("Send").count() == 1  # what is missing is English


def test_new_thread_leaves_the_old_one_and_destroy_leaves_nothing(
    widget: Widget, upstream: ScriptedUpstream
) -> None:
    widget.visit().open_panel().ask().answers(1)
    widget.call("(chat) => chat.newThread()")
    widget.until(f"() => !{SHADOW}.querySelector('.question')")
    widget.call("(chat) => { window.kept = chat; chat.destroy(); }")
    assert widget.page.locator("delta-chat").count() == 0
    widget.until("() => kept.shadowRoot.childElementCount === 0")
    again = "() => kept.open().catch((error) => error.message)"
    assert widget.page.evaluate(again) == "This chat is not on the page, or has no hub"


def test_the_element_stands_where_the_page_puts_it_and_can_be_moved(
    widget: Widget, upstream: ScriptedUpstream
) -> None:
    element = f'<main><delta-chat hub="{widget.hub}" name="Inline"></delta-chat></main>'
    widget.visit(DEMO.format(tag=element + tag(widget.hub))).shown()
    assert widget.page.locator("delta-chat").count() == 1  # the tag adds no second one
    assert widget.page.get_by_role("region", name="Inline").is_visible()
    widget.ask().answers(1)
    widget.page.evaluate("() => document.body.prepend(document.querySelector('delta-chat'))")
    assert widget.questions == ["hello"]
    widget.page.evaluate(
        "() => { const e = document.querySelector('delta-chat'); e.remove(); window.e = e; }"
    )
    widget.until("() => e.shadowRoot.childElementCount === 0")
    widget.page.evaluate("() => document.body.append(e)")
    widget.shown().answers(1)


def test_the_token_comes_from_the_page_and_is_asked_for_again_when_it_is_refused(widget: Widget) -> None:
    page = widget.page
    page.add_init_script("""window.app = { asked: [], getToken: async ({ refused }) => {
        app.asked.push(refused);
        return refused ? 'fresh' : 'stale';
    } };""")
    seen: list[str] = []

    def judge(route: Route) -> None:
        token = route.request.headers.get("authorization", "")
        seen.append(token)
        if token == "Bearer fresh":
            route.continue_()
        else:
            headers = {"Access-Control-Allow-Origin": widget.host.url}
            route.fulfill(status=401, headers=headers, json={"code": "unauthorized"})

    page.route(re.compile(r"/(chat|sse|conversations)\b"), judge)
    widget.visit(get_token="app.getToken").open_panel().ask().answers(1)
    assert {"Bearer stale", "Bearer fresh"} <= set(seen)
    assert page.evaluate("() => app.asked.includes(true)")


WRONG = {
    "theme": ("pink", 'theme="pink": it is one of auto, light, dark.'),
    "color": ("red;background:url(https://evil.test)", "it is a colour as #rrggbb"),
    "position": ("top", "it is one of right, left."),
    "lang": ("<script>", "it is the tag of a language"),
    "starters": ("|".join("abcdefgh"), "there are 8 questions, and there is room for 6."),
    "name": ("x" * 500, "it has 500 characters, and there is room for 60."),
    "greeting": ("<img src=x onerror=alert(1)>" * 20, "and there is room for 300."),
    "get_token": ("alert(1)", "it is the name of a function of the page"),
    "texts": ("javascript:alert(1)", "it is the address of a JSON file"),
    "open": ("perhaps", "it is true or false."),
    "debug": ("verbosely", "it is true or false."),
    "label": ("x" * 100, "it has 100 characters, and there is room for 80."),
    "colour": ("#123456", 'There is no option "colour". Did you mean "color"?'),
    "frobnicate": ("1", 'There is no option "frobnicate". There are hub, lang'),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_option_is_named_with_what_is_right_and_the_chat_works_all_the_same(
    widget: Widget, upstream: ScriptedUpstream, name: str
) -> None:
    value, sentence = WRONG[name]
    widget.visit(**{name: value}).open_panel().ask().answers(1)
    assert widget.text == "Hello world"
    assert any(sentence in text for text in widget.complaints), widget.complaints


@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", "ftp://hub.test", "data:text/html,x", "http://", ""]
)
def test_a_hub_that_is_no_address_is_said_and_nothing_is_drawn(
    page: Page, site: Host, hub: Server, address: str
) -> None:
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    element = f'<delta-chat hub="{address}"></delta-chat>'
    page.goto(site.page(DEMO.format(tag=element + tag(hub.url))))
    page.wait_for_function("() => customElements.get('delta-chat')")
    assert [text.partition(":")[0] for text in complaints] == ["Deltahub widget"]
    assert page.evaluate(f"() => {SHADOW}.childElementCount") == 0


def test_hostile_words_are_shown_as_words(widget: Widget) -> None:
    evil = '"><img src=x onerror=alert(1)><script>alert(2)</script>'
    widget.page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    widget.visit(name=evil, greeting=evil, starters=f"{evil}|b", label=evil).open_panel().until_says(evil)
    assert widget.page.locator("delta-chat img").count() == 0


def test_a_site_that_is_not_allowed_is_told_so_and_how_to_be(page: Page, site: Host, server: Server) -> None:
    widget = Widget(page, site, server.url).visit()
    page.locator(".launcher").click()
    widget.until_says(f"This site, {site.url}, may not use this chat yet.")
    widget.until_says("CORS_ORIGINS")


def test_the_self_check_names_what_is_wrong_and_what_is_right(
    page: Page, site: Host, server: Server, hub: Server
) -> None:
    def checks(address: str, **options: str) -> list[str]:
        widget = Widget(page, site, address).visit(debug="", **options)
        widget.until(f"() => {SHADOW}.querySelectorAll('.checks li').length >= 3")
        widget.until(
            f"() => [...{SHADOW}.querySelectorAll('.checks li')].some((item) =>"
            " /Stream|Origin: the hub does not/.test(item.textContent))"
        )
        return page.locator(".checks li").all_inner_texts()

    good = checks(hub.url)
    assert [line.partition(":")[0] for line in good] == [
        "Options",
        "Address",
        "Hub",
        "Origin",
        "Token",
        "Stream",
    ]
    assert "the first event came after" in good[-1]
    bad = checks(server.url, theme="pink")
    assert bad[-1] == f"Origin: the hub does not allow {site.url}. Start it with CORS_ORIGINS={site.url}"
    assert bad[0].startswith('theme="pink"')


HOSTILE = """
html { font-size: 62.5% !important; filter: none; }
body { color: red !important; letter-spacing: 4px !important; line-height: 3 !important; }
* { color: magenta !important; font: italic 30px/3 serif !important; text-transform: uppercase !important;
    letter-spacing: 5px !important; word-spacing: 9px !important; cursor: wait !important;
    text-align: center !important; text-indent: 20px !important; opacity: .7 !important;
    white-space: pre !important; border: 3px solid lime !important;
    padding: 9px !important; margin: 9px !important;
    box-sizing: content-box !important; list-style: square !important; quotes: none !important;
    text-shadow: 2px 2px red !important; font-variant: small-caps !important; tab-size: 1 !important;
    transform: rotate(2deg) !important; max-width: 90px !important; scrollbar-color: red blue !important;
    --text: red !important; --ground: red !important; --accent: red !important; --u: 3px !important; }
:not(html, body) { direction: rtl !important; unicode-bidi: bidi-override !important; }
button, textarea, dialog, div, p, h2 { background: yellow !important; display: inline !important; }
"""


def as_one_paint(widget: Widget) -> None:
    """The panel as it is painted at once, and without the figures of an answer, which differ each time.

    What is painted bit by bit while an answer comes has corners that are smoothed over what was there before.
    """
    widget.page.evaluate(f"""() => {{
        const sheet = new CSSStyleSheet();
        sheet.replaceSync('.figure {{ display: none }}');
        {SHADOW}.adoptedStyleSheets.push(sheet);
    }}""")
    widget.call("(chat) => chat.close()")
    widget.call("(chat) => chat.open()")
    widget.page.mouse.move(0, 0)
    widget.page.evaluate(f"() => {SHADOW}.activeElement?.blur()")


def test_a_hostile_style_sheet_of_the_page_moves_no_pixel_of_the_panel(
    context: BrowserContext, site: Host, hub: Server, upstream: ScriptedUpstream
) -> None:
    pictures: list[bytes] = []
    boxes = []
    for css in ("", HOSTILE):
        upstream.script(script.deltas(["# Tea\n\n- **one**\n- two\n\n```js\nlet a = 1;\n```\n"]))
        page = context.new_page()
        body = DEMO.format(tag=tag(hub.url, name="Tea", theme="light"))
        body = body.replace("</head>", f"<style>{css}</style></head>")
        widget = Widget(page, site, hub.url)
        page.goto(site.page(body))
        widget.until("() => document.querySelector('delta-chat')")
        widget.call("(chat) => chat.newThread()")
        widget.call("(chat) => chat.open()")
        widget.shown().ask("hello").answers(1)
        widget.until(f"() => {SHADOW}.querySelector('.md-line span')")
        as_one_paint(widget)
        box = page.locator(".panel").bounding_box()
        assert box is not None
        # Its round corners show the page.
        clip = FloatRect(x=box["x"] + 6, y=box["y"] + 6, width=box["width"] - 12, height=box["height"] - 12)
        picture = page.screenshot(clip=clip, animations="disabled", caret="hide")
        pictures.append(picture)
        boxes.append(box)
        page.close()
    assert boxes[0] == boxes[1]
    assert pictures[0] == pictures[1]
