"""deltas: a row for every oddity that upstreams were seen to send, and messages that add up."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import UpstreamError
from app.relay.deltas import Delta, Finished, Message, Usage, merge, parse

USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}


def choice(delta: Any = None, **fields: Any) -> dict[str, Any]:
    """A chunk with one choice."""
    return {"id": "x", "choices": [{"index": 0, "delta": {} if delta is None else delta, **fields}]}


SAYS = {
    "text": (choice({"content": "a"}, finish_reason=None), [Delta({"content": "a"})]),
    "white space is text": (choice({"content": "\n"}), [Delta({"content": "\n"})]),
    "role only": (choice({"role": "assistant"}), []),
    "role and null content": (choice({"role": "assistant", "content": None}), []),
    "empty content": (choice({"content": ""}), []),
    "content that is no text": (choice({"content": {"a": 1}}), []),
    "empty choices, as Azure begins": ({"choices": [], "prompt_filter_results": [{"index": 0}]}, []),
    "no choices": ({"id": "x", "object": "chat.completion.chunk"}, []),
    "null choices": ({"choices": None}, []),
    "choices that are no list": ({"choices": {"index": 0}}, []),
    "a choice that is no object": ({"choices": [None, 1, "a"]}, []),
    "no delta, as Azure ends": ({"choices": [{"index": 0, "finish_reason": "stop"}]}, [Finished("stop")]),
    "null delta": ({"choices": [{"index": 0, "delta": None}]}, []),
    "a delta that is no object": ({"choices": [{"index": 0, "delta": "a"}]}, []),
    "no index": ({"choices": [{"delta": {"content": "a"}}]}, [Delta({"content": "a"})]),
    "null index": ({"choices": [{"index": None, "delta": {"content": "a"}}]}, [Delta({"content": "a"})]),
    "usage only": ({"choices": [], "usage": USAGE}, [Usage(USAGE)]),
    "usage without choices": ({"usage": USAGE}, [Usage(USAGE)]),
    "usage with text": (choice({"content": "a"}) | {"usage": USAGE}, [Delta({"content": "a"}), Usage(USAGE)]),
    "null usage": (choice({"content": "a"}) | {"usage": None}, [Delta({"content": "a"})]),
    "all in one chunk": (
        choice({"content": "a"}, finish_reason="stop") | {"usage": USAGE},
        [Delta({"content": "a"}), Finished("stop"), Usage(USAGE)],
    ),
    "an empty finish_reason means not yet": (
        choice({"content": "a"}, finish_reason=""),
        [Delta({"content": "a"})],
    ),
    "finished": (choice(finish_reason="length"), [Finished("length")]),
    "finished in the upstream's own word": (choice(finish_reason="abort"), [Finished("abort")]),
    "finished with the last text": (
        choice({"content": "a"}, finish_reason="stop"),
        [Delta({"content": "a"}), Finished("stop")],
    ),
    "choice 1 of several": ({"choices": [{"index": 1, "delta": {"content": "b"}}]}, []),
    "choice 0 of several, not first": (
        {"choices": [{"index": 1, "delta": {"content": "b"}}, {"index": 0, "delta": {"content": "a"}}]},
        [Delta({"content": "a"})],
    ),
    "the end of choice 1 is not the end": ({"choices": [{"index": 1, "finish_reason": "stop"}]}, []),
    "reasoning_content": (choice({"reasoning_content": "t"}), [Delta({"reasoning": "t"})]),
    "reasoning": (choice({"reasoning": "t"}), [Delta({"reasoning": "t"})]),
    "reasoning_text": (choice({"reasoning_text": "t"}), [Delta({"reasoning": "t"})]),
    "the same thought under two names": (
        choice({"reasoning": "t", "reasoning_content": "t"}),
        [Delta({"reasoning": "t"})],
    ),
    "a thought and text": (
        choice({"reasoning_content": "t", "content": "a"}),
        [Delta({"content": "a", "reasoning": "t"})],
    ),
    "an empty thought beside text": (
        choice({"reasoning_content": "", "content": "a"}),
        [Delta({"content": "a"})],
    ),
    "reasoning that is no text": (choice({"reasoning": {"effort": "high"}}), []),
    "a refusal": (choice({"refusal": "no"}), [Delta({"refusal": "no"})]),
    "a tool call": (choice({"tool_calls": [CALL]}), [Delta({"tool_calls": [CALL]})]),
    "null tool calls": (choice({"content": "a", "tool_calls": None}), [Delta({"content": "a"})]),
    "tool calls that are no objects": (choice({"tool_calls": [None, "f"]}), []),
    "tool calls that are no list": (choice({"content": "a", "tool_calls": 5}), [Delta({"content": "a"})]),
    "message instead of delta": (
        {"choices": [{"index": 0, "message": {"content": "a"}, "finish_reason": "stop"}]},
        [Delta({"content": "a"}), Finished("stop")],
    ),
    "the whole message again beside its last delta": (
        choice({}, message={"content": "all of it"}, finish_reason="stop"),
        [Finished("stop")],
    ),
    "null error": (choice({"content": "a"}) | {"error": None}, [Delta({"content": "a"})]),
}  # fmt: skip


@pytest.mark.parametrize(("payload", "said"), SAYS.values(), ids=SAYS)
def test_a_payload_says(payload: dict[str, Any], said: list[Any]) -> None:
    assert parse(json.dumps(payload)) == said


TEXTS = {
    "[DONE]": ("[DONE]", [Finished("")]),
    "a comment that a proxy wrapped": (": OPENROUTER PROCESSING", []),
    "an empty keep-alive": ("", []),
    "JSON over several lines": ('{\n"choices": [\n{"delta": {"content": "a"}}]}', [Delta({"content": "a"})]),
}


@pytest.mark.parametrize(("payload", "said"), TEXTS.values(), ids=TEXTS)
def test_what_is_not_one_line_of_json_says(payload: str, said: list[Any]) -> None:
    assert parse(payload) == said


@pytest.mark.parametrize(
    "payload",
    ['{"choices":[{"del', "<!doctype html>", "hello", "[]", "null", "5", '"text"', "[" * 100_000, "{}{}"],
)
def test_what_is_no_json_object_is_malformed_and_quoted_in_short(payload: str) -> None:
    with pytest.raises(UpstreamError) as error:
        parse(payload)
    assert (error.value.code, error.value.retryable) == ("malformed", True)
    assert payload[:20] in error.value.message
    assert len(error.value.message) < 300


ERRORS = {
    "OpenAI's": (
        {"message": "Overloaded", "type": "server_error", "code": None},
        "upstream_status",
        "Overloaded",
    ),
    "a text": ("it broke", "upstream_status", "it broke"),
    "no message": ({"type": "server_error"}, "upstream_status", "an error"),
    "null message": ({"message": None, "code": 500}, "upstream_status", "an error"),
    "a list": (["a", "b"], "upstream_status", "['a', 'b']"),
    "true": (True, "upstream_status", "True"),
    "rate limit by type": ({"message": "slow", "type": "rate_limit_error"}, "rate_limited", "slow"),
    "rate limit by code": ({"message": "slow", "code": "rate_limit_exceeded"}, "rate_limited", "slow"),
    "429": ({"message": "slow", "code": 429}, "rate_limited", "slow"),
    "invalid key by code": ({"message": "bad", "code": "invalid_api_key"}, "auth", "bad"),
    "401": ({"message": "bad", "code": 401}, "auth", "bad"),
    "authentication": ({"message": "bad", "type": "authentication_error"}, "auth", "bad"),
    "moderated is no rate": ({"message": "no", "code": "content_moderated"}, "upstream_status", "no"),
    "generate is no rate": ({"message": "no", "type": "generate_error"}, "upstream_status", "no"),
}


@pytest.mark.parametrize(("error", "code", "message"), ERRORS.values(), ids=ERRORS)
def test_an_error_inside_of_a_stream_is_told_by_its_kind(error: Any, code: str, message: str) -> None:
    with pytest.raises(UpstreamError) as raised:
        parse(json.dumps({"error": error}))
    assert raised.value.code == code
    assert message in raised.value.message
    assert raised.value.retryable is (code != "auth")


def test_an_error_comes_before_what_stands_beside_it() -> None:
    with pytest.raises(UpstreamError, match="broke"):
        parse(json.dumps(choice({"content": "a"}) | {"error": {"message": "it broke"}}))


def test_the_message_of_an_error_is_cut_short() -> None:
    with pytest.raises(UpstreamError) as raised:
        parse(json.dumps({"error": {"message": "x" * 100_000}}))
    assert len(raised.value.message) <= 500


NAMES = st.sampled_from(["choices", "delta", "index", "function", "name", "arguments", "error", "code"])
scalars = st.sampled_from([None, True, False, 0, 1, -1, 2, 0.5, "", "a", "é"])
anything = scalars | st.lists(scalars, max_size=2) | st.dictionaries(NAMES, scalars, max_size=3)
calls = st.lists(st.fixed_dictionaries({"index": anything, "id": scalars, "function": anything}), max_size=3)
delta = {"content": anything, "reasoning": anything, "tool_calls": calls | anything}
choices = st.fixed_dictionaries({"delta": st.fixed_dictionaries(delta), "finish_reason": anything})
chunks = st.fixed_dictionaries({"choices": st.lists(choices, max_size=2)}, optional={"usage": anything})


@settings(max_examples=400, deadline=None, database=None)
@given(chunks | st.dictionaries(NAMES, anything))
def test_whatever_an_upstream_sends_is_said_or_is_its_error(payload: dict[str, Any]) -> None:
    message = Message()
    try:
        for said in parse(json.dumps(payload)):
            if isinstance(said, Delta):
                message.add(said.data)
    except UpstreamError:
        return
    json.dumps(message.data())


def folded(*deltas: dict[str, Any]) -> dict[str, Any]:
    message = Message()
    for delta in deltas:
        message.add(delta)
    return message.data()


def called(name: str | None = None, arguments: Any = None, **fields: Any) -> dict[str, Any]:
    """A delta with a piece of a tool call."""
    function = {k: v for k, v in (("name", name), ("arguments", arguments)) if v is not None}
    return {"tool_calls": [{"index": 0, "function": function, **fields}]}


def whole_call(name: str, arguments: str, index: int = 0, **fields: Any) -> dict[str, Any]:
    return {"index": index, "function": {"name": name, "arguments": arguments}, **fields}


def test_a_message_without_deltas_has_empty_content_and_nothing_else() -> None:
    assert folded() == {"content": ""}


def test_texts_of_each_kind_add_up_apart() -> None:
    deltas = [{"reasoning": "t"}, {"reasoning": "u", "content": "a"}, {"content": "b"}, {"refusal": "n"}]
    assert folded(*deltas) == {"content": "ab", "reasoning": "tu", "refusal": "n"}


CALLS = {
    "at once": ([called("f", "{}", id="1", type="t")], [whole_call("f", "{}", id="1", type="t")]),
    "arguments in pieces": (
        [called("f", "", id="1"), called(arguments='{"a'), called(arguments='":1}')],
        [whole_call("f", '{"a":1}', id="1")],
    ),
    "a name in pieces": ([called("get_"), called("time")], [whole_call("get_time", "")]),
    "a late name": ([called(arguments="{}"), called("f")], [whole_call("f", "{}")]),
    "a late id": ([called("f"), called(id="1")], [whole_call("f", "", id="1")]),
    "an empty id later": (
        [called("f", id="1"), called(arguments="{}", id="")],
        [whole_call("f", "{}", id="1")],
    ),
    "arguments as an object": ([called("f", {"a": 1})], [whole_call("f", '{"a":1}')]),
    "no function": ([called("f"), {"tool_calls": [{"index": 0, "id": "1"}]}], [whole_call("f", "", id="1")]),
    "null function": ([{"tool_calls": [{"index": 0, "function": None}]}], [whole_call("", "")]),
    "no index": ([{"tool_calls": [{"function": {"name": "f"}}]}], [whole_call("f", "")]),
    "two, the second first": (
        [called("b", index=1), called("a"), called(arguments="{}", index=1)],
        [whole_call("a", ""), whole_call("b", "{}", index=1)],
    ),
    "two in one delta": (
        [{"tool_calls": [whole_call("a", "{}"), whole_call("b", "{}", index=1)]}],
        [whole_call("a", "{}"), whole_call("b", "{}", index=1)],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("deltas", "calls"), CALLS.values(), ids=CALLS)
def test_tool_calls_add_up(deltas: list[dict[str, Any]], calls: list[dict[str, Any]]) -> None:
    assert folded(*deltas) == {"content": "", "tool_calls": calls}


def test_folding_changes_no_delta_it_was_given() -> None:
    first, second = called("f", "{", id="1"), called(arguments="}")
    folded(first, second)
    assert (first, second) == (called("f", "{", id="1"), called(arguments="}"))


MERGED = {
    "texts": ([{"content": "a"}, {"content": "b"}], {"content": "ab"}),
    "one alone": ([{"content": "a"}], {"content": "a"}),
    "texts of each kind apart": (
        [{"reasoning": "t"}, {"reasoning": "u", "content": "a"}, {"refusal": "n"}, {"content": "b"}],
        {"reasoning": "tu", "content": "ab", "refusal": "n"},
    ),
    "pieces of calls, each as it came": (
        [called("f", "", id="1"), {"content": "a"}, called(arguments="{"), called(arguments="}")],
        {
            "tool_calls": [
                *called("f", "", id="1")["tool_calls"],
                *called(arguments="{")["tool_calls"],
                *called(arguments="}")["tool_calls"],
            ],
            "content": "a",
        },
    ),
    "what no message adds up": ([{"x": 1, "content": "a"}, {"x": [2]}], {"x": [2], "content": "a"}),
}  # fmt: skip


@pytest.mark.parametrize(("deltas", "data"), MERGED.values(), ids=MERGED)
def test_deltas_merge_into_one(deltas: list[dict[str, Any]], data: dict[str, Any]) -> None:
    assert merge(deltas) == data


any_data = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("content", "reasoning", "refusal"), st.text(max_size=3)),
        "tool_calls": st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "index": st.integers(0, 2) | anything,
                    "id": scalars,
                    "function": anything
                    | st.fixed_dictionaries({}, optional={"name": anything, "arguments": anything}),
                },
            ),
            max_size=3,
        ),
    },
)


@settings(max_examples=400, deadline=None, database=None)
@given(st.lists(any_data, min_size=1, max_size=8), st.data())
def test_merged_deltas_add_up_to_what_each_of_them_adds(deltas: list[dict[str, Any]], draw: Any) -> None:
    before = json.dumps(deltas)
    cut = draw.draw(st.integers(1, len(deltas)))
    merged = [merge(deltas[:cut]), *deltas[cut:]]
    assert folded(*merged) == folded(*deltas) == folded(merge(merged))
    assert json.dumps(deltas) == before
