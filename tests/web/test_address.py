"""Whose address a stream counts against: what a browser claims of itself never decides."""

from __future__ import annotations

from typing import Any

import pytest

from app.web.address import Addresses
from tests.web.conftest import STREAM, MakeEdge

PROXY, BALANCER = "10.0.0.1", "10.0.9.9"
TRUSTED = ("10.0.0.0/8",)

CASES: dict[str, tuple[tuple[str, ...], str, str, str]] = {
    # what it is: (TRUSTED_PROXIES, the peer, X-Forwarded-For, whom it counts against)
    "nobody knows of a proxy": ((), "192.0.2.1", "", ""),
    "nobody knows, and somebody claims": ((), "192.0.2.1", "198.51.100.7", ""),
    "no proxy": (("none",), "192.0.2.1", "", "192.0.2.1"),
    "no proxy, and a claim": (("none",), "192.0.2.1", "198.51.100.7", "192.0.2.1"),
    "no proxy, and a unix socket": (("none",), "", "198.51.100.7", ""),
    "a stranger's claim": (TRUSTED, "192.0.2.1", "198.51.100.7", "192.0.2.1"),
    "one proxy": (TRUSTED, PROXY, "198.51.100.7", "198.51.100.7"),
    "one proxy, and a spoofed beginning": (TRUSTED, PROXY, "203.0.113.1, 198.51.100.7", "198.51.100.7"),
    "one proxy, and one spoofed as trusted": (TRUSTED, PROXY, "10.0.0.7, 198.51.100.7", "198.51.100.7"),
    "a chain of proxies": (TRUSTED, PROXY, f"198.51.100.7, {BALANCER}", "198.51.100.7"),
    "a spoofed beginning before a chain": (
        TRUSTED,
        PROXY,
        f"203.0.113.1, 198.51.100.7, {BALANCER}",
        "198.51.100.7",
    ),
    "a proxy that says nothing": (TRUSTED, PROXY, "", PROXY),
    "a proxy that asks for itself": (TRUSTED, PROXY, BALANCER, BALANCER),
    "a chain of nothing but proxies": (TRUSTED, PROXY, f"{BALANCER}, {PROXY}", BALANCER),
    "a proxy by its one address": ((PROXY,), PROXY, "198.51.100.7", "198.51.100.7"),
    "another than the one address": ((PROXY,), BALANCER, "198.51.100.7", BALANCER),
    "a network written by one of its hosts": (("10.1.2.3/8",), PROXY, "198.51.100.7", "198.51.100.7"),
    "commas and spaces": (TRUSTED, PROXY, " , 198.51.100.7 ,, ", "198.51.100.7"),
    "a unix socket behind a proxy": (TRUSTED, "", "198.51.100.7", "198.51.100.7"),
    "a unix socket behind a proxy that says nothing": (TRUSTED, "", "", ""),
    "IPv6 is a household": (("none",), "2001:db8:1:2:3:4:5:6", "", "2001:db8:1:2::/64"),
    "IPv6 of the next household": (("none",), "2001:db8:1:3::1", "", "2001:db8:1:3::/64"),
    "IPv6 with a zone": (("none",), "fe80::1%eth0", "", "fe80::/64"),
    "IPv6 in brackets": (TRUSTED, PROXY, "[2001:db8:1:2::9]", "2001:db8:1:2::/64"),
    "a mapped address is an IPv4 one": (("none",), "::ffff:192.0.2.1", "", "192.0.2.1"),
    "a mapped proxy": (TRUSTED, "::ffff:10.0.0.1", "198.51.100.7", "198.51.100.7"),
    "a proxy by IPv6": (("2001:db8::/32",), "2001:db8::1", "198.51.100.7", "198.51.100.7"),
    "a proxy that tells the port": (TRUSTED, PROXY, "198.51.100.7:4711", "198.51.100.7"),
    "a proxy that tells the port of IPv6": (TRUSTED, PROXY, "[2001:db8:1:2::9]:4711", "2001:db8:1:2::/64"),
    "a proxy that hides whom it saw": (TRUSTED, PROXY, "198.51.100.7, unknown", "unknown"),
    "garbage": (TRUSTED, PROXY, "198.51.100.7, <script>", "<script>"),
    "an address that is none": (TRUSTED, PROXY, "300.1.1.1", "300.1.1.1"),
}


@pytest.mark.parametrize(("trusted", "remote", "forwarded", "counts"), CASES.values(), ids=CASES)
def test_it_counts_against(trusted: tuple[str, ...], remote: str, forwarded: str, counts: str) -> None:
    assert Addresses(trusted).of(remote, forwarded) == counts


def test_what_a_proxy_says_takes_no_more_room_than_an_address() -> None:
    assert len(Addresses(TRUSTED).of(PROXY, "x" * 10_000)) == 64


def test_a_long_chain_of_proxies_ends() -> None:
    assert Addresses(TRUSTED).of(PROXY, f"198.51.100.7{f', {BALANCER}' * 5000}") == "198.51.100.7"


def open_streams(make_edge: MakeEdge, chains: list[str], **settings: Any) -> list[str]:
    """The first event of each stream, one after the other, all still open."""
    edge = make_edge(connections_address=2, **settings)
    streams = [
        edge.listen(f"clientId=c{n}", X_Forwarded_For=chain, **{"X-Real-Ip": f"192.0.2.{n}"})
        for n, chain in enumerate(chains)
    ]
    try:
        return [stream.take()[0].type for stream in streams]
    finally:
        for stream in streams:
            stream.__exit__()


SPOOFED = ["198.51.100.1", "198.51.100.2", "198.51.100.3"]


def test_an_address_has_so_many_streams_and_no_more_whatever_it_claims(make_edge: MakeEdge) -> None:
    kinds = open_streams(make_edge, SPOOFED, trusted_proxies="none")
    assert kinds == ["connected", "connected", "overloaded"]


def test_behind_a_proxy_each_address_has_its_own(make_edge: MakeEdge) -> None:
    assert open_streams(make_edge, SPOOFED, trusted_proxies="127.0.0.0/8") == ["connected"] * 3
    ours = [f"{claimed}, 198.51.100.9" for claimed in SPOOFED]
    kinds = open_streams(make_edge, ours, trusted_proxies="127.0.0.0/8")
    assert kinds == ["connected", "connected", "overloaded"]


def test_where_nobody_knows_of_a_proxy_addresses_are_not_told_apart(make_edge: MakeEdge) -> None:
    assert open_streams(make_edge, ["198.51.100.1"] * 3) == ["connected"] * 3


def test_a_place_is_given_back_with_its_stream(make_edge: MakeEdge) -> None:
    edge = make_edge(connections_address=1, trusted_proxies="none")
    for _ in range(3):
        with edge.listen("clientId=a") as stream:
            assert stream.take()[0].type == "connected"
            assert edge.get(f"{STREAM}?clientId=b&overload=status").status_code == 503
