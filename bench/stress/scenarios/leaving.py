"""Readers that leave, come and go, or are there and take nothing: who is gone is gone, and costs nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence

from bench.stress.crowd import Crowd
from bench.stress.house import House
from bench.stress.member import OWN, Member
from bench.stress.network import cut_off, network_of_its_own
from bench.stress.running import scenario, verdict
from bench.stress.scenarios.whole import KIB, read_all, sending

SLOW = 2  # seconds; as shipped it is 30
BOX = 256 * KIB


def left(house: House, members: Sequence[Member], how: str) -> str:
    """All leave in this way; how soon the server has them off its list, without writing to them."""
    events = 5
    for member in members:
        member.expects(range(events))
    with house.crowd() as crowd:
        read_all(house, crowd, members, events)
        began = time.monotonic()
        for member in members:
            crowd.leave(member, how)
    house.until_left()
    return f"off the list after {time.monotonic() - began:.1f} s; {verdict(members)}"


@scenario(full={"clients": 2000}, short={"clients": 100})
def leaving_by_fin(house: House, clients: int) -> str:
    """{clients} silent readers close their connections: FIN."""
    return left(house, house.members(clients), "fin")


@scenario(full={"clients": 2000}, short={"clients": 100})
def leaving_by_rst(house: House, clients: int) -> str:
    """{clients} silent readers lose theirs: RST."""
    return left(house, house.members(clients), "rst")


@scenario(
    full={"clients": 50, "others": 50},
    short={"clients": 8, "others": 8},
    keeps=False,
    around=network_of_its_own,
    env={"SLOW_READER": str(SLOW)},
)
def half_open(house: House, clients: int, others: int) -> str:
    """Every packet to {clients} readers vanishes, as behind a router that lost its power, while they are
    sent messages; they are cut, and {others} others notice nothing."""
    gone, there = house.members(clients, source="127.77.0.1"), house.members(others)
    with house.crowd() as crowd:
        crowd.opened([*gone, *there], house.patience)
        cut_off("127.77.0.1")
        began = time.monotonic()
        for member in there:
            member.expects(range(20))
        with house.meanwhile(sending([*gone, *there], 20)):
            crowd.read_whole(there, house.patience)
        house.until_left(others)
    house.check_left(house.patience)
    return f"off the list after {time.monotonic() - began:.1f} s; {verdict(there)}"


@scenario(full={"connects": 50_000, "others": 20}, short={"connects": 400, "others": 7})
def churn(house: House, connects: int, others: int) -> str:
    """{connects} connections come, read `connected` and leave, by FIN or RST, at most 100 at once, while
    {others} others are sent messages."""
    there = house.members(others)
    for member in there:
        member.expects(range(connects // 20))
    with house.crowd() as crowd:
        crowd.opened(there, house.patience)
        with house.meanwhile(sending(there, connects // 20)):
            _come_and_go(house, crowd, connects)
            crowd.read_whole(there, house.patience)
    return f"{connects:,} connects; {verdict(there)}"


def _come_and_go(house: House, crowd: Crowd, connects: int) -> None:
    """Each client comes twice, the second time with its cursor."""
    came, here = 0, house.members(min(100, connects // 4))
    deadline = time.monotonic() + house.patience
    crowd.join(here)
    while came < connects:
        assert time.monotonic() < deadline, f"only {came} of {connects} connects"
        crowd.read_for(0.005)
        for i, member in enumerate(here):
            if member not in crowd.lines or member.seen["connected"] == member.connections > 0:
                crowd.leave(member, house.rng.choice(["fin", "rst"]))
                came += 1
                here[i] = house.member() if member.connections > 1 else member
                crowd.join([here[i]])


@scenario(
    full={"stalled": 50, "others": 50, "mib": 8},
    short={"stalled": 4, "others": 7, "mib": 8},
    env={"SLOW_READER": str(SLOW), "MAILBOX_BYTES": str(BOX)},
)
def stalled_readers(house: House, stalled: int, others: int, mib: int) -> str:
    """{stalled} readers never read while each is sent {mib} MiB (a mailbox keeps ¼ of one), and are cut;
    the server's memory stays bounded, {others} others read on; back again they get `reset` and what is
    kept."""
    stuck, there = house.members(stalled, buffer=4 * KIB, returns=False), house.members(others)
    events = mib * KIB // 64
    for member in there:
        member.expects(range(events))
    with house.crowd() as crowd:
        crowd.opened([*stuck, *there], house.patience)
        for member in stuck:
            crowd.rest(member)
        before = house.probe()["rss_kib"]
        with house.meanwhile(sending(stuck, events, 64 * KIB)), house.meanwhile(sending(there, events)):
            crowd.read_whole(there, house.patience)
        grown = house.probe()["rss_kib"] - before
        crowd.read(lambda: there if house.probe()["connections"] > others else [], house.patience)
        for member in stuck:
            crowd.wake(member)
        crowd.read(lambda: [member for member in stuck if member in crowd.lines], house.patience)
        _come_back(house, crowd, stuck, events)
    allowed = stalled * (BOX + 512 * KIB) // KIB + 16 * KIB
    assert grown < allowed, f"the server grew by {grown:,} KiB, more than {allowed:,}"
    return f"the server grew by {grown / KIB:.0f} MiB; {verdict(there)}"


def _come_back(house: House, crowd: Crowd, stuck: Sequence[Member], events: int) -> None:
    """What they get must be the last events, without a hole."""
    for member in stuck:
        member.logs.clear()
        member.expects(range(events))
    crowd.opened(stuck, house.patience)
    crowd.read_whole(stuck, house.patience)
    for member in stuck:
        told = member.logs[OWN]
        assert told == list(range(told[0], events)), f"not the last of {events} in order: {member}"
    reasons = {event["reason"] for member in stuck for event in member.events if event.type == "reset"}
    assert reasons == {"trimmed"}, f"told reset for {reasons}"


@scenario(full={"probes": 5000, "others": 20}, short={"probes": 200, "others": 8})
def head_probes(house: House, probes: int, others: int) -> str:
    """{probes} HEAD requests for a stream: a head, no body, nobody registered; {others} readers are sent
    messages meanwhile."""
    there = house.members(others)
    for member in there:
        member.expects(range(50))
    with house.crowd() as crowd:
        crowd.opened(there, house.patience)
        clients = house.probe()["clients"]
        with house.meanwhile(sending(there, 50)):
            for _ in range(probes):
                reply = house.calls.call("HEAD", f"/sse/createConnect?clientId={house.member().client_id}")
                assert reply.status == 200, f"HEAD: {reply}"
            crowd.read_whole(there, house.patience)
        now = house.probe()
        assert (now["clients"], now["connections"]) == (clients, others), f"registered: {now}"
    return verdict(there)
