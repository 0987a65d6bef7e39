"""The hand on an upstream's socket from before it connects, so that any thread can end a call in any phase.

The one place that reaches into urllib3: its connections here make their sockets themselves and hand them out.
Used by upstream.py only.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import DEFAULT_CA_BUNDLE_PATH, HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.ssl_ import create_urllib3_context

# For SO_LINGER: what is not sent yet is thrown away.
_AT_ONCE = struct.pack("ii", 1, 0)


class Line:
    """The hand on one call's socket. `cut(why)` ends the call in every phase; the first `why` stays.

    A second descriptor of the same socket is held, since TLS takes the first one over. `pieces`: how many
    have arrived, by which whoever watches tells that it lives. `_lock` guards `_sock` and `why`.
    """

    def __init__(self) -> None:
        self.why = ""
        self.pieces = 0
        self._lock = threading.Lock()
        self._sock: socket.socket | None = None

    def hold(self, sock: socket.socket) -> None:
        """Called with the socket before it connects. Raises OSError where the call was cut already."""
        with self._lock:
            self._sock, old = sock.dup(), self._sock
        if old:
            old.close()
        self.check()

    def check(self) -> None:
        """Raises OSError once the call is cut: a socket that doesn't connect yet can't be shut down."""
        if self.why:
            raise OSError("cut")

    def cut(self, why: str) -> None:
        """Ends the call from any thread. The reader wakes with an error, finds `why`, and closes."""
        with self._lock:
            self.why = self.why or why
            if self._sock:
                # Under the lock, or `release` could close it meanwhile and another file get its number.
                with contextlib.suppress(OSError):  # not connected yet, or gone already: both are cut
                    # Closing resets it, or the end would wait behind what the upstream hasn't read yet.
                    self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
                    self._sock.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Lets go of the socket; the reader's last act."""
        with self._lock:
            sock, self._sock = self._sock, None
        if sock:
            sock.close()


class _Call(threading.local):
    """Whose line the socket made in this thread belongs to: urllib3 has no way to pass it along."""

    line: Line | None = None


_call = _Call()


@contextlib.contextmanager
def calling(line: Line) -> Iterator[None]:
    """Sockets made by this thread inside of the block are held by `line`."""
    _call.line = line
    try:
        yield
    finally:
        _call.line = None


class _Held:
    """Mixed into urllib3's connections: makes the socket itself and hands it out before it connects."""

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
        for family, kind, proto, _, address in socket.getaddrinfo(
            self._dns_host, self.port, 0, socket.SOCK_STREAM
        ):
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
        sock.settimeout(self.timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if _call.line:
            _call.line.hold(sock)
        sock.connect(address)
        if _call.line:
            _call.line.check()


class _HTTP(_Held, HTTPConnection):
    pass


class _HTTPS(_Held, HTTPSConnection):
    pass


class _Once:
    """Mixed into urllib3's pools: a connection serves one call. A kept one would come without a line."""

    def _put_conn(self, conn: Any) -> None:
        if conn:
            conn.close()


class _HTTPPool(_Once, HTTPConnectionPool):
    ConnectionCls = _HTTP


class _HTTPSPool(_Once, HTTPSConnectionPool):
    ConnectionCls = _HTTPS


class _Adapter(HTTPAdapter):
    """requests' own, with connections whose sockets can be cut, and certificates that are read once: it reads
    all of them anew for each connection, which takes 20 ms in which nothing else is done."""

    def __init__(self, ca: str) -> None:
        self._context = create_urllib3_context()
        self._context.load_verify_locations(ca or DEFAULT_CA_BUNDLE_PATH)
        super().__init__()

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        conn.cert_reqs = "CERT_REQUIRED"  # by the context's certificates

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}


def open_session(ca: str = "") -> requests.Session:
    """A session that reads no proxy, key or certificate from the environment behind the settings' back.

    `ca`: a file with the certificates to trust, "" for those that everybody trusts.
    """
    session = requests.Session()
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # one asker's is not the next one's
    adapter = _Adapter(ca)
    for scheme in ("http://", "https://"):
        session.mount(scheme, adapter)
    return session
