"""Connections to an upstream: made so that they can be cut in any phase, and kept for the next call.

The one place that reaches into urllib3: its connections here make their sockets themselves and hand them out,
and its pools keep those whose answer was read to its end, no others. Used by caller.py only.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import DEFAULT_CA_BUNDLE_PATH, HTTPAdapter
from requests.utils import get_environ_proxies
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.ssl_ import create_urllib3_context

from app.relay.body import END, NOTHING_YET, READ_SIZE, Chunks
from app.relay.line import current

# Seconds that a connection is kept unused: less than proxies and balancers give one that is silent. A server
# that gives less than that (many give 5) closes it, which is seen before it is used.
IDLE = 30.0
# Seconds in which the end of an answer follows its last word, or the connection is not kept.
LATE = 1.0
# Reads that the rest of an answer may take: it is the word `[DONE]` as a rule, or nothing but the END.
REST = 4


class _Answer(http.client.HTTPResponse):
    """Notes that an answer has begun, also one that is but `100 Continue`."""

    def _read_status(self) -> Any:
        status = super()._read_status()  # type: ignore[misc]
        line = current()
        if line:
            line.answered = True
        return status


class _Held:
    """Mixed into urllib3's connections: makes the socket itself and hands it out before it connects.

    Of one that is kept, `hand` is for the line of the next call, `rest` decodes what of the last answer is
    still to come, and `since` is when it was, in monotonic seconds.
    """

    hand: socket.socket | None = None
    rest: Chunks | None = None
    since = 0.0
    pieces: list[bytes] | None = None  # of a request that is being put together

    def fits(self: Any) -> bool:
        """Whether it can serve a call: the last answer has come to its end, and the peer is still there."""
        try:
            self.sock.settimeout(0.0)
            for _ in range(REST):
                data = self.sock.recv(READ_SIZE)
                self.rest.feed(data)
                if not data or self.rest.error or len(self.rest.tail) > len(END):
                    break
        except NOTHING_YET:
            return bool(self.rest.tail == END)
        except OSError:
            pass
        return False

    def lasts(self: Any, now: float) -> bool:
        """Whether to keep it any longer. Of one that has just come the end may still be on its way."""
        unused = now - self.since
        return bool(unused < LATE or (unused <= IDLE and self.fits()))

    def close(self: Any) -> None:
        super().close()  # type: ignore[misc]
        if self.hand:
            self.hand.close()

    def request(self: Any, *args: Any, **options: Any) -> None:
        """Head and body leave at once: urllib3 sends each by itself, and the peer would wake up twice."""
        self.pieces = []
        try:
            super().request(*args, **options)  # type: ignore[misc]
        finally:
            pieces, self.pieces = self.pieces, None
        self.send(b"".join(pieces))

    def send(self: Any, data: Any) -> None:
        if self.pieces is None:
            super().send(data)  # type: ignore[misc]
        else:
            self.pieces.append(data)

    def _new_conn(self: Any) -> socket.socket:
        try:
            sock: socket.socket = self._first_that_connects()
            return sock
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except UnicodeError as error:  # a name that can't be one
            raise NewConnectionError(self, f"no such name: {error}") from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"no answer within {self.timeout} s") from error
        except OSError as error:
            raise NewConnectionError(self, error.strerror or str(error)) from error

    def _first_that_connects(self: Any) -> socket.socket:
        failed: OSError = OSError("the name has no address")
        for family, kind, proto, _, address in _addresses(self._dns_host, self.port):
            sock = socket.socket(family, kind, proto)
            try:
                self._connect(sock, address)
            except OSError as error:
                sock.close()
                failed = error
            else:
                return sock
        raise failed

    def _connect(self: Any, sock: socket.socket, address: Any) -> None:
        line = current()
        sock.settimeout(self.timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if line:
            line.hold(sock)
        sock.connect(address)
        if line:
            line.check()


def _addresses(host: str, port: int) -> list[Any]:
    """As getaddrinfo gives them, which among greenlets asks a thread, also what an address stands for."""
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):
            socket.inet_pton(family, host)
            return [(family, socket.SOCK_STREAM, 0, "", (host, port))]
    return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)


class _HTTP(_Held, HTTPConnection):
    response_class: Any = _Answer


class _HTTPS(_Held, HTTPSConnection):
    response_class: Any = _Answer


class _Keeping:
    """Mixed into urllib3's pools: a connection that has a `rest` is kept, up to `most` of them; the last that
    came is the first to serve again. `_guard` guards `_kept`."""

    def __init__(
        self: Any, host: str, port: int | None, *, most: int, clock: Callable[[], float], **options: Any
    ) -> None:
        super().__init__(host, port, **options)  # type: ignore[call-arg]
        self._most, self._clock = most, clock
        self._guard = threading.Lock()
        self._kept: list[Any] = []  # the longest unused first

    def kept(self: Any) -> int:
        """How many wait for a next call."""
        return len(self._kept)

    def tidy(self: Any, now: float) -> None:
        """Closes those whose peer has left, and those that nobody has used for IDLE. `now`: monotonic."""
        with self._guard:
            kept, self._kept = self._kept, []
        lasting = [connection for connection in kept if connection.lasts(now)]
        with self._guard:
            stays = (lasting + self._kept)[-self._most :] if self._most else []  # closed meanwhile, perhaps
            kept += self._kept
            self._kept = stays
        _close_all(connection for connection in kept if connection not in stays)

    def close(self: Any) -> None:
        super().close()  # type: ignore[misc]
        with self._guard:
            kept, self._kept, self._most = self._kept, [], 0
        _close_all(kept)

    def _get_conn(self: Any, timeout: float | None = None) -> Any:
        """One that was kept, unless the call wants a new one."""
        line = current()
        connection = self._fitting() if line and not line.anew else None
        if not line or not connection:
            return self._new_conn()
        hand, connection.hand, connection.rest = connection.hand, None, None
        try:
            line.take_over(hand)
        except OSError:
            connection.close()
            raise
        return connection

    def _fitting(self: Any) -> Any:
        while connection := self._last():
            if connection.fits():
                return connection
            connection.close()
        return None

    def _last(self: Any) -> Any:
        with self._guard:
            return self._kept.pop() if self._kept else None

    def _put_conn(self: Any, connection: Any) -> None:
        if connection and connection.rest:
            connection.since = self._clock()
            with self._guard:
                if len(self._kept) < self._most:
                    self._kept.append(connection)
                    return
        if connection:
            connection.close()


class _HTTPPool(_Keeping, HTTPConnectionPool):
    ConnectionCls = _HTTP


class _HTTPSPool(_Keeping, HTTPSConnectionPool):
    ConnectionCls = _HTTPS


class _Adapter(HTTPAdapter):
    """requests' own, with connections whose sockets can be cut, and certificates that are read once: it reads
    all of them anew for each connection, which takes 20 ms in which nothing else is done."""

    def __init__(self, ca: str, kept: int, clock: Callable[[], float]) -> None:
        self._context = create_urllib3_context()
        if os.path.isdir(ca):
            self._context.load_verify_locations(capath=ca)
        else:
            self._context.load_verify_locations(ca or DEFAULT_CA_BUNDLE_PATH)
        self.pools: list[Any] = []
        self._found: dict[str, Any] = {}  # by address
        self._classes = {
            scheme: partial(self._pool, cls, most=kept, clock=clock)
            for scheme, cls in (("http", _HTTPPool), ("https", _HTTPSPool))
        }
        super().__init__()

    def close(self) -> None:
        super().close()
        for pool in self.pools:
            pool.close()

    def get_connection_with_tls_context(self, request: Any, *args: Any, **options: Any) -> Any:
        """The pool, found once: the same address has the same one, by the same proxy."""
        if request.url not in self._found:
            self._found[request.url] = super().get_connection_with_tls_context(request, *args, **options)
        return self._found[request.url]

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        conn.cert_reqs = "CERT_REQUIRED"  # by the context's certificates

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._classes

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, ssl_context=self._context, **options)
        manager.pool_classes_by_scheme = self._classes
        return manager

    def _pool(self, cls: Any, *args: Any, **options: Any) -> Any:
        pool = cls(*args, **options)
        self.pools.append(pool)
        return pool


def _close_all(connections: Iterable[Any]) -> None:
    for connection in connections:
        connection.close()


def open_session(
    ca: str = "", kept: int = 0, environment: str = "", clock: Callable[[], float] = time.monotonic
) -> requests.Session:
    """A session that reads no proxy, key or certificate from the environment behind the settings' back.

    `ca`: a file with the certificates to trust, "" for those that everybody trusts. `kept`: connections that
    are kept unused at most. `environment`: the address whose proxy and certificates the environment may say
    after all, "" for none.
    """
    session = requests.Session()
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # one asker's is not the next one's
    if environment:
        session.proxies.update(get_environ_proxies(environment))
        ca = ca or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE", "")
    adapter = _Adapter(ca, kept, clock)
    for scheme in ("http://", "https://"):
        session.mount(scheme, adapter)
    return session


def keep(response: requests.Response, hand: socket.socket, rest: Chunks) -> None:
    """Has the connection of a response serve another call, once `rest` of its body has come to its end."""
    raw: Any = response.raw
    raw._connection.hand, raw._connection.rest = hand, rest
    raw._fp.close()  # or the connection would wait for somebody to read its answer
    raw.release_conn()
