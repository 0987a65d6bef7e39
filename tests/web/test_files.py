"""Near the limit of open files: streams are told so, and leave the rest to everything else."""

from __future__ import annotations

import resource

import pytest

from app.errors import Overloaded
from app.web.files import Files
from tests.web.conftest import HOST, STREAM, MakeEdge


class Socket:
    """What a descriptor looks like; -1 once it is closed."""

    family = None

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor


@pytest.mark.parametrize("descriptor", [-1, 0, 5, 899])
def test_below_the_reserve_there_is_room(descriptor: int) -> None:
    Files(1000).check_room(Socket(descriptor))


@pytest.mark.parametrize("descriptor", [900, 901, 999])
def test_in_the_reserve_there_is_none(descriptor: int) -> None:
    with pytest.raises(Overloaded) as refused:
        Files(1000).check_room(Socket(descriptor))
    assert refused.value.retry_after
    assert "files" in refused.value.detail


def test_without_a_limit_or_a_socket_there_is_room() -> None:
    Files(resource.RLIM_INFINITY).check_room(Socket(10**9))
    Files(1).check_room(None)


def test_the_limit_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: {resource.RLIMIT_NOFILE: (50, 1000)}[which])
    files = Files()
    files.check_room(Socket(44))
    with pytest.raises(Overloaded):
        files.check_room(Socket(45))


@pytest.mark.parametrize(("by_status", "status"), [("", 200), ("&overload=status", 503)])
def test_a_stream_that_finds_no_room_is_told_so_and_leaves_nothing(
    make_edge: MakeEdge, monkeypatch: pytest.MonkeyPatch, by_status: str, status: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1000, 1000))
    edge = make_edge()
    before = edge.numbers()
    response = edge.app.test_client().get(
        f"{STREAM}?clientId=a{by_status}", headers=HOST, environ_overrides={"gunicorn.socket": Socket(990)}
    )
    assert (response.status_code, b'"overloaded"' in response.data) == (status, True)
    assert edge.get("/healthz").status_code == 200
    assert edge.numbers() == before
