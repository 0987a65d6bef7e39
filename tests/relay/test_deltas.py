"""deltas: the pieces of tool calls told apart, messages that add up, deltas that merge."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.relay.deltas import Calls, Message, merge

scalars = st.sampled_from([None, True, 0, 1, -1, 0.5, "", "a", "é"])
anything = scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.just("name"), scalars)


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


def told_apart(*deltas: dict[str, Any]) -> list[dict[str, Any]]:
    """The calls that a message has in the end, of deltas as an upstream sends them."""
    calls, message = Calls(), Message()
    for delta in deltas:
        message.add({"tool_calls": calls.pieces(delta)})
    return message.data().get("tool_calls", [])


def piece(name: str | None = None, arguments: Any = None, **fields: Any) -> dict[str, Any]:
    """A delta with a piece of a call as an upstream sends it: without an index unless given."""
    function = {k: v for k, v in (("name", name), ("arguments", arguments)) if v is not None}
    return {"tool_calls": [{**fields, "function": function}]}


F, G = whole_call("f", "{}", id="1"), whole_call("g", "{}", index=1, id="2")
APART = {
    "an index each": (
        [piece("f", "{}", index=0, id="1"), piece("g", "{}", index=1, id="2")],
        [F, G],
    ),
    "an index each, the pieces mixed": (
        [
            *(piece("f", "", index=0, id="1"), piece("g", "", index=1, id="2")),
            *(piece(None, "{", index=0), piece(None, "{", index=1)),
            *(piece(None, "}", index=0), piece(None, "}", index=1)),
        ],
        [F, G],
    ),
    "all of index 0": ([piece("f", "{}", index=0, id="1"), piece("g", "{}", index=0, id="2")], [F, G]),
    "all of index 0, arguments in pieces": (
        [
            *(piece("f", "", index=0, id="1"), piece(None, "{", index=0), piece(None, "}", index=0)),
            *(piece("g", "", index=0, id="2"), piece(None, "{", index=0), piece(None, "}", index=0, id="")),
        ],
        [F, G],
    ),
    "all of index 0, the pieces mixed and told apart by their ids": (
        [
            *(piece("f", "{", index=0, id="1"), piece("g", "{", index=0, id="2")),
            *(piece(None, "}", index=0, id="1"), piece(None, "}", index=0, id="2")),
        ],
        [F, G],
    ),
    "all of index 0, names late": (
        [
            *(piece(None, "", index=0, id="1"), piece("f", "{}", index=0)),
            *(piece(None, "", index=0, id="2"), piece("g", "{}", index=0)),
        ],
        [F, G],
    ),
    "no index, an id each": ([piece("f", "{}", id="1"), piece("g", "{}", id="2")], [F, G]),
    "no index, pieces by their ids": (
        [
            piece("f", "{", id="1"),
            piece(None, "}", id="1"),
            piece("g", "", id="2"),
            piece(None, "{}", id="2"),
        ],
        [F, G],
    ),
    "no index after the first piece": (
        [piece("f", "", index=0, id="1"), piece(None, "{"), piece(None, "}")],
        [F],
    ),
    "an index from the second piece on": ([piece("f", "{", id="1"), piece(None, "}", index=0)], [F]),
    "all of index 0 and no id: another name after arguments begins a call": (
        [piece("f", "{", index=0), piece(None, "}", index=0), piece("g", "{}", index=0)],
        [whole_call("f", "{}"), whole_call("g", "{}", index=1)],
    ),
    "neither index nor id: a name begins a call": (
        [piece("f", "{"), piece(None, "}"), piece("g", "{}")],
        [whole_call("f", "{}"), whole_call("g", "{}", index=1)],
    ),
    "neither index nor id, two in one delta": (
        [{"tool_calls": [{"function": {"name": n, "arguments": "{}"}} for n in ("f", "f")]}],
        [whole_call("f", "{}"), whole_call("f", "{}", index=1)],
    ),
    "the same id for all, an index each": (
        [piece("f", "{}", index=0, id="1"), piece("g", "{}", index=1, id="1")],
        [F, whole_call("g", "{}", index=1, id="1")],
    ),
    "the id with each piece": (
        [piece("f", "", index=0, id="1"), piece(None, "{", index=0, id="1"), piece("", "}", index=0, id="1")],
        [F],
    ),
    "the name with each piece": (
        [piece("f", "", index=0, id="1"), piece("f", "{", index=0, id="1"), piece("f", "}", index=0)],
        [F],
    ),
    "an id made up for each piece": (
        [
            piece("f", "", index=0, id="1"),
            piece(None, "{", index=0, id="x"),
            piece(None, "}", index=0, id="y"),
        ],
        [F],
    ),
    "a late id": ([piece("f", "{", index=0), piece(None, "}", index=0, id="1")], [F]),
    "a name in pieces": (
        [piece("get_", index=0, id="1"), piece("time", "{}", index=0)],
        [F | whole_call("get_time", "{}")],
    ),
    "arguments as an object": ([piece("f", {"a": [1, "é"]}, index=0)], [whole_call("f", '{"a":[1,"é"]}')]),
    "a name that is none": ([piece(5, "{}", index=0)], [whole_call("5", "{}")]),
    "an index that is none": (
        [piece("f", "{}", index="0", id="1"), piece("g", "{}", index=-1, id="2")],
        [F, G],
    ),
    "an index beyond all": ([piece("f", "{}", index=2**63, id="1")], [F]),
    "an index with a gap": ([piece("g", "{}", index=3, id="2")], [G | {"index": 3}]),
    "no function": (
        [{"tool_calls": [{"index": 0, "id": "1", "function": None}]}],
        [whole_call("", "", id="1")],
    ),
    "what it was called before": (
        [
            {"function_call": {"name": "f"}},
            {"function_call": {"arguments": "{"}},
            {"function_call": {"arguments": "}"}},
        ],
        [whole_call("f", "{}", type="function")],
    ),
    "what it was called before, said besides": (
        [piece("f", "{}", index=0, id="1") | {"function_call": {"name": "f", "arguments": "{}"}}],
        [F],
    ),
    "what else is said of a call": (
        [piece("f", "{}", index=0, id="1", type="function", extra={"a": 1}, empty=None)],
        [{**F, "type": "function", "extra": {"a": 1}}],
    ),
}


@pytest.mark.parametrize(("deltas", "calls"), APART.values(), ids=APART)
def test_the_pieces_of_calls_are_told_apart(
    deltas: list[dict[str, Any]], calls: list[dict[str, Any]]
) -> None:
    assert told_apart(*deltas) == calls


@pytest.mark.parametrize(
    "delta",
    [
        {},
        {"tool_calls": []},
        {"tool_calls": [None, "f"]},
        {"tool_calls": {"index": 0}},
        {"function_call": {}},
    ],
)
def test_what_is_no_call_is_none(delta: dict[str, Any]) -> None:
    assert Calls().pieces(delta) == []


def test_a_piece_that_says_nothing_more_is_left_out() -> None:
    calls = Calls()
    first = piece("f", "", index=0, id="1", type="function")
    assert calls.pieces(first) == first["tool_calls"]
    again = piece("f", "", index=0, id="1", type="function")
    for nothing in (again, piece("", "", index=0, id=""), piece(index=0)):
        assert calls.pieces(nothing) == []


calls_of_any_kind = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "index": st.integers(-1, 2) | anything,
            "id": st.sampled_from(["1", "2"]) | anything,
            "function": anything
            | st.fixed_dictionaries(
                {}, optional={"name": st.sampled_from(["f", "g"]) | anything, "arguments": anything}
            ),
        },
    )
    | anything,
    max_size=3,
)


@settings(max_examples=400, deadline=None, database=None)
@given(
    st.lists(st.fixed_dictionaries({}, optional={"tool_calls": calls_of_any_kind, "function_call": anything}))
)
def test_whatever_comes_a_piece_has_an_own_index_and_texts(deltas: list[dict[str, Any]]) -> None:
    before, calls, message = json.dumps(deltas), Calls(), Message()
    for said in deltas:
        pieces = calls.pieces(said)
        for one in pieces:
            assert type(one["index"]) is int
            assert all(isinstance(text, str) for text in one.get("function", {}).values())
        message.add({"tool_calls": pieces})
    assert json.dumps(deltas) == before
    json.dumps(message.data())


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
