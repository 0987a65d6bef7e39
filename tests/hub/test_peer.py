"""What the kernel knows of the other end: whether it is there, what arrived; and what it is told to bound."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from app.hub.peer import BUFFER, UNSENT, Peer
from tests.hub.ends import Pair, connected, fill, reset
from tests.rig.reading import eventually


def test_a_peer_that_is_there_is_not_gone(pair: Pair) -> None:
    assert not Peer(pair[0]).gone()


def test_a_peer_is_gone_after_its_fin(pair: Pair) -> None:
    peer = Peer(pair[0])
    pair[1].close()
    eventually(peer.gone)


def test_a_peer_is_gone_after_its_reset(pair: Pair) -> None:
    peer = Peer(pair[0])
    reset(pair[1])
    eventually(peer.gone)


def test_a_peer_is_lost_after_its_reset_and_not_after_its_fin(pair: Pair) -> None:
    """Who has closed its side may have asked before, and wait for the answer."""
    ours, theirs = pair
    assert not Peer(ours).lost()
    theirs.shutdown(socket.SHUT_WR)
    eventually(lambda: Peer(ours).gone())
    assert not Peer(ours).lost()
    reset(theirs)
    eventually(lambda: Peer(ours).lost())


def test_a_peer_that_only_stopped_reading_is_not_gone(pair: Pair) -> None:
    pair[1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    fill(pair[0])
    assert not Peer(pair[0]).gone()


def test_acknowledged_are_the_bytes_that_have_arrived(pair: Pair) -> None:
    peer = Peer(pair[0])
    before = peer.acknowledged()
    pair[0].sendall(b"x" * 1_000)
    eventually(lambda: peer.acknowledged() - before == 1_000)
    assert peer.queued() - before == 1_000


def test_queued_are_also_the_bytes_that_have_not_arrived(pair: Pair) -> None:
    peer = Peer(pair[0])
    before = peer.queued()
    sent = fill(pair[0])
    assert peer.queued() - before == sent
    eventually(lambda: 0 < peer.acknowledged() - before < sent)


def test_over_ipv6_a_socket_knows_the_same() -> None:
    with (
        socket.create_server(("::1", 0), family=socket.AF_INET6) as listener,
        socket.create_connection(listener.getsockname()[:2]) as reader,
        listener.accept()[0] as server,
    ):
        peer = Peer(server)
        assert (peer.counts, peer.gone()) == (True, False)
        reader.close()
        eventually(peer.gone)


def test_where_no_tcp_socket_is_at_hand_nothing_is_known() -> None:
    for peer in (Peer(None), Peer(object())):
        assert (peer.counts, peer.gone(), peer.acknowledged(), peer.queued()) == (False, False, 0, 0)
        peer.cut()


def test_of_a_unix_socket_it_is_known_whether_somebody_is_there_and_takes_something() -> None:
    one, other = socket.socketpair()
    with one, other:
        peer = Peer(one)
        other.sendall(b"is not read")
        fill(one)
        assert (peer.counts, peer.acknowledged(), peer.queued(), peer.gone()) == (False, 0, 0, False)
        before = peer.progress()
        assert peer.progress() == before
        other.recv(65_536, socket.MSG_WAITALL)
        assert peer.progress() > before
        other.close()
        assert peer.gone()
    assert not peer.gone()


def test_a_write_that_hangs_on_a_unix_socket_is_ended() -> None:
    one, other = socket.socketpair()
    with one, other:
        fill(one)
        Peer(one).cut()
        with pytest.raises(BrokenPipeError):
            one.send(b"x")


def test_where_bytes_are_not_what_is_yielded_they_are_not_counted_but_the_peer_is_watched(pair: Pair) -> None:
    peer = Peer(pair[0], counts=False)
    assert not peer.counts
    pair[1].close()
    eventually(peer.gone)


def test_of_a_socket_that_was_closed_under_it_a_peer_knows_nothing(pair: Pair) -> None:
    peer = Peer(pair[0])
    pair[0].close()
    assert (peer.gone(), peer.acknowledged(), peer.queued()) == (False, 0, 0)


def test_what_is_queued_is_what_was_written_at_every_moment_of_its_way(pair: Pair) -> None:
    """Whatever of it is on the way, has arrived or waits: what is counted twice or not at all would make all
    later events seem to lack it, or to have come."""
    server, reader = pair
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    server.setblocking(False)
    peer = Peer(server)
    written = 0
    for size in (1, 300, 20_000, 7) * 100:
        with suppress(BlockingIOError):
            written += server.send(b"x" * size)
        assert peer.queued() == written
        with suppress(BlockingIOError):
            reader.recv(size // 2 + 1, socket.MSG_DONTWAIT)
        assert peer.queued() == written
    assert peer.acknowledged() < written


def test_an_end_of_either_side_changes_nothing_of_what_was_written(pair: Pair) -> None:
    peer = Peer(pair.server)
    pair.server.sendall(b"x" * 1_000)
    eventually(lambda: peer.acknowledged() == 1_000)
    reset(pair.reader)
    eventually(peer.gone)
    assert (peer.acknowledged(), peer.queued()) == (1_000, 1_000)


def test_a_kernel_that_tells_too_little_counts_as_none(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Linux 4.19 it is not told what was sent."""
    peer = Peer(pair.server)
    monkeypatch.setattr(peer, "_info", lambda: b"\x01" * 104)
    assert (peer.acknowledged(), peer.queued(), peer.gone()) == (0, 0, False)


# --- what a socket is told ---


def option(sock: socket.socket, name: str) -> int:
    level = socket.SOL_SOCKET if name.startswith("SO_") else socket.IPPROTO_TCP
    return sock.getsockopt(level, getattr(socket, name))


OPTIONS = {
    "TCP_NOTSENT_LOWAT": UNSENT,
    "TCP_USER_TIMEOUT": 45_000,
    "SO_KEEPALIVE": 1,
    "TCP_KEEPIDLE": 30,
    "TCP_KEEPINTVL": 10,
    "TCP_KEEPCNT": 3,
}


@pytest.mark.parametrize("name", OPTIONS)
def test_the_kernel_is_told_how_much_to_hold_and_how_long_to_believe_in_a_peer(pair: Pair, name: str) -> None:
    Peer(pair.server).tune(30.0)
    assert option(pair.server, name) == OPTIONS[name]


def test_where_only_the_whole_buffer_can_be_bounded_it_is(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(socket, "TCP_NOTSENT_LOWAT")
    Peer(pair.server).tune(30.0)
    assert option(pair.server, "SO_SNDBUF") == 2 * BUFFER


@pytest.mark.parametrize("bounds", [("TCP_NOTSENT_LOWAT",), ()], ids=["what is unsent", "the whole buffer"])
def test_what_a_reader_that_stalls_costs_the_kernel_is_bounded(
    bounds: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not bounds:
        monkeypatch.delattr(socket, "TCP_NOTSENT_LOWAT")
    with connected(buffer=4_096) as (server, _):
        peer = Peer(server)
        peer.tune(30.0)
        fill(server)
        eventually(lambda: peer.queued() - peer.acknowledged() <= 128 * 1024)


class Told:
    """A socket, and what it is told."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self.family = sock, sock.family
        self.told: list[int] = []

    def setsockopt(self, level: int, name: int, value: int) -> None:
        self.told.append(name)
        self._sock.setsockopt(level, name, value)

    def getsockopt(self, *what: int) -> int | bytes:
        return self._sock.getsockopt(*what)


@contextmanager
def accepted(host: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    """The server's ends of two connections: made before the listener was tuned, and after."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((host, 0), family=family))
        address = listener.getsockname()[:2]
        stack.enter_context(socket.create_connection(address))
        Peer(listener).tune(30.0)
        stack.enter_context(socket.create_connection(address))
        before, after = (stack.enter_context(listener.accept()[0]) for _ in range(2))
        yield before, after


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_whom_a_tuned_listener_accepts_has_all_it_was_told_and_is_told_nothing(host: str) -> None:
    with accepted(host) as (_, after):
        assert {name: option(after, name) for name in OPTIONS} == OPTIONS
        told = Told(after)
        Peer(told).tune(30.0)
        assert told.told == []


def test_who_stood_in_line_before_the_listener_was_tuned_is_told_all_of_it() -> None:
    with accepted("127.0.0.1") as (before, _):
        told = Told(before)
        Peer(told).tune(30.0)
        assert len(told.told) == len(OPTIONS)
        assert {name: option(before, name) for name in OPTIONS} == OPTIONS


def test_who_was_tuned_for_another_patience_is_tuned_anew(pair: Pair) -> None:
    Peer(pair.server).tune(30.0)
    Peer(pair.server).tune(60.0)
    assert (option(pair.server, "TCP_USER_TIMEOUT"), option(pair.server, "TCP_KEEPIDLE")) == (90_000, 60)


@pytest.mark.parametrize("patience", [0.0, 0.01, 1e9])
def test_a_patience_that_no_kernel_knows_is_none_of_its_business(pair: Pair, patience: float) -> None:
    Peer(pair.server).tune(patience)
    assert option(pair.server, "SO_KEEPALIVE") == 1
    assert not Peer(pair.server).gone()


def test_where_an_option_cannot_be_set_nothing_is_said() -> None:
    one, other = socket.socketpair()
    with one, other:
        for sock in (None, object(), one):
            Peer(sock).tune(30.0)
        one.close()
        Peer(one).tune(30.0)


def test_a_write_that_hangs_is_ended_from_another_thread(pair: Pair) -> None:
    fill(pair.server)
    pair.server.settimeout(5)
    ended: list[str] = []

    def write() -> None:
        try:
            pair.server.sendall(b"x" * (64 << 20))
        except BrokenPipeError:
            ended.append("cut")

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    Peer(pair.server).cut()
    writer.join(5)
    assert ended == ["cut"]


def test_who_is_cut_twice_or_after_its_end_is_cut_all_the_same(pair: Pair) -> None:
    peer = Peer(pair.server)
    peer.cut()
    peer.cut()
    pair.server.close()
    peer.cut()
