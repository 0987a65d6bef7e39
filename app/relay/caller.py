"""The requests to one upstream: prepared once, sent each on a line, and what becomes of the connection after.

A connection serves the next call only if the answer on it came to its end. Used by upstream.py only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from copy import copy
from typing import Any

import requests

from app.relay.body import Chunks
from app.relay.connections import keep, open_session
from app.relay.failures import unanswered
from app.relay.line import Line, calling

# Connections to one upstream that are kept for a next call.
KEPT = 100
# Seconds after a question in which the end of its connection means that the upstream gave up the connection
# as it came. Later it may have been at work, and whether to ask it again is for the retries to say.
CROSSED = 1.0


class Caller:
    """Posts to `url` with `headers`. `timeouts`: seconds to connect, and of silence.

    `ca`: see connections.py. `kept`: connections that are kept at most; 0: each serves one call.
    `environment`: whether proxies and certificates may come from there. `session`: used as it is, and
    nothing is kept.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        timeouts: tuple[float, float],
        *,
        ca: str = "",
        kept: int = KEPT,
        environment: bool = False,
        session: requests.Session | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timeouts, self._keeps = timeouts, kept > 0 and not session
        self._clock = clock
        self._session = session or open_session(ca, kept, url if environment else "", clock)
        self._adapter = self._session.get_adapter(url)
        self._pools: list[Any] = getattr(self._adapter, "pools", [])  # of another session: none that keep
        manner = "keep-alive" if self._keeps else "close"
        request = requests.Request("POST", url, headers={"Connection": manner, **headers})
        # What is the same in all requests. To make it anew for each takes as long as all the rest.
        self._prepared = self._session.prepare_request(request)

    def post(self, data: bytes, line: Line) -> requests.Response:
        """The head of the answer. Raises what requests does, and OSError where `line` is cut.

        Asks once more where a connection that was kept is closed at this very moment: nothing of an answer
        had come, and what breaks off before its first text is asked again anyway.
        """
        request = copy(self._prepared)
        request.headers = request.headers.copy()
        request.prepare_body(data, None)
        asked = self._clock()
        with calling(line):
            try:
                return self._send(request)
            except requests.ConnectionError as error:
                crossed = line.kept and not line.answered and self._clock() - asked < CROSSED
                if line.why or not (crossed and unanswered(error)):
                    raise
            line.anew = True
            return self._send(request)

    def leave(self, response: requests.Response, line: Line, rest: Chunks | None) -> None:
        """The call is over, and `rest` is what its body is still to bring; None where that is not known."""
        hand = line.spare() if rest and self._keeps else None
        if rest and hand:
            keep(response, hand, rest)
        response.close()

    def kept(self) -> int:
        """How many connections wait for a next call."""
        return sum(pool.kept() for pool in self._pools)

    def tidy(self, now: float) -> None:
        """Closes those that have waited for too long. `now`: monotonic seconds."""
        for pool in self._pools:
            pool.tidy(now)

    def _send(self, request: requests.PreparedRequest) -> requests.Response:
        """By the adapter, which follows no redirect: that would carry key and question elsewhere. A session
        would only look for cookies, of which there are none."""
        proxies = self._session.proxies
        return self._adapter.send(request, stream=True, timeout=self._timeouts, proxies=proxies)
