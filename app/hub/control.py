"""The frames that are no entries of a log: retry, connected, heartbeat, closing, overloaded.

Pure but for the chance and the wall clock that are handed in. Used by the hub only.
"""

from __future__ import annotations

from collections.abc import Callable

from app.hub.client import Entry
from app.hub.connection import Connection
from app.hub.endings import ENDINGS
from app.hub.events import encode, frame, heartbeat_frame, retry_frame
from app.hub.limits import Limits

# This share of a heartbeat's and a lifetime's length is chance: what began together must not go on so.
SPREAD = 0.2


class Control:
    """`jitter`: uniform in [0, 1); `wall`: Unix seconds. `return_within`: seconds over which those that a
    drain ends are asked back."""

    def __init__(self, limits: Limits, wall: Callable[[], float], jitter: Callable[[], float]) -> None:
        self._limits, self._wall, self._jitter = limits, wall, jitter
        self.return_within = 0.0

    def spread(self, seconds: float) -> float:
        """Somewhat less than `seconds`."""
        return seconds * (1 - SPREAD * self._jitter())

    def hello(self, connection: Connection, entry: Entry) -> bytes:
        """The first bytes of a stream, its opening among them."""
        fields = {
            "connectionId": connection.id,
            "resumed": entry.resumed,
            "heartbeat": self._limits.heartbeat,
        }
        connected = frame(encode("connected", connection.client_id, fields), entry.at)
        return b"".join([self._retry(self._limits.retry_ms), connected, *entry.frames])

    def heartbeat(self, connection: Connection) -> bytes:
        return heartbeat_frame(connection.beat_as_event, self._wall(), self._limits.heartbeat)

    def farewell(self, connection: Connection) -> bytes:
        """The event `closing`, for endings that are said, after `retry` where readers are asked back."""
        reason, ending = connection.ending, ENDINGS[connection.ending]
        if not ending.said:
            return b""
        fields = {"reason": reason, "reconnect": ending.reconnect}
        closing = frame(encode("closing", connection.client_id, fields))
        return self._back(reason) + closing if ending.reconnect else closing

    def overloaded(self, client_id: str, retry_after: float) -> bytes:
        """The whole body of a stream there is no room for. [protocol §2] sent with status 200, since a
        native EventSource never comes back from any other."""
        return self._retry(1000 * retry_after) + frame(
            encode("overloaded", client_id, {"retryAfter": retry_after})
        )

    def _back(self, reason: str) -> bytes:
        """When to come back: after a drain at some moment of the seconds given, for all at once would be a
        storm."""
        if reason == "shutdown" and self.return_within:
            return retry_frame(int(max(500, 1000 * self.return_within * self._jitter())))
        return self._retry(self._limits.retry_ms)

    def _retry(self, milliseconds: float) -> bytes:
        """`retry:` ± 50 %: streams that ended together must not come back together."""
        return retry_frame(int(milliseconds * (0.5 + self._jitter())))
