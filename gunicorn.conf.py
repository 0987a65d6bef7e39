"""How gunicorn runs Deltahub: the settings' address, one gevent worker, and the embedded model beside it.

Read by gunicorn's master, before gevent patches the worker. So nothing may be imported here that imports
requests: an ssl that is patched after urllib3 has taken it ends every https call in a RecursionError. The
model is kept on gunicorn's arbiter, `server.local_model`: a reload (SIGHUP) runs this file anew.
"""

import contextlib
import errno
import gc
import logging
import math
import os
import random
import resource
import signal
import socket
import sys
import threading
import time
from urllib.parse import urlsplit

from app import local_model, upstreams
from app.errors import SettingsError
from app.hub.peer import Peer
from app.settings import Settings

MODEL_PATIENCE = 20.0  # seconds; it needs one, on a slow disk some more
STOPS = (signal.SIGTERM, signal.SIGQUIT)
FULL_LOOK = 600.0  # seconds between two full looks for garbage
SILENT = 1  # seconds after which who connects and says nothing is accepted all the same
FIRST = 5.0  # seconds for the head of a first request to come whole
SPREAD = (0.75, 1.25)  # shares of that, and of `keepalive`: how long it is for one connection
ACCEPTS = 4  # connections at a time: what they ask is there, and is answered before anybody else has a turn
LONG_TURN = 0.02  # seconds of one turn of the event loop, after which requests wait for the next
LAST_WORDS = 4.0  # seconds, before gunicorn kills, for answers to be interrupted and streams to be told

try:
    settings = Settings.load()
    answering = upstreams.load(settings.upstreams, os.environ) if settings.upstreams else []
except SettingsError as error:
    sys.exit(f"deltahub: {error}")

host, port = settings.host.strip("[]"), settings.port
authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

bind = authority
worker_class = "gevent"
workers = settings.web_concurrency
worker_connections = settings.connections_worker * 11 // 10 + 10  # calls get in also where streams are full
backlog = 4096  # who comes when it is full tries again after a second
keepalive = 2  # seconds an idle connection is held, more or less (SPREAD): a graceful stop may wait for it
graceful_timeout = 30  # seconds for open streams after SIGTERM; DRAIN_GRACE is less
timeout = 60  # seconds without a sign of life from the worker
loglevel = "warning"
# Where one is asked for, by --access-logfile: the usual line, and the id that the answer told its caller.
access_log_format = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" %({x-request-id}o)s'
control_socket_disable = True  # it would be a thread in the master and a socket in $HOME


def on_starting(server):
    """Before anything is bound or forked: the last moment to give up in one line."""
    server.local_model = None
    if server.cfg.bind == [authority]:  # not elsewhere, by --bind
        _check_address()
    _raise_file_limit()
    os.register_at_fork(before=_hold_stops, after_in_parent=_release_stops, after_in_child=_obey_stops)
    if not settings.upstream_url and not answering:
        server.local_model = _start_model()


def post_fork(server, worker):
    # Ctrl-C reaches the whole group, and the master says it again: twice would be a traceback.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    _log_to_stderr()
    for listener in server.LISTENERS:
        _prepare(listener.sock)
    worker.local_model = server.local_model
    if worker.local_model:
        worker.local_model.let_go()


def post_worker_init(worker):
    """The app is loaded and gevent's patches are in: what starts here is a greenlet."""
    _leave_garbage_alone()
    worker.give_way = _turns()
    if "gunicorn.workers.ggevent" in sys.modules:
        _accept_few()
        _pass_over_the_lost(worker)
        _be_patient(worker)
    worker.hurried = False
    worker.drain = threading.Thread(target=_drain_at_the_end, args=(worker,), name="drain", daemon=True)
    worker.drain.start()
    if worker.local_model:
        _await_model(worker)
    if worker.age == 1 and worker.alive:
        print(_welcome(worker), flush=True)


def pre_request(worker, req):
    worker.give_way()


def worker_exit(server, worker):
    """gunicorn is through with its own connections, after SIGTERM or `max_requests`; of streams whose sockets
    were taken it knows nothing, and would go without waiting for them. The master is told no more of this
    worker's life from here on, so the grace has to be below `timeout` and `graceful_timeout`: it is."""
    if os.getpid() == worker.pid and hasattr(worker, "drain"):
        worker.alive = False  # it also ends because its master is gone, and then nobody has said so
        worker.drain.join()


def worker_int(worker):
    """Ctrl-C or SIGQUIT: somebody waits for the end, so answers are interrupted, not waited for."""
    worker.hurried = True


def on_exit(server):
    if server.local_model:
        server.local_model.stop()


def _prepare(listener):
    """Tells once what whoever connects inherits, and that they be accepted when their requests are there: who
    comes and says nothing, or leaves at once, costs nothing."""
    Peer(listener).tune(settings.slow_reader)
    with contextlib.suppress(AttributeError, OSError):  # not Linux, or no TCP
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, SILENT)


def _turns():
    """What lets others have their turn, where one loop serves all: it serves what is ready before it looks
    again, and behind a thousand requests nobody else would be heard for a quarter of a second."""
    if "gunicorn.workers.ggevent" not in sys.modules:
        return lambda: None
    import gevent

    loop = gevent.get_hub().loop

    def give_way():
        if time.time() - loop.now() > LONG_TURN:
            gevent.sleep(0)

    return give_way


def _accept_few():
    """Before others have their turn: gevent accepts a hundred, and the tokens of all streams would wait for a
    hundred requests. Who has to wait does so in the system's queue, in order."""
    from gevent.baseserver import BaseServer

    BaseServer.max_accept = ACCEPTS


def _pass_over_the_lost(worker):
    """Who has reset its connection by now is not served: that takes as long as for anybody, and in a flood of
    them all tokens would wait for it."""
    serve = worker.handle

    def handle(listener, client, address):
        if not Peer(client, counts=False).lost():
            serve(listener, client, address)

    worker.handle = handle


def _be_patient(worker):
    """With who is silent: longer before a first request, since who is given up comes again; not equally long
    with all, since to give up a thousand at once takes 100 ms."""
    import gevent

    def timeout_ctx():  # gunicorn leaves it to its kinds of workers
        connection = gevent.getcurrent()
        seconds = worker.cfg.keepalive if hasattr(connection, "heard") else max(FIRST, worker.cfg.keepalive)
        connection.heard = True
        return gevent.Timeout(seconds * random.uniform(*SPREAD), False)  # noqa: S311

    worker.timeout_ctx = timeout_ctx


def _hold_stops():
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)


def _release_stops():
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)


def _obey_stops():
    """Until gunicorn sets the worker's handlers: those copied from the master would swallow a stop, and the
    master would wait half a minute for a worker that never heard of it."""
    for number in STOPS:
        signal.signal(number, lambda *_: os._exit(0))
    _release_stops()


def _check_address():
    """Says in one line what gunicorn would say in fifteen, after five tries."""
    if "GUNICORN_FD" in os.environ or "LISTEN_FDS" in os.environ:
        return  # the socket is handed over, open, by an older master or by systemd
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            sys.exit(f"deltahub: {_why_not_bound(error)}")


def _why_not_bound(error):
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is taken: stop what listens on {authority}, or set PORT to another"
    if error.errno == errno.EACCES:
        return f"port {port} is not for this user: set PORT to 1024 or more"
    return f"HOST={settings.host} is no address of this machine ({error.strerror or error})"


def _raise_file_limit():
    """To the hard limit: each stream is an open file, and the usual soft limit is 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS calls it infinite, and refuses to give that
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _start_model():
    """The embedded model; the workers, which read the settings anew, find it in their environment."""
    if problem := local_model.available():
        sys.exit(f"deltahub: {problem}")
    model = local_model.start()
    os.environ["UPSTREAM_URL"] = model.url
    os.environ["UPSTREAM_KEY"] = model.key
    os.environ["UPSTREAM_MODEL"] = model.name
    os.environ["UPSTREAM_CONTEXT"] = str(model.context)
    return model


def _await_model(worker):
    """Serves no page before there is somebody to answer; it loads while the worker does."""
    deadline = time.monotonic() + MODEL_PATIENCE
    while worker.alive and time.monotonic() < deadline:
        if local_model.wait_ready(worker.local_model.url, 0.5):
            return
    if worker.alive:
        print("deltahub: the embedded model does not answer; serving without it", file=sys.stderr, flush=True)


def _drain_at_the_end(worker):
    """gunicorn only stops accepting and waits; this tells the app, so that streams end and say why."""
    while worker.alive:
        time.sleep(0.2)
    # Where gunicorn was told to be less patient than we are, it would kill in the middle of an answer.
    kills = [seconds for seconds in (worker.cfg.graceful_timeout, worker.cfg.timeout) if seconds]
    latest = time.monotonic() + min(kills, default=math.inf) - LAST_WORDS
    # A middleware may stand around the app; it is the one that wsgi.py made all the same.
    app = worker.wsgi if hasattr(worker.wsgi, "extensions") else sys.modules["wsgi"].app
    app.extensions["deltahub"].drain(lambda: worker.hurried or time.monotonic() > latest)


def _leave_garbage_alone():
    """Each full look for garbage stops everything: 20 ms for 10,000 idle streams, 80 ms for 200,000 events.
    What is loaded lives for good, so it is never looked at again; what follows dies by its own count of
    references, and a full look now and then is enough."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(700, 10, 1_000_000)
    threading.Thread(target=_look_now_and_then, name="garbage", daemon=True).start()


def _look_now_and_then():
    while True:
        time.sleep(FULL_LOOK)
        gc.collect()


def _log_to_stderr():
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger("app").addHandler(handler)
    logging.getLogger("app").setLevel(settings.log_level.upper())


def _welcome(worker):
    model, scheme = worker.local_model, "https" if worker.cfg.is_ssl else "http"
    every = host in ("", "0.0.0.0", "::")  # noqa: S104  # told apart, not chosen
    page = f"{scheme}://127.0.0.1:{port}" if every else f"{scheme}://{authority}"
    if worker.cfg.bind != [authority]:
        page, every = " and ".join(worker.cfg.bind), False
    if model:
        answers = f"{model.name}, embedded"
    elif answering:
        answers = ", then ".join(entry.name for entry in answering)
    else:
        upstream = urlsplit(settings.upstream_url)  # user:password@ may stand in it, or a key in its query
        answers = f"{settings.upstream_model or 'the default model'} at "
        answers += f"{upstream.scheme}://{upstream.netloc.rpartition('@')[2]}{upstream.path}"
    reach = " and at every other address of this machine" if every else ""
    return f"Deltahub is at {page}{settings.url_prefix}/{reach}\nAnswers come from {answers}"
