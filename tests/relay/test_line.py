"""line: a call is cut in every phase, in threads and in greenlets, within what the contract promises.

What is promised is that the upstream sees the end within 100 ms, so its own clock measures wherever it can.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.errors import UpstreamError
from app.relay.body import Body
from app.relay.connections import open_session
from app.relay.inlets import in_thread
from app.relay.line import Line, calling
from app.relay.upstream import Upstream
from tests.relay import (
    UNTIL_CLOSE,
    Beside,
    HeldLookup,
    Puppet,
    chunk,
    encrypted,
    ended,
    heard,
    in_greenlets,
    promptly,
    read_request,
)
from tests.rig import script
from tests.rig.addresses import deaf
from tests.rig.reading import eventually
from tests.rig.script import Json
from tests.rig.upstream import ScriptedUpstream


class Call:
    """One call of an upstream in a thread beside the test, and the line it hangs on."""

    def __init__(self, url: str, line: Line | None = None, **options: Any) -> None:
        self.line = line or Line()
        self.said: list[Any] = []
        self.thread = Beside(lambda: heard(Upstream(url, **options), line=self.line, said=self.said))

    def cut(self) -> float:
        """Cuts it; the moment of that. It must end by that and by nothing else."""
        at = time.monotonic()
        self.line.cut("stopped")
        with pytest.raises(UpstreamError) as error:
            self.thread.result()
        assert error.value.code == "stopped"
        return at


def half_an_event(**answer: Any) -> Json:
    return {"steps": [{"delta": "a"}, {"send": 'data: {"choices":[{"del', "hang": 60}], **answer}


# What the upstream does, and how many pieces of the body have come when the call is cut.
PHASES: dict[str, tuple[Json, int]] = {
    "while the head is waited for": (script.silence(), 0),
    "in the middle of the head": (script.half_head(), 0),
    "in a head that comes letter by letter": (script.half_head(endless=True), 0),
    "while the first event is waited for": ({"steps": [{"hang": 60}]}, 0),
    "between two deltas": (script.cut(["a"], how="hang"), 1),
    "between two deltas of a body that ends with the connection": (
        script.cut(["a"], how="hang", chunked=False),
        1,
    ),
    "between two deltas of a compressed body": (script.cut(["a"], how="hang", chunked="gzip"), 2),
    "in the middle of an event": (half_an_event(), 1),
    "in the middle of an event of a body that ends with the connection": (half_an_event(chunked=False), 1),
    "among comments": ({"steps": [{"repeat": 10_000, "send": ": ping\n\n", "sleep": 0.002}]}, 5),
    "after the last word": ({"steps": [{"delta": "a"}, {"finish": "stop"}, {"hang": 60}]}, 1),
    "while an error that ends with the connection is read": (
        {"status": 500, "chunked": False, "steps": [{"send": "half a message", "hang": 60}]},
        0,
    ),
    "while an error is read": ({"status": 500, "steps": [{"send": "half a message", "hang": 60}]}, 0),
}


@pytest.mark.parametrize(("answer", "pieces"), PHASES.values(), ids=PHASES)
def test_the_upstream_sees_the_end_at_once_when_cut(
    upstream: ScriptedUpstream, answer: Json, pieces: int
) -> None:
    def seconds() -> float:
        upstream.reset()
        upstream.script(answer)
        call = Call(upstream.url)
        steps = min(1, len(answer["steps"]))
        eventually(lambda: [r for r in upstream.state()["requests"] if r["step"] >= steps])
        eventually(lambda: call.line.pieces >= pieces)
        at = call.cut()
        asked = eventually(lambda: [r for r in upstream.state()["requests"] if r["ended"]])
        assert (len(asked), asked[0]["ended"]) == (1, "peer")
        return float(asked[0]["ended_at"]) - at

    promptly(seconds)


def test_an_upstream_that_sends_faster_than_is_read_sees_the_end_too(upstream: ScriptedUpstream) -> None:
    """It hangs in its send(), which the end of our side does not wake: its bytes must be turned away."""
    upstream.script({"steps": [{"repeat": 1_000_000, "delta": "word " * 100}]})
    reads_on = threading.Event()

    def late(body: Body) -> None:
        reads_on.wait(10)
        in_thread(body)

    call = Call(upstream.url, read=late)
    sent: list[int] = [0]
    eventually(lambda: sent.append(upstream.state()["sent"]) or sent[-1] == sent[-2] > 0, every=0.1)
    call.line.cut("stopped")
    reads_on.set()
    call.cut()
    assert eventually(lambda: upstream.state()["requests"][0]["ended"], within=2.0) == "peer"


def test_an_upstream_that_does_not_read_the_question_sees_the_end_too() -> None:
    """Its end of the line is full, so what would tell it of ours by itself waits behind the question."""
    with Puppet() as puppet:
        call = Call(puppet.url, body={"user": "x" * (16 << 20)})
        with puppet.accept() as sock:
            assert sock.recv(1, socket.MSG_PEEK)
            call.cut()
            error = eventually(lambda: sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    assert error in (errno.ECONNRESET, errno.EPIPE)  # reset, before or after our end had come through


@pytest.mark.parametrize("kept", [0, 1], ids=["a new one", "the one that was kept"])
def test_a_second_call_is_cut_like_the_first_whichever_connection_serves_it(
    upstream: ScriptedUpstream, kept: int
) -> None:
    upstream.script(script.deltas(["a"]), script.silence())
    first = Upstream(upstream.url, kept=kept)
    heard(first)
    ended(upstream)
    line = Line()
    call = Beside(lambda: heard(first, line=line))
    eventually(lambda: len(upstream.state()["requests"]) == 2)
    assert upstream.state()["opened"] == 2 - kept
    line.cut("stopped")
    try:
        with pytest.raises(UpstreamError):
            call.result(within=1.0)
        assert eventually(lambda: upstream.state()["open"] == 0)
        assert first.kept() == 0
    finally:
        upstream.reset()
        call.join(5)


class Watched(Line):
    """Tells when it got its first socket."""

    def __init__(self) -> None:
        super().__init__()
        self.held = threading.Event()

    def hold(self, sock: socket.socket) -> None:
        super().hold(sock)
        self.held.set()


def test_a_call_is_cut_while_it_connects() -> None:
    def seconds() -> float:
        with deaf() as url:
            line = Watched()
            call = Call(url, line, connect_timeout=5.0)
            assert line.held.wait(5)
            at = call.cut()
            return call.thread.ended_at - at

    promptly(seconds)


def test_a_cut_between_the_socket_and_its_connection_is_not_lost() -> None:
    """The narrowest place: the socket is held and does not connect yet."""
    with deaf() as url:
        line, sock = Line(), socket.socket()
        with contextlib.closing(sock):
            sock.settimeout(5)
            line.hold(sock)
            line.cut("stopped")
            began = time.monotonic()
            with contextlib.suppress(OSError):
                sock.connect(("127.0.0.1", int(url.rpartition(":")[2].removesuffix("/v1"))))
            assert time.monotonic() - began < 4.5, "it waited for its own time-out"
            with pytest.raises(OSError, match="cut"):
                line.check()
            line.release()


def test_a_call_that_is_cut_before_it_has_a_socket_makes_no_connection(
    upstream: ScriptedUpstream, lookup: HeldLookup
) -> None:
    call = Call(f"http://{lookup.NAME}:{upstream.port}/v1")
    assert lookup.asked.wait(5)
    call.line.cut("stopped")
    lookup.let_go()
    call.cut()
    assert upstream.state()["opened"] == 0


def test_a_call_whose_line_is_cut_already_makes_no_connection(upstream: ScriptedUpstream) -> None:
    line = Line()
    line.cut("stopped")
    Call(upstream.url, line).cut()
    assert upstream.state()["opened"] == 0


def test_the_first_reason_to_cut_stays() -> None:
    line = Line()
    line.cut("stopped")
    line.cut("timeout_total")
    assert line.why == "stopped"


def test_a_line_without_a_socket_can_be_cut_and_released_at_any_time() -> None:
    line = Line()
    line.release()
    line.cut("stopped")
    line.release()
    line.cut("stopped")


def test_a_socket_is_not_held_by_a_line_that_was_cut() -> None:
    line = Line()
    line.cut("stopped")
    with contextlib.closing(socket.socket()) as sock, pytest.raises(OSError, match="cut"):
        line.hold(sock)
    line.release()


def test_a_line_holds_the_last_socket_only() -> None:
    """A name with several addresses makes several; what did not connect must not stay open."""
    line, before = Line(), len(os.listdir("/dev/fd"))
    for _ in range(5):
        with contextlib.closing(socket.socket()) as sock:
            line.hold(sock)
    assert len(os.listdir("/dev/fd")) == before + 1
    line.release()
    assert len(os.listdir("/dev/fd")) == before


def test_a_socket_that_was_spared_for_another_call_is_not_cut_by_the_first() -> None:
    first, second = Line(), Line()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        first.hold(ours)
        hand = first.spare()
        assert hand
        second.take_over(hand)
        first.cut("stopped")
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            theirs.recv(1)
        second.cut("stopped")
        assert theirs.recv(1) == b""
        second.release()


def test_a_socket_that_was_cut_is_spared_for_nobody() -> None:
    line = Line()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        line.hold(ours)
        line.cut("stopped")
        assert line.spare() is None
        line.release()


def test_a_call_cut_by_many_at_once_ends_once(upstream: ScriptedUpstream) -> None:
    upstream.script(script.cut(["a"], how="hang"))
    call = Call(upstream.url)
    eventually(lambda: call.said)
    together = threading.Barrier(10)
    cutters = [Beside(lambda: (together.wait(5), call.line.cut("stopped"))) for _ in range(10)]
    for cutter in cutters:
        cutter.result()
    call.cut()


class SlowSocket:
    """A socket whose `shutdown` takes its time, and notes whether it was closed meanwhile."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self.closed = self.closed_in_shutdown = False
        self.releasing: Beside | None = None

    def dup(self) -> SlowSocket:
        return self

    def setsockopt(self, *_: object) -> None:
        pass

    def shutdown(self, how: int) -> None:
        self.releasing = Beside(self._line.release)
        self.releasing.join(0.1)  # as long as it takes to do what it must not do
        self.closed_in_shutdown = self.closed

    def close(self) -> None:
        self.closed = True


def test_a_socket_is_not_closed_while_another_thread_shuts_it_down() -> None:
    """Its descriptor's number might be another answer's socket by then."""
    line = Line()
    sock: Any = SlowSocket(line)
    line.hold(sock)
    line.cut("stopped")
    assert sock.releasing
    sock.releasing.result()
    assert sock.closed
    assert not sock.closed_in_shutdown


def test_calls_in_several_threads_each_hang_on_their_own_line(upstream: ScriptedUpstream) -> None:
    upstream.script(default=script.cut(["a"], how="hang"))
    shared = Upstream(upstream.url)
    lines = [Line() for _ in range(12)]
    calls = [Beside(lambda line=line: heard(shared, line=line)) for line in lines]
    eventually(lambda: upstream.state()["open"] == 12)
    for left, (line, call) in zip(range(11, -1, -1), zip(lines, calls, strict=True), strict=True):
        line.cut("stopped")
        with pytest.raises(UpstreamError):
            call.result()
        assert eventually(lambda left=left: upstream.state()["open"] == left)


def test_a_thread_is_on_a_line_only_inside_of_the_block(upstream: ScriptedUpstream) -> None:
    line, before = Line(), len(os.listdir("/dev/fd"))
    with contextlib.suppress(RuntimeError), calling(line):
        raise RuntimeError
    with open_session() as session:
        session.get(f"{upstream.url}/models").close()
    line.release()
    assert len(os.listdir("/dev/fd")) == before


def test_a_session_ignores_what_the_environment_says(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither a proxy nor a stranger's password may come between the settings and the upstream."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login stranger password stranger\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    call = Call(upstream.url)
    call.thread.result()
    assert "Authorization" not in upstream.state()["requests"][0]["headers"]


# --- TLS -------------------------------------------------------------------------------------------------


def until_the_end(sock: socket.socket) -> float:
    """Reads on until the peer is gone; the moment of that."""
    with contextlib.suppress(OSError):
        while sock.recv(65536):
            pass
    return time.monotonic()


def in_the_handshake(plain: socket.socket, certificate: Path, reached: threading.Event) -> float:
    assert plain.recv(1)
    reached.set()
    return until_the_end(plain)


def before_the_head(plain: socket.socket, certificate: Path, reached: threading.Event) -> float:
    with encrypted(plain, certificate) as sock:
        read_request(sock)
        reached.set()
        return until_the_end(sock)


def after_a_delta(plain: socket.socket, certificate: Path, reached: threading.Event) -> float:
    with encrypted(plain, certificate) as sock:
        read_request(sock)
        sock.sendall(UNTIL_CLOSE + chunk("a"))
        reached.set()
        return until_the_end(sock)


def in_the_middle_of_an_event(plain: socket.socket, certificate: Path, reached: threading.Event) -> float:
    with encrypted(plain, certificate) as sock:
        read_request(sock)
        sock.sendall(UNTIL_CLOSE + chunk("a") + chunk("b")[:-5])
        reached.set()
        return until_the_end(sock)


@pytest.mark.parametrize(
    ("phase", "deltas"),
    [(in_the_handshake, 0), (before_the_head, 0), (after_a_delta, 1), (in_the_middle_of_an_event, 1)],
)
def test_a_call_over_tls_is_cut_as_well(
    certificate: Path, phase: Callable[[socket.socket, Path, threading.Event], float], deltas: int
) -> None:
    def seconds() -> float:
        reached = threading.Event()
        with Puppet() as puppet:
            call = Call(puppet.url.replace("http:", "https:"), ca=str(certificate))
            with puppet.accept() as plain:
                server = Beside(phase, plain, certificate, reached)
                eventually(lambda: reached.is_set() and len(call.said) == deltas)
                at = call.cut()
                return float(server.result()) - at

    promptly(seconds)


# --- greenlets -------------------------------------------------------------------------------------------


NOT_THERE = [
    "greenlets",  # we are in it
    "between_the_socket",  # greenlets take turns only where they wait, and there nothing waits
]


@pytest.mark.parametrize("module", ["test_line", "test_worker", "test_relay"])
def test_greenlets_are_cut_as_threads_are(module: str) -> None:
    """The very tests of the module."""
    in_greenlets(module, but=NOT_THERE)
