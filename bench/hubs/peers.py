"""Installs the servers that this one is held against: `python -m bench.hubs.peers`, for `make bench-peers`.

Python's into a venv of their own and Node's beside it, all in build/peers; nginx with nchan, and Redis, come
from the system: by apt-get where that is Debian and one may, else it is said what is missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv

from bench.hubs.servers import KINDS, PEERS, executable

PYTHON = ("gunicorn[gevent]>=27,<28", "flask>=3,<4", "flask-sse>=1,<2", "redis>=5", "sse-starlette>=3,<4")
UVICORN = ("uvicorn>=0.34", "uvloop>=0.21", "httptools>=0.6")
NODE = ("better-sse@^0.16",)
DEBIAN = {"nginx": "nginx", "redis-server": "redis-server"}
NCHAN = "libnginx-mod-nchan"


def run(*command: str) -> None:
    """Raises SystemExit where it fails: it has said why."""
    if subprocess.run(command, cwd=PEERS, check=False).returncode:
        raise SystemExit(f"{command[0]} did not work: the peers that need it are missing")


def python_peers() -> None:
    if not (PEERS / "venv/bin/python").exists():
        venv.create(PEERS / "venv", with_pip=True)
    pip = (str(PEERS / "venv/bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, *PYTHON, *UVICORN)


def node_peers() -> None:
    npm = executable("npm")
    if not npm:
        print("without Node: npm is not installed", file=sys.stderr)
        return
    (PEERS / "package.json").write_text('{"private": true}\n')
    run(npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", *NODE)


def system_peers() -> None:
    """What only the system can give. Nothing is started; on Debian its packages may start their own."""
    lacking = [package for program, package in DEBIAN.items() if not executable(program)]
    if KINDS["nchan"].lacks():
        lacking.append(NCHAN)
    if not lacking:
        return
    if shutil.which("apt-get") and os.geteuid() == 0:
        run("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *lacking)
    else:
        print(f"missing: {', '.join(lacking)}; as root on Debian they would be installed", file=sys.stderr)


def main() -> None:
    PEERS.mkdir(parents=True, exist_ok=True)
    python_peers()
    node_peers()
    system_peers()


if __name__ == "__main__":
    main()
