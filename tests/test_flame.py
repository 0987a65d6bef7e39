"""Flame graphs: what a sampler has seen is named, counted and drawn as it was."""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench.flame.folded import GARBAGE, KERNEL, LIBRARY, SWITCH, Node, frame, module, owner, samples, tidied
from bench.flame.loads import LOADS, worker
from bench.flame.picture import COLOURS, LEAST, MOST, boxes, drawn, short
from tests.rig.serving import ROOT

SVG = "{http://www.w3.org/2000/svg}"
PICTURES = sorted((ROOT / "docs" / "flames").glob("*.svg"))
HUB = "Hub.run (gevent/hub.py:647)"
LOOP = "ev_run (gevent/libev/corecext.cpython-311-x86_64-linux-gnu.so)"
TURN = "Sockets._turn (app/hub/sockets.py:131)"
SENDING = ["sock_send (socketmodule.c:4207)", "sock_call_ex (socketmodule.c:921)"]
SEND = "send (libc.so.6)"
BEGINS = "greenlet::UserGreenlet::g_initialstub (greenlet/TUserGreenlet.cpp:360)"
SWITCHES = "greenlet::UserGreenlet::g_switch (greenlet/TUserGreenlet.cpp:185)"


def named(*stack: str) -> list[str]:
    return [each.name for each in tidied(list(stack))]


# --- names -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("app/hub/hub.py", "app/hub/hub.py"),
        ("/srv/deltahub/.venv/lib/python3.11/site-packages/flask/app.py", "flask/app.py"),
        ("/usr/lib/python3/dist-packages/gevent/hub.py", "gevent/hub.py"),
        ("/usr/lib/python3.11/http/client.py", "http/client.py"),
        ("/home/somebody/deltahub/app/hub/hub.py", "hub/hub.py"),
        ("libc.so.6", "libc"),
        ("libpython3.11.so.1.0", "libpython3.11"),
        ("gevent/libev/corecext.cpython-311-x86_64-linux-gnu.so", "gevent/libev/corecext"),
        ("socketmodule.c", "socketmodule.c"),
    ],
)
def test_a_file_is_named_without_its_machine(path: str, name: str) -> None:
    assert module(path) == name


@pytest.mark.parametrize(
    ("text", "name", "room"),
    [
        ("Hub.take (app/hub/hub.py:97)", "app/hub/hub.py:Hub.take", "app.hub"),
        ("f.<locals>.g (app/web/sse.py:3)", "app/web/sse.py:f.g", "app.web"),
        ("Thread.run (threading.py:982)", "threading.py:Thread.run", LIBRARY),
        ("import_ (<frozen importlib>:1)", "<frozen importlib>:import_", LIBRARY),
        ("__send (libc.so.6)", "kernel: send", KERNEL),
        ("__libc_recv (libc.so.6)", "kernel: recv", KERNEL),
        ("malloc (libc.so.6)", "libc", ""),
        ("sock_send (socketmodule.c:4207)", "socketmodule.c", ""),
        ("gc_collect_main (libpython3.11.so.1.0)", "python: garbage", GARBAGE),
        ("0x7f0011223344 (orjson/orjson.cpython-311-x86_64-linux-gnu.so)", "orjson/orjson", "orjson"),
    ],
)
def test_a_frame_is_named_by_its_module_and_has_a_room(text: str, name: str, room: str) -> None:
    found = frame(text)
    assert found
    assert (found.name, found.room) == (name, room)


def test_an_address_that_nobody_knows_is_left_out() -> None:
    assert frame("0x7f94a1638220 (?)") is None


# --- stacks ----------------------------------------------------------------------------------------------


def test_a_greenlet_stands_on_nothing_of_who_started_it() -> None:
    assert named("main (app/cli.py:1)", SWITCHES, BEGINS, HUB, LOOP) == [
        "gevent/hub.py:Hub.run",
        "gevent/libev/corecext",
    ]


def test_a_switch_belongs_to_the_greenlet_that_switches() -> None:
    assert named(BEGINS, HUB, SWITCHES, SWITCHES) == ["gevent/hub.py:Hub.run", SWITCH]


def test_what_follows_each_other_in_a_compiled_module_is_one_frame_and_in_python_each_its_own() -> None:
    again = "again (app/hub/hub.py:1)"
    assert named(again, again, *SENDING, SEND) == [
        *["app/hub/hub.py:again"] * 2,
        "socketmodule.c",
        "kernel: send",
    ]


def test_time_is_the_innermost_frames_and_of_compiled_code_that_works_for_any_its_callers() -> None:
    assert owner(tidied([HUB, TURN, *SENDING, SEND])) == KERNEL
    assert owner(tidied([HUB, TURN, *SENDING])) == "app.hub"
    assert owner(tidied(SENDING)) == LIBRARY


def test_stacks_add_up_to_a_tree() -> None:
    found = samples(
        [
            f"{HUB};{TURN};{SEND} 6",
            f"{HUB};{TURN.replace('131', '140')} 3",  # another line of the same
            f"{HUB} 1",
            "",
        ]
    )
    assert found.tree.count == 10
    assert found.rooms == {KERNEL: 6, "app.hub": 3, "gevent": 1}
    hub = found.tree.children["gevent/hub.py:Hub.run"]
    turn = hub.children["app/hub/sockets.py:Sockets._turn"]
    assert (hub.count, turn.count, turn.children["kernel: send"].count) == (10, 9, 6)


@pytest.mark.parametrize(
    "stack",
    [
        "Worker.run (gevent/threadpool.py:9);Queue.get (gevent/_threading.py:150);0x1 (libc.so.6)",
        f"{HUB};{LOOP};{LOOP.replace('ev_run', 'epoll_poll')};epoll_wait (libc.so.6)",
    ],
    ids=["a thread of a pool", "the loop"],
)
def test_who_waits_for_work_is_not_counted(stack: str) -> None:
    assert samples([f"{stack} 5"]).tree.count == 0


def test_a_look_at_what_is_ready_is_no_waiting() -> None:
    looking = (
        "Inlets._look (app/relay/inlets.py:152);select_epoll_poll (selectmodule.c:1);epoll_wait (libc.so.6)"
    )
    assert samples([f"{HUB};{looking} 5"]).rooms == {KERNEL: 5}


# --- pictures --------------------------------------------------------------------------------------------


def node(count: int, name: str = "all", **children: Node) -> Node:
    return Node(name, "app.hub", count, {child.name: child for child in children.values()})


def test_frames_lie_beside_each_other_the_widest_first_and_within_their_caller() -> None:
    tree = node(100, a=node(20, "a", c=node(10, "c")), b=node(80, "b"))
    assert [(box.node.name, box.left, box.share, box.row) for box in boxes(tree)] == [
        ("b", 0.0, 0.8, 0),
        ("a", 0.8, 0.2, 0),
        ("c", 0.8, 0.1, 1),
    ]


def test_frames_that_are_too_narrow_to_see_are_left_out() -> None:
    tree = node(10_000, a=node(29, "a"), b=node(31, "b"))
    assert [box.node.name for box in boxes(tree, LEAST)] == ["b"]


def test_a_picture_is_xml_that_names_each_frame_and_its_share() -> None:
    found = samples([f"{HUB};lambda<x> (app/hub/a&b.py:1) 3", f"{HUB};{SEND} 1"])
    root = ET.fromstring(drawn("a & b", "what <it> does.", found))
    titles = [title.text for title in root.iter(f"{SVG}title")]
    assert titles == [
        "a & b",
        "gevent/hub.py:Hub.run (100.0 %)",
        "app/hub/a&b.py:lambda<x> (75.0 %)",
        "kernel: send (25.0 %)",
    ]
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert texts[1:4] == [
        "what <it> does. 4 samples; the width of a frame is its share of them, from 0.3 % on.",
        "app.hub 75.0 %",
        "kernel 25.0 %",
    ]


def test_a_picture_has_a_bound_however_much_was_seen() -> None:
    stacks = [
        f"{HUB};" + ";".join(f"f{n}_{at} (app/hub/hub.py:1)" for at in range(60)) + " 1" for n in range(300)
    ]
    assert len(drawn("much", "of it.", samples(stacks)).encode()) <= MOST


@pytest.mark.parametrize(
    ("name", "fits", "shown"),
    [
        ("app/hub/hub.py:Hub.take", 23, "app/hub/hub.py:Hub.take"),
        ("app/hub/hub.py:Hub.take", 22, "Hub.take"),
        ("app/hub/hub.py:Hub.take", 5, "take"),
        ("app/hub/hub.py:Hub.take", 3, "ta…"),
        ("kernel: send", 6, "send"),
        ("socketmodule.c", 8, "socketm…"),
    ],
)
def test_a_name_is_shortened_to_what_says_most(name: str, fits: int, shown: str) -> None:
    assert short(name, fits) == shown


def test_each_room_has_a_colour() -> None:
    from bench.flame.folded import ROOMS

    assert {*ROOMS.values(), KERNEL, GARBAGE, LIBRARY} <= COLOURS.keys()


# --- those in docs/ --------------------------------------------------------------------------------------


def test_there_is_a_picture_of_each_path() -> None:
    assert {picture.stem for picture in PICTURES} == set(LOADS)


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.stem)
def test_a_picture_runs_nothing_loads_nothing_and_tells_nothing_of_the_machine(picture: Path) -> None:
    text = picture.read_text()
    root = ET.fromstring(text)
    assert len(text.encode()) <= MOST
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        "svg",
        "title",
        "style",
        "rect",
        "text",
        "g",
    }
    assert not re.search(r"href|url\(|@import|on\w+=", text)
    texts = [element.text or "" for element in root.iter()]
    assert not [each for each in texts if re.search(r"(^|[\s(])/", each)], "a path from the root of a machine"
    assert "site-packages" not in text
    assert not re.search(r"0x[0-9a-f]{6}", text), "an address"


def test_the_worker_is_the_process_whose_parent_is_among_them() -> None:
    assert worker([os.getppid(), os.getpid()]) == os.getpid()
