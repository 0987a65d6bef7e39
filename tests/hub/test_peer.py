"""What the kernel knows of the other end: whether it is there, what arrived; and what it is told to bound."""

from __future__ import annotations

import fcntl
import socket
import struct
import threading

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


def test_an_acknowledgement_between_two_questions_is_not_counted_twice(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 bytes are under way and arrive while it is asked: else all later events would seem to lack 500."""
    peer = Peer(pair[0])
    acknowledged = 0

    def unsent_and_then_they_arrive(*_: object) -> bytes:
        nonlocal acknowledged
        unsent, acknowledged = 500 - acknowledged, 500
        return struct.pack("=i", unsent)

    monkeypatch.setattr(peer, "acknowledged", lambda: acknowledged)
    monkeypatch.setattr(fcntl, "ioctl", unsent_and_then_they_arrive)
    assert peer.queued() == 500


# --- what a socket is told ---


def option(sock: socket.socket, name: str) -> int:
    level = socket.SOL_SOCKET if name.startswith("SO_") else socket.IPPROTO_TCP
    return sock.getsockopt(level, getattr(socket, name))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TCP_NOTSENT_LOWAT", UNSENT),
        ("TCP_USER_TIMEOUT", 45_000),
        ("SO_KEEPALIVE", 1),
        ("TCP_KEEPIDLE", 30),
        ("TCP_KEEPINTVL", 10),
        ("TCP_KEEPCNT", 3),
    ],
)
def test_the_kernel_is_told_how_much_to_hold_and_how_long_to_believe_in_a_peer(
    pair: Pair, name: str, value: int
) -> None:
    Peer(pair.server).tune(30.0)
    assert option(pair.server, name) == value


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
