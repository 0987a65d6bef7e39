"""generation: one terminal event whoever ends it, and at each moment a view that is true."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from app.errors import UpstreamError
from app.relay.generation import Generation
from tests.relay import Beside, make_generation

BEGAN = 1000.0
USAGE = {"prompt_tokens": 3, "completion_tokens": 10, "total_tokens": 13}
CUT = UpstreamError("cut", "it broke off")


@pytest.fixture
def generation() -> Generation:
    """One whose first try has begun."""
    made = make_generation(BEGAN)
    made.started()
    return made


def say(generation: Generation, *words: str, at: float = BEGAN + 1) -> None:
    for word in words:
        generation.add({"content": word}, len(word), at)


# --- what its events say ---------------------------------------------------------------------------------


def test_started_tells_what_is_asked_and_of_whom(generation: Generation) -> None:
    assert generation.started() == {
        "generationId": "g",
        "conversationId": "talk",
        "model": "m",
        "attempt": 1,
        "data": {"role": "user", "content": "hi"},
    }


def test_deltas_are_numbered_from_one(generation: Generation) -> None:
    first = generation.add({"content": "a"}, 1, BEGAN)
    second = generation.add({"reasoning": "b"}, 1, BEGAN)
    assert first == {"generationId": "g", "seq": 1, "data": {"content": "a"}}
    assert second == {"generationId": "g", "seq": 2, "data": {"reasoning": "b"}}


def test_done_tells_all_there_is_to_tell(generation: Generation) -> None:
    say(generation, "a", "b", at=BEGAN + 0.5)
    generation.usage = USAGE
    assert generation.finish("stop", BEGAN + 2.5) == {
        "generationId": "g",
        "seq": 2,
        "reason": "stop",
        "usage": USAGE,
        "timing": {"first_token_ms": 500.0, "total_ms": 2500.0, "tokens_per_s": 5.0},
        "attempts": 1,
        "upstream": "up",
        "model": "m",
    }


def test_an_error_tells_its_code_and_whether_text_was_kept(generation: Generation) -> None:
    say(generation, "a")
    assert generation.fail(CUT, BEGAN + 2) == {
        "generationId": "g",
        "seq": 1,
        "code": "cut",
        "message": "it broke off",
        "retryable": True,
        "partial": True,
    }


def test_an_error_before_any_text_keeps_none(generation: Generation) -> None:
    fields = generation.fail(UpstreamError("auth", "no", retryable=False), BEGAN)
    assert fields
    assert (fields["seq"], fields["partial"], fields["retryable"]) == (0, False, False)


def test_an_error_after_a_restart_and_before_its_first_text_keeps_none(generation: Generation) -> None:
    """What the first try said was cleared, on the page too."""
    say(generation, "a")
    generation.restart("up", "m", BEGAN + 2)
    fields = generation.fail(CUT, BEGAN + 3)
    assert fields
    assert fields["partial"] is False


# --- counting --------------------------------------------------------------------------------------------


def test_where_the_upstream_does_not_count_usage_is_estimated_and_says_so(generation: Generation) -> None:
    generation.messages = [{"content": "x" * 9}, {"content": None}, {"role": "user"}]
    say(generation, "a", "b", "c")
    fields = generation.finish("stop", BEGAN + 2)
    assert fields
    usage = fields["usage"]
    assert usage["completion_tokens"] == 3
    assert usage["prompt_tokens"] >= 3
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["estimated"] is True


def test_where_nobody_was_asked_nothing_was_used() -> None:
    fields = make_generation(BEGAN).finish("stopped", BEGAN + 2)
    assert fields
    assert (fields["attempts"], fields["upstream"]) == (0, "")
    assert fields["usage"] == {
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "total_tokens": 0,
        "estimated": True,
    }


def test_several_tokens_in_a_delta_are_estimated_by_their_letters(generation: Generation) -> None:
    say(generation, "x" * 400)
    fields = generation.finish("stopped", BEGAN + 2)
    assert fields
    assert fields["usage"]["completion_tokens"] == 100


def test_what_is_counted_is_of_the_try_that_made_the_answer(generation: Generation) -> None:
    say(generation, *"abcdefgh", at=BEGAN + 1)
    generation.restart("up", "m", BEGAN + 2)
    say(generation, "a", "b", at=BEGAN + 3)
    fields = generation.finish("stop", BEGAN + 4)
    assert fields
    assert (fields["usage"]["completion_tokens"], fields["timing"]["tokens_per_s"]) == (2, 2.0)
    assert (fields["timing"]["first_token_ms"], fields["seq"]) == (1000.0, 10)


def test_what_it_was_asked_is_let_go_of_once_it_is_only_remembered(generation: Generation) -> None:
    generation.prepare = list
    say(generation, "a", "b")
    generation.finish("stop", BEGAN + 2)
    generation.let_go()
    assert (generation.messages, generation.prepare, generation.question.said) == ([], None, {})
    assert generation.view(ended=True)["data"] == {"content": "ab"}


def test_an_answer_without_a_token_has_no_rate_and_no_first_token(generation: Generation) -> None:
    fields = generation.finish("stopped", BEGAN + 2)
    assert fields
    assert fields["timing"] == {"first_token_ms": None, "total_ms": 2000.0, "tokens_per_s": None}


def test_an_answer_in_one_piece_has_no_rate(generation: Generation) -> None:
    say(generation, "all", at=BEGAN + 2)
    fields = generation.finish("stop", BEGAN + 2)
    assert fields
    assert fields["timing"] == {"first_token_ms": 2000.0, "total_ms": 2000.0, "tokens_per_s": None}


def test_the_first_token_may_come_when_a_clock_shows_zero() -> None:
    generation = make_generation(-1.0)
    say(generation, "a", at=0.0)
    say(generation, "b", at=1.0)
    fields = generation.finish("stop", 1.0)
    assert fields
    assert fields["timing"] == {"first_token_ms": 1000.0, "total_ms": 2000.0, "tokens_per_s": 2.0}


@pytest.mark.parametrize("tokens", ["many", [1], {"text": 5}, True, None, -1, 1.5, "7"], ids=repr)
def test_a_count_that_is_none_does_not_keep_an_answer_from_ending(
    generation: Generation, tokens: Any
) -> None:
    say(generation, "a")
    generation.usage = {"completion_tokens": tokens}
    assert generation.finish("stop", BEGAN + 2)
    assert generation.view(ended=True)["reason"] == "stop"


# --- another try -----------------------------------------------------------------------------------------


def test_another_try_clears_the_text_and_counts_on(generation: Generation) -> None:
    say(generation, "a", "b")
    generation.restart("up", "m", BEGAN + 2)
    assert generation.view(ended=False)["data"] == {"content": ""}
    assert generation.started()["attempt"] == 2
    assert generation.add({"content": "c"}, 1, BEGAN + 3)["seq"] == 3
    assert generation.view(ended=False)["data"] == {"content": "c"}


def test_what_the_failed_try_used_is_not_told_as_the_usage_of_the_next(generation: Generation) -> None:
    generation.usage = USAGE
    generation.restart("up", "m", BEGAN + 1)
    say(generation, "a", at=BEGAN + 2)
    fields = generation.finish("stop", BEGAN + 3)
    assert fields
    assert fields["usage"]["estimated"] is True


def test_another_try_winds_its_clocks_up(generation: Generation) -> None:
    generation.restart("up", "m", BEGAN + 299)
    assert generation.clocks.rang(BEGAN + 301) == ""


def test_another_try_hangs_on_another_line(generation: Generation) -> None:
    generation.line.cut("timeout_first")
    generation.restart("up", "m", BEGAN + 1)
    assert generation.line.why == ""


def test_a_stop_between_two_tries_cuts_the_next(generation: Generation) -> None:
    generation.stop("stopped")
    generation.restart("up", "m", BEGAN + 1)
    assert generation.line.why == "stopped"


# --- stopping --------------------------------------------------------------------------------------------


def test_a_stop_wakes_from_a_wait_and_cuts_the_line(generation: Generation) -> None:
    generation.stop("stopped")
    assert generation.woken.is_set()
    assert generation.line.why == "stopped"
    assert generation.state == "running"  # it is the worker that ends it


def test_the_first_reason_to_stop_stays(generation: Generation) -> None:
    generation.stop("stopped")
    generation.stop("interrupted")
    assert generation.stopping == "stopped"


# --- the end ---------------------------------------------------------------------------------------------

Ending = Callable[[Generation], Any]
ENDINGS: dict[str, Ending] = {
    "finish": lambda generation: generation.finish("stop", BEGAN + 2),
    "fail": lambda generation: generation.fail(CUT, BEGAN + 2),
}


@pytest.mark.parametrize("second", ENDINGS.values(), ids=ENDINGS)
@pytest.mark.parametrize("first", ENDINGS.values(), ids=ENDINGS)
def test_the_first_to_end_it_wins(generation: Generation, first: Ending, second: Ending) -> None:
    fields = first(generation)
    assert fields
    before = generation.view(ended=True)
    assert second(generation) is None
    assert generation.view(ended=True) == before


def test_of_many_who_end_it_at_once_exactly_one_does(generation: Generation) -> None:
    together = threading.Barrier(16)

    def end(way: Ending) -> Any:
        together.wait(5)
        return way(generation)

    racers = [Beside(end, list(ENDINGS.values())[i % 2]) for i in range(16)]
    won = [fields for fields in (racer.result() for racer in racers) if fields]
    assert len(won) == 1
    assert generation.state == ("done" if "reason" in won[0] else "error")
    assert generation.end == won[0]


# --- the view --------------------------------------------------------------------------------------------

RUNNING = {
    "generationId": "g",
    "conversationId": "talk",
    "state": "running",
    "attempt": 1,
    "data": {"content": ""},
    "seq": 0,
    "usage": None,
    "timing": None,
    "lastEventId": "",
}


def test_the_view_before_the_first_text(generation: Generation) -> None:
    assert generation.view(ended=False) == generation.view(ended=True) == RUNNING


def test_the_view_in_the_middle(generation: Generation) -> None:
    say(generation, "a", "b")
    generation.last_event_id = "e.7"
    said = {"data": {"content": "ab"}, "seq": 2, "lastEventId": "e.7"}
    assert generation.view(ended=False) == RUNNING | said


@pytest.mark.parametrize(("end", "state"), [("finish", "done"), ("fail", "error")])
def test_the_view_after_the_end_has_all_that_its_event_said(
    generation: Generation, end: str, state: str
) -> None:
    say(generation, "a")
    fields = ENDINGS[end](generation)
    assert generation.view(ended=True) == RUNNING | fields | {"state": state, "data": {"content": "a"}}


def test_until_its_end_may_be_told_the_view_shows_it_running(generation: Generation) -> None:
    say(generation, "a")
    generation.finish("stop", BEGAN + 2)
    assert generation.view(ended=False) == RUNNING | {"data": {"content": "a"}, "seq": 1}


def test_a_repr_tells_who_asked_and_how_far_it_is(generation: Generation) -> None:
    say(generation, "secret")
    assert repr(generation) == "<Generation g of c: running, 1 deltas>"
