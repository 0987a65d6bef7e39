"""The blueprint `admin`: one message to all, and who may send it."""

from __future__ import annotations

import pytest

from tests.conftest import ADMIN_TOKEN
from tests.web.conftest import ADMIN, Edge


def tell(edge: Edge, **body: object) -> dict[str, object]:
    response = edge.post("/admin/broadcast", body, **ADMIN)
    assert response.status_code == 200, response.text
    return dict(response.get_json())


def test_a_broadcast_reaches_every_stream_and_counts_clients_and_streams(edge: Edge) -> None:
    with (
        edge.listen("clientId=a") as one,
        edge.listen("clientId=a") as two,
        edge.listen("clientId=b") as other,
    ):
        for stream in (one, two, other):
            stream.take()
        told = tell(edge, data={"text": "ü"}, level="critical")
        assert told == {"id": told["id"], "clients": 2, "connections": 3}
        for stream in (one, two, other):
            event = stream.until("broadcast")
            assert event.json == {"type": "broadcast", "level": "critical", "data": {"text": "ü"}}
            assert event.id == told["id"]


def test_the_level_is_info_unless_it_is_said(edge: Edge) -> None:
    with edge.listen("clientId=a") as stream:
        stream.take()
        tell(edge, data=1)
        assert stream.until("broadcast")["level"] == "info"


def test_a_broadcast_reaches_who_comes_back_with_a_cursor_and_nobody_who_comes_anew(edge: Edge) -> None:
    with edge.listen("clientId=a") as stream:
        cursor = str(stream.until("connected").id)
    assert tell(edge, data="missed")["connections"] == 0
    with edge.listen("clientId=a", cursor) as back, edge.listen("clientId=b") as anew:
        assert back.until("broadcast")["data"] == "missed"
        assert [event.type for event in anew.take()] == ["connected"]


def test_a_broadcast_to_nobody_counts_nobody_and_makes_nobody_known(edge: Edge) -> None:
    before = edge.numbers()
    told = tell(edge, data=1)
    assert (told["clients"], told["connections"]) == (0, 0)
    assert edge.numbers() == before


def test_the_same_key_again_is_the_same_broadcast_and_the_same_answer(edge: Edge) -> None:
    with edge.listen("clientId=a") as stream:
        stream.take()
        first = tell(edge, data=1, id="k")
        assert tell(edge, data=2, id="k") == first
        tell(edge, data=3)
        stream.take()
    assert [event["data"] for event in stream.events if event.type == "broadcast"] == [1, 3]


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_taken_in_any_case(edge: Edge, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {ADMIN_TOKEN}"}
    assert edge.post("/admin/broadcast", {"data": 1}, **headers).status_code == 200


def test_the_token_is_asked_for_before_anything_is_read(edge: Edge) -> None:
    response = edge.call("POST", "/admin/broadcast", b"[" * 100_000)
    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, "Bearer")


def test_the_token_shows_in_no_answer_and_in_no_log(edge: Edge, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    wrong = edge.post("/admin/broadcast", {"data": 1}, Authorization=f"Bearer {ADMIN_TOKEN}x")
    right = edge.post("/admin/broadcast", {"data": 1}, **ADMIN)
    assert ADMIN_TOKEN not in wrong.text + str(wrong.headers) + right.text + str(right.headers) + caplog.text
