"""Limits that are reached, and requests that no browser sends: nothing dies, nobody else notices."""

from __future__ import annotations

from bench.stress.house import House
from bench.stress.member import Member
from bench.stress.running import scenario, verdict
from bench.stress.scenarios.whole import read_all, sending

ROOM, TABS = 20, 3
CAPS = {"CONNECTIONS_WORKER": str(ROOM), "CONNECTIONS_CLIENT": str(TABS)}
FILES = 64


def refused(house: House, inside: list[Member], outside: list[Member], events: int = 20) -> str:
    """Those outside are told `overloaded`, by status where they asked for it; those inside read on; when
    these have left, the others get in."""
    for member in inside:
        member.expects(range(events))
    one_of_each = [*{member.client_id: member for member in inside}.values()]
    with house.crowd() as crowd:
        crowd.opened(inside, house.patience)
        with house.meanwhile(sending(one_of_each, events)):
            crowd.join(outside)
            crowd.read(lambda: [m for m in outside if m in crowd.lines], house.patience)
            crowd.read_whole(inside, house.patience)
        assert house.calls.call("GET", "/healthz").status == 200, "no room for /healthz"
        for member in outside:
            how = (1, [200]) if "overload" not in member.query else (0, [503])
            assert (member.seen["overloaded"], member.statuses) == how, f"not told as it asked: {member}"
        assert all(m in crowd.lines and m.connections == 1 for m in inside), "one that was there had to go"
        for member in inside:
            crowd.leave(member)
        house.until_left()
        crowd.opened(outside[:TABS], house.patience)
    return f"{len(outside)} refused; {verdict(inside)}"


@scenario(full={"outside": 200}, short={"outside": 20}, env=CAPS)
def cap_of_the_worker(house: House, outside: int) -> str:
    """A worker with room for 20 streams has them, and {outside} more come: `overloaded` in band, or 503
    where that was asked for; those who were there read on, and /healthz answers."""
    kinds = ["closeOnDone=false", "closeOnDone=false&overload=status"]
    return refused(
        house,
        house.members(ROOM),
        [house.member(query=kinds[i % 2], returns=False) for i in range(outside)],
    )


@scenario(full={"tabs": 100}, short={"tabs": 10}, env=CAPS)
def cap_of_a_client(house: House, tabs: int) -> str:
    """A client that may have 3 streams has them, and opens {tabs} more: refused, and the oldest stay."""
    kinds = ["closeOnDone=false", "closeOnDone=false&overload=status"]
    first = house.member()
    inside = [first, *(Member(first.client_id) for _ in range(TABS - 1))]
    outside = [Member(first.client_id, query=kinds[i % 2], returns=False) for i in range(tabs)]
    return refused(house, inside, outside)


@scenario(full={"clients": 200}, short={"clients": 100}, keeps=False, files=FILES)
def no_more_files(house: House, clients: int) -> str:
    """{clients} clients want streams of a server that may open 64 files: those who get one read all; when
    some leave, others get in; nothing dies."""
    members = house.members(clients)
    worker = house.probe()["pid"]
    with house.crowd() as crowd:
        crowd.join(members)
        crowd.read_for(1.0)
        inside = [m for m in members if m.seen["connected"] and m in crowd.lines]
        assert 8 <= len(inside) < FILES, f"{len(inside)} streams with {FILES} files"
        waiting = [m for m in members if m not in inside]
        for member in inside[8:]:
            crowd.leave(member)
        crowd.read(lambda: [] if any(m.seen["connected"] for m in waiting) else waiting, house.patience)
        for member in waiting:
            member.returns = False
            crowd.leave(member)
        house.until_left(8)
        for member in inside[:8]:
            member.expects(range(20))
        with house.meanwhile(sending(inside[:8], 20)):
            crowd.read_whole(inside[:8], house.patience)
    assert house.probe()["pid"] == worker, "the worker died"
    log = house.server.log  # gevent itself reports each accept that failed for want of files
    assert log.count("Traceback") == log.count("[Errno 24]"), f"it was surprised:\n{log[-2000:]}"
    return f"{len(inside)} streams at once; {verdict(inside[:8])}"


@scenario(full={"each": 20, "events": 100}, short={"each": 3, "events": 10})
def odd_requests(house: House, each: int, events: int) -> str:
    """{each} readers each with a GET that has a body, counted or chunked; another request or garbage on its
    heels; HTTP/1.0; `Expect: 100-continue`: {events} messages, and no byte of anything else in the
    streams."""
    another = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    odd: list[dict[str, object]] = [
        {"headers": "Content-Length: 10\r\n", "surplus": b"0123456789"},
        {"headers": "Transfer-Encoding: chunked\r\n", "surplus": b"5\r\nhello\r\n0\r\n\r\n"},
        {"headers": "Content-Length: 10\r\n", "surplus": b"01234"},
        {"headers": "Expect: 100-continue\r\n"},
        {"headers": "Expect: 100-continue\r\nContent-Length: 4\r\n", "surplus": b"body"},
        {"surplus": another * 3},
        {"surplus": b"\0\xff\r\n\r\n" * 50},
        {"version": "1.0"},
        {"version": "1.0", "headers": "Connection: keep-alive\r\n", "surplus": another},
    ]
    members = [house.member(returns=False, **how) for how in odd for _ in range(each)]
    for member in members:
        member.expects(range(events))
    with house.crowd() as crowd:
        read_all(house, crowd, members, events)
    return verdict(members)
