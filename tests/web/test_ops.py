"""The blueprint `ops`: what a supervisor asks."""

from __future__ import annotations

from tests.web.conftest import Edge, MakeEdge


def test_a_process_that_serves_says_so(edge: Edge) -> None:
    response = edge.get("/healthz")
    assert (response.status_code, response.get_json()) == (200, {"status": "ok"})
    assert edge.call("HEAD", "/healthz").status_code == 200


def test_it_says_so_also_while_it_drains(edge: Edge) -> None:
    edge.parts.relay.close()
    edge.parts.hub.drain(return_within=25)
    assert edge.get("/healthz").status_code == 200


def test_asking_leaves_nothing_behind(make_edge: MakeEdge) -> None:
    edge = make_edge()
    before = edge.numbers()
    edge.get("/healthz")
    assert edge.numbers() == before
