"""What a client gets that comes late, or with a cursor that can't be honoured."""

from __future__ import annotations

from collections.abc import Sequence

from bench.stress.house import House
from bench.stress.member import Member
from bench.stress.running import scenario, verdict
from bench.stress.scenarios.whole import sending

KEPT = 20  # events a mailbox keeps, where few are wanted
MORE = 5  # sent after the return


def away(house: House, members: Sequence[Member], events: int) -> None:
    """They were here, left, and are sent so many messages since."""
    with house.crowd() as crowd:
        crowd.opened(members, house.patience)
    house.until_left()
    sending(members, events)(house.calls)


def returning(house: House, members: Sequence[Member], events: int, waiting: int) -> str:
    """They come back after `events` messages and are sent some more: what waited comes, and then those."""
    for member in members:
        member.expects(range(events - waiting, events + MORE))
    with house.crowd() as crowd:
        crowd.opened(members, house.patience)
        for n in range(events, events + MORE):
            for member in members:
                house.calls.send(member.client_id, n)
        crowd.read_whole(members, house.patience)
    return verdict(members)


def resets(members: Sequence[Member], *reasons: str) -> str:
    """That each was told `reset` once, for one of these reasons."""
    told = {member: [e["reason"] for e in member.events if e.type == "reset"] for member in members}
    wrong = {member: had for member, had in told.items() if len(had) != 1 or had[0] not in reasons}
    assert not wrong, f"not reset for {reasons}: {next(iter(wrong.items()))}"
    return f"{len(members)} × reset"


@scenario(full={"clients": 200, "events": 100}, short={"clients": 10, "events": 20})
def send_before_connect(house: House, clients: int, events: int) -> str:
    """{clients} clients are sent {events} messages while they have no connection; they get them, once, when
    they come without a cursor; a second tab that comes later gets none of them."""
    members = house.members(clients)
    away(house, members, events)
    for member in members:
        member.cursor = ""
        member.expects(range(events))
    late = [Member(member.client_id) for member in members]
    with house.crowd() as crowd:
        crowd.opened(members, house.patience)
        crowd.read_whole(members, house.patience)
        crowd.opened(late, house.patience)
        crowd.read_for(0.2)
    assert not any(member.logs for member in late), f"told again: {next(m for m in late if m.logs)}"
    return verdict(members)


@scenario(
    full={"clients": 200, "events": 100},
    short={"clients": 10, "events": 40},
    env={"MAILBOX_EVENTS": str(KEPT)},
)
def trimmed_cursors(house: House, clients: int, events: int) -> str:
    """{clients} clients miss {events} messages of which 20 are kept, and come back with their cursors:
    `reset` (trimmed), then the 20 and all after them; those nobody was handed are counted."""
    members = house.members(clients)
    before = house.probe()["undelivered"]
    away(house, members, events)
    said = returning(house, members, events, KEPT)
    lost = house.probe()["undelivered"] - before
    assert lost == clients * (events - KEPT), f"{lost} events counted as undelivered"
    return f"{resets(members, 'trimmed')}, {lost:,} counted as undelivered; {said}"


@scenario(full={"clients": 280, "events": 20}, short={"clients": 14, "events": 5})
def bogus_cursors(house: House, clients: int, events: int) -> str:
    """{clients} clients miss {events} messages and come back with cursors that were never given out:
    `reset` (malformed, unknown), then all that waited, once."""
    members = house.members(clients)
    away(house, members, events)
    for i, member in enumerate(members):
        bogus = _bogus(member.cursor.split(".")[0])
        member.cursor = bogus[i % len(bogus)]
    said = returning(house, members, events, events)
    return f"{resets(members, 'malformed', 'unknown')}; {said}"


def _bogus(epoch: str) -> list[str]:
    malformed = ["x", "0", "-1", "1.2.3.4", "zzzzzzzz.1", epoch, f"{epoch}.", f"{epoch}.-1", f"{epoch}.01"]
    return [
        *malformed,
        f"{epoch}.1e3",
        "9" * 5000,
        f"{epoch}.1 OR 1",
        f"{epoch}.{10**15}",
        f"{epoch}.1.other",
    ]


@scenario(full={"clients": 200, "events": 20}, short={"clients": 10, "events": 5})
def foreign_epoch_cursors(house: House, clients: int, events: int) -> str:
    """{clients} clients miss {events} messages and come back with cursors of another process: `reset`
    (epoch), then all that waited, once."""
    members = house.members(clients)
    away(house, members, events)
    for member in members:
        member.cursor = f"{house.rng.getrandbits(32):08x}.{house.rng.randrange(1000)}"
    said = returning(house, members, events, events)
    return f"{resets(members, 'epoch')}; {said}"
