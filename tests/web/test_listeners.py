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


def test_where_each_request_has_its_thread_none_gives_way() -> None:
    script = "import runpy; print(runpy.run_path('gunicorn.conf.py')['_turns']()())"
    assert told(script) == ["None"]
