"""What gunicorn.conf.py does for all who connect: what they inherit, when they are accepted, who comes when.

Each runs in a process of its own, where the hooks are called as gunicorn calls them.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from app.hub.peer import UNSENT

ROOT = Path(__file__).resolve().parents[2]
# In a new worker, before anything is accepted.
ACCEPT = """
import runpy, socket
from contextlib import suppress
from socket import IPPROTO_TCP, TCP_NOTSENT_LOWAT, TCP_USER_TIMEOUT
from types import SimpleNamespace

hooks = runpy.run_path("gunicorn.conf.py")
with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
    listeners = [SimpleNamespace(sock=sock) for sock in (tcp, unix)]
    hooks["post_fork"](SimpleNamespace(LISTENERS=listeners, local_model=None), SimpleNamespace())
    tcp.setblocking(False)
    with socket.create_connection(tcp.getsockname()) as caller:
        with suppress(BlockingIOError):
            tcp.accept()
            print("accepted")
        caller.sendall(b"GET ")
        with tcp.accept()[0] as accepted:
            print(*(accepted.getsockopt(IPPROTO_TCP, name) for name in (TCP_NOTSENT_LOWAT, TCP_USER_TIMEOUT)))
"""
# A request, so many seconds into a turn of the event loop, and something else that is ready.
TURN = """
import runpy, sys, time
import gevent, gunicorn.workers.ggevent
from types import SimpleNamespace

hooks = runpy.run_path("gunicorn.conf.py")
worker = SimpleNamespace(give_way=hooks["_turns"]())

def request():
    until = time.monotonic() + float(sys.argv[1])
    while time.monotonic() < until:
        pass
    hooks["pre_request"](worker, None)
    print("request")

gevent.joinall([gevent.spawn(request), gevent.spawn(print, "other")])
"""

# Ten who have connected, each with a request that is answered at once; how many are between two turns.
MANY = """
import runpy, socket
import gevent, gunicorn.workers.ggevent
from gevent.server import StreamServer

runpy.run_path("gunicorn.conf.py")["_accept_few"]()
turns = [0]

def answer(sock, address):
    turns[-1] += 1

with socket.create_server(("127.0.0.1", 0)) as listener:
    callers = [socket.create_connection(listener.getsockname()) for _ in range(10)]
    listener.setblocking(False)
    look = gevent.get_hub().loop.prepare()
    look.start(lambda: turns.append(0))
    StreamServer(listener, answer).start()
    with gevent.Timeout(20):
        while sum(turns) < 10:
            gevent.sleep(0.001)
    print(*filter(None, turns))
"""
# The seconds that gunicorn's worker waits for the first request of a connection, and for its next.
PATIENT = """
import runpy, sys
import gevent, gunicorn.workers.ggevent
from types import SimpleNamespace

worker = SimpleNamespace(cfg=SimpleNamespace(keepalive=int(sys.argv[1])))
runpy.run_path("gunicorn.conf.py")["_be_patient"](worker)
connection = lambda: [worker.timeout_ctx().seconds for _ in range(2)]
for each in gevent.joinall([gevent.spawn(connection) for _ in range(100)]):
    print(*each.value)
"""

# Four have asked; what each has done since, and who is served.
LOST = """
import runpy, socket, struct, sys
import gevent, gunicorn.workers.ggevent
from types import SimpleNamespace

served = []
worker = SimpleNamespace(handle=lambda listener, client, address: served.append(address))
runpy.run_path("gunicorn.conf.py")["_pass_over_the_lost"](worker)
with socket.create_server(("127.0.0.1", 0)) as listener:
    for what in ("waits", "reset", "shut", "closed"):
        caller = socket.create_connection(listener.getsockname())
        caller.sendall(b"GET / HTTP/1.1")
        client, _ = listener.accept()
        if what == "reset":
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if what == "shut":
            caller.shutdown(socket.SHUT_WR)
        elif what != "waits":
            caller.close()
        with client:
            worker.handle(listener, client, what)
print(*served)
"""


def told(script: str, *arguments: str) -> list[str]:
    """The words it prints."""
    ran = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT,
        env={"UPSTREAM_URL": "http://127.0.0.1:1/v1", "SLOW_READER": "20"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.split()


def test_who_connects_is_accepted_when_it_speaks_and_has_inherited_what_streams_need() -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux holds back who says nothing, and tells options to whoever is accepted")
    assert told(ACCEPT) == [str(UNSENT), "30000"]


@pytest.mark.parametrize(("after", "order"), [("0", ["request", "other"]), ("0.05", ["other", "request"])])
def test_a_request_that_is_late_in_a_turn_lets_others_go_first(after: str, order: list[str]) -> None:
    assert told(TURN, after) == order


def test_so_few_are_accepted_at_a_time_that_others_have_their_turn_in_between() -> None:
    counts = [int(word) for word in told(MANY)]
    assert sum(counts) == 10
    assert max(counts) <= 4


@pytest.mark.parametrize(("keepalive", "first"), [("2", 5.0), ("20", 20.0)])
def test_who_is_silent_is_given_more_time_before_the_first_request_and_not_all_the_same(
    keepalive: str, first: float
) -> None:
    seconds = [float(word) for word in told(PATIENT, keepalive)]
    for waits, middle in ((seconds[::2], first), (seconds[1::2], float(keepalive))):
        assert all(0.75 * middle <= wait <= 1.25 * middle for wait in waits)
        assert max(waits) - min(waits) > 0.25 * middle


def test_who_has_reset_its_connection_by_its_turn_is_not_served_and_everybody_else_is() -> None:
    assert told(LOST) == ["waits", "shut", "closed"]


def test_where_each_request_has_its_thread_none_gives_way() -> None:
    script = "import runpy; print(runpy.run_path('gunicorn.conf.py')['_turns']()())"
    assert told(script) == ["None"]
