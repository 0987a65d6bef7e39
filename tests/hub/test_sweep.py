"""The one thread that time has: started late and once, ended when asked, not ended by a bad round."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from app.hub.sweep import Sweep
from tests.rig.reading import eventually

SOON = 0.001


class Target:
    """Counts its rounds; the first `bad` of them fail."""

    def __init__(self, bad: int = 0) -> None:
        self.beats = self.ages = 0
        self._bad = bad

    def beat(self) -> None:
        self.beats += 1
        if self.beats <= self._bad:
            raise RuntimeError("a bad round")

    def age(self) -> None:
        self.ages += 1


def sweeping() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "hub-sweep"]


@pytest.fixture
def target() -> Target:
    return Target()


@pytest.fixture
def sweep(target: Target) -> Iterator[Sweep]:
    sweep = Sweep(target, SOON)
    yield sweep
    sweep.stop()
    eventually(lambda: not sweeping())


def test_nothing_starts_before_it_is_needed(sweep: Sweep) -> None:
    assert sweeping() == []


def test_it_beats_and_ages_again_and_again(sweep: Sweep, target: Target) -> None:
    sweep.ensure()
    eventually(lambda: target.beats > 2 and target.ages > 2)


def test_there_is_only_one_thread_however_many_streams_ask_at_once(sweep: Sweep) -> None:
    together = threading.Barrier(8)
    callers = [
        threading.Thread(daemon=True, target=lambda: (together.wait(5), sweep.ensure())) for _ in range(8)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(5)
    assert len(sweeping()) == 1
    assert sweeping()[0].daemon


def test_it_ends_when_told_to(sweep: Sweep) -> None:
    sweep.ensure()
    sweep.stop()
    eventually(lambda: not sweeping())


def test_a_bad_round_is_logged_and_the_next_one_follows(caplog: pytest.LogCaptureFixture) -> None:
    target = Target(bad=2)
    sweep = Sweep(target, SOON)
    sweep.ensure()
    eventually(lambda: target.ages > 0)
    sweep.stop()
    eventually(lambda: not sweeping())
    assert caplog.text.count("a sweep failed") == 2
    assert "a bad round" in caplog.text


def test_a_thread_that_could_not_start_is_tried_again(
    sweep: Sweep, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            sweep.ensure()
    sweep.ensure()
    eventually(lambda: target.beats > 0)
