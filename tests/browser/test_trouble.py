"""Failures: each is said in words, nothing typed is lost, and the reader can always go on."""

from __future__ import annotations

import pytest
import requests
from playwright.sync_api import Page

from tests.browser.chat_page import ChatPage, counted
from tests.browser.conftest import NewPage
from tests.browser.line import Line
from tests.conftest import ADMIN_TOKEN, Serve
from tests.rig import script
from tests.rig.reading import eventually
from tests.rig.script import Json
from tests.rig.serving import Server
from tests.rig.upstream import ScriptedUpstream

pytestmark = pytest.mark.browser

# What a browser may do to a page's storage.
NO_STORAGE = {
    "full": """Storage.prototype.setItem = function setItem() {
        throw new DOMException('full', 'QuotaExceededError');
    };""",
    "forbidden": """for (const name of ['localStorage', 'sessionStorage']) {
        Object.defineProperty(window, name, { get() { throw new DOMException('no', 'SecurityError'); } });
    }""",
}
# What the upstream does → what the reader is told, and whether asking again is offered.
FAILURES = {
    "a refused key": (script.failure(401), "The server of the model refused the key it was given.", False),
    "a page with 200": (script.page(), "What answered is not the stream of a model.", False),
    "a cut in the middle": (script.cut(["half an "]), "The connection to the model broke off", True),
    "an error of its own": (script.failure(503), "The server of the model answered with an error.", True),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_failure_of_the_upstream_is_said_in_words(
    chat: ChatPage, upstream: ScriptedUpstream, case: str
) -> None:
    answer, words, again = FAILURES[case]
    upstream.script(default=answer)
    chat.ask().answers(1)
    assert chat.problem.startswith(words)
    assert chat.text == ("half an " if case == "a cut in the middle" else "")
    assert chat.draft == ""
    assert chat.button("Try again").is_visible() == again


def test_an_upstream_that_is_down_is_said_in_words_also_after_a_reload(
    chat: ChatPage, upstream: ScriptedUpstream
) -> None:
    upstream.refuse(1)
    chat.ask().answers(1)
    assert chat.problem == "The server of the model could not be reached."
    chat.reload().answers(1)
    assert (chat.questions, chat.problem) == (["hello"], "The server of the model could not be reached.")
    eventually(lambda: answers(upstream))


def answers(upstream: ScriptedUpstream) -> bool:
    """Whether it takes connections again."""
    try:
        return bool(upstream.state())
    except ConnectionRefusedError:
        return False


def test_try_again_puts_a_new_answer_in_the_place_of_the_one_that_failed(
    chat: ChatPage, server: Server, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.deltas(["first"]), script.cut(["half"]), script.deltas(["whole"]))
    other = chat.second_tab(server.url)
    chat.ask("a").answers(1).ask("b").answers(2)
    chat.button("Try again").click()
    chat.until_text("whole")
    for tab in (chat, other, chat.reload()):
        tab.until_text("whole").answers(2)
        assert (tab.questions, tab.texts) == (["a", "b"], ["first", "whole"])
    told = upstream.state()["requests"][-1]["body"]["messages"]
    assert [m["content"] for m in told] == ["a", "first", "b"]


def test_nothing_typed_is_lost_when_the_server_cannot_be_reached(
    chat: ChatPage, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.deltas(["here I am"]))
    chat.page.route("**/chat", lambda route: route.abort())
    chat.ask("is anybody there?").until_says("Not sent")
    assert chat.draft == "is anybody there?"
    chat.reload().until_says("Not sent")
    assert (chat.questions, chat.draft) == (["is anybody there?"], "is anybody there?")
    chat.page.unroute("**/chat")
    chat.button("Send again").click()
    chat.answers(1)
    assert (chat.questions, chat.text, chat.draft) == (["is anybody there?"], "here I am", "")
    assert len(upstream.state()["requests"]) == 1


def test_a_question_that_was_not_sent_can_be_given_up(chat: ChatPage) -> None:
    chat.page.route("**/chat", lambda route: route.abort())
    chat.ask("never mind").until_says("Not sent")
    chat.button("Discard").click()
    chat.until("() => document.querySelectorAll('.question').length === 0")
    assert chat.reload().questions == []


def test_a_draft_outlives_a_reload_and_enter_waits_for_the_answer(
    chat: ChatPage, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.cut(["not yet"], "hang"))
    chat.ask("first").until_text("not yet")
    chat.ask("second").until_says("One answer at a time")
    assert chat.draft == "second"
    assert chat.reload().draft == "second"
    assert len(upstream.state()["requests"]) == 1


def test_a_server_that_has_forgotten_the_conversation_is_told_it_again(
    page: Page, serve: Serve, upstream: ScriptedUpstream
) -> None:
    server = serve()
    upstream.script(script.deltas(["one"]), script.deltas(["two"]))
    chat = ChatPage(page).open(server.url)
    chat.ask("a").answers(1)
    client = page.evaluate("localStorage['deltahub.client']")
    conversation = page.evaluate("localStorage['deltahub.conversation']")
    query = f"{server.url}/conversations/{conversation}?clientId={client}"
    assert requests.delete(query, timeout=5).status_code == 204
    chat.ask("b").until_says("Not sent")
    chat.button("Send again").click()
    chat.until_text("two")
    told = upstream.state()["requests"][-1]["body"]["messages"]
    assert [m["content"] for m in told] == ["a", "one", "b"]
    assert chat.reload().answers(2).texts == ["one", "two"]


def test_an_answer_is_whole_however_often_the_line_is_cut(
    page: Page, server: Server, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.counted(60, gap=0.05))
    with Line(server) as line:
        chat = ChatPage(page).open(line.url).ask()
        for place in range(5, 55, 10):
            chat.until_text(f"w{place} ")
            line.cut()
        chat.answers(1)
        assert chat.text == counted(60)
        assert not page.is_visible("#banner")


def test_a_line_that_stays_cut_is_said_and_try_now_takes_it_up(
    page: Page, server: Server, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.counted(60, gap=0.05))
    with Line(server) as line:
        chat = ChatPage(page).open(line.url).ask().until_text("w3 ")
        line.cut(dead=True)
        chat.until_says("Reconnecting in").until_says("Waiting for the connection")
        line.mend()
        chat.button("Try now").click()
        chat.answers(1)
        assert chat.text == counted(60)
        chat.until("() => document.querySelector('#banner').hidden")


def test_a_restarted_server_leaves_what_was_read_and_says_that_it_was_interrupted(
    page: Page, serve: Serve, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.cut(["half an answer"], "hang"), script.deltas(["whole"]))
    first, second = serve(), serve()
    with Line(first) as line:
        chat = ChatPage(page).open(line.url).ask().until_text("half an answer")
        line.cut(dead=True)
        line.mend(second)
        chat.answers(1)
        assert (chat.text, chat.problem) == (
            "half an answer",
            "The server was restarted before this answer was finished.",
        )
        chat.button("Try again").click()
        chat.until_text("whole").answers(1)
        assert chat.questions == ["hello"]


def test_a_stream_that_the_server_ended_is_taken_up_again_by_the_next_question(
    chat: ChatPage, server: Server, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.deltas(["one"]), script.deltas(["two"]))
    chat.ask("a").answers(1)
    client = chat.page.evaluate("localStorage['deltahub.client']")
    closed = requests.post(f"{server.url}/sse/close", json={"clientId": client}, timeout=5)
    assert closed.json() == {"closed": 1}
    chat.until_says("The server ended this connection.")
    chat.ask("b").answers(2)
    assert chat.texts == ["one", "two"]


def admin(server: Server, **body: Json | str) -> None:
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    answer = requests.post(f"{server.url}/admin/broadcast", json=body, headers=headers, timeout=5)
    assert answer.status_code == 200, answer.text


def test_a_broadcast_is_a_notice_that_can_be_dismissed_and_a_message_a_line(
    chat: ChatPage, server: Server
) -> None:
    client = chat.page.evaluate("localStorage['deltahub.client']")
    eventually(
        lambda: requests.get(f"{server.url}/sse/clients/{client}", timeout=5).json().get("connections")
    )
    admin(server, data="Maintenance at 22:00", level="warning")
    chat.until_says("Maintenance at 22:00")
    assert chat.page.locator(".notice").get_attribute("data-level") == "warning"
    sent = {"clientId": client, "data": {"text": "Your report is ready."}}
    assert requests.post(f"{server.url}/sse/send", json=sent, timeout=5).status_code == 200
    chat.until_says("Your report is ready.")
    chat.button("Dismiss").click()
    chat.until("() => !document.body.innerText.includes('Maintenance')")


def test_once_the_connection_is_back_it_is_said_with_what_was_caught_up_and_then_goes(
    page: Page, server: Server, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.counted(60, gap=0.05))
    with Line(server) as line:
        chat = ChatPage(page).open(line.url).ask().until_text("w3 ")
        spoken = chat.note_spoken()
        line.cut(dead=True)
        chat.until_says("Reconnecting in")
        client = page.evaluate("localStorage['deltahub.client']")
        send(server, client, "Your report is ready.")
        line.mend()
        chat.button("Try now").click()
        chat.until_says("Connected again · 2 messages caught up").answers(1)
        assert not chat.button("Try now").is_visible()
        chat.until("() => document.querySelector('#banner').hidden")
    of_link = [text for text in spoken() if "onnect" in text]
    assert len(of_link) == 2, of_link
    assert of_link[1] == "Connected again · 2 messages caught up"
    assert (chat.text, page.locator(".line:visible").all_inner_texts()) == (
        counted(60),
        ["Your report is ready."],
    )


def test_a_failed_answer_and_a_refused_question_name_the_request_by_which_the_log_knows_them(
    page: Page, serve: Serve, upstream: ScriptedUpstream
) -> None:
    server = serve(BODY_BYTES="2000")
    upstream.script(script.failure(401))
    chat = ChatPage(page).open(server.url)
    with page.expect_response("**/chat") as reply:
        chat.ask().answers(1)
    told = reply.value.headers["x-request-id"]
    named = page.locator(".problem .request")
    assert named.inner_text() == f"Request {told}"
    eventually(lambda: f'"id":"{told}"' in server.log)
    chat.reload().answers(1)
    assert named.inner_text() == f"Request {told}"
    with page.expect_response("**/chat") as reply:
        chat.ask("x" * 3_000).until_says("The message is too long.")
    told = reply.value.headers["x-request-id"]
    assert page.locator(".question .request:visible").inner_text() == f"Request {told}"


def send(server: Server, client: str, text: str) -> None:
    sent = {"clientId": client, "data": {"text": text}}
    assert requests.post(f"{server.url}/sse/send", json=sent, timeout=5).status_code in (200, 202)


def test_a_message_of_the_server_is_there_after_a_reload_in_its_place_and_once(
    chat: ChatPage, server: Server, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.deltas(["one"]), script.cut(["two"], "hang"))
    client = chat.page.evaluate("localStorage['deltahub.client']")
    chat.ask("a").answers(1)
    send(server, client, "between")
    chat.until_says("between").ask("b").until_text("two")
    send(server, client, "after the last word")
    chat.until_says("after the last word")
    shown = ["a", "one", "between", "b", "two", "after the last word"]
    assert chat.turns == shown
    for tab in (chat.reload(), chat.reload(), chat.second_tab(server.url)):
        tab.until_text("two").until_says("after the last word")
        assert tab.turns == shown
    chat.page.bring_to_front()
    chat.button("New chat").click()
    chat.until("() => !document.querySelector('.turn.line:not([id])')")
    assert chat.reload().turns == []


@pytest.mark.parametrize("storage", NO_STORAGE)
def test_where_nothing_can_be_kept_it_is_said_and_nothing_is_lost_but_by_a_reload(
    new_chat: NewPage, server: Server, upstream: ScriptedUpstream, storage: str
) -> None:
    upstream.script(script.counted(10))
    chat = new_chat(init=NO_STORAGE[storage]).until_says("This browser keeps nothing for this page")
    with chat.page.expect_request("**/chat") as asked:
        chat.ask().answers(1)
    send(server, asked.value.post_data_json["clientId"], "news")
    chat.until_says("news")
    assert (chat.text, chat.draft) == (counted(10), "")
    assert chat.reload().turns == []
