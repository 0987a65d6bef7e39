"""A server as one provider runs it: it demands that provider's path, key and fields, and refuses all else.

What each of them demands and says stands in tests/relay/providers.py. In the test's own process, a thread a
request, bound to loopback; it ends with its `with`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]
# What a server of this kind says to a refused request: of a status, a sentence and the key that came.
Refusal = Callable[[int, str, str], Json]


@dataclass(frozen=True)
class Provider:
    """What is demanded of a request, and the stream that one gets which gives all of it.

    `path` with its query. `form`: of the value of `header`, "" where any key will do. `headers` must come
    besides. `models`: those it serves, None among them where it may be left out; empty: it doesn't look.
    `fields`: what must stand in the body besides model, messages and stream, each a value or the type of one.
    """

    path: str
    stream: tuple[bytes, ...]
    refusal: Refusal
    header: str = "Authorization"
    form: str = "Bearer {key}"
    headers: Mapping[str, str] = field(default_factory=dict)
    models: tuple[str | None, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    kind: str = "text/event-stream"

    def refuses(self, path: str, headers: Mapping[str, str], body: Any, key: str) -> tuple[int, str] | None:
        """The status and the reason, in the order in which servers look; None for a request that is right."""
        if path != self.path:
            return 404, f"Resource not found: {path}"
        if self.form and headers.get(self.header) != self.form.format(key=key):
            return 401, f"Incorrect API key provided: {headers.get(self.header)}"
        if self.header != "Authorization" and "Authorization" in headers:
            return 401, "Two credentials in one request"
        for name, value in self.headers.items():
            if headers.get(name) != value:
                return 403, f"The header {name} has to be {value}"
        return self._refuses_body(body)

    def _refuses_body(self, body: Any) -> tuple[int, str] | None:
        if not isinstance(body, dict) or body.get("stream") is not True or not body.get("messages"):
            return 400, "messages and stream are demanded"
        if self.models and body.get("model") not in self.models:
            return 404, f"The model {body.get('model')} does not exist"
        for name in body.keys() - {"model", "messages", "stream", *self.fields}:
            return 400, f"Unrecognized request argument supplied: {name}"
        for name, wanted in self.fields.items():
            right = (
                isinstance(body.get(name), wanted) if isinstance(wanted, type) else body.get(name) == wanted
            )
            if not right:
                return 400, f"Invalid value for {name}: {body.get(name)!r}"
        return None


class ProviderServer:
    """`with ProviderServer(provider, key) as server:` … `server.address`, like http://127.0.0.1:1234."""

    def __init__(self, provider: Provider, key: str) -> None:
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(provider, key))
        self.address = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> ProviderServer:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


def _handler(provider: Provider, key: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            body = json.loads(raw) if self.headers["Content-Type"] == "application/json" else None
            refused = provider.refuses(self.path, self.headers, body, key)
            if refused:
                self._refuse(*refused)
            else:
                self._answer()

        def _refuse(self, status: int, why: str) -> None:
            given = self.headers.get(provider.header, "").removeprefix("Bearer ")
            body = json.dumps(provider.refusal(status, why, given)).encode()
            self._head(status, "application/json", "Content-Length", str(len(body)))
            self.wfile.write(body)

        def _answer(self) -> None:
            self._head(200, provider.kind, "Transfer-Encoding", "chunked")
            for event in (*provider.stream, b""):  # an empty chunk is the last
                self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))

        def _head(self, status: int, kind: str, *length: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header(*length)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: requests hold keys."""

    return Handler
