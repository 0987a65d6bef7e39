"""Deltahub: streamed LLM answers in any web page, kept whole.

`create_app` is where the parts meet.
Read in this order: hub/events, hub/mailbox, hub/reading, hub/hub (push); relay/parser, relay/payloads,
relay/worker, relay/relay (pull); web/sse, web/chat (the edge). docs/architecture.md has the drawing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from app.settings import Settings


def create_app(settings: Settings | None = None) -> Flask:
    """The application, its parts in `app.extensions["deltahub"]`. Starts no thread and opens no socket.

    `settings` default to the environment's. Raises SettingsError.
    """
    # Imported here, not above: gunicorn's master reads app.settings before its workers patch the sockets
    # that requests and Flask would take hold of.
    from app.assembly import assemble
    from app.settings import Settings

    return assemble(settings or Settings.load())
