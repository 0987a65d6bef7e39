"""The embedded model answers those who have its key, comes back when killed, never outlives its starter."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from app import local_model
from app.local_model import LocalModel
from tests.rig.addresses import free_port
from tests.rig.optional import require_model
from tests.rig.reading import eventually

ROOT = Path(__file__).resolve().parent.parent
STARTER = "from app import local_model; m = local_model.start(); print(m.supervisor.pid, m.url, flush=True); "
FORKS = "import os; pid = os.fork(); pid or m.let_go(); "
WAITS = "import time; time.sleep(60)"


@pytest.fixture
def session(model: LocalModel) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False  # loopback needs no proxy
        session.headers["Authorization"] = f"Bearer {model.key}"
        yield session


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def runs(pid: int) -> bool:
    """Whether it does anything; a zombie only waits to be noticed."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def server_of(supervisor: int) -> int:
    """The pid of the model's server, once there is one."""
    return eventually(lambda: children(supervisor))[0]


def ask(session: requests.Session, model: LocalModel, question: str, tokens: int) -> Iterator[dict[str, Any]]:
    """The chunks of one answer as they come."""
    body = {"stream": True, "max_tokens": tokens, "messages": [{"role": "user", "content": question}]}
    with session.post(f"{model.url}/chat/completions", json=body, stream=True, timeout=30) as response:
        assert response.status_code == 200
        for line in response.iter_lines(chunk_size=None):
            if line.startswith(b"data: {"):
                yield json.loads(line.removeprefix(b"data: "))


# Without the model


def test_a_model_that_had_answered_is_started_again_at_once() -> None:
    assert local_model.restart_pause(0) == 0


def test_a_model_that_never_comes_up_is_tried_ever_less_often() -> None:
    pauses = [local_model.restart_pause(stillborn) for stillborn in range(1, 12)]
    assert pauses == sorted(pauses)
    assert pauses[0] < 1
    assert pauses[-1] == local_model.LONGEST_PAUSE


@pytest.mark.parametrize("package", local_model.PACKAGES)
def test_a_missing_wheel_is_named_in_one_line_with_the_settings_to_give(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # what import takes for "not there"
    problem = local_model.available()
    assert "\n" not in problem
    for word in (package, "UPSTREAM_URL", "UPSTREAM_KEY", "UPSTREAM_MODEL"):
        assert word in problem


def test_waiting_for_a_model_that_is_not_there_has_an_end() -> None:
    assert not local_model.wait_ready(f"http://127.0.0.1:{free_port()}/v1", 0)


def test_a_model_that_cannot_come_up_is_reported_and_tried_again_until_the_starter_leaves() -> None:
    # Nobody hands it a key, and so it ends at once.
    env = {name: value for name, value in os.environ.items() if name != local_model.KEY_VARIABLE}
    command = [sys.executable, local_model.__file__, "supervise", str(free_port())]
    with subprocess.Popen(
        command, env=env, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as supervisor:
        assert supervisor.stdin is not None
        assert supervisor.stderr is not None
        reports = (line for line in supervisor.stderr if line.startswith("deltahub:"))
        first, second = next(reports), next(reports)
        supervisor.stdin.close()
        assert supervisor.wait(5) == 0
    assert first == "deltahub: the embedded model ended with status 1; it is started again in 0.5 s\n"
    assert second == "deltahub: the embedded model ended with status 1; it is started again in 1 s\n"


# With it


@pytest.mark.model
def test_it_streams_its_answer_delta_by_delta(model: LocalModel, session: requests.Session) -> None:
    times = [
        time.monotonic()
        for chunk in ask(session, model, "Tell me a long story about a river.", 150)
        if chunk["choices"] and chunk["choices"][0]["delta"].get("content")
    ]
    assert len(times) >= 20
    assert times[-1] - times[0] >= 0.2


@pytest.mark.model
def test_its_name_is_the_same_wherever_it_shows(model: LocalModel, session: requests.Session) -> None:
    assert model.name == "smollm2-135m-instruct"
    listed = session.get(f"{model.url}/models", timeout=5).json()["data"]
    assert [entry["id"] for entry in listed] == [model.name]
    assert {chunk["model"] for chunk in ask(session, model, "Hi", 3)} == {model.name}


@pytest.mark.model
def test_every_chat_has_the_whole_context_it_is_said_to_have(
    model: LocalModel, session: requests.Session
) -> None:
    slots = session.get(model.url.replace("/v1", "/slots"), timeout=5).json()
    assert [slot["n_ctx"] for slot in slots] == [model.context] * local_model.CHATS


@pytest.mark.model
@pytest.mark.parametrize("path", ["/v1/models", "/v1/chat/completions", "/completion", "/slots", "/props"])
def test_without_the_key_it_says_nothing(model: LocalModel, path: str) -> None:
    url = model.url.replace("/v1", path)
    with requests.Session() as stranger:
        stranger.trust_env = False
        assert stranger.get(url, timeout=5).status_code == 401
        assert stranger.post(url, json={"prompt": "Hi"}, timeout=5).status_code == 401


@pytest.mark.model
def test_its_key_is_in_no_command_line_and_no_repr(model: LocalModel) -> None:
    supervisor = model.supervisor.pid
    for pid in (supervisor, server_of(supervisor)):
        assert model.key.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert model.key not in repr(model)


@pytest.mark.model
def test_a_stop_that_is_sent_to_everybody_leaves_it_to_its_starter(model: LocalModel) -> None:
    supervisor = model.supervisor.pid
    server = server_of(supervisor)
    for how in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        for pid in (supervisor, server):
            os.kill(pid, how)
    assert local_model.wait_ready(model.url, 5)
    assert children(supervisor) == [server]


@pytest.mark.model
def test_it_answers_again_within_5_s_of_being_killed(model: LocalModel, session: requests.Session) -> None:
    victim = server_of(model.supervisor.pid)
    os.kill(victim, signal.SIGKILL)
    killed = time.monotonic()
    eventually(lambda: victim not in children(model.supervisor.pid))
    assert local_model.wait_ready(model.url, 5)
    assert any(chunk["choices"] for chunk in ask(session, model, "Hi", 3))
    assert time.monotonic() - killed < 5


@pytest.mark.model
@pytest.mark.parametrize("when", ["loading", "ready"])
@pytest.mark.parametrize("forks", ["", FORKS], ids=["alone", "with a fork that lives on"])
def test_it_is_gone_within_2_s_of_its_starter_being_killed(when: str, forks: str) -> None:
    require_model()
    command = [sys.executable, "-c", STARTER + forks + WAITS]
    # A session of its own, to end the fork by.
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True) as starter:
        try:
            assert starter.stdout is not None
            supervisor, url = starter.stdout.readline().split()
            pids = [int(supervisor), server_of(int(supervisor))]
            if when == "ready":
                assert local_model.wait_ready(url.decode(), 30)
            starter.kill()
            starter.wait()
            eventually(lambda: not any(map(runs, pids)), within=2)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(starter.pid, signal.SIGKILL)


@pytest.mark.model
def test_it_is_gone_when_its_starter_stops_it() -> None:
    require_model()
    model = local_model.start()
    pids = [model.supervisor.pid, server_of(model.supervisor.pid)]
    model.stop()
    assert not any(map(runs, pids))
