"""A site of its own, on its own port, that embeds the widget of a hub: for tests, and to try it out by hand.

    python -m tests.rig.host http://127.0.0.1:8000      and the hub started with CORS_ORIGINS=http://localhost:8100

Pages are what tests say; the headers are the strictest under which the widget is promised to work.
"""

from __future__ import annotations

import argparse
import html
import sys
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import urlsplit

PORT = 8100
DEMO = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>A shop for tea</title></head>
<body><main><h1>A shop for tea</h1>
<p>This page is another site's. The chat in its corner comes from the hub, by one tag.</p>
<p><a href="/other">Another page</a> <button id="before">A button</button></p></main>
{tag}
</body></html>"""


def strict(hub: str) -> dict[str, str]:
    """The policy of docs/widget.md: nothing but the hub's scripts and calls; no text that becomes code."""
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(hub))
    rules = f"default-src 'none'; script-src {origin}; connect-src {origin}"
    return {"Content-Security-Policy": f"{rules}; require-trusted-types-for 'script'"}


def tag(hub: str, **options: str) -> str:
    """The one tag; `get_token="app.token"` is written `data-get-token`."""
    data = "".join(
        f' data-{name.replace("_", "-")}="{html.escape(value)}"' for name, value in options.items()
    )
    return f'<script async src="{hub}/widget.js"{data}></script>'


class Host:
    """`with Host() as host:` `host.page(body, headers)` is what it serves at every path from then on."""

    def __init__(self, port: int = 0) -> None:
        self._page, self._headers = "", dict[str, str]()
        self.scripts: dict[str, str] = {}  # path → a script or JSON of the site's own
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host._answer(self)

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.url = f"http://localhost:{self._server.server_address[1]}"

    def __enter__(self) -> Host:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def page(self, body: str, headers: Mapping[str, str] | None = None) -> str:
        """Returns the address of it."""
        self._page, self._headers = body, dict(headers or {})
        return f"{self.url}/"

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.partition("?")[0]
        if path == "/favicon.ico":
            request.send_error(404)
            return
        own = self.scripts.get(path)
        kind = (
            "text/html" if own is None else "text/javascript" if path.endswith(".js") else "application/json"
        )
        body = (self._page if own is None else own).encode()
        request.send_response(200)
        headers = {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(body)),
            **self._headers,
        }
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)


def main() -> None:
    """Serves the demo until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m tests.rig.host")
    parser.add_argument("hub", nargs="?", default="http://127.0.0.1:8000")
    parser.add_argument("--port", type=int, default=PORT)
    arguments = parser.parse_args()
    with Host(arguments.port) as host:
        options = {"name": "Tea advice", "greeting": "Which tea do you like?"}
        starters = "Which tea wakes me up?|How long does green tea draw?"
        body = DEMO.format(tag=tag(arguments.hub, **options, starters=starters))
        address = host.page(body, strict(arguments.hub))
        sys.stdout.write(f"{address}   The hub has to allow it: CORS_ORIGINS={host.url}\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
