"""connections: one whose answer came to its end serves the next call, no other does, and nobody notices.

In threads, and by the last test the same on gevent's loop.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.errors import UpstreamError
from app.relay import watch
from app.relay.connections import IDLE, _HTTPPool
from app.relay.deltas import Delta, Finished, Said
from app.relay.line import Line
from app.relay.relay import Relay
from app.relay.upstream import Upstream
from app.relay.worker import Worker
from tests.hub.ends import reset
from tests.relay import (
    ASKED,
    CHUNKED,
    DONE,
    HEAD,
    UNTIL_CLOSE,
    Beside,
    Listener,
    ManualClock,
    Puppet,
    chunk,
    encrypted,
    ended,
    heard,
    in_greenlets,
    make_question,
    promptly,
    read_request,
)
from tests.rig import script
from tests.rig.reading import eventually
from tests.rig.script import Json
from tests.rig.upstream import ScriptedUpstream

LAST = b"0\r\n\r\n"


def coded(*events: bytes) -> bytes:
    """Each event in a chunk of its own."""
    return b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events)


WHOLE = CHUNKED + coded(chunk("a"), chunk(finish="stop"), DONE) + LAST


class Call:
    """One call of an upstream, beside the test. Its last word is `[DONE]`, as it is for the worker."""

    def __init__(self, subject: Upstream, body: Json = ASKED) -> None:
        self.line, self.said = Line(), list[Any]()
        self.reading = Beside(subject.ask, body, self.line, self._hear)

    def _hear(self, said: Said) -> bool:
        self.said.append(said)
        return not isinstance(said, Finished) or bool(said.reason)

    def text(self) -> str:
        """Its text, once it has come to its end. Raises what it ended by."""
        self.reading.result()
        return "".join(item.data["content"] for item in self.said if isinstance(item, Delta))


@pytest.fixture
def puppet() -> Iterator[Puppet]:
    with Puppet() as made:
        yield made


@pytest.fixture
def kept(puppet: Puppet) -> Iterator[tuple[Upstream, socket.socket]]:
    """An upstream that was asked once, and its side of the connection that is kept since."""
    subject = Upstream(puppet.url)
    call = Call(subject)
    with puppet.take() as sock:
        sock.sendall(WHOLE)
        assert call.text() == "a"
        assert subject.kept() == 1
        yield subject, sock


# --- which are kept --------------------------------------------------------------------------------------


def test_a_connection_serves_one_answer_after_the_other(upstream: ScriptedUpstream) -> None:
    upstream.script(default=script.deltas(["a"]))
    subject = Upstream(upstream.url)
    for asked in range(5):
        assert Call(subject).text() == "a"
        ended(upstream, asked + 1)  # a call that came before would open one of its own
    assert (upstream.state()["opened"], subject.kept()) == (1, 1)


def test_an_upstream_is_asked_to_keep_the_connection_only_where_it_is_kept(
    upstream: ScriptedUpstream,
) -> None:
    upstream.script(default=script.deltas(["a"]))
    for most in (1, 0):
        subject = Upstream(upstream.url, kept=most)
        heard(subject)
        assert subject.kept() == most
    asked = [request["headers"]["Connection"] for request in upstream.state()["requests"]]
    assert asked == ["keep-alive", "close"]


NOT_KEPT: dict[str, Json] = {
    "cut": script.cut(["a"]),
    "reset": script.cut(["a"], how="reset"),
    "refused": script.failure(503),
    "an error within": {"steps": [{"delta": "a"}, {"chunk": {"error": "it broke"}}, {"done": True}]},
    "no stream": script.page(),
    "a document": script.document({"choices": [{"message": {"content": "a"}}]}),
    "ended by the connection": script.deltas(["a"], chunked=False),
    "with its length": script.deltas(["a"], chunked="length"),
    "compressed": script.deltas(["a"], chunked="gzip"),
    "to be closed": script.deltas(["a"], headers={"Connection": "close"}),
}


@pytest.mark.parametrize("answer", NOT_KEPT.values(), ids=NOT_KEPT)
def test_a_connection_is_not_kept_after_an_answer_that_is(upstream: ScriptedUpstream, answer: Json) -> None:
    upstream.script(answer)
    subject = Upstream(upstream.url)
    with contextlib.suppress(UpstreamError):
        heard(subject)
    eventually(lambda: upstream.state()["open"] == 0)
    assert subject.kept() == 0


def test_a_connection_is_not_kept_after_a_stop(upstream: ScriptedUpstream) -> None:
    upstream.script(script.cut(["a"], how="hang"))
    subject = Upstream(upstream.url)
    call = Call(subject)
    eventually(lambda: call.said)
    call.line.cut("stopped")
    with pytest.raises(UpstreamError):
        call.text()
    eventually(lambda: upstream.state()["open"] == 0)
    assert subject.kept() == 0


def test_a_connection_is_not_kept_whose_answer_was_longer_than_is_wanted(upstream: ScriptedUpstream) -> None:
    """What is still to come is not little: it must end where it is made."""
    upstream.script(script.counted(10_000, gap=0.01))
    subject = Upstream(upstream.url)
    subject.ask(ASKED, Line(), lambda said: False)
    assert eventually(lambda: upstream.state()["requests"][0]["ended"]) == "peer"
    assert subject.kept() == 0


def test_no_more_are_kept_than_may_be(upstream: ScriptedUpstream) -> None:
    upstream.script(default=script.deltas(["a"], gap=0.2))
    subject = Upstream(upstream.url, kept=2)
    calls = [Call(subject) for _ in range(5)]
    assert [call.text() for call in calls] == ["a"] * 5
    assert subject.kept() == 2
    eventually(lambda: upstream.state()["open"] == 2)


class Kept:
    """A connection as a pool sees it, which does something while it is looked at."""

    rest, since = True, 0.0

    def __init__(self, looked_at: Callable[[], object] = int) -> None:
        self.looked_at, self.closed = looked_at, False

    def lasts(self, now: float) -> bool:
        self.looked_at()
        return True

    def close(self) -> None:
        self.closed = True


def test_what_comes_while_the_others_are_looked_at_is_kept_as_far_as_there_is_room() -> None:
    pool: Any = _HTTPPool("127.0.0.1", 1, most=2, clock=lambda: 0.0)
    late = [Kept(), Kept()]
    old = [Kept(lambda: [pool._put_conn(each) for each in late]), Kept()]
    for each in old:
        pool._put_conn(each)
    pool.tidy(0.0)
    assert pool.kept() == 2
    assert [each.closed for each in old + late] == [True, True, False, False]


def test_a_pool_that_is_closed_while_it_is_looked_at_keeps_nothing() -> None:
    pool: Any = _HTTPPool("127.0.0.1", 1, most=2, clock=lambda: 0.0)
    only = Kept(lambda: pool.close())
    pool._put_conn(only)
    pool.tidy(0.0)
    assert (pool.kept(), only.closed) == (0, True)


def test_what_nobody_uses_for_long_is_closed(upstream: ScriptedUpstream) -> None:
    subject = Upstream(upstream.url, clock=ManualClock(1000.0))
    assert Call(subject).text() == "Hello world"
    subject.tidy(1000.0 + IDLE)
    assert subject.kept() == 1
    subject.tidy(1001.0 + IDLE)
    assert subject.kept() == 0
    eventually(lambda: upstream.state()["open"] == 0)


def test_a_connection_that_the_upstream_closes_is_let_go_of(kept: tuple[Upstream, socket.socket]) -> None:
    subject, sock = kept
    sock.close()
    eventually(lambda: subject.tidy(time.monotonic() + IDLE / 2) or not subject.kept())


def test_the_look_at_the_answers_goes_on_until_nothing_is_kept(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "PERIOD", 0.01)
    monkeypatch.setattr(watch, "SLOW_PERIOD", 0.0)
    clock = ManualClock()
    subject = Upstream(upstream.url, clock=clock)
    relay = Relay(Worker([subject], Listener(), clock=clock))
    generation, _ = relay.start(make_question(), list)
    assert generation.ended.wait(5)
    eventually(lambda: not relay.count())
    assert subject.kept() == 1
    eventually(lambda: clock.advance(IDLE / 2) or not subject.kept())


# --- how one serves again --------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [*range(len(coded(DONE) + LAST))])
def test_what_comes_after_the_last_word_is_no_part_of_the_next_answer(puppet: Puppet, cut: int) -> None:
    """An answer is over at its `[DONE]`, wherever the piece ends that brings it."""
    end = coded(DONE) + LAST
    subject = Upstream(puppet.url)
    first = Call(subject)
    with puppet.take() as sock:
        sock.sendall(CHUNKED + coded(chunk("a"), chunk(finish="stop")) + end[:cut])
        eventually(lambda: first.said)
        sock.sendall(end[cut:])
        assert first.text() == "a"
        second = Call(subject)
        read_request(sock)
        sock.sendall(WHOLE.replace(b'"a"', b'"b"'))
        assert second.text() == "b"


SURPLUS = {
    "the end is still to come": coded(DONE),
    "the end is not whole": coded(DONE) + LAST[:-1],
    "trailers": coded(DONE) + b"0\r\nX-Sum: 5\r\n\r\n",
    "another answer": coded(DONE) + LAST + WHOLE,
    "a word too many": coded(DONE) + LAST + b"x",
    "no chunk": coded(DONE) + b"x\r\n",
    "more than is waited for": coded(DONE) + coded(b": ping\n\n" * 1000) * 100,
}


@pytest.mark.parametrize("end", SURPLUS.values(), ids=SURPLUS)
def test_a_connection_serves_no_more_where_after_the_last_word_comes(puppet: Puppet, end: bytes) -> None:
    subject = Upstream(puppet.url)
    first = Call(subject)
    with puppet.take() as old:
        old.sendall(CHUNKED + coded(chunk("a"), chunk(finish="stop")) + end)
        assert first.text() == "a"
        second = Call(subject)
        with puppet.take() as new:
            new.sendall(WHOLE)
            assert second.text() == "a"


def test_a_large_question_is_sent_whole_on_a_connection_that_served_before(
    kept: tuple[Upstream, socket.socket],
) -> None:
    """Its socket was last read without waiting."""
    subject, sock = kept
    call = Call(subject, {"user": "x" * (8 << 20)})
    assert read_request(sock).endswith(b"}")
    sock.sendall(WHOLE)
    assert call.text() == "a"


def test_a_connection_serves_again_over_tls(puppet: Puppet, certificate: Path) -> None:
    def serve(plain: socket.socket) -> None:
        with encrypted(plain, certificate) as sock:
            for _ in range(3):
                read_request(sock)
                sock.sendall(WHOLE)
            sock.recv(1)

    subject = Upstream(puppet.url.replace("http:", "https:"), ca=str(certificate))
    calls = [Call(subject)]
    with puppet.accept() as plain:
        serving = Beside(serve, plain)
        assert calls[-1].text() == "a"
        for _ in range(2):
            calls.append(Call(subject))
            assert calls[-1].text() == "a"
        subject.tidy(time.monotonic() + 2 * IDLE)
        serving.result()


# --- one that the upstream has closed --------------------------------------------------------------------


@pytest.mark.parametrize("close", [socket.socket.close, reset], ids=["closed", "reset"])
def test_a_connection_that_was_closed_meanwhile_is_not_used(
    kept: tuple[Upstream, socket.socket], puppet: Puppet, close: Callable[[socket.socket], None]
) -> None:
    subject, old = kept
    close(old)
    call = Call(subject)
    with puppet.take() as new:
        new.sendall(WHOLE)
        assert call.text() == "a"


@pytest.mark.parametrize("close", [socket.socket.close, reset], ids=["closed", "reset"])
def test_a_connection_that_is_closed_at_that_very_moment_is_replaced_and_nobody_notices(
    kept: tuple[Upstream, socket.socket], puppet: Puppet, close: Callable[[socket.socket], None]
) -> None:
    """Which the upstream does whose patience ends as the question comes."""
    subject, old = kept
    call = Call(subject)
    first = read_request(old)
    close(old)
    with puppet.accept() as new:
        assert read_request(new) == first
        new.sendall(WHOLE)
        assert call.text() == "a"


def test_what_replaces_a_connection_is_new_however_many_are_kept(puppet: Puppet) -> None:
    """Whoever restarts closes all of them."""
    subject = Upstream(puppet.url)
    calls = [Call(subject) for _ in range(2)]
    with puppet.take() as one, puppet.take() as two:
        for sock in (one, two):
            sock.sendall(WHOLE)
        assert [call.text() for call in calls] == ["a", "a"]
        assert subject.kept() == 2
        call = Call(subject)
        used = one if _readable(one) else two
        read_request(used)
        used.close()
        with puppet.take() as new:
            new.sendall(WHOLE)
            assert call.text() == "a"


def test_a_question_is_asked_anew_once_only(kept: tuple[Upstream, socket.socket], puppet: Puppet) -> None:
    subject, old = kept
    call = Call(subject)
    read_request(old)
    old.close()
    puppet.take().close()
    with pytest.raises(UpstreamError) as error:
        call.text()
    assert error.value.code == "cut"
    assert error.value.retryable


BEGUN = {
    "that it may go on": b"HTTP/1.1 100 Continue\r\n\r\n",
    "the beginning of a head": HEAD[:20],
    "a head": CHUNKED,
    "a head and some text": UNTIL_CLOSE + chunk("a"),
}


@pytest.mark.parametrize("answer", BEGUN.values(), ids=BEGUN)
def test_a_question_is_not_asked_anew_of_whose_answer_something_came(
    kept: tuple[Upstream, socket.socket], puppet: Puppet, answer: bytes
) -> None:
    subject, sock = kept
    call = Call(subject)
    read_request(sock)
    sock.sendall(answer)
    sock.close()
    with contextlib.suppress(UpstreamError):
        call.text()
    assert subject.kept() == 0
    assert not puppet.waits(), "it was asked once more"


def test_a_question_is_not_asked_anew_where_the_upstream_may_have_been_at_work(puppet: Puppet) -> None:
    now = [0.0]
    subject = Upstream(puppet.url, clock=lambda: now[0])
    call = Call(subject)
    with puppet.take() as sock:
        sock.sendall(WHOLE)
        assert call.text() == "a"
        call = Call(subject)
        read_request(sock)
        now[0] += 1.5
    with pytest.raises(UpstreamError) as error:
        call.text()
    assert (error.value.code, error.value.retryable) == ("cut", True)
    assert not puppet.waits(), "it was asked once more"


def test_a_connection_that_is_new_is_not_replaced(puppet: Puppet) -> None:
    call = Call(Upstream(puppet.url))
    puppet.take().close()
    with pytest.raises(UpstreamError) as error:
        call.text()
    assert error.value.code == "cut"


# --- Stop ------------------------------------------------------------------------------------------------


PHASES = {
    "while the head is waited for": b"",
    "in the middle of the head": HEAD[:30],
    "before the first event": CHUNKED,
    "after a delta": CHUNKED + coded(chunk("a")),
    "in the middle of an event": CHUNKED + coded(chunk("a")) + coded(chunk("b"))[:-20],
}


@pytest.mark.parametrize("answer", PHASES.values(), ids=PHASES)
def test_a_stop_cuts_the_answer_of_a_connection_that_served_before(puppet: Puppet, answer: bytes) -> None:
    def seconds() -> float:
        subject = Upstream(puppet.url)
        first = Call(subject)
        with puppet.take() as sock:
            sock.sendall(WHOLE)
            assert first.text() == "a"
            second = Call(subject)
            read_request(sock)
            sock.sendall(answer)
            eventually(lambda: len(second.said) == answer.count(b"}\n\n\r\n"))
            seen = Beside(_until_closed, sock)
            at = _cut(second)
            seen.result()
            assert subject.kept() == 0
            return float(seen.ended_at - at)

    promptly(seconds)


def test_a_stop_of_an_answer_that_has_ended_does_not_touch_the_next_one_on_its_connection(
    kept: tuple[Upstream, socket.socket], puppet: Puppet
) -> None:
    subject, sock = kept
    first = Call(subject)
    read_request(sock)
    sock.sendall(WHOLE)
    assert first.text() == "a"
    second = Call(subject)
    read_request(sock)
    first.line.cut("stopped")
    sock.sendall(WHOLE)
    assert second.text() == "a"


def test_a_stop_before_the_call_takes_a_kept_connection_leaves_nothing_open(
    kept: tuple[Upstream, socket.socket],
) -> None:
    subject, sock = kept
    line = Line()
    line.cut("stopped")
    with pytest.raises(UpstreamError) as error:
        heard(subject, line=line)
    assert error.value.code == "stopped"
    assert subject.kept() == 0
    assert sock.recv(1) == b""


# --- what the environment may say ------------------------------------------------------------------------


@pytest.mark.parametrize("trusted", [False, True])
def test_a_proxy_of_the_environment_is_used_only_where_that_is_asked_for(
    upstream: ScriptedUpstream, puppet: Puppet, monkeypatch: pytest.MonkeyPatch, trusted: bool
) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, puppet.url.removesuffix("/v1"))
    call = Call(Upstream(upstream.url, environment=trusted))
    if trusted:
        with puppet.accept() as sock:
            line = read_request(sock).partition(b"\r\n")[0]
            sock.sendall(WHOLE)
            assert call.text() == "a"
        assert line == f"POST {upstream.url}/chat/completions HTTP/1.1".encode()
    call.text()
    assert len(upstream.state()["requests"]) == (0 if trusted else 1)


def test_a_proxy_of_the_environment_is_not_used_for_whom_it_excepts(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert Call(Upstream(upstream.url, environment=True)).text() == "Hello world"


@pytest.mark.parametrize("trusted", [False, True])
def test_certificates_of_the_environment_are_trusted_only_where_that_is_asked_for(
    puppet: Puppet, certificate: Path, monkeypatch: pytest.MonkeyPatch, trusted: bool
) -> None:
    def serve(plain: socket.socket) -> None:
        with contextlib.suppress(OSError), encrypted(plain, certificate) as sock:
            read_request(sock)
            sock.sendall(WHOLE)

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    call = Call(Upstream(puppet.url.replace("http:", "https:"), environment=trusted))
    with puppet.accept() as plain:
        serving = Beside(serve, plain)
        if trusted:
            assert call.text() == "a"
        else:
            with pytest.raises(UpstreamError, match="no certificate to trust"):
                call.text()
        serving.result()


# --- helpers ---------------------------------------------------------------------------------------------


def _readable(sock: socket.socket) -> bool:
    """Whether a question comes on it shortly."""
    sock.settimeout(0.5)
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except TimeoutError:
        return False
    finally:
        sock.settimeout(5)


def _until_closed(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while sock.recv(65_536):
            pass


def _cut(call: Call) -> float:
    """Stops it, and sees it end by that; the moment of the stop."""
    at = time.monotonic()
    call.line.cut("stopped")
    with pytest.raises(UpstreamError) as error:
        call.text()
    assert error.value.code == "stopped"
    return at


def test_all_of_it_is_true_of_greenlets() -> None:
    in_greenlets("test_connections", but=["greenlets"])
