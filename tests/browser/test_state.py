"""state.js and actions.js: what each event of the stream and each reply makes of what is shown."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.states import DONE, IDS, STARTED, answer, delta, play

pytestmark = pytest.mark.browser


def test_an_answer_goes_from_connecting_to_done(lab: Page) -> None:
    ask: dict[str, Any] = {"act": "asked", "generationId": "g", "content": "q"}
    steps = [ask, {"act": "accepted", **IDS}, {"type": "queued", "generationId": "g", "position": 2}]
    steps += [STARTED, delta(1, "a"), delta(2, "b"), DONE]
    phases = [answer(play(lab, *steps[:count]))["phase"] for count in range(1, len(steps) + 1)]
    assert phases == ["connecting", "connecting", "queued", "thinking", "writing", "writing", "done"]
    state = play(lab, *steps)
    assert (answer(state)["content"], state["conversationId"], state["turns"][0]["sending"]) == (
        "ab",
        "c",
        "sent",
    )


def test_a_delta_that_is_known_is_dropped(lab: Page) -> None:
    state = play(lab, STARTED, delta(1, "a"), delta(2, "b"), delta(1, "a"), delta(2, "b"), delta(3, "c"))
    assert (answer(state)["content"], state["needs"]["answers"]) == ("abc", [])


def test_merged_deltas_are_one_piece_of_text_and_no_gap(lab: Page) -> None:
    state = play(lab, STARTED, delta(1, "a"), delta(5, "bcde", first=2), delta(6, "f"))
    assert (answer(state)["content"], state["needs"]["answers"]) == ("abcdef", [])


def test_merged_deltas_of_which_a_part_is_known_double_nothing_and_ask(lab: Page) -> None:
    taken = {"act": "answered", "answer": {**IDS, "state": "running", "seq": 4, "data": {"content": "abcd"}}}
    state = play(lab, STARTED, taken, delta(5, "abcde", first=1))
    assert (answer(state)["content"], state["needs"]["answers"]) == ("abcd", ["g"])
    whole = {**IDS, "state": "running", "seq": 5, "attempt": 1, "data": {"content": "abcde"}}
    mended = play(lab, STARTED, taken, delta(5, "abcde", first=1), {"act": "answered", "answer": whole})
    assert answer(mended)["content"] == "abcde"


def test_a_gap_asks_for_the_answer_now_and_once_more_at_its_end(lab: Page) -> None:
    steps = [STARTED, delta(1, "a"), delta(4, "d"), delta(6, "f")]
    assert play(lab, *steps)["needs"]["answers"] == ["g"]
    taken = {"act": "taken"}
    assert play(lab, *steps, taken, delta(9, "i"))["needs"]["answers"] == []
    assert play(lab, *steps, taken, {**DONE, "seq": 6})["needs"]["answers"] == ["g"]
    whole = {**IDS, "state": "running", "seq": 6, "attempt": 1, "data": {"content": "abcdef"}}
    mended = play(lab, *steps, taken, {"act": "answered", "answer": whole}, {**DONE, "seq": 6})
    assert (answer(mended)["content"], mended["needs"]["answers"]) == ("abcdef", [])


def test_an_end_that_tells_of_more_text_than_came_asks_for_it(lab: Page) -> None:
    assert play(lab, STARTED, delta(1, "a"), DONE)["needs"]["answers"] == ["g"]


def test_a_reply_older_than_the_stream_changes_nothing(lab: Page) -> None:
    old = {**IDS, "state": "running", "seq": 1, "attempt": 1, "data": {"content": "a"}}
    steps = [STARTED, delta(1, "a"), delta(2, "b")]
    assert answer(play(lab, *steps, {"act": "answered", "answer": old}))["content"] == "ab"
    ended = answer(play(lab, *steps, DONE, {"act": "answered", "answer": {**old, "seq": 2}}))
    assert (ended["phase"], ended["content"]) == ("done", "ab")


def test_a_second_attempt_clears_the_text_and_seq_goes_on(lab: Page) -> None:
    state = play(lab, STARTED, delta(1, "gone"), {**STARTED, "attempt": 2}, delta(2, "kept"))
    assert (answer(state)["content"], answer(state)["attempt"], answer(state)["rewritten"]) == ("kept", 2, 1)
    again = play(lab, STARTED, delta(1, "a"), STARTED)  # the same attempt said twice
    assert answer(again)["content"] == "a"


def test_nothing_follows_the_terminal_event(lab: Page) -> None:
    error = {"type": "error", "generationId": "g", "seq": 2, "code": "cut", "message": "m", "retryable": True}
    steps = [STARTED, delta(1, "a"), delta(2, "b"), DONE, delta(3, "c"), error, {**STARTED, "attempt": 2}]
    assert (answer(play(lab, *steps))["phase"], answer(play(lab, *steps))["content"]) == ("done", "ab")


def test_a_snapshot_replaces_the_text_unless_more_is_known(lab: Page) -> None:
    snapshot = {"type": "snapshot", **IDS, "seq": 3, "data": {"content": "abc", "reasoning": "hm"}}
    fresh = answer(play(lab, STARTED, delta(1, "a"), snapshot, delta(4, "d")))
    assert (fresh["content"], fresh["reasoning"], fresh["rewritten"]) == ("abcd", "hm", 0)
    known = play(lab, STARTED, *[delta(n, str(n)) for n in range(1, 5)], snapshot)
    assert answer(known)["content"] == "1234"


def test_a_reset_asks_for_the_conversation_and_doubts_what_runs(lab: Page) -> None:
    state = play(lab, STARTED, delta(1, "a"), {"type": "reset", "reason": "trimmed"})
    assert (state["needs"]["conversation"], answer(state)["unsure"]) == (True, True)


def test_done_of_the_client_asks_for_what_still_seems_to_run(lab: Page) -> None:
    assert play(lab, STARTED, delta(1, "a"), {"type": "[DONE]"})["needs"]["answers"] == ["g"]
    sent = {"act": "asked", "generationId": "h", "content": "q"}
    assert play(lab, sent, {"type": "[DONE]"})["needs"]["answers"] == []  # of the answer before it


def test_an_empty_page_goes_along_with_another_tab_and_a_busy_one_does_not(lab: Page) -> None:
    other = {**STARTED, "generationId": "h", "conversationId": "d"}
    assert play(lab, STARTED)["conversationId"] == "c"
    assert [turn["content"] for turn in play(lab, STARTED)["turns"]] == ["q", ""]
    state = play(lab, STARTED, other, {**delta(1, "no"), "generationId": "h"})
    assert (len(state["turns"]), state["needs"]["answers"]) == (2, [])
    assert play(lab, STARTED, {"act": "left"}, {**STARTED, "generationId": "h"})["turns"] == []


def test_an_unknown_answer_is_asked_for_once(lab: Page) -> None:
    assert play(lab, delta(5, "?"))["needs"]["answers"] == ["g"]
    elsewhere = {"act": "answered", "answer": {**IDS, "state": "running", "seq": 5, "data": {}}}
    state = play(lab, delta(5, "?"), {"act": "taken"}, elsewhere, delta(6, "?"))
    assert (state["needs"]["answers"], state["turns"]) == ([], [])


def test_a_failed_post_is_marked_unless_the_answer_has_begun(lab: Page) -> None:
    ask = {"act": "asked", "generationId": "g", "content": "q"}
    refused = {
        "act": "refused",
        "generationId": "g",
        "problem": {"status": 0, "code": "network", "detail": ""},
    }
    state = play(lab, ask, refused)
    assert [(t["kind"], t.get("sending")) for t in state["turns"]] == [("question", "failed")]
    state = play(lab, ask, STARTED, refused)
    assert (state["turns"][0]["sending"], answer(state)["phase"]) == ("sent", "thinking")
    late = play(lab, ask, refused, STARTED)
    assert [(t["kind"], t.get("sending")) for t in late["turns"]] == [("question", "sent"), ("answer", None)]


def test_a_stored_conversation_is_shown_with_what_runs_and_what_failed(lab: Page) -> None:
    stored = [
        {"role": "system", "content": "not shown"},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b", "generationId": "g1", "state": "done", "reason": "stopped"},
        {"role": "user", "content": [{"type": "text", "text": "c"}]},
    ]
    running = {"act": "loaded", "conversation": {"id": "c", "messages": stored, "generations": ["g2"]}}
    state = play(lab, running)
    assert [turn["key"] for turn in state["turns"]] == ["g1?", "g1", "g2?", "g2"]
    assert [turn["content"] for turn in state["turns"]] == ["a", "b", "c", ""]
    assert (state["turns"][1]["reason"], state["needs"]["answers"]) == ("stopped", ["g2"])
    failed = {"act": "loaded", "conversation": {"id": "c", "messages": stored}, "since": {"g2": 1}}
    assert (answer(play(lab, failed))["code"], play(lab, failed)["needs"]["answers"]) == (
        "unanswered",
        ["g2"],
    )


def test_what_the_server_has_lost_stays_on_the_screen(lab: Page) -> None:
    state = play(lab, STARTED, delta(1, "a"), {"act": "missing", "conversation": True})
    assert (answer(state)["code"], answer(state)["content"]) == ("interrupted", "a")
    assert (state["lost"], state["conversationId"]) == (True, "")


@pytest.mark.parametrize("event", [{"type": "later"}, {"type": "constructor"}, {"type": "__proto__"}, {}])
def test_unknown_events_change_nothing(lab: Page, event: dict[str, Any]) -> None:
    assert play(lab, STARTED, event) == play(lab, STARTED)


def test_notices_are_few_and_of_known_levels(lab: Page) -> None:
    news = [{"type": "broadcast", "data": {"message": f"n{n}"}, "level": "shouting"} for n in range(9)]
    notices = play(lab, *news)["notices"]
    assert [(n["text"], n["level"]) for n in notices] == [(f"n{n}", "info") for n in range(4, 9)]
