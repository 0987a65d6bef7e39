"""payloads, reported: a row for every oddity that upstreams were seen to send, whose fault an error is."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import UpstreamError
from app.relay.deltas import Delta, Finished, Message, Usage
from app.relay.payloads import Payloads, document

USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}


def called(name: str, arguments: str, **fields: Any) -> dict[str, Any]:
    return {"index": 0, **fields, "function": {"name": name, "arguments": arguments}}


def said(payload: str, event: str = "message") -> list[Any]:
    return list(Payloads().said(payload.encode(), event))


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
    "choice 0 is missing among several": ({"choices": [{"index": 2, "delta": {"content": "c"}}]}, []),
    "content in parts": (
        choice({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}),
        [Delta({"content": "ab"})],
    ),
    "a thought in parts beside text in parts, as Mistral sends it": (
        choice(
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "t"}]},
                    {"type": "text", "text": "a"},
                ]
            }
        ),
        [Delta({"content": "a", "reasoning": "t"})],
    ),
    "a thought as a part that is text": (
        choice({"content": [{"type": "thinking", "thinking": "t"}]}),
        [Delta({"reasoning": "t"})],
    ),
    "parts that are no text": (
        choice({"content": [None, "a", {"type": "image"}, {"text": 5}, {"thinking": 5}]}),
        [],
    ),
    "a thought in parts and under a name too": (
        choice({"content": [{"thinking": "t"}], "reasoning": "t"}),
        [Delta({"reasoning": "t"})],
    ),
    "a call as it was called before": (
        choice({"function_call": {"name": "f", "arguments": "{"}}),
        [Delta({"tool_calls": [called("f", "{", type="function")]})],
    ),
    "null function_call": (choice({"content": "a", "function_call": None}), [Delta({"content": "a"})]),
    "the end of a call as it was called before": (
        choice(finish_reason="function_call"),
        [Finished("tool_calls")],
    ),
    "usage within the choice, as Moonshot sends it": (
        choice(finish_reason="stop", usage=USAGE),
        [Finished("stop"), Usage(USAGE)],
    ),
    "an empty error": (choice({"content": "a"}) | {"error": {}}, [Delta({"content": "a"})]),
    "null error": (choice({"content": "a"}) | {"error": None}, [Delta({"content": "a"})]),
}  # fmt: skip


@pytest.mark.parametrize(("payload", "expected"), SAYS.values(), ids=SAYS)
def test_a_payload_says(payload: dict[str, Any], expected: list[Any]) -> None:
    assert said(json.dumps(payload)) == expected


def content(text: str) -> str:
    return json.dumps(choice({"content": text}))


BROKEN = '{"id":"x","choices":[{"index":0,"del'
A, B = Delta({"content": "a"}), Delta({"content": "b"})
TEXTS = {
    "[DONE]": ("[DONE]", [Finished("")]),
    "a comment that a proxy wrapped": (": OPENROUTER PROCESSING", []),
    "an empty keep-alive": ("", []),
    "white space": (" \n ", []),
    "JSON over several lines": ('{\n"choices": [\n{"delta": {"content": "a"}}]}', [A]),
    "half an event and the next": (f"{BROKEN}data: {content('a')}", [A]),
    "half an event and the next, without a space": (f"{BROKEN}data:{content('a')}", [A]),
    "half an event, its line end, and the next": (f"{BROKEN}\n{content('a')}", [A]),
    "two whole events and no line end": (f"{content('a')}data: {content('b')}", [A, B]),
    "two whole events and no blank line": (f"{content('a')}\n{content('b')}", [A, B]),
    "a whole event, half of one, a whole one": (f"{content('a')}data: {BROKEN}data: {content('b')}", [A, B]),
    "an event and [DONE] and no blank line": (f"{content('a')}\n[DONE]", [A, Finished("")]),
    "a text that speaks of events": (content("data: {}\ndata: {"), [Delta({"content": "data: {}\ndata: {"})]),
    "NaN": ('{"choices":[{"delta":{"content":"a"},"logprobs":[NaN,-Infinity]}]}', [A]),
    "a raw tab within a text": ('{"choices":[{"delta":{"content":"a\tb"}}]}', [Delta({"content": "a\tb"})]),
    "half a character": (r'{"choices":[{"delta":{"content":"a\ud83d"}}]}', [Delta({"content": "a\ufffd"})]),
    "the other half": (r'{"choices":[{"delta":{"content":"\ude00a"}}]}', [Delta({"content": "\ufffda"})]),
    "half a character beside a whole one": (
        r'{"choices":[{"delta":{"content":"\ud83d\ud83d\ude00\ude00"}}]}',
        [Delta({"content": "\ufffd😀\ufffd"})],
    ),
    "what looks like half a character after an escaped backslash": (
        r'{"choices":[{"delta":{"content":"\\ud83d \\\ud83d \\ud83d\ude00"}}]}',
        [Delta({"content": "\\ud83d \\\ufffd \\ud83d\ufffd"})],
    ),
    "a number beyond 64 bits": (
        '{"choices":[{"delta":{"content":"a"},"logprobs":NaN}],"usage":{"n":99999999999999999999999}}',
        [A, Usage({"n": 1e23})],
    ),
}


@pytest.mark.parametrize(("payload", "expected"), TEXTS.values(), ids=TEXTS)
def test_what_is_not_one_line_of_json_says(payload: str, expected: list[Any]) -> None:
    assert said(payload) == expected
    assert all(orjson.dumps(item.data) for item in said(payload) if isinstance(item, Delta | Usage))


@pytest.mark.parametrize("name", ["ping", "heartbeat", "keepalive", "keep-alive"])
@pytest.mark.parametrize("payload", ["", "{}", "still here", content("a")])
def test_an_event_that_keeps_alive_says_nothing_whatever_is_in_it(name: str, payload: str) -> None:
    assert said(payload, name) == []


def test_an_event_of_another_name_is_read_by_its_data() -> None:
    assert said(content("a"), "chunk") == [A]


@pytest.mark.parametrize(
    "payload",
    [
        *('{"choices":[{"del', "<!doctype html>", "hello", "[]", "null", "5", '"text"', "{}{}", "[NaN]"),
        *("[" * 100_000, '{"a":' * 100_000, f"{BROKEN}data: {BROKEN}", f'{BROKEN}data: {{"x":1}}', "{[DONE]"),
        *(content("a") + "data: " + BROKEN, "data: {}" * 1000),
    ],
    ids="{:.30}".format,
)
def test_what_is_no_json_object_is_malformed_and_quoted_in_short(payload: str) -> None:
    with pytest.raises(UpstreamError) as error:
        said(payload)
    assert (error.value.code, error.value.retryable) == ("malformed", True)
    assert payload[:20] in error.value.message
    assert len(error.value.message) < 300


def test_that_events_came_glued_together_is_noted(caplog: pytest.LogCaptureFixture) -> None:
    """And not logged: what reads on an event loop may not wait for a log."""
    payloads = Payloads()
    assert not payloads.glued
    for _ in range(3):
        assert list(payloads.said(f"{BROKEN}data: {content('secret')}".encode())) == [
            Delta({"content": "secret"})
        ]
    assert payloads.glued
    assert caplog.text == ""


def test_an_error_glued_to_half_an_event_is_told_and_the_text_before_it_too() -> None:
    heard = iter(Payloads().said(f'{content("a")}data: {BROKEN}data: {{"error":"it broke"}}'.encode()))
    assert next(heard) == A
    with pytest.raises(UpstreamError, match="it broke"):
        next(heard)


ERRORS = {
    "OpenAI's": ({"type": "server_error", "code": None}, "upstream_status", True),
    "Anthropic's": ({"type": "overloaded_error"}, "upstream_status", True),
    "a kind nobody knows": ({"type": "moon_in_the_way"}, "upstream_status", True),
    "a code nobody knows": ({"code": 1302}, "upstream_status", True),
    "a code that is no code": ({"code": {"a": 429}}, "upstream_status", True),
    "408": ({"code": 408}, "upstream_status", True),
    "409": ({"code": "409"}, "upstream_status", True),
    "425": ({"status": 425}, "upstream_status", True),
    "502, as OpenRouter says it": ({"code": 502}, "upstream_status", True),
    "529": ({"status": "529"}, "upstream_status", True),
    "error_503": ({"code": "error_503"}, "upstream_status", True),
    "a number wins over words": ({"code": 503, "type": "invalid_request_error"}, "upstream_status", True),
    "429": ({"code": 429}, "rate_limited", True),
    "429 as a text": ({"code": "429"}, "rate_limited", True),
    "429 as the status": ({"status": 429, "code": "x"}, "rate_limited", True),
    "rate limit by type": ({"type": "rate_limit_error"}, "rate_limited", True),
    "rate limit by code": ({"code": "rate_limit_exceeded", "type": "tokens"}, "rate_limited", True),
    "Google's rate limit": ({"status": "RESOURCE_EXHAUSTED"}, "rate_limited", True),
    "generate is no rate": ({"type": "generate_error"}, "upstream_status", True),
    "400": ({"code": 400}, "upstream_status", False),
    "400 with vLLM's word": ({"type": "BadRequestError", "code": 400}, "upstream_status", False),
    "vLLM's word alone": ({"type": "BadRequestError"}, "upstream_status", False),
    "402": ({"code": 402}, "upstream_status", False),
    "404": ({"code": "404"}, "upstream_status", False),
    "413": ({"status": 413}, "upstream_status", False),
    "422": ({"code": 422}, "upstream_status", False),
    "a request that is wrong": ({"type": "invalid_request_error"}, "upstream_status", False),
    "a context that is too long": ({"code": "context_length_exceeded"}, "upstream_status", False),
    "a model nobody has": ({"code": "model_not_found"}, "upstream_status", False),
    "a policy": ({"code": "content_policy_violation"}, "upstream_status", False),
    "a filter": ({"code": "content_filter"}, "upstream_status", False),
    "moderated is no rate": ({"code": "content_moderated"}, "upstream_status", False),
    "TGI's": ({"error_type": "validation"}, "upstream_status", False),
    "invalid key by code": ({"code": "invalid_api_key", "type": "invalid_request_error"}, "auth", False),
    "401": ({"code": 401}, "auth", False),
    "403": ({"code": "403"}, "auth", False),
    "authentication": ({"type": "authentication_error"}, "auth", False),
    "permission": ({"status": "PERMISSION_DENIED"}, "auth", False),
}  # fmt: skip


@pytest.mark.parametrize(("error", "code", "retryable"), ERRORS.values(), ids=ERRORS)
def test_an_error_inside_of_a_stream_is_told_by_its_kind(error: Any, code: str, retryable: bool) -> None:
    with pytest.raises(UpstreamError, match="it broke") as raised:
        said(json.dumps({"error": {"message": "it broke", **error}}))
    assert (raised.value.code, raised.value.retryable) == (code, retryable)


WORDED = {
    "no message": ({"error": {"type": "server_error"}}, "an error"),
    "null message": ({"error": {"message": None, "code": 500}}, "an error"),
    "true": ({"error": True}, "True"),
    "true, with the message beside it": ({"error": True, "message": "it broke"}, "it broke"),
    "a text": ({"error": "it broke"}, "it broke"),
    "a list": ({"error": ["it broke"]}, "it broke"),
    "a text, with the message beside it": ({"error": "E1", "message": "it broke"}, "it broke"),
    "an object that is one": ({"object": "error", "message": "it broke", "code": 400}, "it broke"),
    "a type that is one": ({"type": "error", "message": "it broke"}, "it broke"),
    "beside text": (choice({"content": "a"}) | {"error": {"message": "it broke"}}, "it broke"),
    "within the choice": (choice({"content": "a"}, error={"message": "it broke"}), "it broke"),
    "a finish_reason": (choice(finish_reason="error"), "ended with an error"),
    "a finish_reason and an error within the choice": (
        choice(finish_reason="error", error={"message": "it broke"}),
        "it broke",
    ),
}


@pytest.mark.parametrize(("payload", "message"), WORDED.values(), ids=WORDED)
def test_an_error_is_found_wherever_it_stands(payload: dict[str, Any], message: str) -> None:
    with pytest.raises(UpstreamError, match=f"The upstream reports: .*{message}") as raised:
        said(json.dumps(payload))
    assert raised.value.code == "upstream_status"


EVENTS = {
    "without a key that says so": ('{"message":"overloaded","type":"overloaded_error"}', "overloaded", True),
    "with one": ('{"type":"error","error":{"message":"no","type":"invalid_request_error"}}', "no", False),
    "no JSON": ("upstream timed out", "upstream timed out", True),
    "nothing": ("", "an error", True),
    "null": ("null", "an error", True),
    "after half an event": (f'{BROKEN}\n{{"error":{{"message":"it broke"}}}}', "it broke", True),
}


@pytest.mark.parametrize(("payload", "message", "retryable"), EVENTS.values(), ids=EVENTS)
def test_an_event_named_error_is_one_whatever_is_in_it(payload: str, message: str, retryable: bool) -> None:
    with pytest.raises(UpstreamError) as raised:
        said(payload, "error")
    assert raised.value.message == f"The upstream reports: {message}"
    assert raised.value.retryable is retryable


WAITS = {
    "seconds": ({"retry_after": 7}, 7.0),
    "a text that is a number": ({"retry_after": "1.5"}, 1.5),
    "milliseconds": ({"retry_after_ms": 250}, 0.25),
    "beside it": ({"metadata": {"retry_after_seconds": 3}}, 3.0),
    "no number": ({"retry_after": "soon"}, None),
    "true": ({"retry_after": True}, None),
    "a list": ({"retry_after": [3]}, None),
    "less than nothing": ({"retry_after": -1}, None),
    "for ever": ({"retry_after": "inf"}, None),
    "not a number": ({"retry_after": "nan"}, None),
    "nonsense beside it": ({"metadata": "retry_after"}, None),
    "nothing": ({}, None),
}


@pytest.mark.parametrize(("fields", "seconds"), WAITS.values(), ids=WAITS)
def test_an_error_says_how_long_to_wait_as(fields: dict[str, Any], seconds: float | None) -> None:
    with pytest.raises(UpstreamError) as raised:
        said(json.dumps({"error": {"message": "slow", "code": 429, **fields}}))
    assert raised.value.retry_after == seconds


def test_the_message_of_an_error_is_cut_short() -> None:
    with pytest.raises(UpstreamError) as raised:
        said(json.dumps({"error": {"message": "x" * 100_000}}))
    assert len(raised.value.message) <= 300


WHOLE = {"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}
TWO = [{"id": name, "function": {"name": name, "arguments": "{}"}} for name in ("f", "g")]
DOCUMENTS = {
    "text": ({"choices": [WHOLE], "usage": USAGE}, [A, Finished("stop"), Usage(USAGE)]),
    "several choices": ({"choices": [WHOLE | {"index": 1}, WHOLE]}, [A, Finished("stop")]),
    "no reason": ({"choices": [WHOLE | {"finish_reason": None}]}, [A, Finished("")]),
    "no text": ({"choices": [WHOLE | {"message": {"content": None}}]}, [Finished("stop")]),
    "two calls without an index": (
        {
            "choices": [
                {"message": {"tool_calls": [TWO[0], TWO[1]]}, "finish_reason": "tool_calls"},
            ]
        },
        [Delta({"tool_calls": [{"index": 0, **TWO[0]}, {"index": 1, **TWO[1]}]}), Finished("tool_calls")],
    ),
}


@pytest.mark.parametrize(("body", "expected"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_whole_completion_in_the_place_of_a_stream_is_an_answer(
    body: dict[str, Any], expected: list[Any]
) -> None:
    assert document(json.dumps(body).encode()) == expected


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"null", b'{"choices":[]}', b'{"detail":"Not Found"}', b'{"choices":[{"message":',
     json.dumps(choice({"content": "a"})).encode(), b"data: [DONE]"],
)  # fmt: skip
def test_any_other_document_is_no_stream_and_not_worth_a_retry(body: bytes) -> None:
    with pytest.raises(UpstreamError) as raised:
        document(body)
    assert (raised.value.code, raised.value.retryable) == ("not_a_stream", False)
    assert body.decode()[:20] in raised.value.message


def test_an_error_as_a_document_is_told_by_its_kind() -> None:
    with pytest.raises(UpstreamError, match="slow") as raised:
        document(b'{"error":{"message":"slow","code":429,"retry_after":2}}')
    assert (raised.value.code, raised.value.retry_after) == ("rate_limited", 2.0)


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
        for item in said(json.dumps(payload)):
            if isinstance(item, Delta):
                message.add(item.data)
    except UpstreamError:
        return
    json.dumps(message.data())
