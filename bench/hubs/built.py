"""The two C programs of this bench, compiled when they are first needed or have changed.

`program("sseload")` is the load client (bench/hubs/load/), `program("rawserve")` what all are held against.
They go to build/bench, which git passes over. Raises Missing, a sentence, where there is no compiler.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "build" / "bench"
SOURCES = {"sseload": sorted(HERE.glob("load/*.[ch]")), "rawserve": [HERE / "rawserve.c"]}
OPTIONS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE")


class Missing(Exception):
    """A part this machine lacks; its text says which, and what to do."""


def compiler(path: str | None = None) -> str:
    """The C compiler: $CC, or cc, or gcc, or clang, of `path` or $PATH. Raises Missing."""
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        if name and (found := shutil.which(name, path=path)):
            return found
    raise Missing(
        "the load client is C, and there is no C compiler: on Debian, apt-get install gcc libc6-dev"
    )


def program(name: str) -> Path:
    """Where it is; compiled first where that is older than its sources. Raises Missing."""
    sources, out = SOURCES[name], BUILD / name
    if out.exists() and out.stat().st_mtime >= max(source.stat().st_mtime for source in sources):
        return out
    BUILD.mkdir(parents=True, exist_ok=True)
    units = [str(source) for source in sources if source.suffix == ".c"]
    fresh = out.with_suffix(f".{os.getpid()}")  # so that two who compile at once both end with a whole one
    done = subprocess.run([compiler(), *OPTIONS, "-o", str(fresh), *units], capture_output=True, text=True)
    if done.returncode:
        raise Missing(f"{name} does not compile here:\n{done.stderr}")
    fresh.replace(out)
    return out
