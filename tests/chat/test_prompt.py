"""Prompt templates: what fills a place, what does not, and that what is filled in is never a place."""

from __future__ import annotations

import string
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.chat.prompt import fill
from app.errors import Invalid, TooLarge


@pytest.mark.parametrize(
    ("template", "params", "text"),
    [
        ("", {}, ""),
        ("none", {}, "none"),
        ("none", [], "none"),
        ("Hi {name}!", {"name": "Ann"}, "Hi Ann!"),
        ("{a}{b}{a}", {"a": 1, "b": "x"}, "1x1"),
        ("{} and {}", ["one", "two"], "one and two"),
        ("{{}}", {}, "{}"),
        ("{{{a}}}", {"a": 1}, "{1}"),
        ("{{{}}}", [1], "{1}"),
        ("{{a}}", {}, "{a}"),
        ("{a}", {"a": "{b}"}, "{b}"),
        ("{a}", {"a": "{{"}, "{{"),
        ("{a}", {"a": r"\1 \g<0>"}, r"\1 \g<0>"),
        ("{_a1}", {"_a1": ""}, ""),
        ("{a}", {"a": None}, "null"),
        ("{a}", {"a": True}, "true"),
        ("{a}", {"a": 1.5}, "1.5"),
        ("{a}", {"a": ["ü", {"b": 1}]}, '["ü",{"b":1}]'),
        ("🦊{a}\n\0", {"a": "\r\n"}, "🦊\r\n\n\0"),
    ],
)
def test_every_place_is_filled(template: str, params: Any, text: str) -> None:
    assert fill(template, params) == text


@pytest.mark.parametrize(
    ("template", "params", "field"),
    [
        ("{name}", {}, "params.name"),
        ("{a} {b}", {"a": 1}, "params.b"),
        ("{a}", {"a": 1, "b": 2}, "params.b"),
        ("none", {"a": 1}, "params.a"),
        ("{{a}}", {"a": 1}, "params.a"),
        ("{} {}", ["one"], "params.1"),
        ("{}", [], "params.0"),
        ("{}", ["one", "two", "three"], "params.1"),
        ("{}", list("abcdefghijkl"), "params.1"),
        ("{a}", [1], "prompt"),
        ("{} {a}", [1], "prompt"),
        ("{}", {"a": 1}, "prompt"),
        ("{a} {}", {"a": 1}, "prompt"),
        ("{", {}, "prompt"),
        ("}", {}, "prompt"),
        ("{a", {"a": 1}, "prompt"),
        ("a}", {"a": 1}, "prompt"),
        ("{}}", ["x"], "prompt"),
        ("{ a }", {"a": 1}, "prompt"),
        ("{a!r}", {"a": 1}, "prompt"),
        ("{a:>9}", {"a": 1}, "prompt"),
        ("{a.b}", {"a": {"b": 1}}, "prompt"),
        ("{a[b]}", {"a": {"b": 1}}, "prompt"),
        ("{0}", ["x"], "prompt"),
        ("{ü}", {"ü": 1}, "prompt"),
        ("{a\n}", {"a": 1}, "prompt"),
    ],
)
def test_what_does_not_fit_is_named(template: str, params: Any, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        fill(template, params)
    assert caught.value.field == field
    assert caught.value.detail


def test_a_stray_brace_is_told_with_its_place_and_the_remedy() -> None:
    with pytest.raises(Invalid, match=r"A single \} at 3: write \}\} for a brace"):
        fill("{{a} }", {})


def test_of_a_long_name_only_the_beginning_is_repeated() -> None:
    for params in ({"k" * 10_000: 1}, {"\x1b[2J" * 1000: 1}):
        with pytest.raises(Invalid) as caught:
            fill("none", params)
        assert len(caught.value.field) <= 80
        assert len(caught.value.detail) <= 200
    with pytest.raises(Invalid) as caught:
        fill("{" + "k" * 10_000 + "}", {})
    assert len(caught.value.detail) <= 200


def test_a_template_that_would_fill_to_more_than_a_message_may_hold_is_refused() -> None:
    """A body of 1.25 MiB could ask for 100 GB."""
    with pytest.raises(TooLarge) as caught:
        fill("{a}" * 20_000, {"a": "x" * 1000})
    assert caught.value.field == "prompt"


NAMES = st.text(string.ascii_letters + "_", min_size=1, max_size=5)


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(NAMES, st.text()), st.text())
def test_whatever_is_filled_in_stands_there_as_it_is(params: dict[str, str], around: str) -> None:
    escaped = around.replace("{", "{{").replace("}", "}}")
    template = escaped.join(f"{{{name}}}" for name in params)
    assert fill(template, params) == around.join(params.values())


@settings(deadline=None, max_examples=60)
@given(st.text("{}ab\\ ", max_size=40))
def test_every_template_is_filled_or_refused(template: str) -> None:
    for params in ({"a": "1", "b": "2", "ab": "3"}, ["1"], {}):
        with suppress(Invalid):
            fill(template, params)
