"""What the blueprints work with: the parts of one application, found by the request that needs them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from flask import current_app

from app.chat.conversations import Conversations
from app.hub.hub import Hub
from app.hub.sweep import Sweep
from app.relay.relay import Relay
from app.settings import Settings
from app.web.address import Addresses
from app.web.built import Assets
from app.web.files import Files
from app.web.streams import Streams

NAME = "deltahub"
# Seconds that streams get to be written their last events and to close, once all answers have ended.
FAREWELL = 2.5

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """One of each; made by `create_app`, kept in `app.extensions["deltahub"]`."""

    settings: Settings
    hub: Hub
    sweep: Sweep
    relay: Relay
    conversations: Conversations
    streams: Streams
    addresses: Addresses
    files: Files
    assets: Assets

    def drain(
        self,
        hurried: Callable[[], bool] = lambda: False,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Ends everything in good order before the process does; blocks up to the grace and a little.

        Nothing new begins; streams without a running answer end at once, the others with it; answers that
        are still running when the grace is over, or once somebody is `hurried`, end as `interrupted`.
        """

        def wait(done: Callable[[], bool], seconds: float) -> None:
            # By the clock: on a busy machine sleeps are longer, and gunicorn's patience is not.
            deadline = clock() + seconds
            while not done() and clock() < deadline:
                sleep(0.1)

        if self.hub.counts()["connections"] or self.relay.count():
            log.info("draining %r, %r", self.hub, self.relay)
        self.relay.close()
        self.hub.drain(self.settings.drain_grace)
        wait(lambda: hurried() or not self.relay.count(), self.settings.drain_grace)
        self.relay.interrupt()
        wait(lambda: not self.hub.counts()["connections"], FAREWELL)
        self.hub.cut()  # or gunicorn would wait for them until it kills
        self.sweep.stop()


def parts() -> Parts:
    """The parts of the application that serves the current request."""
    return cast(Parts, current_app.extensions[NAME])
