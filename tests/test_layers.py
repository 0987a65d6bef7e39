"""Who may import whom, read from the source; and that nothing starts when a module is imported."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "app").rglob("*.py"))
}
PURE = {
    *(f"app.hub.{name}" for name in ("events", "log", "mailbox", "reading", "client", "keys")),
    *(f"app.hub.{name}" for name in ("connection", "endings", "crowd", "admission", "losses")),
    *(f"app.hub.{name}" for name in ("limits", "memory", "registry", "control")),
    *(f"app.relay.{name}" for name in ("frames", "payloads", "alike", "reported", "deltas")),
    *(f"app.relay.{name}" for name in ("clocks", "retry")),
    *(f"app.chat.{name}" for name in ("prompt", "fit")),
}
# Of the stdlib, what waits, talks or knows the time.
IMPURE = {
    *("asyncio", "concurrent", "multiprocessing", "queue", "sched", "select", "selectors", "signal"),
    *("http", "socket", "socketserver", "ssl", "subprocess", "threading", "_thread", "time", "urllib"),
}
# Room, and the rooms it may not know.
STRANGERS = {
    "app.hub": ("app.relay", "app.chat", "app.web"),
    "app.relay": ("app.hub", "app.chat", "app.web"),
    "app.chat": ("app.hub", "app.relay", "app.web"),
}
ROOMS = (*STRANGERS, "app.web")
KNOW_FLASK = ("app.web", "app.cli", "app.assembly")
EDGES = ("app", "app.cli", "app.assembly")
FLASK = {"flask", "flask_cors", "werkzeug", "jinja2", "click"}
KNOWS_GEVENT = "app.hub.loop"  # imported where a stream's socket is taken, in a gevent worker only

every_module = pytest.mark.parametrize("name", MODULES)


def imports(name: str) -> set[str]:
    """What a module imports anywhere in it, by full name: `app.hub.events` for a name taken from there."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name} imports relatively"
            found.update(_full(node.module or "", alias.name) for alias in node.names)
    return found - {"__future__"}


def _full(module: str, name: str) -> str:
    return f"{module}.{name}" if f"{module}.{name}" in MODULES else module


def within(name: str, *rooms: str) -> bool:
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


def package(name: str) -> str:
    return name.partition(".")[0]


def test_there_are_modules_to_look_at() -> None:
    assert set(MODULES) >= PURE
    assert {"app", *ROOMS} <= set(MODULES)


@pytest.mark.parametrize("name", sorted(PURE))
def test_a_pure_module_imports_values_only(name: str) -> None:
    for imported in imports(name):
        ours = imported in PURE | {"app.errors"}
        stdlib = package(imported) in sys.stdlib_module_names - IMPURE
        assert ours or stdlib or imported == "orjson", f"{name} is pure and imports {imported}"


@every_module
def test_a_room_does_not_know_its_strangers(name: str) -> None:
    for room, strangers in STRANGERS.items():
        if within(name, room):
            known = [imported for imported in imports(name) if within(imported, *strangers)]
            assert not known, f"{name} may not know {known}: it is handed what it needs"


@every_module
def test_only_the_edge_knows_flask(name: str) -> None:
    if name != "app" and not within(name, *KNOW_FLASK):
        known = FLASK & set(map(package, imports(name)))
        assert not known, f"{name} is not of the edge and imports {known}"


@every_module
def test_no_room_knows_who_puts_it_together(name: str) -> None:
    if within(name, *ROOMS):
        assert not imports(name) & set(EDGES), f"{name} imports the composition root"


@every_module
def test_only_the_event_loop_of_taken_sockets_may_know_gevent(name: str) -> None:
    if name != KNOWS_GEVENT:
        known = {"gevent", "greenlet"} & set(map(package, imports(name)))
        assert not known, f"{name} imports {known}: code uses threading, and the worker patches it"


@every_module
def test_a_module_says_its_one_idea_in_its_first_line(name: str) -> None:
    said = ast.get_docstring(ast.parse(MODULES[name].read_text()))
    assert said, f"{name} has no docstring"
    first = said.splitlines()[0]
    assert first.endswith("."), f"{name} begins with no whole sentence: {first}"
    assert not re.search(r"[.!?] +\S", first), f"{name} begins with more than one sentence: {first}"


IMPORT_ALL = """
import gc, importlib, json, os, socket, sys, threading
for name in sys.argv[1:]:
    importlib.import_module(name)
Flask = importlib.import_module("flask").Flask
links = [os.path.realpath(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")]
print(json.dumps({
    "threads": [t.name for t in threading.enumerate() if t is not threading.main_thread()],
    "sockets": [repr(o) for o in gc.get_objects() if isinstance(o, socket.socket)],
    "descriptors": [link for link in links if "socket:" in link],
    "applications": [repr(o) for o in gc.get_objects() if isinstance(o, Flask)],
    "gevent": [name for name in sys.modules if name == "gevent"],
}))
"""


def test_nothing_starts_at_import() -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", IMPORT_ALL, *sorted(set(MODULES) - {KNOWS_GEVENT})],
        cwd=ROOT,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found == {"threads": [], "sockets": [], "descriptors": [], "applications": [], "gevent": []}


def test_importing_the_package_alone_takes_hold_of_nothing_that_gevent_must_patch() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", "import app, app.settings, sys; print(*sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert not {"requests", "urllib3", "flask"} & set(ran.stdout.split()), ran.stderr
