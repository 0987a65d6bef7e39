"""What of a conversation a model can hold: the newest turns, the instructions, and room for the answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.chat.fit import fit, tokens

Message = dict[str, Any]


def said(role: str, text: str) -> Message:
    return {"role": role, "content": text}


def turns(count: int, words: str = "x" * 30) -> list[Message]:
    """A conversation of `count` answered questions and one more question."""
    answered = [
        m for i in range(count) for m in (said("user", f"q{i} {words}"), said("assistant", f"a{i} {words}"))
    ]
    return [*answered, said("user", f"q{count} {words}")]


def test_without_a_limit_everything_is_told() -> None:
    messages = turns(1000)
    assert fit(messages, 0, 0) == messages


def test_what_fits_is_told_as_it_is() -> None:
    messages = turns(3)
    assert fit(messages, sum(map(tokens, messages)) + 100, 100) == messages


def test_the_oldest_turns_go_first_and_the_rest_begins_with_a_question() -> None:
    messages = turns(5)
    for missing in range(1, 9):
        room = sum(map(tokens, messages[missing:])) + 100
        told = fit(messages, room, 100)
        assert told == messages[missing + missing % 2 :], missing


def test_instructions_stay_wherever_they_stand() -> None:
    first, late = said("system", "Be brief."), said("developer", "Use German.")
    messages = [first, *turns(5)[:4], late, *turns(5)[4:]]
    room = sum(map(tokens, (first, late, messages[-1]))) + 1
    assert fit(messages, room, 0) == [first, late, messages[-1]]


def test_the_last_message_stays_even_where_it_alone_is_too_long() -> None:
    messages = [*turns(2), said("assistant", "a"), said("user", "long " * 1000)]
    assert fit(messages, 100, 50) == messages[-1:]
    assert fit(messages, 100, 1000) == messages[-1:]


def test_a_last_message_that_is_no_question_stays_too() -> None:
    messages = [said("user", "x" * 300), {"role": "tool", "content": "42", "tool_call_id": "c"}]
    assert fit(messages, 50, 10) == messages[-1:]
    prefill = [said("user", "x" * 300), said("assistant", "Once upon")]
    assert fit(prefill, 50, 10) == prefill[-1:]


def test_a_tools_result_is_not_told_without_the_call_it_answers() -> None:
    call = {
        "role": "assistant",
        "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "x" * 300}}],
    }
    result = {"role": "tool", "content": "42", "tool_call_id": "c"}
    messages = [said("user", "q0"), call, result, said("assistant", "a0"), said("user", "q1")]
    room = tokens(messages[-1]) + tokens(messages[-2]) + tokens(result) + 1
    assert fit(messages, room, 0) == messages[-1:]


def test_nothing_newer_is_told_without_what_stands_between() -> None:
    messages = [
        said("user", "tiny"),
        said("assistant", "x" * 3000),
        said("user", "q"),
        said("assistant", "a"),
        said("user", "last"),
    ]
    told = fit(messages, 200, 0)
    assert told == messages[2:]


def test_a_history_of_thousands_is_no_trouble() -> None:
    answers = [said("assistant", "x")] * 5000
    assert fit([*answers, said("user", "q")], 1_000_000, 0) == [said("user", "q")]


def test_no_message_is_changed_and_none_is_made_up() -> None:
    messages = turns(4)
    before = [dict(m) for m in messages]
    told = fit(messages, 120, 10)
    assert messages == before
    assert all(any(m is original for original in messages) for m in told)


ROLES = st.sampled_from(["system", "user", "assistant", "tool", "developer"])
MESSAGES = st.lists(st.builds(said, ROLES, st.text(max_size=60)), min_size=1, max_size=25)


@settings(deadline=None, max_examples=60)
@given(MESSAGES, st.integers(1, 400), st.integers(0, 200))
def test_what_is_told_is_in_order_ends_with_the_last_and_fits_where_it_can(
    messages: list[Message], context: int, answer: int
) -> None:
    told = fit(messages, context, answer)
    places = [next(i for i, m in enumerate(messages) if m is each) for each in told]
    assert places == sorted(set(places))
    assert told[-1] is messages[-1]
    fixed = [m for m in messages if m["role"] in ("system", "developer")]
    assert [m for m in told if m["role"] in ("system", "developer")] == fixed
    free = [m for m in told[:-1] if m["role"] not in ("system", "developer")]
    assert not free or (sum(map(tokens, told)) + answer <= context and free[0]["role"] == "user")


# --- the estimate -------------------------------------------------------------------------------------


def test_english_is_estimated_from_above_and_not_by_far() -> None:
    text = "The quick brown fox jumps over the lazy dog, and then it rests for a while. " * 20
    assert len(text) / 4 < tokens(said("user", text)) < len(text) / 2


def test_other_scripts_count_by_their_bytes() -> None:
    for text in ("日本語の文章", "Привет", "🦊🦊"):
        assert tokens(said("user", text)) >= len(text.encode())


def test_each_message_costs_what_a_template_puts_around_it() -> None:
    assert tokens(said("user", "")) >= 4
    assert tokens({"role": "assistant", "content": None}) >= 4
    assert tokens({"role": "assistant"}) >= 4


def test_digits_count_one_each_as_many_vocabularies_have_it() -> None:
    assert tokens(said("user", "3.14159265358979" * 50)) >= 16 * 50


@pytest.mark.parametrize("field", ["tool_calls", "name", "tool_call_id"])
def test_what_a_message_holds_beside_its_text_counts_too(field: str) -> None:
    more = [{"function": {"arguments": "word " * 300}}] if field == "tool_calls" else "word " * 300
    assert tokens({"role": "assistant", "content": "x", field: more}) > 300


def test_parts_count_with_all_they_hold() -> None:
    assert tokens({"role": "user", "content": [{"type": "text", "text": "word " * 300}]}) > 300
