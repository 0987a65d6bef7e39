"""Where the time of each path goes, drawn: docs/flames/PATH.svg.

    python -m bench.flame broadcast relay     these paths, of broadcast, tokens, relay, start, connect
    python -m bench.flame --all               all of them

The real server is sampled while it has the load of that path and nothing else to do (loads.py), by py-spy,
compiled code included. It takes `pip install -r requirements-bench.txt`, and the right to look into another
process (root, or CAP_SYS_PTRACE). Each sample stops the server for some 15 ms, hence there are few of them a
second; it is stopped while it is looked at, so shares are true and rates are not.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.flame.folded import Samples, samples
from bench.flame.loads import LOADS
from bench.flame.picture import drawn

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "docs" / "flames"
PATIENCE = 60.0  # seconds that the sampler may take to begin and to end


def sampler() -> str:
    """The program. Raises SystemExit where it is not installed."""
    beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    found = shutil.which("py-spy", path=beside)
    if not found:
        raise SystemExit("py-spy is not installed: pip install -r requirements-bench.txt")
    return found


def sampled(path: str, seconds: float, rate: int) -> Samples:
    """What the worker does under the load of this path."""
    program = sampler()
    with tempfile.TemporaryDirectory() as folder, LOADS[path](seconds + 1) as (pid, keep):
        out = Path(folder) / "stacks"
        how = ["--native", "--format", "raw", "--rate", str(rate), "--duration", f"{seconds:.0f}"]
        command = [program, "record", "--pid", str(pid), *how, "--output", str(out)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as spy:
            keep()
            said, _ = spy.communicate(timeout=PATIENCE)
        if spy.returncode or not out.exists():
            raise SystemExit(f"py-spy can't sample here: {said.decode(errors='replace')[-500:]}")
        return samples(out.read_text().splitlines())


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.flame", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("paths", nargs="*", metavar="PATH", choices=[*LOADS, []], help=", ".join(LOADS))
    parser.add_argument("--all", action="store_true", help="all of them")
    parser.add_argument("--seconds", type=float, default=40.0, help="that each is sampled; 40")
    parser.add_argument("--rate", type=int, default=25, help="samples a second; 25")
    given = parser.parse_args()
    paths = list(LOADS) if given.all else given.paths
    if not paths:
        parser.error(f"name a path, of {', '.join(LOADS)}, or --all")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    OUT.mkdir(parents=True, exist_ok=True)
    for path in paths:
        found = sampled(path, given.seconds, given.rate)
        picture = drawn(path, LOADS[path].__doc__ or "", found)
        (OUT / f"{path}.svg").write_text(picture)
        shares = ", ".join(
            f"{room} {count / found.tree.count:.0%}" for room, count in found.rooms.most_common()
        )
        print(f"{path}: {found.tree.count} samples, {len(picture.encode())} bytes; {shares}", flush=True)


if __name__ == "__main__":
    main()
