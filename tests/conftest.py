"""The fixtures many test files stand on: the scripted upstream, a real gunicorn, names of clients."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack

import pytest

from app import local_model
from app.local_model import LocalModel
from tests.rig.optional import require_model
from tests.rig.serving import Server
from tests.rig.upstream import ScriptedUpstream

ADMIN_TOKEN = "a-token-of-the-tests-and-of-nothing-else"
# Short where only waiting gets shorter; everything that decides how an answer ends is as shipped.
SETTINGS = {
    "ADMIN_TOKEN": ADMIN_TOKEN,
    "ANSWERS_CLIENT": "50",
    "CONNECT_TIMEOUT": "3",
    "RETRY_BASE": "0.02",
    "RETRY_BUDGET": "5",
    "RETRY_MS": "100",
    "DRAIN_GRACE": "2",
    "GUNICORN_CMD_ARGS": "--keep-alive=1",  # a graceful stop waits that long for idle connections
}
Serve = Callable[..., Server]


@pytest.fixture(scope="session")
def upstream_process() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture
def upstream(upstream_process: ScriptedUpstream) -> ScriptedUpstream:
    """The scripted upstream, as new for each test; unscripted it answers "Hello world"."""
    upstream_process.reset()
    return upstream_process


@pytest.fixture(scope="session")
def server(upstream_process: ScriptedUpstream) -> Iterator[Server]:
    """One gunicorn for all tests that can live with SETTINGS, asking the scripted upstream."""
    with Server(SETTINGS, upstream_url=upstream_process.url) as server:
        yield server


@pytest.fixture
def serve(upstream_process: ScriptedUpstream) -> Iterator[Serve]:
    """`serve(HEARTBEAT="0.1")`: a gunicorn of the test's own, SETTINGS overridden by what is given.

    `upstream_url` chooses another upstream; None none at all.
    """
    with ExitStack() as stack:

        def start(*, upstream_url: str | None = upstream_process.url, **env: str) -> Server:
            return stack.enter_context(Server({**SETTINGS, **env}, upstream_url=upstream_url))

        yield start


@pytest.fixture
def fresh_client() -> str:
    """A clientId nobody has used."""
    return f"t-{uuid.uuid4().hex}"


@pytest.fixture(scope="module")
def model() -> Iterator[LocalModel]:
    require_model()
    model = local_model.start()
    try:
        assert local_model.wait_ready(model.url, 30)
        yield model
    finally:
        model.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure shows what the shared server wrote last."""
    report = yield
    server = getattr(item, "funcargs", {}).get("server")
    if report.failed and isinstance(server, Server):
        report.sections.append(("server log", server.log[-4000:]))
    return report


@pytest.fixture(autouse=True)
def server_without_a_traceback(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test does to the shared server, it must not come as a surprise to it."""
    if "server" not in request.fixturenames:
        yield
        return
    server: Server = request.getfixturevalue("server")
    before = len(server.log)
    yield
    written = server.log[before:]
    assert "Traceback" not in written, f"the server was surprised:\n{written}"
