"""Streams that the server ends: it says why, and what was promised still comes."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from bench.stress.house import Caller, House
from bench.stress.member import OWN, Member, faults
from bench.stress.running import scenario, verdict
from bench.stress.scenarios.whole import asking, read_all, sending

LIFETIME = 2  # seconds; as shipped it is 30 minutes


def closings(members: Sequence[Member]) -> set[tuple[str, bool]]:
    """What was said in `closing`, to any of them: reason and whether to come back."""
    said = (event for member in members for event in member.events if event.type == "closing")
    return {(event["reason"], event["reconnect"]) for event in said}


@scenario(full={"short": 50, "long": 50, "idle": 500}, short={"short": 8, "long": 8, "idle": 20}, keeps=False)
def drain_under_load(house: House, short: int, long: int, idle: int) -> str:
    """SIGTERM while {short} short and {long} long answers run and {idle} readers wait: the short end whole,
    the long as `interrupted` with their text kept, the idle are told `closing` (shutdown); the process ends
    in time."""
    brief, lengthy, waiting = (house.members(n, returns=False) for n in (short, long, idle))
    everyone = [*brief, *lengthy, *waiting]
    with house.crowd() as crowd:
        crowd.opened(everyone, house.patience)
        house.calls.broadcast(0)
        for member in everyone:
            member.expects(range(1), "news")
        asking(house, brief, 40, gap=0.05)
        asking(house, lengthy, 10_000, gap=0.05)
        crowd.read(lambda: [m for m in lengthy if not any(map(m.logs.get, m.due))], house.patience)
        with house.meanwhile(lambda _: house.server.stop()):
            crowd.read(lambda: [member for member in everyone if member in crowd.lines], house.patience)
    said = verdict([*brief, *waiting])
    ends = {end.json.get("reason", end.raw) for member in brief for end in member.ends.values()}
    assert ends == {"stop"}, f"short answers ended as {ends}"
    for member in lengthy:
        _interrupted(member)
    assert closings(waiting) == {("shutdown", True)}, f"the idle were told {closings(waiting)}"
    assert all(member.seen["closing"] == 1 for member in waiting), "not all idle were told"
    return f"{short} whole, {long} interrupted, {idle} told; {said}"


def _interrupted(member: Member) -> None:
    (answer,) = (log for log in member.due if log not in (OWN, "news"))
    end, told = member.ends[answer], member.logs[answer]
    assert (end.type, end.json.get("code")) == ("error", "interrupted"), f"ended as {end.raw!r}"
    assert not any(faults(told, range(len(told)))), f"its text has faults: {member}"
    assert member.seen["[DONE]"] == 1, f"no [DONE]: {member}"


@scenario(
    full={"clients": 50, "events": 60},
    short={"clients": 10, "events": 50},
    keeps=False,
    env={"GUNICORN_CMD_ARGS": "--keep-alive=1 --max-requests=400"},
)
def max_requests(house: House, clients: int, events: int) -> str:
    """{clients} clients are sent {events} messages each by a server that starts a new worker every 400
    requests: each is told `closing`, comes back, is told `reset`; whatever was taken has been read."""
    members = house.members(clients)
    heard = threading.Event()

    def send(caller: Caller) -> None:
        for n in range(events):
            for member in members:
                house.insist(caller, member, n)
            time.sleep(0.05)
        heard.set()

    with house.crowd(away=1.0) as crowd:
        crowd.opened(members, house.patience)
        with house.meanwhile(send):
            crowd.read(lambda: [] if heard.is_set() else members, house.patience)
            crowd.read(lambda: [m for m in members if len(m.logs[OWN]) < events], house.patience)
            crowd.read(lambda: [m for m in members if not m.seen["reset"]], house.patience)
    for member in members:
        member.due[OWN] = range(events)
    told = {event["reason"] for member in members for event in member.events if event.type == "reset"}
    assert told == {"epoch"}, f"told reset for {told}"
    assert closings(members) == {("shutdown", True)}, f"told {closings(members)}"
    return f"{sum(member.seen['reset'] for member in members)} × reset; {verdict(members)}"


@scenario(
    full={"clients": 200, "answers": 20}, short={"clients": 15, "answers": 7}, env={"LIFETIME": str(LIFETIME)}
)
def lifetime(house: House, clients: int, answers: int) -> str:
    """Streams live 2 s × U(0.8, 1.0): {clients} that are sent messages are told `closing` (lifetime), come
    back and read all; {answers} whose answers take 4 s are left alone until those end."""
    members = house.members(clients)
    busy = house.members(answers, query="closeOnDone=true", returns=False)
    events = 20 * LIFETIME
    for member in members:
        member.expects(range(events))
    with house.crowd() as crowd:
        crowd.opened([*members, *busy], house.patience)
        asking(house, busy, 100, gap=0.02 * LIFETIME)
        with house.meanwhile(sending(members, events, pause=0.1)):
            crowd.read_whole([*members, *busy], house.patience)
    assert closings(members) == {("lifetime", True)}, f"told {closings(members)}"
    assert not any(member.seen["closing"] for member in busy), "a stream was ended while its answer ran"
    return verdict([*members, *busy])


@scenario(full={"clients": 200, "events": 100}, short={"clients": 15, "events": 20})
def closing_clients(house: House, clients: int, events: int) -> str:
    """{clients} clients are sent {events} messages and then closed: each has read all, is told `closing`
    (closed), and its return with the cursor is answered 204."""
    members = house.members(clients)
    for member in members:
        member.expects(range(events))
    with house.crowd() as crowd:
        read_all(house, crowd, members, events)
        for member in members:
            reply = house.calls.post("/sse/close", {"clientId": member.client_id})
            assert reply.json == {"closed": 1}, f"close: {reply}"
        crowd.read(lambda: [member for member in members if member in crowd.lines], house.patience)
        assert closings(members) == {("closed", False)}, f"told {closings(members)}"
        for member in members:
            member.finished = False
        crowd.join(members)
        crowd.read(lambda: [member for member in members if not member.finished], house.patience)
    assert all(member.statuses == [200, 204] for member in members), "a closed client came back"
    return verdict(members)


@scenario(full={"answers": 100, "tabs": 2}, short={"answers": 7, "tabs": 2})
def stopped_answers(house: House, answers: int, tabs: int) -> str:
    """{answers} answers are stopped midway while {tabs} tabs of each read them, one losing its connections:
    one end, `stopped`, and the same frozen text in all tabs."""
    first = house.members(answers)
    others = [Member(m.client_id, bites=house.bites(1500)) for m in first for _ in range(tabs - 1)]
    with house.crowd() as crowd:
        crowd.opened([*first, *others], house.patience)
        asking(house, first, 10_000, gap=0.02)
        running = {member.client_id: next(iter(member.due)) for member in first}
        crowd.read(
            lambda: [m for m in first if len(m.logs.get(running[m.client_id], [])) < 20], house.patience
        )
        with house.meanwhile(lambda caller: _stop(caller, running.values())):
            everyone = [*first, *others]
            crowd.read(lambda: [m for m in everyone if running[m.client_id] not in m.ends], house.patience)
    texts = {member.client_id: len(member.logs[running[member.client_id]]) for member in first}
    for member in everyone:
        answer = running[member.client_id]
        assert member.ends[answer]["reason"] == "stopped", f"ended as {member.ends[answer].raw!r}"
        member.due = {answer: range(texts[member.client_id])}
    return verdict(everyone)


def _stop(caller: Caller, answers: object) -> None:
    for answer in list(answers):  # type: ignore[call-overload]
        assert caller.post(f"/chat/{answer}/stop", {}).status == 200, "stop"
