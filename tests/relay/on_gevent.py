"""inlets on gevent's own loop: run by tests/relay/test_inlets.py, in a process that gevent has patched.

What goes wrong on that loop is told to nobody and fails the test here.
"""

from __future__ import annotations

import gc
import socket
import ssl
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import gevent
import pytest

from app.errors import UpstreamError
from app.hub.loop import GeventLoop, epoll, rules
from app.relay.deltas import Delta
from app.relay.inlets import Inlets, Read
from app.relay.line import Line
from app.relay.turns import TURN
from app.relay.upstream import Upstream
from tests.relay import ASKED, CHUNKED, UNTIL_CLOSE, Beside, Puppet, chunk, heard, read_request
from tests.rig import script
from tests.rig.reading import eventually
from tests.rig.script import Json
from tests.rig.upstream import ScriptedUpstream

LAST = b"0\r\n\r\n"
MOMENT = 1e-6  # seconds: others have their turn, and so has the loop


class Counted:
    """An epoll that counts how often it is asked."""

    def __init__(self) -> None:
        poll = epoll()
        self.fileno, self.register, self.unregister = poll.fileno, poll.register, poll.unregister
        self._poll, self.looks = poll, 0

    def poll(self, seconds: float, most: int) -> list[tuple[int, int]]:
        self.looks += 1
        told: list[tuple[int, int]] = self._poll.poll(seconds, most)
        return told


@pytest.fixture(scope="module")
def poll() -> Counted:
    assert rules(), "to be run in a process that gevent has patched: see tests/relay/test_inlets.py"
    return Counted()


@pytest.fixture(scope="module")
def inlets(poll: Counted) -> Inlets:
    made = GeventLoop(), poll
    return Inlets(lambda: made)


@pytest.fixture(autouse=True)
def nothing_goes_wrong_on_the_loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    wrong: list[Any] = []
    monkeypatch.setattr(gevent.get_hub(), "handle_error", lambda *told: wrong.append(told))
    yield
    assert not wrong


class Call:
    """One call in a greenlet beside the test; `said` is what it has heard."""

    def __init__(self, upstream: Upstream, body: Json = ASKED) -> None:
        self.line = Line()
        self.said: list[Any] = []
        self._reading = Beside(heard, upstream, body, self.line, self.said)

    @property
    def text(self) -> str:
        return "".join(item.data["content"] for item in self.said if isinstance(item, Delta))

    def until(self, text: str) -> None:
        """Waits for so much of the text."""
        eventually(lambda: len(self.text) >= len(text) or not self._reading.is_alive(), every=MOMENT)
        assert self.text == text, self._reading.result()

    def ended(self) -> str:
        """All its text, once it has come to its end. Raises what it ended by."""
        self._reading.result()
        return self.text


def coded(data: bytes, head: bytes) -> bytes:
    """As it comes in a body with this head."""
    return b"%x\r\n%b\r\n" % (len(data), data) if head == CHUNKED else data


# --- on the loop -----------------------------------------------------------------------------------------


def test_what_arrives_is_heard_on_the_loop_and_not_by_who_asked(inlets: Inlets) -> None:
    where: list[Any] = []

    def hear(said: Any) -> bool:
        where.append(gevent.getcurrent())
        return True

    with Puppet() as puppet:
        call = Beside(Upstream(puppet.url, read=inlets.read).ask, ASKED, Line(), hear)
        with puppet.take() as sock:
            sock.sendall(UNTIL_CLOSE)
            eventually(lambda: repr(inlets) == "<Inlets: 1 open>")
            for n in range(3):
                sock.sendall(chunk(str(n)))
                eventually(lambda n=n: len(where) > n)
        call.result()
    assert where == [gevent.get_hub()] * 3


@pytest.mark.parametrize("head", [UNTIL_CLOSE, CHUNKED], ids=["until close", "chunks"])
def test_nothing_is_heard_after_a_cut_though_it_had_arrived(inlets: Inlets, head: bytes) -> None:
    with Puppet() as puppet:
        call = Call(Upstream(puppet.url, read=inlets.read))
        with puppet.take() as sock:
            sock.sendall(head + coded(chunk("a"), head))
            call.until("a")
            sock.sendall(coded(chunk("b"), head))  # nobody has had a turn since
            call.line.cut("stopped")
            with pytest.raises(UpstreamError) as error:
                call.ended()
    assert (error.value.code, call.text) == ("stopped", "a")


def test_an_answer_that_was_cut_leaves_nothing_of_its_question_behind(
    upstream: ScriptedUpstream, inlets: Inlets
) -> None:
    """Not for a moment: full looks for garbage are rare."""
    upstream.script(script.cut(["a"], how="hang"))
    kept: list[weakref.ref[Any]] = []

    class Question(dict[str, Any]):
        pass

    def asked() -> None:
        line, question = Line(), Question(ASKED)
        kept.append(weakref.ref(question))

        def hear(said: Any) -> bool:
            line.cut("stopped")
            return True

        with pytest.raises(UpstreamError):
            Upstream(upstream.url, read=inlets.read).ask(question, line, hear)

    gc.disable()
    try:
        asked()
        assert kept[0]() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("error", [gevent.GreenletExit, KeyboardInterrupt, SystemExit])
def test_whatever_is_raised_on_the_loop_reaches_its_thread_and_the_next_answer_is_read(
    upstream: ScriptedUpstream, inlets: Inlets, error: type[BaseException]
) -> None:
    def hear(said: Any) -> bool:
        raise error

    upstream.script(default=script.deltas(["a", "b"], gap=0.01))
    with pytest.raises(error):
        Upstream(upstream.url, read=inlets.read).ask(ASKED, Line(), hear)
    assert len(heard(Upstream(upstream.url, read=inlets.read))) > 2


def test_what_the_one_who_hears_raises_ends_that_answer_only(
    inlets: Inlets, upstream: ScriptedUpstream
) -> None:
    def hear(said: Any) -> bool:
        raise ValueError("a fault of ours")

    upstream.script(default=script.counted(20, gap=0.01))
    shared = Upstream(upstream.url, read=inlets.read)
    others = [Call(shared) for _ in range(5)]
    with pytest.raises(ValueError, match="a fault of ours"):
        shared.ask(ASKED, Line(), hear)
    assert {call.ended() for call in others} == {WORDS}
    eventually(lambda: upstream.state()["open"] == shared.kept() == 5)


WORDS = "".join(f"w{n} " for n in range(20))


# --- many ------------------------------------------------------------------------------------------------


def test_three_hundred_answers_at_once_do_not_mix(inlets: Inlets, upstream: ScriptedUpstream) -> None:
    """Which say different things, in pieces that end anywhere."""
    count = range(300)
    answers = [script.counted(10, gap=0.02, text=f"{n}:{{i}} ", when=f"<{n}>", slice=97) for n in count]
    upstream.script(*answers)
    shared = Upstream(upstream.url, read=inlets.read)
    calls = [Call(shared, {"messages": [{"role": "user", "content": f"<{n}>"}]}) for n in count]
    for n, call in zip(count, calls, strict=True):
        assert call.ended() == "".join(f"{n}:{i} " for i in range(10))
    assert repr(inlets) == "<Inlets: 0 open>"


def test_a_number_that_was_anothers_brings_nothing_of_it(
    inlets: Inlets, upstream: ScriptedUpstream, poll: Counted
) -> None:
    """Answers that end in the middle, one after the other and on the same few descriptors."""
    shared = Upstream(upstream.url, read=inlets.read)
    for n in range(50):
        upstream.script(script.counted(1_000, text=f"{n}:{{i}} "))
        said: list[Any] = []

        def hear(item: Any, said: list[Any] = said) -> bool:
            said.append(item.data["content"])
            return len(said) < 10

        shared.ask(ASKED, Line(), hear)
        assert said == [f"{n}:{i} " for i in range(10)]
    before = poll.looks
    time.sleep(0.05)
    assert poll.looks <= before + 1


# --- floods ----------------------------------------------------------------------------------------------


@pytest.fixture
def floods(inlets: Inlets, upstream: ScriptedUpstream) -> Iterator[list[Line]]:
    """Three answers that come faster than they can be read, each piece more work than a turn should be."""

    def hear(said: Any) -> bool:
        until = time.monotonic() + TURN / 20
        while time.monotonic() < until:
            pass
        return True

    upstream.script(default={"steps": [{"repeat": 10**8, "send": chunk("x").decode() * 50}]})
    lines = [Line() for _ in range(3)]
    shared = Upstream(upstream.url, read=inlets.read)
    calls = [Beside(shared.ask, ASKED, line, hear) for line in lines]
    try:
        eventually(lambda: min(line.pieces for line in lines) > 10)
        yield lines
    finally:
        for line in lines:
            line.cut("stopped")
    for call in calls:
        with pytest.raises(UpstreamError):
            call.result()
    eventually(lambda: upstream.state()["open"] == 0)


def test_floods_do_not_keep_a_greenlet_from_its_turn(floods: list[Line], poll: Counted) -> None:
    near, far = socket.socketpair()

    def echo() -> None:
        while data := far.recv(1):
            far.sendall(data)

    with near, far:
        echoing = Beside(echo)
        before, pieces = poll.looks, [line.pieces for line in floods]
        for _ in range(20):
            near.sendall(b"a")
            assert near.recv(1) == b"a"
        assert poll.looks - before <= 20 * 4
        near.shutdown(socket.SHUT_WR)
        echoing.result()
    assert all(line.pieces > n for line, n in zip(floods, pieces, strict=True))


def test_floods_do_not_keep_another_answer_from_its_turn(
    floods: list[Line], inlets: Inlets, poll: Counted
) -> None:
    with Puppet() as puppet:
        call = Call(Upstream(puppet.url, read=inlets.read))
        with puppet.take() as sock:
            sock.sendall(UNTIL_CLOSE)
            before, text = poll.looks, ""
            for n in range(20):
                sock.sendall(chunk(f"{n} "))
                text += f"{n} "
                call.until(text)
            assert poll.looks - before <= 20 * 10
        assert call.ended() == text


def test_floods_are_cut_at_once_and_let_go_of_their_upstream(floods: list[Line], upstream: Any) -> None:
    floods[0].cut("stopped")
    eventually(lambda: upstream.state()["open"] == 2)


# --- TLS -------------------------------------------------------------------------------------------------


class Sealed:
    """The server's side of TLS on a connection, whose encrypted bytes the test sends itself."""

    def __init__(self, plain: socket.socket, certificate: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._in, self._out, self._plain = ssl.MemoryBIO(), ssl.MemoryBIO(), plain
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)
        self._through(self._tls.do_handshake)
        read_request(self)  # type: ignore[arg-type]

    def recv(self, most: int) -> bytes:
        return bytes(self._through(lambda: self._tls.read(most)))

    def seal(self, data: bytes) -> bytes:
        """One record, or several where it is more than 16 KiB."""
        self._tls.write(data)
        return self._out.read()

    def close(self) -> bytes:
        """What says that nothing more will come."""
        with pytest.raises(ssl.SSLWantReadError):
            self._tls.unwrap()
        return self._out.read()

    def _through(self, step: Callable[[], Any]) -> Any:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                pass
            finally:
                self._plain.sendall(self._out.read())
            self._in.write(self._plain.recv(65_536))


class Secret:
    """One call over TLS: `plain` is the connection, `sealed` the server's side of TLS on it."""

    def __init__(self, stack: ExitStack, read: Read, certificate: Path, head: bytes) -> None:
        puppet = stack.enter_context(Puppet())
        self._head = head
        url = puppet.url.replace("http:", "https:")
        self.call = Call(Upstream(url, ca=str(certificate), read=read))
        self.plain = stack.enter_context(puppet.accept())
        self._sealed = Sealed(self.plain, certificate)

    def seal(self, *events: bytes, head: bool = False) -> bytes:
        """A record, or several where it is long, of all that."""
        body = b"".join(coded(event, self._head) for event in events)
        return self._sealed.seal((self._head if head else b"") + body)

    def end(self) -> None:
        self.plain.sendall(self._sealed.seal(LAST) if self._head == CHUNKED else b"")
        self.plain.sendall(self._sealed.close())


@pytest.fixture(params=[UNTIL_CLOSE, CHUNKED], ids=["until close", "chunks"])
def secret(inlets: Inlets, certificate: Path, request: pytest.FixtureRequest) -> Iterator[Secret]:
    """A call over TLS whose request is read and whose answer is up to the test; it must end well."""
    with ExitStack() as stack:
        made = Secret(stack, inlets.read, certificate, request.param)
        yield made
        made.end()
        made.call.ended()


def test_over_tls_a_head_that_comes_alone_is_no_end(secret: Secret, inlets: Inlets) -> None:
    secret.plain.sendall(secret.seal(head=True))
    eventually(lambda: repr(inlets) == "<Inlets: 1 open>")
    secret.plain.sendall(secret.seal(chunk("a")))
    secret.call.until("a")


def test_over_tls_each_event_is_heard_before_the_next_is_sent(secret: Secret) -> None:
    secret.plain.sendall(secret.seal(chunk("0"), head=True))
    secret.call.until("0")
    for n in range(1, 10):
        secret.plain.sendall(secret.seal(chunk(str(n))))
        secret.call.until("0123456789"[: n + 1])


def test_over_tls_several_records_that_come_at_once_are_all_heard(secret: Secret) -> None:
    """Also where no byte follows that would tell of them."""
    secret.plain.sendall(secret.seal(chunk("0"), head=True))
    secret.call.until("0")
    secret.plain.sendall(b"".join(secret.seal(chunk(str(n))) for n in range(1, 10)))
    secret.call.until("0123456789")


def test_over_tls_several_records_that_come_with_the_head_are_all_heard(secret: Secret) -> None:
    records = [secret.seal(head=True), *(secret.seal(chunk(str(n))) for n in range(10))]
    secret.plain.sendall(b"".join(records))
    secret.call.until("0123456789")


@pytest.mark.parametrize("size", [9_000, 15_000, 16_384, 50_000, 200_000])
@pytest.mark.parametrize("with_head", [True, False], ids=["with the head", "after it"])
def test_over_tls_what_is_long_is_heard_to_its_end(secret: Secret, size: int, with_head: bool) -> None:
    """Of one record http.client takes 8 KiB along with the head, and of the rest the kernel knows nothing."""
    if not with_head:
        secret.plain.sendall(secret.seal(chunk("a"), head=True))
        secret.call.until("a")
    text = "x" * size
    secret.plain.sendall(secret.seal(chunk(text), head=with_head))
    secret.call.until(text if with_head else f"a{text}")


def test_over_tls_a_record_that_is_longer_than_a_read_is_heard_to_its_end(
    secret: Secret, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one that came whole the kernel knows nothing any more."""
    monkeypatch.setattr("app.relay.inlets.READ_SIZE", 1_000)
    secret.plain.sendall(secret.seal(chunk("a"), head=True))
    secret.call.until("a")
    secret.plain.sendall(secret.seal(chunk("b" * 10_000)))
    secret.call.until("a" + "b" * 10_000)


def test_over_tls_a_record_that_comes_byte_by_byte_is_heard_when_it_is_whole(secret: Secret) -> None:
    secret.plain.sendall(secret.seal(chunk("a"), head=True))
    secret.call.until("a")
    *most, last = secret.seal(chunk("b"))
    for byte in most:
        secret.plain.sendall(bytes([byte]))
        time.sleep(MOMENT)
    assert secret.call.text == "a"
    secret.plain.sendall(bytes([last]))
    secret.call.until("ab")
