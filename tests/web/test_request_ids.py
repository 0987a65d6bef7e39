"""Each answer names its request: by the caller's word where that is fit to be repeated, else by a new one."""

from __future__ import annotations

import re

import pytest

from app.web.request_ids import HEADER, request_id
from tests.web.conftest import STREAM, Edge, MakeEdge

MADE = re.compile(r"[0-9a-f]{16}")
SANE = ["a", "6f1c0a52-7b1e-4b53-9b0f-1c2d3e4f5a6b", "Root=1-67891233-abc/def+gh==", "x" * 128]
FOUL = ["", "a b", 'a"b', "a\tb", "é", "x" * 129, "a%0d%0aSet-Cookie: b", "${jndi:ldap://x}", "-\x00"]


@pytest.mark.parametrize("given", SANE)
def test_a_sane_word_of_the_callers_is_kept(given: str) -> None:
    assert request_id(given) == given


@pytest.mark.parametrize("given", FOUL)
def test_anything_else_gets_a_new_one_each_time(given: str) -> None:
    one, other = request_id(given), request_id(given)
    assert MADE.fullmatch(one)
    assert MADE.fullmatch(other)
    assert one != other


@pytest.fixture
def edge(make_edge: MakeEdge) -> Edge:
    return make_edge()


@pytest.mark.parametrize(
    "target",
    ["/", "/healthz", "/nowhere", "/static/icon.svg", "/sse/clients/nobody", f"{STREAM}?clientId=a%20b"],
)
def test_every_answer_has_one_be_it_good_or_bad(edge: Edge, target: str) -> None:
    assert MADE.fullmatch(edge.get(target).headers[HEADER])
    assert edge.call("GET", target, headers={HEADER: "mine.1"}).headers[HEADER] == "mine.1"


def test_a_refused_question_has_the_callers(edge: Edge) -> None:
    refused = edge.call("POST", "/chat", b"{", {"Content-Type": "application/json", HEADER: "mine.2"})
    assert (refused.status_code, refused.headers[HEADER]) == (400, "mine.2")


def test_a_stream_has_none_for_the_heads_of_all_streams_are_alike(edge: Edge) -> None:
    with edge.listen("clientId=a") as stream:
        assert HEADER not in stream.headers
