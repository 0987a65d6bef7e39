"""A body to checked values, without an application: what passes, and how what does not is told apart."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from flask import Request
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict
from werkzeug.test import EnvironBuilder

from app.errors import Invalid, NotJSON, Problem, Unsupported
from app.web import body


class Anything(BaseModel):
    """Takes what the body's own checks let pass."""

    model_config = ConfigDict(strict=True)
    data: Any
    more: Any = None


def asked(data: bytes, kind: str = "application/json") -> Request:
    return Request(EnvironBuilder(method="POST", data=data, content_type=kind).get_environ())


def read(value: bytes | str) -> Any:
    """`value` as JSON text in the member `data`, read back."""
    text = value if isinstance(value, bytes) else value.encode()
    return body.read(asked(b'{"data": ' + text + b"}"), Anything).data


def refused(data: bytes, kind: str = "application/json") -> Problem:
    with pytest.raises(Problem) as caught:
        body.read(asked(data, kind), Anything)
    return caught.value


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "application/json;"]
)
def test_json_by_any_of_its_names_is_read(kind: str) -> None:
    assert body.read(asked(b'{"data": 1}', kind), Anything).data == 1


@pytest.mark.parametrize("kind", ["", "text/json", "application/jsonl", "application/problem+json", "json"])
def test_another_type_is_not_even_looked_at(kind: str) -> None:
    assert isinstance(refused(b"[" * 1000, kind), Unsupported)


EDGES = [
    "0",
    "-0.0",
    "1e308",
    "5e-324",
    "-9223372036854775808",
    "18446744073709551615",
    r'"\u0000"',
    r'"\ud83e\udd8a"',
    '"' + "[" * 1000 + '"',
    '"' + '\\"' * 1000 + '"',
    r'"\\"',
    r'"\\\""',
    r'{"\"[": "]{"}',
    "[" * 99 + "]" * 99,
    '{"a":' * 98 + "1" + "}" * 98,
    "[" + "[]," * 5000 + "[]]",
]


@pytest.mark.parametrize("text", EDGES, ids=lambda text: text[:30])
def test_what_is_just_allowed_comes_through_as_it_is(text: str) -> None:
    assert read(text) == json.loads(text)


@pytest.mark.parametrize(
    "text", ["18446744073709551616", "-9223372036854775809", "1" * 4300, "1" * 100_000, "-1e309"]
)
def test_a_number_beyond_64_bits_names_its_member_however_long_it_is(text: str) -> None:
    error = refused(b'{"data": 1, "more": [' + text.encode() + b"]}")
    assert (type(error), error.field) == (Invalid, "more")
    assert "64 bits" in error.detail
    assert len(error.detail) < 100


def test_the_limit_of_python_on_long_integers_does_not_matter() -> None:
    """It can be lifted from outside (PYTHONINTMAXSTRDIGITS), and then each digit costs more than the last."""
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        assert refused(b'{"data": ' + b"1" * 5000 + b"}").field == "data"
    finally:
        sys.set_int_max_str_digits(before)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('{"data": ' + "[" * 100 + "]" * 100 + "}", "data"),
        ('{"more": 1, "data": {"a": ' + "[" * 99 + "]" * 99 + "}}", "data"),
        ('{"data": "[[", "more": ' + "[" * 100, "more"),
        ("[" * 101, ""),
        ('{"a\\"b": ' + "[" * 100, 'a\\"b'),
    ],
)
def test_what_nests_too_deep_names_its_member(text: str, field: str) -> None:
    error = refused(text.encode())
    assert (type(error), error.code, error.field) == (Invalid, "too_deep", field)


def test_brackets_inside_of_strings_do_not_nest() -> None:
    text = json.dumps({"data": ["[" * 500, '"[' * 500, "\\[" * 500, '\\"[' * 500]})
    assert len(body.read(asked(text.encode()), Anything).data) == 4


@settings(deadline=None, max_examples=60)
@given(st.text('[]{}",:\\u 01ü', max_size=400), st.sampled_from(["utf-8", "utf-16", "utf-16-be", "utf-32"]))
def test_whatever_comes_is_read_or_refused_and_is_no_surprise(text: str, encoding: str) -> None:
    for data in (text.encode(encoding), (b"[" * 120 + text.encode(encoding))):
        assert isinstance(refused(data), NotJSON | Invalid)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(deadline=None, max_examples=60)
@given(VALUES, st.booleans())
def test_every_json_value_comes_through_as_it_is(value: Any, ascii_only: bool) -> None:
    assert read(json.dumps(value, ensure_ascii=ascii_only)) == value


def test_a_json_error_says_where() -> None:
    error = refused(b'{"data":\n tru}')
    assert "line 2, column 2" in error.detail
    assert "UTF-8" in refused(b'{"data": "\xff"}').detail


def test_a_client_id_is_named_by_its_field() -> None:
    assert body.ident("a") == "a"
    with pytest.raises(Invalid) as caught:
        body.ident("a b", "other")
    assert caught.value.field == "other"


def test_a_choice_is_one_of_the_words_that_are_allowed() -> None:
    words = {"yes": True, "no": False}
    assert body.choice(None, words, "f", True) is True
    assert [body.choice(word, words, "f", True) for word in words] == [True, False]
    with pytest.raises(Invalid, match="f is one of yes, no"):
        body.choice("maybe", words, "f", True)
