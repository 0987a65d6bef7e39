"""What a sampler has seen, as a tree of named frames: whose each is, and how often it was there. Pure.

A line of folded stacks is `frame;frame;… count`, the outermost first; a frame `name (file:line)`, of compiled
code `name (library)`. Names that come out are those of modules, without line or folder of any machine:
`app/hub/hub.py:Hub.take`, `gevent/libev/corecext`, `kernel: send`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

# Whose code a file is, by how its path begins; any other Python is the standard library's.
ROOMS = {
    "app/hub/": "app.hub",
    "app/relay/": "app.relay",
    "app/chat/": "app.chat",
    "app/": "app.web",
    "bench/": "bench",
    "deltahub_app.py": "bench",
    "pacing.py": "bench",
    "flask": "flask",
    "werkzeug/": "flask",
    "blinker/": "flask",
    "gevent/": "gevent",
    "greenlet": "gevent",
    "gunicorn": "gunicorn",
    "orjson/": "orjson",
    "pydantic": "pydantic",
    "requests/": "requests",
    "urllib3/": "requests",
    "sseclient": "requests",
}
KERNEL, GARBAGE, LIBRARY = "kernel", "garbage", "python"
SWITCH = "greenlet: switch"

# Functions of the C library that are a system call and nothing else: what is seen there is the kernel's.
SYSTEM_CALLS = frozenset(
    """accept accept4 bind close connect dup epoll_create1 epoll_ctl epoll_wait fcntl fcntl64 fstat fstat64
    getpeername getpid getrlimit getrlimit64 getsockname getsockopt ioctl listen madvise mmap mmap64 mprotect
    munmap poll read recv recvfrom send sendmsg sendto setsockopt shutdown socket syscall write""".split()  # noqa: SIM905
)
_FRAME = re.compile(r"(?P<name>.*) \((?P<file>[^()]*?)(?::\d+)?\)")
_MACHINE = re.compile(r".*/(?:site-packages|dist-packages|lib/python3\.\d+)/")
_TAG = re.compile(r"\.(?:cpython|abi3|cp3)[^/]*$|\.so[.\d]*$")
# Who waits for work: a thread of gevent's pool, and the loop. To the sampler they are awake: it asks who is
# before it stops the process, and looks at the stacks when that has stopped.
_WAITING = re.compile(r"\(gevent/_threading\.py|epoll_poll \(gevent/libev/[^;]*;epoll_wait [^;]*$")


@dataclass
class Node:
    """One frame in its place: how often it was on a stack, and what it had called."""

    name: str
    room: str
    count: int = 0
    children: dict[str, Node] = field(default_factory=dict)

    @property
    def depth(self) -> int:
        """Of frames that stand on each other, this one included."""
        return 1 + max((child.depth for child in self.children.values()), default=0)


@dataclass(frozen=True)
class Frame:
    name: str
    room: str  # "" for compiled code that does what its caller wants


@dataclass
class Samples:
    """All stacks as one tree, and whose the time was that each of them was seen in."""

    tree: Node
    rooms: Counter[str]


def samples(lines: Iterable[str]) -> Samples:
    """Out of folded stacks; who waits for work is left out."""
    found = Samples(Node("all", LIBRARY), Counter())
    for line in lines:
        stack, _, count = line.strip().rpartition(" ")
        if not stack or _WAITING.search(stack):
            continue
        frames = tidied(stack.split(";"))
        if frames:
            found.rooms[owner(frames)] += int(count)
            _add(found.tree, frames, int(count))
    return found


def _add(node: Node, frames: list[Frame], count: int) -> None:
    node.count += count
    for frame in frames:
        room = frame.room or node.room
        node = node.children.setdefault(frame.name, Node(frame.name, room))
        node.count += count


def owner(frames: list[Frame]) -> str:
    """Whose time it was: of the innermost frame, or of who has called it where it works for any."""
    return next((frame.room for frame in reversed(frames) if frame.room), LIBRARY)


def tidied(stack: list[str]) -> list[Frame]:
    """The frames of one greenlet: below where it begins stands whoever happened to start it. What follows
    each other in one compiled module is one frame."""
    switching = _is_greenlets(stack[-1])
    while stack and _is_greenlets(stack[-1]):
        stack = stack[:-1]
    begins = max((at for at, text in enumerate(stack) if _is_greenlets(text)), default=-1)
    frames: list[Frame] = []
    for text in stack[begins + 1 :]:
        found = frame(text)
        if found and not (frames and frames[-1] == found and ".py:" not in found.name):
            frames.append(found)
    return frames + [Frame(SWITCH, "gevent")] * switching


def _is_greenlets(text: str) -> bool:
    return "(greenlet/" in text or "(gevent/_gevent_cgreenlet" in text


def frame(text: str) -> Frame | None:
    """One frame; None where it is only an address that nobody knows."""
    match = _FRAME.fullmatch(text)
    if match is None:
        return Frame(text, "")
    name, path = match["name"], module(match["file"])
    if path == "libc" and name.lstrip("_").removeprefix("libc_") in SYSTEM_CALLS:
        return Frame(f"kernel: {name.lstrip('_').removeprefix('libc_')}", KERNEL)
    if name == "gc_collect_main":
        return Frame("python: garbage", GARBAGE)
    if path == "?":
        return None
    room = next((room for start, room in ROOMS.items() if path.startswith(start)), "")
    if path.endswith(".py") or path.startswith("<"):
        return Frame(f"{path}:{name.replace('.<locals>', '')}", room or LIBRARY)
    return Frame(path, room)


def module(path: str) -> str:
    """A file's name without what is the machine's of it."""
    path = _MACHINE.sub("", path)
    if path.startswith("/"):
        path = "/".join(path.split("/")[-2:])
    return _TAG.sub("", path)
