"""What the bench of hubs counts with is right: its client misses no fault, its table does no wrong sum."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest

from bench.hubs import built, goals
from bench.hubs.apps import pacing
from bench.hubs.client import Client, Result, busy, faults
from bench.hubs.figures import FIGURES, Figure, cpu_growth, memory_each, per_cpu_second, reported
from bench.hubs.goals import Cell, Verdict, cell, verdict
from bench.hubs.servers import APPS, KINDS, executable, started
from bench.hubs.sessions import GROUPS, able
from bench.hubs.table import rows
from tests.rig.addresses import free_port
from tests.rig.optional import missing

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
HELLO = b'retry: 2000\n\nid: ab12cd34.7\ndata: {"type":"connected","resumed":%b}\n\n'
Deliver = Callable[[int, bytes], list[bytes]]  # of the number of a broadcast and its frame: what is written


@pytest.fixture(scope="module", autouse=True)
def load_client() -> None:
    """Compiled once; everything here needs it or what belongs to it."""
    try:
        built.compiler()
    except built.Missing as error:
        missing(str(error))
    built.program("sseload")


# --- a server that does wrong on purpose


def honest(number: int, frame: bytes) -> list[bytes]:
    return [frame]


class ScriptedHub:
    """Streams at GET, broadcasts at POST, as the load client asks for them; what each broadcast becomes on
    the first stream decides `deliver`, the others are sent it as it is. `resume`: it honours cursors."""

    def __init__(self, deliver: Deliver = honest, *, status: bytes = b"", resume: bool = True) -> None:
        self._deliver, self._status, self._resume = deliver, status, resume
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self._lock = threading.Lock()  # guards the lists
        self.streams: list[socket.socket] = []
        self.requests: list[bytes] = []
        self._sockets: list[socket.socket] = []
        self._broadcasts = 0
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> ScriptedHub:
        self._threads[0].start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for sock in self._sockets:
            shut(sock)
        for thread in self._threads:
            thread.join(5)
        for sock in [self._listener, *self._sockets]:
            sock.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(sock)
            self._threads.append(threading.Thread(target=self._serve, args=(sock,), daemon=True))
            self._threads[-1].start()

    def _serve(self, sock: socket.socket) -> None:
        while request := received(sock):
            with self._lock:
                self.requests.append(request)
                self._answer(sock, request)

    def _answer(self, sock: socket.socket, request: bytes) -> None:
        if request.startswith(b"GET /healthz"):
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        elif request.startswith(b"GET") and self._status:
            sock.sendall(b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % self._status)
        elif request.startswith(b"GET"):
            resumed = self._resume and b"Last-Event-ID: ab12cd34.7\r\n" in request
            sock.sendall(HEAD + HELLO % (b"true" if resumed else b"false"))
            self.streams.append(sock)
        else:
            self._broadcast(b"data: %b\n\n" % request.partition(b"\r\n\r\n")[2])
            sock.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    def _broadcast(self, frame: bytes) -> None:
        for piece in self._deliver(self._broadcasts, frame):
            self.streams[0].sendall(piece)
        for stream in self.streams[1:]:
            stream.sendall(frame)
        self._broadcasts += 1


def received(sock: socket.socket) -> bytes:
    """One request; empty at the end."""
    try:
        data = sock.recv(65536)
        while data and len(data.partition(b"\r\n\r\n")[2]) < length(data):
            data += sock.recv(65536)
        return data
    except OSError:
        return b""


def length(head: bytes) -> int:
    found = re.search(rb"Content-Length: (\d+)", head)
    return int(found[1]) if found else 0


def shut(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:  # the peer was quicker
        return


@contextmanager
def loaded(hub: ScriptedHub, *arguments: str) -> Iterator[Client]:
    """A client of it that has little patience."""
    basics = ["--port", str(hub.port), "--patience", "1", "--pids", str(os.getpid())]
    with Client([*basics, *arguments]) as client:
        yield client


def after(deliver: Deliver, steps: str = "open:3 burst:10:100") -> dict[str, int]:
    """The faults that the client finds where the first of three streams is served so."""
    with ScriptedHub(deliver) as hub, loaded(hub) as client:
        return faults(client.steps(steps))


# --- the client


def test_an_honest_server_has_no_faults() -> None:
    with ScriptedHub() as hub, loaded(hub) as client:
        opened = client.step("open:3")
        result = client.step("flight:1:0.2")
    assert not faults(opened)
    assert not faults(result)
    assert result["connections"] == 3
    assert result["published"] > 0
    assert result["deliveries"] == pytest.approx(3 * result["published"], abs=6)  # some on their way
    assert 0 < result["p50"] <= result["p99"] <= result["most"]


def test_a_lost_event_is_noticed() -> None:
    assert after(lambda number, frame: [] if number == 4 else [frame]) == {"lost": 1}


def test_so_is_the_last_one() -> None:
    assert after(lambda number, frame: [] if number == 9 else [frame]) == {"lost": 1}


def test_an_event_that_comes_twice_is_noticed() -> None:
    assert after(lambda number, frame: [frame, frame] if number == 4 else [frame]) == {"repeated": 1}


def test_events_that_change_places_are_noticed() -> None:
    held: list[bytes] = []

    def swapping(number: int, frame: bytes) -> list[bytes]:
        if number == 4:
            held.append(frame)
            return []
        return [frame, held.pop()] if held else [frame]

    assert after(swapping) == {"lost": 1, "repeated": 1}


def test_an_event_that_is_cut_anywhere_is_read_whole() -> None:
    def cutting(number: int, frame: bytes) -> list[bytes]:
        at = 1 + number % (len(frame) - 1)
        return [frame[:at], frame[at:]]

    assert not after(cutting, "open:1 burst:130:100")


def test_a_round_that_does_not_reach_all_has_no_time() -> None:
    with ScriptedHub(lambda number, frame: [] if number == 2 else [frame]) as hub, loaded(hub) as client:
        result = client.steps("open:3 round:5:1")
    assert result["rounds"] == 2
    assert faults(result) == {"lost": 1}


def test_a_stream_that_the_server_ends_is_noticed() -> None:
    with ScriptedHub() as hub, loaded(hub) as client:
        client.steps("open:3 burst:1:100")
        shut(hub.streams[2])
        assert faults(client.steps("rest:100 open:3"))["closed"] == 1


def test_a_stream_that_is_refused_is_noticed() -> None:
    with ScriptedHub(status=b"503 Service Unavailable") as hub, loaded(hub) as client:
        assert faults(client.step("open:3")) == {"refused": 3}


def test_streams_come_back_with_their_cursors_while_health_is_asked_for() -> None:
    with ScriptedHub() as hub, loaded(hub) as client:
        client.steps("open:3 close:50")
        result = client.step("back:3:0.1")
        returned = [request for request in hub.requests if b"Last-Event-ID: ab12cd34.7\r\n" in request]
    assert not faults(result)
    assert len(returned) == 3
    assert result["health"] > 0


def test_a_stream_whose_cursor_is_not_honoured_is_noticed() -> None:
    with ScriptedHub(resume=False) as hub, loaded(hub) as client:
        assert faults(client.steps("open:3 close:50 back:3:0")) == {"unresumed": 3}


def test_a_producers_stream_without_its_last_event_is_noticed() -> None:
    with ScriptedHub() as hub, loaded(hub) as client:
        client.step("open:2")
        playing = threading.Thread(target=play, args=(hub.streams[0], 1.5))
        playing.start()  # the other one stays silent; no POST tells this server to begin
        result = client.step("produce:2")
        playing.join()
    assert faults(result) == {"unfinished": 1}
    assert result["deliveries"] > 0


def play(sock: socket.socket, seconds: float) -> None:
    for due, text in pacing.beats(0, seconds, time.monotonic_ns()):
        time.sleep(max(0, due - time.monotonic_ns()) / 1e9)
        sock.sendall(b"data: %b\n\n" % text.encode())


def test_streams_that_stall_or_vanish_read_nothing_and_are_no_fault() -> None:
    with ScriptedHub() as hub, loaded(hub) as client:
        assert client.steps("open:1 stall:1 vanish:1")["mute"] == 2
        result = client.step("burst:5:100")
        assert len(hub.streams) == 3
    assert not faults(result)
    assert result["connections"] == 1


def test_the_servers_and_the_clients_own_cpu_are_told_apart_from_that_of_others() -> None:
    burning = [sys.executable, "-c", "while True: pass"]
    with ScriptedHub() as hub, loaded(hub) as client:
        before = time.process_time()
        result = client.steps("open:3 flight:1:0.2")
        assert 0 < result["server"] <= time.process_time() - before
        assert result["client"] > 0
        with subprocess.Popen(burning) as burner:
            disturbed = client.step("flight:1:0.5")
            burner.kill()
    assert disturbed["others"] > result["others"]
    assert busy({"wall": 1.0, "others": 0.2})
    assert not busy({"wall": 1.0, "others": 0.1})
    assert not busy({"connections": 3.0})


# --- the servers


# Rivals are no part of this project, so where one is not installed nothing is missing.
@pytest.mark.parametrize("name", ["ours", *(name for name, kind in KINDS.items() if not kind.lacks())])
def test_each_server_is_asked_as_it_wants_to_be(name: str) -> None:
    core = min(os.sched_getaffinity(0))
    with started(name, core, {}) as running:
        pids = ",".join(map(str, running.pids))
        with Client(["--port", str(running.port), "--pids", pids, *running.arguments]) as client:
            assert not faults(client.steps("open:20 rest:500 round:2:10 flight:4:0.2"))
            assert client.step("memory:1")["resident"] > 0
            if able(name, "tokens"):
                produced = client.step("produce:2")
                assert produced["deliveries"] > 0
                assert not faults(produced)
            if able(name, "return"):
                assert not faults(client.steps("close:100 back:20:0.1"))


def test_events_are_paced_as_the_goal_has_them() -> None:
    streams = [list(pacing.beats(number, 6, 0)) for number in range(500)]
    rates = [(len(stream) - 1) / 6 for stream in streams]
    assert 20 <= min(rates) <= 20.2
    assert 59.8 <= max(rates) <= 60
    assert sum(rates) / len(rates) == pytest.approx(40, abs=0.5)
    for stream in streams:
        assert all(later > earlier for (earlier, _), (later, _) in pairwise(stream[:-1]))
        assert stream[-1][1] == pacing.mark(len(stream) - 1, pacing.LAST)


def test_javascript_paces_them_alike() -> None:
    node = executable("node")
    if not node:
        missing("Node is not installed: make test installs it")
    script = "import {beats} from './pacing.mjs'; for (const [due, text] of beats(7, 1, 5n)) "
    command = [node, "--input-type=module", "-e", script + "console.log(`${due} ${text}`)"]
    said = subprocess.run(command, cwd=APPS, capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == [f"{due} {text}" for due, text in pacing.beats(7, 1, 5)]


# --- the sums

QUIET: Result = {"wall": 1.0, "others": 0.0}


def flight(deliveries: float, cpu: float, others: float = 0.0) -> Result:
    return {**QUIET, "deliveries": deliveries, "server": cpu, "others": others}


def one(result: Result) -> dict[str, dict[str, Result]]:
    """One round of one server in which one step was made."""
    return {"g": {"a": result}}


RATIO = Figure("g", "t", ("a",), per_cpu_second, over="rawC", least=0.6)


def test_a_ratio_is_taken_within_each_round_and_then_the_median() -> None:
    rounds = {
        "ours": [one(flight(50, 1)), one(flight(200, 1)), one(flight(80, 1))],
        "rawC": [one(flight(100, 1)), one(flight(200, 1)), one(flight(100, 1))],
    }
    assert cell(RATIO, rounds, "ours") == Cell(
        80, 0.8, False
    )  # of the medians it would be 0.8 too, by chance
    rounds["rawC"][1] = one(flight(1000, 1))
    assert cell(RATIO, rounds, "ours") == Cell(80, 0.5, False)


def test_a_busy_round_does_not_count_where_there_is_another() -> None:
    rounds = {
        "ours": [one(flight(10, 1, others=0.5)), one(flight(60, 1))],
        "rawC": [one(flight(100, 1)), one(flight(100, 1))],
    }
    assert cell(RATIO, rounds, "ours") == Cell(60, 0.6, False)


def test_a_row_that_was_busy_in_every_round_is_no_measurement() -> None:
    rounds = {"ours": [one(flight(10, 1, others=0.5))], "rawC": [one(flight(100, 1))]}
    found = cell(RATIO, rounds, "ours")
    assert found == Cell(10, None, True)
    judged = verdict(RATIO, {"ours": found}, "ours")
    assert judged
    assert judged.failed
    assert str(judged) == "no measurement"


def test_a_busy_base_gives_no_ratio() -> None:
    rounds = {"ours": [one(flight(60, 1))], "rawC": [one(flight(100, 1, others=0.5))]}
    assert cell(RATIO, rounds, "ours") == Cell(60, None, False)


def test_what_was_not_measured_is_nothing() -> None:
    assert cell(RATIO, {"ours": [{}], "rawC": [one(flight(1, 1))]}, "ours") == Cell(None, None, False)


@pytest.mark.parametrize(
    ("ratio", "text", "failed"),
    [
        (0.6, "ok", False),
        (0.57, "missed by 5%", False),
        (0.5, "**not ok**, missed by 17%", True),
    ],
)
def test_a_goal_that_is_missed_by_more_than_a_tenth_is_failed(ratio: float, text: str, failed: bool) -> None:
    judged = verdict(RATIO, {"ours": Cell(1, ratio, False)}, "ours")
    assert judged
    assert (str(judged), judged.failed) == (text, failed)


def test_a_goal_from_above_is_missed_from_above() -> None:
    figure = Figure("g", "t", ("a",), reported("p99"), most=2.0)
    assert verdict(figure, {"ours": Cell(1.9, None, False)}, "ours") == Verdict("≤ 2", pytest.approx(-0.05))
    assert verdict(figure, {"ours": Cell(2.5, None, False)}, "ours") == Verdict("≤ 2", pytest.approx(0.25))


def test_an_absolute_goal_does_not_look_at_the_ratio() -> None:
    figure = Figure("g", "t", ("a",), reported("p99"), over="p3", absolute=True, most=2.0)
    judged = verdict(figure, {"ours": Cell(1.9, 9.0, False)}, "ours")
    assert judged
    assert str(judged) == "ok"


def test_a_rival_ahead_is_a_miss() -> None:
    figure = Figure("g", "t", ("a",), per_cpu_second, over="rawC", least=0.6, ahead="nchan")
    cells = {"ours": Cell(80, 0.8, False), "nchan": Cell(100, 1.0, False)}
    assert verdict(figure, cells, "ours") == Verdict("≥ 0.6, ahead of nchan", pytest.approx(0.2))


def test_the_figures_are_what_their_names_say() -> None:
    assert per_cpu_second(flight(1000, 0.5)) == 2000
    assert cpu_growth(flight(1000, 1), flight(1000, 1.5)) == 1.5
    assert memory_each({"resident": 1000}, {"resident": 3000, "connections": 1000}) == 2


def test_each_figure_finds_its_steps() -> None:
    for figure in FIGURES:
        labels = [label for stage in GROUPS[figure.group].stages for label, _ in stage.turns]
        assert set(figure.labels + figure.over_labels) <= set(labels), figure.title
        assert not figure.over or able(figure.over, figure.group)
        assert sum(map(bool, (figure.least, figure.most))) <= 1


def test_the_table_has_a_row_for_what_was_measured_and_a_column_a_server() -> None:
    sample = {"4,000": {**QUIET, "streams": 4000.0, "server": 1.0}}
    own = {**sample["4,000"], "wall": 2.0}
    rounds = {"ours": [{"connects": {"4,000": own}}], "p3": [{"connects": sample}]}
    lines = [text for text, _ in rows(rounds, {"ours": "ours", "p3": "bare P3"}, "ours")]
    assert lines == [
        "|  | ours | bare P3 | goal |  |",
        "|---|---|---|---|---|",
        "| connects/s | 2,000 (0.50) | 4,000 | ≥ 0.8 × bare P3 | **not ok**, missed by 38% |",
        "| CPU µs per connect | 250 | 250 |  |  |",
    ]


# --- what a machine may lack


def test_a_missing_compiler_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(built.Missing, match="there is no C compiler: on Debian, apt-get install gcc"):
        built.compiler()
    assert KINDS["rawC"].lacks()


def test_a_step_that_does_not_exist_ends_the_client() -> None:
    client = Client(["--port", str(free_port())])
    with client, pytest.raises(RuntimeError, match="no result for the step nonsense"):
        client.step("nonsense")


def test_slack_is_a_tenth() -> None:
    assert goals.SLACK == 0.1
