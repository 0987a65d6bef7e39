"""A question that waits in line: the page says its true place, and the wait has an end whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.chat_page import ChatPage, counted
from tests.browser.line import Line
from tests.browser.states import DONE, IDS, STARTED, answer, delta, play
from tests.conftest import SETTINGS, Serve
from tests.rig import script
from tests.rig.serving import Server
from tests.rig.upstream import ScriptedUpstream

pytestmark = pytest.mark.browser

ASKED = {"act": "asked", "generationId": "g", "content": "q"}
ACCEPTED = {"act": "accepted", **IDS}
QUEUED = {"type": "queued", "generationId": "g", "position": 2}
STORED = {
    "act": "loaded",
    "conversation": {"id": "c", "messages": [{"role": "user", "content": "q"}], "generations": ["g"]},
}
LOOKED = {**IDS, "state": "queued", "position": 3, "seq": 0, "attempt": 1, "data": {}}
WAITS = {"act": "answered", "answer": LOOKED}
RUNS = {"act": "answered", "answer": {**LOOKED, "state": "running"}}

# The words under an answer at a time, and its state after the steps of states.py.
WORDS = """async ([answer, now, language]) => {
    const { loadWords } = await import('/static/src/chat/words.js');
    const { phaseInWords } = await import('/static/src/chat/turns.js');
    return phaseInWords(await loadWords(language), answer, { now, isOnline: true });
}"""


def in_words(lab: Page, state: dict[str, Any], now: int = 0, language: str = "en") -> str:
    return str(lab.evaluate(WORDS, [answer(state), now, language]))


def test_a_reload_shows_the_place_in_line_and_then_the_start(lab: Page) -> None:
    assert in_words(lab, play(lab, STORED)) == "Connecting…"
    waits = play(lab, STORED, WAITS)
    assert in_words(lab, waits) == "Waiting in line, place 3"
    assert in_words(lab, waits, language="zh-CN") == "正在排队，第 3 位"
    assert answer(play(lab, STORED, WAITS, QUEUED))["position"] == 2
    assert answer(play(lab, STORED, WAITS, QUEUED, STARTED))["phase"] == "thinking"


def test_a_place_in_line_that_is_told_too_late_does_not_hide_the_start(lab: Page) -> None:
    for late in (WAITS, QUEUED):
        for begun in (STARTED, RUNS):
            assert answer(play(lab, ASKED, ACCEPTED, begun, late))["phase"] == "thinking"


def test_seconds_of_thinking_leave_out_the_wait(lab: Page) -> None:
    for steps in (
        [ASKED, ACCEPTED, QUEUED, STARTED],
        [STORED, WAITS, QUEUED, STARTED],
        [STORED, WAITS, QUEUED, RUNS],
    ):
        state = play(lab, *steps)
        start = 1_000 + 1_000 * len(steps)  # play() stamps the steps a second apart, the first with 2,000
        assert answer(state)["startedAt"] == start
        assert in_words(lab, state, start + 3_000) == "Thinking… 3 s"


def test_a_place_in_line_proves_that_the_question_has_arrived(lab: Page) -> None:
    problem = {"status": 0, "code": "network", "detail": ""}
    state = play(lab, ASKED, QUEUED, {"act": "refused", "generationId": "g", "problem": problem})
    assert (state["turns"][0]["sending"], answer(state)["phase"]) == ("sent", "queued")


@pytest.mark.parametrize("known", [[ACCEPTED], [ACCEPTED, QUEUED], [QUEUED], [ACCEPTED, QUEUED, STARTED]])
def test_whoever_waits_is_asked_for_after_done_and_interrupted_where_the_server_lost_it(
    lab: Page, known: list[dict[str, Any]]
) -> None:
    assert play(lab, ASKED, *known, {"type": "[DONE]"})["needs"]["answers"] == ["g"]
    for lost in ({"conversation": True}, {"generationId": "g"}):
        state = play(lab, ASKED, *known, {"act": "missing", **lost})
        assert (answer(state)["phase"], answer(state)["code"]) == ("failed", "interrupted")
        assert answer(state)["retryable"]


def test_a_question_on_its_way_is_not_taken_for_lost(lab: Page) -> None:
    state = play(lab, ASKED, {"act": "missing", "conversation": True}, {"type": "[DONE]"})
    assert (answer(state)["phase"], state["needs"]["answers"]) == ("connecting", [])


def test_a_question_that_another_tab_put_in_line_here_is_asked_for_once(lab: Page) -> None:
    here = [STARTED, delta(1, "a"), delta(2, "b"), DONE]
    other = {**QUEUED, "generationId": "h"}
    assert play(lab, *here, other)["needs"]["answers"] == ["h"]
    found = {"act": "answered", "answer": {**LOOKED, "generationId": "h"}}
    state = play(lab, *here, other, {"act": "taken"}, found)
    assert state["needs"] == {"conversation": True, "answers": []}
    assert play(lab, *here, other, {"act": "taken"}, found, {"act": "taken"}, other)["needs"]["answers"] == []
    assert (
        play(lab, other)["needs"]["answers"] == []
    )  # an empty page waits for the start, to go along with it


def test_an_end_without_a_reason_is_told_without_a_guess(lab: Page) -> None:
    unknown = {**DONE, "reason": "unknown"}
    state = play(lab, STARTED, delta(1, "a"), delta(2, "b"), unknown)
    assert [in_words(lab, state, language=name) for name in ("en", "zh-CN")] == ["Ended", "已结束"]
    assert in_words(lab, play(lab, STARTED, {**unknown, "seq": 0})) == "The model ended without a word."


@pytest.fixture(scope="module")
def narrow(upstream_process: ScriptedUpstream) -> Iterator[Server]:
    """A server that writes one answer at a time for each client."""
    settings = {**SETTINGS, "ANSWERS_CLIENT": "1"}
    with Server(settings, upstream_url=upstream_process.url) as server:
        yield server


@pytest.fixture
def first(page: Page, narrow: Server, upstream: ScriptedUpstream) -> ChatPage:
    """A tab in whose conversation an answer hangs; the next one is counted(20)."""
    upstream.script(script.cut(["hangs"], "hang"), script.counted(20, gap=0.03))
    return ChatPage(page).open(narrow.url).ask("first").until_text("hangs")


@pytest.fixture
def second(first: ChatPage, narrow: Server) -> ChatPage:
    """Another tab of the same reader, with a question in a new chat, for which there is no room."""
    return in_line(first.second_tab(narrow.url))


def in_line(tab: ChatPage) -> ChatPage:
    tab.button("New chat").click()
    return tab.ask("second").until_says("Waiting in line, place 1")


def listen(chat: ChatPage) -> None:
    """From now on notes what a screen reader is told."""
    chat.page.evaluate("""() => {
        window.said = [];
        new MutationObserver(() => said.push(document.querySelector('#status').textContent))
            .observe(document.querySelector('#status'), { childList: true });
    }""")


def test_a_question_waits_over_a_reload_and_is_answered_when_there_is_room(
    first: ChatPage, second: ChatPage
) -> None:
    second.reload().until_says("Waiting in line, place 1")
    assert (second.questions, second.state) == (["second"], "Waiting in line, place 1")
    first.button("Stop the answer").click()
    second.answers(1)
    assert (second.texts, first.texts) == ([counted(20)], ["hangs"])
    assert second.reload().answers(1).text == counted(20)


def test_stop_takes_a_question_out_of_the_line_and_the_box_is_free_again(
    first: ChatPage, second: ChatPage, upstream: ScriptedUpstream
) -> None:
    second.button("Stop the answer").click()
    second.answers(1)
    assert second.state.startswith("Stopped")
    second.button("Send").wait_for()
    assert second.reload().answers(1).state.startswith("Stopped")
    second.ask("third").until_says("Waiting in line, place 1")
    first.button("Stop the answer").click()
    second.answers(2)
    assert second.texts == ["", counted(20)]
    assert len(upstream.state()["requests"]) == 2


def test_a_screen_reader_hears_the_place_in_line_once_and_only_then_the_start(
    first: ChatPage, narrow: Server
) -> None:
    second = first.second_tab(narrow.url)
    second.button("New chat").click()
    listen(second)
    in_line(second)
    first.button("Stop the answer").click()
    second.answers(1).until("() => said.length >= 3")
    assert second.page.evaluate("() => said") == ["Waiting in line, place 1", "Answering", counted(20)]


def test_a_server_that_is_gone_while_a_question_waits_leaves_no_page_waiting(
    page: Page, serve: Serve, server: Server, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.cut(["hangs"], "hang"), script.counted(20))
    with Line(serve(ANSWERS_CLIENT="1")) as line:
        first = ChatPage(page).open(line.url).ask("first").until_text("hangs")
        second = in_line(first.second_tab(line.url))
        line.cut(dead=True)
        line.mend(server)
        second.answers(1)
        assert second.problem == "The server was restarted before this answer was finished."
        second.button("Try again").click()
        second.until_text("w19 ").answers(1)
        assert (second.questions, second.problem) == (["second"], "")


def test_who_waited_in_vain_is_told_so_and_can_ask_again(
    page: Page, serve: Serve, upstream: ScriptedUpstream
) -> None:
    upstream.script(script.cut(["hangs"], "hang"), script.counted(20))
    server = serve(ANSWERS_CLIENT="1", WAIT_TIMEOUT="1")
    first = ChatPage(page).open(server.url).ask("first").until_text("hangs")
    second = in_line(first.second_tab(server.url)).answers(1)
    assert second.problem == "The server had no room in time for this question. Try it again shortly."
    assert second.reload().answers(1).problem.startswith("The server had no room in time")
    first.button("Stop the answer").click()
    first.answers(1)
    second.button("Try again").click()
    second.until_text("w19 ").answers(1)
    assert second.questions == ["second"]
