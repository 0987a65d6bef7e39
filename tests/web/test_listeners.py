"""gunicorn.conf.py tells the sockets that listen what streams need: whoever is accepted has it from there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from app.hub.peer import UNSENT

ROOT = Path(__file__).resolve().parents[2]
# As gunicorn calls it, in the process of a new worker, before anything is accepted.
ACCEPT = """
import runpy, socket
from socket import IPPROTO_TCP, TCP_NOTSENT_LOWAT, TCP_USER_TIMEOUT
from types import SimpleNamespace

hooks = runpy.run_path("gunicorn.conf.py")
with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
    listeners = [SimpleNamespace(sock=sock) for sock in (tcp, unix)]
    hooks["post_fork"](SimpleNamespace(LISTENERS=listeners, local_model=None), SimpleNamespace())
    with socket.create_connection(tcp.getsockname()), tcp.accept()[0] as accepted:
        print(*(accepted.getsockopt(IPPROTO_TCP, name) for name in (TCP_NOTSENT_LOWAT, TCP_USER_TIMEOUT)))
"""


def test_a_worker_tunes_what_listens_before_it_accepts() -> None:
    env = {"UPSTREAM_URL": "http://127.0.0.1:1/v1", "SLOW_READER": "20"}
    ran = subprocess.run(
        [sys.executable, "-c", ACCEPT], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60
    )
    assert (ran.stdout.split(), ran.stderr) == ([str(UNSENT), "30000"], "")
