"""How the process ends, by signal, by `max_requests`, by force: answers whole, readers told, nothing left."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import ExitStack

import pytest

from tests.e2e.conftest import MakePlace
from tests.e2e.kit import Place, Talk
from tests.rig.reading import Reader, eventually
from tests.rig.script import counted, cut
from tests.rig.upstream import ScriptedUpstream

GTHREAD = "--worker-class gthread --threads 16"
SOCKET, GENERATOR, THREADS = ("", "auto"), ("", "generator"), (GTHREAD, "auto")
WAYS = pytest.mark.parametrize(
    ("options", "outlet"), [SOCKET, GENERATOR, THREADS], ids=["socket", "generator", "threads"]
)
WORDS = 40
TEXT = "".join(f"w{number} " for number in range(WORDS))
# What a stop may take beside what it waits for: gunicorn looks once a second, the farewell is 2.5 s.
MARGIN = 10.0


def ask(place: Place, client: str) -> str:
    status, ids = place.call("/chat", {"clientId": client, "message": "hi"})
    assert status == 201
    return str(ids["generationId"])


def kinds(stream: Talk) -> list[str]:
    """Reads to the end, which must not come too early."""
    events = stream.collect()
    assert not stream.cut, events[-1]
    return [event.type for event in events]


class Stopping:
    """The server is told to stop while the test reads on. `took`: seconds."""

    def __init__(self, place: Place, how: signal.Signals = signal.SIGTERM) -> None:
        self.took = 0.0
        self._place, self._how = place, how
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._stop)

    def __enter__(self) -> Stopping:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._thread.join()
        if self._failure:
            raise self._failure

    def _stop(self) -> None:
        began = time.monotonic()
        try:
            self._place.stop(self._how)  # an AssertionError where a process is left
        except BaseException as failure:
            self._failure = failure
        self.took = time.monotonic() - began


# --- SIGTERM


@WAYS
def test_a_running_answer_ends_whole_and_who_only_listens_is_asked_back(
    place_at: MakePlace, upstream: ScriptedUpstream, options: str, outlet: str
) -> None:
    upstream.script(counted(WORDS, gap=0.05))
    place = place_at(options, OUTLET=outlet, DRAIN_GRACE="20", shutdown=25)
    with Reader(place.url, "asks", closeOnDone="false") as asks, place.stream("listens") as listens:
        generation = ask(place, "asks")
        asks.until("delta")
        listens.until("connected")
        with Stopping(place) as stopping:
            closing = listens.until("closing")
            assert (closing["reason"], closing["reconnect"]) == ("shutdown", True)
            assert generation not in asks.terminals
            asks.until("closing")
    assert asks.texts == {generation: TEXT}
    assert asks.terminals[generation]["reason"] == "stop"
    assert [event.type for event in asks.events[-3:]] == ["done", "[DONE]", "closing"]
    assert stopping.took < 20


@WAYS
def test_a_stop_takes_no_longer_than_needed(place_at: MakePlace, options: str, outlet: str) -> None:
    place = place_at(options, OUTLET=outlet, DRAIN_GRACE="20", shutdown=25)
    with ExitStack() as stack:
        streams = [stack.enter_context(place.stream(f"c{n}")) for n in range(8)]
        with Stopping(place) as stopping:
            assert [kinds(stream) for stream in streams] == [["connected", "closing"]] * 8
            for stream in streams:
                stream.close()
    assert stopping.took < MARGIN


def test_those_that_are_asked_back_come_at_different_times(place_at: MakePlace) -> None:
    place = place_at(DRAIN_GRACE="10", shutdown=15)
    with ExitStack() as stack:
        streams = [stack.enter_context(place.stream(f"c{n}")) for n in range(40)]
        place.stop()
        waits = [stream.retry or 0 for stream in streams if kinds(stream)]
    assert max(waits) <= 10_000
    assert max(waits) - min(waits) > 5_000
    assert len(set(waits)) > 20


@WAYS
def test_an_answer_beyond_the_grace_is_interrupted_and_says_so(
    place_at: MakePlace, upstream: ScriptedUpstream, options: str, outlet: str
) -> None:
    upstream.script(cut(["some", " text"], how="hang"))
    place = place_at(options, OUTLET=outlet, DRAIN_GRACE="1")
    with place.stream("asks") as stream:
        ask(place, "asks")
        stream.until("delta")
        stream.until("delta")
        with Stopping(place) as stopping:
            error = stream.until("error")
            assert (error["code"], error["retryable"], error["partial"]) == ("interrupted", True, True)
            assert kinds(stream)[-3:] == ["error", "[DONE]", "closing"]
            stream.close()
    assert stopping.took < 1 + MARGIN
    eventually(lambda: upstream.state()["open"] == 0)


@pytest.mark.parametrize("options", ["--graceful-timeout 6", "--timeout 6"])
def test_where_gunicorn_is_less_patient_than_the_grace_the_last_words_come_before_its_end(
    place_at: MakePlace, upstream: ScriptedUpstream, options: str
) -> None:
    upstream.script(cut(["text"], how="hang"))
    place = place_at(options, DRAIN_GRACE="20", shutdown=25)
    with place.stream("asks") as stream:
        ask(place, "asks")
        stream.until("delta")
        with Stopping(place):
            assert stream.until("error")["code"] == "interrupted"
            assert kinds(stream)[-2:] == ["[DONE]", "closing"]
            stream.close()
    assert "SIGKILL" not in place.log
    assert "SIGABRT" not in place.log


def test_while_it_drains_nothing_new_begins(place_at: MakePlace, upstream: ScriptedUpstream) -> None:
    """On connections that were open: to others it does not listen any more."""
    upstream.script(cut(["text"], how="hang"))
    place = place_at("--keep-alive 20", DRAIN_GRACE="3")
    with place.stream("asks") as stream, place.connect() as kept:
        generation = ask(place, "asks")
        stream.until("delta")
        with Stopping(place):
            eventually(lambda: "draining" in place.log)
            kept.sendall(b"GET /sse/createConnect?overload=status HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert kept.recv(65536).startswith(b"HTTP/1.1 503 ")
            assert stream.until("error")["generationId"] == generation


@WAYS
def test_who_reads_nothing_does_not_hold_up_a_stop(place_at: MakePlace, options: str, outlet: str) -> None:
    place = place_at(options, OUTLET=outlet, DRAIN_GRACE="20", shutdown=25)
    with place.stream("stalls", receive=4096) as stream:
        stream.until("connected")
        for _ in range(4):
            place.send("stalls", "x" * 1_000_000)
        with Stopping(place) as stopping:
            pass
    assert stopping.took < MARGIN


def test_the_end_of_the_process_is_told_as_all_other_ends_in_the_access_log(place_at: MakePlace) -> None:
    place = place_at("--access-logfile -")
    with place.stream("listens") as stream:
        stream.until("connected")
        with Stopping(place):
            kinds(stream)
            stream.close()
    assert '"GET /sse/createConnect HTTP/1.1" end shutdown ' in place.log


# --- SIGINT and SIGQUIT: whoever sends them waits at the terminal


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
@WAYS
def test_ctrl_c_does_not_wait_for_answers_but_interrupts_them(
    place_at: MakePlace, upstream: ScriptedUpstream, how: signal.Signals, options: str, outlet: str
) -> None:
    upstream.script(cut(["text"], how="hang"))
    place = place_at(options, OUTLET=outlet, DRAIN_GRACE="20", shutdown=25)
    with place.stream("asks") as stream, place.stream("listens") as listens:
        ask(place, "asks")
        stream.until("delta")
        with Stopping(place, how) as stopping:
            assert stream.until("error")["code"] == "interrupted"
            assert kinds(listens) == ["connected", "closing"]
            stream.close()
            listens.close()
    assert stopping.took < MARGIN


def test_who_loses_patience_in_a_drain_can_still_cut_it_short(
    place_at: MakePlace, upstream: ScriptedUpstream
) -> None:
    upstream.script(cut(["text"], how="hang"))
    place = place_at(DRAIN_GRACE="20", shutdown=25)
    with place.stream("asks") as stream:
        ask(place, "asks")
        stream.until("delta")
        with Stopping(place) as stopping:
            eventually(lambda: "draining" in place.log)
            os.kill(place.pid, signal.SIGINT)
    assert stopping.took < MARGIN


# --- another worker


@pytest.mark.parametrize("outlet", ["socket", "generator"])
def test_a_worker_that_has_served_enough_ends_as_well_as_by_a_signal(
    place_at: MakePlace, upstream: ScriptedUpstream, outlet: str
) -> None:
    upstream.script(counted(WORDS, gap=0.05))
    place = place_at("--max-requests 30", OUTLET=outlet, DRAIN_GRACE="20")
    with Reader(place.url, "asks", closeOnDone="false") as asks, place.stream("listens") as listens:
        generation = ask(place, "asks")
        old = place.holds()["pid"]
        asks.until("delta")
        eventually(lambda: "draining" in place.log or place.call("/healthz", timeout=2)[0] != 200)
        assert [event.type for event in listens.collect()] == ["connected", "closing"]
        asks.until("closing")
        asks.close()
        listens.close()
        assert asks.texts == {generation: TEXT}
        assert eventually(lambda: worker(place), within=10) != old
        asks.follow("reset")
        asks.reset()


def worker(place: Place) -> int:
    """The pid of who answers; 0: nobody at the moment."""
    try:
        return place.call("/probe", timeout=2)[1]["pid"]
    except OSError:
        return 0


def test_a_reload_lets_a_running_answer_end_while_the_next_worker_serves(
    place_at: MakePlace, upstream: ScriptedUpstream
) -> None:
    upstream.script(counted(WORDS, gap=0.05))
    place = place_at(DRAIN_GRACE="20")
    with Reader(place.url, "asks", closeOnDone="false") as asks:
        generation = ask(place, "asks")
        old = place.holds()["pid"]
        asks.until("delta")
        os.kill(place.pid, signal.SIGHUP)
        eventually(lambda: worker(place) not in (0, old))
        assert generation not in asks.terminals
        asks.until("closing")
        assert asks.texts == {generation: TEXT}
        asks.follow("reset")
        asks.reset()


def test_a_worker_that_is_killed_is_replaced_and_readers_come_back_with_a_reset(place_at: MakePlace) -> None:
    place = place_at()
    with Reader(place.url, "listens", closeOnDone="false") as reader:
        reader.until("connected")
        place.send("listens", "before")
        reader.until("message")
        os.kill(place.holds()["pid"], signal.SIGKILL)
        assert eventually(lambda: reader.follow("reset"))["reason"] == "epoch"
        place.send("listens", "after")
        assert reader.until("message")["data"] == "after"


def test_a_worker_whose_master_is_killed_ends_and_says_so(place_at: MakePlace) -> None:
    place = place_at()
    with place.stream("listens") as stream:
        stream.until("connected")
        with Stopping(place, signal.SIGKILL):
            assert kinds(stream) == ["connected", "closing"]
            stream.close()


def test_the_worker_that_takes_over_raises_no_complaint(place_at: MakePlace) -> None:
    place = place_at("--max-requests 5")
    for _ in range(3):
        old = eventually(lambda: worker(place))
        eventually(lambda: worker(place) not in (0, old), within=15)  # noqa: B023  # called at once
    assert place.alive
    assert "Traceback" not in place.log
    assert "ERROR" not in place.log
