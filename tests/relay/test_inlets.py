"""inlets: on one loop each answer gets what is its own and when it arrives, whatever becomes of the others.

The loop is turned by hand here. What is true of gevent's is shown by tests/relay/on_gevent.py.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from urllib3.exceptions import ProtocolError

from app.relay import inlets
from app.relay.body import Body
from app.relay.inlets import FEW, Inlets
from app.relay.turns import TURN
from tests.relay import CHUNKED, HEAD, UNTIL_CLOSE, Beside, ManualClock, in_greenlets, responded
from tests.rig.reading import eventually

LAST = b"0\r\n\r\n"


class Event(threading.Event):
    """Tells when somebody began to wait: from then on all is done by who turns the loop."""

    def __init__(self, first: Callable[[], object]) -> None:
        super().__init__()
        self.awaited, self._first = threading.Event(), first

    def wait(self, timeout: float | None = None) -> bool:
        self._first()
        self.awaited.set()
        return super().wait(timeout)


class Loop:
    """Turned by hand: calls back where something can be read."""

    def __init__(self) -> None:
        self._watched: list[tuple[int, Callable[[], None]]] = []

    def readable(self, descriptor: int, call: Callable[[], None]) -> None:
        self._watched.append((descriptor, call))

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            for descriptor, call in self._watched:
                if select.select([descriptor], [], [], 0)[0]:
                    call()


class Answer:
    """A body that comes over a real connection: `server` sends it, `got` is what was fed of it."""

    def __init__(self, house: House, head: bytes, over: tuple[socket.socket, socket.socket]) -> None:
        self._house = house
        self.server, self.client = over
        self.client.settimeout(5)
        self.server.sendall(head)
        self.response = responded(self.client)
        self.got: list[bytes] = []
        self.cost = 0.0  # seconds that a piece takes whoever is fed
        self.enough = 1_000_000  # pieces
        self.error: Exception | None = None
        self.reading: Any = None

    @property
    def text(self) -> bytes:
        return b"".join(self.got)

    def begin(self) -> Answer:
        """Reads beside the test, and comes back when all is read that was there."""
        events = self._house.events
        before = len(events)
        self.read()
        eventually(
            lambda: (events[before:] and events[-1].awaited.is_set()) or not self.reading.is_alive(),
            every=0.001,
        )
        return self

    def read(self, by: Inlets | None = None) -> None:
        """Reads beside the test."""
        self.reading = Beside((by or self._house.inlets).read, Body(self.response, self.feed))

    def feed(self, data: bytes) -> bool:
        self.got.append(data)
        self._house.clock.advance(self.cost)
        if self.error:
            raise self.error
        return len(self.got) < self.enough

    def send_all_it_takes(self) -> None:
        self.server.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.server.send(b"x" * 50_000)

    def ended(self) -> None:
        """It has come to its end, of itself. Raises what it ended by."""
        self.reading.result()

    def close(self) -> None:
        self.server.close()
        if self.reading:
            eventually(lambda: self._house.loop.turn() or not self.reading.is_alive(), every=0.001)
        self.response.close()
        self.client.close()


class House:
    """Inlets, their loop and their epoll, and the answers that come in."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self.clock, self.loop, self.poll = ManualClock(), Loop(), stack.enter_context(select.epoll())
        self.made = 0
        self.inlets = Inlets(self._make, self.clock)
        self.events: list[Event] = []
        self.wait: Callable[[], object] = lambda: None  # is called by who begins to wait

    def _make(self) -> tuple[Loop, Any]:
        self.made += 1
        return self.loop, self.poll

    def event(self) -> Event:
        self.events.append(Event(self.wait))
        return self.events[-1]

    def answer(
        self, head: bytes = UNTIL_CLOSE, over: tuple[socket.socket, socket.socket] | None = None
    ) -> Answer:
        """One whose reading hasn't begun."""
        answer = Answer(self, head, over or socket.socketpair())
        self._stack.callback(answer.close)
        return answer

    def several(self, count: int) -> list[Answer]:
        """So many that are read."""
        return [self.answer().begin() for _ in range(count)]


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    with contextlib.ExitStack() as stack:
        house = House(stack)
        monkeypatch.setattr(inlets, "threading", SimpleNamespace(Event=house.event))
        yield house


class Full:
    """An epoll that watches nothing more."""

    def __init__(self, poll: Any) -> None:
        self.fileno, self.poll = poll.fileno, poll.poll

    def register(self, descriptor: int, events: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def unwatched(house: House, answer: Answer) -> bool:
    """Whether the epoll has forgotten it: one that it knows can't be told to it again."""
    house.poll.register(answer.client, select.EPOLLIN)
    house.poll.unregister(answer.client)
    return True


# --- one answer ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "end"), [(CHUNKED, LAST), (UNTIL_CLOSE, b"")], ids=["chunks", "until close"]
)
def test_each_piece_is_fed_in_the_turn_in_which_it_came(house: House, head: bytes, end: bytes) -> None:
    answer = house.answer(head).begin()
    for letter in b"hello":
        answer.server.sendall(b"1\r\n%c\r\n" % letter if end else b"%c" % letter)
        house.loop.turn()
        assert answer.got[-1] == bytes([letter])
    answer.server.sendall(end)
    answer.server.shutdown(socket.SHUT_WR)
    house.loop.turn()
    answer.ended()
    assert answer.text == b"hello"


@pytest.mark.parametrize(
    "along", [b"", b"5\r\nhello\r\n", b"5\r\nhel"], ids=["nothing", "a chunk", "half a chunk"]
)
def test_what_came_along_with_the_head_is_fed_before_any_turn(house: House, along: bytes) -> None:
    answer = house.answer(CHUNKED + along).begin()
    assert answer.text == along[3:].strip()
    answer.server.sendall((b"5\r\nhello\r\n" + LAST)[len(along) :])
    house.loop.turn()
    answer.ended()
    assert answer.text == b"hello"


@pytest.mark.parametrize("body", [b"5\r\nhello\r\n" + LAST, LAST], ids=["an answer", "nothing"])
def test_a_body_that_is_whole_with_its_head_needs_no_turn(house: House, body: bytes) -> None:
    answer = house.answer(CHUNKED + body)
    house.inlets.read(Body(answer.response, answer.feed))
    assert answer.text == (b"hello" if body != LAST else b"")
    assert unwatched(house, answer)


def test_a_body_that_ends_with_its_head_needs_no_turn(house: House) -> None:
    answer = house.answer(UNTIL_CLOSE)
    answer.server.shutdown(socket.SHUT_WR)
    house.inlets.read(Body(answer.response, answer.feed))
    assert answer.got == []
    assert unwatched(house, answer)


def test_more_than_one_read_takes_is_read_in_order(house: House) -> None:
    answer = house.answer().begin()
    sent = bytes(range(256)) * 400
    answer.server.sendall(sent)
    answer.server.shutdown(socket.SHUT_WR)
    house.loop.turn(20)
    answer.ended()
    assert answer.text == sent


def test_who_wants_no_more_is_fed_no_more(house: House) -> None:
    answer = house.answer(CHUNKED)
    answer.enough = 2
    answer.begin()
    for _ in range(3):
        answer.server.sendall(b"1\r\na\r\n")
        house.loop.turn()
    answer.ended()
    assert answer.got == [b"a", b"a"]


# --- how it fails ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [OSError("cut"), BlockingIOError("of another file"), ValueError("a fault of ours")],
    ids=lambda error: type(error).__name__,
)
def test_what_the_one_who_is_fed_raises_ends_that_answer_only(house: House, error: Exception) -> None:
    first, bad, last = house.several(3)
    bad.error = error
    for _ in range(3):
        for answer in (first, bad, last):
            answer.server.sendall(b"a")
        house.loop.turn()
    with pytest.raises(type(error), match=str(error)):
        bad.ended()
    assert (first.text, bad.text, last.text) == (b"aaa", b"a", b"aaa")


def test_an_end_before_that_of_the_body_is_told(house: House) -> None:
    answer = house.answer(CHUNKED + b"5\r\nhel").begin()
    answer.server.shutdown(socket.SHUT_WR)
    house.loop.turn()
    with pytest.raises(ProtocolError, match="before the last chunk"):
        answer.ended()


def test_a_connection_that_is_reset_is_told(house: House) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    answer = house.answer(over=(server, client)).begin()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.close()
    eventually(lambda: house.loop.turn() or not answer.reading.is_alive())
    with pytest.raises(ConnectionResetError):
        answer.ended()


def test_a_thread_that_is_called_away_leaves_nothing_behind(house: House) -> None:
    answer = house.answer()
    house.wait = lambda: 1 // 0
    with pytest.raises(ZeroDivisionError):
        house.inlets.read(Body(answer.response, answer.feed))
    answer.server.sendall(b"a")
    house.loop.turn()
    assert (answer.got, repr(house.inlets)) == ([], "<Inlets: 0 open>")
    assert unwatched(house, answer)


# --- what is left ----------------------------------------------------------------------------------------


def test_of_an_answer_that_is_over_nothing_is_told_even_where_another_hand_holds_its_socket(
    house: House,
) -> None:
    """As its line does: for the epoll it is open until that lets go, and its number may be another's then."""
    answer = house.answer()
    answer.enough = 1
    answer.begin()
    with answer.client.dup():
        answer.server.sendall(b"a")
        house.loop.turn()
        answer.ended()
        answer.server.sendall(b"b")
        number = answer.client.fileno()
        answer.response.close()
        answer.client.close()
        client, server = socket.socketpair()
        assert client.fileno() == number  # the lowest that is free
        another = house.answer(over=(server, client)).begin()
        assert not house.poll.poll(0)
        another.server.sendall(b"c")
        house.loop.turn()
    assert (answer.text, another.text) == (b"a", b"c")


def test_it_says_how_many_are_open(house: House) -> None:
    answer, _ = house.several(2)
    assert repr(house.inlets) == "<Inlets: 2 open>"
    answer.server.shutdown(socket.SHUT_WR)
    house.loop.turn()
    answer.ended()
    assert repr(house.inlets) == "<Inlets: 1 open>"


# --- turns -----------------------------------------------------------------------------------------------


def test_an_answer_that_keeps_coming_takes_one_turn_at_a_time(house: House) -> None:
    (flood,) = house.several(1)
    flood.cost = 2 * TURN
    flood.server.sendall(b"x" * 100_000)
    house.loop.turn()
    assert len(flood.got) == 1


def test_no_turn_goes_on_for_longer_than_it_should(house: House) -> None:
    answers = house.several(10)
    for answer in answers:
        answer.cost = TURN * 0.3
        answer.server.sendall(b"a")
    for read in (4, 8, 10):
        house.loop.turn()
        assert sum(len(answer.got) for answer in answers) == read


@pytest.mark.parametrize("floods", [1, 3, 10])
def test_answers_that_keep_coming_do_not_keep_others_from_their_turn(house: House, floods: int) -> None:
    """Though each piece of theirs takes longer than a turn should."""
    answers = house.several(floods + 1)
    for flood in answers[:-1]:
        flood.cost = 2 * TURN
    for n in range(10):
        for flood in answers[:-1]:
            flood.send_all_it_takes()
        answers[-1].server.sendall(b"a")
        house.loop.turn(floods + 1)
        assert answers[-1].text == b"a" * (n + 1)
        assert all(len(flood.got) >= n for flood in answers)


def test_each_of_more_than_are_read_in_one_turn_has_its_own(house: House) -> None:
    answers = house.several(2 * FEW + 2)
    for n in range(3):
        for answer in answers:
            answer.server.sendall(b"a")
        house.loop.turn(3)
        assert {answer.text for answer in answers} == {b"a" * (n + 1)}


def test_those_that_cost_little_are_all_read_in_one_turn(house: House) -> None:
    answers = house.several(FEW)
    for answer in answers:
        answer.cost = TURN / FEW / 2
        answer.server.sendall(b"a")
    house.loop.turn()
    assert {answer.text for answer in answers} == {b"a"}


def test_who_has_ended_before_its_turn_came_is_passed_over(house: House) -> None:
    """It was told of while another's took long."""
    slow, gone, last = house.several(3)
    slow.cost = gone.cost = 2 * TURN
    gone.enough = 1
    for answer in (slow, gone, last):
        answer.server.sendall(b"a" * 20_000)
    house.loop.turn(6)
    gone.ended()
    gone.response.close()
    gone.client.close()
    house.loop.turn(6)
    assert (len(gone.got), len(slow.text), len(last.text)) == (1, 20_000, 20_000)


# --- where there is no loop ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [AttributeError("select has none"), OSError(errno.EMFILE, "too many open files")],
    ids=["none", "no file left"],
)
def test_without_an_epoll_each_is_read_by_its_thread(house: House, error: Exception) -> None:
    def make() -> Any:
        raise error

    for _ in range(2):
        answer = house.answer(CHUNKED + b"5\r\nhel")
        answer.read(Inlets(make))
        answer.server.sendall(b"lo\r\n" + LAST)
        answer.ended()
        assert answer.text == b"hello"


def test_whom_the_epoll_does_not_take_is_read_by_its_thread(house: House) -> None:
    """epoll refuses where a user watches too much already."""
    house.poll = Full(house.poll)
    answer = house.answer(CHUNKED + b"5\r\nhel")
    answer.read()
    answer.server.sendall(b"lo\r\n" + LAST)
    answer.ended()
    assert (answer.text, repr(house.inlets)) == (b"hello", "<Inlets: 0 open>")


def test_what_is_not_read_from_the_socket_needs_no_loop(house: House) -> None:
    answer = house.answer(HEAD + b"Content-Length: 5\r\n\r\nhel")
    answer.read()
    answer.server.sendall(b"lo")
    answer.ended()
    assert (answer.text, house.made) == (b"hello", 0)


def test_one_loop_serves_all(house: House) -> None:
    assert house.made == 0
    house.several(3)
    assert house.made == 1


# --- greenlets -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "only"), [("on_gevent", ""), ("test_upstream", ""), ("test_quirks", "socket")]
)
def test_all_of_it_is_true_on_gevents_loop(file: str, only: str) -> None:
    in_greenlets(file, only=only)
