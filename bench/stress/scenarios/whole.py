"""What must come whole, whatever connections and readers do meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from bench.stress.crowd import Crowd
from bench.stress.house import Caller, House
from bench.stress.member import NEWS, Member, message
from bench.stress.running import scenario, verdict
from tests.rig.script import counted

KIB = 1024


def read_all(house: House, crowd: Crowd, members: Sequence[Member], events: int) -> None:
    """Opens their streams, sends each its numbers, and sees that all are read."""
    crowd.opened(members, house.patience)
    with house.meanwhile(sending(members, events)):
        crowd.read_whole(members, house.patience)


def sending(
    members: Sequence[Member], events: int, size: int = 0, pause: float = 0.0
) -> Callable[[Caller], None]:
    """Sends each of them its numbers in order, round by round."""

    def send(caller: Caller) -> None:
        for n in range(events):
            for member in members:
                reply = caller.send(member.client_id, message(n, size))
                assert reply.status in (200, 202), f"send: {reply}"
            time.sleep(pause)

    return send


def broadcasting(events: int, gap: float = 0.0) -> Callable[[Caller], None]:
    """Tells all the numbers in order."""

    def tell(caller: Caller) -> None:
        for n in range(events):
            reply = caller.broadcast(n)
            assert reply.status == 200, f"broadcast: {reply}"
            time.sleep(gap)

    return tell


def asking(house: House, members: Sequence[Member], words: int, gap: float) -> None:
    """Each asks one question, and is due all of its answer; returns when all answers run."""
    before = house.asked()
    house.upstream.script(default=counted(words, gap=gap))
    for member in members:
        member.expects(range(words), house.calls.ask(member.client_id))
    house.until(lambda: house.asked() - before == len(members))


def running(house: House, member: Member) -> bool:
    """Whether an answer of this client runs or waits."""
    return bool(house.calls.call("GET", f"/sse/clients/{member.client_id}").json["generations"])


def told_whole(house: House, members: Sequence[Member], events: int, size: int = 0) -> str:
    """All get all that two callers send them at once, half each."""
    for member in members:
        member.expects(range(events))
    with house.crowd() as crowd, ExitStack() as stack:
        crowd.opened(members, house.patience)
        for part in (members[::2], members[1::2]):
            stack.enter_context(house.meanwhile(sending(part, events, size)))
        crowd.read_whole(members, house.patience)
    return verdict(members)


@scenario(full={"clients": 200, "events": 500}, short={"clients": 20, "events": 40})
def reconnects_while_messages_come(house: House, clients: int, events: int) -> str:
    """{clients} clients are sent {events} messages each by POST, while each loses its connection at any
    byte, 2 KB apart on the average, and comes back with its cursor."""
    return told_whole(house, house.members(clients, bites=house.bites(2000)), events)


@scenario(full={"answers": 200, "deltas": 500}, short={"answers": 15, "deltas": 60})
def reconnects_while_answers_run(house: House, answers: int, deltas: int) -> str:
    """{answers} answers of {deltas} deltas run at once, while each reader loses its connection at any byte,
    2 KB apart on the average; at the end each is told by 204 not to come back."""
    members = house.members(answers, bites=house.bites(2000), query="closeOnDone=true")
    with house.crowd() as crowd:
        crowd.opened(members, house.patience)
        asking(house, members, deltas, gap=0.1 if answers > 50 else 0.02)
        crowd.read_whole(members, house.patience)
        crowd.read(lambda: [m for m in members if not m.finished], house.patience)
    return verdict(members)


@scenario(full={"clients": 100, "tabs": 2, "events": 200}, short={"clients": 8, "tabs": 2, "events": 30})
def tabs(house: House, clients: int, tabs: int, events: int) -> str:
    """{clients} clients with {tabs} tabs each are sent {events} messages; every other tab loses its
    connection again and again, and all read the same."""
    first = house.members(clients)
    others = [Member(member.client_id, bites=house.bites(1500)) for member in first for _ in range(tabs - 1)]
    for member in [*first, *others]:
        member.expects(range(events))
    with house.crowd() as crowd:
        crowd.opened([*first, *others], house.patience)
        with house.meanwhile(sending(first, events)):
            crowd.read_whole([*first, *others], house.patience)
    return verdict([*first, *others])


@scenario(full={"clients": 2000, "waves": 3, "events": 100}, short={"clients": 200, "waves": 2, "events": 20})
def recovery_storm(house: House, clients: int, waves: int, events: int) -> str:
    """{clients} clients all lose their connections at once and come back at once, {waves} times, while
    {events} broadcasts are told to all."""
    members = house.members(clients)
    for member in members:
        member.expects(range(events), NEWS)
    gap = 0.1
    with house.crowd() as crowd:
        crowd.opened(members, house.patience)
        with house.meanwhile(broadcasting(events, gap)):
            for _ in range(waves):
                crowd.read_for(events * gap / (waves + 1))
                for member in members:
                    crowd.leave(member, house.rng.choice(["fin", "rst"]))
                crowd.join(members)
            crowd.read_whole(members, house.patience)
    return verdict(members)


@scenario(
    full={"clients": 500, "events": 40, "broadcasts": 400},
    short={"clients": 40, "events": 10, "broadcasts": 40},
)
def broadcast_while_unicast(house: House, clients: int, events: int, broadcasts: int) -> str:
    """{clients} clients are sent {events} messages each while {broadcasts} broadcasts go to all; some lose
    their connections."""
    members = house.members(clients)
    for i, member in enumerate(members):
        member.expects(range(events))
        member.expects(range(broadcasts), NEWS)
        member.bites = house.bites(8000) if i % 4 == 0 else None
    with house.crowd() as crowd:
        crowd.opened(members, house.patience)
        with house.meanwhile(sending(members, events)), house.meanwhile(broadcasting(broadcasts)):
            crowd.read_whole(members, house.patience)
    return verdict(members)


@scenario(full={"slow": 50, "others": 50, "events": 400}, short={"slow": 5, "others": 5, "events": 60})
def slow_readers(house: House, slow: int, others: int, events: int) -> str:
    """{slow} readers take 128 bytes every 50 ms of {events} messages of 1 KB each, until {others} others
    have read them all, and then the rest; nobody is cut."""
    crawling = house.members(slow, pace=(128, 0.05), buffer=4 * KIB)
    quick = house.members(others)
    everyone = [*crawling, *quick]
    for member in everyone:
        member.expects(range(events))
    with house.crowd() as crowd:
        crowd.opened(everyone, house.patience)
        with house.meanwhile(sending(everyone, events, KIB)):
            crowd.read_whole(quick, house.patience)
            assert not any(member.whole() for member in crawling), "the others had to wait for the slow"
            for member in crawling:
                member.pace = (KIB, 0.005)
            crowd.read_whole(crawling, house.patience)
    assert all(member.connections == 1 for member in everyone), "a reader was cut"
    return verdict(everyone)


@scenario(full={"readers": 50, "deltas": 2000}, short={"readers": 8, "deltas": 300})
def lagging_readers(house: House, readers: int, deltas: int) -> str:
    """{readers} readers rest while an answer of {deltas} deltas runs for each, then read on: the same text,
    perhaps in fewer events."""
    members = house.members(readers, buffer=4 * KIB)
    with house.crowd() as crowd:
        crowd.opened(members, house.patience)
        for member in members:
            crowd.rest(member)
        asking(house, members, deltas, gap=0.002)
        house.until(lambda: not any(running(house, member) for member in members))
        for member in members:
            crowd.wake(member)
        crowd.read_whole(members, house.patience)
    came = sum(member.seen["delta"] for member in members)
    return f"{verdict(members)}; {readers * deltas:,} deltas in {came:,} events"


@scenario(full={"readers": 10, "most": 1024}, short={"readers": 7, "most": 1024})
def payloads(house: House, readers: int, most: int) -> str:
    """Messages of 1 byte to {most} KiB, each power of two and its neighbours, full of line breaks, NUL,
    U+2028 and emoji, to {readers} readers."""
    around = {size for k in range(21) for size in (2**k - 1, 2**k, 2**k + 1)}
    sizes = sorted(size for size in around if 0 < size <= most * KIB)
    house.rng.shuffle(sizes)
    members = house.members(readers)
    for member in members:
        member.expects(range(len(sizes)), NEWS)
        member.expects(range(len(sizes) // 8))
    with house.crowd() as crowd:
        crowd.opened(members, house.patience)
        with house.meanwhile(lambda caller: _sizes(caller, members, sizes)):
            crowd.read_whole(members, house.patience)
    return verdict(members)


def _sizes(caller: Caller, members: Sequence[Member], sizes: Sequence[int]) -> None:
    """All of them to all, and every eighth besides to each."""
    for n, size in enumerate(sizes):
        assert caller.broadcast(message(n, size)).status == 200, f"broadcast of {size} bytes"
        if n % 8 == 7:
            for member in members:
                assert caller.send(member.client_id, message(n // 8, size)).status == 200, f"{size} bytes"


@scenario(full={"clients": 20, "events": 200, "callers": 4}, short={"clients": 8, "events": 15, "callers": 4})
def ids_again(house: House, clients: int, events: int, callers: int) -> str:
    """{callers} callers at once send {clients} clients the same {events} messages under the same ids: each
    comes once, and all are answered alike."""
    members = house.members(clients)
    answered: list[dict[str, str]] = []

    def send(caller: Caller) -> None:
        replies = {}
        for n in range(events):
            for member in members:
                replies[f"{member.client_id} {n}"] = caller.send(member.client_id, n, f"k{n}").json["id"]
        answered.append(replies)

    for member in members:
        member.expects(range(events))
    with house.crowd() as crowd:
        crowd.opened(members, house.patience)
        with ExitStack() as stack:
            for _ in range(callers):
                stack.enter_context(house.meanwhile(send))
            crowd.read_whole(members, house.patience)
    assert all(replies == answered[0] for replies in answered), "the same id was answered differently"
    return f"{callers * clients * events:,} calls; {verdict(members)}"
